"""How far a photo's motion goes: large, close objects swing further than small, distant ones. Ours, not in the paper.

Fitted to the authors' loops, whose photos and motions may be trained on: over 18 photos log amplitude correlates with
the logarithm of the moving objects' size. Leaving one photo out, the median error is a factor of 1.4, against 1.6 for
one amplitude for all.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..edge_aware_smoothing import Affinities, smoothing_matrices
from .config import VolumeConfig

REFERENCE_SIZE = 20.0  # cells of the latents, of an object that moves by `VolumeConfig.amplitude`
SIZE_EXPONENT = 0.5
AMPLITUDE_RATIO_RANGE = (0.5, 2.5)  # of the result to `VolumeConfig.amplitude`
# Of photos of plants, most expect more than this somewhere; of photos of still things, about one of ten.
CERTAIN_DISPLACEMENT = 0.25
SIGMA = 6.0  # cells over which an object is measured


@torch.no_grad()
def expected_amplitude(config: VolumeConfig, affinities: Affinities, displacement: Tensor | None) -> Tensor:
    """Typical displacement of the moving pixels, as a share of the image's width: [B].

    It grows with the size of the moving objects, and shrinks for photos in which the encoder hardly expects motion.

    Args:
        config: its `amplitude` is that of an object of `REFERENCE_SIZE`.
        affinities: of B grids of h x w cells of the latents, a few hundred.
        displacement: [B, 1, h, w] of `motion_refinement.expected_displacement`. None weighs all cells alike.
    """
    size = object_size(affinities)
    weight = torch.ones_like(size) if displacement is None else displacement
    mean = (size * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3)).clamp_min(1e-12)
    certainty = (weight.amax((1, 2, 3)) / CERTAIN_DISPLACEMENT).clamp_max(1)
    return config.amplitude * certainty * (mean / REFERENCE_SIZE).pow(SIZE_EXPONENT).clamp(*AMPLITUDE_RATIO_RANGE)


def object_size(affinities: Affinities) -> Tensor:
    """The number of cells that a unit of motion of each cell spreads over inside its object: [B, 1, h, w]."""
    own_shares = smoothing_matrices(affinities, SIGMA).diagonal(dim1=1, dim2=2)
    return 1 / own_shares.view(-1, 1, *affinities.size)
