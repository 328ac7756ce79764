// The modes of a volume: how a photo can move, according to its packet (see live_packet.js), computed as in
// gid_core/dynamics/modes.py. Pure maths: no DOM, no ComfyUI.

import {
  PEAK_FACTOR, SEARCH_RADIUS, STATIC_QUANTILE, STATIC_THRESHOLD, STEP_ENERGY_BINS, STEP_ENERGY_SIDE,
} from "./constants.js";

/** Factor that keeps peak x factor below the limit. */
export const softLimit = (peak, limit) => (1 + (peak / limit) ** 4) ** -0.25;

/** The modes of a packet. Displacements are in pixels of the volume's own grid; bins are 1 to n. */
export class Modes {
  #stepEnergy = null;
  #alignmentSums = null;

  /** @param {{header: object, values: Float32Array, frequencies: Float64Array}} packet */
  constructor({ header, values, frequencies }) {
    [this.rows, this.columns] = header.grid; // of the packet
    [this.height, this.width] = header.volume_size;
    this.values = values; // [n, rows, columns, 4]
    this.frequencies = frequencies; // Hz
    this.omega = frequencies.map((f) => 2 * Math.PI * f); // rad/s
    this.count = frequencies.length;
    this.pixels = this.rows * this.columns;
    this.period = header.period;
    this.activity = this.#computeActivity();
    this.staticThreshold = STATIC_THRESHOLD * quantile(this.activity, STATIC_QUANTILE);
  }

  /** (sum_k |S_k(p)|^2)^(1/2) of each pixel of the grid. */
  #computeActivity() {
    const { pixels, values } = this;
    const sums = new Float32Array(pixels);
    for (let i = 0; i < values.length; i += 4) {
      sums[(i >> 2) % pixels] += values[i] ** 2 + values[i + 1] ** 2 + values[i + 2] ** 2 + values[i + 3] ** 2;
    }
    return sums.map(Math.sqrt);
  }

  /** Rms displacement in the loop of the pixel that moves most, in pixels. */
  get maxRmsDisplacement() {
    return (this.activity.reduce((a, b) => Math.max(a, b), 0) * Math.SQRT2) / this.period;
  }

  /** |q_k| of each mode in the volume's loop. */
  get loopMagnitude() {
    return 2 / this.period;
  }

  /** Add `level` times the loop of gid_core, q(t) - q(0), which begins with the photo, to coordinates q [n, 2]. */
  addLoop(seconds, level, q) {
    const scale = level * this.loopMagnitude;
    this.omega.forEach((w, k) => {
      q[2 * k] += scale * (Math.cos(w * seconds) - 1);
      q[2 * k + 1] += scale * Math.sin(w * seconds);
    });
  }

  /** Factor of the soft limit for a random force that moves `strength` times as far as the loop. */
  limitFactor(strength, maxDisplacement) {
    return softLimit(strength * PEAK_FACTOR * this.maxRmsDisplacement, maxDisplacement * this.width);
  }

  /** u_k: the phase in which mode k moves along a direction, and how well it can: Float64Array [n, 2]. */
  alignment(directionDegrees) {
    const [x, y] = [Math.cos((directionDegrees * Math.PI) / 180), Math.sin((directionDegrees * Math.PI) / 180)];
    const sums = (this.#alignmentSums ??= this.#computeAlignmentSums());
    const result = new Float64Array(2 * this.count);
    for (let k = 0; k < this.count; k++) {
      const length = sums[5 * k + 4];
      if (!(length > 0)) continue;
      result[2 * k] = (x * sums[5 * k] + y * sums[5 * k + 2]) / length;
      result[2 * k + 1] = -(x * sums[5 * k + 1] + y * sums[5 * k + 3]) / length;
    }
    return result;
  }

  /** For each mode, sums over pixels weighted by activity: x_re, x_im, y_re, y_im and the length of the slice. */
  #computeAlignmentSums() {
    const { values, activity, pixels, count } = this;
    const sums = new Float64Array(5 * count);
    for (let k = 0; k < count; k++) {
      for (let p = 0, i = 4 * k * pixels; p < pixels; p++, i += 4) {
        const [a, b, c, d] = [values[i], values[i + 1], values[i + 2], values[i + 3]];
        sums[5 * k] += a * activity[p];
        sums[5 * k + 1] += b * activity[p];
        sums[5 * k + 2] += c * activity[p];
        sums[5 * k + 3] += d * activity[p];
        sums[5 * k + 4] += Math.sqrt(a * a + b * b + c * c + d * d) * activity[p];
      }
    }
    return sums;
  }

  /** G: a step d = (re, im, ...) of the modes moves the photo by d G d; Float64Array [2 n, 2 n]. */
  get stepEnergy() {
    return (this.#stepEnergy ??= this.#computeStepEnergy());
  }

  #computeStepEnergy() {
    const { values, activity, rows, columns, pixels, count } = this;
    const width = 2 * count;
    const stride = Math.ceil((Math.max(rows, columns) / STEP_ENERGY_SIDE) * Math.max(1, count / STEP_ENERGY_BINS));
    const gram = new Float64Array(width * width);
    const row = new Float64Array(width);
    const add = (p, axis) => {
      for (let k = 0, i = 4 * p + 2 * axis; k < count; k++, i += 4 * pixels) {
        row[2 * k] = values[i] * activity[p];
        row[2 * k + 1] = -values[i + 1] * activity[p];
      }
      for (let a = 0; a < width; a++) for (let b = 0; b <= a; b++) gram[a * width + b] += row[a] * row[b];
    };
    for (let y = 0; y < rows; y += stride) {
      for (let x = 0; x < columns; x += stride) for (const axis of [0, 1]) add(y * columns + x, axis);
    }
    for (let a = 0; a < width; a++) for (let b = 0; b < a; b++) gram[b * width + a] = gram[a * width + b];
    return gram;
  }

  /** Four pixels around a position, as offsets into a map, and their bilinear weights. */
  #corners(column, row) {
    const left = Math.min(Math.floor(column), Math.max(this.columns - 2, 0));
    const top = Math.min(Math.floor(row), Math.max(this.rows - 2, 0));
    const [u, v] = [column - left, row - top];
    const right = Math.min(left + 1, this.columns - 1);
    const bottom = Math.min(top + 1, this.rows - 1);
    const offsets = [[left, top], [right, top], [left, bottom], [right, bottom]].map(([x, y]) => y * this.columns + x);
    return [offsets, [(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v]];
  }

  /** [column, row] of the grid at fractions (x, y) of the image. */
  #toGrid(x, y) {
    const toPixels = (value, size) => Math.min(Math.max(value * size - 0.5, 0), size - 1);
    return [toPixels(x, this.columns), toPixels(y, this.rows)];
  }

  /** S of each mode at a position of the grid, bilinear: Float64Array [n, 4]. */
  sample(column, row) {
    const [offsets, weights] = this.#corners(column, row);
    const result = new Float64Array(4 * this.count);
    for (let i = 0; i < result.length; i++) {
      const base = 4 * (i >> 2) * this.pixels + (i & 3);
      for (let c = 0; c < 4; c++) result[i] += weights[c] * this.values[base + 4 * offsets[c]];
    }
    return result;
  }

  /** Displacement at fractions (x, y) of the image: [dx, dy] as fractions of its width and height. */
  displacementAt(x, y, q) {
    const s = this.sample(...this.#toGrid(x, y));
    let [dx, dy] = [0, 0];
    for (let k = 0; k < this.count; k++) {
      const [re, im] = [q[2 * k], q[2 * k + 1]];
      dx += s[4 * k] * re - s[4 * k + 1] * im;
      dy += s[4 * k + 2] * re - s[4 * k + 3] * im;
    }
    return [dx / this.width, dy / this.height];
  }

  /** The point that a poke at fractions (x, y) moves: [column, row] of the grid, or null if nothing moves there. */
  findPoint(x, y) {
    const [column, row] = this.#toGrid(x, y);
    const [offsets, weights] = this.#corners(column, row);
    const activityHere = offsets.reduce((sum, offset, c) => sum + weights[c] * this.activity[offset], 0);
    if (activityHere > this.staticThreshold) return [column, row];
    const radius = SEARCH_RADIUS * this.columns;
    let [maxActivity, point] = [this.staticThreshold, null];
    for (let r = Math.max(Math.ceil(row - radius), 0); r <= Math.min(row + radius, this.rows - 1); r++) {
      for (let c = Math.max(Math.ceil(column - radius), 0); c <= Math.min(column + radius, this.columns - 1); c++) {
        const activity = this.activity[r * this.columns + c];
        const inside = (r - row) ** 2 + (c - column) ** 2 <= radius ** 2;
        if (inside && activity > maxActivity) [maxActivity, point] = [activity, [c, r]];
      }
    }
    return point;
  }
}

/** A quantile of numbers, interpolated linearly as in numpy. */
function quantile(numbers, fraction) {
  const sorted = Float32Array.from(numbers).sort();
  const position = fraction * (sorted.length - 1);
  const low = Math.floor(position);
  return sorted[low] + (position - low) * (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]);
}
