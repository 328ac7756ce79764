"""Training samples on disk: a photo and its spectral volume, two files of one name in a folder.

``name.jpg`` (or .png) is the photo, ``name.safetensors`` what `SpectralVolume.save` wrote, in pixels of its own grid
and with metadata["group"]: samples of one group share a source and stay on one side of a split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..media.image_io import read_image, write_image
from ..spectral_volume import SpectralVolume

PHOTOS = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True)
class Sample:
    """One photo uint8 [H, W, 3], its volume [1, K, 4, h, w] on a grid of its own, and where both come from."""

    name: str
    group: str
    photo: Tensor
    volume: SpectralVolume


def write_sample(folder: str | Path, name: str, photo: Tensor, volume: SpectralVolume, group: str = "") -> Path:
    """Write one sample; its volume appears last, so that a sample with a volume is whole.

    Args:
        folder: made if need be.
        photo: float [H, W, 3] in 0..1.
        volume: of one photo.
        group: what the sample must not be parted from; default: its name.

    Returns:
        The path of the volume.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_image(folder / f"{name}.png", photo)
    return volume.save(folder / f"{name}.safetensors", {"group": group or name})


def find_samples(folders: str | Path | Sequence[str | Path]) -> list[Path]:
    """Paths of the volumes of all whole samples in some folders, in order.

    Raises:
        FileNotFoundError: for a folder that is not there.
        ValueError: for a folder without samples.
    """
    folders = [folders] if isinstance(folders, str | Path) else folders
    found = []
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise FileNotFoundError(f"No folder of samples at {folder}; `gid train prepare` makes one.")
        paths = [path for path in sorted(folder.glob("*.safetensors")) if _photo_of(path)]
        if not paths:
            raise ValueError(f"{folder} holds no samples (name.jpg or .png beside name.safetensors).")
        found += paths
    return found


def load_sample(path: str | Path) -> Sample:
    """Read the sample of a volume file."""
    path = Path(path)
    volume = SpectralVolume.load(path)
    photo = read_image(_photo_of(path))[..., :3]
    return Sample(path.stem, volume.metadata.get("group", path.stem), (photo * 255).round().byte(), volume)


def split(samples: Sequence[Sample], held_out: float = 0.1) -> tuple[list[Sample], list[Sample]]:
    """Part samples into (train, test) by their groups' names, the same way every time on every machine.

    Args:
        held_out: expected share of groups in the second list, 0..1.
    """

    def is_test(sample: Sample) -> bool:
        digest = hashlib.sha256(sample.group.encode()).digest()
        return int.from_bytes(digest[:4], "big") < held_out * 2**32

    return [s for s in samples if not is_test(s)], [s for s in samples if is_test(s)]


def _photo_of(path: Path) -> Path | None:
    return next((photo for suffix in PHOTOS if (photo := path.with_suffix(suffix)).is_file()), None)
