"""Tracks drawn over the photo."""

from __future__ import annotations

import colorsys

import numpy as np
import torch
from torch import Tensor

from ..tensors import image_batch
from ..validation import check_instance
from .photo_view import PhotoView
from .track_list import Tracks

PHOTO_LEVEL = 0.5  # brightness of the photo under the tracks
HUE_STEP = 0.618034  # golden ratio: hues of neighboring tracks differ
SHIFT = 4  # fractional bits of OpenCV's coordinates
PICTURE_LINES = 400  # lines are one pixel wide per so many pixels of the longer side


def draw_tracks(tracks: Tracks, image: Tensor | None = None) -> Tensor:
    """Every track as a line in a color of its own, with a dot where it begins, over the darkened photo.

    Args:
        tracks: of B motions.
        image: the photo [H, W, C] or [B or 1, H, W, C] in 0..1; its middle is shown if the tracks' picture has other
            proportions. Without one, the background is black.

    Returns:
        float32 [B, H, W, 3] in 0..1, of the tracks' size.

    Raises:
        ValueError: if there are neither one nor B photos.
    """
    check_instance("tracks", tracks, Tracks, "Tracks, of follow_points or parse_tracks")
    batch, (height, width) = len(tracks.positions), tracks.size
    canvases = torch.zeros(batch, height, width, 3)
    if image is not None:
        photos = image_batch(image)[:, :3].cpu()
        if len(photos) not in (1, batch):
            raise ValueError(f"Got {len(photos)} images for the tracks of {batch} motions; give one, or one for each.")
        view = PhotoView((photos.shape[-2], photos.shape[-1]), tracks.size)
        canvases = canvases + PHOTO_LEVEL * view.crop(photos).clamp(0, 1).permute(0, 2, 3, 1)
    drawn = [_draw(canvas, lines) for canvas, lines in zip(canvases, tracks.positions.cpu().numpy(), strict=True)]
    return torch.from_numpy(np.stack(drawn)).float() / 255


def _draw(canvas: Tensor, lines: np.ndarray) -> np.ndarray:
    """Lines [N, T, 2] on an image [H, W, 3] in 0..1, as uint8."""
    from ..packages import cv2

    picture = np.ascontiguousarray((canvas.numpy() * 255).round().astype(np.uint8))
    width = max(1, round(max(picture.shape) / PICTURE_LINES))
    # OpenCV's lines have 32-bit coordinates; what lies far outside is not seen.
    reach = 4 * max(picture.shape)
    fixed = (lines.clip(-reach, reach) * 2**SHIFT).round().astype(np.int32)
    for number, line in enumerate(fixed):
        color = tuple(round(255 * part) for part in colorsys.hsv_to_rgb(number * HUE_STEP % 1, 0.75, 1))
        cv2.polylines(picture, [line[:, None]], False, color, width, cv2.LINE_AA, SHIFT)
        cv2.circle(picture, line[0].tolist(), (width + 1) * 2**SHIFT, color, -1, cv2.LINE_AA, SHIFT)
    return picture
