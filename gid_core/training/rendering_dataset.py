"""An endless dataset for the rendering network: random crops of pairs of frames with their flow."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..rendering.render import magnitude_importance
from ..tensors import resize_flow, resize_maps
from .rendering_samples import RenderingSample
from .splits import combine_seeds

NUM_CROPS = 3  # candidates per item; the crop with the most motion is chosen
# Probability that the motion of an item is only known on a coarser grid, and the largest factor: the edges of a
# predicted volume are not exactly those of the photo.
COARSE_PROBABILITY, MAX_COARSENESS = 0.4, 4
NATIVE_PROBABILITY = 0.4  # of not reducing the frames
LOSS_MARGIN = 16  # pixels along the sides of a crop that the loss ignores


class RenderingDataset(Dataset[tuple[Tensor, ...]]):
    """Item i is a random crop: (photo [3, h, w], flow [2, h, w], importance [1, h, w], frame [3, h, w], loss mask
    [1, h, w]).

    The loss mask is 1 everywhere but in a margin along the sides of the crop that lie inside the image: pixels that
    move in across them are unknown. (seed, i) determines the item, as in `MotionDataset`. Frames are reduced, flipped
    and rotated by right angles, because occlusion does not depend on gravity.

    Args:
        sources: lists of samples.
        weights: sampling weight of each list.
        size: (h, w) of the crops, larger than twice `LOSS_MARGIN`.
        length: number of items.
        seed: of the dataset.
        scales: range of the scale of frames. Frames are never enlarged, because that would blur them;
            `NATIVE_PROBABILITY` of the items keep their size.

    Raises:
        ValueError: for lists or sizes that do not fit.
    """

    def __init__(
        self,
        sources: Sequence[Sequence[RenderingSample]],
        weights: Sequence[float],
        size: tuple[int, int],
        length: int,
        seed: int = 0,
        scales: tuple[float, float] = (0.6, 1.0),
    ) -> None:
        if not sources or len(sources) != len(weights) or not all(sources):
            raise ValueError(f"{len(weights)} weights need as many lists of rendering samples, none of them empty.")
        if min(size) <= 2 * LOSS_MARGIN:  # the loss would have no pixel
            raise ValueError(f"Crops must be larger than {2 * LOSS_MARGIN} pixels; got {size[0]} x {size[1]} (H x W).")
        self.sources, self.weights, self.size = sources, torch.tensor(weights), size
        self.length, self.seed, self.scales = length, seed, scales

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(combine_seeds(self.seed, index))

        def randint(high: int) -> int:
            return int(torch.randint(high, (), generator=generator))

        def uniform() -> float:
            return float(torch.rand((), generator=generator))

        source = self.sources[int(torch.multinomial(self.weights, 1, generator=generator))]
        sample = source[randint(len(source))]
        time = 1 + randint(len(sample.frames) - 1)
        frames = sample.frames[[0, time]].permute(0, 3, 1, 2).float() / 255
        height, width = frames.shape[-2:]
        # Frames must not become smaller than the crop.
        min_scale = max(self.size[0] / height, self.size[1] / width)
        low, high = (math.log(max(min_scale, scale)) for scale in self.scales)
        scale = math.exp(low + (high - low) * uniform())
        scale = max(self.scales) if uniform() < NATIVE_PROBABILITY else scale
        size = max(self.size[0], round(height * scale)), max(self.size[1], round(width * scale))
        flow, magnitude = sample.flow[time : time + 1].float(), sample.magnitude[None].float()
        coarseness = 1 + (MAX_COARSENESS - 1) * uniform()
        if uniform() < COARSE_PROBABILITY:
            grid = math.ceil(size[0] / coarseness), math.ceil(size[1] / coarseness)
            flow = resize_flow(flow, grid)
            magnitude = resize_maps(magnitude[None], grid)[0] * (grid[1] / magnitude.shape[-1])
        flow, importance = resize_flow(flow, size), magnitude_importance(magnitude, size)
        maps = torch.cat([resize_maps(frames, size).flatten(0, 1), flow[0], importance[0]])
        corners = [(randint(size[0] - self.size[0] + 1), randint(size[1] - self.size[1] + 1)) for _ in range(NUM_CROPS)]
        crops = [_crop(maps, top, left, self.size) for top, left in corners]
        crop = max(crops, key=lambda crop: float(crop[6:8].abs().sum()))
        for axis in (0, 1):
            crop = _flip(crop, axis) if randint(2) else crop
        if randint(2) and self.size[0] == self.size[1]:
            crop = _transpose(crop)
        crop = crop.contiguous()
        return crop[:3], crop[6:8], crop[8:9], crop[3:6], crop[9:]


def _crop(maps: Tensor, top: int, left: int, size: tuple[int, int]) -> Tensor:
    """A crop of maps [C, H, W] with its loss mask as the last channel: [C + 1, h, w]."""
    loss_mask = maps.new_zeros(1, *size)
    first = [0 if start == 0 else LOSS_MARGIN for start in (top, left)]
    sides = zip((top, left), size, maps.shape[-2:], strict=True)
    last = [side - (LOSS_MARGIN if start + side < full_side else 0) for start, side, full_side in sides]
    loss_mask[:, first[0] : last[0], first[1] : last[1]] = 1
    return torch.cat([maps[:, top : top + size[0], left : left + size[1]], loss_mask])


def _flip(maps: Tensor, axis: int) -> Tensor:
    """Flip along x (0) or y (1). Channels 6 and 7 are displacements in x and y."""
    sign = maps.new_ones(len(maps), 1, 1)
    sign[6 + axis] = -1
    return maps.flip(-1 - axis) * sign


def _transpose(maps: Tensor) -> Tensor:
    """Exchange x and y."""
    return maps.transpose(-1, -2)[[0, 1, 2, 3, 4, 5, 7, 6, 8, 9]]
