"""Coherence of motion between neighboring pixels and between neighboring frequencies.

Conventions are those of `motion_metrics`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..spectral_volume import SpectralVolume
from .motion_metrics import check_single_photo, dot


def phase_coherence(volume: SpectralVolume, distance: int = 1) -> float:
    """How coherently neighboring pixels move: the mean of `bin_coherence` over the bins that move at all.

    0..1; the true volume's own value is best. NaN if nothing moves.
    """
    return float(bin_coherence(volume, distance).nanmean())


def bin_coherence(volume: SpectralVolume, distance: int = 1) -> Tensor:
    """How coherently neighboring pixels move in each bin: the mean over right and lower neighbors p + d of

        |<S(p) . conj S(p + d)>| / <|S(p)|^2 / 2 + |S(p + d)|^2 / 2>,

    with . over both axes and <> over all pairs. Slices of independent noise, or slices whose phases a model chose
    without regard to their neighbors, fall toward 1 / sqrt(number of pixels); real foliage is above 0.9.

    Args:
        volume: one photo's.
        distance: |d| in pixels of the volume's grid; compare only volumes on equal grids.

    Returns:
        float64 [K - 1], bins 1 .. K-1, in 0..1: 1 if neighbors move alike up to a constant phase shift. The true
        volume's own value is best. NaN in bins without motion.

    Raises:
        ValueError: if the volume holds several photos, or has no neighbors at this distance.
    """
    check_single_photo(volume)
    if not 1 <= distance < max(volume.size):
        raise ValueError(f"distance must be 1 to {max(volume.size) - 1} pixels on this grid; got {distance}.")
    coherences = []
    axes = [axis for axis in (1, 2) if volume.size[axis - 1] > distance]
    for re, im in zip(volume.coefficients[0, 1:, 0::2], volume.coefficients[0, 1:, 1::2], strict=True):
        by_axis = []
        for axis in axes:
            count = re.shape[axis] - distance
            a_re, b_re, a_im, b_im = (x.narrow(axis, start, count) for x in (re, im) for start in (0, distance))
            # S(p) conj S(p + d), written out: some devices have no complex tensors.
            real = dot(a_re, b_re) + dot(a_im, b_im)
            imaginary = dot(a_im, b_re) - dot(a_re, b_im)
            power = (dot(a_re, a_re) + dot(a_im, a_im) + dot(b_re, b_re) + dot(b_im, b_im)) / 2
            by_axis.append(torch.hypot(real, imaginary) / power)
        coherences.append(torch.stack(by_axis).mean())
    return torch.stack(coherences)


def frequency_coherence(volume: SpectralVolume) -> float:
    """How alike the slices of neighboring frequencies are: the mean over bins k, k + 1 above 0 that move of

        |<S_k . conj S_{k+1}>| / sqrt(<|S_k|^2> <|S_{k+1}|^2>),

    with . over both axes and <> over all pixels. It is 1 if all slices have one shape (a single mode of motion).
    Slices drawn independently agree on where things move, but not on direction and phase, and score less.

    Returns:
        0..1, the true volume's own value is best; NaN if no two neighboring bins move.
    """
    check_single_photo(volume)
    slices = volume.coefficients[0, 1:].double()
    re, im = slices[:, 0::2].flatten(1), slices[:, 1::2].flatten(1)
    real = (re[:-1] * re[1:] + im[:-1] * im[1:]).sum(1)
    imaginary = (im[:-1] * re[1:] - re[:-1] * im[1:]).sum(1)
    power = (re.square() + im.square()).sum(1)
    return float((torch.hypot(real, imaginary) / (power[:-1] * power[1:]).sqrt()).nanmean())
