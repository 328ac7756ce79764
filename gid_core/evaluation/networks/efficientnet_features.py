"""EfficientNet-Lite0, for telling which photos look alike (Tan and Le 2019; the Lite variants, Liu 2020).

Two uses: the nearest photo whose motion may be borrowed, and `FD-EffNet`, the Fréchet distance of its features. That
is no FID and must never be called so: FID's network is another one, see `inception`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from ...models import efficientnet
from .frame_batches import Progress, in_chunks
from .pretrained_weights import fill, load_weights

SIZE = 224


class EfficientNetLite0(efficientnet.EfficientNetLite0):
    """The network with its ImageNet weights, as a function of whole photos."""

    @classmethod
    def from_weights(
        cls, path: str | os.PathLike | None = None, device: str | torch.device = "cpu"
    ) -> EfficientNetLite0:
        """The network trained on ImageNet, frozen; from the file or folder `path`, or the usual places.

        Raises:
            MissingWeightsError: if there is no such file.
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


def efficientnet_extractor(
    path: str | os.PathLike | None = None, device: str | torch.device = "cpu"
) -> Callable[..., Tensor]:
    """`EfficientNetLite0.features` with the network loaded: a function of photos, and of chunk and progress."""
    return EfficientNetLite0.from_weights(path, device).features


def _squeezed(photos: Tensor) -> Tensor:
    """[N, H, W, 3] -> [N, 224, 224, 3], the whole picture, averaging where it shrinks."""
    if photos.ndim != 4:
        raise ValueError(f"Each item must be [H, W, 3]; got {list(photos.shape[1:])}.")
    resized = F.interpolate(photos.movedim(-1, 1), size=(SIZE, SIZE), mode="bilinear", antialias=True)
    return resized.movedim(1, -1)
