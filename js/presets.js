// Presets of Wind Force and Sway From Mask. Choosing one fills the node's widgets, which are the only state: this one
// shows the preset that their values equal, or "custom", and is neither stored nor sent.

import { app } from "../../scripts/app.js";
import { SWAY_PRESETS, WIND_PRESETS } from "./constants.js";
import { appendCallback, inNodes2 } from "./dom_widget.js";
import { placeAbove } from "./more_options.js";
import { labelOptions } from "./option_labels.js";
import { translate } from "./translate.js";

const PRESETS = { GID_Wind: WIND_PRESETS, GID_VolumeFromMask: SWAY_PRESETS };
const CUSTOM = "custom";
const TOLERANCE = 1e-6; // widgets round their values

app.registerExtension({
  name: "gid.presets",
  nodeCreated(node) {
    if (node.comfyClass in PRESETS) addPresets(node, PRESETS[node.comfyClass]);
  },
});

function addPresets(node, presets) {
  const names = Object.keys(presets);
  const targets = node.widgets.filter((widget) => widget.name in presets[names[0]]);
  const fits = (name) => targets.every((widget) => isSame(widget.value, presets[name][widget.name]));
  const current = () => names.find(fits) ?? CUSTOM;

  const options = { values: [...names, CUSTOM], serialize: false };
  const combo = node.addWidget("combo", "preset", current(), choose, options);
  combo.serialize = false;
  combo.label = translate("preset", "preset");
  const inputs = targets.map((widget) => widget.label || widget.name).join(", ");
  combo.tooltip = translate("preset_tip", "Sets {inputs}.", { inputs });
  labelOptions(combo);
  placeAbove(node, combo, node.widgets.findIndex((widget) => widget.serialize !== false));
  if (!inNodes2()) node.expandToFitContent?.();

  const update = () => (combo.value = current());
  function choose(name) {
    for (const widget of name in presets ? targets : []) {
      widget.value = presets[name][widget.name];
      widget.callback?.(widget.value, app.canvas, node);
    }
    update();
    node.setDirtyCanvas?.(true, true);
  }
  for (const widget of targets) appendCallback(widget, "callback", update);
  appendCallback(node, "onConfigure", update);
}

const isSame = (a, b) => a === b || (typeof b === "number" && Math.abs(a - b) < TOLERANCE);
