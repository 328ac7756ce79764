"""What is seen at the outlines of moving objects: how far their motion reaches, and the background behind them.

All of it follows from the importance of a photo's pixels, so it is found once per photo and serves all of its frames.

* The outermost pixels of an object are mixed with the background, and exact motion ends just inside of them. They take
  the motion of the object, so that its rim travels with it: that of the most important pixel within reach. Motion that
  rises softly, as measured in a clip, contains the rim already; predictions get it when they are made
  (`models.motion_refinement.reach_beyond_outlines`).
* What an object uncovers has the colors and the motion of the nearest pixels that clearly move less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# How far motion reaches beyond an outline. None of this is in the paper. Importance is about the mean motion in pixels
# of an image 256 pixels wide, see `render.magnitude_importance`.
# A smaller difference of importance is no outline.
MIN_STEP = 0.1
# Exact motion steps at an outline. It reaches this many pixels farther, the width of an antialiased rim, but only over
# pixels of less than (1 - SHARP_STEP) of its importance: where objects move alike, it is unknown which one is in front.
# The best by absolute error near the outlines of random painted scenes (`python -m benchmarks outlines`).
SHARP_REACH = 1
SHARP_STEP = 0.7
# Motion on a coarser grid, or measured in a clip, rises softly over a few pixels, and reaches no farther: with two more
# pixels, frame 0 of five filmed clips along their own motion was 0.9 to 3 dB farther from their frames (256 wide).
# Outlines are soft if, within SOFT_DISTANCE pixels of the places where importance differs by OUTLINE_STEP of the higher
# one, this share of the pixels is neither near the top nor near the bottom of the rise. Over whole photos it is 0.01
# to 0.33 for exact motion, 0.7 to 0.9 for predictions, and 0.9 for an enlargement by 4. It is taken in windows of this
# many pixels, so that one object's outline does not decide about another's.
SOFT_DISTANCE = 2
SOFT_SHARE = 0.5
SOFT_WINDOW = 65
OUTLINE_STEP = 0.3
# Near: this share of the rise.
NEAR_SHARE = 0.1

# The background behind objects, a mean of the photo around them with weights exp(-BACKGROUND_SHARPNESS * importance).
# At 3 and more, dense foliage is filled with flat colors of its few pixels at rest, and the error grows.
BACKGROUND_SHARPNESS = 1.5
# Pixels around an object that do not count as background, because its rim may be there.
BACKGROUND_DISTANCE = 2
# The mean is over squares of 2, 4, ... pixels: the smallest that contains background, up to about this fraction of the
# longest side. Farther inside an object nothing is known of the background.
BACKGROUND_FRACTION = 1 / 16
# A larger square contains background if its importance is lower by this fraction, or by MIN_STEP.
BACKGROUND_STEP = 0.5


@dataclass(frozen=True)
class Outlines:
    """The outlines of N photos [N, C, H, W].

    Attributes:
        motion_index: int64 [N, H * W], the flat index of the pixel whose motion each pixel takes.
        background: [N, C, H, W], the colors behind each pixel; the photo itself where nothing is known.
        background_index: int64 [N, H * W], the flat index of the pixel whose motion the background takes.
    """

    motion_index: Tensor
    background: Tensor
    background_index: Tensor


def find_outlines(features: Tensor, importance: Tensor) -> Outlines:
    """Find the outlines of photos, once for all of their frames.

    Args:
        features: [1 or N, C, H, W] from `warping.premultiply`.
        importance: [N, 1, H, W], see `rendering.motion_importance`.
    """
    return Outlines(_motion_index(importance), *_background(features, importance))


def gather_pixels(maps: Tensor, index: Tensor) -> Tensor:
    """Maps [n, C, H, W] whose pixels are those of `maps` at the flat indices [1 or n, H * W]."""
    return maps.flatten(2).gather(2, index[:, None].expand(len(maps), maps.shape[1], -1)).view_as(maps)


def local_argmax(maps: Tensor, radius: int) -> Tensor:
    """Flat indices [N, H * W] of the maximum of maps [N, 1, H, W] within `radius` pixels in x and y."""
    return F.max_pool2d(maps, 2 * radius + 1, stride=1, padding=radius, return_indices=True)[1].flatten(1)


def local_max(maps: Tensor, radius: int) -> Tensor:
    """Maximum of maps [N, C, H, W] within `radius` pixels in x and y."""
    rows = F.max_pool2d(maps, (1, 2 * radius + 1), stride=1, padding=(0, radius))
    return F.max_pool2d(rows, (2 * radius + 1, 1), stride=1, padding=(radius, 0))


def _motion_index(importance: Tensor) -> Tensor:
    """Flat indices [N, H * W] of the pixels whose motion each pixel takes: mostly its own."""
    index = local_argmax(importance, SHARP_REACH)
    highest = gather_pixels(importance, index)
    step = highest - importance > (SHARP_STEP * highest).clamp(min=MIN_STEP)
    return torch.where((step & ~_soft_outlines(importance)).flatten(1), index, _pixel_indices(importance))


def _soft_outlines(importance: Tensor) -> Tensor:
    """Where the motion of photos rises softly at outlines: bool [N, 1, H, W].

    Args:
        importance: [N, 1, H, W].
    """
    highest, lowest = local_max(importance, SOFT_DISTANCE), -local_max(-importance, SOFT_DISTANCE)
    rise = highest - lowest
    outline = rise > (OUTLINE_STEP * highest).clamp(min=MIN_STEP)
    height = (importance - lowest) / rise.clamp(min=MIN_STEP)
    between = outline & (height > NEAR_SHARE) & (height < 1 - NEAR_SHARE)
    counts = torch.cat([between, outline], 1).to(importance)
    for dim in (-1, -2):
        counts = _window_sums(counts, SOFT_WINDOW // 2, dim)
    return counts[:, :1] > SOFT_SHARE * counts[:, 1:]


def _window_sums(counts: Tensor, radius: int, dim: int) -> Tensor:
    """Sums of small whole numbers within `radius` pixels along a dimension; exact, at a cost that does not grow."""
    side = counts.shape[dim]
    first = torch.zeros_like(counts.narrow(dim, 0, 1))
    sums = torch.cat([first, counts.cumsum(dim)], dim)
    after, before = min(radius + 1, side), min(radius, side)
    last = sums.narrow(dim, side, 1).repeat_interleave(after - 1, dim)
    above = torch.cat([sums.narrow(dim, after, side + 1 - after), last], dim)
    return above - torch.cat([first.repeat_interleave(before, dim), sums.narrow(dim, 0, side - before)], dim)


def _background(features: Tensor, importance: Tensor) -> tuple[Tensor, Tensor]:
    """The background behind every pixel.

    A pyramid of weighted means is built. Downward from its top, every pixel takes the coarser mean if that is of
    background, which moves less, and keeps its own otherwise.

    Returns:
        Its colors [N, C, H, W] and the flat indices [N, H * W] of the pixels whose motion it takes.
    """
    reached = local_max(importance, BACKGROUND_DISTANCE)  # the rims of objects do not count as background
    weight = (-BACKGROUND_SHARPNESS * reached).exp()
    sums = torch.cat([features.expand(len(importance), -1, -1, -1), reached], 1) * weight
    index, lowest = _pixel_indices(importance).view_as(importance), reached
    levels = []
    for _ in range(max(1, round(math.log2(max(importance.shape[-2:]) * BACKGROUND_FRACTION)))):
        levels.append((sums / weight, index))
        sums, weight = _halve(sums), _halve(weight)
        negated, cell_index = F.max_pool2d(-lowest, 2, ceil_mode=True, return_indices=True)
        index = index.flatten(2).gather(2, cell_index.flatten(2)).view_as(cell_index)
        lowest = -negated
    mean = sums / weight
    for level_mean, level_index in reversed(levels):
        height, width = level_mean.shape[-2:]
        weight = (-BACKGROUND_SHARPNESS * mean[:, -1:]).exp()
        sums = F.interpolate(torch.cat([mean * weight, weight], 1), (height, width), mode="bilinear")
        mean = sums[:, :-1] / sums[:, -1:]
        index = index.repeat_interleave(2, -2).repeat_interleave(2, -1)[..., :height, :width]
        own, lower = level_mean[:, -1:], mean[:, -1:]
        share = (2 * (own - lower) / (BACKGROUND_STEP * own).clamp(min=MIN_STEP) - 1).clamp(0, 1)
        mean, index = torch.lerp(level_mean, mean, share), torch.where(share > 0.5, index, level_index)
    return mean[:, :-1], index.flatten(1)


def _halve(maps: Tensor) -> Tensor:
    """Means over 2 x 2 pixels; sides are rounded up."""
    return F.avg_pool2d(maps, 2, ceil_mode=True, count_include_pad=False)


def _pixel_indices(maps: Tensor) -> Tensor:
    """The flat index of every pixel of maps [N, 1, H, W]: int64 [N, H * W]."""
    return torch.arange(maps[0].numel(), device=maps.device).expand(len(maps), -1)
