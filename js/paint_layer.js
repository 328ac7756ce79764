// The paint of the motion brush over a picture, on a canvas of its own: what moves in a color for its stiffness, what
// is pinned in red.

import { BrushMaps, Coverage, movedBy, pinnedBy } from "./motion_brush.js";
import { createElement } from "./live_panel.js";

const MAX_SIDE = 256; // pixels of the longer side of the maps
const OPACITY = 150; // of full paint, 0 to 255
const SOFT = [64, 190, 255]; // colors by stiffness 0.1, 1 and 10
const USUAL = [96, 225, 110];
const STIFF = [255, 180, 50];
const PINNED = [235, 60, 70];

export class PaintLayer {
  #live = null; // the coverage of the stroke that is being drawn

  constructor() {
    this.canvas = createElement("canvas", { className: "gid-paint", attributes: { "aria-hidden": "true" } });
    this.context = this.canvas.getContext("2d");
    this.resize([9, 16]);
  }

  /** Begin anew for a picture of a size [height, width] in pixels. */
  resize([height, width]) {
    const scale = Math.min(1, MAX_SIDE / Math.max(height, width));
    const size = [height, width].map((side) => Math.max(1, Math.round(side * scale)));
    [this.canvas.height, this.canvas.width] = size;
    const segments = this.maps?.segments ?? 0;
    this.maps = new BrushMaps(size);
    this.maps.segments = segments;
    this.#live = null;
  }

  /** Lines drawn so far, again and again: a measure of the work. */
  get segments() {
    return this.maps.segments + (this.#live?.segments ?? 0);
  }

  get arrows() {
    return this.maps.arrows;
  }

  /** How far a point in fractions of the picture is painted: {move, pin}. */
  at(x, y) {
    const [height, width] = this.maps.size;
    const i = Math.floor(y * height) * width + Math.floor(x * width);
    return { move: this.maps.move[i], pin: this.maps.pin[i] };
  }

  /** Paint all strokes anew. */
  show(strokes) {
    this.maps.clear();
    this.#live = null;
    for (const stroke of strokes) this.maps.add(stroke);
    const [bottom, right] = this.maps.size;
    this.#paint({ left: 0, top: 0, right, bottom });
  }

  /** Paint one more stroke over the others. */
  add(stroke) {
    this.cancel();
    this.maps.add(stroke);
    if (stroke.kind !== "arrow") this.#paint(new Coverage(stroke, this.maps.size).window);
  }

  /** Show a stroke that is being drawn. */
  begin(stroke) {
    this.#live = new Coverage(stroke, this.maps.size);
    this.#paint(this.#live.window);
  }

  /** Show further lines of that stroke; the first point is its last one so far. */
  extend(points) {
    this.#paint(this.#live.add(points));
  }

  /** Remove the stroke that is being drawn. */
  cancel() {
    if (this.#live === null) return;
    const { window, segments } = this.#live;
    this.#live = null;
    this.maps.segments += segments;
    this.#paint(window);
  }

  #paint({ left, top, right, bottom }) {
    if (right <= left || bottom <= top) return;
    const { maps } = this;
    const live = this.#live;
    const image = this.context.createImageData(right - left, bottom - top);
    let byte = 0;
    for (let row = top; row < bottom; row++) {
      for (let column = left; column < right; column++, byte += 4) {
        const i = row * maps.size[1] + column;
        let [move, pin, stiffness] = [maps.move[i], maps.pin[i], maps.stiffness[i]];
        const weight = live?.weight(i) ?? 0;
        if (weight > 0) {
          const { kind } = live.stroke;
          move = movedBy(kind, weight, move);
          pin = pinnedBy(kind, weight, pin);
          if (kind === "move") stiffness += (weight / move) * (live.stroke.stiffness - stiffness);
        }
        const free = move * (1 - pin);
        const opacity = Math.max(free, pin);
        if (opacity <= 0) continue;
        const position = Math.log10(stiffness); // -1 to 1
        const end = position < 0 ? SOFT : STIFF;
        for (let c = 0; c < 3; c++) {
          const moving = USUAL[c] + Math.abs(position) * (end[c] - USUAL[c]);
          image.data[byte + c] = (moving * free + PINNED[c] * pin) / (free + pin);
        }
        image.data[byte + 3] = OPACITY * opacity;
      }
    }
    this.context.putImageData(image, left, top);
  }
}
