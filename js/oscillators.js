// Damped oscillators, as gid_core/dynamics/oscillators.py computes them; both are held to tests/vectors/modal.json. Pure maths: no DOM,
// no ComfyUI. Modal coordinates are pairs (real, imaginary) of bins 1 to n one after another: [n, 2]. Bin 0 takes no part.

export const INTEGRATORS = ["exact", "explicit_euler", "semi_implicit_euler"];

/** gamma of each mode: factor (alpha + beta w^2), or 2 ratio w. */
export function dampingRates(omega, { alpha = 0.4, beta = 0.08, ratio = null, factor = 1 } = {}) {
  return omega.map((w) => (ratio === null ? factor * (alpha + beta * w * w) : 2 * ratio * w));
}

/** Writes c, s and g of the free oscillator into `out`: q(t) = (c + g s) q(0) + s q'(0). */
function decay(w, gamma, time, out) {
  const g = gamma / 2;
  const square = (w - g) * (w + g);
  const d = Math.sqrt(Math.abs(square));
  if (square >= 0) {
    const swing = Math.exp(-g * time);
    const x = d * time;
    out[0] = swing * Math.cos(x);
    out[1] = swing * time * (x < 1e-8 ? 1 : Math.sin(x) / x);
  } else {
    const slow = Math.exp(-(g > 0 ? (w * w) / (g + d) : 0) * time);
    const twice = Math.expm1(-2 * d * time);
    out[0] = (slow * (2 + twice)) / 2;
    out[1] = (-slow * twice) / (2 * d);
  }
  out[2] = g;
  return out;
}

const scratch = new Float64Array(3);

/** The matrix [a, b, c, d] that takes (q - rest, q') over a time exactly. */
export function propagator(w, gamma, time) {
  const [c, s, g] = decay(w, gamma, time, scratch);
  return [c + g * s, s, -w * w * s, c - g * s];
}

/** Position and velocity of one oscillator, `time` seconds after it was let go. */
export function freeResponse(w, gamma, time, position, velocity) {
  const [a, b, c, d] = propagator(w, gamma, time);
  return [a * position + b * velocity, c * position + d * velocity];
}

/** Step below which an integrator does not blow up, in seconds. */
export function stableStep(w, gamma, integrator) {
  if (integrator === "exact" || (w === 0 && gamma === 0)) return Infinity;
  if (integrator === "semi_implicit_euler") return 4 / (gamma + Math.sqrt(gamma ** 2 + 4 * w ** 2));
  if (gamma < 2 * w) return gamma / w ** 2;
  return 2 / (gamma / 2 + Math.sqrt(Math.max(gamma ** 2 / 4 - w ** 2, 0)));
}

function stepMatrix(w, gamma, dt, integrator) {
  if (integrator === "exact") return propagator(w, gamma, dt);
  const limit = stableStep(w, gamma, integrator);
  if (dt >= limit) {
    const hertz = (w / (2 * Math.PI)).toFixed(2);
    throw new Error(`${integrator} blows up at ${hertz} Hz with steps of ${dt.toFixed(4)} s. Use integrator "exact".`);
  }
  const pull = -w * w * dt;
  const kept = 1 - gamma * dt;
  return integrator === "explicit_euler" ? [1, dt, pull, kept] : [1 + dt * pull, dt * kept, pull, kept];
}

/**
 * Driven oscillators, step by step.
 * @param {Float64Array} omega  [n] rad/s
 * @param {Float64Array} gamma  [n] 1/s
 * @param {Float64Array} rest   [frames, n, 2]: where the force of each step would hold the modes
 * @param {number} dt           seconds a step
 * @param {object} options
 * @param {Float64Array[]} options.initial  position and velocity [n, 2] of frame 0
 * @param {boolean} options.periodic  start in the state that comes back after the last step
 * @returns {Float64Array} [frames, n, 2]
 */
export function simulate(omega, gamma, rest, dt, { integrator = "exact", initial = null, periodic = false } = {}) {
  const width = 2 * omega.length;
  const frames = rest.length / width;
  const states = new Float64Array(rest.length);
  for (let i = 0; i < width; i++) {
    const [a, b, c, d] = stepMatrix(omega[i >> 1], gamma[i >> 1], dt, integrator);
    let q = initial?.[0][i] ?? 0;
    let v = initial?.[1][i] ?? 0;
    for (let round = periodic ? 0 : 1; round < 2; round++) {
      for (let n = 0; n < frames; n++) {
        const r = rest[n * width + i];
        const away = q - r;
        states[n * width + i] = q;
        q = a * away + b * v + r;
        v = c * away + d * v;
      }
      if (round === 0) [q, v] = solve(power([a, b, c, d], frames), [q, v]);
    }
  }
  return states;
}

/** A 2 x 2 matrix to the power of a whole number. */
function power(matrix, exponent) {
  const times = ([a, b, c, d], [e, f, g, h]) => [a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h];
  let result = [1, 0, 0, 1];
  for (let square = matrix; exponent > 0; exponent >>= 1, square = times(square, square)) {
    if (exponent & 1) result = times(result, square);
  }
  return result;
}

/** x with (1 - matrix) x = end: the state that comes back. */
function solve([a, b, c, d], [end, endVelocity]) {
  const [e, f, g, h] = [1 - a, -b, -c, 1 - d];
  const determinant = e * h - f * g;
  if (Math.abs(determinant) < 1e-12) throw new Error("A mode has no state that loops; give it more damping.");
  return [(h * end - f * endVelocity) / determinant, (e * endVelocity - g * end) / determinant];
}

/** Row `frame` of a table [frames, n, 2], between two rows as a mix of them; of a loop the first follows the last. */
export function readTable(table, frame, q, loops = false) {
  const rows = table.length / q.length;
  const low = Math.min(Math.max(Math.floor(frame), 0), rows - 1);
  const next = loops ? (low + 1) % rows : Math.min(low + 1, rows - 1);
  const share = Math.min(Math.max(frame - low, 0), 1);
  for (let i = 0; i < q.length; i++) {
    q[i] = table[low * q.length + i] * (1 - share) + table[next * q.length + i] * share;
  }
}
