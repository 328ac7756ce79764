// Wind on the modes of a volume: the same wind as gid_core/dynamics/wind.py, where it is explained. Pure maths: no DOM, no
// ComfyUI. Tables are [frames, n, 2] for bins 1 to n.

import { dampingRates, readTable, simulate } from "./oscillators.js";
import { softLimit } from "./modes.js";

const ARROWS = 12;
const OCTAVES = 0.5;
const BELL = 0.25;
const GUSTS = Float64Array.from({ length: 8 }, (_, i) => 0.03 * (0.4 / 0.03) ** (i / 7));
const CORNER = 0.2;
const INTENSITY = 0.35;
const LEAN = 0.5;
const FADE_IN = 1;
const CALM = 5;
const LOOKED_AT = 160;
const PEAK = 3;
const TURN = 2 * Math.PI;

/**
 * The answer of a volume's modes to wind.
 * @param {import("./modes.js").Modes} modes
 * @param {{direction, strength, gustiness, numFrames, fps, seed, loops, damping, speed, maxDisplacement, integrator}} s
 * @returns {{at: (time: number, q: Float64Array) => void}}
 */
export function windMotion(modes, s) {
  const gamma = dampingRates(modes.omega, s.damping);
  const dt = s.speed / s.fps;
  const span = s.loops ? s.numFrames * dt : null;
  const leaning = lean(modes, s.direction);
  const rest = blow(modes.omega, gamma, { count: s.numFrames, dt }, leaning, s.gustiness, s.seed, span);
  const width = 2 * modes.count;
  const factor = s.strength * reach(modes, s.strength, s.maxDisplacement) * (2 / modes.period);
  for (let n = 0; n < s.numFrames; n++) {
    const part = s.loops ? 1 : Math.min(n / (s.fps * FADE_IN), 1);
    const faded = factor * part * part * (3 - 2 * part);
    for (let i = n * width; i < (n + 1) * width; i++) rest[i] *= faded;
  }
  const table = simulate(modes.omega, gamma, rest, dt, { integrator: s.integrator, periodic: s.loops });
  if (s.loops) {
    const start = width * calmest(table, width, (modes.push ??= push(modes)));
    const [before, after] = [table.slice(0, start), table.subarray(start)];
    table.set(after);
    table.set(before, after.length);
  }
  return { table, at: (time, q) => readTable(table, time * s.fps, q, s.loops) };
}

/** u_k: how mode k must turn to move what moves along a direction, and how far it does so: [n, 2]. */
export function lean(modes, degrees) {
  const [x, y] = [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
  const sums = (modes.leanSums ??= leanSums(modes)); // one pass over the picture, whatever the direction
  const result = new Float64Array(2 * modes.count);
  for (let k = 0; k < modes.count; k++) {
    const most = sums[5 * k + 4];
    if (!(most > 0)) continue;
    result[2 * k] = (x * sums[5 * k] + y * sums[5 * k + 2]) / most;
    result[2 * k + 1] = -(x * sums[5 * k + 1] + y * sums[5 * k + 3]) / most;
  }
  return result;
}

/** Of each mode, sums over pixels weighted by how much they move: x_re, x_im, y_re, y_im and the length. */
function leanSums({ values, activity, pixels, count }) {
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

/** G, how far a step d = (re, im, ...) of the modes moves the picture: d G d; one row after another. */
function push({ values, activity, rows, columns, pixels, count }) {
  const width = 2 * count;
  const every = Math.ceil((Math.max(rows, columns) / LOOKED_AT) * Math.max(1, count / 16));
  const found = new Float64Array(width * width);
  const row = new Float64Array(width);
  const add = (p, axis) => {
    for (let k = 0, i = 4 * p + 2 * axis; k < count; k++, i += 4 * pixels) {
      row[2 * k] = values[i] * activity[p];
      row[2 * k + 1] = -values[i + 1] * activity[p];
    }
    for (let a = 0; a < width; a++) for (let b = 0; b <= a; b++) found[a * width + b] += row[a] * row[b];
  };
  for (let y = 0; y < rows; y += every) {
    for (let x = 0; x < columns; x += every) for (const axis of [0, 1]) add(y * columns + x, axis);
  }
  for (let a = 0; a < width; a++) for (let b = 0; b < a; b++) found[b * width + a] = found[a * width + b];
  return found;
}

/** The frame at which a loop had best begin: where the largest step within CALM frames of the seam is least. */
function calmest(table, width, pushed) {
  const count = table.length / width;
  const size = new Float64Array(count); // of the step from each frame to the next
  for (let n = 0; n < count; n++) {
    const next = ((n + 1) % count) * width;
    const step = table.slice(next, next + width).map((value, i) => value - table[n * width + i]);
    for (let a = 0; a < width; a++) for (let b = 0; b < width; b++) size[n] += step[a] * pushed[a * width + b] * step[b];
  }
  let [best, least] = [0, Infinity];
  for (let n = 0; n < count; n++) {
    let most = 0;
    // If frame n came first, the step over the seam would be that from n - 1.
    for (let i = -1 - CALM; i < CALM; i++) most = Math.max(most, size[(n + i + (CALM + 1) * count) % count]);
    if (most < least) [best, least] = [n, most];
  }
  return best;
}

/** The factor of the soft limit, from what the volume's loop moves at most. */
export function reach(modes, strength, maxDisplacement) {
  const largest = (modes.activity.reduce((a, b) => Math.max(a, b), 0) * Math.SQRT2) / modes.period;
  return softLimit(strength * PEAK * largest, maxDisplacement * modes.width);
}

/** Where wind of strength 1 would hold the modes, times T / 2. `span`: seconds after which it repeats, or null. */
export function blow(omega, gamma, { count, dt }, leaning, gustiness, seed, span) {
  const width = 2 * omega.length;
  const rest = new Float64Array(count * width);
  const pressure = pressures(count, dt, gustiness, seed, span);
  omega.forEach((w, i) => {
    const [frequency, weight, phase] = arrows(w / TURN, i + 1, seed, span);
    const driven = frequency.map((f) => TURN * f);
    const norm = 1 / Math.sqrt(Math.max(meanSquare(driven, weight, phase, w, gamma[i]), 1e-9));
    // A loop may be too short for half a turn of this mode; then it only leans.
    const arrowsUsed = span !== null && w * span < Math.PI ? 0 : ARROWS;
    for (let j = 0; j < arrowsUsed; j++) {
      turning(count, driven[j] * dt, phase[j], (n, re, im) => {
        rest[n * width + 2 * i] += norm * weight[j] * re;
        rest[n * width + 2 * i + 1] += norm * weight[j] * im;
      });
    }
    for (let n = 0, at = 2 * i; n < count; n++, at += width) {
      rest[at] = pressure[n] * (rest[at] + LEAN * leaning[2 * i]);
      rest[at + 1] = pressure[n] * (rest[at + 1] + LEAN * leaning[2 * i + 1]);
    }
  });
  return rest;
}

/** Calls use(n, cos, sin) of phase + n angle: by multiplication, which is many times faster than asking for each. */
function turning(count, angle, phase, use) {
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  let re = Math.cos(phase);
  let im = Math.sin(phase);
  for (let n = 0; n < count; n++) {
    use(n, re, im);
    const next = re * c - im * s;
    im = re * s + im * c;
    re = next;
  }
}

/** Mean square of a mode's answer to its arrows; those of one frequency, as loops have them, are one arrow. */
function meanSquare(driven, weight, phase, w, gamma) {
  let sum = 0;
  driven.forEach((d, i) => {
    const answer = w ** 4 / ((w * w - d * d) ** 2 + (gamma * d) ** 2);
    driven.forEach((other, j) => {
      if (other === d) sum += weight[i] * weight[j] * Math.cos(phase[i] - phase[j]) * answer;
    });
  });
  return sum;
}

function pressures(count, dt, gustiness, seed, span) {
  const intensity = INTENSITY * gustiness;
  const mean = Math.sqrt(1 + 6 * intensity ** 2 + 3 * intensity ** 4);
  return gusts(count, dt, seed, span).map((g) => (1 + intensity * g) ** 2 / mean);
}

/** g(t), the wind's speed about its mean, of rms 1. */
export function gusts(count, dt, seed, span) {
  const draw = mulberry32(seed, 0);
  const phase = GUSTS.map(() => TURN * draw());
  const weight = GUSTS.map((f) => Math.sqrt(f * (1 + (f / CORNER) ** 2) ** (-5 / 6)));
  const norm = 1 / Math.sqrt(weight.reduce((sum, w) => sum + w * w, 0) / 2);
  const driven = GUSTS.map((f) => TURN * fitting(f, span));
  const speed = new Float64Array(count);
  GUSTS.forEach((_, j) => turning(count, driven[j] * dt, phase[j], (n, re) => (speed[n] += norm * weight[j] * re)));
  return speed;
}

/** Frequencies in Hz, weights and phases of the turning arrows of the mode of bin k. */
export function arrows(frequency, k, seed, span) {
  const draw = mulberry32(seed, k);
  const found = [new Float64Array(ARROWS), new Float64Array(ARROWS), new Float64Array(ARROWS)];
  for (let j = 0; j < ARROWS; j++) {
    const octave = OCTAVES * ((2 * (j + draw())) / ARROWS - 1);
    found[0][j] = fitting(frequency * 2 ** octave, span);
    found[1][j] = Math.exp(-0.5 * (octave / BELL) ** 2);
    found[2][j] = TURN * draw();
  }
  return found;
}

/** A generator of numbers in 0..1 (mulberry32, public domain), as gid_core draws them. */
export function mulberry32(seed, stream) {
  let state = ((seed % 2 ** 32) + stream * 0x9e3779b9) % 2 ** 32;
  return () => {
    state = (state + 0x6d2b79f5) % 2 ** 32;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The nearest frequency with whole turns in `span` seconds, at least one. */
function fitting(frequency, span) {
  if (span === null) return frequency;
  const turns = frequency * span;
  const low = Math.floor(turns);
  const even = low % 2 === 0 ? low : low + 1; // halves go to the even side, as numpy rounds
  const whole = turns - low === 0.5 ? even : Math.round(turns);
  return Math.max(whole, 1) / span;
}
