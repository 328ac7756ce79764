"""What the rendering network learns from: a photo, later frames of it, and where its pixels are in them.

Made from clips with estimated flow, and from painted scenes, whose flow is exact and whose occlusions are true. Kept as
one safetensors file each, at most `WIDTH` pixels wide.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..media.atomic import atomic_write
from ..media.video_io import read_video
from ..rendering.render import magnitude_importance
from ..sources.optical_flow import trajectories
from ..synthetic.random_scene import random_scene
from ..tensors import fit_size, resize_flow, resize_maps
from .motion_dataset import combine_seeds

log = logging.getLogger(__name__)

WIDTH = 384
WINDOW_SECONDS = 5.0
# Frames kept of a window, evenly spread, after the photo; flow is followed through this many times as many.
FRAMES, FLOW_STEPS = 24, 2
LEAST_FRAMES = 16
SCENE_SIZE = (160, 256)
# Crops drawn for an item, of which the one where most moves is taken.
TRIES = 3
# Share of items whose motion is known on a coarser grid only, and how much coarser that may be: a predicted volume's
# edges do not lie where the photo's do.
COARSE, COARSEST = 0.4, 4
NATIVE = 0.4
# What does not count along the sides of a crop, in pixels.
MARGIN = 16


@dataclass(frozen=True)
class RenderingSample:
    """A photo and what it becomes.

    Attributes:
        frames: uint8 [1 + n, H, W, 3], the photo first.
        flow: float16 [1 + n, 2, H, W], displacements of the photo's pixels in each, in pixels; the first is 0.
        magnitude: float16 [H, W], the mean |F| over the whole clip, in pixels (W of the paper's section 5).
        group: what it must not be parted from when data are split.
    """

    name: str
    group: str
    frames: Tensor
    flow: Tensor
    magnitude: Tensor

    def save(self, folder: Path) -> Path:
        from safetensors.torch import save_file

        path = folder / f"{self.name}.safetensors"
        tensors = {"frames": self.frames, "flow": self.flow, "magnitude": self.magnitude}
        with atomic_write(path) as temporary:
            save_file({key: value.contiguous() for key, value in tensors.items()}, temporary, {"group": self.group})
        return path

    @classmethod
    def load(cls, path: Path) -> RenderingSample:
        from safetensors import safe_open

        with safe_open(path, "pt") as file:
            parts = {key: file.get_tensor(key) for key in ("frames", "flow", "magnitude")}
            return cls(path.stem, (file.metadata() or {}).get("group", path.stem), **parts)


def rendering_samples_from_clips(clips, folder: str | Path, windows: int = 3, *, loops: bool = False) -> Iterator[str]:
    """Passages of clips; what is there already is kept.

    Args:
        clips: of `evaluation.clips.find_clips`.
        windows: photos a clip, spread evenly over it.
        loops: the clips are seamless loops, so that any frame begins a whole window.

    Yields:
        The name of each passage written or found; a clip too short for another window gives fewer, one of fewer than
        16 frames none.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for clip in clips:
        names = [f"{clip.path.stem}_{i}" for i in range(windows)]
        if all((folder / f"{name}.safetensors").is_file() for name in names):
            yield from names
            continue
        try:
            frames, fps = read_video(clip.path, max_frames=1200)
        except ValueError as error:
            log.info("%s left out: %s", clip.name, error)
            continue
        if len(frames) < LEAST_FRAMES:
            log.info("%s left out: it has only %d frames.", clip.name, len(frames))
            continue
        frames = frames[..., :3]
        size = fit_size(frames.shape[1:3], WIDTH)
        frames = resize_maps(frames.permute(0, 3, 1, 2), size).permute(0, 2, 3, 1)
        length = len(frames) if loops else min(len(frames), round(WINDOW_SECONDS * fps))
        for i, name in enumerate(names):
            start = (len(frames) if loops else len(frames) - length) * i // max(1, windows - (not loops))
            if i and start == 0:
                break
            window = torch.roll(frames, -start, 0) if loops else frames[start : start + length]
            steps = np.linspace(0, length - 1, FRAMES * FLOW_STEPS + 1).round().astype(int)
            window = window[np.unique(steps)]
            flow = trajectories(window, confidence=False)[0]
            kept = slice(None, None, FLOW_STEPS)
            _passage(name, clip.group or clip.path.stem, window[kept], flow[kept], flow).save(folder)
            yield name


def rendering_samples_from_scenes(seeds: Iterable[int], folder: str | Path) -> Iterator[str]:
    """Passages of painted scenes with these seeds; what is there already is kept."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        name = f"scene_{seed:05}"
        if not (folder / f"{name}.safetensors").is_file():
            rng = np.random.default_rng([seed, 6])
            scene = random_scene(seed, SCENE_SIZE, mean_motion=float(np.exp(rng.uniform(np.log(0.6), np.log(5)))))
            times = np.sort(rng.choice(np.arange(1, scene.period), FRAMES, replace=False))
            every = torch.from_numpy(scene.displacements(range(0, scene.period, 3)))
            frames = torch.from_numpy(np.stack([scene.render(t) for t in (0, *times)]))
            flow = torch.from_numpy(scene.displacements((0, *times)))
            _passage(name, name, frames, flow, every).save(folder)
        yield name


def _passage(name: str, group: str, frames: Tensor, flow: Tensor, every: Tensor) -> RenderingSample:
    frames = (frames * 255).round().clamp(0, 255).byte()
    return RenderingSample(name, group, frames, flow.half(), every.norm(dim=1).mean(0).half())


def load_rendering_samples(folder: str | Path) -> list[RenderingSample]:
    """All passages of a folder, in order of name.

    Raises:
        FileNotFoundError: if it holds none.
    """
    paths = sorted(Path(folder).glob("*.safetensors"))
    if not paths:
        raise FileNotFoundError(f"No passages in {folder}; `gid train prepare --passages` makes them.")
    return [RenderingSample.load(path) for path in paths]


class RenderingDataset(Dataset):
    """Item i: (photo [3, h, w], flow [2, h, w], importance [1, h, w], frame [3, h, w], counts [1, h, w]) of a random
    crop. What counts (1) is everything but a margin along those sides of the crop that are not the picture's: what
    comes in from there is not known.

    Items follow from (seed, i) alone, as those of `dataset.MotionDataset`. They are made smaller, mirrored and
    turned by right angles: what is in front of what does not depend on gravity. Half of them see a coarse motion.

    Args:
        sources: lists of passages.
        weights: share of each list.
        size: (h, w) of the crops.
        length: number of items.
        scales: range of the size at which a passage is seen. It is never enlarged, which would make it smoother than
            pictures are; NATIVE of the items are left at their size.
    """

    def __init__(
        self,
        sources: Sequence[Sequence[RenderingSample]],
        weights: Sequence[float],
        size: tuple[int, int],
        length: int,
        seed: int = 0,
        scales: tuple[float, float] = (0.6, 1.0),
    ):
        if not sources or len(sources) != len(weights) or not all(sources):
            raise ValueError(f"{len(weights)} weights need as many lists of passages, none of them empty.")
        self.sources, self.weights, self.size = sources, torch.tensor(weights), size
        self.length, self.seed, self.scales = length, seed, scales

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(combine_seeds(self.seed, index))

        def draw(count: int) -> int:
            return int(torch.randint(count, (), generator=generator))

        source = self.sources[int(torch.multinomial(self.weights, 1, generator=generator))]
        passage = source[draw(len(source))]
        time = 1 + draw(len(passage.frames) - 1)
        pictures = passage.frames[[0, time]].permute(0, 3, 1, 2).float() / 255
        # Not smaller than the crop.
        least = max(side / own for side, own in zip(self.size, pictures.shape[-2:], strict=True))
        low, high = (math.log(max(least, scale)) for scale in self.scales)
        scale = math.exp(low + (high - low) * float(torch.rand((), generator=generator)))
        scale = max(self.scales) if float(torch.rand((), generator=generator)) < NATIVE else scale
        size = tuple(max(side, round(own * scale)) for side, own in zip(self.size, pictures.shape[-2:], strict=True))
        flow, magnitude = passage.flow[time : time + 1].float(), passage.magnitude[None].float()
        coarseness = 1 + (COARSEST - 1) * float(torch.rand((), generator=generator))
        if float(torch.rand((), generator=generator)) < COARSE:
            grid = tuple(math.ceil(side / coarseness) for side in size)
            flow = resize_flow(flow, grid)
            magnitude = resize_maps(magnitude[None], grid)[0] * (grid[1] / magnitude.shape[-1])
        flow, importance = resize_flow(flow, size), magnitude_importance(magnitude, size)
        maps = torch.cat([resize_maps(pictures, size).flatten(0, 1), flow[0], importance[0]])
        corners = [[draw(whole - part + 1) for whole, part in zip(size, self.size, strict=True)] for _ in range(TRIES)]
        crops = [_crop(maps, top, left, self.size) for top, left in corners]
        crop = max(crops, key=lambda crop: float(crop[6:8].abs().sum()))
        for axis in (0, 1):
            crop = _mirrored(crop, axis) if draw(2) else crop
        if draw(2) and self.size[0] == self.size[1]:
            crop = _transposed(crop)
        crop = crop.contiguous()
        return crop[:3], crop[6:8], crop[8:9], crop[3:6], crop[9:]


def _crop(maps: Tensor, top: int, left: int, size: tuple[int, int]) -> Tensor:
    """A window of maps [C, H, W], and what counts in it: [C + 1, h, w]."""
    counts = maps.new_zeros(1, *size)
    first = [0 if start == 0 else MARGIN for start in (top, left)]
    sides = zip((top, left), size, maps.shape[-2:], strict=True)
    last = [part - (MARGIN if start + part < whole else 0) for start, part, whole in sides]
    counts[:, first[0] : last[0], first[1] : last[1]] = 1
    return torch.cat([maps[:, top : top + size[0], left : left + size[1]], counts])


def _mirrored(maps: Tensor, axis: int) -> Tensor:
    """Along x (0) or y (1); maps 6 and 7 are displacements in x and y."""
    sign = maps.new_ones(len(maps), 1, 1)
    sign[6 + axis] = -1
    return maps.flip(-1 - axis) * sign


def _transposed(maps: Tensor) -> Tensor:
    """x for y."""
    return maps.transpose(-1, -2)[[0, 1, 2, 3, 4, 5, 7, 6, 8, 9]]
