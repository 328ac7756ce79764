"""What ComfyUI's Save Video cannot write, told before frames are rendered for it."""

from __future__ import annotations

import logging
from fractions import Fraction
from functools import cache
from typing import Any

import torch
from comfy_api.latest import InputImpl, Types

from .files import temporary_file

logger = logging.getLogger("gid")


def problems_of_save_video(channels: int, height: int, width: int) -> list[str]:
    """Sentences about images of this shape, for their user; none if Save Video writes their frames."""
    problems = []
    if channels == 4 and not _can_write(4, 0, 0):
        problems.append(
            "The image has alpha, and so have its frames, which Save Video refuses: split it off before (Split Image "
            "with Alpha), use Render Loop To Video, which leaves it out, or save images (Save Animated WEBP)."
        )
    if (height % 2 or width % 2) and not _can_write(3, height % 2, width % 2):
        problems.append(
            f"The image is {width} x {height}: it has an odd side, which Save Video's H.264 refuses. Crop or resize "
            "the image, or use Render Loop To Video, which repeats the last row or column."
        )
    return problems


def goes_to_save_video(hidden: Any, output: int = 0) -> bool:
    """Whether an output of the running node is connected to Create Video, and that to Save Video.

    Nodes between them may change the frames, so they are not looked through.

    Args:
        hidden: the node's hidden inputs, with `dynprompt` and `unique_id`.
        output: number of the output.
    """
    prompt = hidden.dynprompt

    def receivers(node_id: str, output: int, class_type: str) -> list[str]:
        nodes = {other: prompt.get_node(other) for other in prompt.all_node_ids()}
        links = ([node_id, output], (node_id, output))
        return [other for other, node in nodes.items() if node["class_type"] == class_type
                and any(value in links for value in node["inputs"].values())]  # fmt: skip

    return any(receivers(video, 0, "SaveVideo") for video in receivers(hidden.unique_id, output, "CreateVideo"))


@cache
def _can_write(channels: int, odd_rows: int, odd_columns: int) -> bool:
    """Whether this version's Save Video writes such frames; it writes a small one, because versions differ."""
    frame = torch.zeros(1, 32 + odd_rows, 32 + odd_columns, channels)
    file = temporary_file("gid_probe", ".mp4")
    try:
        InputImpl.VideoFromComponents(Types.VideoComponents(images=frame, frame_rate=Fraction(30))).save_to(str(file))
    except Exception as error:  # each library and version has its own
        logger.debug("Save Video refuses %d channels, odd sides %d, %d: %s", channels, odd_rows, odd_columns, error)
        return False
    finally:
        file.unlink(missing_ok=True)
    return True
