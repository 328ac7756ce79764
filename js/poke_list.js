// Pokes as text and as a list, and a drag made into one. Pure: no DOM, no ComfyUI.

import { offsetOf } from "./poke.js";

export const MAX_POINTS = 12;
const KEYS = new Set(["x", "y", "dx", "dy", "time", "hold", "kind", "path"]);
const DEFAULT_HOLD = 0.2;

/** A number rounded for the text: a tenth of a millisecond, a ten-thousandth of the picture. */
const short = (value) => Math.round(value * 1e4) / 1e4;

/**
 * The pokes of a JSON text, as gid_core.dynamics.poke.parse_pokes reads it.
 * @returns {{pokes: object[], error: string}} what could be read; error says what is wrong, in words, or is empty
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
    const wrong = faultOf(item);
    if (wrong) return { pokes: [], error: `Poke ${index + 1}: ${wrong}` };
    const path = (item.path ?? []).map((point) => point.map(Number));
    const poke = { time: 0, hold: DEFAULT_HOLD, kind: "pull", ...item, path };
    if (path.length) [poke.hold, poke.dx, poke.dy] = path.at(-1);
    pokes.push(poke);
  }
  return { pokes, error: "" };
}

/** The text of a list of pokes; what is as by default is left out. */
export function formatPokes(pokes) {
  const list = pokes.map(({ x, y, dx, dy, time, hold, kind, path }) => {
    const item = { x: short(x), y: short(y), dx: short(dx), dy: short(dy), time: short(time) };
    if (kind !== "pull") item.kind = kind;
    else if (hold !== DEFAULT_HOLD) item.hold = short(hold);
    if (path.length) item.path = path.map((point) => point.map(short));
    return item;
  });
  return `[${list.map((item) => JSON.stringify(item)).join(",\n ")}]`;
}

function faultOf(item) {
  if (item === null || typeof item !== "object" || Array.isArray(item)) return "it must be an object.";
  const unknown = Object.keys(item).find((key) => !KEYS.has(key));
  if (unknown !== undefined) return `"${unknown}" is not known.`;
  const path = item.path ?? [];
  if (!Array.isArray(path)) return "path must be a list of [seconds, dx, dy].";
  if (path.length && item.kind === "kick") return "path belongs to a pull; a kick has none.";
  const between = (name, low, high, needed = true) => {
    const value = item[name];
    if (value === undefined && !needed) return "";
    const fine = typeof value === "number" && value >= low && value <= high;
    return fine ? "" : `${name} is ${JSON.stringify(value) ?? "missing"}; it must be ${low} to ${high}.`;
  };
  const needed = path.length === 0;
  const ranges = [
    between("x", 0, 1), between("y", 0, 1), between("dx", -1, 1, needed), between("dy", -1, 1, needed),
    between("time", 0, 1e6, false), between("hold", 0, 1e6, false),
  ];
  const wrong = ranges.find(Boolean);
  if (wrong) return wrong;
  if (!["pull", "kick"].includes(item.kind ?? "pull")) return 'kind must be "pull" or "kick".';
  let last = -Infinity;
  for (const point of path) {
    const [time, dx, dy] = Array.isArray(point) && point.length === 3 ? point : [NaN, NaN, NaN];
    if (!(time >= 0 && time > last && Math.abs(dx) <= 1 && Math.abs(dy) <= 1)) {
      return "path must be [seconds, dx, dy] in rising time, dx and dy within 1.";
    }
    last = time;
  }
  return "";
}

/** Where a poke pulls to, `seconds` after its press: [dx, dy], or null when it does not pull then. */
export function pullAt(poke, seconds) {
  return poke.kind === "kick" || seconds < 0 || seconds > poke.hold ? null : offsetOf(poke, seconds);
}

/**
 * A drag made into a poke.
 * @param {{x: number, y: number}} point  where it began
 * @param {number} time  when it began, seconds of the clip
 * @param {number[][]} samples  [seconds since the press, dx, dy], the last at the release
 * @param {number} room  seconds from the press to the end of the clip: the rest is cut off
 */
export function pokeOf(point, time, samples, room) {
  const path = thin(cut(distinct(samples), Math.max(room, 0.01)));
  const [hold, dx, dy] = path.at(-1);
  return { ...point, dx, dy, time, hold, kind: "pull", path };
}

/** Samples in strictly rising time: of those less than 4 ms apart the later counts. */
function distinct(samples) {
  const kept = [];
  for (const sample of samples) {
    if (kept.length && sample[0] - kept.at(-1)[0] < 0.004) kept[kept.length - 1] = [kept.at(-1)[0], ...sample.slice(1)];
    else kept.push(sample);
  }
  if (kept.length === 1) kept.push([kept[0][0] + 0.01, ...kept[0].slice(1)]);
  return kept;
}

function cut(samples, room) {
  const after = samples.findIndex(([t]) => t > room);
  if (after < 0) return samples;
  if (after === 0) return [[room, ...samples[0].slice(1)]];
  const [a, b] = [samples[after - 1], samples[after]];
  const s = (room - a[0]) / (b[0] - a[0]);
  return [...samples.slice(0, after), [room, a[1] + s * (b[1] - a[1]), a[2] + s * (b[2] - a[2])]];
}

/** At most MAX_POINTS of the samples: those that a line between their neighbors misses most (Douglas-Peucker). */
export function thin(samples) {
  const kept = new Set([0, samples.length - 1]);
  while (kept.size < Math.min(MAX_POINTS, samples.length)) {
    const ends = [...kept].sort((a, b) => a - b);
    let [worst, at] = [0.002, -1]; // fractions of the picture; less than this nobody sees
    for (let e = 0; e + 1 < ends.length; e++) {
      const [a, b] = [samples[ends[e]], samples[ends[e + 1]]];
      for (let i = ends[e] + 1; i < ends[e + 1]; i++) {
        const s = (samples[i][0] - a[0]) / (b[0] - a[0]);
        const miss = Math.hypot(samples[i][1] - a[1] - s * (b[1] - a[1]), samples[i][2] - a[2] - s * (b[2] - a[2]));
        if (miss > worst) [worst, at] = [miss, i];
      }
    }
    if (at < 0) break;
    kept.add(at);
  }
  return [...kept].sort((a, b) => a - b).map((i) => samples[i]);
}
