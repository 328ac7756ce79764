// The preview inside Softmax Splat Render and Predict Spectral Volume: pictures while they run, then the loop or the
// motions as an animated picture. It is a DOM widget, so that it shows in both of ComfyUI's renderers. Nothing of it is
// saved: the nodes run without this file.

import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

const NODES = new Set(["GID_SoftmaxSplatRender", "GID_PredictSpectralVolume"]);

function addressOf(file) {
  const query = new URLSearchParams({ ...file, rand: String(Math.random()) });
  return api.apiURL(`/view?${query}`);
}

function addPreview(node) {
  const image = document.createElement("img");
  image.dataset.testid = "gid-loop-preview";
  image.alt = "Preview of the last run";
  Object.assign(image.style, { width: "100%", height: "100%", objectFit: "contain", display: "none" });
  const frame = document.createElement("div");
  frame.append(image);

  const widget = node.addDOMWidget("loop_preview", "GID_LOOP_PREVIEW", frame, {
    serialize: false,
    hideOnZoom: false,
    getMinHeight: () => (image.style.display === "none" ? 0 : 180),
    getValue: () => "",
    setValue: () => {},
  });
  widget.serialize = false;

  image.addEventListener("load", () => {
    const first = image.style.display === "none";
    image.style.display = "block";
    if (first) node.setSize?.([node.size[0], Math.max(node.size[1], node.computeSize()[1])]);
    node.setDirtyCanvas?.(true, true);
  });

  const executed = node.onExecuted;
  node.onExecuted = function (output) {
    executed?.apply(this, arguments);
    const file = output?.gid_loop?.[0];
    if (file) image.src = addressOf(file);
  };

  const listening = new AbortController();
  const showFrame = ({ detail }) => {
    // Inside subgraphs the server's id is a path of ids that ends in the node's own.
    if (detail.node.split(":").pop() === String(node.id)) image.src = detail.image;
  };
  api.addEventListener("gid.frame", showFrame, { signal: listening.signal });
  const removed = node.onRemoved;
  node.onRemoved = function () {
    listening.abort();
    removed?.apply(this, arguments);
  };
}

app.registerExtension({
  name: "gid.loopPreview",
  nodeCreated(node) {
    if (NODES.has(node.comfyClass)) addPreview(node);
  },
});
