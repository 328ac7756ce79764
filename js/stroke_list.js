// Strokes of the motion brush as JSON text and as a list, and the shortening of a drawn line; see
// gid_core/sources/stroke_list.py. Pure functions: no DOM, no ComfyUI.

import {
  DEFAULT_RADIUS, DEFAULT_SOFTNESS, DEFAULT_STIFFNESS, MAX_POINTS, MAX_POSITION, MAX_RADIUS, MAX_STIFFNESS, MAX_STROKES,
  MIN_POSITION, MIN_RADIUS, MIN_STIFFNESS, STROKE_KEYS, STROKE_KINDS,
} from "./constants.js";

const TOLERANCE = 0.08; // of the radius: how far a shortened line may deviate from the drawn one
const DEFAULTS = { radius: DEFAULT_RADIUS, softness: DEFAULT_SOFTNESS, stiffness: DEFAULT_STIFFNESS };
const LIMITS = { radius: [MIN_RADIUS, MAX_RADIUS], softness: [0, 1], stiffness: [MIN_STIFFNESS, MAX_STIFFNESS] };

/** A number rounded for the text: to 1/10,000 of the image. */
const round = (value) => Math.round(value * 1e4) / 1e4;

/**
 * Read strokes from JSON, as parse_strokes of gid_core does. Their points are [x, y, pressure].
 * @returns {{strokes: object[], error: string}} error describes what is wrong with the text, or is empty
 */
export function parseStrokes(text) {
  if (!String(text ?? "").trim()) return { strokes: [], error: "" };
  let list;
  try {
    list = JSON.parse(text);
  } catch {
    return { strokes: [], error: "The strokes are not JSON." };
  }
  if (!Array.isArray(list)) return { strokes: [], error: "The strokes must be a JSON list." };
  if (list.length > MAX_STROKES) return { strokes: [], error: `The strokes must be at most ${MAX_STROKES}.` };
  const problems = list.map(findProblem);
  const first = problems.findIndex(Boolean);
  if (first >= 0) return { strokes: [], error: `Stroke ${first + 1}: ${problems[first]}` };
  const full = ({ points, ...item }) => ({ ...DEFAULTS, ...item, points: points.map(([x, y, p = 1]) => [x, y, p]) });
  return { strokes: list.map(full), error: "" };
}

/** Write strokes as JSON, one per line and without default values. */
export function formatStrokes(strokes) {
  const list = strokes.map(({ kind, points, ...values }) => {
    const item = { kind, points: points.map((point) => shortPoint(point.map(round))) };
    for (const [name, value] of Object.entries(DEFAULTS)) if (values[name] !== value) item[name] = round(values[name]);
    return JSON.stringify(item);
  });
  return list.length ? `[${list.join(",\n ")}]` : "";
}

const shortPoint = ([x, y, pressure]) => (pressure === 1 ? [x, y] : [x, y, pressure]);

/** What is wrong with an item of the list, or an empty text. */
function findProblem(item) {
  if (item === null || typeof item !== "object" || Array.isArray(item)) return "it must be an object.";
  const unknown = Object.keys(item).find((key) => !STROKE_KEYS.includes(key));
  if (unknown !== undefined) return `"${unknown}" is not known.`;
  if (!STROKE_KINDS.includes(item.kind)) return `kind must be one of ${STROKE_KINDS.join(", ")}.`;
  const inside = (value, low, high) => typeof value === "number" && value >= low && value <= high;
  const isPoint = (point) =>
    Array.isArray(point) && (point.length === 2 || point.length === 3) &&
    point.every((value, i) => (i < 2 ? inside(value, MIN_POSITION, MAX_POSITION) : inside(value, 0, 1)));
  const { points } = item;
  if (!Array.isArray(points) || !points.length || points.length > MAX_POINTS || !points.every(isPoint)) {
    return `points must be a list of 1 to ${MAX_POINTS} points [x, y] or [x, y, pressure].`;
  }
  const [[x, y], [toX, toY] = [x, y]] = points;
  if (item.kind === "arrow" && (points.length !== 2 || (x === toX && y === toY))) return "an arrow has two ends.";
  for (const [name, [low, high]] of Object.entries(LIMITS)) {
    const { [name]: value = DEFAULTS[name] } = item; // null is no number
    if (!inside(value, low, high)) return `${name} is ${JSON.stringify(value)}; it must be ${low} to ${high}.`;
  }
  return "";
}

/**
 * Those points of a drawn line that it needs (Douglas-Peucker): [x, y, pressure], x and y in fractions of the image.
 * @param {number[][]} points
 * @param {number} radius  of the brush, a fraction of the image's longer side
 * @param {number[]} size  [height, width] of the image in any unit
 */
export function shortenLine(points, radius, [height, width]) {
  const scale = [width, height].map((side) => side / Math.max(width, height));
  const place = ([x, y, pressure]) => [x * scale[0], y * scale[1], pressure * radius];
  const kept = new Set([0, points.length - 1]);
  const parts = [[0, points.length - 1]];
  while (parts.length && kept.size < MAX_POINTS) {
    const [a, b] = parts.pop();
    const [start, end] = [place(points[a]), place(points[b])];
    const direction = end.map((value, axis) => value - start[axis]);
    const length = direction[0] ** 2 + direction[1] ** 2;
    let [maxDistance, farthest] = [TOLERANCE * radius, -1];
    for (let i = a + 1; i < b; i++) {
      const offset = place(points[i]).map((value, axis) => value - start[axis]);
      const along = length > 0 ? (offset[0] * direction[0] + offset[1] * direction[1]) / length : 0;
      const s = Math.min(Math.max(along, 0), 1);
      const distance = Math.hypot(...offset.map((value, axis) => value - s * direction[axis]));
      if (distance > maxDistance) [maxDistance, farthest] = [distance, i];
    }
    if (farthest < 0) continue;
    kept.add(farthest);
    parts.push([a, farthest], [farthest, b]);
  }
  return [...kept].sort((a, b) => a - b).map((i) => points[i]);
}
