// The live widget of Wind Force: the photo in the wind that the node's numbers describe, and an arrow that turns it.
// No ComfyUI: the node is reached through the functions that are given.

import { Arrow, LivePanel } from "./live_panel.js";
import { Modes } from "./modes.js";
import { windMotion } from "./wind_motion.js";

const ARROW_SHARE = 0.2; // of the picture's shorter side, for strength 1
const TURN = 5; // degrees
const STRENGTHEN = 0.1;
const NAMES = [
  "direction", "strength", "gustiness", "num_frames", "fps", "seed", "loop", "damping", "speed",
  "alpha", "beta", "damping_ratio", "max_displacement", "integrator",
];
const LABEL =
  "Photo in the wind. Drag in it to set the wind's direction and strength. Keyboard: left and right turn the wind, up " +
  "and down change its strength, Space plays.";

export class WindEditor {
  /** See PokeEditor; node.write(name, value) sets one widget. */
  constructor(node, hint) {
    this.node = node;
    this.values = {};
    this.drag = null;
    const panel = (this.panel = new LivePanel({ testid: "gid-wind-view", label: LABEL, hint }));
    this.root = panel.root;
    this.arrow = new Arrow(panel);
    panel.fill = (time, q) => (this.motion ? this.motion.at(time, q) : q.fill(0));
    panel.onpoll = () => this.poll();
    panel.onresize = () => this.drawArrow();
    panel.displacementAt = (x, y, q) => this.modes?.displacementAt(x, y, q) ?? [0, 0];
    const { canvas } = panel;
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    for (const kind of ["pointermove", "pointerup", "pointercancel", "lostpointercapture"]) {
      canvas.addEventListener(kind, (event) => this.dragging(event));
    }
    this.root.addEventListener("keydown", (event) => this.key(event));
    this.poll();
  }

  setPacket(packet) {
    const first = this.panel.packet === null;
    this.modes = new Modes(packet);
    this.panel.setPacket(packet);
    this.poll();
    this.refresh();
    if (first && !this.panel.still) this.panel.play();
  }

  dispose() {
    this.panel.dispose();
  }

  poll() {
    let changed = false;
    for (const name of NAMES) {
      const value = this.node.read(name);
      if (value !== this.values[name]) {
        this.values[name] = value;
        changed = true;
      }
    }
    if (changed) this.refresh();
  }

  refresh() {
    const v = this.values;
    const fps = Math.max(Number(v.fps) || 30, 1);
    const numFrames = Math.max(Number(v.num_frames) || 1, 1);
    this.panel.duration = numFrames / fps;
    if (this.panel.time > this.panel.duration) this.panel.seek(0);
    if (this.modes) {
      let problem = "";
      try {
        this.motion = windMotion(this.modes, {
          direction: v.direction ?? 0,
          strength: v.strength ?? 1,
          gustiness: v.gustiness ?? 0.5,
          numFrames,
          fps,
          seed: v.seed ?? 0,
          loops: Boolean(v.loop),
          damping: { alpha: v.alpha ?? 0.4, beta: v.beta ?? 0.08, ratio: v.damping_ratio || null, factor: v.damping ?? 1 },
          speed: v.speed ?? 1,
          maxDisplacement: (v.max_displacement ?? 25) / 100,
          integrator: v.integrator ?? "exact",
        });
      } catch (error) {
        this.motion = null;
        problem = error.message;
      }
      this.panel.say(problem, Boolean(problem));
    }
    this.drawArrow();
    this.panel.request();
  }

  drawArrow() {
    const [width, height] = this.panel.pictureSize;
    const angle = ((this.values.direction ?? 0) * Math.PI) / 180;
    const length = Math.min(Math.abs(this.values.strength ?? 1) * ARROW_SHARE, 0.48) * Math.min(width, height);
    const [dx, dy] = [Math.cos(angle) * length, Math.sin(angle) * length];
    this.arrow.show(0.5, 0.5, 0.5 + dx / width, 0.5 + dy / height);
  }

  /** A number for a widget of the node, within its limits, unless it comes through a link. */
  set(name, value, step) {
    if (this.node.locked(name)) return;
    const { min = -Infinity, max = Infinity } = this.node.options(name);
    const rounded = Math.round(Math.round(value / step) * step * 1000) / 1000;
    this.node.write(name, Math.min(Math.max(rounded, min), max));
  }

  turn(degrees) {
    const { max = 360 } = this.node.options("direction");
    const whole = ((Math.round(degrees) % 360) + 360) % 360;
    this.set("direction", whole > max ? whole - 360 : whole, 1);
  }

  press(event) {
    if (event.button !== 0 || !event.isPrimary || this.drag !== null || !this.modes) return;
    event.stopPropagation(); // else the node would be dragged
    this.panel.canvas.setPointerCapture(event.pointerId);
    this.drag = event.pointerId;
  }

  dragging(event) {
    if (event.pointerId !== this.drag) return;
    event.stopPropagation();
    if (event.type !== "pointermove") {
      this.drag = null;
      this.node.changed();
      return;
    }
    const box = this.panel.canvas.getBoundingClientRect();
    const [dx, dy] = [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
    const strength = Math.hypot(dx, dy) / (ARROW_SHARE * Math.min(box.width, box.height));
    if (strength > 0.05) this.turn((Math.atan2(dy, dx) * 180) / Math.PI);
    this.set("strength", strength, 0.05);
    this.poll();
  }

  key(event) {
    const onCanvas = event.target === this.panel.canvas && !event.ctrlKey && !event.metaKey && !event.altKey;
    const turn = { ArrowLeft: -TURN, ArrowRight: TURN }[event.key];
    const more = { ArrowUp: STRENGTHEN, ArrowDown: -STRENGTHEN }[event.key];
    if (onCanvas && turn) this.turn((this.values.direction ?? 0) + turn);
    else if (onCanvas && more) this.set("strength", Math.max((this.values.strength ?? 1) + more, 0), 0.05);
    else if (onCanvas && event.key === " ") this.panel.toggle();
    else {
      if ([" ", "Enter"].includes(event.key) && !event.ctrlKey && !event.metaKey) event.stopPropagation();
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    this.poll();
    if (turn || more) this.node.changed();
  }
}
