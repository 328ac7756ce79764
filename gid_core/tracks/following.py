"""Tracks of points in a motion."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..motion import Motion, check_motion
from ..spectral_volume import modal_sum
from ..tensors import to_tensor
from ..validation import check_frame_count, check_rate, check_size
from .photo_view import PhotoView
from .track_list import Tracks

# What ComfyUI's WanTrackToVideo reads: 121 points at 24 per second, for a video of 5 seconds at any frame rate. It cuts
# off further points, and takes missing ones for invisible.
WAN_POINTS, WAN_FPS = 121, 24.0


def follow_points(
    motion: Motion,
    points: Tensor,
    *,
    size: Sequence[int] | None = None,
    photo_size: Sequence[int] | None = None,
    num_points: int | None = WAN_POINTS,
    fps: float = WAN_FPS,
) -> Tracks:
    """Follow points of the photo over time. A point moves as the pixel does that it lies on at rest (paper eq. 1).

    Args:
        motion: B motions.
        points: [N, 2], (x, y) at rest, in pixels of a picture of `size`, pixel centers at integers.
        size: (H, W) of the picture that points and tracks refer to. It shows the middle of the photo if its proportions
            differ, as ComfyUI cuts the first frame of a video. None is the photo's.
        photo_size: (H, W) of the photo; None is that of the volume's grid.
        num_points: T, the length of each track. A loop goes on as often as needed; after the end of another motion, its
            last positions are repeated. None ends with the motion; of a loop, the last point is then the first again.
        fps: points per second.

    Raises:
        ValueError: if an argument has another shape or is out of range.
    """
    check_motion(motion)
    photo_size = motion.volume.size if photo_size is None else check_size("photo_size", photo_size)
    size = photo_size if size is None else check_size("size", size)
    points = to_tensor(points, "points", "[N, 2]")
    if points.ndim != 2 or points.shape[1] != 2 or not len(points) or not bool(torch.isfinite(points).all()):
        raise ValueError(f"points must be [N, 2] finite (x, y) in pixels; got {list(points.shape)}.")
    view = PhotoView(photo_size, size)
    coordinates = _coordinates_at(motion, num_points, check_rate("fps", fps, "points of a track per second"))
    coefficients = motion.volume.coefficients
    at_points = view.sample(coefficients.flatten(1, 2), points.float().to(coefficients.device))  # [B, K * 4, N]
    columns = at_points.unflatten(1, coefficients.shape[1:3]).unsqueeze(-2)  # a volume of one row
    displacement = modal_sum(columns, coordinates)[:, :, :, 0].permute(0, 3, 1, 2)  # [B, N, T, 2]
    scale = displacement.new_tensor(view.pixels_per_cell(motion.volume.size))
    return Tracks(points.to(displacement)[:, None] + displacement * scale, size, fps)


def _coordinates_at(motion: Motion, num_points: int | None, fps: float) -> Tensor:
    """Modal coordinates [T, K, 2] of points in time at a frame rate, from the motion's beginning."""
    seconds = (len(motion) - (not motion.loops)) / motion.fps
    natural = max(1, round(seconds * fps) + (not motion.loops))
    count = natural + motion.loops if num_points is None else check_frame_count("num_points", num_points)
    check_frame_count("The number of points of a track", natural)
    retimed = motion if natural == len(motion) else motion.retime(num_frames=natural)
    index = torch.arange(count)
    index = index % natural if motion.loops else index.clamp_max(natural - 1)
    return retimed.coordinates[index.to(retimed.coordinates.device)]
