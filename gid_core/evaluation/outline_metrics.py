"""Where motion ends: whether the outlines of what moves are found, and whether what is still stays still.

Conventions are those of `motion_metrics`. The AUC over the whole picture is high as soon as motion is in the right
region; the one at outlines falls when motion leaks over an edge or fades before it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .motion_metrics import MOVING_PIXELS, MotionLike, mean_magnitude, moving_auc, moving_pixels

OUTLINE_DISTANCE = 4  # cells of a grid 128 wide, on either side of an outline
OUTLINE_GRID_WIDTH = 128  # cells


def outline_band(moving: Tensor, distance: float = OUTLINE_DISTANCE) -> Tensor:
    """The pixels near the boundary between what moves and what does not; the picture's edge is no boundary.

    Args:
        moving: bool [H, W].
        distance: from a pixel's center to that of the nearest pixel of the other kind, in cells of a grid 128 wide.

    Returns:
        bool [H, W]; nothing if all pixels move, or none.
    """
    if moving.all() or not moving.any():
        return torch.zeros_like(moving)
    from ..packages import cv2

    mask = moving.cpu().numpy().astype(np.uint8)
    # Each of the two is 0 in one of the regions, so that the larger is the distance to the other region.
    to_other = np.maximum(*(cv2.distanceTransform(m, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for m in (mask, 1 - mask)))
    return torch.from_numpy(to_other <= distance * moving.shape[1] / OUTLINE_GRID_WIDTH).to(moving.device)


def outline_auc(
    true: MotionLike,
    predicted: MotionLike,
    *,
    distance: float = OUTLINE_DISTANCE,
    threshold: float = MOVING_PIXELS,
) -> float:
    """`moving_auc` of the pixels in the `outline_band` of what truly moves.

    Args:
        true, predicted, threshold: as in `moving_auc`.
        distance: width of the band on either side, in cells of a grid 128 wide.

    Returns:
        0..1; 1 is best, 0.5 is chance. NaN if all or no pixels truly move.
    """
    moving = moving_pixels(true, threshold=threshold)
    band = outline_band(moving, distance)
    magnitude = mean_magnitude(predicted, (moving.shape[0], moving.shape[1]))
    return moving_auc(moving[band][None], magnitude[band][None])


def still_motion(true: MotionLike, predicted: MotionLike, threshold: float = MOVING_PIXELS) -> float:
    """Median predicted |F| of the pixels that do not truly move: pixels at 256 wide, >= 0, less is better.

    Unlike `background_motion`, the mean, it does not see a narrow seam of motion around what moves. NaN if every
    pixel moves.

    Args:
        true, predicted, threshold: as in `moving_auc`.
    """
    still = ~moving_pixels(true, threshold=threshold)
    magnitude = mean_magnitude(predicted, (still.shape[0], still.shape[1]))[still]
    return float(magnitude.median()) if magnitude.numel() else float("nan")
