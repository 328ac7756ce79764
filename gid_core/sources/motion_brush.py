"""The motion brush: what its strokes say of every pixel, which may move, what is held, and how stiff it is.

js/motion_brush.js computes the same maps for the page's live picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..tensors import mask_batch, resize_mask, smoothstep
from ..validation import check_size
from .stroke_list import Stroke, check_strokes

# A hard edge still fades over this fraction of the radius, so that it has no steps.
MIN_SOFTNESS = 0.05
# The smallest factor of a pen's pressure.
MIN_PRESSURE = 0.1
# The smallest radius in pixels: a thinner stroke would pass between the centers of pixels.
MIN_RADIUS_PIXELS = 0.75
# An arrow is erased by a stroke that covers its first point so far.
ERASED = 0.5


@dataclass(frozen=True)
class BrushMaps:
    """What strokes say of every pixel.

    Attributes:
        move: float32 [H, W] in 0..1, how far a pixel is painted to move.
        pin: float32 [H, W] in 0..1, how far it is painted to stay. It wins over `move`.
        stiffness: float32 [H, W], 1 where no stroke says otherwise.
        arrows: the arrows that no later stroke erases.
    """

    move: Tensor
    pin: Tensor
    stiffness: Tensor
    arrows: tuple[Stroke, ...]


def rasterize_strokes(strokes: Sequence[Stroke], size: Sequence[int]) -> BrushMaps:
    """The maps that strokes paint, each over those before it.

    A stroke covers a pixel by w = 3 c^2 - 2 c^3, c = min(1, (1 - d / r) / softness), with the distance d to the line
    through its points and the radius r there. "move" raises `move` to w, lowers `pin` by the factor 1 - w, and moves
    `stiffness` toward its own by the share w / move; "pin" raises `pin` to w; "erase" lowers `move` and `pin` by 1 - w.

    Args:
        strokes: in the order in which they were drawn.
        size: (H, W) in pixels.

    Raises:
        ValueError: if the strokes or the size are none.
    """
    strokes = check_strokes(strokes)
    height, width = check_size("size", size)
    move, pin, stiffness = np.zeros((height, width)), np.zeros((height, width)), np.ones((height, width))
    arrows: list[Stroke] = []
    for stroke in strokes:
        if stroke.kind == "arrow":
            arrows.append(stroke)
            continue
        window, weight = _coverage(stroke, (height, width))
        if stroke.kind == "move":
            move[window] = np.maximum(move[window], weight)
            share = np.divide(weight, move[window], out=np.zeros_like(weight), where=weight > 0)
            stiffness[window] += share * (stroke.stiffness - stiffness[window])
            pin[window] *= 1 - weight
        elif stroke.kind == "pin":
            pin[window] = np.maximum(pin[window], weight)
        else:
            move[window] *= 1 - weight
            pin[window] *= 1 - weight
            arrows = [arrow for arrow in arrows if covers(stroke, arrow.points[0][:2], (height, width)) <= ERASED]
    maps = [torch.from_numpy(each.astype(np.float32)) for each in (move, pin, stiffness)]
    return BrushMaps(maps[0], maps[1], maps[2], tuple(arrows))


def stroke_mask(strokes: Sequence[Stroke], size: Sequence[int], mask: Tensor | None = None) -> Tensor:
    """The mask of what may move: what a mask or strokes paint white, without what is pinned.

    Without a mask and without a stroke that paints what moves, everything may move that is not pinned.

    Args:
        strokes: of the motion brush.
        size: (H, W) of the result in pixels.
        mask: [H', W'] or [B, H', W'] in 0..1, of any size.

    Returns:
        float32 [B, H, W] in 0..1, B = 1 without a mask.
    """
    maps = rasterize_strokes(strokes, size)
    if mask is not None:
        allowed = resize_mask(mask_batch(mask, len(mask) if getattr(mask, "ndim", 0) == 3 else 1), size)[:, 0].cpu()
    else:
        painted = any(stroke.kind == "move" for stroke in strokes)
        allowed = torch.full((1, *maps.move.shape), 0.0 if painted else 1.0)
    return torch.maximum(allowed, maps.move) * (1 - maps.pin)


def covers(stroke: Stroke, point: tuple[float, float], size: tuple[int, int]) -> float:
    """How far a stroke covers a point in fractions of the image, 0..1; `size` is that of the maps."""
    longer = max(size)
    x, y = (np.array([[value * side / longer]]) for value, side in zip(point, size[::-1], strict=True))
    return _fade(stroke, max(_depth(segment, x, y) for segment in _segments(stroke, size))).item()


def _coverage(stroke: Stroke, size: tuple[int, int]) -> tuple[tuple[slice, slice], np.ndarray]:
    """A window of the maps around a stroke, and how far the stroke covers its pixels: float64 [h, w] in 0..1."""
    longer = max(size)
    segments = _segments(stroke, size)
    window = _window(np.concatenate(segments), size)
    depth = np.zeros([side.stop - side.start for side in window])
    for segment in segments:
        part = _window(segment, size)
        y, x = ((np.arange(side.start, side.stop) + 0.5) / longer for side in part)
        rows, columns = (
            slice(inner.start - outer.start, inner.stop - outer.start)
            for inner, outer in zip(part, window, strict=True)
        )
        np.maximum(depth[rows, columns], _depth(segment, x[None, :], y[:, None]), out=depth[rows, columns])
    return window, _fade(stroke, depth)


def _segments(stroke: Stroke, size: tuple[int, int]) -> list[np.ndarray]:
    """The lines between a stroke's points: float64 [2, 3] each, (x, y, radius) in units of the longer side."""
    longer = max(size)
    points = np.array(stroke.points)
    radius = np.maximum(stroke.radius * np.maximum(points[:, 2], MIN_PRESSURE), MIN_RADIUS_PIXELS / longer)
    ends = np.stack([points[:, 0] * size[1] / longer, points[:, 1] * size[0] / longer, radius], 1)
    if len(ends) == 1:
        ends = ends.repeat(2, 0)
    return list(np.stack([ends[:-1], ends[1:]], 1))


def _window(ends: np.ndarray, size: tuple[int, int]) -> tuple[slice, slice]:
    """The pixels (rows, columns) that lines between ends [N, 3] may cover; empty outside the image."""
    longer = max(size)
    low = (ends[:, :2] - ends[:, 2:]).min(0) * longer
    high = (ends[:, :2] + ends[:, 2:]).max(0) * longer
    columns, rows = (
        slice(start := min(max(int(np.floor(a)), 0), side), max(min(int(np.ceil(b)), side), start))
        for a, b, side in zip(low, high, size[::-1], strict=True)
    )
    return rows, columns


def _depth(segment: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1 - d / r of positions x [1, w], y [h, 1] in units of the longer side, with the distance d to a line: [h, w]."""
    (x0, y0, r0), (x1, y1, r1) = segment
    dx, dy = x1 - x0, y1 - y0
    length = dx * dx + dy * dy
    along = np.clip(((x - x0) * dx + (y - y0) * dy) / length, 0, 1) if length > 0 else 0.0
    distance = np.sqrt((x - x0 - along * dx) ** 2 + (y - y0 - along * dy) ** 2)
    return 1 - distance / (r0 + along * (r1 - r0))


def _fade(stroke: Stroke, depth: np.ndarray) -> np.ndarray:
    """How far a stroke covers positions of a depth."""
    return smoothstep(np.clip(depth / max(stroke.softness, MIN_SOFTNESS), 0, 1))
