"""Which points of a picture to follow: on a grid, or spread evenly with more of them where a mask is brighter."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..tensors import fit_size, mask_batch, resize_maps
from ..validation import check_integer, check_size

MAX_POINTS = 4096
# Longer side in pixels of the weights that `weighted_points` distributes points by.
WEIGHT_SIZE = 512


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
    y, x = torch.meshgrid(
        (torch.arange(rows) + 0.5) * height / rows - 0.5,
        (torch.arange(columns) + 0.5) * width / columns - 0.5,
        indexing="ij",
    )
    return torch.stack([x, y], -1).flatten(0, 1)


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
