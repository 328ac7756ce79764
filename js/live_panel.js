// What the live widgets share: the stage with the picture, the clock, when to draw. DOM only, no ComfyUI.

import { ModalView } from "./webgl_view.js";
import { addStyle } from "./live_style.js";

const POLL_MS = 200; // how often hand edits are looked for while nothing plays
const MAX_STEP = 0.1; // seconds that the clock moves on at most in one frame, so that a hidden tab does not jump
const MAX_SIDE = 1280; // device pixels of the drawing's longest side
const SVG = "http://www.w3.org/2000/svg";

const ICONS = {
  play: "M7 4.5v15l12-7.5z",
  pause: "M8 5v14M16 5v14",
  undo: "M9 14 4 9l5-5M4 9h9a7 7 0 0 1 0 14h-2",
  delete: "M18 6 6 18M6 6l12 12",
  clear: "M4 7h16M10 11v6M14 11v6M6 7l1 13h10l1-13M9 7V4h6v3",
};

/** An element with properties, attributes (in `attributes`) and children. */
export function make(tag, { attributes = {}, ...properties } = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export function makeSvg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A button with an icon, and text where there is room for it. */
export function makeButton(icon, text, tooltip, action) {
  const path = makeSvg("path", { d: ICONS[icon] });
  const button = make("button", { type: "button", title: tooltip, attributes: { "aria-label": tooltip } });
  button.append(makeSvg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, path));
  if (text) button.append(make("span", { textContent: text }));
  button.addEventListener("click", action);
  button.setIcon = (name) => path.setAttribute("d", ICONS[name]);
  return button;
}

/** An arrow over the picture, drawn from one point to another (fractions of the picture). */
export class Arrow {
  constructor(panel, className = "") {
    this.panel = panel;
    this.dark = makeSvg("path", { class: "line dark" });
    this.light = makeSvg("path", { class: "line light" });
    this.tip = makeSvg("path", { class: "tip" });
    this.group = makeSvg("g", { class: className, visibility: "hidden" }, this.dark, this.light, this.tip);
    panel.overlay.append(this.group);
  }

  show(x, y, toX, toY) {
    const [width, height] = this.panel.pictureSize;
    const [x0, y0, x1, y1] = [x * width, y * height, toX * width, toY * height];
    const length = Math.hypot(x1 - x0, y1 - y0);
    const [ux, uy] = length > 0 ? [(x1 - x0) / length, (y1 - y0) / length] : [1, 0];
    const size = Math.min(11, length);
    const [bx, by] = [x1 - ux * size, y1 - uy * size];
    const half = size * 0.5;
    const ring = `M${x0 - 4},${y0}a4,4 0 1,0 8,0a4,4 0 1,0 -8,0`;
    const line = length > 4 ? `M${x0 + 4 * ux},${y0 + 4 * uy}L${bx},${by}` : "";
    this.dark.setAttribute("d", ring + line);
    this.light.setAttribute("d", ring + line);
    const tip = `M${x1},${y1}L${bx - uy * half},${by + ux * half}L${bx + uy * half},${by - ux * half}Z`;
    this.tip.setAttribute("d", length > 4 ? tip : "");
    this.group.setAttribute("visibility", "visible");
  }

  hide() {
    this.group.setAttribute("visibility", "hidden");
  }
}

/**
 * The stage, a play button and a clock. Who uses it sets
 *   duration: seconds of the clip, > 0
 *   fill(time, q): writes the modal coordinates of a moment into q, Float64Array [n, 2]
 *   onframe(time): after a frame was drawn
 *   onpoll(): several times a second while in view, to look for changes made elsewhere
 *   displacementAt(x, y, q): how far the picture moves there, in fractions of its sides
 */
export class LivePanel {
  constructor({ testid, label, hint }) {
    addStyle();
    this.duration = 1;
    this.time = 0;
    this.playing = false;
    this.repeat = true;
    this.fill = (time, q) => q.fill(0);
    this.onframe = this.onpoll = () => {};
    this.displacementAt = () => [0, 0];
    this.hint = hint;
    this.packet = null;
    this.view = null;
    this.q = new Float64Array(0);
    this.pictureSize = [1, 1];
    this.still = matchMedia("(prefers-reduced-motion: reduce)").matches;

    this.canvas = make("canvas", { tabIndex: 0, attributes: { role: "application", "aria-label": label } });
    this.canvas.dataset.testid = testid;
    this.overlay = makeSvg("svg", { class: "gid-overlay", "aria-hidden": "true" });
    this.picture = make("div", { className: "gid-picture" }, this.canvas, this.overlay);
    this.message = make("div", { className: "gid-message", attributes: { role: "status" } });
    this.stage = make("div", { className: "gid-stage" }, this.picture, this.message);
    this.playButton = makeButton("play", "", "Play (Space)", () => this.toggle());
    this.clock = make("div", { className: "gid-time" });
    this.bar = make("div", { className: "gid-bar" }, this.playButton, this.clock);
    this.root = make("div", { className: "gid-live" }, this.stage, this.bar);
    this.#handle();
    this.say("");

    this.listening = new AbortController();
    this.inView = false;
    this.resizing = new ResizeObserver(() => this.#fit());
    this.resizing.observe(this.stage);
    this.seeing = new IntersectionObserver((entries) => {
      this.inView = entries.at(-1).isIntersecting;
      this.#visibility();
    });
    this.seeing.observe(this.root);
    document.addEventListener("visibilitychange", () => this.#visibility(), { signal: this.listening.signal });
  }

  /** Show a packet (see live_packet.js), or say why there is none. */
  setPacket(packet) {
    this.packet = packet;
    this.view ??= new ModalView(this.canvas);
    if (!this.view.gl) return this.say("The live view needs WebGL 2, which this browser does not offer.");
    this.view.onrestored = () => this.request();
    this.view.load(packet);
    this.q = new Float64Array(2 * packet.header.bins);
    this.picture.classList.add("shown");
    this.stage.style.aspectRatio = packet.header.photo_size.toReversed().join(" / ");
    this.say("");
    this.#fit();
    this.request();
  }

  /** A line of text: in place of the picture while there is none, else over it. */
  say(text, wrong = false) {
    const line = text || (this.packet ? "" : this.hint);
    if (this.message.textContent !== line) this.message.textContent = line;
    this.message.classList.toggle("over", this.packet !== null);
    this.message.classList.toggle("wrong", wrong);
  }

  /** Height in pixels at which the picture fills a widget of some width; `rest` is what is not picture. */
  heightFor(width, rest) {
    const [height, across] = this.packet?.header.photo_size ?? [9, 16];
    return Math.round(Math.min(Math.max((width * height) / across, 140), 420)) + rest;
  }

  play() {
    if (this.playing || this.packet === null) return;
    if (this.time >= this.duration) this.time = 0;
    this.playing = true;
    this.last = null;
    this.#button();
    this.request();
  }

  pause() {
    this.playing = false;
    this.#button();
  }

  toggle() {
    this.repeat = true;
    if (this.playing) this.pause();
    else this.play();
  }

  seek(time) {
    this.time = Math.min(Math.max(time, 0), this.duration);
    this.last = null;
    this.request();
  }

  /** Draw with the next frame of the display, if anybody can see it. */
  request() {
    if (this.pending || !this.visible) return;
    this.pending = requestAnimationFrame((now) => this.#frame(now));
  }

  get visible() {
    return this.inView && document.visibilityState === "visible";
  }

  dispose() {
    this.listening.abort();
    this.resizing.disconnect();
    this.seeing.disconnect();
    clearInterval(this.polling);
    cancelAnimationFrame(this.pending);
    this.playing = this.inView = false;
    this.view?.dispose();
  }

  #frame(now) {
    this.pending = 0;
    if (this.playing) {
      if (this.held === undefined) this.time += Math.min((now - (this.last ?? now)) / 1000, MAX_STEP);
      if (this.time >= this.duration && this.held === undefined) {
        if (this.repeat) this.time %= this.duration;
        else {
          this.time = this.duration;
          this.pause();
        }
      }
    }
    // While something is held the clock is the hand's, and stops at the clip's end.
    if (this.held !== undefined) this.time = Math.min((now - this.held) / 1000, this.duration);
    this.last = now;
    this.onpoll();
    this.fill(this.time, this.q);
    this.view?.draw(this.q);
    this.clock.textContent = `${this.time.toFixed(2)} / ${this.duration.toFixed(2)} s`;
    this.onframe(this.time);
    if (this.playing || this.held !== undefined) this.request();
  }

  #visibility() {
    clearInterval(this.polling);
    if (!this.visible) return;
    this.last = null;
    this.polling = setInterval(() => this.playing || this.onpoll(), POLL_MS);
    this.request();
  }

  #button() {
    const text = this.playing ? "Pause (Space)" : "Play (Space)";
    this.playButton.setIcon(this.playing ? "pause" : "play");
    this.playButton.title = text;
    this.playButton.setAttribute("aria-label", text);
  }

  /** Fit the picture into the stage, sharp on the screen. */
  #fit() {
    if (!this.packet) return;
    const [height, width] = this.packet.header.photo_size;
    const scale = Math.min(this.stage.clientWidth / width, this.stage.clientHeight / height);
    if (!(scale > 0)) return;
    this.pictureSize = [width * scale, height * scale];
    this.picture.style.width = `${width * scale}px`;
    this.picture.style.height = `${height * scale}px`;
    const density = Math.min(devicePixelRatio || 1, MAX_SIDE / (scale * Math.max(width, height)));
    this.view?.resize(Math.max(1, Math.round(width * scale * density)), Math.max(1, Math.round(height * scale * density)));
    this.onresize?.();
    this.request();
  }

  /** What tests, and the curious, may read. */
  #handle() {
    const panel = this;
    this.canvas.gidView = Object.freeze({
      get frames() {
        return panel.view?.frames ?? 0;
      },
      get objects() {
        return panel.view?.objects.size ?? 0;
      },
      get ready() {
        return panel.view?.ready ?? false;
      },
      get playing() {
        return panel.playing;
      },
      get time() {
        return panel.time;
      },
      get duration() {
        return panel.duration;
      },
      /** [dx, dy] at a point and a moment of the clip, in fractions of the picture's width and height. */
      displacementAt(x, y, time) {
        const q = new Float64Array(panel.q.length);
        panel.fill(time, q);
        return panel.displacementAt(x, y, q);
      },
    });
  }
}
