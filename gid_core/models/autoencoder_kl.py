"""The networks of the VAE, with the layers and the names of diffusers' AutoencoderKL (see `unet_blocks`)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from .config import AutoencoderConfig
from .unet_blocks import Downsample2D, ResnetBlock2D, SpatialAttention, Upsample2D

MAX_GROUPS = 32  # of group normalization
NORM_EPS = 1e-6  # likewise


class AutoencoderKL(nn.Module):
    """The four networks of a VAE over images of `channels` channels. `SliceAutoencoder` joins them."""

    def __init__(self, config: AutoencoderConfig, channels: int) -> None:
        super().__init__()
        latent_channels = config.latent_channels
        groups = min(MAX_GROUPS, min(config.block_out_channels) // 4)
        self.encoder = Encoder(config, channels, groups)
        self.decoder = Decoder(config, channels, groups)
        self.quant_conv = nn.Conv2d(2 * latent_channels, 2 * latent_channels, 1)
        self.post_quant_conv = nn.Conv2d(latent_channels, latent_channels, 1)


class Encoder(nn.Module):
    """Images [N, channels, H, W] to moments [N, 2 C, H / f, W / f]."""

    def __init__(self, config: AutoencoderConfig, channels: int, groups: int) -> None:
        super().__init__()
        widths, layers = config.block_out_channels, config.layers_per_block
        self.conv_in = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList(
            _Level(previous, width, layers, groups, down=level + 1 < len(widths))
            for level, (previous, width) in enumerate(itertools.pairwise((widths[0], *widths)))
        )
        self.mid_block = _MidBlock(widths[-1], groups, config.mid_block_add_attention)
        self.conv_norm_out = nn.GroupNorm(groups, widths[-1], eps=NORM_EPS)
        self.conv_out = nn.Conv2d(widths[-1], 2 * config.latent_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mid_block(_run(self.down_blocks, self.conv_in(x)))
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class Decoder(nn.Module):
    """Latents [N, C, h, w] to images [N, channels, f h, f w]."""

    def __init__(self, config: AutoencoderConfig, channels: int, groups: int) -> None:
        super().__init__()
        widths, layers = config.block_out_channels[::-1], config.layers_per_block + 1
        self.conv_in = nn.Conv2d(config.latent_channels, widths[0], 3, padding=1)
        self.mid_block = _MidBlock(widths[0], groups, config.mid_block_add_attention)
        self.up_blocks = nn.ModuleList(
            _Level(previous, width, layers, groups, up=level + 1 < len(widths))
            for level, (previous, width) in enumerate(itertools.pairwise((widths[0], *widths)))
        )
        self.conv_norm_out = nn.GroupNorm(groups, widths[-1], eps=NORM_EPS)
        self.conv_out = nn.Conv2d(widths[-1], channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = _run(self.up_blocks, self.mid_block(self.conv_in(x)))
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class _Level(nn.Module):
    """Residual blocks, then a change of size: `downsamplers` or `upsamplers`, each with one or no module."""

    def __init__(
        self, in_channels: int, channels: int, layers: int, groups: int, down: bool = False, up: bool = False
    ) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(
            ResnetBlock2D(channels if layer else in_channels, channels, groups, groups) for layer in range(layers)
        )
        self.downsamplers = nn.ModuleList([Downsample2D(channels, padding=0)] if down else [])
        self.upsamplers = nn.ModuleList([Upsample2D(channels)] if up else [])

    def forward(self, x: Tensor) -> Tensor:
        return _run([*self.resnets, *self.downsamplers, *self.upsamplers], x)


class _MidBlock(nn.Module):
    """Two residual blocks, with attention over positions between them if `add_attention`."""

    def __init__(self, channels: int, groups: int, add_attention: bool) -> None:
        super().__init__()
        attention = [SpatialAttention(channels, 1, groups, NORM_EPS)] if add_attention else []
        self.attentions = nn.ModuleList(attention)
        self.resnets = nn.ModuleList(ResnetBlock2D(channels, channels, groups, groups) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return _run([self.resnets[0], *self.attentions, self.resnets[1]], x)


def _run(modules: Sequence[nn.Module] | nn.ModuleList, x: Tensor) -> Tensor:
    for module in modules:
        x = module(x)
    return x
