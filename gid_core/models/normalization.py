"""Frequency-adaptive normalization (paper section 4.1, eq. 4).

Amplitudes of motion span 0..100 px and fall fast with frequency. Every slice is divided by its own scale and its
square root is taken, so that a network sees numbers of one size in all of them.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ..spectral_volume import SpectralVolume
from .config import NORMALIZATIONS, ModelConfig, VolumeConfig, one_of

PERCENTILE = 0.95
# Of a bin's frequency: clips of 29.97 and of 30 frames a second are alike.
FPS_TOLERANCE = 0.1


class FrequencyNormalizer(nn.Module):
    """Coefficients of spectral volumes to normalized ones, and exactly back.

    S' = sign(S) sqrt(|S| / s_k) per real number ("sqrt", eq. 4 as it is printed), S sqrt(1 / (|S| s_k)) per complex
    one ("polar", which keeps the phase), or S / s ("linear"). S counts in widths of the picture, both axes alike, so
    that statistics hold at every resolution.

    Attributes:
        scale: float [K], s_k: the 95th percentile of the modulus of x and y coefficients over the training set, of
            all pixels, still ones too. "linear": one number, K times.
    """

    def __init__(self, config: VolumeConfig, mode: str = "sqrt", scale: Tensor | None = None):
        super().__init__()
        one_of("mode", mode, NORMALIZATIONS)
        self.config, self.mode = config, mode
        if scale is None:
            scale = torch.ones(config.num_bins)
        elif scale.shape != (config.num_bins,) or not bool((scale > 0).all()):
            raise ValueError(f"scale must be {config.num_bins} numbers > 0, one a frequency; got {scale.tolist()}.")
        self.register_buffer("scale", scale.float())

    def check(self, volume: SpectralVolume) -> None:
        """Whether statistics of one kind of volume are used for that kind.

        Raises:
            ValueError: if the volume has another number of bins, period, detrending, or (by more than a tenth) fps.
        """
        wanted = (self.config.num_bins, self.config.period, self.config.detrend)
        got = (volume.num_bins, volume.period, volume.detrend)
        if wanted != got or abs(volume.fps / self.config.fps - 1) > FPS_TOLERANCE:
            raise ValueError(
                f"These statistics hold for volumes of (bins, period, detrend, fps) = {(*wanted, self.config.fps)}; "
                f"this one has {(*got, volume.fps)}. Extract it again with those settings, or use statistics of its "
                "kind."
            )

    def normalize(self, coefficients: Tensor) -> Tensor:
        """[..., K, 4, H, W] in pixels of their grid -> the same shape, mostly within -1..1."""
        relative = coefficients / (coefficients.shape[-1] * self._scale(coefficients))
        if self.mode == "sqrt":
            return relative.sign() * relative.abs().sqrt()
        return relative if self.mode == "linear" else relative * _power(relative, -0.5)

    def denormalize(self, normalized: Tensor) -> Tensor:
        """The inverse of `normalize`."""
        if self.mode == "sqrt":
            relative = normalized * normalized.abs()
        else:
            relative = normalized if self.mode == "linear" else normalized * _power(normalized, 1.0)
        return relative * (normalized.shape[-1] * self._scale(normalized))

    def _scale(self, like: Tensor) -> Tensor:
        return self.scale.to(like).view(-1, 1, 1, 1)


def measure_scale(config: ModelConfig, coefficients: Iterable[Tensor]) -> Tensor:
    """s_k of eq. 4 over some volumes' coefficients [..., K, 4, H, W] in pixels of their grids: [K].

    A histogram of log2 modulus is kept, 1/64 of an octave fine, so memory does not grow with the number of volumes.
    """
    bins, low, high, fine = config.volume.num_bins, -40, 8, 64
    counts = torch.zeros(bins, (high - low) * fine, dtype=torch.float64)
    for each in coefficients:
        modulus = each.unflatten(-3, (2, 2)).square().sum(-3).sqrt() / each.shape[-1]
        octave = modulus.clamp_min(2.0**low).log2().sub(low).mul(fine).long().clamp(0, counts.shape[1] - 1)
        for k in range(bins):
            counts[k] += torch.bincount(octave[..., k, :, :, :].flatten(), minlength=counts.shape[1])
    if config.normalization == "linear":
        counts = counts.sum(0, keepdim=True).expand(bins, -1)
    share = counts.cumsum(1) / counts.sum(1, keepdim=True)
    index = (share < PERCENTILE).sum(1)
    return 2.0 ** ((index + 0.5) / fine + low)


def _power(complex_slices: Tensor, exponent: float) -> Tensor:
    """Modulus of the complex numbers in [..., 4, H, W] to a power, repeated for both parts; 0 stays 0."""
    square = complex_slices.unflatten(-3, (2, 2)).square().sum(-3, keepdim=True)
    moving = square > 0
    # Where nothing moves 1 is put in, so that gradients there are 0 and not infinity times 0.
    power = torch.where(moving, square, 1.0).sqrt() ** exponent * moving
    return power.expand(*power.shape[:-3], 2, *power.shape[-2:]).flatten(-4, -3)
