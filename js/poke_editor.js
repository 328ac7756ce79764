// The live widget of Modal Force: drag in the image to poke it. The only state is the JSON in the node's text widget.

import { ForceEditor } from "./force_editor.js";
import { Arrow, createButton } from "./live_panel.js";
import { findPull, pokeMotion } from "./poke.js";
import { PokeTimeline } from "./poke_timeline.js";
import { TextHistory, historyKey } from "./text_history.js";
import { translate } from "./translate.js";
import { activeOffset, formatPokes, parsePokes, pokeFromDrag } from "./poke_list.js";

const DRAG_THRESHOLD = 4; // pixels; a shorter movement is a click
const CURSOR_STEP = 0.02; // of the image's width
const KEY_PULL = 0.06; // of the image's width
const KEY_HOLD = 0.2; // seconds
const nothingMoves = () => translate("nothing_moves", "Nothing moves there");

export class PokeEditor extends ForceEditor {
  constructor(node, hint) {
    const label = translate(
      "poke_view",
      "Photo to poke. Drag to pull, hold and release. Keyboard: arrow keys move the point, Shift and an arrow key pull " +
        "it, Space plays, Delete removes the selected poke, Control Z undoes the last change.",
    );
    super(node, hint, { testid: "gid-modal-view", label, names: ["pokes"] });
    this.pokes = [];
    this.selected = -1;
    this.history = new TextHistory();
    this.cursor = { x: 0.5, y: 0.5 };

    const { panel } = this;
    this.timeline = new PokeTimeline({
      seek: (time) => panel.seek(time),
      select: (index) => this.select(index),
      remove: () => this.remove(),
      move: (index, time) => this.move(index, time),
    });
    panel.stage.after(this.timeline.root);
    this.addButtons();
    this.forceArrows = [new Arrow(panel), new Arrow(panel), new Arrow(panel)];
    this.selectedArrow = new Arrow(panel, "faint");
    this.cursorArrow = new Arrow(panel);

    panel.onFrame = (time) => this.onFrame(time);
    panel.canvas.addEventListener("focus", () => this.drawArrows());
    panel.canvas.addEventListener("blur", () => this.drawArrows());
    this.pollWidgets();
  }

  addButtons() {
    const undo = [translate("undo", "Undo"), translate("undo_tip", "Undo the last change (Ctrl+Z)")];
    const remove = [translate("delete", "Delete"), translate("delete_tip", "Delete the selected poke (Delete)")];
    const clear = [translate("clear", "Clear"), translate("clear_pokes_tip", "Clear: delete all pokes")];
    this.undoButton = createButton("undo", ...undo, () => this.undo());
    this.redoButton = createButton("redo", "", translate("redo_tip", "Redo (Ctrl+Shift+Z)"), () => this.redo());
    this.deleteButton = createButton("delete", ...remove, () => this.remove());
    this.clearButton = createButton("clear", ...clear, () => this.commit([]));
    this.panel.bar.append(this.undoButton, this.redoButton, this.deleteButton, this.clearButton);
  }

  get hasMotion() {
    return this.pokes.length > 0;
  }

  onResize() {
    this.drawArrows();
  }

  /** Update the motion and the controls from the widgets' values. */
  refresh() {
    const { pokes, error } = parsePokes(this.values.pokes);
    this.pokes = pokes;
    this.error = error;
    if (this.selected >= pokes.length) this.selected = -1;
    this.settings = this.readSettings();
    if (this.modes) {
      try {
        this.motion = pokeMotion(this.modes, pokes, this.settings);
        const { staticPokes } = this.motion;
        if (staticPokes.length) {
          const number = staticPokes[0] + 1;
          this.error ||= translate("poke_is_static", "Poke {number}: nothing moves there", { number });
        }
      } catch (error) {
        this.motion = null;
        this.error ||= error.message;
      }
    }
    this.timeline.show(pokes, this.panel.duration, this.settings.fps, this.selected);
    this.updateButtons();
    this.drawArrows();
    this.panel.requestDraw();
  }

  evaluate(time, q) {
    if (this.motion) this.motion.at(time, q);
    else q.fill(0);
    const dragCoordinates = this.drag?.q;
    if (dragCoordinates) for (let i = 0; i < q.length; i++) q[i] += dragCoordinates[i];
  }

  onFrame(time) {
    this.timeline.setTime(time);
    this.drawArrows();
  }

  /** Draw the forces that act at the current time, the selected poke, and the keyboard cursor. */
  drawArrows() {
    const { time } = this.panel;
    let used = 0;
    for (const poke of this.pokes) {
      const offset = used < this.forceArrows.length ? activeOffset(poke, time - poke.time) : null;
      if (offset) this.forceArrows[used++].show(poke.x, poke.y, poke.x + offset[0], poke.y + offset[1]);
    }
    if (this.drag && used < this.forceArrows.length) {
      const { x, y, dx, dy } = this.drag;
      this.forceArrows[used++].show(x, y, x + dx, y + dy);
    }
    for (; used < this.forceArrows.length; used++) this.forceArrows[used].hide();
    const poke = this.pokes[this.selected];
    if (poke && !this.drag) this.selectedArrow.show(poke.x, poke.y, poke.x + poke.dx, poke.y + poke.dy);
    else this.selectedArrow.hide();
    const { x, y } = this.cursor;
    if (this.panel.canvas.matches(":focus-visible") && !this.drag) this.cursorArrow.show(x, y, x, y);
    else this.cursorArrow.hide();
  }

  // -- changes -------------------------------------------------------------------------------------------

  commit(pokes, selected = -1) {
    if (this.node.locked("pokes")) {
      const text = translate(
        "pokes_linked",
        "The pokes come through a link. Change them in the node that the link starts from.",
      );
      return this.panel.setMessage(text);
    }
    this.history.push(String(this.values.pokes ?? ""));
    this.selected = selected;
    this.node.write("pokes", formatPokes(pokes));
    this.pollWidgets();
    this.updateButtons();
    this.node.changed();
  }

  undo() {
    this.restore(this.history.canUndo, () => this.history.undo(String(this.values.pokes ?? "")));
  }

  redo() {
    this.restore(this.history.canRedo, () => this.history.redo(String(this.values.pokes ?? "")));
  }

  restore(possible, step) {
    if (!possible || this.node.locked("pokes")) return;
    this.selected = -1;
    this.node.write("pokes", step());
    this.pollWidgets();
    this.updateButtons();
    this.node.changed();
  }

  remove() {
    if (this.selected < 0) return;
    this.commit(this.pokes.filter((_, index) => index !== this.selected));
  }

  move(index, time) {
    const moved = { ...this.pokes[index], time };
    const pokes = this.pokes.with(index, moved).sort((a, b) => a.time - b.time);
    this.commit(pokes, pokes.indexOf(moved));
  }

  add(poke) {
    const pokes = [...this.pokes, poke].sort((a, b) => a.time - b.time);
    this.commit(pokes, pokes.indexOf(poke));
  }

  select(index) {
    if (index === this.selected) return;
    this.selected = index;
    this.timeline.markSelected(index);
    this.updateButtons();
    this.drawArrows();
  }

  updateButtons() {
    const locked = this.node.locked("pokes");
    this.undoButton.disabled = locked || !this.history.canUndo;
    this.redoButton.disabled = locked || !this.history.canRedo;
    this.deleteButton.disabled = locked || this.selected < 0;
    this.clearButton.disabled = locked || !this.pokes.length;
    if (this.panel.packet && !this.drag) {
      const hint = this.pokes.length || locked ? "" : translate("poke_hint", "Drag the image to poke it");
      this.panel.setMessage(this.error || hint, Boolean(this.error));
    }
  }

  // -- pointer -------------------------------------------------------------------------------------------

  onDragStart(event) {
    const { panel } = this;
    const [x, y] = this.positionOf(event).map((value) => Math.min(Math.max(value, 0), 1));
    // A drag at the end of the clip starts the clip again.
    if (panel.time > panel.duration - 1.5 / this.settings.fps) panel.seek(0);
    this.drag = {
      id: event.pointerId, pressedAtMs: event.timeStamp, startPoint: [event.clientX, event.clientY], moved: false,
      x, y, dx: 0, dy: 0, clipTime: panel.time, samples: [[0, 0, 0]], q: null,
    };
    this.cursor = { x, y };
    this.select(-1);
  }

  onDrag(event) {
    const { drag, panel } = this;
    if (event.type === "pointermove" || event.type === "pointerup") this.updateDrag(event);
    if (event.type === "pointermove") return;
    this.drag = null;
    panel.clipStartMs = undefined;
    if (event.type === "pointerup" && drag.moved) this.release(drag);
    else this.updateButtons();
    panel.requestDraw();
  }

  updateDrag(event) {
    const { drag, panel } = this;
    drag.moved ||= Math.hypot(event.clientX - drag.startPoint[0], event.clientY - drag.startPoint[1]) >= DRAG_THRESHOLD;
    if (!drag.moved) return;
    const [x, y] = this.positionOf(event);
    drag.dx = clamp(x - drag.x);
    drag.dy = clamp(y - drag.y);
    drag.samples.push([(event.timeStamp - drag.pressedAtMs) / 1000, drag.dx, drag.dy]);
    const pokePull = findPull(this.modes, drag.x, drag.y);
    const out = drag.q ?? new Float64Array(panel.q.length);
    drag.q = pokePull?.heldCoordinates(drag.dx, drag.dy, this.settings, out) ?? null;
    panel.clipStartMs = drag.pressedAtMs - 1000 * drag.clipTime; // from now on the clock follows the drag
    panel.setMessage(drag.q ? "" : nothingMoves());
    panel.requestDraw();
  }

  release(drag) {
    const { panel } = this;
    panel.repeat = !panel.prefersReducedMotion;
    if (drag.q) {
      this.add(pokeFromDrag({ x: drag.x, y: drag.y }, drag.clipTime, drag.samples, panel.duration - drag.clipTime));
      panel.play();
    } else this.updateButtons();
  }

  // -- keyboard ------------------------------------------------------------------------------------------

  /** Handle a key. Returns whether the widget used it. */
  onKey(event) {
    if (event.target === this.panel.canvas && this.onCanvasKey(event)) return true;
    const step = historyKey(event);
    if (step) this[step]();
    else if (event.key === "Delete" || event.key === "Backspace") this.remove();
    else if (event.key === "Escape" && this.selected >= 0) this.select(-1);
    else if (event.key === " " && event.target === this.timeline.root) this.panel.toggle();
    else return false;
    return true;
  }

  onCanvasKey(event) {
    const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    if (direction) {
      const [width, height] = this.panel.imageSize;
      const [ux, uy] = [direction[0], (direction[1] * width) / height];
      if (event.shiftKey) this.pullWithKey(KEY_PULL * ux, KEY_PULL * uy);
      else {
        this.cursor.x = Math.min(Math.max(this.cursor.x + CURSOR_STEP * ux, 0), 1);
        this.cursor.y = Math.min(Math.max(this.cursor.y + CURSOR_STEP * uy, 0), 1);
        this.drawArrows();
      }
    } else if (event.key === " ") this.panel.toggle();
    else if (event.key === "Home") this.panel.seek(0);
    else if (event.key === "End") this.panel.seek(this.panel.duration);
    else return false;
    return true;
  }

  pullWithKey(dx, dy) {
    const { panel, cursor } = this;
    if (!this.modes) return;
    if (!findPull(this.modes, cursor.x, cursor.y)) return panel.setMessage(nothingMoves());
    if (panel.time > panel.duration - 1.5 / this.settings.fps) panel.seek(0);
    panel.repeat = !panel.prefersReducedMotion;
    this.add({ ...cursor, dx: clamp(dx), dy: clamp(dy), time: panel.time, hold: KEY_HOLD, kind: "pull", path: [] });
    panel.play();
  }
}

const clamp = (value) => Math.min(Math.max(value, -1), 1);
