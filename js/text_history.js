// Undo and redo of one text: what it was before each change. Pure data: no DOM, no ComfyUI.

const MAX_STEPS = 50;

export class TextHistory {
  #before = [];
  #after = [];

  get canUndo() {
    return this.#before.length > 0;
  }

  get canRedo() {
    return this.#after.length > 0;
  }

  /** Remember the text as it is before a change. */
  push(text) {
    this.#before = [...this.#before, text].slice(-MAX_STEPS);
    this.#after = [];
  }

  /** The text before the last change, or undefined. `current` is what redo() brings back. */
  undo(current) {
    if (this.canUndo) this.#after.push(current);
    return this.#before.pop();
  }

  redo(current) {
    if (this.canRedo) this.#before.push(current);
    return this.#after.pop();
  }
}

/** What a key asks of a history: "undo", "redo" or "". The event is changed so that ComfyUI does not undo as well. */
export function historyKey(event) {
  if (!(event.ctrlKey || event.metaKey) || event.altKey) return "";
  const key = event.key.toLowerCase();
  const action = key === "z" ? (event.shiftKey ? "redo" : "undo") : key === "y" && !event.shiftKey ? "redo" : "";
  // Stopping the event is not enough: ComfyUI reads the key a frame later and would undo the graph as well.
  if (action) Object.defineProperty(event, "key", { value: "Unidentified" });
  return action;
}
