// Wind on the modes of a volume, computed as in gid_core/dynamics/wind.py, which explains the model. Pure maths: no DOM, no
// ComfyUI. Tables are [frames, n, 2] for bins 1 to n.

import {
  FADE_IN, GUST_CORNER, GUST_FREQUENCIES, MAX_SEED, MEAN_DEFLECTION, MIN_MEAN_SQUARE, PHASOR_COUNT, PHASOR_OCTAVES,
  PHASOR_SIGMA, SEAM_FRAMES, TURBULENCE_INTENSITY,
} from "./constants.js";
import { dampingRates, readTable, simulate } from "./oscillators.js";

const TWO_PI = 2 * Math.PI;

/**
 * The response of a volume's modes to wind.
 * @param {import("./modes.js").Modes} modes
 * @param {{direction, strength, gustiness, numFrames, fps, seed, loops, damping, speed, maxDisplacement, integrator}}
 *   settings  direction in degrees, the others as in gid_core
 * @returns {{table: Float64Array, at: (time: number, q: Float64Array) => void}} `at` writes the modal coordinates at a
 *   time in seconds
 */
export function windMotion(modes, settings) {
  const { direction, strength, gustiness, numFrames, fps, seed, loops, speed, maxDisplacement, integrator } = settings;
  const gamma = dampingRates(modes.omega, settings.damping);
  const dt = speed / fps;
  const loopSeconds = loops ? numFrames * dt : null;
  const time = { count: numFrames, dt };
  const alignment = modes.alignment(direction);
  const equilibrium = windEquilibrium(modes.omega, gamma, time, alignment, gustiness, seed, loopSeconds);
  const width = 2 * modes.count;
  const factor = strength * modes.limitFactor(strength, maxDisplacement) * modes.loopMagnitude;
  for (let n = 0; n < numFrames; n++) {
    const fadeProgress = loops ? 1 : Math.min(n / (fps * FADE_IN), 1);
    const faded = factor * fadeProgress * fadeProgress * (3 - 2 * fadeProgress);
    for (let i = n * width; i < (n + 1) * width; i++) equilibrium[i] *= faded;
  }
  const table = simulate(modes.omega, gamma, equilibrium, dt, { integrator, periodic: loops });
  if (loops) {
    const seam = width * findSeam(table, modes.stepEnergy);
    const [before, after] = [table.slice(0, seam), table.subarray(seam)];
    table.set(after);
    table.set(before, after.length);
  }
  return { table, at: (seconds, q) => readTable(table, seconds * fps, q, loops) };
}

/** The frame at which a loop should begin: the largest step within SEAM_FRAMES of the seam is smallest there. */
export function findSeam(table, stepEnergy) {
  const width = Math.sqrt(stepEnergy.length);
  const count = table.length / width;
  const energy = new Float64Array(count); // of the step from each frame to the next
  for (let n = 0; n < count; n++) {
    const next = ((n + 1) % count) * width;
    const step = table.slice(next, next + width).map((value, i) => value - table[n * width + i]);
    for (let a = 0; a < width; a++) {
      for (let b = 0; b < width; b++) energy[n] += step[a] * stepEnergy[a * width + b] * step[b];
    }
  }
  let [seam, minEnergy] = [0, Infinity];
  for (let n = 0; n < count; n++) {
    let maxEnergy = 0;
    // If frame n came first, the step across the seam would be the one from n - 1.
    for (let i = -1 - SEAM_FRAMES; i < SEAM_FRAMES; i++) {
      maxEnergy = Math.max(maxEnergy, energy[(n + i + (SEAM_FRAMES + 1) * count) % count]);
    }
    if (maxEnergy < minEnergy) [seam, minEnergy] = [n, maxEnergy];
  }
  return seam;
}

/**
 * Equilibrium of the modes in wind of strength 1, in units of 2 / T: [frames, n, 2].
 * @param {{count: number, dt: number}} time  frames, and seconds of the wind per frame
 * @param {number | null} loopSeconds  after which the wind repeats; null never repeats
 */
export function windEquilibrium(omega, gamma, { count, dt }, alignment, gustiness, seed, loopSeconds) {
  const width = 2 * omega.length;
  const equilibrium = new Float64Array(count * width);
  const pressure = windPressure(count, dt, gustiness, seed, loopSeconds);
  omega.forEach((w, i) => {
    const [frequency, weight, phase] = phasors(w / TWO_PI, i + 1, seed, loopSeconds);
    const driving = frequency.map((f) => TWO_PI * f);
    const mean = meanSquare(driving, weight, phase, w, gamma[i]);
    const norm = 1 / Math.sqrt(Math.max(mean, MIN_MEAN_SQUARE));
    // If the loop is shorter than half a period of this mode, the mode is only deflected.
    const phasorCount = loopSeconds !== null && w * loopSeconds < Math.PI ? 0 : PHASOR_COUNT;
    for (let j = 0; j < phasorCount; j++) {
      rotate(count, driving[j] * dt, phase[j], (n, re, im) => {
        equilibrium[n * width + 2 * i] += norm * weight[j] * re;
        equilibrium[n * width + 2 * i + 1] += norm * weight[j] * im;
      });
    }
    for (let n = 0, at = 2 * i; n < count; n++, at += width) {
      equilibrium[at] = pressure[n] * (equilibrium[at] + MEAN_DEFLECTION * alignment[2 * i]);
      equilibrium[at + 1] = pressure[n] * (equilibrium[at + 1] + MEAN_DEFLECTION * alignment[2 * i + 1]);
    }
  });
  return equilibrium;
}

/** Calls use(n, re, im) with a phasor of phase + n angle: repeated multiplication, much faster than cos and sin. */
function rotate(count, angle, phase, use) {
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

/** Mean square of a mode's response to its phasors; those of equal frequency, which loops have, add up to one. */
function meanSquare(driving, weight, phase, w, gamma) {
  let sum = 0;
  driving.forEach((d, i) => {
    const transfer = w ** 4 / ((w * w - d * d) ** 2 + (gamma * d) ** 2); // squared magnitude
    driving.forEach((other, j) => {
      if (other === d) sum += weight[i] * weight[j] * Math.cos(phase[i] - phase[j]) * transfer;
    });
  });
  return sum;
}

/** w(t), the pressure of the wind, with mean square 1: Float64Array [frames]. */
function windPressure(count, dt, gustiness, seed, loopSeconds) {
  const intensity = TURBULENCE_INTENSITY * gustiness;
  const norm = Math.sqrt(1 + 6 * intensity ** 2 + 3 * intensity ** 4);
  return gustSpeed(count, dt, seed, loopSeconds).map((g) => (1 + intensity * g) ** 2 / norm);
}

/** g(t), the deviation of the wind's speed from its mean, with rms 1: Float64Array [frames]. */
export function gustSpeed(count, dt, seed, loopSeconds) {
  const draw = mulberry32(seed, 0);
  const phase = GUST_FREQUENCIES.map(() => TWO_PI * draw());
  const weight = GUST_FREQUENCIES.map((f) => Math.sqrt(f * (1 + (f / GUST_CORNER) ** 2) ** (-5 / 6)));
  const norm = 1 / Math.sqrt(weight.reduce((sum, w) => sum + w * w, 0) / 2);
  const speed = new Float64Array(count);
  GUST_FREQUENCIES.forEach((frequency, j) => {
    const angle = TWO_PI * roundToWholeCycles(frequency, loopSeconds) * dt;
    rotate(count, angle, phase[j], (n, re) => (speed[n] += norm * weight[j] * re));
  });
  return speed;
}

/** Frequencies in Hz, weights and phases of the phasors that drive the mode of bin k. */
export function phasors(modeFrequency, k, seed, loopSeconds) {
  const draw = mulberry32(seed, k);
  const [frequency, weight, phase] = Array.from({ length: 3 }, () => new Float64Array(PHASOR_COUNT));
  for (let j = 0; j < PHASOR_COUNT; j++) {
    const octave = PHASOR_OCTAVES * ((2 * (j + draw())) / PHASOR_COUNT - 1);
    frequency[j] = roundToWholeCycles(modeFrequency * 2 ** octave, loopSeconds);
    weight[j] = Math.exp(-0.5 * (octave / PHASOR_SIGMA) ** 2);
    phase[j] = TWO_PI * draw();
  }
  return [frequency, weight, phase];
}

/** A generator of random numbers in 0..1 (mulberry32, public domain), equal to that of gid_core. */
export function mulberry32(seed, stream) {
  let state = ((seed % MAX_SEED) + stream * 0x9e3779b9) % MAX_SEED;
  return () => {
    state = (state + 0x6d2b79f5) % MAX_SEED;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / MAX_SEED;
  };
}

/** The nearest frequency with a whole number of cycles, at least one, in a loop; unchanged without a loop. */
export function roundToWholeCycles(frequency, loopSeconds) {
  if (loopSeconds === null) return frequency;
  const cycles = frequency * loopSeconds;
  const low = Math.floor(cycles);
  const even = low % 2 === 0 ? low : low + 1; // numpy rounds halves to even
  const rounded = cycles - low === 0.5 ? even : Math.round(cycles);
  return Math.max(rounded, 1) / loopSeconds;
}
