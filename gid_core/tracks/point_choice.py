"""Which points of a picture to follow: on a grid, spread with more of them where a mask is brighter, or picked."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..motion import Motion, check_motion
from ..tensors import fit_size, mask_batch, resize_maps
from ..validation import check_choice, check_integer, check_size
from .photo_view import PhotoView, cell_centers
from .track_list import parse_points

GRID, WEIGHTED, PICKED = POINT_KINDS = ("grid", "weighted", "picked")
MAX_POINTS = 4096
# Longer side in pixels of the weights that `weighted_points` distributes points by.
WEIGHT_SIZE = 512


def choose_points(
    motion: Motion,
    kind: str = GRID,
    count: int = 64,
    *,
    size: Sequence[int] | None = None,
    photo_size: Sequence[int] | None = None,
    mask: Tensor | None = None,
    picked: str = "",
) -> Tensor:
    """Points for `follow_points`.

    Args:
        motion: B motions, which all get the same points.
        kind: "grid" (`grid_points`), "weighted" (`weighted_points`) or "picked" (`parse_points`).
        count: of a grid or of weighted points, 1 to 4096.
        size, photo_size: as in `follow_points`.
        mask: [H', W'] or [B', H', W'] in 0..1 over the whole photo. A grid keeps its points in what is white in any
            mask. Weighted points follow the brightest of the masks; without one, the motion: more where it is larger.
        picked: JSON of the picked points.

    Returns:
        float32 [N, 2], (x, y) in pixels of the picture, pixel centers at integers.

    Raises:
        ValueError: if no point is left, or an argument is out of range.
    """
    check_motion(motion)
    check_choice("kind", kind, POINT_KINDS)
    photo_size = motion.volume.size if photo_size is None else check_size("photo_size", photo_size)
    size = photo_size if size is None else check_size("size", size)
    if kind == PICKED:
        return parse_points(picked, size)
    view = PhotoView(photo_size, size)
    weights = None if mask is None else mask_batch(mask, len(motion.volume)).amax(0, keepdim=True)
    if kind == GRID:
        points = grid_points(count, size)
        inside = torch.ones(1) if weights is None else view.sample(weights[:, None], points)[0, 0]
        points = points[(inside > 0.5).expand(len(points))]
        if not len(points):
            raise ValueError("No point of the grid lies in the white of the mask: raise count, or use weighted points.")
        return points
    if weights is None:
        weights = motion.magnitude().amax(0, keepdim=True)
        weights = weights / weights.amax().clamp_min(1e-12)
        if not bool(weights.any()):
            raise ValueError("The motion is still everywhere: connect a mask for weighted points, or use a grid.")
    shown = fit_size(size, WEIGHT_SIZE)
    cells = cell_centers(shown, size, weights.device)
    return weighted_points(count, view.sample(weights[:, None], cells).view(1, *shown), size)


def grid_points(count: int, size: Sequence[int]) -> Tensor:
    """The centers of about `count` nearly square cells that fill a picture.

    Args:
        count: 1 to 4096. The number of cells comes close to it.
        size: (H, W) of the picture.

    Returns:
        float32 [N, 2], (x, y) in pixels, pixel centers at integers, row by row.
    """
    height, width = check_size("size", size)
    count = _check_count(count)
    columns = min(count, max(1, round(math.sqrt(count * width / height))))
    rows = max(1, round(count / columns))
    return cell_centers((rows, columns), (height, width))


def weighted_points(count: int, weights: Tensor, size: Sequence[int]) -> Tensor:
    """Points whose density follows a mask: none where it is black, twice as many where it is twice as bright.

    They are a Sobol sequence, which fills an area evenly and is always the same, sent through the inverse of the
    weights' cumulative distribution: first the rows, then the columns of each row.

    Args:
        count: 1 to 4096.
        weights: [H', W'] or [1, H', W'] in 0..1, of any size, over the whole picture.
        size: (H, W) of the picture.

    Returns:
        float32 [count, 2], (x, y) in pixels, pixel centers at integers.

    Raises:
        ValueError: if the mask is black, or an argument is out of range.
    """
    height, width = check_size("size", size)
    count = _check_count(count)
    density = mask_batch(weights, 1, "weights")[:, None].cpu()
    density = resize_maps(density, fit_size(density.shape[-2:], WEIGHT_SIZE))[0, 0].double()
    if float(density.sum()) <= 0:
        raise ValueError("The mask is black: no point can be followed. Paint white what should be followed.")
    sequence = torch.quasirandom.SobolEngine(2).fast_forward(1).draw(count, dtype=torch.float64)
    rows, y = _inverse_distribution(density.sum(1)[None], sequence[:, :1])
    _, x = _inverse_distribution(density[rows[:, 0]], sequence[:, 1:])
    return torch.cat([x * width, y * height], 1).float() - 0.5


def _inverse_distribution(density: Tensor, quantile: Tensor) -> tuple[Tensor, Tensor]:
    """Where the cumulative distribution of each row of bins reaches a quantile.

    Args:
        density: float64 [N or 1, bins] >= 0.
        quantile: float64 [N, 1] in 0..1.

    Returns:
        The bin [N, 1], and the position in 0..1 of all bins [N, 1], float64.
    """
    density = density.expand(len(quantile), -1)
    cumulative = density.cumsum(1)
    target = quantile * cumulative[:, -1:]
    index = torch.searchsorted(cumulative, target, right=True).clamp_max(density.shape[1] - 1)
    inside = (target - (cumulative - density).gather(1, index)) / density.gather(1, index).clamp_min(1e-12)
    return index, (index + inside.clamp(0, 1)) / density.shape[1]


def _check_count(count: int) -> int:
    return check_integer("count", count, 1, MAX_POINTS, meaning="points")
