// The preview inside both render nodes and Predict Spectral Volume: single frames while the node runs, then an
// animation of the loop or of the predicted motions. A DOM widget shows in both of ComfyUI's renderers. Workflows do
// not store it, and the nodes run without this file.

import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { addElement, appendCallback, remember, whenRestored } from "./dom_widget.js";
import { translate } from "./translate.js";

const NODE_TYPES = new Set(["GID_SoftmaxSplatRender", "GID_RenderLoopToVideo", "GID_PredictSpectralVolume"]);

function previewUrl(file) {
  const query = new URLSearchParams({ ...file, rand: String(Math.random()) });
  return api.apiURL(`/view?${query}`);
}

function addPreview(node) {
  const image = document.createElement("img");
  image.dataset.testid = "gid-loop-preview";
  image.alt = translate("loop_preview", "Preview of the last run");
  Object.assign(image.style, { width: "100%", height: "100%", objectFit: "contain", display: "none" });
  const container = document.createElement("div");
  container.append(image);

  addElement(node, "loop_preview", container, () => (image.style.display === "none" ? 0 : 180));

  image.addEventListener("load", () => {
    const isFirst = image.style.display === "none";
    image.style.display = "block";
    if (isFirst) node.setSize?.([node.size[0], Math.max(node.size[1], node.computeSize()[1])]);
    node.setDirtyCanvas?.(true, true);
  });

  // The file of a cached run may be gone from the temp folder: no picture is better than a broken one.
  image.addEventListener("error", () => {
    image.style.display = "none";
    node.setDirtyCanvas?.(true, true);
  });

  const show = (file) => file && (image.src = previewUrl(file));
  appendCallback(node, "onExecuted", (output) => {
    const file = output?.gid_loop?.[0];
    if (file) remember(node, "loop", file);
    show(file);
  });
  whenRestored(node, "loop", show);

  const abortController = new AbortController();
  const showFrame = ({ detail }) => {
    // Inside subgraphs the server sends a path of ids, which ends in the node's own id.
    if (detail.node.split(":").pop() === String(node.id)) image.src = detail.image;
  };
  api.addEventListener("gid.frame", showFrame, { signal: abortController.signal });
  appendCallback(node, "onRemoved", () => abortController.abort());
}

app.registerExtension({
  name: "gid.loopPreview",
  nodeCreated(node) {
    if (NODE_TYPES.has(node.comfyClass)) addPreview(node);
  },
});
