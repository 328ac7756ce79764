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
from gid_core.sources.stroke_list import Stroke, format_strokes
from workflow_notes import (
    AUDIO_NOTE,
    BRUSH_NOTE,
    FLOW_NOTE,
    LONG_NOTE,
    LOOP_NOTE,
    PAGE_NOTE,
    PHOTO_NOTE,
    POKE_NOTE,
    RESTYLE_NOTE,
    SWAY_NOTE,
    TRACKS_NOTE,
    WIND_NOTE,
)

CLIP, PHOTO, PAINTED, AUDIO = "clip.mp4", "flowers.jpg", "flowers_painted.png", "tune.mp3"
PACK_ID = "generative-image-dynamics"

# Two drags in the live view of flowers.jpg: the large flower to the left, the flower in front of it to the right.
POKES = """[{"x": 0.24, "y": 0.21, "dx": -0.035, "dy": 0.0, "time": 0.3, "hold": 0.4},
 {"x": 0.51, "y": 0.76, "dx": 0.03, "dy": 0.0, "time": 2.0, "hold": 0.4}]"""

# Strokes on flowers.jpg, with points in its pixels: three flowers with their stems, the ground, and two arrows.
STROKES_SIZE = (512, 288)
STROKES = (
    {"kind": "move", "points": [(201, 284), (172, 196), (150, 136), (124, 70)], "radius": 0.016},
    {"kind": "move", "points": [(60, 80), (112, 68), (160, 60)], "radius": 0.06},
    {"kind": "move", "points": [(104, 36), (144, 24)], "radius": 0.06},
    {"kind": "move", "points": [(222, 158), (226, 82)], "radius": 0.014},
    {"kind": "move", "points": [(230, 82)], "radius": 0.062},
    {"kind": "move", "points": [(254, 284), (258, 226)], "radius": 0.018, "stiffness": 4.0},
    {"kind": "move", "points": [(228, 213), (292, 213)], "radius": 0.08, "stiffness": 4.0},
    {"kind": "pin", "points": [(184, 280), (280, 280)], "radius": 0.022},
    {"kind": "arrow", "points": [(120, 56), (137, 52)]},
    {"kind": "arrow", "points": [(258, 214), (247, 214)]},
)

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


def painted_strokes() -> str:
    """The strokes above as the motion brush writes them."""
    width, height = STROKES_SIZE
    points = [[(round(x / width, 4), round(y / height, 4)) for x, y in stroke["points"]] for stroke in STROKES]
    return format_strokes([Stroke(**{**stroke, "points": p}) for stroke, p in zip(STROKES, points, strict=True)])


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
    "brush_to_loop": {
        "note": ("MarkdownNote", -1, 0, [BRUSH_NOTE], {}),
        "photo": ("LoadImage", 0, 0, {"image": PHOTO}, {}),
        "volume": (
            "GID_VolumeFromMask",
            1,
            0,
            {"seed": 1, "control_after_generate": "fixed", "strokes": painted_strokes()},
            {"image": ("photo", 0)},
        ),
        "loop": ("GID_LoopMotion", 2.3, 0, {}, {"spectral_volume": ("volume", 0)}),
        **video_nodes("loop", "brush", 3.3, image=("photo", 0), network=False),
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
      if (key === "strokes") widget.callback?.(value); // opens the motion brush
    }
    const brush = node.widgets?.find((w) => w.name === "strokes");
    const live = node.widgets?.some((w) => w.name === "live") && (!brush || brush.value);
    const width = live ? 400 : 300; // a live view grows with the width
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
