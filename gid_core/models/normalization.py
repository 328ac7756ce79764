"""Frequency-adaptive normalization (paper section 4.1, eq. 4).

Amplitudes of motion span 0..100 px and fall fast with frequency. Every slice is divided by its own scale, and its
square root is taken, so that a network sees numbers of the same size in all slices.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ..spectral_volume import SpectralVolume
from ..validation import check_choice
from .config import NORMALIZATIONS, ModelConfig, VolumeConfig

PERCENTILE = 0.95  # quantile of the moduli that normalization maps to 1 (eq. 4)
# Relative difference of frame rates that still counts as the same: clips of 29.97 and 30 frames per second are alike.
FPS_TOLERANCE = 0.1
# Histogram of log2 modulus in `fit_frequency_scale`: range in octaves relative to the image's width, bins per octave.
MIN_OCTAVE, MAX_OCTAVE, BINS_PER_OCTAVE = -40, 8, 64


class FrequencyNormalizer(nn.Module):
    """Normalizes coefficients of spectral volumes, and inverts it exactly.

    S' = sign(S) sqrt(|S| / s_k) per real number ("sqrt", eq. 4 as printed), S sqrt(1 / (|S| s_k)) per complex number
    ("polar", which preserves the phase), or S / s ("linear"). S is measured in image widths on both axes, so the
    statistics hold at every resolution.

    Attributes:
        scale: float [K], s_k: the 95th percentile of the modulus of x and y coefficients over the training set,
            including pixels without motion. With "linear" all K values are equal.
    """

    scale: Tensor

    def __init__(self, config: VolumeConfig, mode: str = "sqrt", scale: Tensor | None = None) -> None:
        super().__init__()
        check_choice("mode", mode, NORMALIZATIONS)
        self.config, self.mode = config, mode
        if scale is None:
            scale = torch.ones(config.num_bins)
        elif scale.shape != (config.num_bins,) or not bool((scale > 0).all()):
            raise ValueError(f"scale must be {config.num_bins} numbers > 0, one per frequency; got {scale.tolist()}.")
        self.register_buffer("scale", scale.float())

    def check(self, volume: SpectralVolume) -> None:
        """Check that a volume has the settings of the volumes that the statistics were computed from.

        Raises:
            ValueError: if the volume has another number of bins, period, detrending, or (by more than a tenth) fps.
        """
        expected = (self.config.num_bins, self.config.period, self.config.detrend)
        actual = (volume.num_bins, volume.period, volume.detrend)
        if expected != actual or abs(volume.fps / self.config.fps - 1) > FPS_TOLERANCE:
            raise ValueError(
                f"These statistics hold for volumes of (bins, period, detrend, fps) = {(*expected, self.config.fps)}; "
                f"this one has {(*actual, volume.fps)}. Extract it again with those settings, or use statistics of "
                "its kind."
            )

    def normalize(self, coefficients: Tensor) -> Tensor:
        """Normalize [..., K, 4, H, W] in pixels of their grid; most results are within -1..1."""
        relative = coefficients / (coefficients.shape[-1] * self._scale_like(coefficients))
        if self.mode == "sqrt":
            return relative.sign() * relative.abs().sqrt()
        return relative if self.mode == "linear" else relative * _modulus_power(relative, -0.5)

    def denormalize(self, normalized: Tensor) -> Tensor:
        """The inverse of `normalize`."""
        if self.mode == "sqrt":
            relative = normalized * normalized.abs()
        else:
            relative = normalized if self.mode == "linear" else normalized * _modulus_power(normalized, 1.0)
        return relative * (normalized.shape[-1] * self._scale_like(normalized))

    def _scale_like(self, coefficients: Tensor) -> Tensor:
        """The scale with dtype, device and dimensions of coefficients, [K, 1, 1, 1]."""
        return self.scale.to(coefficients).view(-1, 1, 1, 1)


def fit_frequency_scale(config: ModelConfig, volumes: Iterable[Tensor]) -> Tensor:
    """s_k of eq. 4 over the coefficients [..., K, 4, H, W] of some volumes, in pixels of their grids: [K].

    A histogram of log2 modulus, 1/64 of an octave fine, keeps memory independent of the number of volumes.
    """
    num_bins = config.volume.num_bins
    histogram_size = (MAX_OCTAVE - MIN_OCTAVE) * BINS_PER_OCTAVE
    counts = torch.zeros(num_bins, histogram_size, dtype=torch.float64)
    for coefficients in volumes:
        modulus = coefficients.unflatten(-3, (2, 2)).square().sum(-3).sqrt() / coefficients.shape[-1]
        octaves = modulus.clamp_min(2.0**MIN_OCTAVE).log2().sub(MIN_OCTAVE)
        indices = octaves.mul(BINS_PER_OCTAVE).long().clamp(0, histogram_size - 1)
        for k in range(num_bins):
            counts[k] += torch.bincount(indices[..., k, :, :, :].flatten(), minlength=histogram_size)
    if config.normalization == "linear":
        counts = counts.sum(0, keepdim=True).expand(num_bins, -1)
    cumulative = counts.cumsum(1) / counts.sum(1, keepdim=True)
    index = (cumulative < PERCENTILE).sum(1)
    return 2.0 ** ((index + 0.5) / BINS_PER_OCTAVE + MIN_OCTAVE)


def _modulus_power(slices: Tensor, exponent: float) -> Tensor:
    """Modulus of the complex numbers in [..., 4, H, W] to a power, repeated for both parts; 0 stays 0."""
    square = slices.unflatten(-3, (2, 2)).square().sum(-3, keepdim=True)
    moving = square > 0
    # Without motion the modulus is replaced by 1, so that gradients there are 0 and not infinity times 0.
    power = torch.where(moving, square, 1.0).sqrt() ** exponent * moving
    return power.expand(*power.shape[:-3], 2, *power.shape[-2:]).flatten(-4, -3)
