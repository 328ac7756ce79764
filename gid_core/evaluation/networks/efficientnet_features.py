"""EfficientNet-Lite0 features, which measure how alike photos look (Tan and Le 2019; the Lite variants, Liu 2020).

Two uses: the nearest-neighbor baseline, and `FD-EffNet`, the Fréchet distance of these features. FD-EffNet is not FID
and must never be called so: FID uses another network, see `inception`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from ...models import efficientnet
from .frame_batches import ProgressCallback, apply_in_batches
from .pretrained_weights import load_frozen, load_weights

INPUT_SIZE = 224  # side of the network's square input, pixels


class EfficientNetLite0(efficientnet.EfficientNetLite0):
    """The network with its ImageNet weights, as a feature extractor for whole photos."""

    @classmethod
    def from_weights(
        cls, path: str | os.PathLike | None = None, device: str | torch.device = "cpu"
    ) -> EfficientNetLite0:
        """The frozen network trained on ImageNet, from the file or folder `path`, or found by `find_weights`.

        Raises:
            MissingWeightsError: if the file is not found.
            ValueError: if it holds another network.
        """
        name = "efficientnet-lite0"
        return load_frozen(cls(), load_weights(name, path), str(path or name)).to(device)

    def features(
        self,
        photos: Tensor | Iterable[Tensor],
        *,
        batch_size: int = 16,
        progress: ProgressCallback | None = None,
    ) -> Tensor:
        """Pooled features of whole photos, resized to 224 x 224: [N, 1280], >= 0.

        Args:
            photos: [N, H, W, 3] RGB in 0..1, or an iterable of photos [H, W, 3], which may differ in size.
            batch_size: photos per batch.
            progress: called as progress(done, total) after every batch; may raise to cancel.

        Raises:
            ValueError: for another shape or range.
        """
        if not isinstance(photos, Tensor):
            photos = (_resize(photo.unsqueeze(0)).squeeze(0) for photo in photos)
        return apply_in_batches(self._pooled, photos, "[H, W, 3]", batch_size, progress)

    def _pooled(self, photos: Tensor) -> Tensor:
        """[N, H, W, 3] in 0..1 -> [N, 1280]."""
        return self(_resize(photos.to(self._conv_stem.weight)).movedim(-1, 1))


def efficientnet_extractor(
    path: str | os.PathLike | None = None, device: str | torch.device = "cpu"
) -> Callable[..., Tensor]:
    """Load the network once; returns `EfficientNetLite0.features`, a function of photos, batch_size and progress."""
    return EfficientNetLite0.from_weights(path, device).features


def _resize(photos: Tensor) -> Tensor:
    """[N, H, W, 3] -> [N, 224, 224, 3], ignoring the aspect ratio, with antialiasing."""
    if photos.ndim != 4:
        raise ValueError(f"Each item must be [H, W, 3]; got {list(photos.shape[1:])}.")
    resized = F.interpolate(photos.movedim(-1, 1), size=(INPUT_SIZE, INPUT_SIZE), mode="bilinear", antialias=True)
    return resized.movedim(1, -1)
