// The live widget of Modal Force: drag in the picture to poke it; the pokes go, as JSON, into the node's text widget,
// which is the only state.

import { ForceEditor } from "./force_editor.js";
import { Arrow, makeButton } from "./live_panel.js";
import { pokeMotion } from "./poke.js";
import { PokeTimeline } from "./poke_timeline.js";
import { formatPokes, parsePokes, pokeOf, pullAt } from "./poke_list.js";

const HISTORY = 50;
const TAP_PIXELS = 4; // less than this is no drag
const CURSOR_STEP = 0.02; // of the picture's width
const KEY_PULL = 0.06;
const KEY_HOLD = 0.2;
const LABEL =
  "Photo to poke. Drag it to pull, hold and let go. Keyboard: arrow keys move the point, Shift and an arrow key pull " +
  "there, Space plays, Delete removes the chosen poke, Control Z takes the last change back.";

export class PokeEditor extends ForceEditor {
  constructor(node, hint) {
    super(node, hint, { testid: "gid-modal-view", label: LABEL, names: ["pokes"] });
    this.pokes = [];
    this.selected = -1;
    this.past = [];
    this.cursor = { x: 0.5, y: 0.5 };

    const { panel } = this;
    this.timeline = new PokeTimeline({
      seek: (time) => panel.seek(time),
      select: (index) => this.select(index),
      remove: () => this.remove(),
      move: (index, time) => this.move(index, time),
    });
    panel.stage.after(this.timeline.root);
    this.undoButton = makeButton("undo", "Undo", "Undo the last change (Ctrl+Z)", () => this.undo());
    this.deleteButton = makeButton("delete", "Delete", "Delete the chosen poke (Delete)", () => this.remove());
    this.clearButton = makeButton("clear", "Clear", "Clear: delete all pokes", () => this.commit([]));
    panel.bar.append(this.undoButton, this.deleteButton, this.clearButton);
    this.forces = [new Arrow(panel), new Arrow(panel), new Arrow(panel)];
    this.chosen = new Arrow(panel, "faint");
    this.pointer = new Arrow(panel);

    panel.onframe = (time) => this.drawn(time);
    panel.canvas.addEventListener("focus", () => this.drawArrows());
    panel.canvas.addEventListener("blur", () => this.drawArrows());
    this.poll();
  }

  get worthPlaying() {
    return this.pokes.length > 0;
  }

  resized() {
    this.drawArrows();
  }

  /** Everything that follows from the widgets' values. */
  refresh() {
    const { pokes, error } = parsePokes(this.values.pokes);
    this.pokes = pokes;
    this.error = error;
    if (this.selected >= pokes.length) this.selected = -1;
    this.settings = this.readSettings();
    if (this.modes) {
      try {
        this.motion = pokeMotion(this.modes, pokes, this.settings);
        if (this.motion.still.length) this.error ||= `Poke ${this.motion.still[0] + 1}: nothing moves there`;
      } catch (problem) {
        this.motion = null;
        this.error ||= problem.message;
      }
    }
    this.timeline.show(pokes, this.panel.duration, this.settings.fps, this.selected);
    this.buttons();
    this.drawArrows();
    this.panel.request();
  }

  fill(time, q) {
    if (this.motion) this.motion.at(time, q);
    else q.fill(0);
    const held = this.drag?.q;
    if (held) for (let i = 0; i < q.length; i++) q[i] += held[i];
  }

  drawn(time) {
    this.timeline.setTime(time);
    this.drawArrows();
  }

  /** The forces that act at this moment, the chosen poke, and the keyboard's point. */
  drawArrows() {
    const { time } = this.panel;
    let used = 0;
    for (const poke of this.pokes) {
      const pull = used < this.forces.length ? pullAt(poke, time - poke.time) : null;
      if (pull) this.forces[used++].show(poke.x, poke.y, poke.x + pull[0], poke.y + pull[1]);
    }
    if (this.drag && used < this.forces.length) {
      const { x, y, dx, dy } = this.drag;
      this.forces[used++].show(x, y, x + dx, y + dy);
    }
    for (; used < this.forces.length; used++) this.forces[used].hide();
    const poke = this.pokes[this.selected];
    if (poke && !this.drag) this.chosen.show(poke.x, poke.y, poke.x + poke.dx, poke.y + poke.dy);
    else this.chosen.hide();
    const { x, y } = this.cursor;
    if (this.panel.canvas.matches(":focus-visible") && !this.drag) this.pointer.show(x, y, x, y);
    else this.pointer.hide();
  }

  // -- changes -------------------------------------------------------------------------------------------

  commit(pokes, selected = -1) {
    if (this.node.locked("pokes")) return this.panel.say("The pokes come in through a link; change them where it begins.");
    this.past.push(String(this.values.pokes ?? ""));
    if (this.past.length > HISTORY) this.past.shift();
    this.selected = selected;
    this.node.write("pokes", formatPokes(pokes));
    this.poll();
    this.buttons();
    this.node.changed();
  }

  undo() {
    if (!this.past.length || this.node.locked("pokes")) return;
    this.selected = -1;
    this.node.write("pokes", this.past.pop());
    this.poll();
    this.buttons();
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
    this.timeline.mark(index);
    this.buttons();
    this.drawArrows();
  }

  buttons() {
    const locked = this.node.locked("pokes");
    this.undoButton.disabled = locked || !this.past.length;
    this.deleteButton.disabled = locked || this.selected < 0;
    this.clearButton.disabled = locked || !this.pokes.length;
    if (this.panel.packet && !this.drag) {
      const idle = this.pokes.length || locked ? "" : "Drag the picture to poke it";
      this.panel.say(this.error || idle, Boolean(this.error));
    }
  }

  // -- pointer -------------------------------------------------------------------------------------------

  at(event) {
    const box = this.panel.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  press(event) {
    const { panel } = this;
    const [x, y] = this.at(event).map((value) => Math.min(Math.max(value, 0), 1));
    // A press at the very end begins the clip again.
    if (panel.time > panel.duration - 1.5 / this.settings.fps) panel.seek(0);
    this.drag = {
      id: event.pointerId, pressed: event.timeStamp, from: [event.clientX, event.clientY], moved: false,
      x, y, dx: 0, dy: 0, time: panel.time, samples: [[0, 0, 0]], q: null,
    };
    this.cursor = { x, y };
    this.select(-1);
  }

  dragging(event) {
    const { drag, panel } = this;
    if (event.type === "pointermove" || event.type === "pointerup") this.pull(event);
    if (event.type === "pointermove") return;
    this.drag = null;
    panel.held = undefined;
    if (event.type === "pointerup" && drag.moved) this.release(drag);
    else this.buttons();
    panel.request();
  }

  pull(event) {
    const { drag, panel } = this;
    drag.moved ||= Math.hypot(event.clientX - drag.from[0], event.clientY - drag.from[1]) >= TAP_PIXELS;
    if (!drag.moved) return;
    const [x, y] = this.at(event);
    drag.dx = clamp(x - drag.x);
    drag.dy = clamp(y - drag.y);
    drag.samples.push([(event.timeStamp - drag.pressed) / 1000, drag.dx, drag.dy]);
    const pull = this.modes.pullOf(drag.x, drag.y);
    drag.q = pull?.hold(drag.dx, drag.dy, this.settings, drag.q ?? new Float64Array(panel.q.length)) ?? null;
    panel.held = drag.pressed - 1000 * drag.time; // from now on the clock runs with the hand
    panel.say(drag.q ? "" : "Nothing moves there");
    panel.request();
  }

  release(drag) {
    const { panel } = this;
    panel.repeat = !panel.still;
    if (drag.q) {
      this.add(pokeOf({ x: drag.x, y: drag.y }, drag.time, drag.samples, panel.duration - drag.time));
      panel.play();
    } else this.buttons();
  }

  // -- keyboard ------------------------------------------------------------------------------------------

  /** Whether it was one of ours. */
  key(event) {
    if (event.target === this.panel.canvas && this.canvasKey(event)) return true;
    if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "z") {
      this.undo();
      // ComfyUI looks at the key a frame later, however early this stops: it would undo the graph as well.
      Object.defineProperty(event, "key", { value: "Unidentified" });
    } else if (event.key === "Delete" || event.key === "Backspace") this.remove();
    else if (event.key === "Escape" && this.selected >= 0) this.select(-1);
    else if (event.key === " " && event.target === this.timeline.root) this.panel.toggle();
    else return false;
    return true;
  }

  canvasKey(event) {
    const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    if (direction) {
      const [width, height] = this.panel.pictureSize;
      const [ux, uy] = [direction[0], (direction[1] * width) / height];
      if (event.shiftKey) this.keyPull(KEY_PULL * ux, KEY_PULL * uy);
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

  keyPull(dx, dy) {
    const { panel, cursor } = this;
    if (!this.modes) return;
    if (!this.modes.pullOf(cursor.x, cursor.y)) return panel.say("Nothing moves there");
    if (panel.time > panel.duration - 1.5 / this.settings.fps) panel.seek(0);
    panel.repeat = !panel.still;
    this.add({ ...cursor, dx: clamp(dx), dy: clamp(dy), time: panel.time, hold: KEY_HOLD, kind: "pull", path: [] });
    panel.play();
  }
}

const clamp = (value) => Math.min(Math.max(value, -1), 1);
