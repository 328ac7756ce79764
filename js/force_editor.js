// What the live widgets of the forces share: a picture that moves as the node's widgets say. No ComfyUI: the node is
// reached through the functions that are given.

import { LivePanel } from "./live_panel.js";
import { Modes } from "./modes.js";

const NAMES = [
  "num_frames", "fps", "strength", "damping", "speed", "alpha", "beta", "damping_ratio", "max_displacement", "integrator",
];

/** Subclasses have refresh, fill(time, q), resized, press, dragging and key, and call poll when they are ready. */
export class ForceEditor {
  /**
   * @param {object} node
   * @param {(name: string) => any} node.read       value of a widget, or undefined
   * @param {(name: string, value: any) => void} node.write  a new value for a widget
   * @param {(name: string) => object} node.options a widget's limits
   * @param {() => void} node.changed               a change is complete
   * @param {(name: string) => boolean} node.locked whether a widget's value comes through a link
   * @param {string} hint                           what to say while there is no picture
   * @param {string} testid, label                  of the picture
   * @param {string[]} names                        widgets that it depends on, beside those of every force
   */
  constructor(node, hint, { testid, label, names }) {
    this.node = node;
    this.names = [...NAMES, ...names];
    this.values = {};
    this.drag = null;
    this.motion = null;
    const panel = (this.panel = new LivePanel({ testid, label, hint }));
    this.root = panel.root;
    panel.fill = (time, q) => this.fill(time, q);
    panel.onpoll = () => this.poll();
    panel.onresize = () => this.resized();
    panel.displacementAt = (x, y, q) => this.modes?.displacementAt(x, y, q) ?? [0, 0];
    panel.canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !event.isPrimary || this.drag !== null || !this.modes) return;
      event.stopPropagation(); // else the node would be dragged
      panel.canvas.setPointerCapture(event.pointerId);
      this.press(event);
    });
    for (const kind of ["pointermove", "pointerup", "pointercancel", "lostpointercapture"]) {
      panel.canvas.addEventListener(kind, (event) => {
        if (event.pointerId !== this.drag?.id) return;
        event.stopPropagation();
        this.dragging(event);
      });
    }
    this.root.addEventListener("keydown", (event) => {
      if (this.key(event)) {
        event.preventDefault();
        event.stopPropagation();
      } else if ([" ", "Enter"].includes(event.key) && !event.ctrlKey && !event.metaKey) {
        event.stopPropagation(); // they press buttons here, and not ComfyUI's
      }
    });
  }

  /** A new photo with its motion. */
  setPacket(packet) {
    const first = this.panel.packet === null;
    this.modes = new Modes(packet);
    this.panel.setPacket(packet);
    this.poll();
    this.refresh();
    if (first && this.worthPlaying && !this.panel.still) this.panel.play();
  }

  dispose() {
    this.panel.dispose();
  }

  /** Look whether a widget has another value than last time: hand edits, undo of the graph, other scripts. */
  poll() {
    let changed = false;
    for (const name of this.names) {
      const value = this.node.read(name);
      if (value !== this.values[name]) {
        this.values[name] = value;
        changed = true;
      }
    }
    if (changed) this.refresh();
  }

  /** The widgets that every force has, as the motions take them; the clip's length goes to the panel. */
  readSettings() {
    const v = this.values, { panel } = this;
    const fps = Math.max(Number(v.fps) || 30, 1);
    const numFrames = Math.max(Number(v.num_frames) || 1, 1);
    panel.duration = numFrames / fps;
    if (panel.time > panel.duration) panel.seek(0);
    return {
      numFrames,
      fps,
      damping: { alpha: v.alpha ?? 0.4, beta: v.beta ?? 0.08, ratio: v.damping_ratio || null, factor: v.damping ?? 1 },
      speed: v.speed ?? 1,
      strength: v.strength ?? 1,
      maxDisplacement: (v.max_displacement ?? 25) / 100,
      integrator: v.integrator ?? "exact",
    };
  }
}
