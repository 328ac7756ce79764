"""Which neighboring cells of the motion move as one: learned from the photo. Ours, not in the paper.

The network predicts, for every pair of neighboring cells, the expected relative difference r of their motion: about 0
inside an object, about 1 across its outline. Smoothing with conductances proportional to 1 / r is the best linear
estimate of motion whose differences have these variances (a Gaussian Markov random field).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..edge_aware_smoothing import Affinities, rgb_to_lab
from ..tensors import resize_maps
from .image_encoder import ResidualBlock

STRIDE = 4  # photo pixels per cell
# Range of the predicted relative difference. Smaller differences are noise; the largest possible is 2.
MIN_DIFFERENCE, MAX_DIFFERENCE = 1e-3, 2.0
MIN_COLOR_DIFFERENCE = 1e-4  # squared, of CIE Lab / 100
# Relative difference up to which two cells count as one object (affinity 1).
OBJECT_DIFFERENCE = 4e-3
# Energy that is added to that of a pair, as a share of the moving cells' energy: cells below it are static.
STATIC_ENERGY_SHARE = 0.02


class AffinityNetwork(nn.Module):
    """Predicts the relative difference of motion between neighboring cells of `STRIDE` photo pixels.

    Args:
        width: hidden channels, a multiple of 8.
        pyramid_channels: of the features of other networks that it is given; none for the photo alone.
    """

    def __init__(self, width: int, pyramid_channels: Sequence[int] = ()) -> None:
        super().__init__()
        self.stem = photo_stem(width)
        self.lateral_convs = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in pyramid_channels)
        self.blocks = nn.Sequential(ResidualBlock(width), ResidualBlock(width), nn.SiLU())
        self.pair_head = nn.Sequential(nn.Conv2d(2 * width + 1, width, 1), nn.SiLU(), nn.Conv2d(width, 1, 1))

    def forward(self, photo: Tensor, pyramid: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Logarithms of the expected relative differences.

        Args:
            photo: [B, 3, H, W] in 0..1, sides multiples of 4.
            pyramid: features of this photo, [B, C, any height, any width] for each of `pyramid_channels`.

        Returns:
            [B, 1, H / 4, W / 4 - 1] for horizontal and [B, 1, H / 4 - 1, W / 4] for vertical neighbors.
        """
        x = add_laterals(self.stem(photo * 2 - 1), self.lateral_convs, pyramid)
        x = self.blocks(x)
        color = rgb_to_lab(resize_maps(photo, x.shape[-2:]).clamp(0, 1)) / 100
        return self._pair_difference(x, color, -1), self._pair_difference(x, color, -2)

    def _pair_difference(self, x: Tensor, color: Tensor, dim: int) -> Tensor:
        """Log r of all pairs along a dimension, from symmetric features of both cells and their difference in color."""
        count = x.shape[dim] - 1
        total = x.narrow(dim, 0, count) + x.narrow(dim, 1, count)
        color_difference = color.diff(dim=dim).square().sum(1, keepdim=True)
        pair = torch.cat([total, x.diff(dim=dim).abs(), (color_difference + MIN_COLOR_DIFFERENCE).log()], 1)
        # A sigmoid keeps gradients at both ends of the range, where a clamp would stop them.
        low, high = math.log(MIN_DIFFERENCE), math.log(MAX_DIFFERENCE)
        return low + (high - low) * torch.sigmoid(self.pair_head(pair).float())


def photo_stem(width: int) -> nn.Sequential:
    """Convolutions from a photo in -1..1 to `width` channels of cells of `STRIDE` photo pixels."""
    return nn.Sequential(
        nn.Conv2d(3, width // 2, 3, 2, padding=1), nn.SiLU(), nn.Conv2d(width // 2, width, 3, 2, padding=1)
    )


def add_laterals(x: Tensor, convs: nn.ModuleList, pyramid: Sequence[Tensor]) -> Tensor:
    """Add features of several sizes to x [B, C, h, w], each projected by its convolution and resized."""
    for conv, level in zip(convs, pyramid, strict=True):
        x = x + resize_maps(conv(level).float(), x.shape[-2:])
    return x


def affinities_from_differences(horizontal: Tensor, vertical: Tensor) -> Affinities:
    """Affinities min(1, `OBJECT_DIFFERENCE` / r) from the network's log r."""
    limit = math.log(OBJECT_DIFFERENCE)
    return Affinities((limit - horizontal).clamp_max(0).exp(), (limit - vertical).clamp_max(0).exp())


def relative_differences(coefficients: Tensor) -> tuple[Tensor, Tensor]:
    """The true relative difference of motion between neighboring cells: what the network learns.

    r(p, q) = sum |S(p) - S(q)|^2 / (sum |S(p)|^2 + sum |S(q)|^2 + e) over all frequencies and both axes, where e is
    `STATIC_ENERGY_SHARE` of the typical energy of a moving cell.

    Args:
        coefficients: [B, K, 4, h, w].

    Returns:
        [B, 1, h, w - 1] and [B, 1, h - 1, w] in 0..2; 0 between static cells.
    """
    slices = coefficients[:, 1:].flatten(1, 2)
    energy = slices.square().sum(1, keepdim=True)
    typical = energy.square().mean((1, 2, 3), keepdim=True) / energy.mean((1, 2, 3), keepdim=True).clamp_min(1e-30)
    static = STATIC_ENERGY_SHARE * typical + 1e-20

    def difference(dim: int) -> Tensor:
        count = slices.shape[dim] - 1
        total = energy.narrow(dim, 0, count) + energy.narrow(dim, 1, count) + static
        return slices.diff(dim=dim).square().sum(1, keepdim=True) / total

    return difference(-1), difference(-2)


def affinity_loss(log_differences: Sequence[Tensor], coefficients: Tensor) -> Tensor:
    """Negative log-likelihood log m + r / m of true relative differences r, exponentially distributed with mean m.

    Args:
        log_differences: log m, of `AffinityNetwork`.
        coefficients: true motion [B, K, 4, h, w] on the same grid.
    """
    losses = [
        predicted + (true + MIN_DIFFERENCE) * torch.exp(-predicted)
        for predicted, true in zip(log_differences, relative_differences(coefficients), strict=True)
    ]
    return torch.cat([loss.flatten() for loss in losses]).mean()
