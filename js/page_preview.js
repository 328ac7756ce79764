// The preview inside Save Interactive Photo: the saved page itself, and a link that downloads it. ComfyUI serves HTML only
// as a download, so the page's text is put into a frame, which can reach neither ComfyUI nor its cookies. Workflows do not
// store the preview, and the node runs without this file.

import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { addElement, appendCallback, inNodes2, remember, whenRestored } from "./dom_widget.js";
import { translate } from "./translate.js";

const NODE_TYPE = "GID_SaveInteractivePhoto";
const MIN_WIDTH = 380; // pixels, of the node
const MARGIN = 40; // pixels, of the node beside the preview
const HEIGHT = 280; // pixels, of the preview
const LINK_HEIGHT = 24; // pixels, with the gap above it

/** Create an element with styles. */
function create(tag, style) {
  const element = document.createElement(tag);
  Object.assign(element.style, style);
  return element;
}

function addPreview(node) {
  const size = { flex: "1", width: "100%", minHeight: `${HEIGHT - LINK_HEIGHT}px` };
  const frame = create("iframe", { ...size, border: "0", borderRadius: "6px", background: "#111" });
  frame.title = translate("page_preview", "The saved page");
  frame.setAttribute("sandbox", "allow-scripts");
  const link = create("a", { font: "12px Inter, Arial, sans-serif", color: "var(--p-primary-color, #4a9eff)" });
  const container = create("div", { display: "none", flexDirection: "column", gap: "6px", height: "100%" });
  container.dataset.testid = "gid-page-preview";
  container.append(frame, link);

  const isShown = () => container.style.display !== "none";
  addElement(node, "page_preview", container, () => (isShown() ? HEIGHT : 0));

  let shown = null; // the file
  async function show(file) {
    shown = file;
    const url = `/view?${new URLSearchParams(file)}`;
    const response = await api.fetchApi(url);
    const text = response.ok ? await response.text() : null;
    if (shown !== file) return; // another run came first
    const isFirst = !isShown();
    container.style.display = text === null ? "none" : "flex"; // the file of a cached run may be gone
    if (text !== null) {
      frame.srcdoc = text;
      const textContent = translate("download", "Download {file}", { file: file.filename });
      Object.assign(link, { href: api.apiURL(url), download: file.filename, textContent });
    }
    // Nodes 2.0 sizes a node by its content, also after its size was set.
    container.style.minWidth = inNodes2() ? `${MIN_WIDTH - MARGIN}px` : "";
    const [width, height] = node.size;
    if (isFirst && isShown()) node.setSize?.([Math.max(width, MIN_WIDTH), Math.max(height, node.computeSize()[1])]);
    node.setDirtyCanvas?.(true, true);
  }

  const tryToShow = (file) => file && show(file).catch((error) => console.warn("gid: no preview:", error));
  appendCallback(node, "onExecuted", (output) => {
    const file = output?.gid_page?.[0];
    if (file) remember(node, "page", file);
    tryToShow(file);
  });
  whenRestored(node, "page", tryToShow);

  // A frame takes the events of the pointer: while something is dragged over the graph, it must let them through.
  const abortController = new AbortController();
  const setEvents = (value) => () => (frame.style.pointerEvents = value);
  const options = { capture: true, signal: abortController.signal };
  document.addEventListener("pointerdown", setEvents("none"), options);
  for (const type of ["pointerup", "pointercancel"]) document.addEventListener(type, setEvents("auto"), options);
  appendCallback(node, "onRemoved", () => {
    abortController.abort();
    shown = null;
    frame.remove();
  });
}

app.registerExtension({
  name: "gid.pagePreview",
  nodeCreated(node) {
    if (node.comfyClass === NODE_TYPE) addPreview(node);
  },
});
