"""The blocks of the U-Net and of the autoencoder.

They compute what diffusers' blocks of these names compute, and their tensors have the same names. Importing diffusers'
own takes seconds, because all its models, transformers and torch._dynamo come with them.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MAX_PERIOD = 10000  # of the sines of a position


class ResnetBlock2D(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut, each after group normalization and SiLU.

    Args:
        groups, groups_out: of the normalizations, divisors of `in_channels` and of `out_channels`.
        embedding_channels: of an embedding that scales and shifts the second normalization; None for none.
    """

    def __init__(
        self, in_channels: int, out_channels: int, groups: int, groups_out: int, embedding_channels: int | None = None
    ) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, in_channels, eps=1e-6)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.time_emb_proj = None if embedding_channels is None else nn.Linear(embedding_channels, 2 * out_channels)
        self.norm2 = nn.GroupNorm(groups_out, out_channels, eps=1e-6)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else None

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        """Map [N, in_channels, H, W] and an embedding [N, embedding_channels] to [N, out_channels, H, W]."""
        hidden = self.norm2(self.conv1(F.silu(self.norm1(x))))
        if self.time_emb_proj is not None and embedding is not None:
            scale, shift = self.time_emb_proj(F.silu(embedding))[:, :, None, None].chunk(2, 1)
            hidden = hidden * (1 + scale) + shift
        hidden = self.conv2(F.silu(hidden))
        return (x if self.conv_shortcut is None else self.conv_shortcut(x)) + hidden


class Attention(nn.Module):
    """Self-attention of tokens [N, L, C].

    Args:
        bias: of the projections to queries, keys and values.
    """

    def __init__(self, channels: int, heads: int, bias: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(channels, channels, bias=bias)
        self.to_k = nn.Linear(channels, channels, bias=bias)
        self.to_v = nn.Linear(channels, channels, bias=bias)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, tokens: Tensor) -> Tensor:
        projected = (layer(tokens).unflatten(2, (self.heads, -1)) for layer in (self.to_q, self.to_k, self.to_v))
        if tokens.device.type == "cpu":  # in half precision, attention of short sequences takes twice as long there
            projected = (each.float() for each in projected)
        attended = F.scaled_dot_product_attention(*(each.transpose(1, 2) for each in projected))
        return self.to_out[0](attended.transpose(1, 2).flatten(2).to(tokens))


class SpatialAttention(Attention):
    """Self-attention of the positions of [N, C, H, W] after group normalization, beside a shortcut."""

    def __init__(self, channels: int, heads: int, groups: int, eps: float = 1e-5) -> None:
        super().__init__(channels, heads, bias=True)
        self.group_norm = nn.GroupNorm(groups, channels, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.group_norm(x.flatten(2)).transpose(1, 2)
        return super().forward(tokens).transpose(1, 2).unflatten(2, x.shape[2:]) + x


class Downsample2D(nn.Module):
    """A convolution of stride 2.

    Args:
        padding: 1 on all sides; or 0 for one row below and one column to the right, as the autoencoder has.
    """

    def __init__(self, channels: int, padding: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x if self.conv.padding[0] else F.pad(x, (0, 1, 0, 1)))


class Upsample2D(nn.Module):
    """Each pixel repeated, to twice the size or to `output_size`, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, output_size: tuple[int, int] | None = None) -> Tensor:
        size = output_size or (2 * x.shape[-2], 2 * x.shape[-1])
        return self.conv(F.interpolate(x, size=size, mode="nearest"))


class TimestepEmbedding(nn.Module):
    """Timesteps, or other positions [N] of the range 0..1000, to embeddings [N, out_channels].

    Cosines and sines of `in_channels / 2` frequencies, then two linear layers with SiLU between them.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(in_channels, out_channels)
        self.linear_2 = nn.Linear(out_channels, out_channels)

    def forward(self, positions: Tensor) -> Tensor:
        half = self.linear_1.in_features // 2
        exponents = torch.arange(half, dtype=torch.float32, device=positions.device) * -math.log(MAX_PERIOD) / half
        angles = positions[:, None].float() * exponents.exp()
        waves = torch.cat([angles.cos(), angles.sin()], 1).to(self.linear_1.weight.dtype)
        return self.linear_2(F.silu(self.linear_1(waves)))
