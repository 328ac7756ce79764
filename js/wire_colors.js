// Colors of this pack's wires and slots, so that a volume, a motion and a model are told apart. ComfyUI gives all types
// that its palette does not name one color. A palette that names ours keeps its own choice.

import { app } from "../../scripts/app.js";

const WIRE_COLORS = {
  GID_SPECTRAL_VOLUME: "#e8a33d",
  GID_MOTION: "#5cc8a1",
  GID_MODEL: "#b39ddb",
  GID_GUIDANCE: "#e57ba5",
};
// A wire on the canvas has the type of the input that it enters; inputs of two types name the usual one first.
const CANVAS_COLORS = {
  ...WIRE_COLORS,
  "GID_SPECTRAL_VOLUME,GID_MOTION": WIRE_COLORS.GID_SPECTRAL_VOLUME,
  "GID_MOTION,GID_SPECTRAL_VOLUME": WIRE_COLORS.GID_MOTION,
};

/** Answer with our color while the palette's is empty: each load of a palette writes "" for types that it lacks. */
function addDefault(colors, type, color) {
  let chosen = colors[type];
  const accessors = { get: () => chosen || color, set: (value) => (chosen = value) };
  Object.defineProperty(colors, type, { ...accessors, enumerable: true, configurable: true });
}

app.registerExtension({
  name: "gid.wireColors",
  setup() {
    const lists = [app.canvas?.default_connection_color_byType, globalThis.LGraphCanvas?.link_type_colors];
    for (const colors of lists.filter(Boolean))
      for (const [type, color] of Object.entries(CANVAS_COLORS)) addDefault(colors, type, color);
    // Nodes 2.0: palettes write variables of the root element, which win over those of a style sheet.
    const style = document.createElement("style");
    const rules = Object.entries(WIRE_COLORS).map(([type, color]) => `--color-datatype-${type}: ${color};`);
    style.textContent = `:root { ${rules.join(" ")} }`;
    document.head.append(style);
    app.canvas?.setDirty?.(true, true);
  },
});
