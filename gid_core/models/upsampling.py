"""A coarse volume to the photo's own edges."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..images import resize_maps
from ..spectral_volume import SpectralVolume

# Spread of the weights, in colour (0..1) and in pixels of the coarse volume.
COLOUR, SPACE = 0.05, 0.6
# Share of a 3 x 3 neighbourhood's motion that is not common to it: below the first there is no edge to draw, above
# the second there is one.
DIFFERENCE = (0.02, 0.1)
# Weight of a neighbour whose colour is nothing like the pixel's: it decides where no neighbour's is.
LEAST = 1e-6


def upsample_to_photo(volume: SpectralVolume, photo: Tensor, size: tuple[int, int]) -> SpectralVolume:
    """The volume on an (H, W) grid, its edges drawn along the photo's.

    Joint bilateral upsampling (Kopf et al. 2007): a pixel's motion is a mean of the 3 x 3 nearest of the volume's, in
    which those count whose part of the photo has the pixel's colour: mean |difference|^2 over all pixels of that part,
    so parts that an edge runs through count little. Where neighbours move alike it is interpolated instead.

    Weights are the same for all frequencies, positive, and 1 in sum: what begins at rest does so still, constant
    motion stays as it is, and where all neighbours are still nothing moves.

    Args:
        volume: of B photos.
        photo: [B, 3, H', W'] in 0..1.
        size: (H, W) of the result; if the volume is not smaller than that, it is just resized.
    """
    if size[0] <= volume.size[0] or size[1] <= volume.size[1]:
        return volume.resize(size)
    coarse = volume.coefficients.flatten(1, 2)
    # On a grid of whole pixels for each of the volume's, at least as fine as the result's.
    factor = math.ceil(max(size[0] / volume.size[0], size[1] / volume.size[1]))
    fine = tuple(side * factor for side in volume.size)
    joint = resize_maps(_joint_bilateral(coarse, resize_maps(photo, fine), factor), size)
    plain = resize_maps(coarse, size)
    moved = plain.lerp_(joint, resize_maps(_edges(coarse), size)).view(len(volume), -1, 4, *size)
    ratio = moved.new_tensor([size[1] / volume.size[1]] * 2 + [size[0] / volume.size[0]] * 2)
    return volume.replace(coefficients=moved.mul_(ratio.view(1, 1, 4, 1, 1)))


def _joint_bilateral(coarse: Tensor, photo: Tensor, factor: int) -> Tensor:
    """Maps [B, C, h, w] and a photo [B, 3, f h, f w] to maps [B, C, f h, f w]."""
    batch, _, height, width = coarse.shape
    mean = F.avg_pool2d(photo, factor)
    spread = (F.avg_pool2d(photo.square(), factor) - mean.square()).sum(1, keepdim=True).clamp_min_(0)
    # [B, h w, 1 or C, 9] of the neighbours, [B, h w, f f, 1] of the pixels.
    around = [x.transpose(1, 2).unsqueeze(2) for x in _neighbours(mean).unbind(1)]
    pixels = F.unfold(photo, factor, stride=factor).view(batch, 3, factor**2, -1).transpose(2, 3).unsqueeze(-1)
    distance = _neighbours(spread)[:, 0].transpose(1, 2).unsqueeze(2)
    distance = distance + sum((pixels[:, c] - around[c]).square_() for c in range(3))
    weight = distance.mul_(-0.5 / COLOUR**2).exp_().add_(LEAST).mul_(_near(factor, coarse))
    weight /= weight.sum(-1, keepdim=True)
    moved = weight @ _neighbours(coarse).permute(0, 3, 2, 1)  # [B, h w, f f, C]
    moved = moved.view(batch, height, width, factor, factor, -1).permute(0, 5, 1, 3, 2, 4)
    return moved.reshape(batch, -1, height * factor, width * factor)


def _neighbours(maps: Tensor) -> Tensor:
    """[B, C, h, w] to [B, C, 9, h w]; beyond the border stands what is at it."""
    return F.unfold(F.pad(maps, (1, 1, 1, 1), mode="replicate"), 3).view(*maps.shape[:2], 9, -1)


def _near(factor: int, like: Tensor) -> Tensor:
    """Weights of nearness [f f, 9] of a coarse pixel's fine ones and its neighbours."""
    place = (torch.arange(factor).to(like) + 0.5) / factor - 0.5
    side = (-0.5 / SPACE**2 * (torch.arange(-1, 2).to(like) - place[:, None]).square()).exp()
    return (side[:, None, :, None] * side[None, :, None, :]).reshape(factor**2, 9)


def _edges(coarse: Tensor) -> Tensor:
    """Where neighbours of maps [B, C, h, w] differ: [B, 1, h, w] in 0..1."""
    padded = F.pad(coarse, (1, 1, 1, 1), mode="replicate")
    common = F.avg_pool2d(padded, 3, 1).square().sum(1, keepdim=True)
    whole = F.avg_pool2d(padded.square().sum(1, keepdim=True), 3, 1)
    own = 1 - common / whole.clamp_min(1e-20)
    low, high = DIFFERENCE
    return ((own - low) / (high - low)).clamp(0, 1) * (whole > 0)
