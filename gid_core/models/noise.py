"""The noise that sampling starts from: alike in neighboring frequencies."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def frequency_noise(shape: tuple[int, ...], coherence: float, generator: torch.Generator | None = None) -> Tensor:
    """Gaussian noise for the latents of one photo, correlated from frequency to frequency.

    Every slice by itself is plain noise of variance one, so a denoiser of single slices stays right. But slice k + 1
    repeats slice k by `coherence`, up to a turn of its phase that is the same at every pixel: the sampler, which is
    deterministic, then makes slices that agree in which places move together, as true motion does, where attention
    over the frequencies alone must learn that from nothing (ours, after the correlated noise of video diffusion, Ge et
    al. 2023). Measured in `benchmarks/results/coordination.md`.

    Args:
        shape: (K, C, h, w). Channels are pairs of real and imaginary parts, as the autoencoder's bypass keeps them.
        coherence: 0 (independent slices) to 1 (all slices alike).
        generator: on the CPU, so that all devices draw alike.

    Returns:
        float32 [K, C, h, w].
    """
    noise = torch.randn(shape, generator=generator)
    if coherence == 0:
        return noise
    for k in range(2, len(noise)):  # bin 0 is no motion
        noise[k] = coherence * noise[k - 1] + math.sqrt(1 - coherence**2) * noise[k]
    phase = torch.rand(len(noise), generator=generator) * (2 * math.pi)
    cos, sin = (part.view(-1, 1, 1, 1) for part in (phase.cos(), phase.sin()))
    re, im = noise.unflatten(1, (-1, 2)).unbind(2)
    return torch.stack([cos * re - sin * im, sin * re + cos * im], 2).flatten(1, 2)
