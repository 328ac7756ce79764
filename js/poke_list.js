// Pokes as JSON text and as a list, and the conversion of a drag into a poke; see gid_core/dynamics/poke_list.py. Pure
// functions: no DOM, no ComfyUI.

import { DEFAULT_HOLD, POKE_KEYS, POKE_KINDS } from "./constants.js";

export const MAX_PATH_POINTS = 12;
const PATH_TOLERANCE = 0.002; // fractions of the image; a smaller deviation of a simplified path is not visible
const MIN_SAMPLE_INTERVAL = 0.004; // seconds between two samples of a path
const MIN_HOLD = 0.01; // seconds of a drag
const MAX_SECONDS = 1e6; // for time and hold

/** A number rounded for the text: to 0.1 ms, or to 1/10,000 of the image. */
const round = (value) => Math.round(value * 1e4) / 1e4;

/**
 * Read pokes from JSON, as parse_pokes of gid_core does.
 * @returns {{pokes: object[], error: string}} error describes what is wrong with the text, or is empty
 */
export function parsePokes(text) {
  if (!String(text ?? "").trim()) return { pokes: [], error: "" };
  let list;
  try {
    list = JSON.parse(text);
  } catch {
    return { pokes: [], error: "The pokes are not JSON." };
  }
  if (!Array.isArray(list)) return { pokes: [], error: "The pokes must be a JSON list." };
  const pokes = [];
  for (const [index, item] of list.entries()) {
    const problem = findProblem(item);
    if (problem) return { pokes: [], error: `Poke ${index + 1}: ${problem}` };
    const poke = { time: 0, hold: DEFAULT_HOLD, kind: "pull", path: [], ...item };
    if (poke.path.length) [poke.hold, poke.dx, poke.dy] = poke.path.at(-1);
    pokes.push(poke);
  }
  return { pokes, error: "" };
}

/** Write pokes as JSON, one per line and without default values. */
export function formatPokes(pokes) {
  const list = pokes.map(({ x, y, dx, dy, time, hold, kind, path }) => {
    const item = { x: round(x), y: round(y), dx: round(dx), dy: round(dy), time: round(time) };
    if (kind !== "pull") item.kind = kind;
    else if (hold !== DEFAULT_HOLD) item.hold = round(hold);
    if (path.length) item.path = path.map((point) => point.map(round));
    return item;
  });
  return `[${list.map((item) => JSON.stringify(item)).join(",\n ")}]`;
}

/** What is wrong with an item of the list, or an empty text. */
function findProblem(item) {
  if (item === null || typeof item !== "object" || Array.isArray(item)) return "it must be an object.";
  const unknown = Object.keys(item).find((key) => !POKE_KEYS.includes(key));
  if (unknown !== undefined) return `"${unknown}" is not known.`;
  const { path = [], kind = POKE_KINDS[0] } = item; // null is neither
  if (!Array.isArray(path)) return "path must be a list of [seconds, dx, dy].";
  if (path.length && kind === "kick") return "path belongs to a pull; a kick has none.";
  const checkRange = (name, low, high, required = true) => {
    const value = item[name];
    if (value === undefined && !required) return "";
    const valid = typeof value === "number" && value >= low && value <= high;
    return valid ? "" : `${name} is ${JSON.stringify(value) ?? "missing"}; it must be ${low} to ${high}.`;
  };
  const required = path.length === 0;
  const problems = [
    checkRange("x", 0, 1), checkRange("y", 0, 1), checkRange("dx", -1, 1, required), checkRange("dy", -1, 1, required),
    checkRange("time", 0, MAX_SECONDS, false), checkRange("hold", 0, MAX_SECONDS, false),
  ];
  const problem = problems.find(Boolean);
  if (problem) return problem;
  const kinds = POKE_KINDS.map((each) => `"${each}"`).join(" or ");
  if (!POKE_KINDS.includes(kind)) return `kind must be ${kinds}.`;
  let previous = -Infinity;
  for (const point of path) {
    const isSample = Array.isArray(point) && point.length === 3 && point.every((value) => typeof value === "number");
    const [time, dx, dy] = isSample ? point : [NaN, NaN, NaN];
    if (!(time >= 0 && time > previous && Math.abs(dx) <= 1 && Math.abs(dy) <= 1)) {
      return "path must be [seconds, dx, dy] in increasing time, with dx and dy in -1 to 1.";
    }
    previous = time;
  }
  return "";
}

/** Offset of a pull, `seconds` after its press and at most its hold: [dx, dy]; see Poke.offset of gid_core. */
export function pokeOffset({ dx, dy, hold, path }, seconds) {
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

/** Offset of a poke `seconds` after its press: [dx, dy], or null while it does not pull. */
export function activeOffset(poke, seconds) {
  return poke.kind === "kick" || seconds < 0 || seconds > poke.hold ? null : pokeOffset(poke, seconds);
}

/**
 * The poke of a drag.
 * @param {{x: number, y: number}} point  where it began
 * @param {number} time  when it began, in seconds of the clip
 * @param {number[][]} samples  [seconds since the press, dx, dy], the last at the release
 * @param {number} maxDuration  seconds from the press to the end of the clip, where the drag is cut off
 */
export function pokeFromDrag(point, time, samples, maxDuration) {
  const path = simplifyPath(cutPath(mergeClose(samples), Math.max(maxDuration, MIN_HOLD)));
  const [hold, dx, dy] = path.at(-1);
  return { ...point, dx, dy, time, hold, kind: "pull", path };
}

/** Samples in strictly increasing time: of samples closer than MIN_SAMPLE_INTERVAL, the later one counts. */
function mergeClose(samples) {
  const merged = [];
  for (const [time, ...offset] of samples) {
    const previous = merged.at(-1);
    if (previous && time - previous[0] < MIN_SAMPLE_INTERVAL) merged[merged.length - 1] = [previous[0], ...offset];
    else merged.push([time, ...offset]);
  }
  if (merged.length === 1) merged.push([merged[0][0] + MIN_HOLD, ...merged[0].slice(1)]);
  return merged;
}

/** Samples up to a duration, with one interpolated at its end. */
function cutPath(samples, duration) {
  const after = samples.findIndex(([t]) => t > duration);
  if (after < 0) return samples;
  if (after === 0) return [[duration, ...samples[0].slice(1)]];
  const [a, b] = [samples[after - 1], samples[after]];
  const s = (duration - a[0]) / (b[0] - a[0]);
  return [...samples.slice(0, after), [duration, a[1] + s * (b[1] - a[1]), a[2] + s * (b[2] - a[2])]];
}

/** At most MAX_PATH_POINTS of the samples: those farthest from a line between their neighbors (Douglas-Peucker). */
export function simplifyPath(samples) {
  const kept = new Set([0, samples.length - 1]);
  while (kept.size < Math.min(MAX_PATH_POINTS, samples.length)) {
    const ends = [...kept].sort((a, b) => a - b);
    let [maxDistance, farthest] = [PATH_TOLERANCE, -1];
    for (let e = 0; e + 1 < ends.length; e++) {
      const [a, b] = [samples[ends[e]], samples[ends[e + 1]]];
      for (let i = ends[e] + 1; i < ends[e + 1]; i++) {
        const s = (samples[i][0] - a[0]) / (b[0] - a[0]);
        const [dx, dy] = [1, 2].map((axis) => samples[i][axis] - a[axis] - s * (b[axis] - a[axis]));
        const distance = Math.hypot(dx, dy);
        if (distance > maxDistance) [maxDistance, farthest] = [distance, i];
      }
    }
    if (farthest < 0) break;
    kept.add(farthest);
  }
  return [...kept].sort((a, b) => a - b).map((i) => samples[i]);
}
