// The response of the modes to pokes, computed as in gid_core/dynamics/poke.py. Pure maths: no DOM, no ComfyUI.

import { MAX_RELEASE_VELOCITY, SOFTNESS, TIME_TOLERANCE, VELOCITY_WINDOW } from "./constants.js";
import { softLimit } from "./modes.js";
import { dampingRates, propagator, readTable, simulate } from "./oscillators.js";
import { pokeOffset } from "./poke_list.js";

const MAX_CACHED_PULLS = 32; // per volume
const pullCaches = new WeakMap(); // Map of pulls by point, for each Modes

/**
 * The response of the modes to pokes.
 * @param {Modes} modes
 * @param {object[]} pokes  as parsePokes of poke_list.js returns them
 * @param {{numFrames, fps, damping, speed, strength, maxDisplacement, integrator}} settings
 * @returns {{at: (time: number, q: Float64Array) => void, staticPokes: number[]}} `at` writes the modal coordinates at a
 *   time in seconds; staticPokes: indices of the pokes where nothing moves
 */
export function pokeMotion(modes, pokes, settings) {
  const gamma = dampingRates(modes.omega, settings.damping);
  const lastTime = (settings.numFrames - 1) / settings.fps;
  const responses = [];
  const staticPokes = [];
  pokes.forEach((poke, index) => {
    if (poke.time > lastTime + TIME_TOLERANCE) return;
    const pull = findPull(modes, poke.x, poke.y);
    if (pull) responses.push(pokeResponse(poke, pull, gamma, settings));
    else staticPokes.push(index);
  });
  const coordinates = new Float64Array(2 * modes.count); // of one poke
  return {
    staticPokes,
    at(time, q) {
      q.fill(0);
      for (const response of responses) {
        if (!response(time, coordinates)) continue;
        for (let i = 0; i < q.length; i++) q[i] += coordinates[i];
      }
    },
  };
}

/** The pull of the point at fractions (x, y), or null if nothing moves there. */
export function findPull(modes, x, y) {
  const point = modes.findPoint(x, y);
  if (!point) return null;
  if (!pullCaches.has(modes)) pullCaches.set(modes, new Map());
  const cache = pullCaches.get(modes);
  const key = point.join();
  if (!cache.has(key)) {
    cache.set(key, new PokePull(modes, point));
    if (cache.size > MAX_CACHED_PULLS) cache.delete(cache.keys().next().value);
  }
  return cache.get(key);
}

/** Modal coordinates that hold one point at any offset D. */
export class PokePull {
  constructor(modes, [column, row]) {
    this.modes = modes;
    this.slices = modes.sample(column, row);
    this.energy = this.slices.reduce((sum, value) => sum + value * value, 0);
    this.squaredField = this.#computeSquaredField();
  }

  /** The field of conj(D . S(p)) is linear in D, so three maps give its squared length: [xx, 2 xy, yy]. */
  #computeSquaredField() {
    const { slices, modes } = this;
    const { pixels, values, count } = modes;
    const fields = new Float32Array(4 * pixels); // x by Dx, y by Dx, x by Dy, y by Dy
    for (let k = 0; k < count; k++) {
      const [a, b, c, d] = slices.subarray(4 * k, 4 * k + 4);
      for (let p = 0, i = 4 * k * pixels; p < 4 * pixels; p += 4, i += 4) {
        fields[p] += values[i] * a + values[i + 1] * b;
        fields[p + 1] += values[i + 2] * a + values[i + 3] * b;
        fields[p + 2] += values[i] * c + values[i + 1] * d;
        fields[p + 3] += values[i + 2] * c + values[i + 3] * d;
      }
    }
    const squared = new Float32Array(3 * pixels);
    for (let p = 0; p < pixels; p++) {
      const i = 4 * p;
      squared[3 * p] = fields[i] ** 2 + fields[i + 1] ** 2;
      squared[3 * p + 1] = 2 * (fields[i] * fields[i + 2] + fields[i + 1] * fields[i + 3]);
      squared[3 * p + 2] = fields[i + 2] ** 2 + fields[i + 3] ** 2;
    }
    return squared;
  }

  /** Modal coordinates that hold the point at (dx, dy), in fractions; written into `out` [n, 2]. */
  heldCoordinates(dx, dy, { strength, maxDisplacement }, out) {
    const { slices, squaredField, modes } = this;
    const [x, y] = [dx * modes.width, dy * modes.height];
    const length = x * x + y * y;
    let along = 0;
    for (let i = 0; i < out.length; i += 2) {
      out[i] = x * slices[2 * i] + y * slices[2 * i + 2];
      out[i + 1] = -(x * slices[2 * i + 1] + y * slices[2 * i + 3]);
      along += out[i] ** 2 + out[i + 1] ** 2;
    }
    const denominator = along + SOFTNESS * length * this.energy;
    let gain = denominator > 0 ? (strength * length) / denominator : 0;
    let peak = 0;
    for (let p = 0; p < squaredField.length; p += 3) {
      const value = x * x * squaredField[p] + x * y * squaredField[p + 1] + y * y * squaredField[p + 2];
      if (value > peak) peak = value;
    }
    gain *= softLimit(Math.abs(gain) * Math.sqrt(peak), maxDisplacement * modes.width);
    for (let i = 0; i < out.length; i++) out[i] *= gain;
    return out;
  }
}

/** The response to one poke: a function that writes the modal coordinates at a time and returns whether there are any. */
function pokeResponse(poke, pull, gamma, settings) {
  const { omega, count } = pull.modes;
  const { speed, fps } = settings;
  const isKick = poke.kind === "kick";
  const hold = isKick ? 0 : poke.hold;
  const release = poke.time + hold;
  const position = new Float64Array(2 * count); // at the release
  const velocity = new Float64Array(2 * count);
  if (isKick) {
    pull.heldCoordinates(poke.dx, poke.dy, settings, velocity);
    for (let i = 0; i < velocity.length; i++) velocity[i] *= omega[i >> 1];
  } else {
    pull.heldCoordinates(...pokeOffset(poke, hold), settings, position);
    if (poke.path.length && hold > 0) releaseVelocity(poke, pull, position, velocity, settings);
  }
  const freeMotion = (sinceRelease, q, v) => {
    for (let i = 0; i < q.length; i += 2) {
      const [a, b, c, d] = propagator(omega[i >> 1], gamma[i >> 1], sinceRelease * speed);
      q[i] = a * position[i] + b * velocity[i];
      q[i + 1] = a * position[i + 1] + b * velocity[i + 1];
      if (v) v[i] = c * position[i] + d * velocity[i];
      if (v) v[i + 1] = c * position[i + 1] + d * velocity[i + 1];
    }
  };
  let table = null; // of an Euler integrator, from the first frame after the release
  const firstFrame = Math.ceil(release * fps - TIME_TOLERANCE * fps);
  if (settings.integrator !== "exact" && firstFrame < settings.numFrames) {
    const initial = [new Float64Array(2 * count), new Float64Array(2 * count)];
    freeMotion(Math.max(firstFrame / fps - release, 0), ...initial);
    const equilibrium = new Float64Array(2 * count * (settings.numFrames - firstFrame));
    table = simulate(omega, gamma, equilibrium, speed / fps, { integrator: settings.integrator, initial });
  }
  return (time, q) => {
    const sinceRelease = time - release;
    if (sinceRelease > -TIME_TOLERANCE) {
      if (table && time * fps >= firstFrame) readTable(table, time * fps - firstFrame, q);
      else freeMotion(Math.max(sinceRelease, 0), q);
    } else if (time - poke.time > -TIME_TOLERANCE) {
      pull.heldCoordinates(...pokeOffset(poke, Math.max(time - poke.time, 0)), settings, q);
    } else return false;
    return true;
  };
}

/** Writes the velocity of a drag at its release, in the modes' own time, into `velocity`. */
function releaseVelocity(poke, pull, position, velocity, { speed, ...settings }) {
  const window = Math.min(VELOCITY_WINDOW, poke.hold);
  const out = new Float64Array(position.length);
  const before = pull.heldCoordinates(...pokeOffset(poke, poke.hold - window), settings, out);
  for (let i = 0; i < velocity.length; i += 2) {
    const [re, im] = [position[i] - before[i], position[i + 1] - before[i + 1]].map((step) => step / (window * speed));
    const maxVelocity = MAX_RELEASE_VELOCITY * pull.modes.omega[i >> 1] * Math.hypot(position[i], position[i + 1]);
    const factor = Math.min(1, maxVelocity / (Math.hypot(re, im) || 1));
    velocity[i] = re * factor;
    velocity[i + 1] = im * factor;
  }
}
