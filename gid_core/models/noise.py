"""The noise that sampling starts from: shared by neighboring frequencies, and by the cells of an object."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..edge_aware_smoothing import Affinities, smoothing_matrices

JITTER = 1e-4  # added to the diagonal of a covariance, so that it has a Cholesky factor


def frequency_noise(
    shape: Sequence[int],
    coherence: float,
    generator: torch.Generator | None = None,
    spatial_factor: Tensor | None = None,
) -> Tensor:
    """Gaussian noise for the latents of one photo, correlated over frequencies and over the photo. Not in the paper.

    Every number has variance one. Slice k + 1 repeats slice k with weight `coherence`, up to a phase shift that is the
    same at every pixel. The sampler is deterministic, so correlated noise leads to slices in which the same regions
    move together, as in real motion. From independent noise, attention over the frequencies would have to create this
    agreement. The idea comes from the correlated noise of video diffusion (Ge et al. 2023). Measured in
    `benchmarks/results/coordination.md`.

    Args:
        shape: (K, C, h, w). Channels are pairs of real and imaginary parts, as the autoencoder's skip connection
            keeps them.
        coherence: 0 (independent slices) to 1 (identical slices).
        generator: on the CPU, so that all devices draw the same noise.
        spatial_factor: [h * w, h * w] of `spatial_noise_factor`; None for noise that is white over the photo.

    Returns:
        float32 [K, C, h, w].
    """
    noise = torch.randn(tuple(shape), generator=generator)
    if spatial_factor is not None:
        noise = (noise.flatten(2) @ spatial_factor.cpu().T).view(tuple(shape))
    if coherence == 0:
        return noise
    for k in range(2, len(noise)):  # not from bin 0, which holds a constant offset, no motion
        noise[k] = coherence * noise[k - 1] + math.sqrt(1 - coherence**2) * noise[k]
    phase = torch.rand(len(noise), generator=generator) * (2 * math.pi)
    cos, sin = (factor.view(-1, 1, 1, 1) for factor in (phase.cos(), phase.sin()))
    real, imaginary = noise.unflatten(1, (-1, 2)).unbind(2)
    return torch.stack([cos * real - sin * imaginary, sin * real + cos * imaginary], 2).flatten(1, 2)


@torch.no_grad()
def spatial_noise_factor(
    affinities: Affinities, scales: Sequence[float], weights: Sequence[float], white: float
) -> Tensor:
    """A factor L that turns white noise x into noise L x that the cells of an object share.

    The covariance L L^T is a mixture of smoothings along the affinities, each scaled so that its diagonal is one, and
    of white noise. It is that of real motion: alike inside an object, less so with distance, independent across
    outlines.

    Args:
        affinities: of B grids of h x w cells, a few hundred.
        scales: standard deviations of the smoothings in cells, > 0.
        weights: of the smoothings, >= 0.
        white: weight of the white noise, > 0. The weights are divided by their sum.

    Returns:
        float32 [B, h * w, h * w], lower triangular, with rows of norm one.
    """
    count, cells = len(affinities.horizontal), math.prod(affinities.size)
    total = white + sum(weights)
    identity = torch.eye(cells, device=affinities.horizontal.device)
    covariance = (white / total + JITTER) * identity.repeat(count, 1, 1)
    for scale, weight in zip(scales, weights, strict=True):
        smoothed = smoothing_matrices(affinities, scale)
        smoothed = smoothed / smoothed.norm(dim=1, keepdim=True)
        covariance += weight / total * (smoothed.transpose(1, 2) @ smoothed)
    factor = torch.linalg.cholesky(covariance)
    return factor / factor.norm(dim=2, keepdim=True)
