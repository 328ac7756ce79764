"""Writes workflows/*.json from short descriptions, through the real page, so that they are as a user saves them.

.venv/bin/python scripts/build_workflows.py [name ...]
"""

import json
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

import gid_core
from comfy_server import ROOT, ComfyServer

CLIP, PHOTO, PAINTED, SOUND = "clip.mp4", "flowers.jpg", "flowers_painted.png", "tune.mp3"
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

*Loop Motion* sets the speed; *Softmax Splat Render* shows the loop, *Save Video* writes it. The model's network draws
the frames; set `mode` to *fast splat* while you look for a motion. All frames are in memory at once: resize a photo of
many megapixels first."""

POKE_NOTE = """## Poke a photo
1. **Load Image**: choose a photo of a plant, flowers, or something that hangs. (`flowers.jpg` lies in this pack's
   folder `assets`.)
2. Queue once. *Modal Force* then shows the photo live.
3. Drag in it: pull a flower, hold it, let go. Queue again to render what you did.

Two pokes are recorded already; *Clear* in the node takes them away. `damping` says how soon it comes to rest, `speed`
how fast it swings, `num_frames` how long the video is. The model is not asked again as long as its node stays as it
is."""

WIND_NOTE = """## Wind on a photo
1. **Load Image**: choose a photo of a plant, flowers, a tree, or something that hangs. (`flowers.jpg` lies in this
   pack's folder `assets`.)
2. Queue.

It begins with the photo at rest; then the wind rises. From then on *Wind Force* shows the photo live: drag in it to
turn the wind and to make it stronger. `gustiness` sets gusts and lulls, another `seed` is another wind, and `loop`
makes an endless loop of any length."""

SOUND_NOTE = """## A photo that dances to a sound
1. **Load Image**: choose a photo of a plant, flowers, or something that hangs.
2. **Load Audio**: choose a sound. (`flowers.jpg` and `tune.mp3` lie in this pack's folder `assets`.)
3. Queue.

Low notes drive slow motion, high notes fast motion; `release` and `damping` say how long a beat rings on. The video is
as long as the sound (`num_frames` 0) and has it as its sound track."""

SWAY_NOTE = """## Sway from a painted mask
1. **Load Image**: choose any picture. (`flowers_painted.png` lies in this pack's folder `assets`; two of its flowers
   are painted.)
2. Right-click Load Image, *Open in MaskEditor*: paint what is to sway, with its stem or whatever holds it.
3. Queue.

No model is needed: *Sway From Mask* takes what is painted for something elastic that is held at its lowest end. Set
`gravity` to *up* for what hangs; connect a second mask to `roots` to say where it is held. Put *Wind Force*, *Modal
Force* or *Audio Force* in place of *Loop Motion* to blow on it, poke it or let it dance."""

RESTYLE_NOTE = """## A clip's motion on another picture
The motion measured in a clip fits any picture that keeps its outlines. Here the first frame is upscaled and turned
into a poster of a few colors; put your image-to-image, upscale or paint-over nodes in place of those two.

No frame is generated: one picture moves, so nothing flickers, and the loop has no seam."""

# Two drags in the live picture of flowers.jpg: the large flower to the left, the one before it to the right.
POKES = """[{"x": 0.24, "y": 0.21, "dx": -0.035, "dy": 0.0, "time": 0.3, "hold": 0.4},
 {"x": 0.51, "y": 0.76, "dx": 0.03, "dy": 0.0, "time": 2.0, "hold": 0.4}]"""


def predicted() -> dict:
    """Nodes from a photo to its predicted motion."""
    return {
        "photo": ("LoadImage", 0, 0, {"image": PHOTO}, {}),
        "model": ("GID_LoadModel", 0, 420, {"model_name": "gid-small (shipped)"}, {}),
        "volume": (
            "GID_PredictSpectralVolume",
            1,
            0,
            {"seed": 1, "control_after_generate": "fixed"},
            {"model": ("model", 0), "image": ("photo", 0)},
        ),
    }


def filmed(motion: str, name: str, column: float, image=("volume", 1), network: bool = True, **inputs) -> dict:
    """Nodes from a photo and a motion to a video file; `inputs`: more of Create Video's.

    network: the model's rendering network draws the frames.
    """
    drawn = {"image": image, "motion": (motion, 0)} | ({"model": ("model", 0)} if network else {})
    return {
        "render": ("GID_SoftmaxSplatRender", column, 0, {}, drawn),
        "video": ("CreateVideo", column + 1, 0, {}, {"images": ("render", 0), "fps": ("render", 2), **inputs}),
        "save": ("SaveVideo", column + 1, 150, {"filename_prefix": f"video/{name}"}, {"video": ("video", 0)}),
    }


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
        "render": (
            "GID_SoftmaxSplatRender",
            2,
            280,
            {},
            {"image": ("volume", 1), "motion": ("loop", 0), "model": ("model", 0)},
        ),
        "video": ("CreateVideo", 3, 0, {}, {"images": ("render", 0), "fps": ("render", 2)}),
        "save": ("SaveVideo", 3, 150, {"filename_prefix": "video/photo_loop"}, {"video": ("video", 0)}),
    },
    "poke_a_photo": {
        "note": ("MarkdownNote", -1, 0, [POKE_NOTE], {}),
        **predicted(),
        "force": (
            "GID_ModalForce",
            2,
            0,
            {"pokes": POKES, "damping": 0.5},
            {"spectral_volume": ("volume", 0), "image": ("volume", 1)},
        ),
        **filmed("force", "poked", 3.3),
    },
    "wind_on_a_photo": {
        "note": ("MarkdownNote", -1, 0, [WIND_NOTE], {}),
        **predicted(),
        "force": (
            "GID_Wind",
            2,
            0,
            {"seed": 1, "control_after_generate": "fixed"},
            {"spectral_volume": ("volume", 0), "image": ("volume", 1)},
        ),
        **filmed("force", "wind", 3.3),
    },
    "sound_reactive": {
        "note": ("MarkdownNote", -1, 0, [SOUND_NOTE], {}),
        **predicted(),
        "sound": ("LoadAudio", 1, 480, {"audio": SOUND}, {}),
        "force": (
            "GID_AudioForce",
            2,
            0,
            {"strength": 2.0},
            {"spectral_volume": ("volume", 0), "audio": ("sound", 0)},
        ),
        **filmed("force", "sound", 3, audio=("sound", 0)),
    },
    "sway_from_mask": {
        "note": ("MarkdownNote", -1, 0, [SWAY_NOTE], {}),
        "photo": ("LoadImage", 0, 0, {"image": PAINTED}, {}),
        "volume": (
            "GID_VolumeFromMask",
            1,
            0,
            {"seed": 1, "control_after_generate": "fixed"},
            {"mask": ("photo", 1)},
        ),
        "loop": ("GID_LoopMotion", 2, 0, {}, {"spectral_volume": ("volume", 0)}),
        **filmed("loop", "sway", 3, image=("photo", 0), network=False),
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
    const width = node.widgets?.some((w) => w.name === "live") ? 400 : 300; // a live picture grows with the width
    node.setSize([width, 100]);
    const size = node.computeSize();
    node.setSize(type === "MarkdownNote" ? [330, 330] : [Math.max(width, size[0]), size[1]]);
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
        for name in sys.argv[1:] or WORKFLOWS:
            graph = page.evaluate(BUILD, WORKFLOWS[name])
            for node in graph["nodes"]:
                if node["type"].startswith("GID_"):
                    node["properties"] |= {"cnr_id": PACK_ID, "ver": version}
            path = Path(ROOT, "workflows", f"{name}.json")
            path.write_text(json.dumps(graph, indent=1) + "\n")
            print(path.relative_to(ROOT), file=sys.stderr)
        browser.close()


if __name__ == "__main__":
    main()
