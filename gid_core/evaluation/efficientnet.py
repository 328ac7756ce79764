"""EfficientNet-Lite0, for telling which photos look alike (Tan and Le 2019; the Lite variants, Liu 2020).

Two uses: the nearest photo whose motion may be borrowed, and `FD-EffNet`, the Fréchet distance of its features. That
is no FID and must never be called so: FID's network is another one, see `inception`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .frames import Progress, in_chunks, pad_same
from .weights import fill, load_weights

SIZE = 224
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

    @classmethod
    def from_weights(
        cls, path: str | os.PathLike | None = None, device: str | torch.device = "cpu"
    ) -> EfficientNetLite0:
        """The network trained on ImageNet, frozen; from the file or folder `path`, or the usual places.

        Raises:
            MissingWeights: if there is no such file.
            ValueError: if it holds another network.
        """
        name = "efficientnet-lite0"
        return fill(cls(), load_weights(name, path), str(path or name)).to(device)

    def features(
        self, photos: Tensor | Iterable[Tensor], *, chunk: int = 16, progress: Progress | None = None
    ) -> Tensor:
        """Pooled features of whole photos, squeezed to 224 x 224: [N, 1280], >= 0.

        Args:
            photos: [N, H, W, 3] RGB in 0..1, or photos [H, W, 3] one after another; those may differ in size.
            chunk: photos of one size at a time.
            progress: called as progress(done, total) after every chunk; may raise to cancel.

        Raises:
            ValueError: for another shape or range.
        """
        if not isinstance(photos, Tensor):
            photos = (_squeezed(photo.unsqueeze(0)).squeeze(0) for photo in photos)
        return in_chunks(self._pooled, photos, "[H, W, 3]", chunk, progress)

    def _pooled(self, photos: Tensor) -> Tensor:
        """[N, H, W, 3] in 0..1 -> [N, 1280]."""
        return self(_squeezed(photos.to(self._conv_stem.weight)).movedim(-1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self._bn0(self._conv_stem((x * 255 - 127) / 128)))
        for block in self._blocks:
            x = block(x)
        return F.relu6(self._bn1(self._conv_head(x))).mean((2, 3))


def efficientnet_extractor(
    path: str | os.PathLike | None = None, device: str | torch.device = "cpu"
) -> Callable[..., Tensor]:
    """`EfficientNetLite0.features` with the network loaded: a function of photos, and of chunk and progress."""
    return EfficientNetLite0.from_weights(path, device).features


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


def _squeezed(photos: Tensor) -> Tensor:
    """[N, H, W, 3] -> [N, 224, 224, 3], the whole picture, averaging where it shrinks."""
    if photos.ndim != 4:
        raise ValueError(f"Each item must be [H, W, 3]; got {list(photos.shape[1:])}.")
    resized = F.interpolate(photos.movedim(-1, 1), size=(SIZE, SIZE), mode="bilinear", antialias=True)
    return resized.movedim(1, -1)
