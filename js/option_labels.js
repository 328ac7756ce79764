// Options of combos in the page's language. ComfyUI translates names and tooltips of inputs, not their options; a combo
// shows what its `getOptionLabel` returns, and stores and sends its value as before. Nodes 2.0 of the old frontend shows
// the value.

import { app } from "../../scripts/app.js";
import { translate } from "./translate.js";

/** Show the options of a combo in the page's language; those without a translation as they are. */
export function labelOptions(combo) {
  const label = (value) => translate(`options.${value}`, String(value ?? ""));
  const { values } = combo.options ?? {};
  if (Array.isArray(values) && values.some((value) => label(value) !== String(value))) {
    combo.options.getOptionLabel = label;
  }
}

app.registerExtension({
  name: "gid.optionLabels",
  nodeCreated(node) {
    if (!node.comfyClass?.startsWith("GID_")) return;
    for (const widget of node.widgets ?? []) if (widget.type === "combo") labelOptions(widget);
  },
});
