// What the strokes of the motion brush say of every pixel, computed as in gid_core/sources/motion_brush.py. A stroke
// that is being drawn costs what its latest part covers. Pure maths: no DOM, no ComfyUI.

import { ERASED, MIN_PRESSURE, MIN_RADIUS_PIXELS, MIN_SOFTNESS } from "./constants.js";

/** Of `move` or `pin` at a pixel, what remains of it and comes to it where a stroke covers the pixel by `weight`. */
export const movedBy = (kind, weight, move) =>
  kind === "move" ? Math.max(move, weight) : kind === "erase" ? move * (1 - weight) : move;
export const pinnedBy = (kind, weight, pin) => (kind === "pin" ? Math.max(pin, weight) : pin * (1 - weight));

/** The lines between a stroke's points: [x, y, radius] of both ends in units of the longer side. */
function segmentsOf({ points, radius }, [height, width]) {
  const longer = Math.max(height, width);
  const ends = points.map(([x, y, pressure]) => [
    (x * width) / longer,
    (y * height) / longer,
    Math.max(radius * Math.max(pressure, MIN_PRESSURE), MIN_RADIUS_PIXELS / longer),
  ]);
  return ends.length === 1 ? [[ends[0], ends[0]]] : ends.slice(1).map((end, i) => [ends[i], end]);
}

/** 1 - d / r at a position in units of the longer side, with the distance d to a line. */
function depthAt([[x0, y0, r0], [x1, y1, r1]], x, y) {
  const [dx, dy] = [x1 - x0, y1 - y0];
  const length = dx * dx + dy * dy;
  const along = length > 0 ? Math.min(Math.max(((x - x0) * dx + (y - y0) * dy) / length, 0), 1) : 0;
  const [u, v] = [x - x0 - along * dx, y - y0 - along * dy];
  return 1 - Math.sqrt(u * u + v * v) / (r0 + along * (r1 - r0));
}

function fade({ softness }, depth) {
  const c = Math.min(Math.max(depth / Math.max(softness, MIN_SOFTNESS), 0), 1);
  return c * c * (3 - 2 * c);
}

/** How far a stroke covers a point in fractions of the image, 0 to 1. */
export function coverageAt(stroke, [px, py], size) {
  const longer = Math.max(...size);
  const [x, y] = [(px * size[1]) / longer, (py * size[0]) / longer];
  return fade(stroke, Math.max(...segmentsOf(stroke, size).map((segment) => depthAt(segment, x, y))));
}

/** A rectangle of pixels, ends excluded. */
const union = (a, b) =>
  a === null
    ? b
    : {
        left: Math.min(a.left, b.left), top: Math.min(a.top, b.top),
        right: Math.max(a.right, b.right), bottom: Math.max(a.bottom, b.bottom),
      };

/** How far one stroke covers each pixel; it grows with the stroke. */
export class Coverage {
  constructor(stroke, size) {
    this.stroke = stroke;
    this.size = size;
    this.depth = new Float64Array(size[0] * size[1]);
    this.window = null; // of all lines so far
    this.segments = 0;
    this.add(stroke.points);
  }

  /** Add the lines between further points, the first of which is the last so far. Returns what they may cover. */
  add(points) {
    const [height, width] = this.size;
    const longer = Math.max(height, width);
    let added = null;
    for (const segment of segmentsOf({ ...this.stroke, points }, this.size)) {
      const limit = (value, side) => Math.min(Math.max(value, 0), side);
      const low = (axis) => Math.floor(Math.min(...segment.map((end) => end[axis] - end[2])) * longer);
      const high = (axis) => Math.ceil(Math.max(...segment.map((end) => end[axis] + end[2])) * longer);
      const part = {
        left: limit(low(0), width), top: limit(low(1), height),
        right: limit(high(0), width), bottom: limit(high(1), height),
      };
      for (let row = part.top; row < part.bottom; row++) {
        for (let column = part.left; column < part.right; column++) {
          const depth = depthAt(segment, (column + 0.5) / longer, (row + 0.5) / longer);
          const i = row * width + column;
          if (depth > this.depth[i]) this.depth[i] = depth;
        }
      }
      added = union(added, part);
      this.segments += 1;
    }
    this.window = union(this.window, added);
    return added;
  }

  weight(i) {
    return this.depth[i] > 0 ? fade(this.stroke, this.depth[i]) : 0;
  }
}

/** What all finished strokes paint. */
export class BrushMaps {
  constructor([height, width]) {
    this.size = [height, width];
    this.segments = 0; // lines drawn since the beginning: a measure of the work
    this.clear();
  }

  clear() {
    const pixels = this.size[0] * this.size[1];
    this.move = new Float64Array(pixels);
    this.pin = new Float64Array(pixels);
    this.stiffness = new Float64Array(pixels).fill(1);
    this.arrows = [];
  }

  /** Draw a stroke over those before. */
  add(stroke) {
    if (stroke.kind === "arrow") {
      this.arrows.push(stroke);
      return;
    }
    const coverage = new Coverage(stroke, this.size);
    this.segments += coverage.segments;
    const { left, top, right, bottom } = coverage.window;
    for (let row = top; row < bottom; row++) {
      for (let column = left; column < right; column++) {
        const i = row * this.size[1] + column;
        const weight = coverage.weight(i);
        if (weight === 0) continue;
        this.move[i] = movedBy(stroke.kind, weight, this.move[i]);
        this.pin[i] = pinnedBy(stroke.kind, weight, this.pin[i]);
        if (stroke.kind !== "move") continue;
        this.stiffness[i] += (weight / this.move[i]) * (stroke.stiffness - this.stiffness[i]);
      }
    }
    if (stroke.kind === "erase") {
      this.arrows = this.arrows.filter(({ points }) => !(coverageAt(stroke, points[0], this.size) > ERASED));
    }
  }
}
