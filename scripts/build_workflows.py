"""Write workflows/*.json from short descriptions with ComfyUI's page, so that the files equal those that a user saves.

.venv/bin/python scripts/build_workflows.py [name ...]
"""

import json
import math
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

import gid_core
from comfy_server import ROOT, ComfyServer

CLIP, PHOTO, PAINTED, AUDIO = "clip.mp4", "flowers.jpg", "flowers_painted.png", "tune.mp3"
PACK_ID = "generative-image-dynamics"

LOOP_NOTE = """## Make an endless loop from a clip
1. **Load Video**: choose a clip from a static camera, with 16 frames or more: leaves, flowers, water, hair, a candle.
2. Queue.

*Amplify Motion* makes the motion larger or smaller; *Loop Motion* sets its speed and length.
*Softmax Splat Render* shows the finished loop, and *Save Video* saves it.
*Preview Motion* shows where it moves and how fast. Its X-t slice shows that the seam is invisible."""

PHOTO_NOTE = """## Make an endless loop from a photo
1. **Load Image**: choose a photo of a plant, flowers, a tree, or a hanging object. (`flowers.jpg` is in this pack's
   folder `assets`.)
2. Queue.

You need no video: *Predict Spectral Volume* predicts the motion from the photo, and shows where it moves while it
runs. A different `seed` gives a different motion; `amplitude` sets how large it is. To limit the motion to a region,
paint a mask in *Load Image* and connect it to `mask`.

*Loop Motion* sets the speed. *Render Loop To Video* shows the loop, and *Save Video* saves it. The model's rendering
network draws the frames; set `mode` to *fast splat* while you search for a motion. A photo of any size fits into
memory; one of many megapixels takes long, so resize it first if you do not need its size. For frames that other nodes
take, use *Softmax Splat Render* instead."""

POKE_NOTE = """## Poke a photo
1. **Load Image**: choose a photo of a plant, flowers, or a hanging object. (`flowers.jpg` is in this pack's folder
   `assets`.)
2. Queue once. *Modal Force* then shows the photo live.
3. Drag in it: pull a flower, hold it, release it. Queue again to render the motion.

The workflow contains two pokes; *Clear* in the node removes them. `damping` sets how fast the swings die out, `speed`
how fast things swing, `num_frames` how long the video is. The model does not run again unless you change its node."""

WIND_NOTE = """## Wind on a photo
1. **Load Image**: choose a photo of a plant, flowers, a tree, or a hanging object. (`flowers.jpg` is in this pack's
   folder `assets`.)
2. Queue.

The video starts with the photo at rest; then the wind rises. After the first run *Wind Force* shows the photo live:
drag in it to set the direction and the strength of the wind. `gustiness` sets gusts and lulls, a different `seed`
gives a different wind, and `loop` makes a seamless loop of any length."""

AUDIO_NOTE = """## Make a photo dance to audio
1. **Load Image**: choose a photo of a plant, flowers, or a hanging object.
2. **Load Audio**: choose an audio file. (`flowers.jpg` and `tune.mp3` are in this pack's folder `assets`.)
3. Queue.

Low notes drive slow motion, high notes drive fast motion; `release` and `damping` set how long the motion continues
after a beat. The video is as long as the audio (`num_frames` 0) and includes it as its sound track."""

SWAY_NOTE = """## Sway from a painted mask
1. **Load Image**: choose any image. (`flowers_painted.png` is in this pack's folder `assets`; its mask covers two
   flowers.)
2. Right-click Load Image and choose *Open in MaskEditor*. Paint the object that should sway, with its stem or support.
3. Queue.

You need no model: *Sway From Mask* treats the painted region as an elastic object that is fixed at its lowest end.
Set `gravity` to *up* for hanging objects, or connect a second mask to `roots` to mark where the object is fixed. To
use wind, pokes or audio, replace *Loop Motion* with *Wind Force*, *Modal Force* or *Audio Force*."""

TRACKS_NOTE = """## Move a picture along drawn tracks
1. **Load Image**: choose any image. (`flowers_painted.png` is in this pack's folder `assets`; its mask covers two
   flowers.)
2. Queue.

*Tracks To Motion* moves the whole image by the tracks of a few points, here written as text. Connect the coordinates of
a spline editor, or the tracks that another pack followed in a video, to `tracks`, and set `width` and `height` to the
size of the picture in which they were drawn. Motion spreads along objects; the mask says what may move.

*Motion To Tracks* is the way back: it follows points of any motion of this pack. Connect its `tracks` to *Wan Track To
Video*, and a video model moves the image in the same way. *Preview Image* shows the tracks."""

LONG_NOTE = """## Make a long loop in which nothing repeats
1. **Load Image**: choose a photo of a plant, flowers, a tree, or a hanging object. (`flowers.jpg` is in this pack's
   folder `assets`.)
2. Queue.

*Loop Motion* repeats the same few seconds. *Long Loop* goes on for as many `seconds` as you like, without a seam, and
no swing is like the one before: for backgrounds and picture frames. `variation` sets how much the swings vary.

*Render Loop To Video* writes each frame as soon as it is made: memory does not grow with the length. Time does, so
search for a motion with a few seconds and `mode` *fast splat*, then render the long one."""

PAGE_NOTE = """## Make an interactive photo
1. **Load Image**: choose a photo of a plant, flowers, a tree, or a hanging object. (`flowers.jpg` is in this pack's
   folder `assets`.)
2. Queue. *Save Interactive Photo* shows the page: drag a flower and release it.

The page is one HTML file of at most 3 MB in ComfyUI's folder `output/interactive`. It opens by a double click, also on
a phone and without a network, and can be embedded in a website. `title` and `alt_text` are for its visitors."""

FLOW_NOTE = """## Write motion as optical flow
1. **Load Image**: choose a photo of a plant, flowers, a tree, or a hanging object. (`flowers.jpg` is in this pack's
   folder `assets`.)
2. Queue.

*Motion To Flow* writes an EXR file for each frame to ComfyUI's folder `output/flow`: red is dx and green is dy, in
pixels. Compositing programs move layers and titles along with the photo by them; *flo* files are for research code.

The video shows the flow in colors: the hue is the direction, white is still. `num_frames` 0 writes the whole loop."""

RESTYLE_NOTE = """## Move another image like a clip
The motion of a clip fits any image with the same outlines. Here the first frame is upscaled and turned into a poster
with a few colors. Replace these two nodes with your own image-to-image, upscale or paint-over nodes.

No new frames are generated: a single image moves, so nothing flickers, and the loop has no seam."""

# Two drags in the live view of flowers.jpg: the large flower to the left, the flower in front of it to the right.
POKES = """[{"x": 0.24, "y": 0.21, "dx": -0.035, "dy": 0.0, "time": 0.3, "hold": 0.4},
 {"x": 0.51, "y": 0.76, "dx": 0.03, "dy": 0.0, "time": 2.0, "hold": 0.4}]"""

# Tracks in pixels of flowers.jpg: points that sway by (dx, dy), and points that rest.
TRACKS_SIZE, TRACKS_FPS = (512, 288), 8.0
SWAYS = (
    *((122, 60, 9, 0), (170, 68, 9, 2), (65, 80, 8, -2), (152, 160, 4, 0)),  # the large flower and its stem
    *((258, 215, -8, 0), (225, 210, -7, 0), (300, 215, -7, 0)),  # the flower in front
)
RESTS = ((195, 262), (256, 275), (350, 180), (40, 180), (420, 250))


def drawn_tracks() -> str:
    """The tracks above over a loop of three seconds, as a spline editor would write them."""
    phases = [2 * math.pi * step / 24 for step in range(25)]
    way = [1 - 0.75 * math.cos(phase) - 0.25 * math.cos(2 * phase) for phase in phases]
    points = (*SWAYS, *((x, y, 0, 0) for x, y in RESTS))
    return json.dumps(
        [[{"x": round(x + dx * w, 1), "y": round(y + dy * w, 1)} for w in way] for x, y, dx, dy in points]
    )


def prediction_nodes() -> dict:
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


def video_nodes(
    motion: str,
    name: str,
    column: float,
    image: tuple[str, int] = ("volume", 1),
    network: bool = True,
    **video_inputs: tuple[str, int],
) -> dict:
    """Nodes from a photo and a motion to a video file.

    Args:
        motion: the name of the node that makes the motion.
        name: the beginning of the video's file name.
        column: where the first of the nodes stands.
        image: node and output of the photo.
        network: whether the model's rendering network draws the frames.
        video_inputs: more inputs of Create Video.
    """
    render_inputs = {"image": image, "motion": (motion, 0)} | ({"model": ("model", 0)} if network else {})
    return {
        "render": ("GID_SoftmaxSplatRender", column, 0, {}, render_inputs),
        "video": ("CreateVideo", column + 1, 0, {}, {"images": ("render", 0), "fps": ("render", 2), **video_inputs}),
        "save": ("SaveVideo", column + 1, 150, {"filename_prefix": f"video/{name}"}, {"video": ("video", 0)}),
    }


# Each node is: name: (type, column, row in pixels, widgets, inputs as {input: (node, output)}).
WORKFLOWS = {
    "photo_to_loop": {
        "note": ("MarkdownNote", -1, 0, [PHOTO_NOTE], {}),
        **prediction_nodes(),
        "loop": ("GID_LoopMotion", 2, 0, {}, {"spectral_volume": ("volume", 0)}),
        "render": (
            "GID_RenderLoopToVideo",
            2,
            280,
            {},
            {"image": ("volume", 1), "motion": ("loop", 0), "model": ("model", 0)},
        ),
        "save": ("SaveVideo", 3, 0, {"filename_prefix": "video/photo_loop"}, {"video": ("render", 0)}),
    },
    "long_loop": {
        "note": ("MarkdownNote", -1, 0, [LONG_NOTE], {}),
        **prediction_nodes(),
        "loop": (
            "GID_LongLoop",
            2,
            0,
            {"seconds": 20.0, "control_after_generate": "fixed"},
            {"spectral_volume": ("volume", 0)},
        ),
        "render": (
            "GID_RenderLoopToVideo",
            2,
            330,
            {},
            {"image": ("volume", 1), "motion": ("loop", 0), "model": ("model", 0)},
        ),
        "save": ("SaveVideo", 3, 0, {"filename_prefix": "video/long_loop"}, {"video": ("render", 0)}),
    },
    "interactive_photo": {
        "note": ("MarkdownNote", -1, 0, [PAGE_NOTE], {}),
        **prediction_nodes(),
        "page": (
            "GID_SaveInteractivePhoto",
            2,
            0,
            {"title": "Flowers", "alt_text": "Flowers that sway when they are touched"},
            {"image": ("volume", 1), "spectral_volume": ("volume", 0)},
        ),
    },
    "motion_to_flow": {
        "note": ("MarkdownNote", -1, 0, [FLOW_NOTE], {}),
        **prediction_nodes(),
        "loop": ("GID_LoopMotion", 2, 0, {}, {"spectral_volume": ("volume", 0)}),
        "flow": (
            "GID_MotionToFlow",
            2,
            280,
            {"num_frames": 30, "file_format": "exr"},
            {"motion": ("loop", 0), "image": ("volume", 1)},
        ),
        "video": ("CreateVideo", 3, 0, {}, {"images": ("flow", 1), "fps": ("flow", 3)}),
        "save": ("SaveVideo", 3, 150, {"filename_prefix": "video/flow"}, {"video": ("video", 0)}),
    },
    "poke_a_photo": {
        "note": ("MarkdownNote", -1, 0, [POKE_NOTE], {}),
        **prediction_nodes(),
        "force": (
            "GID_ModalForce",
            2,
            0,
            {"pokes": POKES, "damping": 0.5},
            {"spectral_volume": ("volume", 0), "image": ("volume", 1)},
        ),
        **video_nodes("force", "poked", 3.3),
    },
    "wind_on_a_photo": {
        "note": ("MarkdownNote", -1, 0, [WIND_NOTE], {}),
        **prediction_nodes(),
        "force": (
            "GID_Wind",
            2,
            0,
            {"seed": 1, "control_after_generate": "fixed"},
            {"spectral_volume": ("volume", 0), "image": ("volume", 1)},
        ),
        **video_nodes("force", "wind", 3.3),
    },
    "audio_reactive": {
        "note": ("MarkdownNote", -1, 0, [AUDIO_NOTE], {}),
        **prediction_nodes(),
        "audio": ("LoadAudio", 1, 480, {"audio": AUDIO}, {}),
        "force": (
            "GID_AudioForce",
            2,
            0,
            {"strength": 2.0},
            {"spectral_volume": ("volume", 0), "audio": ("audio", 0)},
        ),
        **video_nodes("force", "sound", 3, audio=("audio", 0)),
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
        **video_nodes("loop", "sway", 3, image=("photo", 0), network=False),
    },
    "tracks_to_loop": {
        "note": ("MarkdownNote", -1, 0, [TRACKS_NOTE], {}),
        "photo": ("LoadImage", 0, 0, {"image": PAINTED}, {}),
        "motion": (
            "GID_TracksToMotion",
            1,
            0,
            {"tracks": drawn_tracks(), "width": TRACKS_SIZE[0], "height": TRACKS_SIZE[1], "fps": TRACKS_FPS},
            {"image": ("photo", 0), "mask": ("photo", 1)},
        ),
        "loop": ("GID_LoopMotion", 2, 0, {}, {"spectral_volume": ("motion", 1)}),
        "tracks": (
            "GID_MotionToTracks",
            2,
            280,
            {"points": "weighted"},
            {"motion": ("loop", 0), "image": ("photo", 0)},
        ),
        "picture": ("PreviewImage", 3, 420, {}, {"images": ("tracks", 1)}),
        **video_nodes("loop", "tracks", 3, image=("photo", 0), network=False),
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
  const nodes = {};
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
    const width = node.widgets?.some((w) => w.name === "live") ? 400 : 300; // a live view grows with the width
    node.setSize([width, 100]);
    const size = node.computeSize();
    node.setSize(type === "MarkdownNote" ? [330, 330] : [Math.max(width, size[0]), size[1]]);
    nodes[name] = node;
  }
  for (const [name, [type, , , , inputs]] of Object.entries(spec)) {
    for (const [input, [source, slot]] of Object.entries(inputs)) {
      const index = nodes[name].inputs.findIndex((i) => i.name === input);
      if (index < 0) throw new Error(`${type} has no input ${input}`);
      nodes[source].connect(slot, nodes[name], index);
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
