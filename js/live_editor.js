// Base class of the live widgets: a picture that moves as the node's widgets describe, with its pointer and its keys. It
// knows nothing of ComfyUI: the constructor receives functions that access the node.

import { LivePanel } from "./live_panel.js";
import { Modes } from "./modes.js";

/**
 * Subclasses implement refresh(), evaluate(time, q), onResize(), onDragStart(event), onDrag(event), onKey(event) and
 * hasMotion, and call pollWidgets() at the end of their constructor.
 */
export class LiveEditor {
  /**
   * @param {object} node
   * @param {(name: string) => any} node.read       returns the value of a widget, or undefined
   * @param {(name: string, value: any) => void} node.write  sets the value of a widget
   * @param {(name: string) => object} node.options returns the limits of a widget
   * @param {() => void} node.changed               reports that a change is complete
   * @param {(name: string) => boolean} node.locked whether a widget's value comes through a link
   * @param {string} hint                           message while there is no image
   * @param {string} testid, label                  test id and ARIA label of the canvas
   * @param {string[]} names                        widgets whose values the picture shows
   */
  constructor(node, hint, { testid, label, names }) {
    this.node = node;
    this.widgetNames = names;
    this.values = {};
    this.drag = null;
    this.motion = null;
    const panel = (this.panel = new LivePanel({ testid, label, hint }));
    this.root = panel.root;
    panel.evaluate = (time, q) => this.evaluate(time, q);
    panel.onPoll = () => this.pollWidgets();
    panel.onResize = () => this.onResize();
    panel.displacementAt = (x, y, q) => this.modes?.displacementAt(x, y, q) ?? [0, 0];
    panel.canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !event.isPrimary || this.drag !== null || !this.modes) return;
      event.stopPropagation(); // otherwise ComfyUI drags the node
      panel.canvas.setPointerCapture(event.pointerId);
      this.onDragStart(event);
    });
    for (const type of ["pointermove", "pointerup", "pointercancel", "lostpointercapture"]) {
      panel.canvas.addEventListener(type, (event) => {
        if (event.pointerId !== this.drag?.id) return;
        event.stopPropagation();
        this.onDrag(event);
      });
    }
    this.root.addEventListener("keydown", (event) => {
      if (this.onKey(event)) {
        event.preventDefault();
        event.stopPropagation();
      } else if ([" ", "Enter"].includes(event.key) && !event.ctrlKey && !event.metaKey) {
        event.stopPropagation(); // these keys press the focused button; ComfyUI must not see them
      }
    });
  }

  /** Show a new photo with its motion (see live_packet.js). */
  setPacket(packet) {
    const isFirst = this.panel.packet === null;
    this.modes = new Modes(packet);
    this.panel.setPacket(packet);
    this.pollWidgets();
    this.refresh();
    if (isFirst && this.hasMotion && !this.panel.prefersReducedMotion) this.panel.play();
  }

  /** Position of a pointer event in fractions of the image. */
  positionOf(event) {
    const box = this.panel.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  dispose() {
    this.panel.dispose();
  }

  /** Refresh if a widget's value has changed since the last call: by the user, by undo or by another script. */
  pollWidgets() {
    let changed = false;
    for (const name of this.widgetNames) {
      const value = this.node.read(name);
      if (value !== this.values[name]) {
        this.values[name] = value;
        changed = true;
      }
    }
    if (changed) this.refresh();
  }
}
