// The live widgets in ComfyUI's page: pokes, wind and the motion brush. DOM widgets show in both of its renderers. The
// nodes' ordinary widgets hold the state, and the nodes run without this file.

import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { BrushEditor } from "./brush_editor.js";
import { addElement, appendCallback, inNodes2, remember, whenRestored } from "./dom_widget.js";
import { fetchPacket, fetchSway } from "./live_packet.js";
import { createButton } from "./live_panel.js";
import { addStyle } from "./live_style.js";
import { placeAbove } from "./more_options.js";
import { PokeEditor } from "./poke_editor.js";
import { translate } from "./translate.js";
import { WindEditor } from "./wind_editor.js";

// Of each node type: the editor, the height in pixels of everything below the image, and whether the widget is only a
// button until it is needed. One that is not stands above the other widgets.
const EDITORS = {
  GID_ModalForce: { Editor: PokeEditor, controlsHeight: 72 },
  GID_Wind: { Editor: WindEditor, controlsHeight: 34 },
  GID_VolumeFromMask: { Editor: BrushEditor, controlsHeight: 98, opens: true },
  GID_PredictSpectralVolume: { Editor: BrushEditor, controlsHeight: 98, opens: true },
};
const BUTTON_HEIGHT = 26; // pixels, of the button that opens an editor
const MIN_WIDTH = 380; // pixels
const TEXT_HEIGHT = 64; // pixels, of the text widget with the pokes
const MARGIN = 20; // pixels between node and widget, left and right together
const PICTURE_NODES = new Set(["LoadImage", "LoadImageMask", "LoadImageOutput"]);

/** What stands in an editor's place for the picture until there is one. */
const hint = (paints) =>
  paints
    ? translate("brush_hint", "Connect an image, then run the workflow once, to paint on it")
    : translate("live_hint", "Run the workflow once to see it live");

/** Functions with which an editor reads and changes a node. */
function nodeAccess(node) {
  const find = (name) => node.widgets?.find((widget) => widget.name === name);
  const sways = node.comfyClass === "GID_VolumeFromMask";
  return {
    picture: () => pictureUrl(node),
    loadPicture: async (url) => {
      const response = await api.fetchApi(url);
      if (!response.ok) throw new Error(`${response.status}`);
      return createImageBitmap(await response.blob(), { premultiplyAlpha: "none" }); // a mask is alpha, and has colors
    },
    sway: sways ? (request) => fetchSway(request, (path, options) => api.fetchApi(path, options)) : undefined,
    read: (name) => find(name)?.value,
    options: (name) => find(name)?.options ?? {},
    write(name, value) {
      const widget = find(name);
      if (!widget || widget.value === value) return;
      widget.value = value;
      widget.callback?.(value, app.canvas, node);
      node.setDirtyCanvas?.(true, true);
    },
    /** Report to ComfyUI's undo history that a change is complete. */
    changed() {
      const tracker = app.extensionManager?.workflow?.activeWorkflow?.changeTracker;
      if (tracker?.captureCanvasState) tracker.captureCanvasState();
      else tracker?.checkState?.();
    },
    locked: (name) => {
      const slot = node.inputs?.findIndex((input) => input.name === name) ?? -1;
      return slot >= 0 && node.isInputConnected(slot);
    },
  };
}

/** The URL of the file that a Load Image shows which is connected to a node's image or mask, or "". */
function pictureUrl(node) {
  for (const name of ["image", "mask"]) {
    const slot = node.inputs?.findIndex((input) => input.name === name) ?? -1;
    const source = slot >= 0 ? node.getInputNode?.(slot) : null;
    if (!PICTURE_NODES.has(source?.comfyClass)) continue;
    const file = source.widgets?.find((widget) => widget.name === "image")?.value;
    if (typeof file !== "string" || !file) continue;
    const [, path, type = "input"] = /^(.*?)(?: \[(\w+)\])?$/.exec(file);
    const cut = path.lastIndexOf("/") + 1;
    const place = { filename: path.slice(cut), subfolder: path.slice(0, Math.max(cut - 1, 0)), type };
    return `/view?${new URLSearchParams(place)}`;
  }
  return "";
}

function addLiveWidget(node) {
  const { Editor, controlsHeight, opens = false } = EDITORS[node.comfyClass];
  const holder = document.createElement("div");
  holder.dataset.testid = "gid-live";
  const strokesWidget = node.widgets.find((other) => other.name === "strokes");
  let editor = null;
  let shownDigest = null;
  let opened = !opens;
  let waiting = null; // the digest to show when the editor opens

  const widget = addElement(node, "live", holder, () => height());
  if (!opens) placeAbove(node, widget, 0);

  // Before the layout the holder may be as wide as the page.
  const width = () => Math.min(holder.clientWidth || Infinity, Math.max(node.size[0], MIN_WIDTH) - MARGIN);
  const height = () => (opened ? editorHeight() : BUTTON_HEIGHT);
  const editorHeight = () => (editor?.panel ?? PLACEHOLDER_PANEL).heightFor(width() - 2, controlsHeight) + MARGIN;
  /** Nodes 2.0 sizes a node by its content; on the classic canvas the size must be set. */
  const growNode = () => {
    if (!inNodes2()) node.setSize?.([Math.max(node.size[0], MIN_WIDTH), Math.max(node.size[1], node.computeSize()[1])]);
    node.setDirtyCanvas?.(true, true);
  };

  function build() {
    if (editor) return;
    opened ||= Boolean(strokesWidget?.value);
    if (!opened) {
      holder.replaceChildren(openButton);
      if (!inNodes2()) node.expandToFitContent?.();
      return;
    }
    editor = new Editor(nodeAccess(node), hint(opens));
    holder.replaceChildren(editor.root);
    growNode();
  }

  addStyle();
  const openText = translate("paint_motion", "Paint motion");
  const openTip = translate("paint_motion_tip", "Paint what moves in the picture");
  const openButton = createButton("brush", openText, openTip, () => {
    opened = true;
    build();
    show(waiting);
  });
  openButton.className = "gid-open";

  async function show(digest) {
    if (!editor) waiting = digest;
    if (!editor || !digest || digest === shownDigest) return;
    shownDigest = digest;
    let packet = null;
    try {
      packet = await fetchPacket(digest, (path) => api.fetchApi(path));
    } catch (error) {
      console.warn("gid: no live view:", error);
    }
    if (shownDigest !== digest || !editor) return; // another run came first, or the node was removed
    if (packet) {
      editor.setPacket(packet, digest);
      growNode();
    } else {
      shownDigest = null;
      remember(node, "live", undefined);
    }
  }

  const restore = () => {
    build();
    for (const delay of [50, 500, 2000]) setTimeout(() => editor && replaceStaleElement(node, holder), delay);
  };

  appendCallback(node, "onExecuted", (output) => {
    const digest = output?.gid_live?.[0]?.digest;
    if (!digest) return;
    remember(node, "live", digest);
    show(digest);
  });
  whenRestored(node, "live", show);
  appendCallback(node, "onAdded", restore);
  appendCallback(node, "onConfigure", restore);
  appendCallback(node, "onRemoved", () => {
    editor?.dispose();
    editor = shownDigest = null;
    holder.replaceChildren();
  });
  if (strokesWidget) appendCallback(strokesWidget, "callback", build); // strokes that are typed or pasted open the editor
  // Spare height goes to the image, not to the text widget with the pokes.
  const pokesWidget = node.widgets.find((other) => other.name === "pokes");
  const fixedHeight = { getMinHeight: () => TEXT_HEIGHT, getMaxHeight: () => TEXT_HEIGHT };
  if (pokesWidget?.element) Object.assign(pokesWidget.options, fixedHeight);
  forwardNavigation(holder);
  build();
  // A new node's height includes inputs that Nodes 2.0 hides. A height of 0 gives the node the height of its content.
  if (inNodes2()) node.setSize?.([Math.max(node.size[0], MIN_WIDTH), 0]);
}

/**
 * After an undo, Nodes 2.0 of the old frontend keeps showing the element of the previous node, because the new node has
 * the same id. Replace it with the new element.
 */
function replaceStaleElement(node, holder) {
  if (holder.isConnected || node.graph !== app.canvas?.graph) return;
  const selector = `.lg-node[data-node-id="${node.id}"] [data-testid="${holder.dataset.testid}"]`;
  const current = document.querySelector(selector);
  if (current !== holder) current?.replaceWith(holder);
}

const PLACEHOLDER_PANEL = { heightFor: (width, controlsHeight) => Math.round((width * 9) / 16) + controlsHeight };

/** On the classic canvas a DOM widget would take the wheel and the middle button, which should move the graph. */
function forwardNavigation(element) {
  const forward = (type, method, condition) => {
    const listener = (event) => {
      if (inNodes2() || !condition(event)) return;
      event.preventDefault();
      app.canvas?.[method]?.(event);
    };
    element.addEventListener(type, listener, { passive: false });
  };
  forward("wheel", "processMouseWheel", () => true);
  forward("pointerdown", "processMouseDown", (event) => event.button === 1);
  forward("pointermove", "processMouseMove", (event) => (event.buttons & 4) === 4);
  forward("pointerup", "processMouseUp", (event) => event.button === 1);
}

app.registerExtension({
  name: "gid.live",
  nodeCreated(node) {
    if (node.comfyClass in EDITORS) addLiveWidget(node);
  },
});
