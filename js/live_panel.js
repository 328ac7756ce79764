// Shared by the live widgets: the stage with the image, the clock, and the scheduling of drawing. It uses the DOM, but
// not ComfyUI.

import { WebGLView } from "./webgl_view.js";
import { addStyle } from "./live_style.js";
import { translate } from "./translate.js";

const POLL_INTERVAL_MS = 200; // how often to look for changed widgets while nothing plays
const MAX_CLOCK_STEP = 0.1; // seconds per displayed frame, so that the clock does not jump after a delay
const MAX_CANVAS_SIZE = 1280; // device pixels of the canvas's longer side
const SVG_NAMESPACE = "http://www.w3.org/2000/svg";

const ICONS = {
  play: "M7 4.5v15l12-7.5z",
  pause: "M8 5v14M16 5v14",
  undo: "M9 14 4 9l5-5M4 9h9a7 7 0 0 1 0 14h-2",
  delete: "M18 6 6 18M6 6l12 12",
  redo: "m15 14 5-5-5-5M20 9h-9a7 7 0 0 0 0 14h2",
  brush: "M4 20c3 0 5-1 5-4l9-11a2 2 0 0 1 3 3L10 17",
  pin: "M12 15v7M8 3h8l-1 7 3 5H6l3-5z",
  arrow: "M4 20 20 4M10 4h10v10",
  erase: "m4 15 9-9 7 7-7 7H9zM8 11l7 7",
  clear: "M4 7h16M10 11v6M14 11v6M6 7l1 13h10l1-13M9 7V4h6v3",
};

/** Create an HTML element with properties, attributes (in `attributes`) and children. */
export function createElement(tag, { attributes = {}, ...properties } = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Create an SVG element with attributes and children. */
export function createSvgElement(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG_NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Create a button with an icon, and with text if the widget is wide enough. */
export function createButton(icon, text, tooltip, action) {
  const path = createSvgElement("path", { d: ICONS[icon] });
  const button = createElement("button", { type: "button", title: tooltip, attributes: { "aria-label": tooltip } });
  button.append(createSvgElement("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, path));
  if (text) button.append(createElement("span", { textContent: text }));
  button.addEventListener("click", action);
  button.setIcon = (name) => path.setAttribute("d", ICONS[name]);
  return button;
}

/** An arrow over the image, from one point to another, both in fractions of the image. */
export class Arrow {
  constructor(panel, className = "") {
    this.panel = panel;
    this.dark = createSvgElement("path", { class: "line dark" });
    this.light = createSvgElement("path", { class: "line light" });
    this.tip = createSvgElement("path", { class: "tip" });
    this.group = createSvgElement("g", { class: className, visibility: "hidden" }, this.dark, this.light, this.tip);
    panel.overlay.append(this.group);
  }

  show(x, y, toX, toY) {
    const [width, height] = this.panel.imageSize;
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
 * The stage, a play button and a clock. Its owner sets
 *   duration: length of the clip in seconds, > 0
 *   evaluate(time, q): writes the modal coordinates at a time into q, Float64Array [n, 2]
 *   onFrame(time): called after each drawn frame
 *   onPoll(): called several times per second while in view, to look for changes made elsewhere
 *   onResize(): called when the size of the image changes
 *   displacementAt(x, y, q): displacement of a point, in fractions of the image's sides
 */
export class LivePanel {
  constructor({ testid, label, hint }) {
    addStyle();
    this.duration = 1;
    this.time = 0;
    this.playing = false;
    this.repeat = true;
    this.evaluate = (time, q) => q.fill(0);
    this.onFrame = this.onPoll = this.onResize = () => {};
    this.displacementAt = () => [0, 0];
    this.hint = hint;
    this.packet = null;
    this.view = null;
    this.q = new Float64Array(0);
    this.imageSize = [1, 1];
    this.prefersReducedMotion = matchMedia("(prefers-reduced-motion: reduce)").matches;

    this.canvas = createElement("canvas", { tabIndex: 0, attributes: { role: "application", "aria-label": label } });
    this.canvas.dataset.testid = testid;
    this.overlay = createSvgElement("svg", { class: "gid-overlay", "aria-hidden": "true" });
    this.imageBox = createElement("div", { className: "gid-image" }, this.canvas, this.overlay);
    this.message = createElement("div", { className: "gid-message", attributes: { role: "status" } });
    this.stage = createElement("div", { className: "gid-stage" }, this.imageBox, this.message);
    this.playButton = createButton("play", "", translate("play", "Play (Space)"), () => this.toggle());
    this.clock = createElement("div", { className: "gid-time" });
    this.bar = createElement("div", { className: "gid-bar" }, this.playButton, this.clock);
    this.root = createElement("div", { className: "gid-live" }, this.stage, this.bar);
    this.#exposeState();
    this.setMessage("");

    this.abortController = new AbortController();
    this.inView = false;
    this.resizeObserver = new ResizeObserver(() => this.#fitImage());
    this.resizeObserver.observe(this.stage);
    this.intersectionObserver = new IntersectionObserver((entries) => {
      this.inView = entries.at(-1).isIntersecting;
      this.#updateVisibility();
    });
    this.intersectionObserver.observe(this.root);
    const { signal } = this.abortController;
    document.addEventListener("visibilitychange", () => this.#updateVisibility(), { signal });
  }

  /** Show a packet (see live_packet.js), or a message if this browser cannot. */
  setPacket(packet) {
    this.packet = packet;
    this.view ??= new WebGLView(this.canvas);
    if (!this.view.gl) {
      const text = translate("no_webgl", "The live view needs WebGL 2, which this browser does not offer.");
      return this.setMessage(text);
    }
    this.view.onRestored = () => this.requestDraw();
    this.view.load(packet);
    this.q = new Float64Array(2 * packet.header.bins);
    this.imageBox.classList.add("shown");
    this.stage.style.aspectRatio = packet.header.photo_size.toReversed().join(" / ");
    this.setMessage("");
    this.#fitImage();
    this.requestDraw();
  }

  /** Show a line of text: over the image, or in its place while there is none. */
  setMessage(text, isError = false) {
    const line = text || (this.packet ? "" : this.hint);
    if (this.message.textContent !== line) this.message.textContent = line;
    this.message.classList.toggle("over", this.packet !== null);
    this.message.classList.toggle("error", isError);
  }

  /** Height in pixels at which the image fills a widget of this width. `controlsHeight`: everything but the image. */
  heightFor(width, controlsHeight) {
    const [photoHeight, photoWidth] = this.packet?.header.photo_size ?? [9, 16];
    return Math.round(Math.min(Math.max((width * photoHeight) / photoWidth, 140), 420)) + controlsHeight;
  }

  play() {
    if (this.playing || this.packet === null) return;
    if (this.time >= this.duration) this.time = 0;
    this.playing = true;
    this.lastFrameTime = null;
    this.#updatePlayButton();
    this.requestDraw();
  }

  pause() {
    this.playing = false;
    this.#updatePlayButton();
  }

  toggle() {
    this.repeat = true;
    if (this.playing) this.pause();
    else this.play();
  }

  seek(time) {
    this.time = Math.min(Math.max(time, 0), this.duration);
    this.lastFrameTime = null;
    this.requestDraw();
  }

  /** Draw with the next frame of the display, if the widget is visible. */
  requestDraw() {
    if (this.pendingFrame || !this.visible) return;
    this.pendingFrame = requestAnimationFrame((now) => this.#drawFrame(now));
  }

  get visible() {
    return this.inView && document.visibilityState === "visible";
  }

  dispose() {
    this.abortController.abort();
    this.resizeObserver.disconnect();
    this.intersectionObserver.disconnect();
    clearInterval(this.pollTimer);
    cancelAnimationFrame(this.pendingFrame);
    this.playing = this.inView = false;
    this.view?.dispose();
  }

  #drawFrame(now) {
    this.pendingFrame = 0;
    const dragging = this.clipStartMs !== undefined; // the poke editor sets it during a drag
    if (this.playing && !dragging) {
      this.time += Math.min((now - (this.lastFrameTime ?? now)) / 1000, MAX_CLOCK_STEP);
      if (this.time >= this.duration) {
        if (this.repeat) this.time %= this.duration;
        else {
          this.time = this.duration;
          this.pause();
        }
      }
    }
    // During a drag the clock follows real time and stops at the end of the clip.
    if (dragging) this.time = Math.min((now - this.clipStartMs) / 1000, this.duration);
    this.lastFrameTime = now;
    this.onPoll();
    this.evaluate(this.time, this.q);
    this.view?.draw(this.q);
    this.clock.textContent = `${this.time.toFixed(2)} / ${this.duration.toFixed(2)} s`;
    this.onFrame(this.time);
    if (this.playing || this.clipStartMs !== undefined) this.requestDraw();
  }

  #updateVisibility() {
    clearInterval(this.pollTimer);
    if (!this.visible) return;
    this.lastFrameTime = null;
    this.pollTimer = setInterval(() => this.playing || this.onPoll(), POLL_INTERVAL_MS);
    this.requestDraw();
  }

  #updatePlayButton() {
    const text = this.playing ? translate("pause", "Pause (Space)") : translate("play", "Play (Space)");
    this.playButton.setIcon(this.playing ? "pause" : "play");
    this.playButton.title = text;
    this.playButton.setAttribute("aria-label", text);
  }

  /** Fit the image into the stage, and the canvas to the pixels of the screen. */
  #fitImage() {
    if (!this.packet) return;
    const [height, width] = this.packet.header.photo_size;
    const scale = Math.min(this.stage.clientWidth / width, this.stage.clientHeight / height);
    if (!(scale > 0)) return;
    this.imageSize = [width * scale, height * scale];
    this.imageBox.style.width = `${width * scale}px`;
    this.imageBox.style.height = `${height * scale}px`;
    const density = Math.min(devicePixelRatio || 1, MAX_CANVAS_SIZE / (scale * Math.max(width, height)));
    const pixels = [width, height].map((side) => Math.max(1, Math.round(side * scale * density)));
    this.view?.resize(...pixels);
    this.onResize();
    this.requestDraw();
  }

  /** Put a read-only view of the state on the canvas, for tests and for debugging. */
  #exposeState() {
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
      /** [dx, dy] of a point at a time of the clip, in fractions of the image's width and height. */
      displacementAt(x, y, time) {
        const q = new Float64Array(panel.q.length);
        panel.evaluate(time, q);
        return panel.displacementAt(x, y, q);
      },
    });
  }
}
