// The strip under the picture: a playhead that can be dragged and a bar for each poke, from press to release.
// DOM only, no ComfyUI.

import { make } from "./live_panel.js";

const LANES = 3;
const LANE_HEIGHT = 9;

export class PokeTimeline {
  /**
   * @param {object} actions
   * @param {(time: number) => void} actions.seek     the playhead was moved
   * @param {(index: number) => void} actions.select  a poke was chosen; -1: none
   * @param {() => void} actions.remove               the chosen poke is to go
   * @param {(index: number, time: number) => void} actions.move  a poke was moved in time
   */
  constructor(actions) {
    this.actions = actions;
    this.pokes = [];
    this.duration = 1;
    this.fps = 30;
    this.head = make("div", { className: "head" });
    this.root = make("div", {
      className: "gid-track",
      tabIndex: 0,
      title: "Time: drag to move the playhead",
      attributes: { role: "slider", "aria-label": "Time in the clip", "aria-valuemin": "0" },
    });
    this.root.dataset.testid = "gid-timeline";
    this.root.append(this.head);
    this.root.addEventListener("pointerdown", (event) => this.#press(event));
    this.root.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Draw the pokes anew; `selected` is the index of the chosen one, or -1. */
  show(pokes, duration, fps, selected) {
    this.pokes = pokes;
    this.duration = duration;
    this.fps = fps;
    this.root.setAttribute("aria-valuemax", duration.toFixed(2));
    const focused = this.root.contains(document.activeElement) ? document.activeElement.dataset.index : undefined;
    this.root.replaceChildren(...this.#ticks(), ...this.#bars(selected), this.head);
    if (focused !== undefined) this.root.querySelector(`[data-index="${focused}"]`)?.focus({ preventScroll: true });
  }

  setTime(time) {
    this.head.style.left = `${(100 * time) / this.duration}%`;
    const text = `${time.toFixed(1)} s`;
    if (this.root.getAttribute("aria-valuetext") !== text) {
      this.root.setAttribute("aria-valuetext", text);
      this.root.setAttribute("aria-valuenow", time.toFixed(2));
    }
  }

  #ticks() {
    const step = [1, 2, 5, 10, 30, 60, 300, 600].find((s) => this.duration / s <= 24) ?? 3600;
    const ticks = [];
    for (let time = step; time < this.duration; time += step) {
      const tick = make("div", { className: "tick" });
      tick.style.left = `${(100 * time) / this.duration}%`;
      ticks.push(tick);
    }
    return ticks;
  }

  #bars(selected) {
    const free = new Array(LANES).fill(-Infinity); // when each lane is free again
    return this.pokes.map((poke, index) => {
      const start = Math.min(poke.time, this.duration);
      const end = Math.min(poke.time + (poke.kind === "kick" ? 0 : poke.hold), this.duration);
      let lane = free.findIndex((until) => until <= start);
      if (lane < 0) lane = free.indexOf(Math.min(...free));
      free[lane] = Math.max(end, start + 0.03 * this.duration);
      const text = `Poke ${index + 1} at ${poke.time.toFixed(2)} s`;
      const bar = make("button", {
        type: "button",
        className: poke.kind,
        title: `${text}. Delete removes it, arrow keys move it.`,
        attributes: { "aria-label": text, "aria-pressed": String(index === selected) },
      });
      bar.dataset.index = String(index);
      bar.dataset.testid = "gid-poke";
      // A poke at the very end stays in sight.
      bar.style.left = `min(${(100 * start) / this.duration}%, 100% - 9px)`;
      bar.style.width = `${(100 * (end - start)) / this.duration}%`;
      bar.style.top = `${2 + lane * LANE_HEIGHT}px`;
      bar.addEventListener("focus", () => this.actions.select(index));
      bar.addEventListener("click", () => this.actions.select(index));
      return bar;
    });
  }

  /** Mark another poke as the chosen one. */
  mark(selected) {
    for (const bar of this.root.querySelectorAll("button")) {
      bar.setAttribute("aria-pressed", String(bar.dataset.index === String(selected)));
    }
  }

  #timeAt(event) {
    const box = this.root.getBoundingClientRect();
    return Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) * this.duration;
  }

  #press(event) {
    if (event.button !== 0) return;
    event.stopPropagation();
    const index = event.target.dataset.index;
    const poke = index === undefined ? null : this.pokes[Number(index)];
    const grabbed = this.#timeAt(event) - (poke?.time ?? 0);
    if (!poke) {
      this.actions.select(-1);
      this.actions.seek(this.#timeAt(event));
    }
    this.root.setPointerCapture(event.pointerId);
    const done = new AbortController();
    const options = { signal: done.signal };
    let moved = false;
    this.root.addEventListener(
      "pointermove",
      (move) => {
        move.stopPropagation();
        if (!poke) return this.actions.seek(this.#timeAt(move));
        moved ||= Math.abs(move.clientX - event.clientX) > 3;
        const bar = this.root.querySelector(`[data-index="${index}"]`);
        if (moved && bar) bar.style.left = `${(100 * this.#slot(this.#timeAt(move) - grabbed)) / this.duration}%`;
      },
      options,
    );
    const end = (up) => {
      up.stopPropagation();
      done.abort();
      if (poke && moved && up.type === "pointerup") {
        this.actions.move(Number(index), this.#slot(this.#timeAt(up) - grabbed));
      } else if (poke) this.root.querySelector(`[data-index="${index}"]`)?.focus({ preventScroll: true });
    };
    this.root.addEventListener("pointerup", end, options);
    this.root.addEventListener("pointercancel", end, options);
  }

  /** A time inside the clip, on a frame. */
  #slot(time) {
    return Math.min(Math.max(Math.round(time * this.fps) / this.fps, 0), this.duration - 1 / this.fps);
  }

  #key(event) {
    const index = event.target.dataset.index;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const now = Number(this.root.getAttribute("aria-valuenow") ?? 0);
    if (index !== undefined && step) {
      this.actions.move(Number(index), this.#slot(this.pokes[Number(index)].time + step / this.fps));
    } else if (index === undefined && step) this.actions.seek(now + (step * (event.shiftKey ? 10 : 1)) / this.fps);
    else if (index === undefined && event.key === "Home") this.actions.seek(0);
    else if (index === undefined && event.key === "End") this.actions.seek(this.duration);
    else if (index !== undefined && (event.key === "Delete" || event.key === "Backspace")) this.actions.remove();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
