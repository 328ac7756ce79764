"""Make training samples: from a folder of clips (paper section 6, "Data"), or from the first synthetic corpus."""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from ..media.atomic import atomic_write
from ..media.video_io import read_video
from ..models.normalization import FPS_TOLERANCE
from ..sources.video import extract_spectral_volume
from ..spectral_volume import SpectralVolume
from ..tensors import resize_maps
from .motion_samples import write_sample

log = logging.getLogger(__name__)

PHOTO_WIDTH = 512  # and a quarter of it for the volume, whatever the model makes of it later
FLOW_WIDTH = 256
WINDOW_SECONDS = 5.0
# After the paper's supplement, in pixels of a 256 px wide picture: a clip is left out if its camera moves (warned of
# while it is measured) or if nothing does. The supplement's floor of 1 px on average would leave out half of the
# authors' own published loops, where a small thing moves before a still background: the floor here is on the moving
# pixels' amplitude.
LEAST_AMPLITUDE = 0.15 / 256


def prepare_clips(
    clips, folder: str | Path, windows: int = 3, *, loops: bool = False, num_bins: int = 16
) -> Iterator[str]:
    """Extract samples from clips; what is there already is kept, so a run that was cut off goes on.

    Args:
        clips: of `evaluation.clips.find_clips`.
        folder: where samples and, in `skipped.json`, the reasons for what was left out go.
        windows: reference frames a clip, spread evenly. A clip is cut into windows of five seconds that may
            overlap; of one no longer than that only its first frame is taken.
        loops: the clips are seamless loops, each one period long: they are rolled to begin at any frame.
        num_bins: K.

    Yields:
        The name of each sample written, found or skipped.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / "skipped.json"
    skipped = json.loads(record.read_text()) if record.is_file() else {}
    for clip in clips:
        names = [f"{clip.path.stem}_{i}" for i in range(windows)]
        if all((folder / f"{name}.safetensors").is_file() or name in skipped for name in names):
            yield from names
            continue

        def leave_out(name: str, reason: str) -> None:
            skipped[name] = reason
            with atomic_write(record) as path:
                path.write_text(json.dumps(skipped, indent=1))
            log.info("%s left out: %s", name, reason)

        try:
            frames, fps = read_video(clip.path, max_frames=1200)
        except ValueError as error:
            for name in names:
                leave_out(name, str(error))
            yield from names
            continue
        height, width = frames.shape[1:3]
        photo_size = round(height * PHOTO_WIDTH / width), PHOTO_WIDTH
        for name, (window, start) in zip(names, _windows(frames, fps, windows, loops), strict=True):
            if not (folder / f"{name}.safetensors").is_file() and name not in skipped:
                reason = "the clip is too short for another window" if window is None else ""
                if not reason:
                    volume, reason = _measure(window, fps, len(frames) / fps if loops else WINDOW_SECONDS, num_bins)
                if reason:
                    leave_out(name, reason)
                else:
                    photo = resize_maps(frames[start].permute(2, 0, 1)[None, :3], photo_size)[0].permute(1, 2, 0)
                    volume = volume.resize((math.ceil(photo_size[0] / 4), PHOTO_WIDTH // 4))
                    write_sample(folder, name, photo, volume, clip.group or clip.path.stem)
            yield name


def _windows(frames, fps: float, windows: int, loops: bool):
    """(frames of one window, index of its first in the clip) for each window, or (None, 0) where there is none."""
    count = len(frames)
    length = round(WINDOW_SECONDS * fps)
    if loops:
        starts = [count * i // windows for i in range(windows)]
        return [(torch.roll(frames, -start, 0), start) for start in starts]
    starts = [
        (count - length) * i // max(1, windows - 1) if count > length + fps else (0 if i == 0 else None)
        for i in range(windows)
    ]
    return [(None, 0) if start is None else (frames[start:], start) for start in starts]


def _measure(frames, fps: float, seconds: float, num_bins: int) -> tuple[SpectralVolume | None, str]:
    """A window's volume, and why it should not be used (empty if it should)."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            volume = extract_spectral_volume(
                frames, fps, num_bins, detrend="ramp", window_seconds=seconds, max_size=FLOW_WIDTH
            )
        except ValueError as error:
            return None, str(error)
    if abs(volume.duration / WINDOW_SECONDS - 1) > FPS_TOLERANCE:
        return volume, f"it lasts {volume.duration:.2f} s instead of {WINDOW_SECONDS:g}, so its frequencies are others"
    if caught:
        return volume, str(caught[0].message)
    if float(volume.amplitude) < LEAST_AMPLITUDE:
        return volume, f"what moves swings by {float(volume.amplitude) * 256:.2f} px at 256 px wide"
    return volume, ""


def prepare_corpus(source: str | Path, folder: str | Path) -> Iterator[str]:
    """Samples from pairs of .jpg and .npz as the first synthetic corpus has them: int8 q [h, w, x/y, K, re/im],
    scale [x/y, K], px at 256 px width; the ramp is estimated from the high bins and taken off (`remove_ramp`).

    Yields:
        The name of each sample written or found.
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
            write_sample(folder, path.stem, read_image(path.with_suffix(".jpg")), volume, f"{family}_{seed}")
        yield path.stem


def remove_ramp(volume: SpectralVolume, smooth_from: int = 6) -> SpectralVolume:
    """Take the line from F_0 to F_T off a volume measured without ("none"), of which only its bins are left.

    The line (t / T) D has the transform D r_k, r_k = (-1 + i cot(pi k / T)) / 2 for k > 0. High bins of sway hold
    little else, so D is their least-squares fit: D = Re sum conj(r_k) S_k / sum |r_k|^2 over k >= smooth_from.
    """
    coefficients, period = volume.coefficients, volume.period
    k = torch.arange(1, volume.num_bins, dtype=torch.float32)
    real, imaginary = torch.full_like(k, -0.5), 0.5 / torch.tan(torch.pi * k / period)
    ramp = torch.stack([real, imaginary], 1)[:, None, :, None, None]  # [K - 1, 1, re/im, 1, 1]
    slices = coefficients.unflatten(2, (2, 2)).clone()  # [B, K, x/y, re/im, H, W]
    high = slice(smooth_from - 1, None)
    drift = (slices[:, 1:][:, high] * ramp[high]).sum((1, 3)) / ramp[high].square().sum()
    slices[:, 1:] -= drift[:, None, :, None] * ramp
    slices[:, 0, :, 0] -= drift * (period - 1) / 2
    return volume.replace(coefficients=slices.flatten(2, 3), detrend="ramp")
