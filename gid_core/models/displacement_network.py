"""How far each cell of the motion is expected to move, in detail: learned from the photo. Ours, not in the paper.

The encoder expects motion on the latents' grid, whose cells of 16 photo pixels mix thin plants with what is behind
them. This network refines that map on the volume's grid, four times as fine. It multiplies the encoder's expectation by
a limited factor, so it decides where inside a coarse cell motion is, and hardly whether there is any.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..tensors import resize_maps
from .affinity_network import STRIDE, add_laterals, photo_stem
from .image_encoder import NUM_GROUPS, ResidualBlock

# Added to displacements before their logarithm: about what the encoder expects of still things; a typical moving pixel
# has 1.
MIN_DISPLACEMENT = 4e-4
MAX_FACTOR = 20.0  # of the result to the encoder's expectation, and its inverse
MOVING_DISPLACEMENT = 0.2  # above which a cell counts as moving
OUTLINE_DISTANCE = 4  # cells from an outline of what moves, within which cells count twice in the loss
DROPOUT = 0.25  # share of the features' channels that are dropped in training


class DisplacementNetwork(nn.Module):
    """Refines the encoder's expected displacement on a grid of cells of `STRIDE` photo pixels.

    Args:
        width: hidden channels, a multiple of 8.
        pyramid_channels: of the features of other networks that it is given; none for the photo alone.
    """

    def __init__(self, width: int, pyramid_channels: Sequence[int] = ()) -> None:
        super().__init__()
        self.stem = photo_stem(width)
        self.lateral_convs = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in pyramid_channels)
        self.expectation_conv = nn.Conv2d(1, width, 1)
        self.dropout = nn.Dropout2d(DROPOUT)
        self.context = ResidualBlock(width)  # at half the size, for a wider view
        self.blocks = nn.Sequential(
            ResidualBlock(width), ResidualBlock(width), nn.GroupNorm(NUM_GROUPS, width), nn.SiLU()
        )
        self.head = nn.Conv2d(width, 1, 1)
        # An untrained network leaves the encoder's expectation as it is.
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def forward(self, photo: Tensor, pyramid: Sequence[Tensor], expected: Tensor) -> Tensor:
        """Expected displacements in detail.

        Args:
            photo: [B, 3, H, W] in 0..1, sides multiples of 8.
            pyramid: features of this photo, [B, C, any height, any width] for each of `pyramid_channels`.
            expected: [B, 1, h, w] of `motion_refinement.expected_displacement`.

        Returns:
            [B, 1, H / 4, W / 4] >= 0 in the same unit.
        """
        size = photo.shape[-2] // STRIDE, photo.shape[-1] // STRIDE
        half = size[0] // 2, size[1] // 2
        log_expected = resize_maps((expected + MIN_DISPLACEMENT).log(), size)
        x = add_laterals(self.expectation_conv(resize_maps(log_expected, half)), self.lateral_convs, pyramid)
        context = self.context(self.dropout(x))
        x = self.blocks(self.stem(photo * 2 - 1) + resize_maps(context, size))
        limit = math.log(MAX_FACTOR)
        log_factor = limit * torch.tanh(self.head(x).float() / limit)
        return ((log_expected + log_factor).exp() - MIN_DISPLACEMENT).clamp_min(0)


def displacement_loss(predicted: Tensor, true: Tensor) -> Tensor:
    """Negative log-likelihood log m + r / m of roots r of true displacements, exponentially distributed with mean m.

    The encoder's prior is trained by the same likelihood. Roots make single cells that move far count less. Cells near
    outlines of what moves count twice: there the encoder's expectation is wrong.

    Args:
        predicted, true: displacements [B, 1, h, w] >= 0.
    """
    mean, root = ((displacement + MIN_DISPLACEMENT).sqrt() for displacement in (predicted, true))
    moving = (true > MOVING_DISPLACEMENT).float()
    near_outlines = _largest_nearby(moving) + _largest_nearby(1 - moving) - 1
    weight = 1 + near_outlines
    return ((mean.log() + root / mean) * weight).sum() / weight.sum()


def _largest_nearby(maps: Tensor) -> Tensor:
    return F.max_pool2d(maps, 2 * OUTLINE_DISTANCE + 1, 1, OUTLINE_DISTANCE)
