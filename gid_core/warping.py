"""One photo along many displacement fields: frames, holes filled, and what a better renderer needs to know of them.

Softmax splatting says what is seen at every pixel of a frame (paper section 5), but spreads each pixel over four, which
blurs fine texture. Here it carries the displacements along: they say where in the photo a pixel comes from, and there
the photo is sampled bicubically. That is sharp, and right wherever one surface is seen; where surfaces meet, the mean
of their displacements leads nowhere, and the splatted colours are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .splatting import softmax_splat

# Less coverage than this is a hole, filled in proportion; a little below 1, which smooth flow reaches only nearly.
FULL_COVERAGE = 0.9
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
        holes: [n, 1, H, W] in 0..1, 1 where nothing landed.
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
    displacement = torch.lerp(splatted[:, -2:], flow, holes)
    # What appears behind a moving thing is what lay beside it: the photo at p - F(p), not at p, where the thing was.
    splatted = torch.lerp(splatted[:, :-2], sample(features, flow, "bilinear"), holes)
    sampled = sample(features, displacement)
    # Does the photo, at the place found, move as what led there?
    doubt = (sample(flow, displacement, "bilinear") - displacement).norm(dim=1, keepdim=True) / AGREEMENT
    agreement = (1 - doubt).clamp_(min=0)
    # Splatting multiplies and divides by the weight; untouched pixels are given back to the last bit.
    still = (flow == 0).all(1, keepdim=True) & (coverage == 1)
    splatted, sampled = torch.where(still, features, splatted), torch.where(still, features, sampled)
    return Warp(splatted, sampled, displacement, agreement, holes, still)


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


def premultiply(photo: Tensor) -> Tensor:
    """Colours times alpha for RGBA [N, 4, H, W], so that invisible colours do not bleed; RGB as it is."""
    if photo.shape[1] == 3:
        return photo
    return torch.cat([photo[:, :3] * photo[:, 3:], photo[:, 3:]], dim=1)


def unpremultiply(frames: Tensor) -> Tensor:
    """The way back; colours are 0 where alpha is."""
    if frames.shape[1] == 3:
        return frames
    alpha = frames[:, 3:]
    return torch.cat([torch.where(alpha > 0, frames[:, :3] / alpha.clamp(min=1e-6), 0), alpha], dim=1)
