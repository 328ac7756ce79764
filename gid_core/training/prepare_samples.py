"""Make motion samples from clips (paper section 6, "Data"), photos in which nothing moves, cut-outs over them, and
photos of plants."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..media.atomic import atomic_write, finished_files
from ..media.image_io import PHOTO_SUFFIXES, read_image
from ..media.video_io import WINDOW_SECONDS, clip_windows, read_video
from ..media.video_probe import probe_video
from ..models.normalization import FPS_TOLERANCE
from ..notices import collect_warnings
from ..sources.video import extract_spectral_volume
from ..spectral_volume import SpectralVolume
from ..synthetic.cutout_scene import cutout_scene, load_cutouts
from ..tensors import fit_size, resize_maps
from .motion_samples import write_motion_sample

if TYPE_CHECKING:
    from ..evaluation.clip_folder import Clip

logger = logging.getLogger(__name__)

PHOTO_WIDTH = 512  # pixels
PORTRAIT_WIDTH = 384  # pixels, of upright photos
VOLUME_STRIDE = 4  # photo pixels per pixel of the volume
FLOW_SIZE = 256  # pixels of the longer side at which motion is measured
MAX_FRAMES = 1200  # read from a clip
# As a share of the image's width. The supplement skips clips whose camera moves (here a warning of the extraction) or
# in which nothing moves. Its threshold of 1 px of mean motion at 256 px width would skip half of the authors' own
# published loops, where a small object moves over a static background. This threshold is on the amplitude of the moving
# pixels instead.
MIN_AMPLITUDE = 0.15 / 256
MIN_PLANT_AREA = 0.05  # mean of a mask of plants


def motion_samples_from_clips(
    clips: Iterable[Clip], folder: str | Path, windows: int = 3, *, loops: bool = False, num_bins: int = 16
) -> Iterator[str]:
    """Extract motion samples from clips. Existing samples are kept, so an interrupted run resumes where it stopped.

    Args:
        clips: of `evaluation.clip_folder.find_clips`.
        folder: where the samples are written; `skipped.json` there gives the reasons for skipped samples.
        windows: reference frames per clip, evenly spaced. A clip is cut into windows of five seconds that may overlap.
            A clip that is not longer than that gives only its first frame.
        loops: the clips are seamless loops of one period each, so a window can start at every frame.
        num_bins: K.

    Yields:
        The name of each sample that was written, found or skipped.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    skipped = _SkippedSamples(folder / "skipped.json")
    for clip in clips:
        names = [f"{clip.path.stem}_{i}" for i in range(windows)]
        missing = {name for name in names if name not in skipped and not (folder / f"{name}.safetensors").is_file()}
        if not missing:
            yield from names
            continue
        try:
            probe = probe_video(clip.path)
            flow_size = fit_size(probe.size, FLOW_SIZE)
            frames, fps = read_video(probe, max_frames=MAX_FRAMES, size=flow_size, dtype=torch.uint8)
        except ValueError as error:
            for name in names:
                skipped.add(name, str(error))
            yield from names
            continue
        height, width = probe.size
        photo_size = round(height * PHOTO_WIDTH / width), PHOTO_WIDTH
        seconds = len(frames) / fps if loops else WINDOW_SECONDS
        for name, (window, start) in zip(names, _windows(frames, fps, windows, loops), strict=True):
            if name in missing:
                try:
                    volume = _extract_volume(window, fps, seconds, num_bins)
                except ValueError as error:
                    skipped.add(name, str(error))
                else:
                    photo = read_video(probe, start=start, max_frames=1)[0].permute(0, 3, 1, 2)
                    photo = resize_maps(photo, photo_size)[0].permute(1, 2, 0)
                    volume = volume.resize((math.ceil(photo_size[0] / VOLUME_STRIDE), PHOTO_WIDTH // VOLUME_STRIDE))
                    write_motion_sample(folder, name, photo, volume, clip.group or clip.path.stem)
            yield name


class _SkippedSamples:
    """Names of skipped samples with the reasons, kept in a JSON file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reasons: dict[str, str] = json.loads(path.read_text()) if path.is_file() else {}

    def __contains__(self, name: str) -> bool:
        return name in self.reasons

    def add(self, name: str, reason: str) -> None:
        self.reasons[name] = reason
        with atomic_write(self.path) as path:
            path.write_text(json.dumps(self.reasons, indent=1))
        logger.info("Skipped %s: %s", name, reason)


def _windows(frames: Tensor, fps: float, windows: int, loops: bool) -> list[tuple[Tensor | None, int]]:
    """(frames of a window, index of its first frame in the clip) for each window; (None, 0) if it does not exist."""
    # A second window needs at least one more second.
    starts = [start for start, _ in clip_windows(len(frames), fps, windows, min_extra=fps, loops=loops)]
    result: list[tuple[Tensor | None, int]] = [
        (torch.roll(frames, -start, 0) if loops else frames[start:], start) for start in starts
    ]
    return result + [(None, 0)] * (windows - len(starts))


def _extract_volume(window: Tensor | None, fps: float, seconds: float, num_bins: int) -> SpectralVolume:
    """The volume of a window.

    Raises:
        ValueError: with the reason why the window is not suitable for training.
    """
    if window is None:
        raise ValueError("the clip is too short for another window")
    with collect_warnings() as caught:
        volume = extract_spectral_volume(
            window, fps, num_bins, detrend="ramp", window_seconds=seconds, max_size=FLOW_SIZE
        )
    if abs(volume.duration / WINDOW_SECONDS - 1) > FPS_TOLERANCE:
        raise ValueError(f"it lasts {volume.duration:.2f} s instead of {WINDOW_SECONDS:g}, so its frequencies differ")
    if caught:
        raise ValueError(caught[0])
    amplitude = float(volume.amplitude)
    if amplitude < MIN_AMPLITUDE:
        raise ValueError(f"the moving pixels have an amplitude of {amplitude * 256:.2f} px at 256 px width")
    return volume


def motion_samples_from_still_photos(source: str | Path, folder: str | Path, num_bins: int = 16) -> Iterator[str]:
    """Make samples of no motion from photos in which nothing moves: buildings, rooms, rocks, animals at rest.

    Yields:
        The name of each sample that was written or found.

    Raises:
        ValueError: if the folder holds no photos.
    """
    for path in _photo_paths(source):
        if not (Path(folder) / f"{path.stem}.safetensors").is_file():
            photo, grid = _read_photo(path)
            volume = SpectralVolume(torch.zeros(1, num_bins, 4, *grid), detrend="ramp")
            write_motion_sample(folder, path.stem, photo, volume, path.stem)
        yield path.stem


def motion_samples_from_plant_photos(source: str | Path, folder: str | Path, num_bins: int = 16) -> Iterator[str]:
    """Make samples of where plants are, for `stages.EncoderStage`: bin 1 moves where a mask is white, nothing else.

    A photo NAME.jpg has its mask beside it, NAME.plant.png. Photos without a mask, or with one of which less than
    `MIN_PLANT_AREA` is white, are left out.

    Yields:
        The name of each sample that was written or found.

    Raises:
        ValueError: if the folder holds no photos with such masks.
    """
    found = False
    for path in _photo_paths(source):
        mask_path = path.with_suffix(".plant.png")
        if not mask_path.is_file() or float((mask := read_image(mask_path)[..., 0]).mean()) < MIN_PLANT_AREA:
            continue
        found = True
        if not (Path(folder) / f"{path.stem}.safetensors").is_file():
            photo, grid = _read_photo(path)
            coefficients = torch.zeros(1, num_bins, 4, *grid)
            coefficients[:, 1] = resize_maps(mask[None, None], grid)
            write_motion_sample(folder, path.stem, photo, SpectralVolume(coefficients, detrend="ramp"), path.stem)
        yield path.stem
    if not found:
        raise ValueError(f"{source} holds no photos of plants with masks beside them (NAME.plant.png).")


def _read_photo(path: Path) -> tuple[Tensor, tuple[int, int]]:
    """A photo [H, W, 3] in the size of samples, and the size of their volumes."""
    photo = read_image(path)[..., :3].permute(2, 0, 1)[None]
    width = PHOTO_WIDTH if photo.shape[-1] >= photo.shape[-2] else PORTRAIT_WIDTH
    size = round(photo.shape[-2] * width / photo.shape[-1]), width
    return resize_maps(photo, size)[0].permute(1, 2, 0), (math.ceil(size[0] / VOLUME_STRIDE), width // VOLUME_STRIDE)


def motion_samples_from_cutouts(
    cutout_folder: str | Path, photo_folder: str | Path, seeds: Iterable[int], folder: str | Path, num_bins: int = 16
) -> Iterator[str]:
    """Make samples of cut-out plants that sway over photos in which nothing moves, see `synthetic.cutout_scene`.

    Existing samples are kept. Samples over one photo form a group.

    Yields:
        The name of each sample that was written or found.

    Raises:
        ValueError: if a folder holds no cut-outs or no photos.
    """
    cutouts, paths = load_cutouts(cutout_folder), _photo_paths(photo_folder)
    for seed in seeds:
        name, path = f"cutouts_{seed:05}", paths[seed % len(paths)]
        if not (Path(folder) / f"{name}.safetensors").is_file():
            scene = cutout_scene(seed, cutouts, read_image(path)[..., :3].numpy())
            grid = scene.size[0] // VOLUME_STRIDE, scene.size[1] // VOLUME_STRIDE
            volume = scene.spectral_volume(num_bins, detrend="ramp").resize(grid)
            write_motion_sample(folder, name, torch.from_numpy(scene.render(0)), volume, f"cutouts_{path.stem}")
        yield name


def _photo_paths(folder: str | Path) -> list[Path]:
    """The photos of a folder, in order of name.

    Raises:
        ValueError: if there are none.
    """
    paths = finished_files(folder, PHOTO_SUFFIXES)
    if not paths:
        raise ValueError(f"{folder} holds no photos ({', '.join(PHOTO_SUFFIXES)}).")
    return paths
