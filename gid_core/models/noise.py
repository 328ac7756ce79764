"""The noise that sampling starts from, correlated between neighboring frequencies."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def frequency_noise(shape: Sequence[int], coherence: float, generator: torch.Generator | None = None) -> Tensor:
    """Gaussian noise for the latents of one photo, correlated from frequency to frequency. Not in the paper.

    Every slice on its own is white noise of variance one, so denoisers of single slices remain valid. Slice k + 1
    repeats slice k with weight `coherence`, up to a phase shift that is the same at every pixel. The sampler is
    deterministic, so correlated noise leads to slices in which the same regions move together, as in real motion. From
    independent noise, attention over the frequencies would have to create this agreement. The idea comes from the
    correlated noise of video diffusion (Ge et al. 2023). Measured in `benchmarks/results/coordination.md`.

    Args:
        shape: (K, C, h, w). Channels are pairs of real and imaginary parts, as the autoencoder's skip connection
            keeps them.
        coherence: 0 (independent slices) to 1 (identical slices).
        generator: on the CPU, so that all devices draw the same noise.

    Returns:
        float32 [K, C, h, w].
    """
    noise = torch.randn(tuple(shape), generator=generator)
    if coherence == 0:
        return noise
    for k in range(2, len(noise)):  # not from bin 0, which holds a constant offset, no motion
        noise[k] = coherence * noise[k - 1] + math.sqrt(1 - coherence**2) * noise[k]
    phase = torch.rand(len(noise), generator=generator) * (2 * math.pi)
    cos, sin = (factor.view(-1, 1, 1, 1) for factor in (phase.cos(), phase.sin()))
    real, imaginary = noise.unflatten(1, (-1, 2)).unbind(2)
    return torch.stack([cos * real - sin * imaginary, sin * real + cos * imaginary], 2).flatten(1, 2)
