"""The files of an evaluation: features, metrics and images of every method on every clip, so that it can resume."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ..media.atomic import atomic_write
from ..media.image_io import write_image
from .clip_folder import Clip

# Part of every cache key: increase it when the protocol or the use of a network changes.
PROTOCOL_VERSION = "3"
REAL = "real"  # stands for the real clips where a method's name is expected
PREVIEW_STEP = 4  # every fourth frame
PREVIEW_WIDTH = 160  # pixels
PREVIEW_FRAME_MS = 33  # duration of one clip frame, ms
PREVIEW_QUALITY = 60  # of WebP, 0..100

Loaded = TypeVar("Loaded")
Metrics = dict[str, Any]  # name -> float; spectra and curves are lists


@dataclass(frozen=True)
class ResultStore:
    """Results on disk: <out>/cache for the real clips, <out>/<method> for the methods, one set of files per clip.

    Attributes:
        out: folder of results.
        versions: for methods that change, a version such as a digest of the model's checkpoint.
    """

    out: Path
    versions: Mapping[str, str] = field(default_factory=dict)

    def path(self, method: str, clip: Clip, suffix: str) -> Path:
        """A file of a method on a clip; its folder is created."""
        folder = self.out / ("cache" if method == REAL else method)
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{clip.name}-{self._key(method, clip)}{suffix}"

    def image_paths(self, method: str, clip: Clip) -> tuple[Path, Path]:
        """The files of the X-t slice and of the preview."""
        return self.path(method, clip, "-xt.png"), self.path(method, clip, ".webp")

    def load_features(self, method: str, clip: Clip) -> dict[str, Tensor]:
        """Features by name, as `save_results` got them.

        Raises:
            ValueError: if the file is damaged.
        """
        return _load(load_file, self.path(method, clip, ".safetensors"))

    def load_metrics(self, method: str, clip: Clip) -> Metrics:
        """Metrics by name, as `save_results` got them.

        Raises:
            ValueError: if the file is damaged.
        """
        return _load(lambda path: json.loads(path.read_text()), self.path(method, clip, ".json"))

    def is_finished(self, method: str, clip: Clip) -> bool:
        """Whether all files of a method on a clip are there; the metrics are written last."""
        return self.path(method, clip, ".json").is_file()

    def save_results(self, method: str, clip: Clip, features: Mapping[str, Tensor], metrics: Metrics) -> None:
        """Write features and metrics; this marks the clip as finished."""
        with atomic_write(self.path(method, clip, ".safetensors")) as file:
            file.write_bytes(save({name: value.contiguous() for name, value in features.items()}))
        with atomic_write(self.path(method, clip, ".json")) as file:
            file.write_text(json.dumps(metrics))

    def save_images(self, method: str, clip: Clip, frames: Tensor, row: int) -> None:
        """Write the X-t slice of one row of frames [T, H, W, 3], and a small looping preview."""
        from PIL import Image

        slice_path, preview_path = self.image_paths(method, clip)
        write_image(slice_path, frames[:, row])
        images = [Image.fromarray((frame * 255).round().byte().numpy()) for frame in frames[::PREVIEW_STEP].clamp(0, 1)]
        images = [image.resize((PREVIEW_WIDTH, PREVIEW_WIDTH * image.height // image.width)) for image in images]
        with atomic_write(preview_path) as file:
            images[0].save(
                file,
                save_all=True,
                append_images=images[1:],
                duration=PREVIEW_FRAME_MS * PREVIEW_STEP,
                loop=0,
                quality=PREVIEW_QUALITY,
            )

    def _key(self, method: str, clip: Clip) -> str:
        """Digest of the clip's file, the protocol and the method's version, so that outdated results are not used."""
        version = (PROTOCOL_VERSION + self.versions.get(method, "")).encode()
        return hashlib.sha256(version + clip.path.read_bytes()).hexdigest()[:8]


def _load(read: Callable[[Path], Loaded], path: Path) -> Loaded:
    try:
        return read(path)
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error}): delete it and its .json, and evaluate again.") from None
