// The tools and the settings of the motion brush: two rows of controls below the live picture.

import {
  DEFAULT_RADIUS, DEFAULT_SOFTNESS, DEFAULT_STIFFNESS, MAX_RADIUS, MAX_STIFFNESS, MIN_RADIUS, MIN_STIFFNESS,
} from "./constants.js";
import { createButton, createElement } from "./live_panel.js";
import { translate } from "./translate.js";

const TOOLS = { move: ["brush", "b"], pin: ["pin", "p"], arrow: ["arrow", "a"], erase: ["erase", "e"] };
const SIZE_STEP = 1.15; // factor of the brush's size by a key or a step of the wheel
const SETTINGS = {
  radius: [MIN_RADIUS * 5, MAX_RADIUS / 2, DEFAULT_RADIUS],
  softness: [0, 1, DEFAULT_SOFTNESS],
  stiffness: [MIN_STIFFNESS, MAX_STIFFNESS, DEFAULT_STIFFNESS],
};
const LOGARITHMIC = new Set(["radius", "stiffness"]);

/** The name and the tooltip of each tool and setting. */
const controlTexts = () => ({
  move: [translate("move", "Move"), translate("move_tip", "Paint what moves (B)")],
  pin: [translate("pin", "Pin"), translate("pin_tip", "Paint what must not move (P)")],
  arrow: [
    translate("arrow", "Arrow"),
    translate("arrow_tip", "Draw from an object in the direction in which it sways, as far as it goes (A)"),
  ],
  erase: [translate("erase", "Erase"), translate("erase_tip", "Erase paint, and arrows that begin there (E)")],
  radius: [translate("radius", "Size"), translate("radius_tip", "Size of the brush ([ and ], or the wheel)")],
  softness: [translate("softness", "Soft"), translate("softness_tip", "How softly a stroke ends: 0 is a hard edge")],
  stiffness: [translate("stiffness", "Stiff"), translate("stiffness_tip", "How stiff it is what the next stroke paints")],
});

export class BrushControls {
  /** @param {() => void} onChange  called after each change */
  constructor(onChange) {
    this.onChange = onChange;
    this.tool = "move";
    this.brush = Object.fromEntries(Object.entries(SETTINGS).map(([name, setting]) => [name, setting.at(-1)]));
    const texts = controlTexts();
    this.buttons = Object.entries(TOOLS).map(([tool, [icon]]) => {
      const button = createButton(icon, ...texts[tool], () => this.choose(tool));
      return [tool, button];
    });
    this.sliders = {};
    const labels = Object.keys(SETTINGS).map((name) => {
      const [text, tooltip] = texts[name];
      this.sliders[name] = this.#slider(name, tooltip);
      return createElement("label", {}, text, this.sliders[name]);
    });
    const buttons = this.buttons.map(([, button]) => button);
    this.rows = [buttons, labels].map((children) => createElement("div", { className: "gid-bar" }, ...children));
    this.#markTool();
  }

  choose(tool) {
    this.tool = tool;
    this.#markTool();
    this.onChange();
  }

  /** Set radius, softness or stiffness of the next strokes. */
  set(name, value) {
    const [min, max] = SETTINGS[name];
    this.brush[name] = Math.min(Math.max(value, min), max);
    this.sliders[name].value = toSlider(name, this.brush[name]);
    this.onChange();
  }

  /** Make the brush larger or smaller by some steps. */
  resize(steps) {
    this.set("radius", this.brush.radius * SIZE_STEP ** steps);
  }

  /** Handle a key of the picture. Returns whether it belongs to the controls. */
  onKey(key) {
    const tool = Object.keys(TOOLS).find((name) => TOOLS[name].at(-1) === key.toLowerCase());
    if (tool) this.choose(tool);
    else if (key === "[" || key === "]") this.resize(key === "]" ? 1 : -1);
    else return false;
    return true;
  }

  #markTool() {
    for (const [tool, button] of this.buttons) button.setAttribute("aria-pressed", tool === this.tool);
  }

  #slider(name, tooltip) {
    const [min, max, value] = SETTINGS[name];
    const attributes = { "aria-label": tooltip };
    const range = { type: "range", min: toSlider(name, min), max: toSlider(name, max), step: "any" };
    const slider = createElement("input", { ...range, title: tooltip, attributes });
    slider.value = toSlider(name, value);
    slider.addEventListener("input", () => {
      const position = Number(slider.value);
      this.set(name, LOGARITHMIC.has(name) ? Math.exp(position) : position);
    });
    slider.addEventListener("pointerdown", (event) => event.stopPropagation()); // otherwise ComfyUI drags the node
    return slider;
  }
}

const toSlider = (name, value) => (LOGARITHMIC.has(name) ? Math.log(value) : value);
