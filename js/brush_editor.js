// The motion brush in the live picture: paint what moves, pin what must not, draw arrows. The only state is the JSON in
// the node's text widget `strokes`. What is painted sways as soon as the server has answered how.

import { DEFAULT_RADIUS, DEFAULT_SOFTNESS, DEFAULT_STIFFNESS, MAX_POSITION, MIN_POSITION } from "./constants.js";
import { BrushControls } from "./brush_controls.js";
import { LiveEditor } from "./live_editor.js";
import { Arrow, createButton, createSvgElement } from "./live_panel.js";
import { PaintLayer } from "./paint_layer.js";
import { formatStrokes, parseStrokes, shortenLine } from "./stroke_list.js";
import { TextHistory, historyKey } from "./text_history.js";
import { translate } from "./translate.js";

const MIN_STEP = 2; // pixels between two points of a stroke
const MIN_ARROW = 8; // pixels; a shorter arrow is a slip
const CURSOR_STEP = 0.02; // of the image's width
const SWAY_WIDGETS = ["gravity", "amplitude", "base_frequency", "seed", "grid"];

export class BrushEditor extends LiveEditor {
  #busy = false;
  #asked = ""; // what the server was last asked for
  #pictureUrl = "";
  #started = false;

  /**
   * As LiveEditor; further functions of the node are
   *   picture(): the URL of the picture that is connected, or ""
   *   loadPicture(url): a promise of its bitmap
   *   sway(request): a promise of the packet of what is painted; undefined if the node cannot tell before it runs
   */
  constructor(node, hint) {
    const label = translate(
      "brush_view",
      "Picture to paint motion on. Drag to paint. Keyboard: B, P, A and E choose the tool, brackets set the size of the " +
        "brush, arrow keys move it, Enter paints a dot, Space plays, Control Z undoes, Control Shift Z redoes.",
    );
    super(node, hint, { testid: "gid-brush-view", label, names: ["strokes", ...SWAY_WIDGETS] });
    this.strokes = [];
    this.text = "";
    this.error = "";
    this.controls = new BrushControls(() => this.#drawRing());
    this.history = new TextHistory();
    this.cursor = { x: 0.5, y: 0.5, shown: false };
    this.photo = null; // {bitmap, photoSize, size}
    this.digest = null; // of the node's last run
    this.shownText = ""; // the strokes of that run
    this.layer = new PaintLayer();
    this.arrows = [];
    this.drawnArrow = new Arrow(this.panel);
    this.#build();
    this.pollWidgets();
  }

  #build() {
    const { panel } = this;
    panel.imageBox.insertBefore(this.layer.canvas, panel.overlay);
    panel.stage.dataset.captureWheel = "true"; // while focused, the wheel is not for the graph in Nodes 2.0
    this.ring = createSvgElement("circle", { class: "ring", visibility: "hidden" });
    panel.overlay.append(this.ring);
    panel.stage.after(...this.controls.rows);
    const undoTip = translate("undo_tip", "Undo the last change (Ctrl+Z)");
    const clearTip = translate("clear_strokes_tip", "Clear: delete all strokes");
    this.undoButton = createButton("undo", "", undoTip, () => this.undo());
    this.redoButton = createButton("redo", "", translate("redo_tip", "Redo (Ctrl+Shift+Z)"), () => this.redo());
    this.clearButton = createButton("clear", "", clearTip, () => this.commit([]));
    panel.bar.append(this.undoButton, this.redoButton, this.clearButton);

    const { canvas } = panel;
    canvas.addEventListener("pointermove", (event) => this.#moveCursor(event));
    canvas.addEventListener("pointerleave", () => this.#hideCursor());
    canvas.addEventListener("blur", () => this.#hideCursor());
    const onWheel = (event) => {
      if (document.activeElement !== canvas || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      event.stopPropagation();
      this.controls.resize(event.deltaY < 0 ? 1 : -1);
    };
    canvas.addEventListener("wheel", onWheel, { passive: false });
    const editor = this;
    canvas.gidBrush = Object.freeze({
      get segments() {
        return editor.layer.segments;
      },
      get previewed() {
        return !editor.#busy && editor.#asked === editor.#request() && editor.panel.packet?.header.bins > 0;
      },
      paintAt: (x, y) => editor.layer.at(x, y),
    });
  }

  get hasMotion() {
    return false;
  }

  // -- the picture -----------------------------------------------------------------------------------------

  /** Show the photo and the motion of a run of the node. */
  setPacket(packet, digest) {
    this.digest = digest;
    const { photo_size: photoSize, volume_size: size } = packet.header;
    this.#setPhoto({ bitmap: packet.bitmap, photoSize, size });
    this.#asked = "";
    this.shownText = String(this.node.read("strokes") ?? "");
    this.#show(packet);
  }

  #show(packet) {
    super.setPacket(packet);
    if (packet.header.bins === 0) return;
    if (!this.#started && !this.panel.prefersReducedMotion) this.panel.play();
    this.#started = true;
  }

  #setPhoto(photo) {
    const before = this.photo?.photoSize;
    this.photo = photo;
    if (before?.join() === photo.photoSize.join()) return;
    this.layer.resize(photo.photoSize);
    this.layer.show(this.strokes);
  }

  /** Show a picture without motion. */
  #showStill() {
    const { bitmap, photoSize, size } = this.photo;
    const header = { grid: [1, 1], volume_size: size, photo_size: photoSize, fps: 30, period: 30, bins: 0, scales: [] };
    const none = { levels: new Int8Array(0), values: new Float32Array(0), frequencies: new Float64Array(0) };
    this.#show({ header, bitmap, ...none });
  }

  async #loadPicture(url) {
    const isFirst = this.#pictureUrl === "";
    this.#pictureUrl = url;
    if (!url) return;
    try {
      const bitmap = await this.node.loadPicture(url);
      const hasRun = isFirst && this.digest !== null; // of this picture
      if (url !== this.#pictureUrl || (hasRun && !this.node.sway)) return;
      if (!hasRun) this.digest = null;
      const size = [bitmap.height, bitmap.width];
      this.#setPhoto({ bitmap, photoSize: size, size });
      this.#asked = "";
      this.#showStill();
    } catch (error) {
      console.warn("gid: the connected picture is not shown:", error);
    }
  }

  pollWidgets() {
    super.pollWidgets();
    const url = this.node.picture?.() ?? "";
    if (url !== this.#pictureUrl) this.#loadPicture(url);
  }

  evaluate(time, q) {
    q.fill(0);
    this.modes?.addLoop(time, 1, q);
  }

  onResize() {
    this.#drawArrows();
    this.#drawRing();
  }

  refresh() {
    const text = String(this.values.strokes ?? "");
    if (text !== this.text) {
      const { strokes, error } = parseStrokes(text);
      Object.assign(this, { strokes, error, text });
      this.layer.show(strokes);
    }
    const { header } = this.panel.packet ?? {};
    if (header) this.panel.duration = header.period / header.fps;
    this.#updateControls();
    this.#drawArrows();
    this.panel.requestDraw();
    this.#preview();
  }

  /** What to ask the server for, as text; "" if nothing sways. */
  #request() {
    if (!this.node.sway || !this.photo || this.error) return "";
    if (this.digest === null && !this.strokes.some(({ kind }) => kind === "move")) return "";
    const settings = Object.fromEntries(SWAY_WIDGETS.map((name) => [name, this.values[name]]));
    return JSON.stringify({ strokes: this.text, size: this.photo.size, digest: this.digest, ...settings });
  }

  /** Let what is painted sway: one request at a time, and the latest after it. */
  async #preview() {
    const request = this.#request();
    if (!this.node.sway || this.#busy || request === this.#asked) return;
    this.#asked = request;
    if (request === "") {
      if (this.photo && this.panel.packet?.header.bins) this.#showStill();
      return;
    }
    this.#busy = true;
    let packet = null;
    try {
      packet = await this.node.sway(request);
    } catch (error) {
      if (this.#request() === request) this.panel.setMessage(error.message, true);
    }
    this.#busy = false;
    if (!this.photo || !this.panel.root.isConnected) return;
    if (packet) {
      packet.header.photo_size = this.photo.photoSize;
      this.#show({ ...packet, bitmap: this.photo.bitmap });
    }
    this.#preview();
  }

  // -- changes ---------------------------------------------------------------------------------------------

  /** Replace the strokes; `added` is the last of them if the others stay. */
  commit(strokes, added = null) {
    if (this.#locked()) return;
    this.history.push(this.text);
    Object.assign(this, { strokes, text: formatStrokes(strokes), error: "" });
    if (added) this.layer.add(added);
    else this.layer.show(strokes);
    this.node.write("strokes", this.text);
    this.pollWidgets();
    this.node.changed();
  }

  add(drawn) {
    const [stroke] = parseStrokes(formatStrokes([drawn])).strokes; // rounded as in the text
    this.commit([...this.strokes, stroke], stroke);
  }

  undo() {
    if (this.history.canUndo && !this.#locked()) this.#restore(this.history.undo(this.text));
  }

  redo() {
    if (this.history.canRedo && !this.#locked()) this.#restore(this.history.redo(this.text));
  }

  #restore(text) {
    this.node.write("strokes", text);
    this.pollWidgets();
    this.node.changed();
  }

  #locked() {
    if (!this.node.locked("strokes")) return false;
    const text = translate(
      "strokes_linked",
      "The strokes come through a link. Change them in the node that the link starts from.",
    );
    this.panel.setMessage(text);
    return true;
  }

  #updateControls() {
    const locked = this.node.locked("strokes");
    this.undoButton.disabled = locked || !this.history.canUndo;
    this.redoButton.disabled = locked || !this.history.canRedo;
    this.clearButton.disabled = locked || !(this.strokes.length || this.error);
    if (!this.panel.packet || this.drag) return;
    let hint = "";
    if (!this.strokes.length && !locked) hint = translate("paint_hint", "Paint what moves");
    else if (!this.node.sway && this.text !== this.shownText) {
      hint = translate("run_hint", "Run the workflow to see this motion");
    }
    this.panel.setMessage(this.error || hint, Boolean(this.error));
  }

  // -- drawing ---------------------------------------------------------------------------------------------

  #drawArrows() {
    const { arrows } = this.layer;
    while (this.arrows.length < arrows.length) this.arrows.push(new Arrow(this.panel, "drawn"));
    this.arrows.forEach((arrow, i) => {
      if (i < arrows.length) arrow.show(...arrows[i].points.flatMap(([x, y]) => [x, y]));
      else arrow.hide();
    });
  }

  #drawRing() {
    const [width, height] = this.panel.imageSize;
    const { x, y, shown } = this.cursor;
    const radius = this.controls.tool === "arrow" ? 3 : this.controls.brush.radius * Math.max(width, height);
    const attributes = { cx: x * width, cy: y * height, r: radius, visibility: shown ? "visible" : "hidden" };
    for (const [name, value] of Object.entries(attributes)) this.ring.setAttribute(name, value);
  }

  #moveCursor(event) {
    const [x, y] = this.positionOf(event);
    this.cursor = { x, y, shown: true };
    this.#drawRing();
  }

  #hideCursor() {
    this.cursor.shown = false;
    this.#drawRing();
  }

  /** A point of a stroke: [x, y, pressure]. */
  #pointOf(event) {
    const [x, y] = this.positionOf(event).map((value) => Math.min(Math.max(value, MIN_POSITION), MAX_POSITION));
    return [x, y, event.pointerType === "pen" ? Math.round(event.pressure * 100) / 100 : 1];
  }

  #strokeAt(point) {
    const { tool, brush } = this.controls;
    return { kind: tool, ...brush, points: [point] };
  }

  onDragStart(event) {
    const point = this.#pointOf(event);
    const stroke = this.#strokeAt(point);
    this.drag = { id: event.pointerId, stroke, last: [event.clientX, event.clientY] };
    this.panel.imageBox.classList.add("painting");
    this.panel.setMessage("");
    if (stroke.kind !== "arrow") this.layer.begin({ ...stroke, points: [point] });
  }

  onDrag(event) {
    const { stroke, last } = this.drag;
    if (event.type === "pointermove") {
      for (const each of event.getCoalescedEvents?.() ?? [event]) {
        if (Math.hypot(each.clientX - last[0], each.clientY - last[1]) < MIN_STEP) continue;
        last.splice(0, 2, each.clientX, each.clientY);
        const point = this.#pointOf(each);
        if (stroke.kind !== "arrow") this.layer.extend([stroke.points.at(-1), point]);
        stroke.points.push(point);
      }
      if (stroke.kind === "arrow") this.#drawNewArrow(stroke);
      return;
    }
    this.drag = null;
    this.drawnArrow.hide();
    this.panel.imageBox.classList.remove("painting");
    this.layer.cancel();
    if (event.type === "pointerup") this.#finish(stroke);
    this.#updateControls();
  }

  #drawNewArrow({ points: [[x, y], ...rest] }) {
    const [toX, toY] = rest.at(-1) ?? [x, y];
    this.drawnArrow.show(x, y, toX, toY);
    const [width, height] = this.panel.imageSize;
    const percent = ((100 * Math.hypot((toX - x) * width, (toY - y) * height)) / width).toFixed(1);
    this.panel.setMessage(this.node.sway ? translate("reach", "Sways {percent} % of the width", { percent }) : "");
  }

  #finish(stroke) {
    if (stroke.kind !== "arrow") {
      return this.add({ ...stroke, points: shortenLine(stroke.points, stroke.radius, this.photo.photoSize) });
    }
    const [start, end] = [stroke.points[0], stroke.points.at(-1)].map(([x, y]) => [x, y, 1]);
    const [width, height] = this.panel.imageSize;
    if (Math.hypot((end[0] - start[0]) * width, (end[1] - start[1]) * height) < MIN_ARROW) return;
    this.add({
      kind: "arrow", points: [start, end], radius: DEFAULT_RADIUS, softness: DEFAULT_SOFTNESS,
      stiffness: DEFAULT_STIFFNESS,
    });
  }

  // -- keyboard --------------------------------------------------------------------------------------------

  /** Handle a key. Returns whether the widget used it. */
  onKey(event) {
    const step = historyKey(event);
    if (step) this[step]();
    else if (event.target !== this.panel.canvas || event.ctrlKey || event.metaKey || event.altKey) return false;
    else return this.#onCanvasKey(event.key);
    return true;
  }

  #onCanvasKey(key) {
    const [width, height] = this.panel.imageSize;
    const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
    const { cursor } = this;
    if (key === " ") this.panel.toggle();
    else if (key === "Enter" && this.controls.tool !== "arrow" && this.photo) {
      this.add(this.#strokeAt([cursor.x, cursor.y, 1]));
    } else if (direction) {
      cursor.x = Math.min(Math.max(cursor.x + CURSOR_STEP * direction[0], 0), 1);
      cursor.y = Math.min(Math.max(cursor.y + (CURSOR_STEP * direction[1] * width) / height, 0), 1);
      cursor.shown = true;
      this.#drawRing();
    } else return this.controls.onKey(key);
    return true;
  }
}
