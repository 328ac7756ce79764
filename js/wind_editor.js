// The live widget of Wind Force: the photo in the wind that the node's numbers describe, and an arrow that turns it.

import { ForceEditor } from "./force_editor.js";
import { Arrow } from "./live_panel.js";
import { windMotion } from "./wind.js";

const ARROW_SHARE = 0.2; // of the picture's shorter side, for strength 1
const TURN = 5; // degrees
const STRENGTHEN = 0.1;
const LABEL =
  "Photo in the wind. Drag in it to set the wind's direction and strength. Keyboard: left and right turn the wind, up " +
  "and down change its strength, Space plays.";

export class WindEditor extends ForceEditor {
  constructor(node, hint) {
    const names = ["direction", "gustiness", "seed", "loop"];
    super(node, hint, { testid: "gid-wind-view", label: LABEL, names });
    this.arrow = new Arrow(this.panel);
    this.poll();
  }

  get worthPlaying() {
    return true;
  }

  fill(time, q) {
    if (this.motion) this.motion.at(time, q);
    else q.fill(0);
  }

  resized() {
    this.drawArrow();
  }

  refresh() {
    const v = this.values;
    const settings = this.readSettings();
    if (this.modes) {
      let problem = "";
      try {
        this.motion = windMotion(this.modes, {
          ...settings,
          direction: v.direction ?? 0,
          gustiness: v.gustiness ?? 0.5,
          seed: v.seed ?? 0,
          loops: Boolean(v.loop),
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
    this.drag = { id: event.pointerId };
  }

  dragging(event) {
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

  /** Whether it was one of ours. */
  key(event) {
    if (event.target !== this.panel.canvas || event.ctrlKey || event.metaKey || event.altKey) return false;
    const turn = { ArrowLeft: -TURN, ArrowRight: TURN }[event.key];
    const more = { ArrowUp: STRENGTHEN, ArrowDown: -STRENGTHEN }[event.key];
    if (event.key === " ") this.panel.toggle();
    else if (turn) this.turn((this.values.direction ?? 0) + turn);
    else if (more) this.set("strength", Math.max((this.values.strength ?? 1) + more, 0), 0.05);
    else return false;
    this.poll();
    if (turn || more) this.node.changed();
    return true;
  }
}
