"""The denoising U-Net with frequency-coordinated attention (paper section 4.2)."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from .config import MAX_BINS, ModelConfig
from .unet_blocks import Attention, Downsample2D, ResnetBlock2D, SpatialAttention, TimestepEmbedding, Upsample2D

MIN_CHANNELS_PER_GROUP, MAX_GROUPS = 16, 32  # of group normalization
# Bins 0..MAX_BINS are scaled to the embedding's input range 0..1000, like timesteps.
MAX_TIMESTEP = 1000
BIN_EMBEDDING_STD = 0.02  # of the initial values
# Faster on CPUs and NVIDIA's GPUs; on ROCm, MIOpen falls back to slow or failing convolutions.
MEMORY_FORMAT = torch.contiguous_format if torch.version.hip else torch.channels_last


class Denoiser(nn.Module):
    """Predicts noise or velocity from noisy latents of all K slices, a timestep and the photo's features.

    The U-Net processes slices as a batch and tells them apart by an embedding of their bin, which is added to the
    timestep's. In the "coordinated" layout every layer ends with attention over the K slices of each position. Its
    output starts at zero, so stage 2 of the training begins where stage 1 ended. Layouts: see `DenoiserConfig.layout`.
    The top-level modules are named as in diffusers' UNet2DModel; the layers inside the blocks are not.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        unet, num_bins = config.denoiser, config.volume.num_bins
        self.stacked = unet.layout == "stacked"
        slices_per_item = num_bins if self.stacked else 1  # slices in one item of the network's batch
        latent_channels = config.autoencoder.latent_channels
        channels, embedding_channels = unet.block_out_channels, 4 * unet.block_out_channels[0]
        heads = unet.num_attention_heads
        frequency_heads = heads if unet.layout == "coordinated" else 0

        def make_layer(in_channels: int, level: int, attention: bool | None = None) -> UNetLayer:
            attends = level in unet.attention_levels if attention is None else attention
            return UNetLayer(in_channels, channels[level], embedding_channels, heads if attends else 0, frequency_heads)

        self.time_embedding = TimestepEmbedding(channels[0], embedding_channels)
        self.frequency_embedding = None if self.stacked else TimestepEmbedding(channels[0], embedding_channels)
        in_channels = slices_per_item * (latent_channels + 2 * config.encoder.prior) + config.encoder.feature_channels
        self.conv_in = nn.Conv2d(in_channels, channels[0], 3, padding=1)
        self.down_blocks, self.downsamplers = nn.ModuleList(), nn.ModuleList()
        skip_channels, current = [channels[0]], channels[0]
        for level, out_channels in enumerate(channels):
            layers = nn.ModuleList()
            for _ in range(unet.layers_per_block):
                layers.append(make_layer(current, level))
                current = out_channels
                skip_channels.append(out_channels)
            self.down_blocks.append(layers)
            if level + 1 < len(channels):
                self.downsamplers.append(Downsample2D(out_channels))
                skip_channels.append(out_channels)
        lowest = len(channels) - 1
        self.mid_block = nn.ModuleList([make_layer(current, lowest, True), make_layer(current, lowest, False)])
        self.up_blocks, self.upsamplers = nn.ModuleList(), nn.ModuleList()
        for level in reversed(range(len(channels))):
            layers = nn.ModuleList()
            for _ in range(unet.layers_per_block + 1):
                layers.append(make_layer(current + skip_channels.pop(), level))
                current = channels[level]
            self.up_blocks.append(layers)
            if level:
                self.upsamplers.append(Upsample2D(current))
        self.conv_norm_out = nn.GroupNorm(_num_groups(current), current)
        self.conv_act = nn.SiLU()
        self.conv_out = nn.Conv2d(current, slices_per_item * latent_channels, 3, padding=1)
        for parameter in self.conv_out.parameters():
            nn.init.zeros_(parameter)

    def forward(
        self, latents: Tensor, timesteps: Tensor, features: Tensor, prior: Tensor | None, bins: Tensor | None = None
    ) -> Tensor:
        """Evaluate the network once.

        Args:
            latents: [B, K, C, h, w], noisy.
            timesteps: [B], one noise level for all slices of a photo; or [B, K] in the "independent" layout.
            features: [B, E, h, w] of the photo; zeros for the unconditional estimate (classifier-free guidance).
            prior: [B, K, 2, h, w], see `ImageEncoder`; zeros as for `features`. None for models without a prior.
            bins: [K], which frequencies these slices are. None stands for 0..K-1; the "independent" layout can be
                trained on a few of them.

        Returns:
            [B, K, C, h, w], of the kind that `DiffusionConfig.prediction_type` names.
        """
        batch, num_bins = latents.shape[:2]
        embedding = self.time_embedding(timesteps.flatten())
        if prior is not None:
            latents = torch.cat([latents, prior.to(latents)], 2)
        if self.frequency_embedding is None:
            x = torch.cat([latents.flatten(1, 2), features], 1)
        else:
            bins = torch.arange(num_bins, device=latents.device) if bins is None else bins
            bin_positions = bins.float() * (MAX_TIMESTEP / MAX_BINS)
            frequency = self.frequency_embedding(bin_positions)
            embedding = (embedding.view(batch, -1, embedding.shape[-1]) + frequency).flatten(0, 1)
            shared_features = features[:, None].expand(-1, num_bins, -1, -1, -1)
            x = torch.cat([latents, shared_features], 2).flatten(0, 1)
        x = self.conv_in(x.contiguous(memory_format=MEMORY_FORMAT))
        skips, num_slices = [x], 1 if self.stacked else num_bins  # items of the network's batch per photo
        for level, layers in enumerate(self.down_blocks):
            for layer in layers.children():
                x = layer(x, embedding, num_slices)
                skips.append(x)
            if level < len(self.downsamplers):
                x = self.downsamplers[level](x)
                skips.append(x)
        for layer in self.mid_block:
            x = layer(x, embedding, num_slices)
        for level, layers in enumerate(self.up_blocks):
            for layer in layers.children():
                x = layer(torch.cat([x, skips.pop()], 1), embedding, num_slices)
            if level < len(self.upsamplers):
                x = self.upsamplers[level](x, output_size=skips[-1].shape[-2:])
        x = self.conv_out(self.conv_act(self.conv_norm_out(x)))
        return x.reshape(batch, num_bins, -1, *latents.shape[-2:])

    def frequency_attention_parameters(self) -> list[nn.Parameter]:
        """The parameters of the frequency attention, which stage 2 trains; empty in other layouts."""
        return [p for m in self.modules() if isinstance(m, FrequencyAttention) for p in m.parameters()]


class UNetLayer(nn.Module):
    """A residual block, then attention over positions and attention over frequencies, each if it has heads."""

    def __init__(
        self, in_channels: int, out_channels: int, embedding_channels: int, heads: int, frequency_heads: int
    ) -> None:
        super().__init__()
        groups, groups_out = _num_groups(in_channels), _num_groups(out_channels)
        self.resnet = ResnetBlock2D(in_channels, out_channels, groups, groups_out, embedding_channels)
        self.attention = SpatialAttention(out_channels, heads, groups_out) if heads else None
        self.frequency_attention = FrequencyAttention(out_channels, frequency_heads) if frequency_heads else None

    def forward(self, x: Tensor, embedding: Tensor, num_slices: int) -> Tensor:
        x = self.resnet(x, embedding)
        if self.attention is not None:
            x = self.attention(x)
        return x if self.frequency_attention is None else self.frequency_attention(x, num_slices)


class FrequencyAttention(nn.Module):
    """Attention of each position over its K frequency slices: [B K, C, h, w] as B h w sequences of length K."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.group_norm = nn.GroupNorm(_num_groups(channels), channels)
        self.bin_embedding = nn.Parameter(torch.empty(MAX_BINS, channels))
        if not self.bin_embedding.is_meta:  # there, this would import torch._dynamo for nothing, which takes seconds
            nn.init.normal_(self.bin_embedding, std=BIN_EMBEDDING_STD)
        self.attention = Attention(channels, heads)
        for parameter in self.attention.to_out.parameters():  # starts as the identity
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, num_slices: int) -> Tensor:
        height, width = x.shape[-2:]
        # PyTorch (2.13, CPU) crashes in the backward of GroupNorm on channels_last data that needs no gradient itself,
        # as here behind frozen layers.
        frozen = torch.is_grad_enabled() and not x.requires_grad
        normalized = self.group_norm(x.contiguous() if frozen else x)
        tokens = rearrange(normalized, "(b k) c h w -> (b h w) k c", k=num_slices)
        attended = self.attention(tokens + self.bin_embedding[:num_slices])
        return x + rearrange(attended, "(b h w) k c -> (b k) c h w", h=height, w=width)


def _num_groups(channels: int) -> int:
    """Number of groups for group normalization: a divisor of the channels, of 16 channels or more each if possible."""
    groups = max(1, min(MAX_GROUPS, channels // MIN_CHANNELS_PER_GROUP))
    while channels % groups:
        groups -= 1
    return groups
