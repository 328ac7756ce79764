"""Motion samples on disk: a photo and its spectral volume, two files of one name in a folder.

``name.jpg`` (or .png) is the photo. ``name.safetensors`` is written by `SpectralVolume.save`: displacements in pixels
of the volume's own grid, and metadata["group"]. Samples of one group share a source and stay on one side of a split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..media.atomic import finished_files
from ..media.image_io import PHOTO_SUFFIXES, read_image, write_image
from ..spectral_volume import SpectralVolume


@dataclass(frozen=True)
class MotionSample:
    """A photo and its motion.

    Attributes:
        name: the stem of its files.
        group: its source; samples of one group are not separated by `split_by_group`.
        photo: uint8 [H, W, 3].
        volume: one spectral volume [1, K, 4, h, w] on a grid of its own.
    """

    name: str
    group: str
    photo: Tensor
    volume: SpectralVolume


def write_motion_sample(folder: str | Path, name: str, photo: Tensor, volume: SpectralVolume, group: str = "") -> Path:
    """Write one sample. The volume is written last, so a sample with a volume is complete.

    Args:
        folder: created if necessary.
        name: stem of the files.
        photo: float [H, W, 3] in 0..1.
        volume: of one photo.
        group: the source of the sample; defaults to its name.

    Returns:
        The path of the volume.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_image(folder / f"{name}.png", photo)
    return volume.save(folder / f"{name}.safetensors", {"group": group or name})


def find_motion_samples(folders: str | Path | Sequence[str | Path]) -> list[Path]:
    """Paths of the volumes of all complete samples in some folders, in order of folder and name.

    Raises:
        FileNotFoundError: for a folder that does not exist.
        ValueError: for a folder without samples.
    """
    folders = [folders] if isinstance(folders, str | Path) else folders
    samples = []
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise FileNotFoundError(f"No folder of samples at {folder}; `gid train prepare` makes one.")
        paths = [path for path in finished_files(folder, (".safetensors",)) if _photo_path(path)]
        if not paths:
            raise ValueError(f"{folder} holds no samples (name.jpg or .png beside name.safetensors).")
        samples += paths
    return samples


def load_motion_sample(path: str | Path) -> MotionSample:
    """Load the sample that belongs to the path of a volume.

    Raises:
        FileNotFoundError: if the photo is missing.
    """
    path = Path(path)
    volume = SpectralVolume.load(path)
    photo_path = _photo_path(path)
    if photo_path is None:
        raise FileNotFoundError(f"No photo beside {path} ({', '.join(PHOTO_SUFFIXES)}).")
    photo = read_image(photo_path)[..., :3]
    return MotionSample(path.stem, volume.metadata.get("group", path.stem), (photo * 255).round().byte(), volume)


def _photo_path(path: Path) -> Path | None:
    return next((photo for suffix in PHOTO_SUFFIXES if (photo := path.with_suffix(suffix)).is_file()), None)
