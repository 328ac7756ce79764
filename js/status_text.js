// The text below a node that tells what its last run did: the length of a motion, warnings. ComfyUI's own texts vanish
// when a run ends (newer frontends), and raise an error in an open subgraph (older ones). The widget is added with the
// first text. Workflows do not store it, and the nodes run without this file.

import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { addElement, appendCallback, inNodes2, remember, whenRestored } from "./dom_widget.js";

const MARGIN = 20; // pixels between node and text, above and below together
const LINE_HEIGHT = 16; // pixels
const STYLE = {
  font: `12px/${LINE_HEIGHT}px Inter, Arial, sans-serif`,
  color: "var(--descrip-text, #999)",
  whiteSpace: "pre-wrap",
  overflowWrap: "anywhere",
  userSelect: "text",
};

function addStatus(node) {
  const line = document.createElement("div");
  line.dataset.testid = "gid-status";
  line.setAttribute("role", "status");
  Object.assign(line.style, STYLE);
  const container = document.createElement("div");
  container.append(line);
  let widget = null;
  let height = LINE_HEIGHT;

  const growNode = () => {
    const [width, before] = node.size;
    if (!inNodes2()) node.setSize?.([width, Math.max(before, node.computeSize()[1])]);
    node.setDirtyCanvas?.(true, true);
  };
  // Its height is known when it is drawn; it changes with the width of the node.
  const observer = new ResizeObserver(() => {
    if (!line.offsetHeight || line.offsetHeight === height) return;
    height = line.offsetHeight;
    growNode();
  });

  /** Show a text; an empty one takes no space. */
  function show(text = "") {
    if (text === line.textContent || (!text && !widget)) return;
    line.textContent = text;
    container.style.display = text ? "" : "none";
    if (!widget) {
      widget = addElement(node, "status", container, () => (line.textContent ? height + MARGIN : 0));
      observer.observe(line);
    }
    growNode();
  }

  whenRestored(node, "status", show);
  const abortController = new AbortController();
  const receive = ({ detail }) => {
    // Inside subgraphs the server sends a path of ids, which ends in the node's own id.
    if (detail.node.split(":").pop() !== String(node.id)) return;
    remember(node, "status", detail.text || undefined);
    show(detail.text);
  };
  api.addEventListener("gid.text", receive, { signal: abortController.signal });
  appendCallback(node, "onRemoved", () => {
    abortController.abort();
    observer.disconnect();
  });
}

app.registerExtension({
  name: "gid.statusText",
  nodeCreated(node) {
    if (node.comfyClass?.startsWith("GID_")) addStatus(node);
  },
});
