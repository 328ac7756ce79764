"""The workflows of this pack, from which build_workflows.py writes the files.

Each node is: name: (type, column, row in pixels, widgets, inputs as {input: (node, output)}). A file's number is its
place in README and where the template browser sorts by name.
"""

import json
import math
import re

import workflow_notes as notes
from gid_core.sources.stroke_list import Stroke, format_strokes

# Two drags in the live view of dandelions.jpg: the large dandelion to the right, and later to the left.
POKES = """[{"x": 0.29, "y": 0.3, "dx": 0.03, "dy": 0.0, "time": 0.3, "hold": 0.4},
 {"x": 0.29, "y": 0.3, "dx": -0.02, "dy": 0.005, "time": 2.2, "hold": 0.3}]"""

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


CHECKPOINT = "v1-5-pruned-emaonly-fp16.safetensors"  # what ComfyUI's own first workflow names
PROMPT = "close-up photo of a red poppy in a meadow, soft morning light, blurred background"

OWN_FILE = "own file"  # the muted node that loads a file of the user's

# The nodes of a workflow with a frame around them, which is muted as a whole: (title, names).
MUTED_GROUPS = {
    "12_generate_and_animate": (
        "Image generator (muted)",
        ("checkpoint", "positive", "negative", "latent", "sampler", "decode"),
    )
}


def note(text: str, height: int = 430) -> dict:
    """The note at the left.

    It has one line per paragraph, because ComfyUI loses the space of a line break after italics, and bold names where
    the text has code, which ComfyUI writes in dark blue on gray.
    """
    lines = re.sub(r"(?<=\S) *\n *(?=\S)(?!\d+\. )", " ", re.sub(r"`([^`]+)`", r"**\1**", text))
    return {"note": ("MarkdownNote", -1.1, 0, [lines], {}, height)}


def sample_nodes(sample: str = "dandelions") -> dict:
    """Nodes that give the photo to animate: a sample or the user's own, in a size that is quick."""
    return {
        "sample": ("GID_LoadSample", 0, 0, {"sample": sample}, {}),
        "photo": ("GID_FitImage", 0, 300, {}, {"image": ("sample", 0)}),
    }


def with_own_file(nodes: dict) -> dict:
    """The nodes, and a muted one that loads a file of the user's where Load Sample gives a sample."""
    if "image" in nodes["sample"][4]:
        return nodes
    clip = any(("sample", 2) in node[4].values() for node in nodes.values())
    place = (-1.1, nodes["note"][5] + 70)  # below the note
    if clip:
        inputs, loader = {"video": (OWN_FILE, 0)}, ("LoadVideo", *place, {}, {})
    else:
        inputs = {"image": (OWN_FILE, 0), "mask": (OWN_FILE, 1)}
        loader = ("LoadImage", *place, {}, {})
    return {**nodes, "sample": (*nodes["sample"][:4], inputs), OWN_FILE: loader}


def prediction_nodes(masked: bool = False) -> dict:
    """Nodes from a photo to its predicted motion; `masked` limits it to the painted mask."""
    mask = {"mask": ("sample", 1)} if masked else {}
    return {
        **sample_nodes(),
        "model": ("GID_LoadModel", 0, 490, {"model_name": "gid-small (shipped)"}, {}),
        "volume": (
            "GID_PredictSpectralVolume",
            1,
            0,
            {"seed": 2, "control_after_generate": "fixed"},
            {"model": ("model", 0), "image": ("photo", 0), **mask},
        ),
    }


def photo_loop_nodes(name: str, masked: bool = False) -> dict:
    """Nodes from a photo to the video of a loop, which is written frame by frame; `name` begins the file's name."""
    mask = {"mask": ("sample", 1)} if masked else {}
    return {
        **prediction_nodes(masked),
        "loop": ("GID_LoopMotion", 2, 0, {}, {"spectral_volume": ("volume", 0)}),
        "render": (
            "GID_RenderLoopToVideo",
            2,
            280,
            {"mode": "fast splat"},
            {"image": ("volume", 1), "motion": ("loop", 0), "model": ("model", 0), **mask},
        ),
        "save": ("SaveVideo", 3, 0, {"filename_prefix": f"video/{name}"}, {"video": ("render", 0)}),
    }


def placed(nodes: dict, **places: tuple[float, int]) -> dict:
    """The nodes, some of them at other places: (column, row in pixels)."""
    return {name: (node[0], *places.get(name, node[1:3]), *node[3:]) for name, node in nodes.items()}


def clip_nodes() -> dict:
    """Nodes from a clip to its motion and to its first frame in a size that is quick."""
    return {
        "sample": ("GID_LoadSample", 0, 0, {}, {}),
        "volume": ("GID_SpectralVolumeFromVideo", 1, 0, {}, {"video": ("sample", 2)}),
        "photo": ("GID_FitImage", 1, 420, {}, {"image": ("volume", 1)}),
    }


def video_nodes(
    motion: str,
    name: str,
    column: float,
    image: tuple[str, int] = ("photo", 0),
    network: bool = True,
    **video_inputs: tuple[str, int],
) -> dict:
    """Nodes from a photo and a motion to a video file.

    Args:
        motion: the name of the node that makes the motion.
        name: the beginning of the video's file name.
        column: where the nodes stand, below each other with room for the preview of the first one.
        image: node and output of the photo.
        network: whether the model is connected, whose rendering network can draw the frames, too.
        video_inputs: more inputs of Create Video.
    """
    render_inputs = {"image": image, "motion": (motion, 0)} | ({"model": ("model", 0)} if network else {})
    return {
        "render": ("GID_SoftmaxSplatRender", column, 0, {"mode": "fast splat"} if network else {}, render_inputs),
        "video": ("CreateVideo", column, 520, {}, {"images": ("render", 0), "fps": ("render", 2), **video_inputs}),
        "save": ("SaveVideo", column, 695, {"filename_prefix": f"video/{name}"}, {"video": ("video", 0)}),
    }


WORKFLOWS = {
    "01_photo_to_loop": {**note(notes.PHOTO), **photo_loop_nodes("photo_loop")},
    "02_masked_cinemagraph": {**note(notes.CINEMAGRAPH), **photo_loop_nodes("cinemagraph", masked=True)},
    "03_poke_a_photo": {
        **note(notes.POKE),
        **prediction_nodes(),
        "force": (
            "GID_ModalForce",
            2,
            0,
            {"pokes": POKES, "damping": 0.5},
            {"spectral_volume": ("volume", 0), "image": ("volume", 1)},
        ),
        **video_nodes("force", "poked", 3.31),
    },
    "04_wind_on_a_photo": {
        **note(notes.WIND),
        **prediction_nodes(),
        "force": (
            "GID_Wind",
            2,
            0,
            {"seed": 1, "control_after_generate": "fixed"},
            {"spectral_volume": ("volume", 0), "image": ("volume", 1)},
        ),
        **video_nodes("force", "wind", 3.31),
    },
    "05_dance_to_sound": {
        **note(notes.SOUND),
        **prediction_nodes(),
        "force": (
            "GID_AudioForce",
            2,
            0,
            {"strength": 2.0},
            {"spectral_volume": ("volume", 0), "audio": ("sample", 3)},
        ),
        **video_nodes("force", "sound", 3, audio=("sample", 3)),
    },
    "06_sway_from_mask": {
        **note(notes.SWAY),
        **sample_nodes("flowers"),
        "volume": (
            "GID_VolumeFromMask",
            1,
            0,
            {"seed": 1, "control_after_generate": "fixed"},
            {"mask": ("sample", 1)},
        ),
        "loop": ("GID_LoopMotion", 2, 0, {}, {"spectral_volume": ("volume", 0)}),
        **video_nodes("loop", "sway", 3, network=False),
    },
    "07_brush_to_loop": {
        **note(notes.BRUSH, 470),
        **sample_nodes("flowers"),
        "volume": (
            "GID_VolumeFromMask",
            1,
            0,
            {"seed": 1, "control_after_generate": "fixed", "strokes": painted_strokes()},
            {"image": ("photo", 0)},
        ),
        "loop": ("GID_LoopMotion", 2.31, 0, {}, {"spectral_volume": ("volume", 0)}),
        **video_nodes("loop", "brush", 3.31, network=False),
    },
    "08_tracks_to_loop": {
        **note(notes.TRACKS),
        **sample_nodes("flowers"),
        "motion": (
            "GID_TracksToMotion",
            1,
            0,
            {"tracks": drawn_tracks(), "width": TRACKS_SIZE[0], "height": TRACKS_SIZE[1], "fps": TRACKS_FPS},
            {"image": ("photo", 0), "mask": ("sample", 1)},
        ),
        "loop": ("GID_LoopMotion", 2, 0, {}, {"spectral_volume": ("motion", 1)}),
        "tracks": (
            "GID_MotionToTracks",
            2,
            280,
            {"points": "weighted"},
            {"motion": ("loop", 0), "image": ("photo", 0)},
        ),
        "picture": ("PreviewImage", 2, 680, {}, {"images": ("tracks", 1)}),
        **video_nodes("loop", "tracks", 3, network=False),
    },
    "09_clip_to_loop": {
        **note(notes.CLIP),
        **clip_nodes(),
        "loop": ("GID_LoopMotion", 2, 0, {}, {"spectral_volume": ("volume", 0)}),
        "preview": ("GID_PreviewMotion", 2, 280, {}, {"motion": ("loop", 0), "image": ("photo", 0)}),
        **video_nodes("loop", "loop", 3, network=False),
    },
    "10_restyle_a_clip": {
        **note(notes.RESTYLE),
        **clip_nodes(),
        "upscale": ("ImageScaleBy", 2, 0, {"upscale_method": "lanczos", "scale_by": 2.0}, {"image": ("volume", 1)}),
        "photo": ("GID_FitImage", 2, 160, {}, {"image": ("upscale", 0)}),
        "restyle": ("ImageQuantize", 2, 310, {"colors": 32, "dither": "none"}, {"image": ("photo", 0)}),
        "loop": ("GID_LoopMotion", 1, 420, {}, {"spectral_volume": ("volume", 0)}),
        **video_nodes("loop", "restyled_loop", 3, image=("restyle", 0), network=False),
    },
    "11_amplify_a_clip": {
        **note(notes.AMPLIFY),
        **clip_nodes(),
        "amplify": ("GID_AmplifyMotion", 2, 0, {"gain": 3.0}, {"spectral_volume": ("volume", 0)}),
        "loop": ("GID_LoopMotion", 2, 340, {}, {"spectral_volume": ("amplify", 0)}),
        "preview": ("GID_PreviewMotion", 2, 620, {}, {"motion": ("loop", 0), "image": ("photo", 0)}),
        **video_nodes("loop", "amplified", 3, network=False),
    },
    "12_generate_and_animate": {
        **note(notes.GENERATE, 560),
        "checkpoint": ("CheckpointLoaderSimple", 0, 800, {"ckpt_name": CHECKPOINT}, {}),
        "positive": ("CLIPTextEncode", 1, 740, {"text": PROMPT}, {"clip": ("checkpoint", 1)}),
        "negative": ("CLIPTextEncode", 1, 1000, {"text": "people, text"}, {"clip": ("checkpoint", 1)}),
        "latent": ("EmptyLatentImage", 0, 940, {"width": 768, "height": 512}, {}),
        "sampler": (
            "KSampler",
            2.2,
            740,
            {"seed": 1, "control_after_generate": "randomize"},
            {
                "model": ("checkpoint", 0),
                "positive": ("positive", 0),
                "negative": ("negative", 0),
                "latent_image": ("latent", 0),
            },
        ),
        "decode": ("VAEDecode", 2.2, 1120, {}, {"samples": ("sampler", 0), "vae": ("checkpoint", 2)}),
        **placed(photo_loop_nodes("generated_loop"), render=(3, 0), save=(3, 540)),
        "sample": ("GID_LoadSample", 0, 0, {"sample": "dandelions"}, {"image": ("decode", 0)}),
    },
    "13_sticker_with_alpha": {
        **note(notes.STICKER),
        "sample": ("GID_LoadSample", 0, 0, {"sample": "sticker"}, {}),
        "alpha": ("JoinImageWithAlpha", 1, 0, {}, {"image": ("sample", 0), "alpha": ("sample", 1)}),
        "photo": ("GID_FitImage", 1, 110, {"longest_side": 512}, {"image": ("alpha", 0)}),
        "opaque": ("InvertMask", 0, 300, {}, {"mask": ("sample", 1)}),
        "volume": (
            "GID_VolumeFromMask",
            1,
            260,
            {"amplitude": 1.5, "seed": 1, "control_after_generate": "fixed"},
            {"mask": ("opaque", 0)},
        ),
        "loop": (
            "GID_LoopMotion",
            2,
            0,
            {"num_frames": 60, "speed": 1.65, "fps": 20.0},
            {"spectral_volume": ("volume", 0)},
        ),
        "render": ("GID_SoftmaxSplatRender", 2, 280, {}, {"image": ("photo", 0), "motion": ("loop", 0)}),
        "webp": (
            "SaveAnimatedWEBP",
            3,
            0,
            {"filename_prefix": "sticker", "lossless": False, "quality": 90},
            {"images": ("render", 0), "fps": ("render", 2)},
        ),
        "apng": (
            "SaveAnimatedPNG",
            3,
            480,
            {"filename_prefix": "sticker"},
            {"images": ("render", 0), "fps": ("render", 2)},
        ),
    },
    "14_long_loop": {
        **note(notes.LONG),
        **prediction_nodes(),
        "photo": ("GID_FitImage", 0, 300, {"longest_side": 1920}, {"image": ("sample", 0)}),
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
            {"mode": "fast splat"},
            {"image": ("volume", 1), "motion": ("loop", 0), "model": ("model", 0)},
        ),
        "save": ("SaveVideo", 3, 0, {"filename_prefix": "video/long_loop"}, {"video": ("render", 0)}),
    },
    "15_interactive_photo": {
        **note(notes.PAGE),
        **prediction_nodes(),
        "page": (
            "GID_SaveInteractivePhoto",
            2,
            0,
            {"title": "Flowers", "alt_text": "Flowers that sway when they are touched"},
            {"image": ("volume", 1), "spectral_volume": ("volume", 0)},
        ),
    },
    "16_motion_to_flow": {
        **note(notes.FLOW),
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
        "save": ("SaveVideo", 3, 200, {"filename_prefix": "video/flow"}, {"video": ("video", 0)}),
    },
}
WORKFLOWS = {name: with_own_file(nodes) for name, nodes in WORKFLOWS.items()}
