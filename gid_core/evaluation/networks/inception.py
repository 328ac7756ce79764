"""Features of FID and KID: torch-fidelity's copy of the Inception network of 2015-12-05, from a local file only.

No package carries these weights, so the user brings the file (weights-inception-2015-12-05-6726825d.pth, from
torch-fidelity's releases). Without it there is no FID: `efficientnet` has a distance under a name of its own.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from .frame_batches import Progress, in_chunks
from .pretrained_weights import load_weights


def inception_features(
    frames: Tensor | Iterable[Tensor],
    weights_path: str | os.PathLike | None = None,
    *,
    device: str | torch.device = "cpu",
    chunk: int = 16,
    progress: Progress | None = None,
) -> Tensor:
    """The pooled values that FID and KID compare: [N, 2048]. Frames are rounded to 8 bit, as FID wants them.

    Args:
        frames: [N, H, W, 3] RGB in 0..1, or frames [H, W, 3] one after another.
        weights_path: the file, or a folder with it; None looks in the folder GID_WEIGHTS.
        device: where the network computes.
        chunk: frames at a time.
        progress: called as progress(done, total) after every chunk; may raise to cancel.

    Raises:
        MissingWeightsError: if there is no such file.
        ModuleNotFoundError: if torch-fidelity is not installed.
        ValueError: if the file holds another network, or for another shape or range.
    """
    return inception_extractor(weights_path, device)(frames, chunk=chunk, progress=progress)


def inception_extractor(
    weights_path: str | os.PathLike | None = None, device: str | torch.device = "cpu"
) -> Callable[..., Tensor]:
    """`inception_features` with the network loaded once: a function of frames, and of chunk and progress."""
    network = _network(weights_path).to(device)

    def pooled(batch: Tensor) -> Tensor:
        pictures = (batch.clamp(0, 1) * 255).round().to(torch.uint8).movedim(-1, 1)
        return network(pictures.to(device))[0]

    def features(frames: Tensor | Iterable[Tensor], *, chunk: int = 16, progress: Progress | None = None) -> Tensor:
        return in_chunks(pooled, frames, "[H, W, 3]", chunk, progress)

    return features


def _network(weights_path: str | os.PathLike | None) -> nn.Module:
    """torch-fidelity's network. Its own loader would run what a file holds, so it gets a copy of the tensors only."""
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
