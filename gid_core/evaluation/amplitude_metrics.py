"""How strong and how fast motion is, regardless of where: amplitude, and the share of fast motion."""

from __future__ import annotations

import math

from ..spectral_volume import SpectralVolume
from .motion_metrics import check_single_photo

FAST_HZ = 1.5  # motion above this frequency counts as fast


def amplitude_error(true: SpectralVolume, predicted: SpectralVolume) -> float:
    """Difference of log amplitude, |log(predicted / true)|, by `SpectralVolume.amplitude`, which is relative to width.

    Args:
        true, predicted: of one photo each, on any grids.

    Returns:
        >= 0, nepers; 0 is best, log 2 = 0.69 is a factor of 2 up or down. NaN if one of them does not move.
    """
    check_single_photo(true)
    check_single_photo(predicted)
    a, b = float(true.amplitude), float(predicted.amplitude)
    return abs(math.log(b / a)) if min(a, b) > 0 else float("nan")


def fast_share(volume: SpectralVolume, min_frequency: float = FAST_HZ) -> float:
    """Share of the energy of motion, sum |S_k(p)|^2 over pixels and bins above 0, in bins above a frequency.

    Args:
        volume: of one photo.
        min_frequency: in Hz; bins above it are fast.

    Returns:
        0..1; the true volume's own value is best. NaN if nothing moves.
    """
    check_single_photo(volume)
    energy = volume.coefficients[0, 1:].double().square().sum((1, 2, 3)).cpu()
    fast = volume.frequencies[1:] > min_frequency
    return float(energy[fast].sum() / energy.sum()) if energy.sum() > 0 else float("nan")
