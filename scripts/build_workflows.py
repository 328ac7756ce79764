"""Writes workflows/*.json from short descriptions, through the real page, so that they are as a user saves them.

.venv/bin/python scripts/build_workflows.py
"""

import json
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

import gid_core
from comfy_server import ROOT, ComfyServer

CLIP, PHOTO = "clip.mp4", "flowers.jpg"
PACK_ID = "generative-image-dynamics"

# A node: name: (type, column, row in pixels, widgets, inputs as input: (node, output number)).
LOOP_NOTE = """## A clip becomes an endless loop
1. **Load Video**: choose any clip from a still camera, 16 frames or longer: leaves, flowers, water, hair, a candle.
2. Queue.

*Amplify Motion* makes the sway larger or calmer; *Loop Motion* sets the speed and the length.
*Softmax Splat Render* shows the loop when it is done, *Save Video* writes it.
*Preview Motion* shows where it moves, how fast, and (X-t slice) that the seam cannot be seen."""

PHOTO_NOTE = """## A photo becomes an endless loop
1. **Load Image**: choose a photo of a plant, flowers, a tree, or something that hangs. (`flowers.jpg` lies in this
   pack's folder `assets`.)
2. Queue.

No video is needed: *Predict Spectral Volume* predicts from the photo how it would sway, and shows where while it
works. Another `seed` is another breeze; `amplitude` sets how far it sways. Paint a mask in *Load Image* and connect it
to `mask` to say what may move.

*Loop Motion* sets the speed; *Softmax Splat Render* shows the loop, *Save Video* writes it. All frames are in memory
at once: resize a photo of many megapixels first."""

RESTYLE_NOTE = """## A clip's motion on another picture
The motion measured in a clip fits any picture that keeps its outlines. Here the first frame is upscaled and turned
into a poster of a few colours; put your image-to-image, upscale or paint-over nodes in place of those two.

No frame is generated: one picture moves, so nothing flickers, and the loop has no seam."""

WORKFLOWS = {
    "photo_to_loop": {
        "note": ("MarkdownNote", -1, 0, [PHOTO_NOTE], {}),
        "photo": ("LoadImage", 0, 0, {"image": PHOTO}, {}),
        "model": ("GID_LoadModel", 0, 420, {"model_name": "gid-small (shipped)"}, {}),
        "guidance": ("GID_LoopGuidance", 0, 580, {}, {}),
        "volume": (
            "GID_PredictSpectralVolume",
            1,
            0,
            {"seed": 1, "control_after_generate": "fixed"},
            {"model": ("model", 0), "image": ("photo", 0), "loop_guidance": ("guidance", 0)},
        ),
        "loop": ("GID_LoopMotion", 2, 0, {}, {"spectral_volume": ("volume", 0)}),
        "render": ("GID_SoftmaxSplatRender", 2, 280, {}, {"image": ("volume", 1), "motion": ("loop", 0)}),
        "video": ("CreateVideo", 3, 0, {}, {"images": ("render", 0), "fps": ("render", 2)}),
        "save": ("SaveVideo", 3, 150, {"filename_prefix": "video/photo_loop"}, {"video": ("video", 0)}),
    },
    "clip_to_loop": {
        "note": ("MarkdownNote", -1, 0, [LOOP_NOTE], {}),
        "load": ("LoadVideo", 0, 0, {"file": CLIP}, {}),
        "volume": ("GID_SpectralVolumeFromVideo", 1, 0, {}, {"video": ("load", 0)}),
        "amplify": ("GID_AmplifyMotion", 2, 120, {"gain": 1.5}, {"spectral_volume": ("volume", 0)}),
        "loop": ("GID_LoopMotion", 2, 460, {}, {"spectral_volume": ("amplify", 0)}),
        "preview": ("GID_PreviewMotion", 3, 460, {}, {"motion": ("loop", 0), "image": ("volume", 1)}),
        "render": ("GID_SoftmaxSplatRender", 3, 0, {}, {"image": ("volume", 1), "motion": ("loop", 0)}),
        "video": ("CreateVideo", 4, 0, {}, {"images": ("render", 0), "fps": ("render", 2)}),
        "save": ("SaveVideo", 4, 150, {"filename_prefix": "video/loop"}, {"video": ("video", 0)}),
    },
    "motion_to_restyled_photo": {
        "note": ("MarkdownNote", -1, 0, [RESTYLE_NOTE], {}),
        "load": ("LoadVideo", 0, 0, {"file": CLIP}, {}),
        "volume": ("GID_SpectralVolumeFromVideo", 1, 0, {}, {"video": ("load", 0)}),
        "upscale": ("ImageScaleBy", 1, 380, {"upscale_method": "lanczos", "scale_by": 2.0}, {"image": ("volume", 1)}),
        "restyle": ("ImageQuantize", 1, 520, {"colors": 12, "dither": "none"}, {"image": ("upscale", 0)}),
        "loop": ("GID_LoopMotion", 2, 0, {"speed": 0.75}, {"spectral_volume": ("volume", 0)}),
        "render": ("GID_SoftmaxSplatRender", 2, 330, {}, {"image": ("restyle", 0), "motion": ("loop", 0)}),
        "video": ("CreateVideo", 3, 0, {}, {"images": ("render", 0), "fps": ("render", 2)}),
        "save": ("SaveVideo", 3, 150, {"filename_prefix": "video/restyled_loop"}, {"video": ("video", 0)}),
    },
}

BUILD = """(spec) => {
  const graph = app.rootGraph ?? app.graph;
  graph.clear();
  const made = {};
  for (const [name, [type, column, row, widgets]] of Object.entries(spec)) {
    const node = LiteGraph.createNode(type);
    if (!node) throw new Error("no node " + type);
    node.pos = [column * 360 + 40, row + 60];
    graph.add(node);
    if (Array.isArray(widgets)) node.widgets[0].value = widgets[0];
    else for (const [key, value] of Object.entries(widgets)) {
      const widget = node.widgets.find((w) => w.name === key);
      if (!widget) throw new Error(`${type} has no widget ${key}`);
      if (widget.options?.values && !widget.options.values.includes?.(value)) widget.options.values = [value];
      widget.value = value;
    }
    const size = node.computeSize();
    node.setSize(type === "MarkdownNote" ? [330, 330] : [Math.max(300, size[0]), size[1]]);
    made[name] = node;
  }
  for (const [name, [type, , , , inputs]] of Object.entries(spec)) {
    for (const [input, [source, slot]] of Object.entries(inputs)) {
      const index = made[name].inputs.findIndex((i) => i.name === input);
      if (index < 0) throw new Error(`${type} has no input ${input}`);
      made[source].connect(slot, made[name], index);
    }
  }
  return JSON.parse(JSON.stringify(graph.serialize()));
}"""


def main() -> None:
    version = gid_core.__version__
    with tempfile.TemporaryDirectory() as base, ComfyServer(base) as server, sync_playwright() as playwright:
        server.post("/settings", {"Comfy.TutorialCompleted": True})
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(server.url)
        page.wait_for_function("() => window.app?.graph && window.LiteGraph?.registered_node_types?.GID_LoopMotion")
        page.wait_for_timeout(1000)
        for name, spec in WORKFLOWS.items():
            graph = page.evaluate(BUILD, spec)
            for node in graph["nodes"]:
                if node["type"].startswith("GID_"):
                    node["properties"] |= {"cnr_id": PACK_ID, "ver": version}
            path = Path(ROOT, "workflows", f"{name}.json")
            path.write_text(json.dumps(graph, indent=1) + "\n")
            print(path.relative_to(ROOT), file=sys.stderr)
        browser.close()


if __name__ == "__main__":
    main()
