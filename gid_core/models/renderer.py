"""The rendering network: clean frames at the edges of what moves (paper section 5).

As in the paper, features of the photo at several scales are carried along the motion by softmax splatting with the
motion's magnitude as depth, and a decoder draws the frame from them. Two things differ:

* Only the displacements are splatted, once, at full size. What lands on a pixel gives it the place in the photo that
  it comes from, and features of every scale are sampled there: the same weights, but sharp, and many times cheaper
  than splatting every channel of every scale.
* The decoder starts from a finished frame and changes it where something moves or is uncovered, and two pixels around,
  since outlines leave their colours in what is behind them. Farther away a frame is the photo, to the last bit. The
  decoder may choose between three pictures (splatted, sampled, the photo at rest) and add what all of them lack.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..rendering import Painter
from ..warping import Warp, premultiply, sample, unpremultiply, warp
from .config import RendererConfig

# Displacement, in pixels, from which the network has its full say, and how far around it has one.
FULL_SAY = 0.1
RIM = 2
# Side, in pixels, of what is decoded at once, and how much of its surroundings is seen beside it, in strides.
TILE, MARGIN = 1024, 12
COLOURS = 3
# What the decoder sees of a frame, see `_inputs`.
INPUTS = 3 * COLOURS + 6
# Displacements and importance are divided by this before the decoder sees them.
FLOW_SCALE, IMPORTANCE_SCALE = 16.0, 6.0


class RenderingNetwork(nn.Module):
    """Features of a photo, and the decoder that draws frames from them. Fully convolutional."""

    def __init__(self, config: RendererConfig):
        super().__init__()
        self.config = config
        widths, features = config.channels, config.features
        self.extract = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, stride=1 if level == 0 else 2, padding=1), Residual(b))
            for level, (a, b) in enumerate(zip((4 * COLOURS, *features), features, strict=False))
        )
        self.down = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=1 if level == 0 else 2, padding=1)
            for level, (a, b) in enumerate(zip((4 * INPUTS, *widths), widths, strict=False))
        )
        self.join = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip(features, widths, strict=True))
        self.inward = nn.ModuleList(Residual(width) for width in widths)
        self.up = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in zip(widths, widths[1:], strict=False))
        self.outward = nn.ModuleList(Residual(width) for width in widths)
        self.last = nn.Conv2d(widths[0], 4 * (COLOURS + 2), 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    @property
    def stride(self) -> int:
        """Pixels of the frame to one of the lowest level; what is decoded is padded to multiples of it."""
        return 2 ** len(self.config.channels)

    def painter(self, photo: Tensor, importance: Tensor) -> Painter:
        """A `rendering.Renderer`: features are computed here, once for all frames.

        Args:
            photo: [1, C, H, W] in 0..1, C = 3 or 4 (straight alpha).
            importance: [1, 1, H, W], see `rendering.motion_importance`.
        """
        source = premultiply(photo)
        levels = self.features(source)
        return partial(self._paint, photo, source, importance, levels)

    def _paint(self, photo, source, importance, levels, flow) -> tuple[Tensor, Tensor]:
        warped = warp(source, flow, importance)
        frames = unpremultiply(self.correct(source, importance, warped, levels))
        return torch.where(warped.still & (_say(warped) == 0), photo, frames).clamp_(0, 1), warped.holes

    def features(self, source: Tensor) -> list[Tensor]:
        """A photo [1, C, H, W] to features of its colours: [1, c, H / 2, W / 2], [1, c', H / 4, W / 4], ..."""
        level = F.pixel_unshuffle(self._padded(source[:, :COLOURS]).to(self.last.weight) - 0.5, 2)
        levels = []
        for block in self.extract:
            level = block(level)
            levels.append(level.float())  # places to sample them at need the precision
        return levels

    def correct(self, source: Tensor, importance: Tensor, warped: Warp, levels: list[Tensor]) -> Tensor:
        """Frames [n, C, H, W], not clamped, from a photo and its warp; differentiable in the network's weights.

        Args:
            source: [1, C, H, W], alpha premultiplied.
            importance: [1, 1, H, W].
            levels: of `features`.
        """
        size = source.shape[-2:]
        height, width = (-(-side // self.stride) * self.stride for side in size)
        inputs, say = _inputs(source, importance, warped), _say(warped)
        frames = torch.empty_like(warped.splatted) if max(height, width) > TILE else None
        margin = MARGIN * self.stride
        for top in range(0, height, TILE):
            for left in range(0, width, TILE):
                # The part that is kept, and the part that is seen for it.
                rows, columns = slice(top, min(top + TILE, size[0])), slice(left, min(left + TILE, size[1]))
                y, x = max(0, top - margin), max(0, left - margin)
                seen = slice(y, min(top + TILE + margin, height)), slice(x, min(left + TILE + margin, width))
                drawn = self._decode([part[(..., *seen)] for part in inputs], (y, x), levels)
                drawn = drawn[..., top - y : rows.stop - y, left - x : columns.stop - x]
                tile = _mixed(drawn, say, source, warped, (..., rows, columns))
                if frames is None:
                    return tile
                frames[..., rows, columns] = tile
        return frames

    def _decode(self, parts: list[Tensor], corner: tuple[int, int], levels: list[Tensor]) -> Tensor:
        """Three colours to add and the weights of two candidates, [n, 5, h, w], for a window of the frame.

        Args:
            parts: of `_inputs`; the first is the displacement.
            corner: (y, x) of the window, multiples of the stride.
            levels: of `features`, of the whole photo.
        """
        count, displacement = len(parts[0]), self._padded(parts[0]).float() * FLOW_SCALE
        inputs = torch.cat([part.expand(count, -1, -1, -1) for part in parts], 1)
        level = F.pixel_unshuffle(self._padded(inputs).to(self.last.weight), 2)
        skips = []
        for depth, (conv, join, block) in enumerate(zip(self.down, self.join, self.inward, strict=True)):
            shrink = 2 ** (depth + 1)
            place = F.avg_pool2d(displacement, shrink) / shrink
            start = corner[0] // shrink, corner[1] // shrink
            carried = sample(levels[depth], place, "bilinear", start).to(level)
            level = block(conv(level) + join(carried))
            skips.append(level)
        level = self.outward[-1](skips.pop())
        for up, block in zip(reversed(self.up), reversed(self.outward[:-1]), strict=True):
            level = block(F.interpolate(up(level), scale_factor=2, mode="nearest") + skips.pop())
        return F.pixel_shuffle(self.last(F.relu(level)), 2).float()

    def _padded(self, maps: Tensor) -> Tensor:
        height, width = maps.shape[-2:]
        return F.pad(maps, (0, -width % self.stride, 0, -height % self.stride), mode="replicate")


class Residual(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, width: int):
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.second(F.relu(self.first(F.relu(maps))))


def _inputs(source: Tensor, importance: Tensor, warped: Warp) -> list[Tensor]:
    """What the decoder sees of each frame: where it comes from, the three candidates, and how far to trust them."""
    displacement = warped.displacement
    return [
        displacement / FLOW_SCALE,
        warped.splatted[:, :COLOURS] - 0.5,
        warped.sampled[:, :COLOURS] - 0.5,
        source[:, :COLOURS] - 0.5,
        displacement.norm(dim=1, keepdim=True).clamp(max=1),
        warped.agreement,
        warped.holes,
        importance / IMPORTANCE_SCALE,
    ]


def _say(warped: Warp) -> Tensor:
    """How far the network may change each pixel, [n, 1, H, W] in 0..1."""
    here = (warped.displacement.norm(dim=1, keepdim=True) / FULL_SAY + warped.holes).clamp(max=1)
    return F.max_pool2d(here, 2 * RIM + 1, stride=1, padding=RIM)


def _mixed(drawn: Tensor, say: Tensor, source: Tensor, warped: Warp, window) -> Tensor:
    """The frame in a window: the fast renderer's, changed where the network has a say."""
    splatted, sampled, rest, say = warped.splatted[window], warped.sampled[window], source[window], say[window]
    base = torch.lerp(splatted, sampled, warped.agreement[window])
    change = drawn[:, COLOURS : COLOURS + 1] * (sampled - splatted) + drawn[:, COLOURS + 1 :] * (rest - splatted)
    change[:, :COLOURS] += drawn[:, :COLOURS]
    return torch.where(say > 0, base + say * change, base)
