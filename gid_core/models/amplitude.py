"""How far a photo's motion goes: what surely moves swings further than what hardly does. Ours, not in the paper.

Fitted to the authors' loops, whose photos and motions may be trained on: over 18 photos the median error is a factor of
1.34, against 1.47 for one amplitude for all. See docs/checkpoint.md.
"""

from __future__ import annotations

from torch import Tensor

from .config import VolumeConfig
from .motion_refinement import typical_motion

REFERENCE_DISPLACEMENT = 0.28  # typical one of a photo that moves by `VolumeConfig.amplitude`
DISPLACEMENT_EXPONENT = 0.35
MAX_AMPLITUDE_RATIO = 2.5  # of the result to `VolumeConfig.amplitude`


def expected_amplitude(config: VolumeConfig, displacement: Tensor) -> Tensor:
    """Typical displacement of the moving pixels, as a share of the image's width: [B].

    Args:
        displacement: [B, 1, h, w] of `motion_refinement.expected_displacement`.
    """
    ratio = (typical_motion(displacement).flatten() / REFERENCE_DISPLACEMENT) ** DISPLACEMENT_EXPONENT
    return config.amplitude * ratio.clamp_max(MAX_AMPLITUDE_RATIO)
