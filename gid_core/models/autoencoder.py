"""The VAE over single frequency slices, and whitened latents (paper section 4.2, supplement)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .autoencoder_kl import AutoencoderKL
from .config import AutoencoderConfig

SLICE_CHANNELS = 4  # real and imaginary part of x, then of y
# The loss (supplement): weights of its terms, and scales 1, 1/2, 1/4 of the gradient term.
GRADIENT_WEIGHT, KL_WEIGHT = 0.2, 1e-6
GRADIENT_SCALES = 3
INITIAL_LOG_VARIANCE = -8.0  # of the posterior, with a skip connection: almost no noise
LOG_VARIANCE_RANGE = (-30.0, 20.0)  # of the posterior
MIN_VARIANCE = 1e-8  # of latents over the training set


class SliceAutoencoder(nn.Module):
    """Encodes slices [B, K, 4, H, W] of normalized volumes to latents [B, K, C, H / f, W / f], and decodes them.

    The same network processes every slice. Latents are whitened: each channel of each frequency has mean 0 and
    variance 1 over the training set.

    Attributes:
        latent_mean, latent_std: float [K, C], buffers.
    """

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, config: AutoencoderConfig, num_bins: int) -> None:
        super().__init__()
        self.config = config
        self.vae = AutoencoderKL(config, SLICE_CHANNELS)
        if config.skip_connection:  # start as average pooling and interpolation, nearly without noise
            for parameter in (*self.vae.quant_conv.parameters(), *self.vae.decoder.conv_out.parameters()):
                nn.init.zeros_(parameter)
            _, bias = self.vae.quant_conv.parameters()
            nn.init.constant_(bias[config.latent_channels :], INITIAL_LOG_VARIANCE)
        self.register_buffer("latent_mean", torch.zeros(num_bins, config.latent_channels))
        self.register_buffer("latent_std", torch.ones(num_bins, config.latent_channels))

    def encode(self, slices: Tensor, latent_scale: Tensor | float = 1.0) -> Tensor:
        """Encode slices to whitened latents [B, K, C, h, w], the mean of the posterior.

        Args:
            slices: [B, K, 4, H, W], sides multiples of the downsampling factor.
            latent_scale: [B, K, C, h, w], divides latents before whitening.
        """
        latents = self._posterior(slices.flatten(0, 1))[0].unflatten(0, slices.shape[:2])
        return (latents / latent_scale - _per_channel(self.latent_mean)) / _per_channel(self.latent_std)

    def decode(self, latents: Tensor, latent_scale: Tensor | float = 1.0) -> Tensor:
        """Decode whitened latents [B, K, C, h, w] to slices [B, K, 4, f h, f w]."""
        raw = (latents * _per_channel(self.latent_std) + _per_channel(self.latent_mean)) * latent_scale
        dtype = self.vae.post_quant_conv.weight.dtype
        return self._decode_raw(raw.flatten(0, 1).to(dtype)).unflatten(0, latents.shape[:2])

    def loss(self, slices: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, dict[str, float]]:
        """Training loss of slices [N, 4, H, W]: L1 + 0.2 multi-scale gradient + 1e-6 KL (supplement).

        Args:
            generator: on the CPU, for the noise of the latents.

        Returns:
            The loss, and its terms by name.
        """
        mean, log_variance = self._posterior(slices)
        noise = torch.randn(mean.shape, generator=generator).to(mean)
        reconstruction = self._decode_raw(mean + (0.5 * log_variance).exp() * noise)
        l1 = F.l1_loss(reconstruction, slices)
        gradient = gradient_loss(reconstruction, slices)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum((1, 2, 3)).mean()
        terms = {"l1": float(l1.detach()), "gradient": float(gradient.detach()), "kl": float(kl.detach())}
        return l1 + GRADIENT_WEIGHT * gradient + KL_WEIGHT * kl, terms

    def _posterior(self, slices: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance of the latents [N, C, h, w] of slices [N, 4, H, W]."""
        moments = self.vae.quant_conv(self.vae.encoder(slices))
        if self.config.skip_connection:
            pooled = F.avg_pool2d(slices, self.config.downsampling_factor)
            moments = torch.cat([moments[:, :SLICE_CHANNELS] + pooled, moments[:, SLICE_CHANNELS:]], 1)
        mean, log_variance = moments.chunk(2, 1)
        return mean, log_variance.clamp(*LOG_VARIANCE_RANGE)

    def _decode_raw(self, latents: Tensor) -> Tensor:
        """Decode latents [N, C, h, w] that are not whitened to slices [N, 4, H, W]."""
        slices = self.vae.decoder(self.vae.post_quant_conv(latents))
        if self.config.skip_connection:
            size = slices.shape[-2:]
            slices = slices + F.interpolate(latents[:, :SLICE_CHANNELS].float(), size=size, mode="bilinear")
        return slices

    @torch.no_grad()
    def fit_latent_statistics(self, batches: Iterable[tuple[Tensor, Tensor | float]]) -> None:
        """Set `latent_mean` and `latent_std` from the training set.

        Args:
            batches: pairs of slices [B, K, 4, H, W] and their `latent_scale`.
        """
        self.latent_mean.zero_()
        self.latent_std.fill_(1)
        count, total, total_square = 0, torch.zeros(()), torch.zeros(())
        for slices, latent_scale in batches:
            latents = self.encode(slices, latent_scale).double().transpose(1, 2)  # [B, C, K, h, w]
            total = total + latents.sum((0, 3, 4))
            total_square = total_square + latents.square().sum((0, 3, 4))
            count += latents[:, 0, 0].numel()
        mean = total / count
        variance = (total_square / count - mean**2).clamp_min(MIN_VARIANCE)
        self.latent_mean.copy_(mean.T)
        self.latent_std.copy_(variance.sqrt().T)


def gradient_loss(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of the spatial gradients of [N, C, H, W], summed over scales 1, 1/2, 1/4."""
    loss, difference = a.new_zeros(()), a - b
    for scale in range(GRADIENT_SCALES):
        if scale:
            difference = F.avg_pool2d(difference, 2)
        loss = loss + difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()
    return loss


def _per_channel(statistics: Tensor) -> Tensor:
    """[K, C] with the dimensions of [B, K, C, h, w]."""
    return statistics[None, :, :, None, None]
