"""The VAE over single frequency slices, and whitened latents (paper section 4.2, supplement)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import AutoencoderConfig

GRADIENT_WEIGHT, KL_WEIGHT = 0.2, 1e-6
GRADIENT_SCALES = 3
FIRST_LOG_VARIANCE = -8.0


class SliceAutoencoder(nn.Module):
    """Slices [B, K, 4, H, W] of normalized volumes to latents [B, K, C, H / f, W / f] and back.

    Every slice goes through one and the same network. Latents are whitened: every frequency's every channel has mean
    0 and variance 1 over the training set.

    Attributes:
        mean, std: float [K, C], buffers.
    """

    def __init__(self, config: AutoencoderConfig, num_bins: int):
        from diffusers import AutoencoderKL

        super().__init__()
        levels = len(config.channels)
        self.config = config
        self.vae = AutoencoderKL(
            in_channels=4,
            out_channels=4,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            block_out_channels=config.channels,
            layers_per_block=config.blocks,
            latent_channels=config.latent_channels,
            norm_num_groups=min(32, min(config.channels) // 4),
            mid_block_add_attention=config.attention,
        )
        if config.skip:  # begin as shrinking and enlarging, nearly without noise
            for last in (self.vae.quant_conv, self.vae.decoder.conv_out):
                nn.init.zeros_(last.weight), nn.init.zeros_(last.bias)
            nn.init.constant_(self.vae.quant_conv.bias[config.latent_channels :], FIRST_LOG_VARIANCE)
        self.register_buffer("mean", torch.zeros(num_bins, config.latent_channels))
        self.register_buffer("std", torch.ones(num_bins, config.latent_channels))

    def encode(self, slices: Tensor, spread: Tensor | float = 1.0) -> Tensor:
        """[B, K, 4, H, W], sides multiples of the factor, -> whitened latents (the posterior's mean).

        spread: [B, K, C, h, w] by which latents are divided before they are whitened.
        """
        raw = self._posterior(slices.flatten(0, 1)).mode().unflatten(0, slices.shape[:2])
        return (raw / spread - _channels(self.mean)) / _channels(self.std)

    def decode(self, latents: Tensor, spread: Tensor | float = 1.0) -> Tensor:
        """Whitened latents [B, K, C, h, w] -> slices [B, K, 4, f h, f w]."""
        raw = (latents * _channels(self.std) + _channels(self.mean)) * spread
        return self._restored(raw.flatten(0, 1).to(self.vae.dtype)).unflatten(0, latents.shape[:2])

    def loss(self, slices: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, dict[str, float]]:
        """Training loss of slices [N, 4, H, W]: L1 + 0.2 multi-scale gradient + 1e-6 KL (supplement).

        Args:
            generator: on the CPU, for the latents' noise.
        """
        posterior = self._posterior(slices)
        restored = self._restored(posterior.sample(generator))
        l1 = F.l1_loss(restored, slices)
        gradient = gradient_loss(restored, slices)
        kl = posterior.kl().mean()
        parts = {"l1": float(l1.detach()), "gradient": float(gradient.detach()), "kl": float(kl.detach())}
        return l1 + GRADIENT_WEIGHT * gradient + KL_WEIGHT * kl, parts

    def _posterior(self, slices: Tensor):
        """The latents' distribution, [N, 4, H, W] -> [N, C, h, w]."""
        from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

        moments = self.vae.quant_conv(self.vae.encoder(slices))
        if self.config.skip:
            shrunk = F.avg_pool2d(slices, self.config.factor)
            moments = torch.cat([moments[:, :4] + shrunk, moments[:, 4:]], 1)
        return DiagonalGaussianDistribution(moments)

    def _restored(self, raw: Tensor) -> Tensor:
        """Latents that are not whitened, [N, C, h, w] -> [N, 4, H, W]."""
        restored = self.vae.decoder(self.vae.post_quant_conv(raw))
        if self.config.skip:
            size = restored.shape[-2:]
            restored = restored + F.interpolate(raw[:, :4].float(), size=size, mode="bilinear")
        return restored

    @torch.no_grad()
    def measure(self, batches) -> None:
        """Set mean and std from batches of (slices [B, K, 4, H, W], spread) of the training set."""
        self.mean.zero_(), self.std.fill_(1)
        count, total, squares = 0, 0.0, 0.0
        for slices, spread in batches:
            raw = self.encode(slices, spread).double().transpose(1, 2)  # [B, C, K, h, w]
            total = total + raw.sum((0, 3, 4))
            squares = squares + raw.square().sum((0, 3, 4))
            count += raw[:, 0, 0].numel()
        mean = total / count
        self.mean.copy_(mean.T), self.std.copy_((squares / count - mean**2).clamp_min(1e-8).sqrt().T)


def gradient_loss(a: Tensor, b: Tensor) -> Tensor:
    """Mean |difference of spatial gradients| of [N, C, H, W], summed over scales 1, 1/2, 1/4."""
    loss, difference = a.new_zeros(()), a - b
    for scale in range(GRADIENT_SCALES):
        if scale:
            difference = F.avg_pool2d(difference, 2)
        loss = loss + difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()
    return loss


def _channels(table: Tensor) -> Tensor:
    return table[None, :, :, None, None]
