"""The subgraph blueprints of this pack, from which build_blueprints.py writes the files: one node for one wish.

A blueprint is a small workflow, made of the nodes of workflow_list.py. The nodes named in OUTSIDE stay outside: their
links become the inputs and outputs of the node that the user sees.
"""

from dataclasses import dataclass

from workflow_list import clip_nodes, photo_loop_nodes, prediction_nodes, video_nodes

OUTSIDE = ("sample", "save")
# On any photo something moves at one of these points.
POKES = """[{"x": 0.5, "y": 0.4, "dx": 0.04, "dy": 0.0, "time": 0.2, "hold": 0.3},
 {"x": 0.25, "y": 0.3, "dx": -0.04, "dy": 0.0, "time": 1.4, "hold": 0.3},
 {"x": 0.75, "y": 0.3, "dx": 0.04, "dy": 0.0, "time": 2.6, "hold": 0.3}]"""


@dataclass(frozen=True)
class Blueprint:
    """A workflow that becomes one node.

    Args:
        description: what the node library shows.
        aliases: words by which the search finds it.
        nodes: as in workflow_list.py, with those of OUTSIDE.
        controls: by the name on the outer node, the node and the widget that it sets.
    """

    description: str
    aliases: tuple[str, ...]
    nodes: dict[str, tuple]
    controls: dict[str, tuple[str, str]]


def loop_of(frames: int) -> dict:
    """The node that plays a volume as a loop of so many frames."""
    return {"loop": ("GID_LoopMotion", 2, 0, {"num_frames": frames}, {"spectral_volume": ("volume", 0)})}


BLUEPRINTS = {
    "Photo to Loop": Blueprint(
        "Turns a photo into a video that loops without a seam: plants, flowers, trees and hanging things sway. Connect "
        "Load Image, and the video with Save Video. Each seed gives a different motion.",
        ("cinemagraph", "animate photo", "living photo", "image to video", "sway"),
        {**photo_loop_nodes("loop"), **loop_of(150)},
        {"amplitude": ("volume", "amplitude"), "frames": ("loop", "num_frames"), "seed": ("volume", "seed")},
    ),
    "Clip to Loop": Blueprint(
        "Measures the motion of a clip from a static camera and plays it as a video that loops without a seam. Connect "
        "Load Video, and the video with Save Video. An amplitude of 2 doubles the motion.",
        ("cinemagraph", "seamless loop", "motion magnification", "video to loop"),
        {
            **clip_nodes(),
            "amplify": ("GID_AmplifyMotion", 2, 340, {}, {"spectral_volume": ("volume", 0)}),
            "loop": ("GID_LoopMotion", 2, 0, {"num_frames": 150}, {"spectral_volume": ("amplify", 0)}),
            **video_nodes("loop", "loop", 3, network=False),
        },
        {
            "amplitude": ("amplify", "gain"),
            "frames": ("loop", "num_frames"),
            "start_frame": ("volume", "start_frame"),
        },
    ),
    "Poke a Photo": Blueprint(
        "Pulls points of a photo and releases them; the objects swing and come to rest. Connect Load Image, and the "
        "video with Save Video. To poke other points, run it once, open this node and drag in the live picture.",
        ("interactive dynamics", "pluck", "wobble", "spring", "pull"),
        {
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
        {"strength": ("force", "strength"), "damping": ("force", "damping"), "frames": ("force", "num_frames")},
    ),
}
