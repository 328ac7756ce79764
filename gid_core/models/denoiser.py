"""The denoising U-Net with frequency-coordinated attention (paper section 4.2)."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from .config import MAX_BINS, ModelConfig


class Denoiser(nn.Module):
    """Noisy latents of all K slices, a noise level and the photo's features to what the schedule predicts.

    Slices go through the U-Net as a batch, told apart by an embedding of their bin that is added to the noise
    level's. In the "coordinated" layout attention over the K slices of every place follows each block; its output
    starts at zero, so that stage 2 of the training begins where stage 1 ended.
    """

    def __init__(self, config: ModelConfig):
        from diffusers.models.downsampling import Downsample2D
        from diffusers.models.embeddings import TimestepEmbedding, Timesteps
        from diffusers.models.upsampling import Upsample2D

        super().__init__()
        unet, bins = config.denoiser, config.volume.num_bins
        self.stacked = unet.layout == "stacked"
        slices = bins if self.stacked else 1
        latent = config.autoencoder.latent_channels
        channels, width = unet.channels, 4 * unet.channels[0]
        coordinated = unet.layout == "coordinated"

        def stage(inputs: int, level: int, attention: bool | None = None) -> _Stage:
            attends = level in unet.attention_levels if attention is None else attention
            return _Stage(inputs, channels[level], width, unet.heads if attends else 0, unet.heads * coordinated)

        self.wave = Timesteps(unet.channels[0], flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time = TimestepEmbedding(unet.channels[0], width)
        self.frequency = None if self.stacked else TimestepEmbedding(unet.channels[0], width)
        self.enter = nn.Conv2d(
            slices * (latent + 2 * config.encoder.prior) + config.encoder.channels, channels[0], 3, padding=1
        )
        self.down, self.shrink, skips, last = nn.ModuleList(), nn.ModuleList(), [channels[0]], channels[0]
        for level, here in enumerate(channels):
            blocks = nn.ModuleList()
            for _ in range(unet.blocks):
                blocks.append(stage(last, level))
                last = here
                skips.append(here)
            self.down.append(blocks)
            if level + 1 < len(channels):
                self.shrink.append(Downsample2D(here, use_conv=True, name="op"))
                skips.append(here)
        lowest = len(channels) - 1
        self.middle = nn.ModuleList([stage(last, lowest, True), stage(last, lowest, False)])
        self.up, self.grow = nn.ModuleList(), nn.ModuleList()
        for level in reversed(range(len(channels))):
            blocks = nn.ModuleList()
            for _ in range(unet.blocks + 1):
                blocks.append(stage(last + skips.pop(), level))
                last = channels[level]
            self.up.append(blocks)
            if level:
                self.grow.append(Upsample2D(last, use_conv=True))
        self.leave = nn.Sequential(
            nn.GroupNorm(_groups(last), last), nn.SiLU(), nn.Conv2d(last, slices * latent, 3, padding=1)
        )
        nn.init.zeros_(self.leave[-1].weight), nn.init.zeros_(self.leave[-1].bias)

    def forward(
        self, latents: Tensor, timesteps: Tensor, features: Tensor, prior: Tensor | None, bins: Tensor | None = None
    ) -> Tensor:
        """One evaluation of the network.

        Args:
            latents: [B, K, C, h, w], noisy.
            timesteps: [B], the noise level, one for all slices of a photo; or [B, K], where slices do not meet.
            features: [B, E, h, w] of the photo, zero for "any photo" (classifier-free guidance).
            prior: [B, K, 2, h, w], see `encoder`; zero likewise. None for models without.
            bins: [K] which frequencies these are, if not 0..K-1 ("independent" training on a few of them).

        Returns:
            [B, K, C, h, w].
        """
        count, num = latents.shape[:2]
        embedding = self.time(self.wave(timesteps.flatten()).to(latents))
        if prior is not None:
            latents = torch.cat([latents, prior.to(latents)], 2)
        if self.stacked:
            x = torch.cat([latents.flatten(1, 2), features], 1)
        else:
            bins = torch.arange(num, device=latents.device) if bins is None else bins
            # Bin numbers are spread over the range that the sinusoids were made for.
            frequency = self.frequency(self.wave(bins.float() * (1000 / MAX_BINS)).to(latents))
            embedding = (embedding.view(count, -1, embedding.shape[-1]) + frequency).flatten(0, 1)
            shared = features[:, None].expand(-1, num, -1, -1, -1)
            x = torch.cat([latents, shared], 2).flatten(0, 1)
        x = self.enter(x.contiguous(memory_format=torch.channels_last))
        skips, slices = [x], 1 if self.stacked else num
        for level, blocks in enumerate(self.down):
            for block in blocks:
                x = block(x, embedding, slices)
                skips.append(x)
            if level < len(self.shrink):
                x = self.shrink[level](x)
                skips.append(x)
        for block in self.middle:
            x = block(x, embedding, slices)
        for level, blocks in enumerate(self.up):
            for block in blocks:
                x = block(torch.cat([x, skips.pop()], 1), embedding, slices)
            if level < len(self.grow):
                x = self.grow[level](x, output_size=skips[-1].shape[-2:])
        return self.leave(x).reshape(count, num, -1, *latents.shape[-2:])

    def coordination(self) -> list[nn.Parameter]:
        """The parameters of the frequency attention, which stage 2 trains; empty in other layouts."""
        return [p for m in self.modules() if isinstance(m, FrequencyAttention) for p in m.parameters()]


class _Stage(nn.Module):
    """A residual block, attention over the picture where asked for, attention over the frequencies."""

    def __init__(self, inputs: int, outputs: int, embedding: int, heads: int, frequency_heads: int):
        from diffusers.models.attention_processor import Attention
        from diffusers.models.resnet import ResnetBlock2D

        super().__init__()
        self.block = ResnetBlock2D(
            in_channels=inputs,
            out_channels=outputs,
            temb_channels=embedding,
            groups=_groups(inputs),
            groups_out=_groups(outputs),
            time_embedding_norm="scale_shift",
        )
        self.attention = None
        if heads:
            self.attention = Attention(
                outputs,
                heads=heads,
                dim_head=outputs // heads,
                norm_num_groups=_groups(outputs),
                residual_connection=True,
                bias=True,
            )
        self.coordinate = FrequencyAttention(outputs, frequency_heads) if frequency_heads else None

    def forward(self, x: Tensor, embedding: Tensor, slices: int) -> Tensor:
        x = self.block(x, embedding)
        if self.attention is not None:
            x = self.attention(x)
        return x if self.coordinate is None else self.coordinate(x, slices)


class FrequencyAttention(nn.Module):
    """Every place attends over its K frequency slices: [B K, C, h, w] as B h w sequences of length K."""

    def __init__(self, channels: int, heads: int):
        from diffusers.models.attention_processor import Attention

        super().__init__()
        self.norm = nn.GroupNorm(_groups(channels), channels)
        self.bin = nn.Parameter(torch.randn(MAX_BINS, channels) * 0.02)
        self.attention = Attention(channels, heads=heads, dim_head=channels // heads)
        nn.init.zeros_(self.attention.to_out[0].weight), nn.init.zeros_(self.attention.to_out[0].bias)

    def forward(self, x: Tensor, slices: int) -> Tensor:
        height, width = x.shape[-2:]
        # PyTorch (2.13, CPU) crashes in the backward of GroupNorm on channels_last data that needs no gradient itself,
        # as here behind frozen layers.
        frozen = torch.is_grad_enabled() and not x.requires_grad
        normalized = self.norm(x.contiguous() if frozen else x)
        tokens = rearrange(normalized, "(b k) c h w -> (b h w) k c", k=slices)
        mixed = self.attention(tokens + self.bin[:slices])
        return x + rearrange(mixed, "(b h w) k c -> (b k) c h w", h=height, w=width)


def _groups(channels: int) -> int:
    """A number of groups for normalization that divides the channels, of 16 channels or more each if possible."""
    groups = max(1, min(32, channels // 16))
    while channels % groups:
        groups -= 1
    return groups
