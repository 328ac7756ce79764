// The script of an interactive photo, a page in one file that gid_core/rendering/interactive_page.py writes with all
// modules in it. It asks no server for anything. In ComfyUI's page it does nothing.

import { dequantize, parsePacket } from "./live_packet.js";
import { Modes } from "./modes.js";
import { PhotoMotion } from "./photo_motion.js";
import { WebGLView } from "./webgl_view.js";

const MAX_CANVAS_SIZE = 2048; // device pixels of the canvas's longer side
const MAX_CLOCK_STEP = 0.1; // seconds per displayed frame, so that nothing jumps after a delay
const DRAG_THRESHOLD = 4; // pixels; a shorter drag is a tap
const TAP_KICK = 0.02; // of the image's width, as the other lengths
const KEY_KICK = 0.03;
const CURSOR_STEP = 0.03;
const WIND_DEADBAND = 0.06; // of the slider, around calm
const FULL_TILT = 30; // degrees, for the strongest wind
const TILT_DEADBAND = 3; // degrees
const SENSOR_SECONDS = 1.5; // in which a tilt sensor must answer
const MESSAGE_SECONDS = 2.5;
const CONTROLS_SECONDS = 4; // after which untouched controls fade
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const find = (id) => document.getElementById(id);
const clamp = (value, min, max) => Math.min(Math.max(value, min), max);

/** Bring the page's photo to life. Where that is not possible, the page keeps showing the photo. */
export async function startPage() {
  try {
    await new InteractivePhoto().start();
  } catch (error) {
    document.documentElement.classList.remove("live");
    find("message").textContent = "This browser shows the photo without its motion.";
    console.warn(`gid: ${error.message}`);
  }
}

/** The packet in the page (see live_packet.js): base64 of zlib. The photo is the page's image. */
async function readPacket(image) {
  const bytes = Uint8Array.from(atob(find("volume").textContent), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const packet = parsePacket(await new Response(stream).arrayBuffer());
  packet.values = dequantize(packet);
  await image.decode();
  packet.bitmap = await createImageBitmap(image);
  return packet;
}

class InteractivePhoto {
  #pendingFrame = 0;
  #lastFrameTime = null;
  #inView = true;
  #messageTimer = 0;
  #controlsTimer = 0;
  #kickSign = 1;

  constructor() {
    for (const id of ["canvas", "message", "cursor", "play", "wind", "tilt"]) this[id] = find(id);
    this.drag = null;
    this.reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
  }

  async start() {
    this.view = new WebGLView(this.canvas);
    if (!this.view.gl) throw new Error("WebGL 2 is missing");
    const packet = await readPacket(find("photo"));
    this.modes = new Modes(packet);
    this.motion = new PhotoMotion(this.modes);
    this.q = new Float64Array(2 * this.modes.count);
    [this.photoHeight, this.photoWidth] = packet.header.photo_size;
    this.point = this.motion.liveliestPoint; // of the keyboard
    this.view.onRestored = () => this.#requestFrame();
    this.view.load(packet);
    new ResizeObserver(() => this.#fitCanvas()).observe(this.canvas);
    this.#fitCanvas();
    this.#listenToPointer();
    this.#listenToKeys();
    this.#listenToControls();
    this.#pauseWhenHidden();
    this.#exposeState();
    document.documentElement.classList.add("live");
    this.#showControls();
    this.message.textContent = "Drag the photo";
    if (this.#wantsAutoplay()) this.#play(true);
    this.#requestFrame();
  }

  // -- drawing -------------------------------------------------------------------------------------------

  /** Draw with the next frame of the display, and go on as long as anything moves. */
  #requestFrame() {
    if (this.#pendingFrame || !this.#inView || document.visibilityState !== "visible") return;
    this.#pendingFrame = requestAnimationFrame((now) => this.#drawFrame(now));
  }

  #drawFrame(now) {
    this.#pendingFrame = 0;
    this.motion.advance(Math.min((now - (this.#lastFrameTime ?? now)) / 1000, MAX_CLOCK_STEP));
    this.#lastFrameTime = now;
    this.motion.coordinates(this.q);
    this.view.draw(this.q);
    if (this.motion.calm) this.#lastFrameTime = null;
    else this.#requestFrame();
  }

  #fitCanvas() {
    const { clientWidth, clientHeight } = this.canvas;
    const density = Math.min(devicePixelRatio || 1, MAX_CANVAS_SIZE / Math.max(clientWidth, clientHeight, 1));
    const pixels = [clientWidth, clientHeight].map((side) => Math.max(Math.round(side * density), 1));
    this.view.resize(...pixels);
    this.#requestFrame();
  }

  #pauseWhenHidden() {
    const update = () => {
      this.#lastFrameTime = null;
      this.#requestFrame();
    };
    document.addEventListener("visibilitychange", update);
    new IntersectionObserver((entries) => {
      this.#inView = entries.at(-1).isIntersecting;
      update();
    }).observe(this.canvas);
  }

  // -- poking --------------------------------------------------------------------------------------------

  #listenToPointer() {
    const { canvas, motion } = this;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !event.isPrimary || this.drag) return;
      canvas.setPointerCapture(event.pointerId);
      const box = canvas.getBoundingClientRect();
      const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
      const held = motion.grab(x, y);
      this.drag = { id: event.pointerId, x, y, box, from: event, moved: false, held };
      this.cursor.hidden = true;
    });
    canvas.addEventListener("pointermove", (event) => this.#onDrag(event));
    for (const type of ["pointerup", "pointercancel", "lostpointercapture"]) {
      canvas.addEventListener(type, (event) => this.#onDragEnd(event));
    }
  }

  #onDrag(event) {
    const { drag, motion } = this;
    if (event.pointerId !== drag?.id) return;
    const [x, y] = [event.clientX - drag.from.clientX, event.clientY - drag.from.clientY];
    if (!drag.moved && Math.hypot(x, y) >= DRAG_THRESHOLD) {
      drag.moved = true;
      this.#say(drag.held ? "" : "Nothing moves there");
    }
    if (!drag.moved) return;
    const seconds = (event.timeStamp - drag.from.timeStamp) / 1000;
    motion.drag(clamp(x / drag.box.width, -1, 1), clamp(y / drag.box.height, -1, 1), seconds);
    this.#requestFrame();
  }

  #onDragEnd(event) {
    const { drag, motion } = this;
    if (event.pointerId !== drag?.id) return;
    if (event.type === "pointerup") this.#onDrag(event);
    this.drag = null;
    motion.release();
    if (event.type === "pointerup" && !drag.moved) this.#tap(drag.x, drag.y);
    this.#requestFrame();
  }

  /** A tap strikes sideways, once from the left and once from the right. */
  #tap(x, y) {
    this.#kick(x, y, this.#kickSign * TAP_KICK, 0);
    this.#kickSign = -this.#kickSign;
  }

  /** Strike a point of the image by (dx, dy) in fractions of its width. */
  #kick(x, y, dx, dy) {
    const moves = this.motion.kick(x, y, dx, (dy * this.photoWidth) / this.photoHeight);
    this.#say(moves ? "" : "Nothing moves there");
    this.#requestFrame();
  }

  #listenToKeys() {
    this.canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const direction = ARROWS[event.key];
      if (direction && event.shiftKey) this.#moveCursor(...direction);
      else if (direction) this.#kick(...this.point, direction[0] * KEY_KICK, direction[1] * KEY_KICK);
      else if (event.key === "Enter") this.#tap(...this.point);
      else if (event.key === " ") this.#play(!this.motion.playing);
      else return;
      if (event.key !== " ") this.#showCursor();
      event.preventDefault();
    });
    this.canvas.addEventListener("focus", () => {
      if (this.canvas.matches(":focus-visible")) this.#showCursor();
    });
    this.canvas.addEventListener("blur", () => (this.cursor.hidden = true));
  }

  #moveCursor(dx, dy) {
    const [x, y] = this.point;
    this.point = [
      clamp(x + dx * CURSOR_STEP, 0, 1), clamp(y + (dy * CURSOR_STEP * this.photoWidth) / this.photoHeight, 0, 1),
    ];
  }

  #showCursor() {
    this.cursor.hidden = false;
    this.cursor.style.left = `${100 * this.point[0]}%`;
    this.cursor.style.top = `${100 * this.point[1]}%`;
  }

  // -- controls ------------------------------------------------------------------------------------------

  #wantsAutoplay() {
    const asked = new URLSearchParams(location.search).get("autoplay");
    const wanted = asked === null ? "autoplay" in document.documentElement.dataset : !["0", "false"].includes(asked);
    return wanted && !this.reducedMotion.matches;
  }

  #listenToControls() {
    this.play.addEventListener("click", () => this.#play(!this.motion.playing));
    this.wind.addEventListener("input", () => {
      this.#listenToTilt(false);
      const value = Number(this.wind.value) / 100;
      this.#blow(Math.abs(value) < WIND_DEADBAND ? 0 : value);
    });
    this.wind.addEventListener("change", () => (this.wind.value = 100 * this.motion.windTarget));
    this.reducedMotion.addEventListener("change", () => this.reducedMotion.matches && this.#play(false));
    this.tilt.hidden = !("DeviceOrientationEvent" in window && matchMedia("(any-pointer: coarse)").matches);
    this.tilt.addEventListener("click", () => this.#toggleTilt());
    for (const type of ["pointermove", "pointerdown", "keydown", "focusin"]) {
      document.addEventListener(type, () => this.#showControls(), { passive: true });
    }
  }

  #showControls() {
    const { classList } = document.documentElement;
    classList.remove("idle");
    clearTimeout(this.#controlsTimer);
    this.#controlsTimer = setTimeout(() => classList.add("idle"), 1000 * CONTROLS_SECONDS);
  }

  #play(playing) {
    this.motion.playing = playing;
    this.play.setAttribute("aria-pressed", playing);
    this.#requestFrame();
  }

  #blow(wind) {
    this.motion.windTarget = wind;
    const percent = Math.round(100 * Math.abs(wind));
    this.wind.setAttribute("aria-valuetext", percent ? `${percent} % to the ${wind < 0 ? "left" : "right"}` : "calm");
    if (percent) this.#say("");
    this.#requestFrame();
  }

  async #toggleTilt() {
    if (this.tiltListener) {
      this.#listenToTilt(false);
      this.#blow(0);
      this.wind.value = 0;
      return;
    }
    const permission = await DeviceOrientationEvent.requestPermission?.().catch(() => "denied");
    if (permission === "denied") return this.#say("The tilt sensor is not allowed here");
    this.#listenToTilt(true);
    setTimeout(() => {
      if (!this.tiltListener || this.tiltListener.answered) return;
      this.#listenToTilt(false);
      this.#say("No tilt sensor answers here");
    }, 1000 * SENSOR_SECONDS);
  }

  #listenToTilt(on) {
    if (this.tiltListener) removeEventListener("deviceorientation", this.tiltListener);
    this.tiltListener = on ? (event) => this.#onTilt(event) : null;
    if (on) addEventListener("deviceorientation", this.tiltListener);
    this.tilt.setAttribute("aria-pressed", on);
  }

  /** The wind blows to the side that is lower. */
  #onTilt({ beta, gamma }) {
    if (gamma === null) return;
    this.tiltListener.answered = true;
    const angle = screen.orientation?.angle ?? 0;
    const degrees = { 0: gamma, 90: beta, 180: -gamma, 270: -beta }[angle];
    const beyond = Math.sign(degrees) * Math.max(Math.abs(degrees) - TILT_DEADBAND, 0);
    this.#blow(clamp(beyond / (FULL_TILT - TILT_DEADBAND), -1, 1));
    this.wind.value = 100 * this.motion.windTarget;
  }

  /** Show a line over the photo for a while; an empty one removes the hint. */
  #say(text) {
    clearTimeout(this.#messageTimer);
    this.message.textContent = text;
    if (text) this.#messageTimer = setTimeout(() => (this.message.textContent = ""), 1000 * MESSAGE_SECONDS);
  }

  /** Put a read-only view of the state on the canvas, for tests and for debugging. */
  #exposeState() {
    const page = this;
    this.canvas.gidView = Object.freeze({
      get frames() {
        return page.view.frames;
      },
      get playing() {
        return page.motion.playing;
      },
      get calm() {
        return page.motion.calm;
      },
      /** [dx, dy] of a point now, in fractions of the image's width and height. */
      displacementAt: (x, y) => page.modes.displacementAt(x, y, page.q),
    });
  }
}
