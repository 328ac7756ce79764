// The live widgets of Modal Force and Wind Force in ComfyUI's page: DOM widgets, so that they show in both of its
// renderers. Their state is the nodes' plain widgets; the nodes run without this file.

import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { fetchPacket } from "./live_packet.js";
import { PokeEditor } from "./poke_editor.js";
import { WindEditor } from "./wind_editor.js";

const EDITORS = { GID_ModalForce: PokeEditor, GID_Wind: WindEditor };
const REST = { GID_ModalForce: 72, GID_Wind: 34 }; // height of what is below the picture
const WIDTH = 380;
const TEXT_HEIGHT = 64; // of the pokes' text
const MARGIN = 20; // between node and widget, left and right together
const HINT = "Run the workflow once to see it live";
const MEMORY = "gid.live"; // in the session's storage: which packet each node shows

/** The node as the editors see it. */
function accessTo(node) {
  const find = (name) => node.widgets?.find((widget) => widget.name === name);
  return {
    read: (name) => find(name)?.value,
    options: (name) => find(name)?.options ?? {},
    write(name, value) {
      const widget = find(name);
      if (!widget || widget.value === value) return;
      widget.value = value;
      widget.callback?.(value, app.canvas, node);
      node.setDirtyCanvas?.(true, true);
    },
    /** Tell ComfyUI's undo that a change is complete. */
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

/** Under which name the session remembers a node's packet: ids of nodes repeat from workflow to workflow. */
function keyOf(node) {
  const graph = node.graph?.id;
  const named = graph && /[1-9a-f]/.test(graph); // a workflow that was never saved may have an id of zeros
  return `${named ? graph : app.extensionManager?.workflow?.activeWorkflow?.path}/${node.id}`;
}

function remembered() {
  try {
    return JSON.parse(sessionStorage.getItem(MEMORY)) ?? {};
  } catch {
    return {};
  }
}

function remember(node, digest) {
  const all = remembered();
  if (digest) all[keyOf(node)] = digest;
  else delete all[keyOf(node)];
  try {
    sessionStorage.setItem(MEMORY, JSON.stringify(all));
  } catch {
    // Without storage the view is gone after a reload, no more.
  }
}

function addLiveWidget(node) {
  const rest = REST[node.comfyClass];
  const holder = document.createElement("div");
  holder.dataset.testid = "gid-live";
  let editor = null;
  let shown = null;

  const widget = node.addDOMWidget("live", "GID_LIVE", holder, {
    serialize: false,
    hideOnZoom: false,
    getMinHeight: () => height(),
    getValue: () => "",
    setValue: () => {},
  });
  widget.serialize = false;

  // Before it is laid out the holder may be as wide as the page.
  const width = () => Math.min(holder.clientWidth || Infinity, Math.max(node.size[0], WIDTH) - MARGIN);
  const height = () => (editor?.panel ?? FLAT).heightFor(width() - 2, rest) + MARGIN;
  /** Nodes 2.0 lays out by content; on the canvas the node must be told. */
  const grow = () => {
    if (!inNodes2()) node.setSize?.([Math.max(node.size[0], WIDTH), Math.max(node.size[1], node.computeSize()[1])]);
    node.setDirtyCanvas?.(true, true);
  };

  function build() {
    if (editor) return;
    editor = new EDITORS[node.comfyClass](accessTo(node), HINT);
    holder.replaceChildren(editor.root);
    grow();
  }

  async function show(digest) {
    if (!digest || digest === shown) return;
    shown = digest;
    let packet = null;
    try {
      packet = await fetchPacket(digest, (path) => api.fetchApi(path));
    } catch (error) {
      console.warn("gid: no live view:", error);
    }
    if (shown !== digest || !editor) return; // another run, or the node is gone
    if (packet) {
      editor.setPacket(packet);
      grow();
    } else {
      shown = null;
      remember(node, null);
    }
  }

  /** After loading, undo or a change of tabs the node gets its id late. */
  const restore = () => {
    build();
    setTimeout(() => editor && show(remembered()[keyOf(node)]));
    for (const delay of [50, 500, 2000]) setTimeout(() => editor && replaceStale(node, holder), delay);
  };

  chain(node, "onExecuted", (output) => {
    const digest = output?.gid_live?.[0]?.digest;
    if (!digest) return;
    remember(node, digest);
    show(digest);
  });
  chain(node, "onAdded", restore);
  chain(node, "onConfigure", restore);
  chain(node, "onRemoved", () => {
    editor?.dispose();
    editor = shown = null;
    holder.replaceChildren();
  });
  // What height there is to spare goes to the picture, not to the text of the pokes.
  const text = node.widgets.find((other) => other.name === "pokes");
  if (text?.element) Object.assign(text.options, { getMinHeight: () => TEXT_HEIGHT, getMaxHeight: () => TEXT_HEIGHT });
  forwardNavigation(holder);
  build();
  // A new node's height counts inputs that Nodes 2.0 folds away: ask for none, and it is as high as what is in it.
  if (inNodes2()) node.setSize?.([Math.max(node.size[0], WIDTH), 0]);
}

const inNodes2 = () => Boolean(globalThis.LiteGraph?.vueNodesMode);

/**
 * After an undo the old frontend's Nodes 2.0 goes on showing the element of the node that was there before, since the
 * new one has the same id: put the new element in its place.
 */
function replaceStale(node, holder) {
  if (holder.isConnected || node.graph !== app.canvas?.graph) return;
  const shown = document.querySelector(`.lg-node[data-node-id="${node.id}"] [data-testid="${holder.dataset.testid}"]`);
  if (shown !== holder) shown?.replaceWith(holder);
}

const FLAT = { heightFor: (width, rest) => Math.round((width * 9) / 16) + rest };

/** On the classic canvas a DOM widget swallows the wheel and the middle button, which should move the graph. */
function forwardNavigation(element) {
  const forward = (kind, method, wanted) => {
    const pass = (event) => {
      if (inNodes2() || !wanted(event)) return;
      event.preventDefault();
      app.canvas?.[method]?.(event);
    };
    element.addEventListener(kind, pass, { passive: false });
  };
  forward("wheel", "processMouseWheel", () => true);
  forward("pointerdown", "processMouseDown", (event) => event.button === 1);
  forward("pointermove", "processMouseMove", (event) => (event.buttons & 4) === 4);
  forward("pointerup", "processMouseUp", (event) => event.button === 1);
}

function chain(object, name, after) {
  const before = object[name];
  object[name] = function (...given) {
    const result = before?.apply(this, given);
    after.apply(this, given);
    return result;
  };
}

app.registerExtension({
  name: "gid.live",
  nodeCreated(node) {
    if (node.comfyClass in EDITORS) addLiveWidget(node);
  },
});
