"""One photo along many displacement fields: frames, holes filled, and what a better renderer needs to know of them.

Softmax splatting says what is seen at every pixel of a frame (paper section 5), but spreads each pixel over four, which
blurs fine texture. Here it carries the displacements along: they say where in the photo a pixel comes from, and there
the photo is sampled bicubically. That is sharp, and right wherever one surface is seen; where surfaces meet, the mean
of their displacements leads nowhere, and the splatted colors are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .softmax_splatting import softmax_splat

# Less coverage than this is a hole, filled in proportion; a little below 1, which smooth flow reaches only nearly.
FULL_COVERAGE = 0.9
# How far, in pixels, a stretched surface is bridged, and the mean coverage around that it takes.
REACH, LEAST_AROUND = 2, 0.3
# Pixels by which the photo's displacement at the place found may differ from the one that led there.
AGREEMENT = 0.5


@dataclass(frozen=True)
class Warp:
    """A photo [1, C, H, W] (alpha premultiplied) carried along n displacement fields.

    Attributes:
        splatted: [n, C, H, W], softmax splatting, holes filled.
        sampled: [n, C, H, W], the photo where each pixel comes from.
        displacement: [n, 2, H, W] in pixels, of what is seen at each pixel of the frame.
        agreement: [n, 1, H, W] in 0..1, how far one surface is seen.
        holes: [n, 1, H, W] in 0..1, 1 where nothing landed; a stretched surface may be seen there.
        still: bool [n, 1, H, W], what nothing reaches and nothing leaves; the photo itself in all of the above.
    """

    splatted: Tensor
    sampled: Tensor
    displacement: Tensor
    agreement: Tensor
    holes: Tensor
    still: Tensor

    def blended(self) -> Tensor:
        """The frames [n, C, H, W]: sampled where one surface is seen, otherwise splatted."""
        return torch.lerp(self.splatted, self.sampled, self.agreement)


def warp(features: Tensor, flow: Tensor, importance: Tensor) -> Warp:
    """Carry a photo along displacement fields.

    What nothing reaches and nothing leaves is kept to the last bit.

    Args:
        features: [1 or n, C, H, W], of `premultiply`.
        flow: [n, 2, H, W] in pixels.
        importance: [1 or n, 1, H, W], see `rendering.motion_importance`.
    """
    splatted, coverage = softmax_splat(torch.cat([features.expand(len(flow), -1, -1, -1), flow], 1), flow, importance)
    holes = (1 - coverage / FULL_COVERAGE).clamp_(min=0)
    around, rubber = _bridge(splatted[:, -2:], coverage, flow)
    displacement = torch.lerp(splatted[:, -2:], torch.lerp(flow, around, rubber), holes)
    sampled = sample(features, displacement)
    # What appears behind a mover is what lay beside it: the photo at p - F(p), not at p, where the mover itself was.
    filled = torch.lerp(sample(features, flow, "bilinear"), sampled, rubber)
    splatted = torch.lerp(splatted[:, :-2], filled, holes)
    # Does the photo, at the place found, move as what led there?
    doubt = length(sample(flow, displacement, "bilinear") - displacement) / AGREEMENT
    agreement = (1 - doubt).clamp_(min=0)
    # Splatting multiplies and divides by the weight; untouched pixels are given back to the last bit.
    still = (flow == 0).all(1, keepdim=True) & (coverage == 1)
    splatted, sampled = torch.where(still, features, splatted), torch.where(still, features, sampled)
    return Warp(splatted, sampled, displacement, agreement, holes, still)


def _bridge(displacement: Tensor, coverage: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """The mean displacement [n, 2, H, W] of what landed around each pixel, and how far that bridges a hole, 0..1.

    Where a surface is stretched, as between a mover and what is behind it when motion is known on a coarse grid, its
    pixels land apart from each other, and torn apart they would be stripes. There displacements differ all around, and
    where their mean leads, the photo moves not much otherwise than that. Behind a sharp outline it leads to the mover.
    """
    size = 2 * REACH + 1
    sums = (
        torch.cat([displacement, displacement.square().sum(1, keepdim=True), torch.ones_like(coverage)], 1) * coverage
    )
    sums = F.avg_pool2d(F.avg_pool2d(sums, (size, 1), 1, (REACH, 0)), (1, size), 1, (0, REACH))
    weight = sums[:, 3:]
    mean, square = sums[:, :2] / weight.clamp(min=1e-6), sums[:, 2:3] / weight.clamp(min=1e-6)
    spread = (square - mean.square().sum(1, keepdim=True)).clamp(min=0).sqrt()
    error = length(sample(flow, mean, "bilinear") - mean)
    rubber = (2 - error / (spread + AGREEMENT)).clamp_(0, 1)
    return mean, torch.where(weight > LEAST_AROUND, rubber, 0)


def sample(maps: Tensor, displacement: Tensor, mode: str = "bicubic", corner: tuple[int, int] = (0, 0)) -> Tensor:
    """Maps [1 or n, C, H, W] at p - displacement(p), the border continued.

    Args:
        displacement: [n, 2, h, w] in pixels of the maps, for a window of them.
        corner: (y, x) of the window's first pixel.
    """
    height, width = maps.shape[-2:]
    rows, columns = (
        torch.arange(first, first + side, dtype=displacement.dtype, device=displacement.device) + 0.5
        for first, side in zip(corner, displacement.shape[-2:], strict=True)
    )
    x = (columns - displacement[:, 0]) * (2 / width) - 1
    y = (rows[:, None] - displacement[:, 1]) * (2 / height) - 1
    maps = maps.expand(len(displacement), -1, -1, -1)
    return F.grid_sample(maps, torch.stack([x, y], -1), mode, "border", align_corners=False)


def length(field: Tensor) -> Tensor:
    """How long the vectors of a field [N, 2, H, W] are: [N, 1, H, W]. `norm` across planes takes 20 times the time."""
    return torch.hypot(field[:, :1], field[:, 1:])


def premultiply(photo: Tensor) -> Tensor:
    """Colors times alpha for RGBA [N, 4, H, W], so that invisible colors do not bleed; RGB as it is."""
    if photo.shape[1] == 3:
        return photo
    return torch.cat([photo[:, :3] * photo[:, 3:], photo[:, 3:]], dim=1)


def unpremultiply(frames: Tensor) -> Tensor:
    """The way back; colors are 0 where alpha is."""
    if frames.shape[1] == 3:
        return frames
    alpha = frames[:, 3:]
    return torch.cat([torch.where(alpha > 0, frames[:, :3] / alpha.clamp(min=1e-6), 0), alpha], dim=1)
