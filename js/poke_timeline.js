// The timeline under the image: a playhead that can be dragged, and a bar for each poke, from press to release. It uses
// the DOM, but not ComfyUI.

import { createElement } from "./live_panel.js";
import { translate } from "./translate.js";

const LANES = 3; // rows of bars
const LANE_HEIGHT = 9; // pixels
const DRAG_THRESHOLD = 3; // pixels

export class PokeTimeline {
  /**
   * @param {object} actions
   * @param {(time: number) => void} actions.seek     moves the playhead
   * @param {(index: number) => void} actions.select  selects a poke, or none with -1
   * @param {() => void} actions.remove               deletes the selected poke
   * @param {(index: number, time: number) => void} actions.move  moves a poke in time
   */
  constructor(actions) {
    this.actions = actions;
    this.pokes = [];
    this.duration = 1;
    this.fps = 30;
    this.playhead = createElement("div", { className: "head" });
    this.root = createElement("div", {
      className: "gid-track",
      tabIndex: 0,
      title: translate("timeline_tip", "Time: drag to move the playhead"),
      attributes: { role: "slider", "aria-label": translate("timeline", "Time in the clip"), "aria-valuemin": "0" },
    });
    this.root.dataset.testid = "gid-timeline";
    this.root.append(this.playhead);
    this.root.addEventListener("pointerdown", (event) => this.#onPointerDown(event));
    this.root.addEventListener("keydown", (event) => this.#onKeyDown(event));
  }

  /** Redraw the pokes; `selected` is the index of the selected one, or -1. */
  show(pokes, duration, fps, selected) {
    this.pokes = pokes;
    this.duration = duration;
    this.fps = fps;
    this.root.setAttribute("aria-valuemax", duration.toFixed(2));
    const focused = this.root.contains(document.activeElement) ? document.activeElement.dataset.index : undefined;
    this.root.replaceChildren(...this.#ticks(), ...this.#bars(selected), this.playhead);
    if (focused !== undefined) this.root.querySelector(`[data-index="${focused}"]`)?.focus({ preventScroll: true });
  }

  setTime(time) {
    this.playhead.style.left = `${(100 * time) / this.duration}%`;
    const text = `${time.toFixed(1)} s`;
    if (this.root.getAttribute("aria-valuetext") !== text) {
      this.root.setAttribute("aria-valuetext", text);
      this.root.setAttribute("aria-valuenow", time.toFixed(2));
    }
  }

  #ticks() {
    const step = [1, 2, 5, 10, 30, 60, 300, 600].find((seconds) => this.duration / seconds <= 24) ?? 3600;
    const ticks = [];
    for (let time = step; time < this.duration; time += step) {
      const tick = createElement("div", { className: "tick" });
      tick.style.left = `${(100 * time) / this.duration}%`;
      ticks.push(tick);
    }
    return ticks;
  }

  #bars(selected) {
    const laneEnds = new Array(LANES).fill(-Infinity); // end of the last bar of each lane, in seconds
    return this.pokes.map((poke, index) => {
      const start = Math.min(poke.time, this.duration);
      const end = Math.min(poke.time + (poke.kind === "kick" ? 0 : poke.hold), this.duration);
      let lane = laneEnds.findIndex((laneEnd) => laneEnd <= start);
      if (lane < 0) lane = laneEnds.indexOf(Math.min(...laneEnds));
      laneEnds[lane] = Math.max(end, start + 0.03 * this.duration);
      const place = { number: index + 1, seconds: poke.time.toFixed(2) };
      const text = translate("poke_bar", "Poke {number} at {seconds} s", place);
      const tip = translate("poke_bar_tip", "{poke}. Delete removes it, arrow keys move it.", { poke: text });
      const bar = createElement("button", {
        type: "button",
        className: poke.kind,
        title: tip,
        attributes: { "aria-label": text, "aria-pressed": String(index === selected) },
      });
      bar.dataset.index = String(index);
      bar.dataset.testid = "gid-poke";
      // A poke at the very end of the clip stays visible.
      bar.style.left = `min(${(100 * start) / this.duration}%, 100% - 9px)`;
      bar.style.width = `${(100 * (end - start)) / this.duration}%`;
      bar.style.top = `${2 + lane * LANE_HEIGHT}px`;
      bar.addEventListener("focus", () => this.actions.select(index));
      bar.addEventListener("click", () => this.actions.select(index));
      return bar;
    });
  }

  /** Mark a poke as selected. */
  markSelected(selected) {
    for (const bar of this.root.querySelectorAll("button")) {
      bar.setAttribute("aria-pressed", String(bar.dataset.index === String(selected)));
    }
  }

  #timeAt(event) {
    const box = this.root.getBoundingClientRect();
    return Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) * this.duration;
  }

  #onPointerDown(event) {
    if (event.button !== 0) return;
    event.stopPropagation();
    const index = event.target.dataset.index;
    const poke = index === undefined ? null : this.pokes[Number(index)];
    const grabOffset = this.#timeAt(event) - (poke?.time ?? 0);
    if (!poke) {
      this.actions.select(-1);
      this.actions.seek(this.#timeAt(event));
    }
    this.root.setPointerCapture(event.pointerId);
    const abortController = new AbortController();
    const options = { signal: abortController.signal };
    let moved = false;
    this.root.addEventListener(
      "pointermove",
      (move) => {
        move.stopPropagation();
        if (!poke) return this.actions.seek(this.#timeAt(move));
        moved ||= Math.abs(move.clientX - event.clientX) > DRAG_THRESHOLD;
        const bar = this.root.querySelector(`[data-index="${index}"]`);
        const time = this.#snapToFrame(this.#timeAt(move) - grabOffset);
        if (moved && bar) bar.style.left = `${(100 * time) / this.duration}%`;
      },
      options,
    );
    const end = (up) => {
      up.stopPropagation();
      abortController.abort();
      if (poke && moved && up.type === "pointerup") {
        this.actions.move(Number(index), this.#snapToFrame(this.#timeAt(up) - grabOffset));
      } else if (poke) this.root.querySelector(`[data-index="${index}"]`)?.focus({ preventScroll: true });
    };
    this.root.addEventListener("pointerup", end, options);
    this.root.addEventListener("pointercancel", end, options);
  }

  /** The nearest frame's time inside the clip. */
  #snapToFrame(time) {
    return Math.min(Math.max(Math.round(time * this.fps) / this.fps, 0), this.duration - 1 / this.fps);
  }

  #onKeyDown(event) {
    const index = event.target.dataset.index;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const currentTime = Number(this.root.getAttribute("aria-valuenow") ?? 0);
    if (index !== undefined && step) {
      this.actions.move(Number(index), this.#snapToFrame(this.pokes[Number(index)].time + step / this.fps));
    } else if (index === undefined && step) {
      const frames = step * (event.shiftKey ? 10 : 1);
      this.actions.seek(currentTime + frames / this.fps);
    } else if (index === undefined && event.key === "Home") this.actions.seek(0);
    else if (index === undefined && event.key === "End") this.actions.seek(this.duration);
    else if (index !== undefined && (event.key === "Delete" || event.key === "Backspace")) this.actions.remove();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
