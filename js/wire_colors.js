// Colors of this pack's wires, so that a volume, a motion and a model are told apart. ComfyUI gives all types that its
// palette does not name one color. A palette that names ours keeps its own choice.
import { app } from "../../scripts/app.js";

export const WIRE_COLORS = {
  GID_SPECTRAL_VOLUME: "#e8a33d",
  GID_MOTION: "#5cc8a1",
  GID_MODEL: "#b39ddb",
  GID_GUIDANCE: "#e57ba5",
};

// Also after a change of palette, which resets them.
function colorWires() {
  const lists = [app.canvas?.default_connection_color_byType, globalThis.LGraphCanvas?.link_type_colors];
  for (const [type, color] of Object.entries(WIRE_COLORS)) {
    for (const colors of lists) {
      if (colors && !colors[type]) colors[type] = color;
    }
    document.body.style.setProperty(`--color-datatype-${type}`, color); // Nodes 2.0
  }
  app.canvas?.setDirty?.(true, true);
}

app.registerExtension({
  name: "gid.wireColors",
  setup() {
    colorWires();
    const settings = app.ui?.settings;
    // The palette is loaded after the event, in steps of its own.
    settings?.addEventListener?.("Comfy.ColorPalette.change", () => setTimeout(colorWires, 500));
  },
});
