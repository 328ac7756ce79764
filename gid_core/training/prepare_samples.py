"""Make motion samples from clips (paper section 6, "Data") or from the first synthetic corpus."""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..media.atomic import atomic_write
from ..media.video_io import WINDOW_SECONDS, clip_windows, read_video
from ..models.normalization import FPS_TOLERANCE
from ..sources.video import extract_spectral_volume
from ..spectral_volume import SpectralVolume
from ..tensors import resize_maps
from .motion_samples import write_motion_sample

if TYPE_CHECKING:
    from ..evaluation.clip_folder import Clip

logger = logging.getLogger(__name__)

PHOTO_WIDTH = 512  # pixels
VOLUME_STRIDE = 4  # photo pixels per pixel of the volume
FLOW_SIZE = 256  # pixels of the longer side at which motion is measured
MAX_FRAMES = 1200  # read from a clip
# As a share of the image's width. The supplement skips clips whose camera moves (here a warning of the extraction) or
# in which nothing moves. Its threshold of 1 px of mean motion at 256 px width would skip half of the authors' own
# published loops, where a small object moves over a static background. This threshold is on the amplitude of the moving
# pixels instead.
MIN_AMPLITUDE = 0.15 / 256
RAMP_MIN_BIN = 6  # bins from here on are used to estimate the ramp of a volume


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
            frames, fps = read_video(clip.path, max_frames=MAX_FRAMES)
        except ValueError as error:
            for name in names:
                skipped.add(name, str(error))
            yield from names
            continue
        height, width = frames.shape[1:3]
        photo_size = round(height * PHOTO_WIDTH / width), PHOTO_WIDTH
        seconds = len(frames) / fps if loops else WINDOW_SECONDS
        for name, (window, start) in zip(names, _windows(frames, fps, windows, loops), strict=True):
            if name in missing:
                try:
                    volume = _extract_volume(window, fps, seconds, num_bins)
                except ValueError as error:
                    skipped.add(name, str(error))
                else:
                    photo = resize_maps(frames[start].permute(2, 0, 1)[None, :3], photo_size)[0].permute(1, 2, 0)
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
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        volume = extract_spectral_volume(
            window, fps, num_bins, detrend="ramp", window_seconds=seconds, max_size=FLOW_SIZE
        )
    if abs(volume.duration / WINDOW_SECONDS - 1) > FPS_TOLERANCE:
        raise ValueError(f"it lasts {volume.duration:.2f} s instead of {WINDOW_SECONDS:g}, so its frequencies differ")
    if caught:
        raise ValueError(str(caught[0].message))
    amplitude = float(volume.amplitude)
    if amplitude < MIN_AMPLITUDE:
        raise ValueError(f"the moving pixels have an amplitude of {amplitude * 256:.2f} px at 256 px width")
    return volume


def motion_samples_from_npz(source: str | Path, folder: str | Path) -> Iterator[str]:
    """Convert the first synthetic corpus: pairs of .jpg and .npz, with int8 q [h, w, x/y, K, re/im] and scale [x/y, K]
    in pixels at 256 px width. The ramp is estimated from the high bins and subtracted (`remove_ramp`).

    Yields:
        The name of each sample that was written or found.

    Raises:
        ValueError: if the folder holds no .npz files.
    """
    from ..media.image_io import read_image

    source, folder = Path(source), Path(folder)
    paths = sorted(source.glob("*.npz"))
    if not paths:
        raise ValueError(f"{source} holds no .npz samples.")
    for path in paths:
        if not (folder / f"{path.stem}.safetensors").is_file():
            with np.load(path) as data:
                q = data["q"].astype(np.float32) / 127 * data["scale"].astype(np.float32)[..., None]
                family, seed = json.loads(str(data["meta"]))["family"], path.stem.split("_")[1]
            height, width, _, bins, _ = q.shape
            coefficients = torch.from_numpy(q).permute(3, 2, 4, 0, 1).reshape(1, bins, 4, height, width) * (width / 256)
            volume = remove_ramp(SpectralVolume(coefficients))
            write_motion_sample(folder, path.stem, read_image(path.with_suffix(".jpg")), volume, f"{family}_{seed}")
        yield path.stem


def remove_ramp(volume: SpectralVolume, min_bin: int = RAMP_MIN_BIN) -> SpectralVolume:
    """Subtract the line from F_0 to F_T from a volume that was measured with detrend "none".

    The line (t / T) D has the transform D r_k with r_k = (-1 + i cot(pi k / T)) / 2 for k > 0. The high bins of sway
    hold little else, so D is their least-squares fit: D = Re sum conj(r_k) S_k / sum |r_k|^2 over k >= min_bin.
    """
    coefficients, period = volume.coefficients, volume.period
    k = torch.arange(1, volume.num_bins, dtype=torch.float32)
    real, imaginary = torch.full_like(k, -0.5), 0.5 / torch.tan(torch.pi * k / period)
    ramp = torch.stack([real, imaginary], 1)[:, None, :, None, None]  # [K - 1, 1, re/im, 1, 1]
    slices = coefficients.unflatten(2, (2, 2)).clone()  # [B, K, x/y, re/im, H, W]
    high = slice(min_bin - 1, None)
    drift = (slices[:, 1:][:, high] * ramp[high]).sum((1, 3)) / ramp[high].square().sum()
    slices[:, 1:] -= drift[:, None, :, None] * ramp
    slices[:, 0, :, 0] -= drift * (period - 1) / 2
    return volume.replace(coefficients=slices.flatten(2, 3), detrend="ramp")
