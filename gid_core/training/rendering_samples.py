"""Rendering samples: a photo, later frames of it, and the displacement of its pixels in each frame.

They are made from clips with estimated optical flow, and from synthetic scenes with exact flow and true occlusions.
Each is one safetensors file; the longest side of its frames is at most `MAX_SIZE` pixels.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..media.atomic import atomic_write, finished_files
from ..media.video_io import clip_windows, iterate_frames
from ..media.video_probe import probe_video
from ..sources.optical_flow import estimate_trajectories
from ..synthetic.random_scene import random_scene
from ..tensors import fit_size, resize_maps

if TYPE_CHECKING:
    from ..evaluation.clip_folder import Clip

logger = logging.getLogger(__name__)

MAX_SIZE = 384  # pixels of the longer side
MAX_FRAMES = 1200  # read from a clip
NUM_FRAMES = 24  # frames after the photo, evenly spaced over a window
FLOW_STEPS = 2  # frames through which flow is tracked, per frame that is kept
MIN_FRAMES = 16  # of a clip
SCENE_SIZE = (160, 256)  # (H, W)
SCENE_MOTION = (0.6, 5.0)  # pixels, range of the mean motion of a scene, log-uniform
SCENE_STEP = 3  # frames; `RenderingSample.magnitude` of a scene averages every third frame


@dataclass(frozen=True)
class RenderingSample:
    """A photo and later frames of the same scene.

    Attributes:
        name: the stem of its file.
        group: its source; samples of one group are not separated by `split_by_group`.
        frames: uint8 [1 + n, H, W, 3], the photo first.
        flow: float16 [1 + n, 2, H, W], displacements of the photo's pixels in each frame, in pixels; the first is 0.
        magnitude: float16 [H, W], the mean |F| over the whole clip, in pixels (W of the paper's section 5).
    """

    name: str
    group: str
    frames: Tensor
    flow: Tensor
    magnitude: Tensor

    def save(self, folder: Path) -> Path:
        """Write the sample to a folder; returns the path of the file."""
        from safetensors.torch import save_file

        path = folder / f"{self.name}.safetensors"
        tensors = {"frames": self.frames, "flow": self.flow, "magnitude": self.magnitude}
        with atomic_write(path) as temporary:
            save_file({key: value.contiguous() for key, value in tensors.items()}, temporary, {"group": self.group})
        return path

    @classmethod
    def load(cls, path: Path) -> RenderingSample:
        """Load a file that `save` wrote.

        Raises:
            ValueError: if the file holds something else, such as a motion sample, or is damaged.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as file:
                missing = {"frames", "flow", "magnitude"} - set(file.keys())
                if missing:
                    raise ValueError(
                        f"{path} is no rendering sample: it has no {' and no '.join(sorted(missing))}. Give --samples "
                        "a folder that `gid train prepare --rendering` made."
                    )
                tensors = {key: file.get_tensor(key) for key in ("frames", "flow", "magnitude")}
                return cls(path.stem, (file.metadata() or {}).get("group", path.stem), **tensors)
        except SafetensorError as error:
            raise ValueError(f"{path} is damaged ({error}): delete it and run `gid train prepare` again.") from None


def rendering_samples_from_clips(
    clips: Iterable[Clip], folder: str | Path, windows: int = 3, *, loops: bool = False
) -> Iterator[str]:
    """Make rendering samples from clips. Existing samples are kept, so an interrupted run resumes where it stopped.

    Args:
        clips: of `evaluation.clip_folder.find_clips`.
        folder: where the samples are written.
        windows: photos per clip, evenly spaced.
        loops: the clips are seamless loops, so a complete window starts at every frame.

    Yields:
        The name of each sample that was written or found. A clip that is too short for several windows gives fewer
        samples, a clip of fewer than 16 frames none.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for clip in clips:
        names = [f"{clip.path.stem}_{i}" for i in range(windows)]
        if all((folder / f"{name}.safetensors").is_file() for name in names):
            yield from names
            continue
        try:
            probe = probe_video(clip.path)
            size = fit_size(probe.size, MAX_SIZE)
            frames = [_reduced_bytes(frame, size) for frame in iterate_frames(probe, count=MAX_FRAMES)]
        except ValueError as error:
            logger.info("Skipped %s: %s", clip.name, error)
            continue
        if len(frames) < MIN_FRAMES:
            logger.info("Skipped %s: it has only %d frames.", clip.name, len(frames))
            continue
        clip_frames = torch.stack(frames)
        # A short clip has fewer windows than names.
        for name, (start, length) in zip(
            names, clip_windows(len(frames), probe.fps, windows, loops=loops), strict=False
        ):
            window = torch.roll(clip_frames, -start, 0) if loops else clip_frames[start : start + length]
            steps = np.linspace(0, length - 1, NUM_FRAMES * FLOW_STEPS + 1).round().astype(int)
            window = window[np.unique(steps)]
            flow = estimate_trajectories(window, confidence=False)[0]
            group, kept = clip.group or clip.path.stem, slice(None, None, FLOW_STEPS)
            _make_sample(name, group, window[kept], flow[kept], flow).save(folder)
            yield name


def rendering_samples_from_scenes(seeds: Iterable[int], folder: str | Path) -> Iterator[str]:
    """Make rendering samples from synthetic scenes with these seeds. Existing samples are kept.

    Yields:
        The name of each sample that was written or found.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        name = f"scene_{seed:05}"
        if not (folder / f"{name}.safetensors").is_file():
            rng = np.random.default_rng([seed, 6])
            mean_motion = float(np.exp(rng.uniform(*np.log(SCENE_MOTION))))
            scene = random_scene(seed, SCENE_SIZE, mean_motion=mean_motion)
            times = np.sort(rng.choice(np.arange(1, scene.period), NUM_FRAMES, replace=False))
            all_flow = torch.from_numpy(scene.displacements(range(0, scene.period, SCENE_STEP)))
            frames = _to_bytes(torch.from_numpy(np.stack([scene.render(t) for t in (0, *times)])))
            flow = torch.from_numpy(scene.displacements((0, *times)))
            _make_sample(name, name, frames, flow, all_flow).save(folder)
        yield name


def _make_sample(name: str, group: str, frames: Tensor, flow: Tensor, all_flow: Tensor) -> RenderingSample:
    """A sample from frames uint8 [1 + n, H, W, 3]; `all_flow` [m, 2, H, W] gives its magnitude."""
    return RenderingSample(name, group, frames, flow.half(), torch.hypot(*all_flow.unbind(1)).mean(0).half())


def _reduced_bytes(frame: Tensor, size: tuple[int, int]) -> Tensor:
    """A frame, uint8 [H, W, 3], reduced to (H, W)."""
    return _to_bytes(resize_maps(frame.permute(2, 0, 1)[None] / 255, size)[0].permute(1, 2, 0))


def _to_bytes(frames: Tensor) -> Tensor:
    return (frames * 255).round().clamp(0, 255).byte()


def load_rendering_samples(folder: str | Path) -> list[RenderingSample]:
    """All rendering samples of a folder, in order of name.

    Raises:
        FileNotFoundError: if there are none.
    """
    paths = finished_files(folder, (".safetensors",)) if Path(folder).is_dir() else []
    if not paths:
        raise FileNotFoundError(f"No rendering samples in {folder}; `gid train prepare --rendering` makes them.")
    return [RenderingSample.load(path) for path in paths]
