// Damped oscillators, computed as in gid_core/dynamics/oscillators.py. The tests compare both with
// tests/vectors/dynamics.json. Pure maths: no DOM, no ComfyUI. Modal coordinates are pairs (real, imaginary) of bins 1 to
// n in one array: [n, 2]. Bin 0 is not a mode.

import { DEFAULT_DAMPING, INTEGRATORS } from "./constants.js";

/** gamma of each mode in 1/s: factor (alpha + beta w^2), or 2 ratio w. */
export function dampingRates(omega, { factor = 1, ...damping } = {}) {
  const { alpha, beta, ratio } = { ...DEFAULT_DAMPING, ...damping };
  return omega.map((w) => (ratio === null ? factor * (alpha + beta * w * w) : 2 * ratio * w));
}

/** Writes c, s and g of the free oscillator into `out`: q(t) = (c + g s) q(0) + s q'(0). */
function freeSolution(w, gamma, time, out) {
  const g = gamma / 2;
  const discriminant = (w - g) * (w + g);
  const d = Math.sqrt(Math.abs(discriminant));
  if (discriminant >= 0) {
    const decay = Math.exp(-g * time);
    const x = d * time;
    out[0] = decay * Math.cos(x);
    out[1] = decay * time * (x < 1e-8 ? 1 : Math.sin(x) / x);
  } else {
    const slow = Math.exp(-(g > 0 ? (w * w) / (g + d) : 0) * time);
    const difference = Math.expm1(-2 * d * time);
    out[0] = (slow * (2 + difference)) / 2;
    out[1] = (-slow * difference) / (2 * d);
  }
  out[2] = g;
  return out;
}

const scratch = new Float64Array(3);

/** The exact step matrix [a, b, c, d] of (q - r, q') over a time. */
export function propagator(w, gamma, time) {
  const [c, s, g] = freeSolution(w, gamma, time, scratch);
  return [c + g * s, s, -w * w * s, c - g * s];
}

/** Position and velocity of one oscillator without a force, `time` seconds after its initial state. */
export function freeResponse(w, gamma, time, position, velocity) {
  const [a, b, c, d] = propagator(w, gamma, time);
  return [a * position + b * velocity, c * position + d * velocity];
}

/** Time step in seconds below which an integrator is stable. */
export function stableStep(w, gamma, integrator) {
  if (!INTEGRATORS.includes(integrator)) throw new Error(`integrator is one of ${INTEGRATORS}; got ${integrator}.`);
  if (integrator === "exact" || (w === 0 && gamma === 0)) return Infinity;
  if (integrator === "semi_implicit_euler") return 4 / (gamma + Math.sqrt(gamma ** 2 + 4 * w ** 2));
  if (gamma < 2 * w) return gamma / w ** 2;
  return 2 / (gamma / 2 + Math.sqrt(Math.max(gamma ** 2 / 4 - w ** 2, 0)));
}

/** The matrix [a, b, c, d] of one step of (q - r, q'). */
function stepMatrix(w, gamma, dt, integrator) {
  if (integrator === "exact") return propagator(w, gamma, dt);
  const limit = stableStep(w, gamma, integrator);
  if (dt >= limit) {
    const hertz = (w / (2 * Math.PI)).toFixed(2);
    throw new Error(`${integrator} blows up at ${hertz} Hz with steps of ${dt.toFixed(4)} s. Use integrator "exact".`);
  }
  const spring = -w * w * dt;
  const friction = 1 - gamma * dt;
  return integrator === "explicit_euler"
    ? [1, dt, spring, friction]
    : [1 + dt * spring, dt * friction, spring, friction];
}

/**
 * Motion of driven oscillators, step by step.
 * @param {Float64Array} omega  [n] rad/s
 * @param {Float64Array} gamma  [n] 1/s
 * @param {Float64Array} equilibrium  [frames, n, 2]: position where the force of each step would hold the modes
 * @param {number} dt           seconds per step
 * @param {object} options
 * @param {Float64Array[]} options.initial  position and velocity [n, 2] of frame 0
 * @param {boolean} options.periodic  start in the state that recurs after the last step
 * @returns {Float64Array} [frames, n, 2]
 */
export function simulate(omega, gamma, equilibrium, dt, { integrator = "exact", initial = null, periodic = false } = {}) {
  const width = 2 * omega.length;
  const frames = equilibrium.length / width;
  const states = new Float64Array(equilibrium.length);
  for (let i = 0; i < width; i++) {
    const [a, b, c, d] = stepMatrix(omega[i >> 1], gamma[i >> 1], dt, integrator);
    let q = initial?.[0][i] ?? 0;
    let v = initial?.[1][i] ?? 0;
    for (let pass = periodic ? 0 : 1; pass < 2; pass++) {
      for (let n = 0; n < frames; n++) {
        const r = equilibrium[n * width + i];
        const offset = q - r;
        states[n * width + i] = q;
        q = a * offset + b * v + r;
        v = c * offset + d * v;
      }
      if (pass === 0) [q, v] = periodicState(matrixPower([a, b, c, d], frames), [q, v]);
    }
  }
  return states;
}

/** An integer power of a 2 x 2 matrix. */
function matrixPower(matrix, exponent) {
  const multiply = ([a, b, c, d], [e, f, g, h]) => [a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h];
  let result = [1, 0, 0, 1];
  for (let square = matrix; exponent > 0; exponent >>= 1, square = multiply(square, square)) {
    if (exponent & 1) result = multiply(result, square);
  }
  return result;
}

/** The state x that recurs, (1 - matrix) x = end; `end` is the last state when starting from zero. */
function periodicState([a, b, c, d], [end, endVelocity]) {
  const [e, f, g, h] = [1 - a, -b, -c, 1 - d];
  const determinant = e * h - f * g;
  if (Math.abs(determinant) < 1e-12) throw new Error("A mode has no state that loops; give it more damping.");
  return [(h * end - f * endVelocity) / determinant, (e * endVelocity - g * end) / determinant];
}

/** Interpolates row `frame` of a table [frames, n, 2] linearly into `q`; in a loop, row 0 follows the last row. */
export function readTable(table, frame, q, loops = false) {
  const rows = table.length / q.length;
  const low = Math.min(Math.max(Math.floor(frame), 0), rows - 1);
  const next = loops ? (low + 1) % rows : Math.min(low + 1, rows - 1);
  const weight = Math.min(Math.max(frame - low, 0), 1);
  for (let i = 0; i < q.length; i++) {
    q[i] = table[low * q.length + i] * (1 - weight) + table[next * q.length + i] * weight;
  }
}
