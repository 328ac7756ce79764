// What pokes do over time, as gid_core/dynamics/poke.py computes it. Pure maths: no DOM, no ComfyUI.

import { dampingRates, propagator, readTable, simulate } from "./oscillators.js";

const VELOCITY_WINDOW = 0.05;
const MAX_VELOCITY = 3;
const SAME_INSTANT = 1e-6;

/** Where a pull is, `seconds` after its press: [dx, dy]. */
export function offsetOf({ dx, dy, hold, path }, seconds) {
  if (!path.length) {
    const s = hold > 0 ? Math.min(Math.max(seconds / hold, 0), 1) : 1;
    const eased = s * s * (3 - 2 * s);
    return [dx * eased, dy * eased];
  }
  let before = path[0][0] > 0 ? [0, 0, 0] : path[0];
  for (const point of path) {
    if (seconds <= point[0]) {
      const s = point === before || seconds <= before[0] ? 0 : (seconds - before[0]) / (point[0] - before[0]);
      return [before[1] + s * (point[1] - before[1]), before[2] + s * (point[2] - before[2])];
    }
    before = point;
  }
  return [before[1], before[2]];
}

/**
 * What pokes do over time.
 * @param {Modes} modes
 * @param {object[]} pokes  as poke_list.js reads them
 * @param {{numFrames, fps, damping, speed, strength, maxDisplacement, integrator}} settings
 * @returns {{at: (time: number, q: Float64Array) => void, still: number[]}} at writes the modal coordinates of a time;
 *   still: indices of pokes where nothing moves
 */
export function pokeMotion(modes, pokes, settings) {
  const gamma = dampingRates(modes.omega, settings.damping);
  const last = (settings.numFrames - 1) / settings.fps;
  const answers = [];
  const still = [];
  pokes.forEach((poke, index) => {
    if (poke.time > last + SAME_INSTANT) return;
    const pull = modes.pullOf(poke.x, poke.y);
    if (pull) answers.push(answerTo(poke, pull, gamma, settings));
    else still.push(index);
  });
  const one = new Float64Array(2 * modes.count);
  return {
    still,
    at(time, q) {
      q.fill(0);
      for (const answer of answers) {
        if (!answer(time, one)) continue;
        for (let i = 0; i < q.length; i++) q[i] += one[i];
      }
    },
  };
}

/** One poke's answer: a function that writes the modal coordinates of a time, and says whether there are any. */
function answerTo(poke, pull, gamma, settings) {
  const { omega, count } = pull.modes;
  const { speed, fps } = settings;
  const kick = poke.kind === "kick";
  const hold = kick ? 0 : poke.hold;
  const release = poke.time + hold;
  const position = new Float64Array(2 * count);
  const velocity = new Float64Array(2 * count);
  if (kick) {
    pull.hold(poke.dx, poke.dy, settings, velocity);
    for (let i = 0; i < velocity.length; i++) velocity[i] *= omega[i >> 1];
  } else {
    pull.hold(...offsetOf(poke, hold), settings, position);
    if (poke.path.length && hold > 0) releaseVelocity(poke, pull, position, velocity, settings);
  }
  const free = (since, q, v) => {
    for (let i = 0; i < q.length; i += 2) {
      const [a, b, c, d] = propagator(omega[i >> 1], gamma[i >> 1], since * speed);
      q[i] = a * position[i] + b * velocity[i];
      q[i + 1] = a * position[i + 1] + b * velocity[i + 1];
      if (v) v[i] = c * position[i] + d * velocity[i];
      if (v) v[i + 1] = c * position[i + 1] + d * velocity[i + 1];
    }
  };
  let table = null; // of an Euler integrator: frames from the first after the release
  const first = Math.ceil(release * fps - SAME_INSTANT * fps);
  if (settings.integrator !== "exact" && first < settings.numFrames) {
    const start = [new Float64Array(2 * count), new Float64Array(2 * count)];
    free(Math.max(first / fps - release, 0), ...start);
    const rest = new Float64Array(2 * count * (settings.numFrames - first));
    table = simulate(omega, gamma, rest, speed / fps, { integrator: settings.integrator, initial: start });
  }
  return (time, q) => {
    const since = time - release;
    if (since > -SAME_INSTANT) {
      if (table && time * fps >= first) readTable(table, time * fps - first, q);
      else free(Math.max(since, 0), q);
    } else if (time - poke.time > -SAME_INSTANT) {
      pull.hold(...offsetOf(poke, Math.max(time - poke.time, 0)), settings, q);
    } else return false;
    return true;
  };
}

function releaseVelocity(poke, pull, position, velocity, { speed, ...settings }) {
  const window = Math.min(VELOCITY_WINDOW, poke.hold);
  const before = pull.hold(...offsetOf(poke, poke.hold - window), settings, new Float64Array(position.length));
  for (let i = 0; i < velocity.length; i += 2) {
    const [re, im] = [position[i] - before[i], position[i + 1] - before[i + 1]].map((step) => step / (window * speed));
    const most = MAX_VELOCITY * pull.modes.omega[i >> 1] * Math.hypot(position[i], position[i + 1]);
    const factor = Math.min(1, most / (Math.hypot(re, im) || 1));
    velocity[i] = re * factor;
    velocity[i + 1] = im * factor;
  }
}
