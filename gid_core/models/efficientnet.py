"""EfficientNet-Lite0 as features of a photo at several scales (Tan and Le 2019; the Lite variants, Liu 2020)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

FEATURES = 1280
EPS = 1e-3
# Repeats, kernel, stride of the first, expansion, outputs.
BLOCKS = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
# Blocks after which the picture is 4, 8, 16 and 32 times smaller, and their channels.
TAPS = {2: 24, 4: 40, 10: 112, 15: 320}


class EfficientNetLite0(nn.Module):
    """The network up to its pooled features; its tensors have the names of efficientnet-lite-pytorch.

    Calling it with pictures [N, 3, 224, 224] in 0..1 gives [N, 1280].
    """

    def __init__(self):
        super().__init__()
        self._conv_stem = _Conv(3, 32, 3, 2)
        self._bn0 = nn.BatchNorm2d(32, eps=EPS)
        self._blocks = nn.ModuleList()
        inputs = 32
        for repeats, kernel, stride, expansion, outputs in BLOCKS:
            for repeat in range(repeats):
                self._blocks.append(_Block(inputs, outputs, kernel, stride if repeat == 0 else 1, expansion))
                inputs = outputs
        self._conv_head = _Conv(inputs, FEATURES, 1, 1)
        self._bn1 = nn.BatchNorm2d(FEATURES, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        x = self._stem(x)
        for block in self._blocks:
            x = block(x)
        return F.relu6(self._bn1(self._conv_head(x))).mean((2, 3))

    def pyramid(self, x: Tensor) -> list[Tensor]:
        """Features of pictures [N, 3, H, W] in 0..1 after the blocks `TAPS`, ceil(H / 4) to ceil(H / 32) high."""
        x, features = self._stem(x), []
        for index, block in enumerate(self._blocks):
            x = block(x)
            if index in TAPS:
                features.append(x)
        return features

    def _stem(self, x: Tensor) -> Tensor:
        return F.relu6(self._bn0(self._conv_stem((x * 255 - 127) / 128)))


def pad_same(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """Zeros around the last dimensions of x, as TensorFlow's "SAME": ceil(size / stride) positions fit.

    Where an odd number of zeros is needed, the extra one goes after the data, unlike with torch's padding.

    Args:
        x: [N, C, ...] with as many further dimensions as `kernel` has.
        kernel: size in each of them.
        stride: step in each of them.
    """
    pads: list[int] = []
    for size, k, s in zip(reversed(x.shape[2:]), reversed(kernel), reversed(stride), strict=True):
        total = max((-(-size // s) - 1) * s + k - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads) if any(pads) else x


class _Conv(nn.Conv2d):
    """A convolution without bias, with TensorFlow's padding."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1):
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(pad_same(x, self.kernel_size, self.stride))


class _Block(nn.Module):
    """Widen, filter each channel by itself, narrow; the input is added where its shape allows."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        wide = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        if expansion > 1:
            self._expand_conv = _Conv(inputs, wide, 1, 1)
            self._bn0 = nn.BatchNorm2d(wide, eps=EPS)
        self._depthwise_conv = _Conv(wide, wide, kernel, stride, groups=wide)
        self._bn1 = nn.BatchNorm2d(wide, eps=EPS)
        self._project_conv = _Conv(wide, outputs, 1, 1)
        self._bn2 = nn.BatchNorm2d(outputs, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self._bn0(self._expand_conv(x))) if hasattr(self, "_expand_conv") else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.residual else y
