// The modes of a volume: what a packet says of how its photo can move, and where a pull of a point holds them, as
// gid_core/dynamics/poke.py computes it. Pure maths: no DOM, no ComfyUI.

const STILL = 0.02; // a point moves if it does so by more than this share of the picture's 99th percentile
const SEARCH = 0.02; // how far from a still point a moving one is looked for, as a share of the width
const SOFTNESS = 0.005;
const KEPT_PULLS = 32;

/** Factor that keeps peak x factor below the limit. */
export const softLimit = (peak, limit) => (1 + (peak / limit) ** 4) ** -0.25;

/** What a packet (see live_packet.js) says of how its photo can move; all in pixels of the volume's own grid. */
export class Modes {
  /** @param {{header: object, values: Float32Array, frequencies: Float64Array}} packet */
  constructor({ header, values, frequencies }) {
    [this.rows, this.columns] = header.grid;
    [this.height, this.width] = header.volume_size;
    this.values = values; // [n, rows, columns, 4]
    this.omega = frequencies.map((f) => 2 * Math.PI * f);
    this.count = frequencies.length;
    this.pixels = this.rows * this.columns;
    this.period = header.period;
    this.activity = this.#activity();
    this.least = STILL * quantile(this.activity, 0.99);
    this.pulls = new Map();
  }

  /** (sum_k |S_k(p)|^2)^(1/2) of each pixel of the grid. */
  #activity() {
    const { pixels, values } = this;
    const sums = new Float32Array(pixels);
    for (let i = 0; i < values.length; i += 4) {
      sums[(i >> 2) % pixels] += values[i] ** 2 + values[i + 1] ** 2 + values[i + 2] ** 2 + values[i + 3] ** 2;
    }
    return sums.map(Math.sqrt);
  }

  /** Corners around a place between pixel centers, as four offsets into a map and their weights. */
  #corners(column, row) {
    const left = Math.min(Math.floor(column), Math.max(this.columns - 2, 0));
    const top = Math.min(Math.floor(row), Math.max(this.rows - 2, 0));
    const [u, v] = [column - left, row - top];
    const right = Math.min(left + 1, this.columns - 1);
    const bottom = Math.min(top + 1, this.rows - 1);
    const offsets = [[left, top], [right, top], [left, bottom], [right, bottom]].map(([x, y]) => y * this.columns + x);
    return [offsets, [(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v]];
  }

  #place(x, y) {
    const inside = (value, size) => Math.min(Math.max(value * size - 0.5, 0), size - 1);
    return [inside(x, this.columns), inside(y, this.rows)];
  }

  /** S of each mode at a place of the grid: Float64Array [n, 4]. */
  sample(column, row) {
    const [offsets, weights] = this.#corners(column, row);
    const result = new Float64Array(4 * this.count);
    for (let i = 0; i < result.length; i++) {
      const base = 4 * (i >> 2) * this.pixels + (i & 3);
      for (let c = 0; c < 4; c++) result[i] += weights[c] * this.values[base + 4 * offsets[c]];
    }
    return result;
  }

  /** How far the picture moves at fractions (x, y): [dx, dy] as fractions of its width and height. */
  displacementAt(x, y, q) {
    const s = this.sample(...this.#place(x, y));
    let [dx, dy] = [0, 0];
    for (let k = 0; k < this.count; k++) {
      const [re, im] = [q[2 * k], q[2 * k + 1]];
      dx += s[4 * k] * re - s[4 * k + 1] * im;
      dy += s[4 * k + 2] * re - s[4 * k + 3] * im;
    }
    return [dx / this.width, dy / this.height];
  }

  /** Where a poke takes hold: [column, row] of the grid, or null if nothing moves there. */
  findPoint(x, y) {
    const [column, row] = this.#place(x, y);
    const [offsets, weights] = this.#corners(column, row);
    const here = offsets.reduce((sum, offset, c) => sum + weights[c] * this.activity[offset], 0);
    if (here > this.least) return [column, row];
    const reach = SEARCH * this.columns;
    let [best, found] = [this.least, null];
    for (let r = Math.max(Math.ceil(row - reach), 0); r <= Math.min(row + reach, this.rows - 1); r++) {
      for (let c = Math.max(Math.ceil(column - reach), 0); c <= Math.min(column + reach, this.columns - 1); c++) {
        const activity = this.activity[r * this.columns + c];
        if ((r - row) ** 2 + (c - column) ** 2 <= reach ** 2 && activity > best) [best, found] = [activity, [c, r]];
      }
    }
    return found;
  }

  /** The pull of the point at fractions (x, y), or null if nothing moves there. */
  pullOf(x, y) {
    const point = this.findPoint(x, y);
    if (!point) return null;
    const key = point.join();
    if (!this.pulls.has(key)) {
      this.pulls.set(key, new Pull(this, point));
      if (this.pulls.size > KEPT_PULLS) this.pulls.delete(this.pulls.keys().next().value);
    }
    return this.pulls.get(key);
  }
}

/** The value below which a share of the numbers lie, interpolated as numpy does. */
function quantile(numbers, share) {
  const sorted = Float32Array.from(numbers).sort();
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  return sorted[low] + (at - low) * (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]);
}

/** Where a pull of one point by any D holds the modes (gid_core/dynamics/poke.py). */
export class Pull {
  constructor(modes, [column, row]) {
    this.modes = modes;
    this.s = modes.sample(column, row);
    this.energy = this.s.reduce((sum, value) => sum + value * value, 0);
    this.square = this.#square();
  }

  /** The field of conj(D . S(p)) is linear in D, so its length squared is made of three maps: [xx, 2 xy, yy]. */
  #square() {
    const { s, modes } = this;
    const { pixels, values, count } = modes;
    const fields = new Float32Array(4 * pixels); // x by Dx, y by Dx, x by Dy, y by Dy
    for (let k = 0; k < count; k++) {
      const [a, b, c, d] = s.subarray(4 * k, 4 * k + 4);
      for (let p = 0, i = 4 * k * pixels; p < 4 * pixels; p += 4, i += 4) {
        fields[p] += values[i] * a + values[i + 1] * b;
        fields[p + 1] += values[i + 2] * a + values[i + 3] * b;
        fields[p + 2] += values[i] * c + values[i + 1] * d;
        fields[p + 3] += values[i + 2] * c + values[i + 3] * d;
      }
    }
    const square = new Float32Array(3 * pixels);
    for (let p = 0; p < pixels; p++) {
      const i = 4 * p;
      square[3 * p] = fields[i] ** 2 + fields[i + 1] ** 2;
      square[3 * p + 1] = 2 * (fields[i] * fields[i + 2] + fields[i + 1] * fields[i + 3]);
      square[3 * p + 2] = fields[i + 2] ** 2 + fields[i + 3] ** 2;
    }
    return square;
  }

  /** Modal coordinates that hold the point at (dx, dy), fractions; written into `out` [n, 2]. */
  hold(dx, dy, { strength = 1, maxDisplacement = 0.25 }, out) {
    const { s, square, modes } = this;
    const [x, y] = [dx * modes.width, dy * modes.height];
    const length = x * x + y * y;
    let moved = 0;
    for (let i = 0; i < out.length; i += 2) {
      out[i] = x * s[2 * i] + y * s[2 * i + 2];
      out[i + 1] = -(x * s[2 * i + 1] + y * s[2 * i + 3]);
      moved += out[i] ** 2 + out[i + 1] ** 2;
    }
    const weight = moved + SOFTNESS * length * this.energy;
    let gain = weight > 0 ? (strength * length) / weight : 0;
    let peak = 0;
    for (let p = 0; p < square.length; p += 3) {
      const value = x * x * square[p] + x * y * square[p + 1] + y * y * square[p + 2];
      if (value > peak) peak = value;
    }
    gain *= softLimit(Math.abs(gain) * Math.sqrt(peak), maxDisplacement * modes.width);
    for (let i = 0; i < out.length; i++) out[i] *= gain;
    return out;
  }
}
