// The live widget of Wind Force: the photo in the wind that the node's widgets describe, and an arrow for that wind.

import { ForceEditor } from "./force_editor.js";
import { Arrow } from "./live_panel.js";
import { translate } from "./translate.js";
import { windMotion } from "./wind.js";

const ARROW_LENGTH = 0.2; // of the arrow for strength 1, as a fraction of the image's shorter side
const DIRECTION_KEY_STEP = 5; // degrees
const STRENGTH_KEY_STEP = 0.1;

export class WindEditor extends ForceEditor {
  constructor(node, hint) {
    const names = ["direction", "gustiness", "seed", "loop"];
    const label = translate(
      "wind_view",
      "Photo in the wind. Drag in it to set the wind's direction and strength. Keyboard: left and right turn the wind, " +
        "up and down change its strength, Space plays.",
    );
    super(node, hint, { testid: "gid-wind-view", label, names });
    this.arrow = new Arrow(this.panel);
    this.pollWidgets();
  }

  get hasMotion() {
    return true;
  }

  evaluate(time, q) {
    if (this.motion) this.motion.at(time, q);
    else q.fill(0);
  }

  onResize() {
    this.drawArrow();
  }

  refresh() {
    const v = this.values;
    const settings = this.readSettings();
    if (this.modes) {
      let message = "";
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
        message = error.message;
      }
      this.panel.setMessage(message, Boolean(message));
    }
    this.drawArrow();
    this.panel.requestDraw();
  }

  drawArrow() {
    const [width, height] = this.panel.imageSize;
    const angle = ((this.values.direction ?? 0) * Math.PI) / 180;
    const length = Math.min(Math.abs(this.values.strength ?? 1) * ARROW_LENGTH, 0.48) * Math.min(width, height);
    const [dx, dy] = [Math.cos(angle) * length, Math.sin(angle) * length];
    this.arrow.show(0.5, 0.5, 0.5 + dx / width, 0.5 + dy / height);
  }

  /** Set a widget of the node, within its limits, unless its value comes through a link. */
  setWidget(name, value, step) {
    if (this.node.locked(name)) return;
    const { min = -Infinity, max = Infinity } = this.node.options(name);
    const rounded = Math.round(Math.round(value / step) * step * 1000) / 1000;
    this.node.write(name, Math.min(Math.max(rounded, min), max));
  }

  setDirection(degrees) {
    const { max = 360 } = this.node.options("direction");
    const rounded = ((Math.round(degrees) % 360) + 360) % 360;
    this.setWidget("direction", rounded > max ? rounded - 360 : rounded, 1);
  }

  onDragStart(event) {
    this.drag = { id: event.pointerId };
  }

  onDrag(event) {
    if (event.type !== "pointermove") {
      this.drag = null;
      this.node.changed();
      return;
    }
    const box = this.panel.canvas.getBoundingClientRect();
    const [dx, dy] = [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
    const strength = Math.hypot(dx, dy) / (ARROW_LENGTH * Math.min(box.width, box.height));
    if (strength > 0.05) this.setDirection((Math.atan2(dy, dx) * 180) / Math.PI);
    this.setWidget("strength", strength, 0.05);
    this.pollWidgets();
  }

  /** Handle a key. Returns whether the widget used it. */
  onKey(event) {
    if (event.target !== this.panel.canvas || event.ctrlKey || event.metaKey || event.altKey) return false;
    const directionStep = { ArrowLeft: -DIRECTION_KEY_STEP, ArrowRight: DIRECTION_KEY_STEP }[event.key];
    const strengthStep = { ArrowUp: STRENGTH_KEY_STEP, ArrowDown: -STRENGTH_KEY_STEP }[event.key];
    if (event.key === " ") this.panel.toggle();
    else if (directionStep) this.setDirection((this.values.direction ?? 0) + directionStep);
    else if (strengthStep) this.setWidget("strength", Math.max((this.values.strength ?? 1) + strengthStep, 0), 0.05);
    else return false;
    this.pollWidgets();
    if (directionStep || strengthStep) this.node.changed();
    return true;
  }
}
