// Less before more: on the classic canvas, the button "More options" shows a node's advanced widgets, which are folded
// until then. Nodes 2.0 folds them by itself. ComfyUI keeps the state as the node's `showAdvanced`, in the workflow, too.
// Values, their order in the workflow and the prompt stay the same.

import { app } from "../../scripts/app.js";
import { translate } from "./translate.js";

const FOLDED_SIZE = [0, -4]; // pixels; -4 cancels the gap between two widgets

app.registerExtension({
  name: "gid.moreOptions",
  nodeCreated(node) {
    if (node.comfyClass?.startsWith("GID_")) foldAdvancedWidgets(node);
  },
});

function foldAdvancedWidgets(node) {
  const marked = node.widgets?.filter((widget) => widget.options?.advanced) ?? [];
  const folded = marked.flatMap((widget) => [widget, ...(widget.linkedWidgets ?? [])]);
  if (!folded.length) return;
  for (const widget of folded) fold(widget, node);
  addButton(node);
  node.setSize([node.size[0], node.computeSize()[1]]);
}

/** Show a widget only with the node's advanced ones, and keep no place for it: the old frontend would. */
function fold(widget, node) {
  widget.advanced = true;
  let shown = widget.computeSize;
  Object.defineProperty(widget, "computeSize", {
    configurable: true,
    get: () => (node.showAdvanced ? shown : () => FOLDED_SIZE),
    set: (computeSize) => (shown = computeSize),
  });
}

/** The button stands below all widgets that have values: above one, it would shift their places in the workflow. */
function addButton(node) {
  const options = { canvasOnly: true, serialize: false };
  const button = node.addWidget("button", "more_options", null, () => toggle(node), options);
  button.serialize = false;
  const label = () =>
    node.showAdvanced ? translate("fewer_options", "Fewer options") : translate("more_options", "More options");
  Object.defineProperty(button, "label", { configurable: true, get: label, set() {} });
  node.widgets.splice(node.widgets.indexOf(button), 1);
  node.widgets.splice(node.widgets.findLastIndex((widget) => widget.serialize !== false) + 1, 0, button);
}

/** Fold or unfold, with as much room to spare as before. */
function toggle(node) {
  const spare = node.size[1] - node.computeSize()[1];
  node.toggleAdvanced();
  node.setSize([node.size[0], node.computeSize()[1] + Math.max(spare, 0)]);
}

/** Move a widget that is not stored to a place above some that are. */
export function placeAbove(node, widget, index) {
  node.widgets.splice(node.widgets.indexOf(widget), 1);
  node.widgets.splice(index, 0, widget);
  const { onSerialize } = node;
  node.onSerialize = function (data) {
    onSerialize?.call(this, data);
    // The old frontend stores a value at its widget's place in the list, and reads it at its place among the values.
    if (data.widgets_values) data.widgets_values = Object.values(data.widgets_values);
  };
}
