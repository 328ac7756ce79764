"""Smooth maps inside the objects of a photo but not across their outlines. Ours, not in the paper.

Neighboring cells of a grid are joined by affinities in 0..1: 1 inside an object, near 0 across its outline. They come
from a network (`models.affinity_network`) or from the photo's colors. `edge_aware_smooth` then spreads maps along them
by alternating exact solves of tridiagonal systems, the fast global smoother of Min et al. 2014. Its cost grows with the
number of cells, not with the width of the smoothing, and it runs on every device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .tensors import resize_maps

COLOR_SIGMA = 8.0  # CIE Lab difference (about 2 is just visible) at which neighbors count as different objects
ROUNDS = 3  # of a horizontal and a vertical solve each; more make the smoothing rounder
MIN_AFFINITY = 1e-6
OUTLINE_AFFINITY = 0.02  # of a pair of neighbors between which there is an outline as likely as not
MIN_CONFIDENCE = 1e-6


@dataclass(frozen=True, eq=False)
class Affinities:
    """How strongly neighboring cells of B grids of H x W cells belong together.

    Attributes:
        horizontal: [B, 1, H, W - 1] in 0..1, between a cell and the one to its right.
        vertical: [B, 1, H - 1, W] in 0..1, between a cell and the one below.
    """

    horizontal: Tensor
    vertical: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the grid."""
        return self.horizontal.shape[-2], self.vertical.shape[-1]

    def coarsen(self, factor: int) -> Affinities:
        """Affinities of a grid whose cells are `factor` x `factor` cells of this one.

        Affinities are conductances: in series along the way from one center to the next, in parallel over the lines.

        Raises:
            ValueError: if the grid's sides are not multiples of the factor.
        """
        if factor == 1:
            return self
        if any(side % factor for side in self.size):
            raise ValueError(f"A grid of {self.size} cells cannot be coarsened by {factor}.")
        return Affinities(
            _coarsen(self.horizontal.transpose(-1, -2), factor).transpose(-1, -2), _coarsen(self.vertical, factor)
        )

    def outlines(self) -> Tensor:
        """Where outlines pass, [B, 1, H, W]: near 1 beside another object, near 0 inside objects."""
        horizontal, vertical = (OUTLINE_AFFINITY / (a + OUTLINE_AFFINITY) for a in (self.horizontal, self.vertical))
        edges = [F.pad(horizontal, (pad, 1 - pad, 0, 0)) for pad in (0, 1)]
        edges += [F.pad(vertical, (0, 0, pad, 1 - pad)) for pad in (0, 1)]
        return torch.stack(edges).amax(0)

    def repeat_interleave(self, count: int) -> Affinities:
        """Every grid `count` times in a row."""
        return Affinities(self.horizontal.repeat_interleave(count, 0), self.vertical.repeat_interleave(count, 0))

    def power(self, exponent: float) -> Affinities:
        """Every affinity to the power of `exponent` > 0; above 1, outlines separate more."""
        return Affinities(self.horizontal**exponent, self.vertical**exponent)

    def to(self, device: torch.device | str) -> Affinities:
        return Affinities(self.horizontal.to(device), self.vertical.to(device))


def color_affinities(
    photo: Tensor, size: Sequence[int], sigma: float = COLOR_SIGMA, outlines: Tensor | None = None
) -> Affinities:
    """Affinities from the colors of a photo: exp(-d^2 / 2 sigma^2) of the difference d in CIE Lab.

    Args:
        photo: [B, 3, H', W'] in 0..1.
        size: (H, W) of the grid.
        sigma: in units of CIE Lab, > 0.
        outlines: [B, 1, h, w] in 0..1 on any grid (`Affinities.outlines`): colors count only where these are above 0.
            They keep the texture inside an object from counting as an outline.
    """
    lab = rgb_to_lab(resize_maps(photo, size).clamp(0, 1))
    weight = None if outlines is None else resize_maps(F.max_pool2d(outlines, 3, 1, 1), size)

    def affinity(dim: int) -> Tensor:
        exponent = lab.diff(dim=dim).square().sum(1, keepdim=True) / (2 * sigma * sigma)
        if weight is not None:
            count = weight.shape[dim] - 1
            exponent = exponent * torch.maximum(weight.narrow(dim, 0, count), weight.narrow(dim, 1, count))
        return torch.exp(-exponent)

    return Affinities(affinity(-1), affinity(-2))


def rgb_to_lab(photo: Tensor) -> Tensor:
    """sRGB [B, 3, H, W] in 0..1 to CIE Lab: L in 0..100, a and b about -100..100. Computed on the CPU by OpenCV."""
    from .packages import cv2

    images = photo.detach().float().cpu().permute(0, 2, 3, 1).numpy()
    lab = np.stack([cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2LAB) for image in images])
    return torch.from_numpy(lab).permute(0, 3, 1, 2).to(photo.device)


@torch.no_grad()
def edge_aware_smooth(
    maps: Tensor, affinities: Affinities, sigma: float, confidence: Tensor | None = None, rounds: int = ROUNDS
) -> Tensor:
    """Smooth maps along affinities. Constant maps stay constant.

    Every round minimizes sum_p (u_p - f_p)^2 + lambda sum_(p, q) a_pq (u_p - u_q)^2 along the rows and then along the
    columns, with the lambdas of Min et al. (2014, eq. 14), whose sum gives the standard deviation `sigma` where all
    affinities are 1.

    Args:
        maps: [B, C, H, W]; computed in float32 at least.
        affinities: of B grids, or of one grid for all maps.
        sigma: standard deviation inside an object, in cells, >= 0.
        confidence: [B or 1, 1, H, W] >= 0: how much each cell's own value counts. Cells of confidence 0 are filled
            from the others.
        rounds: >= 1.

    Returns:
        [B, C, H, W].

    Raises:
        ValueError: if shapes do not fit together, or a number is outside its range.
    """
    if tuple(maps.shape[-2:]) != affinities.size or len(affinities.horizontal) not in (1, len(maps)):
        raise ValueError(
            f"Maps {list(maps.shape)} do not fit affinities of {len(affinities.horizontal)} grids of "
            f"{list(affinities.size)} cells."
        )
    if sigma < 0 or rounds < 1:
        raise ValueError(f"sigma must be >= 0 and rounds >= 1; got {sigma} and {rounds}.")
    result = maps.to(torch.promote_types(maps.dtype, torch.float32))
    if confidence is not None:
        weight = confidence.to(result).expand(len(maps), -1, -1, -1)
        result = torch.cat([result * weight, weight], 1)
    if sigma > 0:
        for index in range(rounds):
            strength = 1.5 * 4.0 ** (rounds - 1 - index) / (4.0**rounds - 1) * sigma * sigma
            columns = result.transpose(-1, -2).contiguous()  # so that every step works on contiguous rows
            columns = _solve_columns(columns, affinities.horizontal.transpose(-1, -2), strength)
            result = _solve_columns(columns.transpose(-1, -2).contiguous(), affinities.vertical, strength)
    if confidence is not None:
        result = result[:, :-1] / result[:, -1:].clamp_min(MIN_CONFIDENCE)
    return result.to(maps.dtype)


def smoothing_matrices(affinities: Affinities, sigma: float) -> Tensor:
    """`edge_aware_smooth` as matrices, for small grids: [B, H * W, H * W].

    Column q holds how much cell q receives from each cell.
    """
    count, (height, width) = len(affinities.horizontal), affinities.size
    cells = height * width
    impulses = torch.eye(cells, device=affinities.horizontal.device).view(1, cells, height, width)
    return edge_aware_smooth(impulses.expand(count, -1, -1, -1), affinities, sigma).flatten(2)


def _solve_columns(maps: Tensor, affinity: Tensor, strength: float) -> Tensor:
    """Solve (1 + strength L) u = maps along the columns, L the Laplacian of a chain: Thomas' algorithm.

    Args:
        maps: [B, C, H, W].
        affinity: [B or 1, 1, H - 1, W].
        strength: >= 0.

    Returns:
        [B, C, H, W].
    """
    weight = affinity.to(maps).clamp_min(MIN_AFFINITY) * strength
    diagonal = 1 + F.pad(weight, (0, 0, 1, 0)) + F.pad(weight, (0, 0, 0, 1))
    count = maps.shape[-2]
    inverse, factor = torch.empty_like(diagonal), torch.empty_like(weight)
    inverse[..., 0, :] = 1 / diagonal[..., 0, :]
    for i in range(1, count):
        torch.mul(weight[..., i - 1, :], inverse[..., i - 1, :], out=factor[..., i - 1, :])
        torch.addcmul(
            diagonal[..., i, :], weight[..., i - 1, :], factor[..., i - 1, :], value=-1, out=inverse[..., i, :]
        ).reciprocal_()
    result = maps * inverse
    rows, forward, backward = result.unbind(-2), (weight * inverse[..., 1:, :]).unbind(-2), factor.unbind(-2)
    for i in range(1, count):
        rows[i].addcmul_(forward[i - 1], rows[i - 1])
    for i in range(count - 2, -1, -1):
        rows[i].addcmul_(backward[i], rows[i + 1])
    return result


def _coarsen(vertical: Tensor, factor: int) -> Tensor:
    """Vertical affinities [B, 1, H - 1, W] on cells of factor x factor: [B, 1, H / factor - 1, W / factor]."""
    height = vertical.shape[-2] + 1
    resistance = 1 / vertical.clamp_min(MIN_AFFINITY)
    # The chain from the center of a coarse cell to the next one's: `factor` steps; an even one starts between cells.
    starts = range((factor - 1) // 2, height - factor, factor)
    chains = torch.stack([resistance[..., start : start + factor, :].sum(-2) for start in starts], -2)
    return F.avg_pool2d(factor / chains, (1, factor))
