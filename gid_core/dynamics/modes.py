"""What pokes, wind and sound share: the modes of a volume, checked settings, the soft limit.

Bin 0 takes no part: it does not swing, and at rest it is whatever makes F_0 = 0. Its coordinate stays 0, and F counts
from the photo as the place of rest.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..motion import Motion
from ..spectral_volume import SpectralVolume


def angular_frequencies(volume: SpectralVolume) -> np.ndarray:
    """w_k = 2 pi f_k of each bin in rad/s, float64 [K]; 0 for bin 0."""
    return np.arange(volume.num_bins) * (2 * math.pi * volume.fps / volume.period)


def bin_motion(volume: SpectralVolume) -> Tensor:
    """How much each pixel moves: (sum_{k>0} |S_k(p)|^2)^(1/2), float32 [B, H, W]; 2^(1/2) / T of it is rms pixels."""
    total = torch.zeros_like(volume.coefficients[:, 0, 0])
    for slice_ in volume.coefficients[:, 1:].unbind(1):  # one at a time: six times as fast as all at once
        total += slice_.square().sum(1)
    return total.sqrt()


def soft_limit(peak, limit: float):
    """Factor that keeps peak x factor below `limit`: 1 / (1 + (peak / limit)^4)^(1/4), 1 to fourth order."""
    return (1 + (peak / limit) ** 4) ** -0.25


def check_settings(volume: SpectralVolume, num_frames: int, fps, speed, strength, max_displacement) -> float:
    """Refuse impossible settings; the frame rate, which is the volume's by default.

    Raises:
        ValueError: that names the setting.
    """
    if num_frames < 1:
        raise ValueError(f"num_frames must be at least 1; got {num_frames}.")
    fps = volume.fps if fps is None else float(fps)
    for name, value in (("fps", fps), ("speed", speed), ("max_displacement", max_displacement)):
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name} must be a number > 0; got {value}.")
    if not (strength >= 0 and math.isfinite(strength)):
        raise ValueError(f"strength must be a number >= 0 (1 = as it is, 0 = still); got {strength}.")
    return fps


def make_motion(volume: SpectralVolume, coordinates: np.ndarray, fps: float, loops: bool = False) -> Motion:
    """A motion from complex [frames, K] coordinates."""
    pairs = np.stack([coordinates.real, coordinates.imag], -1) + 0.0  # -0 becomes 0
    return Motion(volume, torch.from_numpy(pairs).float(), float(fps), loops)
