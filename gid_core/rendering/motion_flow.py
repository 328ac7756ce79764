"""Optical flow of a motion: the displacement of every pixel, from the photo to each frame or from frame to frame."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..memory import check_fits
from ..motion import Motion, check_motion
from ..spectral_volume import modal_sum
from ..tensors import resize_flow
from ..validation import check_choice, check_size
from .frame_range import frame_range
from .render import motion_importance
from .softmax_splatting import softmax_splat

# From the photo to each frame (at the photo's pixels), or from each frame to the next one (at the frame's pixels).
FROM_PHOTO, FROM_FRAME = FLOW_KINDS = ("photo to frame", "frame to frame")
FLOW_CHUNK = 8  # frames computed at a time
# Bytes per pixel: float32 (dx, dy), and what the node Motion To Flow makes of them, an image of both and one of colors.
FLOW_BYTES = 4 * (2 + 3 + 3)
# Share of a pixel that must be covered by what lands there; other pixels of a frame have the flow of the photo's pixel.
MIN_COVERAGE = 0.1


def motion_flow(
    motion: Motion,
    kind: str = FROM_PHOTO,
    *,
    size: Sequence[int] | None = None,
    start: int = 0,
    count: int | None = None,
) -> Tensor:
    """Displacements of all pixels of frames.

    Args:
        motion: B motions.
        kind: "photo to frame": pixel p of the photo is at p + F_t(p) in frame t; one flow for each frame.
            "frame to frame": what is at pixel p of frame t is at p + flow in frame t + 1; the last flow of a loop leads
            to its first frame, and another motion has one flow less than frames. Where surfaces overlap, the one that
            moves more is seen, as in a render; pixels that nothing reaches have the flow of the photo's pixel there.
        size: (H, W) of the result; None is that of the volume's grid.
        start, count: the flows to compute; None computes all to the end. Those of a loop go on past its end.

    Returns:
        float32 [B, count, 2, H, W], (dx, dy) in pixels of the result, on the motion's device.

    Raises:
        ValueError: if an argument is out of range, or the flows do not fit into memory.
    """
    check_motion(motion)
    check_choice("kind", kind, FLOW_KINDS)
    size = motion.volume.size if size is None else check_size("size", size)
    missing = kind == FROM_FRAME and not motion.loops
    if missing and len(motion) < 2:
        raise ValueError("A motion of one frame that does not loop has no flow from frame to frame.")
    start, count = frame_range(motion, start, count, len(motion) - missing)
    coefficients, batch = motion.volume.coefficients, len(motion.volume)
    check_fits(
        f"{batch * count} flows of {size[1]} x {size[0]} pixels",
        batch * count * size[0] * size[1] * FLOW_BYTES,
        coefficients.device,
        ("compute fewer at a time (start and count)", "make them smaller (size)"),
    )
    importance = motion_importance(motion, size) if kind == FROM_FRAME else None
    flows = coefficients.new_empty(batch, count, 2, *size)
    for done in range(0, count, FLOW_CHUNK):
        stop = min(done + FLOW_CHUNK, count)
        frames = torch.arange(start + done, start + stop + (importance is not None)) % len(motion)
        for index in range(batch):
            displacement = modal_sum(coefficients[index : index + 1], motion.coordinates[frames])[0]
            flow = resize_flow(displacement, size)
            if importance is not None:
                flow = _between_frames(flow, importance[index : index + 1])
            flows[index, done:stop] = flow
    return flows


def _between_frames(displacement: Tensor, importance: Tensor) -> Tensor:
    """Flows [n, 2, H, W] between n + 1 frames, from their displacements [n + 1, 2, H, W] from the photo."""
    step = displacement.diff(dim=0)
    seen, coverage = softmax_splat(step, displacement[:-1], importance)
    return torch.where(coverage >= MIN_COVERAGE, seen, step)
