// What moves an interactive photo: its loop, wind, and pokes, added up in real time. Pure maths: no DOM, no ComfyUI.

import { findPull, pokeMotion } from "./poke.js";
import { pokeFromDrag } from "./poke_list.js";
import { windMotion } from "./wind.js";

// As the nodes' inputs, with a lower limit: larger displacements tear outlines.
const SETTINGS = Object.freeze({
  numFrames: Infinity, fps: 30, damping: {}, speed: 1, strength: 1, maxDisplacement: 0.05, integrator: "exact",
});
const LOOP_FADE = 0.8; // seconds in which the loop begins and ends
const WIND_FRAMES = 720; // of the wind, which repeats after them
const WIND_GUSTINESS = 0.7;
const WIND_DIRECTIONS = Object.freeze({ right: 0, left: 180 }); // degrees
const WIND_RISE = 0.5; // seconds in which the wind follows its setting, to 1 / e
const MAX_WIND = 2; // strength of the wind at the setting 1
const CALM_WIND = 0.002; // below, the wind has ceased
const MAX_POKES = 16; // of the latest; more would take time and add little
const POKE_SECONDS = 30; // from its release until a poke has died out: to 1 / 400 with the usual damping

export class PhotoMotion {
  #pokes = []; // {start, end, motion}: when each began and when it will have died out
  #held = null; // {point, pull, start, samples, dx, dy}
  #winds = {}; // motion by direction; made when it first blows
  #loopTime = 0;
  #loopLevel = 0;
  #wind = 0;

  /** @param {import("./modes.js").Modes} modes  how the photo can move */
  constructor(modes) {
    this.modes = modes;
    this.time = 0; // seconds
    this.playing = false; // whether the loop plays
    this.windTarget = 0; // -1 blows to the left, 1 to the right
    this.part = new Float64Array(2 * modes.count);
  }

  /** Whether nothing moves, and nothing will. */
  get calm() {
    const active = this.playing || this.#loopLevel > 0 || this.windTarget !== 0 || this.#wind !== 0;
    return this.modes.count === 0 || !(active || this.#held || this.#pokes.length);
  }

  /** Let some seconds pass. */
  advance(seconds) {
    this.time += seconds;
    const step = seconds / LOOP_FADE;
    this.#loopLevel = Math.min(Math.max(this.#loopLevel + (this.playing ? step : -step), 0), 1);
    if (this.#loopLevel > 0) this.#loopTime += seconds;
    else this.#loopTime = 0; // so that it begins with the photo again
    this.#wind += (this.windTarget - this.#wind) * -Math.expm1(-seconds / WIND_RISE);
    if (this.windTarget === 0 && Math.abs(this.#wind) < CALM_WIND) this.#wind = 0;
    this.#pokes = this.#pokes.filter(({ end }) => this.time < end);
  }

  /** Write the modal coordinates of this moment into q, Float64Array [n, 2]. */
  coordinates(q) {
    q.fill(0);
    const level = this.#loopLevel;
    if (level > 0) this.modes.addLoop(this.#loopTime, level * level * (3 - 2 * level), q);
    if (this.#wind !== 0) this.#addWind(q);
    for (const { start, motion } of this.#pokes) {
      motion.at(this.time - start, this.part);
      this.#add(q, 1);
    }
    if (this.#held) {
      this.#held.pull.heldCoordinates(this.#held.dx, this.#held.dy, SETTINGS, this.part);
      this.#add(q, 1);
    }
  }

  /** The point that moves most: [x, y] in fractions of the image. */
  get liveliestPoint() {
    const { activity, columns, rows } = this.modes;
    const pixel = activity.indexOf(activity.reduce((a, b) => Math.max(a, b), 0));
    return [((pixel % columns) + 0.5) / columns, (Math.floor(pixel / columns) + 0.5) / rows];
  }

  /** Strike a point, in fractions of the image. Returns whether anything moves there. */
  kick(x, y, dx, dy) {
    return this.#addPoke({ x, y, dx, dy, time: 0, hold: 0, kind: "kick", path: [] }, this.time);
  }

  /** Take hold of a point, in fractions of the image. Returns whether anything moves there. */
  grab(x, y) {
    const pull = findPull(this.modes, x, y);
    if (pull) this.#held = { point: { x, y }, pull, start: this.time, samples: [[0, 0, 0]], dx: 0, dy: 0 };
    return pull !== null;
  }

  /** Draw the point that is held to an offset, in fractions of the image, `seconds` after it was taken hold of. */
  drag(dx, dy, seconds) {
    if (this.#held === null) return;
    Object.assign(this.#held, { dx, dy });
    this.#held.samples.push([seconds, dx, dy]);
  }

  /** Let go of the point that is held: it swings on. */
  release() {
    const held = this.#held;
    this.#held = null;
    if (held === null || held.samples.length < 2) return;
    const poke = pokeFromDrag(held.point, 0, held.samples, Infinity);
    this.#addPoke(poke, this.time - poke.hold);
  }

  #addPoke(poke, start) {
    const motion = pokeMotion(this.modes, [poke], SETTINGS);
    if (motion.staticPokes.length) return false;
    this.#pokes = [...this.#pokes, { start, end: this.time + POKE_SECONDS, motion }].slice(-MAX_POKES);
    return true;
  }

  #add(q, factor) {
    for (let i = 0; i < q.length; i++) q[i] += factor * this.part[i];
  }

  #addWind(q) {
    const direction = this.#wind > 0 ? "right" : "left";
    const motion = (this.#winds[direction] ??= windMotion(this.modes, {
      ...SETTINGS, numFrames: WIND_FRAMES, loops: true, seed: 0, gustiness: WIND_GUSTINESS,
      direction: WIND_DIRECTIONS[direction],
    }));
    motion.at(this.time % (WIND_FRAMES / SETTINGS.fps), this.part);
    const strength = MAX_WIND * Math.abs(this.#wind);
    const limit = (value) => this.modes.limitFactor(value, SETTINGS.maxDisplacement);
    this.#add(q, (strength * limit(strength)) / limit(1)); // the motion has strength 1
  }
}
