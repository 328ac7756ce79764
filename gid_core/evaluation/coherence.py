"""Does motion hang together: neighboring places, and neighboring frequencies? Conventions: `motion_metrics`."""

from __future__ import annotations

import torch
from torch import Tensor

from ..spectral_volume import SpectralVolume
from .motion_metrics import check_single, dot


def phase_coherence(volume: SpectralVolume, distance: int = 1) -> float:
    """Do neighbors move together? The mean over bins that move at all of `bin_coherence`.

    0..1; as good as the true volume's is best. NaN if nothing moves.
    """
    return float(bin_coherence(volume, distance).nanmean())


def bin_coherence(volume: SpectralVolume, distance: int = 1) -> Tensor:
    """How alike neighbors move, bin by bin: the mean over right and lower neighbors p + d of

        |<S(p) . conj S(p + d)>| / <|S(p)|^2 / 2 + |S(p + d)|^2 / 2>,

    with . over both axes and <> over all pairs. Slices of independent noise, or slices that a model made without
    regard to their neighbors' phase, fall toward 1 / sqrt(number of pixels); real foliage is above 0.9.

    Args:
        volume: one photo's. distance: |d| in pixels of the volume's grid: compare volumes on equal grids.

    Returns:
        float64 [K - 1], bins 1 .. K-1, in 0..1: 1 if neighbors move alike up to a constant change of phase. As good
        as the true volume's is best. NaN in bins without motion.

    Raises:
        ValueError: if the volume holds several photos, or has no neighbors at this distance.
    """
    check_single(volume)
    if not 1 <= distance < max(volume.size):
        raise ValueError(f"distance must be 1 to {max(volume.size) - 1} pixels on this grid; got {distance}.")
    rows, axes = [], [axis for axis in (1, 2) if volume.size[axis - 1] > distance]
    for re, im in zip(volume.coefficients[0, 1:, 0::2], volume.coefficients[0, 1:, 1::2], strict=True):
        pairs = []
        for axis in axes:
            pairs_along = re.shape[axis] - distance
            a, b = ([part.narrow(axis, at, pairs_along) for part in (re, im)] for at in (0, distance))
            # S(p) conj S(p + d), written out: complex tensors do not go to every device.
            real = dot(a[0], b[0]) + dot(a[1], b[1])
            imaginary = dot(a[1], b[0]) - dot(a[0], b[1])
            power = sum(dot(part, part) for part in (*a, *b)) / 2
            pairs.append(torch.hypot(real, imaginary) / power)
        rows.append(torch.stack(pairs).mean())
    return torch.stack(rows)


def frequency_coherence(volume: SpectralVolume) -> float:
    """Do the frequencies tell of the same things? The mean over neighboring bins k, k + 1 above 0 that move of

        |<S_k . conj S_{k+1}>| / sqrt(<|S_k|^2> <|S_{k+1}|^2>),

    with . over both axes and <> over all pixels: 1 if all slices have one shape (a single mode of motion). Slices that
    are drawn each for itself agree in where things move, but not in which way and in what order, and fall below.

    Returns:
        0..1, as good as the true volume's is best; NaN if no two neighboring bins move.
    """
    check_single(volume)
    slices = volume.coefficients[0, 1:].double()
    re, im = slices[:, 0::2].flatten(1), slices[:, 1::2].flatten(1)
    real = (re[:-1] * re[1:] + im[:-1] * im[1:]).sum(1)
    imaginary = (im[:-1] * re[1:] - re[:-1] * im[1:]).sum(1)
    power = (re.square() + im.square()).sum(1)
    return float((torch.hypot(real, imaginary) / (power[:-1] * power[1:]).sqrt()).nanmean())
