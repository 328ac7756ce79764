// What the DOM widgets of this pack share: how they are added to a node, and what a node remembers over a reload of the
// page. DOM widgets show in both of ComfyUI's renderers.

import { app } from "../../scripts/app.js";

const STORAGE_KEY = "gid.shown"; // in the session storage: by node, what each of its widgets shows

/** Whether ComfyUI draws nodes as HTML (Nodes 2.0) and not on its canvas. */
export const inNodes2 = () => Boolean(globalThis.LiteGraph?.vueNodesMode);

/**
 * Add an element to a node as a widget without a value: neither workflows nor prompts contain it. The panel of parameters
 * does not list it: it has nothing to show there, and would set the width of the widget on the node.
 */
export function addElement(node, name, element, getMinHeight) {
  const widget = node.addDOMWidget(name, `GID_${name.toUpperCase()}`, element, {
    serialize: false,
    hideOnZoom: false,
    hideInPanel: true,
    getMinHeight,
    getValue: () => "",
    setValue: () => {},
  });
  widget.serialize = false;
  return widget;
}

/** Call `callback` after the object's own method of this name. */
export function appendCallback(object, name, callback) {
  const original = object[name];
  object[name] = function (...args) {
    const result = original?.apply(this, args);
    callback.apply(this, args);
    return result;
  };
}

/** Call `show` with what the node remembers under this name, or undefined, after it was loaded, undone or pasted. */
export function whenRestored(node, name, show) {
  // Looked up later: before, the node has no id.
  appendCallback(node, "onConfigure", () => setTimeout(() => node.graph && show(stored()[storageKey(node)]?.[name])));
}

/** Let the node remember something that JSON can hold, until the page's tab is closed; undefined forgets it. */
export function remember(node, name, value) {
  const all = stored();
  all[storageKey(node)] = { ...all[storageKey(node)], [name]: value };
  try {
    sessionStorage.setItem(STORAGE_KEY, JSON.stringify(all));
  } catch {
    // Without storage, it is only lost after a reload.
  }
}

function stored() {
  try {
    return JSON.parse(sessionStorage.getItem(STORAGE_KEY)) ?? {};
  } catch {
    return {};
  }
}

/** The key of a node in the session storage. It names graph and type, too, because node ids repeat across workflows. */
function storageKey(node) {
  const graphId = node.graph?.id;
  const hasId = graphId && /[1-9a-f]/.test(graphId); // a workflow that was never saved may have an id of zeros
  return `${hasId ? graphId : app.extensionManager?.workflow?.activeWorkflow?.path}/${node.id}/${node.type}`;
}
