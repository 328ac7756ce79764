"""All networks of a motion model as one module."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from .autoencoder import SliceAutoencoder
from .config import ModelConfig
from .denoiser import Denoiser
from .image_encoder import ConditionEncoder
from .normalization import FrequencyNormalizer
from .rendering_network import RenderingNetwork

# Normalized coefficients below this (2 % of the 95th percentile) are noise of flow, which needs no amplifying.
STILL = 0.15


class MotionModel(nn.Module):
    """The networks of a `ModelConfig`, untrained; `checkpoint` loads and saves them."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.normalizer = FrequencyNormalizer(config.volume, config.normalization)
        self.autoencoder = SliceAutoencoder(config.autoencoder, config.volume.num_bins)
        self.encoder = ConditionEncoder(config)
        self.denoiser = Denoiser(config)
        self.renderer = RenderingNetwork(config.renderer) if config.renderer.channels else None

    def to_latents(self, coefficients: Tensor, prior: Tensor | None) -> Tensor:
        """Coefficients [B, K, 4, H, W] in pixels of their grid to whitened latents [B, K, C, h, w].

        prior: of the encoder, [B, K, 2, h, w], or None if the model has none.
        """
        return self.autoencoder.encode(self.normalizer.normalize(coefficients), self.spread(prior))

    def to_coefficients(self, latents: Tensor, prior: Tensor | None) -> Tensor:
        """The way back."""
        return self.normalizer.denormalize(self.autoencoder.decode(latents, self.spread(prior)).float())

    def spread(self, prior: Tensor | None) -> Tensor | float:
        """What latents are divided by: [B, K, C, h, w], the prior of x for the first half of channels, of y for the
        second, nowhere less than what counts as still; 1 without a prior."""
        if prior is None:
            return 1.0
        half = self.config.autoencoder.latent_channels // 2
        return prior.clamp_min(STILL).repeat_interleave(half, 2)

    def schedule(self, **changes):
        """The noise schedule as a diffusers scheduler for training; `changes` are its settings.

        With `cls` another class of scheduler, for sampling.
        """
        from diffusers import DDPMScheduler

        cls, diffusion = changes.pop("cls", DDPMScheduler), self.config.diffusion
        settings = dict(
            num_train_timesteps=diffusion.steps,
            beta_start=diffusion.beta_start,
            beta_end=diffusion.beta_end,
            beta_schedule=diffusion.schedule,
            prediction_type=diffusion.prediction,
            rescale_betas_zero_snr=diffusion.zero_snr,
        )
        return cls(**settings | changes)

    def without(self, layout: str) -> MotionModel:
        """A model of the same networks in another layout of the denoiser, sharing what both have."""
        other = MotionModel(replace(self.config, denoiser=replace(self.config.denoiser, layout=layout)))
        other.load_state_dict(self.state_dict(), strict=False)
        return other

    @property
    def device(self) -> torch.device:
        return next(self.denoiser.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.denoiser.parameters()).dtype
