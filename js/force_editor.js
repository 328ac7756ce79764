// Base class of the live widgets of the forces: the widgets that all forces have.

import { DEFAULT_DAMPING } from "./constants.js";
import { LiveEditor } from "./live_editor.js";

const SHARED_WIDGETS = [
  "num_frames", "fps", "strength", "damping", "speed", "alpha", "beta", "damping_ratio", "max_displacement",
  "integrator",
];

export class ForceEditor extends LiveEditor {
  /** As LiveEditor; `names` are the widgets that this force has in addition to the shared ones. */
  constructor(node, hint, { names, ...options }) {
    super(node, hint, { ...options, names: [...SHARED_WIDGETS, ...names] });
  }

  /** Values of the shared widgets as the motion functions take them. Also sets the panel's duration. */
  readSettings() {
    const v = this.values, { panel } = this;
    const fps = Math.max(Number(v.fps) || 30, 1);
    const numFrames = Math.max(Number(v.num_frames) || 1, 1);
    panel.duration = numFrames / fps;
    if (panel.time > panel.duration) panel.seek(0);
    return {
      numFrames,
      fps,
      damping: {
        alpha: v.alpha ?? DEFAULT_DAMPING.alpha,
        beta: v.beta ?? DEFAULT_DAMPING.beta,
        ratio: v.damping_ratio || null,
        factor: v.damping ?? 1,
      },
      speed: v.speed ?? 1,
      strength: v.strength ?? 1,
      maxDisplacement: (v.max_displacement ?? 25) / 100,
      integrator: v.integrator ?? "exact",
    };
  }
}
