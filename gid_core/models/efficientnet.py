"""EfficientNet-Lite0 as features of a photo at several scales (Tan and Le 2019; the Lite variants, Liu 2020)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

FEATURES = 1280
BATCH_NORM_EPS = 1e-3
# Stages of inverted residual blocks: repeats, kernel, stride of the first block, expansion ratio, output channels.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
# Index of the last block at 1/4, 1/8, 1/16 and 1/32 of the size -> its output channels.
PYRAMID_CHANNELS = {2: 24, 4: 40, 10: 112, 15: 320}


class EfficientNetLite0(nn.Module):
    """The network up to its pooled features. Its tensors have the names of efficientnet-lite-pytorch.

    Calling it with images [N, 3, 224, 224] in 0..1 gives features [N, 1280].
    """

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = _SameConv2d(3, 32, 3, 2)
        self._bn0 = nn.BatchNorm2d(32, eps=BATCH_NORM_EPS)
        self._blocks = nn.ModuleList()
        in_channels = 32
        for repeats, kernel_size, stride, expand_ratio, out_channels in STAGES:
            for repeat in range(repeats):
                block_stride = stride if repeat == 0 else 1
                self._blocks.append(_MBConv(in_channels, out_channels, kernel_size, block_stride, expand_ratio))
                in_channels = out_channels
        self._conv_head = _SameConv2d(in_channels, FEATURES, 1, 1)
        self._bn1 = nn.BatchNorm2d(FEATURES, eps=BATCH_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        x = self._stem(x)
        for block in self._blocks:
            x = block(x)
        return F.relu6(self._bn1(self._conv_head(x))).mean((2, 3))

    def pyramid(self, x: Tensor) -> list[Tensor]:
        """Features of images [N, 3, H, W] in 0..1 after the blocks of `PYRAMID_CHANNELS`.

        Their heights are ceil(H / 4) to ceil(H / 32).
        """
        x, features = self._stem(x), []
        for index, block in enumerate(self._blocks):
            x = block(x)
            if index in PYRAMID_CHANNELS:
                features.append(x)
        return features

    def _stem(self, x: Tensor) -> Tensor:
        return F.relu6(self._bn0(self._conv_stem((x * 255 - 127) / 128)))


def pad_same(x: Tensor, kernel_size: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """Pad the last dimensions of x with zeros as TensorFlow's "SAME" does: ceil(size / stride) positions fit.

    If the number of zeros is odd, the extra one goes after the data; torch's own padding has no such mode.

    Args:
        x: [N, C, ...] with as many further dimensions as `kernel_size` has.
        kernel_size: size of the kernel in each of these dimensions.
        stride: stride in each of these dimensions.
    """
    padding: list[int] = []
    for size, k, s in zip(reversed(x.shape[2:]), reversed(kernel_size), reversed(stride), strict=True):
        total = max((-(-size // s) - 1) * s + k - size, 0)
        padding += [total // 2, total - total // 2]
    return F.pad(x, padding) if any(padding) else x


class _SameConv2d(nn.Conv2d):
    """A convolution without bias, with TensorFlow's padding."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, groups: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(pad_same(x, self.kernel_size, self.stride))


class _MBConv(nn.Module):
    """An inverted residual block: 1 x 1 expansion, depthwise convolution, 1 x 1 projection, skip connection."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, expand_ratio: int) -> None:
        super().__init__()
        expanded = in_channels * expand_ratio
        self.residual = stride == 1 and in_channels == out_channels
        if expand_ratio > 1:
            self._expand_conv = _SameConv2d(in_channels, expanded, 1, 1)
            self._bn0 = nn.BatchNorm2d(expanded, eps=BATCH_NORM_EPS)
        self._depthwise_conv = _SameConv2d(expanded, expanded, kernel_size, stride, groups=expanded)
        self._bn1 = nn.BatchNorm2d(expanded, eps=BATCH_NORM_EPS)
        self._project_conv = _SameConv2d(expanded, out_channels, 1, 1)
        self._bn2 = nn.BatchNorm2d(out_channels, eps=BATCH_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self._bn0(self._expand_conv(x))) if hasattr(self, "_expand_conv") else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.residual else y
