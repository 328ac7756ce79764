"""Features of FID and KID: torch-fidelity's copy of the Inception network of 2015-12-05, from a local file only.

No package carries these weights, so the user supplies the file (weights-inception-2015-12-05-6726825d.pth, from
torch-fidelity's releases). Without it there is no FID; `efficientnet_features` gives a distance of another name.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from .frame_batches import ProgressCallback, apply_in_batches
from .pretrained_weights import load_weights


def inception_features(
    frames: Tensor | Iterable[Tensor],
    weights_path: str | os.PathLike | None = None,
    *,
    device: str | torch.device = "cpu",
    batch_size: int = 16,
    progress: ProgressCallback | None = None,
) -> Tensor:
    """The pooled features that FID and KID compare: [N, 2048]. Frames are rounded to 8 bits, as FID requires.

    Args:
        frames: [N, H, W, 3] RGB in 0..1, or an iterable of frames [H, W, 3].
        weights_path: the file, or a folder with it; None searches the folder GID_WEIGHTS.
        device: where the network computes.
        batch_size: frames per batch.
        progress: called as progress(done, total) after every batch; may raise to cancel.

    Raises:
        MissingWeightsError: if the file is not found.
        ModuleNotFoundError: if torch-fidelity is not installed.
        ValueError: if the file holds another network, or the frames have another shape or range.
    """
    return inception_extractor(weights_path, device)(frames, batch_size=batch_size, progress=progress)


def inception_extractor(
    weights_path: str | os.PathLike | None = None, device: str | torch.device = "cpu"
) -> Callable[..., Tensor]:
    """Load the network once; returns `inception_features` as a function of frames, batch_size and progress."""
    network = _load_network(weights_path).to(device)

    def pooled(batch: Tensor) -> Tensor:
        images = (batch.clamp(0, 1) * 255).round().to(torch.uint8).movedim(-1, 1)
        return network(images.to(device))[0]

    def features(
        frames: Tensor | Iterable[Tensor], *, batch_size: int = 16, progress: ProgressCallback | None = None
    ) -> Tensor:
        return apply_in_batches(pooled, frames, "[H, W, 3]", batch_size, progress)

    return features


def _load_network(weights_path: str | os.PathLike | None) -> nn.Module:
    """torch-fidelity's network. Its own loader would run code from a file, so it gets a copy of the tensors only."""
    tensors = load_weights("inception", weights_path)
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"FID needs torch-fidelity: pip install torch-fidelity ({error})") from None
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "inception.pth"
        torch.save(tensors, copy)
        try:
            return FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(copy))
        except RuntimeError as error:
            raise ValueError(f"{weights_path} is not the Inception network of FID: {error}") from None
