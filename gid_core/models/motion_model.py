"""All networks of a motion model as one module."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from ..edge_aware_smoothing import Affinities, color_affinities
from ..tensors import resize_maps
from .affinity_network import AffinityNetwork, affinities_from_differences
from .autoencoder import SliceAutoencoder
from .config import ModelConfig
from .denoiser import Denoiser
from .displacement_network import DisplacementNetwork
from .efficientnet import PYRAMID_CHANNELS
from .image_encoder import ImageEncoder, PretrainedPyramid
from .noise import spatial_noise_factor
from .normalization import FrequencyNormalizer
from .rendering_network import RenderingNetwork

# Normalized coefficients below this (2 % of the 95th percentile) are noise of optical flow; latents are not scaled up
# further where the prior is smaller.
MIN_LATENT_SCALE = 0.15


class MotionModel(nn.Module):
    """The networks of a `ModelConfig`, untrained. `checkpoint` loads and saves them."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.normalizer = FrequencyNormalizer(config.volume, config.normalization)
        self.autoencoder = SliceAutoencoder(config.autoencoder, config.volume.num_bins)
        self.encoder = ImageEncoder(config)
        self.denoiser = Denoiser(config)
        pyramid_channels = tuple(PYRAMID_CHANNELS.values()) if config.encoder.backbone == "efficientnet" else ()
        width = config.affinity.hidden_channels
        self.affinity = AffinityNetwork(width, pyramid_channels) if width else None
        width = config.displacement.hidden_channels
        self.displacement = DisplacementNetwork(width, pyramid_channels) if width else None
        self.renderer = RenderingNetwork(config.renderer) if config.renderer.block_out_channels else None

    def to_latents(self, coefficients: Tensor, prior: Tensor | None) -> Tensor:
        """Encode coefficients [B, K, 4, H, W], in pixels of their grid, to whitened latents [B, K, C, h, w].

        Args:
            prior: of the image encoder, [B, K, 2, h, w], or None if the model has none.
        """
        return self.autoencoder.encode(self.normalizer.normalize(coefficients), self.latent_scale(prior))

    def to_coefficients(self, latents: Tensor, prior: Tensor | None) -> Tensor:
        """Decode whitened latents; the inverse of `to_latents` up to the autoencoder's error."""
        return self.normalizer.denormalize(self.autoencoder.decode(latents, self.latent_scale(prior)).float())

    def latent_scale(self, prior: Tensor | None) -> Tensor | float:
        """What latents are divided by, [B, K, C, h, w]; 1 without a prior.

        It is the prior of x for the first half of the channels and of y for the second, at least `MIN_LATENT_SCALE`.
        """
        if prior is None:
            return 1.0
        half = self.config.autoencoder.latent_channels // 2
        return prior.clamp_min(MIN_LATENT_SCALE).repeat_interleave(half, 2)

    def affinities(self, photo: Tensor) -> Affinities:
        """Which neighboring cells of the volume move as one, learned or else by color.

        Args:
            photo: [B, 3, H, W] in 0..1, of the encoder's input size.

        Returns:
            Affinities of grids of H / stride x W / stride cells.
        """
        if self.affinity is None:
            stride = self.config.volume.stride
            return color_affinities(photo, (photo.shape[-2] // stride, photo.shape[-1] // stride))
        return affinities_from_differences(*self.log_differences(photo))

    def log_differences(self, photo: Tensor) -> tuple[Tensor, Tensor]:
        """The affinity network's output for photos, see `AffinityNetwork.forward`.

        Raises:
            ValueError: if the model has no such network.
        """
        if self.affinity is None:
            raise ValueError("This model has no affinity network (affinity.hidden_channels is 0).")
        return self.affinity(photo, self._pyramid(photo))

    def refine_displacement(self, photo: Tensor, expected: Tensor) -> Tensor:
        """How far each cell of the volume is expected to move: the encoder's expectation in detail, or only resized.

        Args:
            photo: [B, 3, H, W] in 0..1, of the encoder's input size.
            expected: [B, 1, h, w] of `motion_refinement.expected_displacement`.

        Returns:
            [B, 1, H / stride, W / stride].
        """
        if self.displacement is None:
            stride = self.config.volume.stride
            return resize_maps(expected, (photo.shape[-2] // stride, photo.shape[-1] // stride))
        return self.displacement(photo, self._pyramid(photo), expected)

    @torch.no_grad()
    def _pyramid(self, photo: Tensor) -> list[Tensor]:
        """The pretrained backbone's features of photos [B, 3, H, W]; none if the backbone was trained from scratch."""
        backbone = self.encoder.backbone
        return backbone.network.pyramid(photo) if isinstance(backbone, PretrainedPyramid) else []

    def spatial_noise_factor(self, affinities: Affinities) -> Tensor | None:
        """How the cells of the latents share noise (`noise.spatial_noise_factor`); None for white noise.

        Args:
            affinities: of B grids of the volume's size.
        """
        diffusion = self.config.diffusion
        if not self.config.has_spatial_noise:
            return None
        coarse = affinities.coarsen(self.config.autoencoder.downsampling_factor)
        return spatial_noise_factor(coarse, diffusion.noise_scales, diffusion.noise_weights, diffusion.noise_white)

    def with_layout(self, layout: str) -> MotionModel:
        """A model with another layout of the denoiser, that starts from this one's weights where both have them."""
        model = MotionModel(replace(self.config, denoiser=replace(self.config.denoiser, layout=layout)))
        model.load_state_dict(self.state_dict(), strict=False)
        return model

    @property
    def device(self) -> torch.device:
        return next(self.denoiser.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.denoiser.parameters()).dtype
