"""The rendering network: clean frames at the edges of what moves (paper section 5).

As in the paper, features of the photo at several scales are carried along the motion by softmax splatting with the
motion's magnitude as depth, and a decoder draws the frame from them. Two things differ:

* Only the displacements are splatted, once, at full size. What lands on a pixel gives it the place in the photo that
  it comes from, and features of every scale are sampled there: the same weights, but sharp, and many times cheaper
  than splatting every channel of every scale.
* The decoder starts from a finished frame and changes it where something moves or is uncovered, and two pixels around,
  since outlines leave their colors in what is behind them. Farther away a frame is the photo, to the last bit. The
  decoder says how much to take of five pictures, see `CANDIDATES`, and adds what all of them lack.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..rendering.render import FrameRenderer
from ..rendering.warping import Warp, length, premultiply, sample, unpremultiply, warp
from .config import RendererConfig

# Displacement, in pixels, from which the network has its full say, and how far around it has one.
FULL_SAY = 0.1
RIM = 2
# Side, in pixels, of what is decoded at once, and how much of its surroundings is seen beside it, in strides.
TILE, MARGIN = 1024, 12
# Smaller changes, in 0..1, are not made, and from twice this on they are made in full: fine texture stays as it is.
LEAST_CHANGE = 0.02
COLORS = 3
# Mean square below which the channels of a pixel are not made larger.
LEAST_SQUARE = 1e-12
# What a frame is put together from: the splatted photo; the photo sampled where pixels come from; the photo at rest;
# sampled as if the mover nearby reached here (its outline may be drawn too tight); as if it had left from here (what is
# behind it shows).
CANDIDATES = 5
# What the decoder sees of a frame, see `_inputs`.
INPUTS = CANDIDATES * COLORS + 6
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
            for level, (a, b) in enumerate(zip((4 * COLORS, *features), features, strict=False))
        )
        self.down = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=1 if level == 0 else 2, padding=1)
            for level, (a, b) in enumerate(zip((4 * INPUTS, *widths), widths, strict=False))
        )
        self.join = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip(features, widths, strict=True))
        self.inward = nn.ModuleList(Residual(width) for width in widths)
        self.up = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in zip(widths, widths[1:], strict=False))
        self.outward = nn.ModuleList(Residual(width) for width in widths)
        self.last = nn.Conv2d(widths[0], 4 * (COLORS + CANDIDATES - 1), 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    @property
    def stride(self) -> int:
        """Pixels of the frame to one of the lowest level; what is decoded is padded to multiples of it."""
        return 2 ** len(self.config.channels)

    def painter(self, photo: Tensor, importance: Tensor) -> FrameRenderer:
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
        pictures = candidates(source, flow, importance, warped)
        frames, say = self.correct(pictures, importance, warped, levels)
        frames = torch.where(warped.still & (say == 0), photo, unpremultiply(frames))
        return frames.clamp_(0, 1), warped.holes

    def features(self, source: Tensor) -> list[Tensor]:
        """A photo [1, C, H, W] to features of its colors: [1, c, H / 2, W / 2], [1, c', H / 4, W / 4], ..."""
        level = self._folded(self._padded(source[:, :COLORS]) - 0.5)
        levels = []
        for block in self.extract:
            level = block(level)
            levels.append(level.float())  # places to sample them at need the precision
        return levels

    def correct(
        self, pictures: list[Tensor], importance: Tensor, warped: Warp, levels: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Draw frames from a photo and its warp; differentiable in the network's weights.

        Args:
            pictures: of `candidates`.
            importance: [1, 1, H, W].
            levels: of `features`.

        Returns:
            frames: [n, C, H, W], not clamped.
            say: [n, 1, H, W] in 0..1, how far each pixel could be changed.
        """
        size = importance.shape[-2:]
        height, width = (-(-side // self.stride) * self.stride for side in size)
        inputs, say = _inputs(pictures, importance, warped), _say(warped)
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
                window = (..., rows, columns)
                parts = [picture[window] for picture in pictures]
                tile = _mixed(drawn, parts, warped.agreement[window], say[window])
                if frames is None:
                    return tile, say
                frames[..., rows, columns] = tile
        return frames, say

    def _decode(self, parts: list[Tensor], corner: tuple[int, int], levels: list[Tensor]) -> Tensor:
        """Three colors to add and the weights of candidates but the first, [n, 7, h, w], for a window of the frame.

        Args:
            parts: of `_inputs`; the first is the displacement.
            corner: (y, x) of the window, multiples of the stride.
            levels: of `features`, of the whole photo.
        """
        count = len(parts[0])
        inputs = self._padded(torch.cat([part.expand(count, -1, -1, -1) for part in parts], 1))
        displacement, level = inputs[:, :2] * FLOW_SCALE, self._folded(inputs)
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
        drawn = self.last(F.relu(_leveled(level)))
        return rearrange(drawn, "n (c a b) h w -> n c (h a) (w b)", a=2, b=2).float()

    def _padded(self, maps: Tensor) -> Tensor:
        missing = [-side % self.stride for side in maps.shape[-2:]]
        return F.pad(maps, (0, missing[1], 0, missing[0]), mode="replicate") if any(missing) else maps

    def _folded(self, maps: Tensor) -> Tensor:
        """Four pixels to one, channels last: a CPU convolves these two to three times as fast."""
        return rearrange(maps.to(self.last.weight), "n c (h a) (w b) -> n h w (c a b)", a=2, b=2).movedim(-1, 1)


class Residual(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, width: int):
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.second(F.relu(self.first(_leveled(maps))))


def _leveled(maps: Tensor) -> Tensor:
    """Channels of each pixel divided by their root mean square: without it activations grow without end in training.
    Statistics of whole pictures would make tiles differ from the whole."""
    scale = maps.float().square().mean(1, keepdim=True).clamp(min=LEAST_SQUARE).rsqrt()  # float16 would overflow
    return maps * scale.to(maps)


def candidates(source: Tensor, flow: Tensor, importance: Tensor, warped: Warp) -> list[Tensor]:
    """`CANDIDATES` pictures [n or 1, C, H, W], alpha premultiplied, of which a frame is put together."""
    displacement = warped.displacement
    reached = _taken_from(_strongest(length(displacement)), displacement)
    left = _taken_from(_strongest(importance), flow)
    return [
        warped.splatted,
        warped.sampled,
        source,
        sample(source, reached, "bilinear"),
        sample(source, left, "bilinear"),
    ]


def _strongest(maps: Tensor) -> Tensor:
    """Where in the rim around each pixel [n, 1, H, W] a map is largest: numbers of pixels, [n, H * W]."""
    return F.max_pool2d(maps, 2 * RIM + 1, stride=1, padding=RIM, return_indices=True)[1].flatten(1)


def _taken_from(places: Tensor, field: Tensor) -> Tensor:
    """A vector field [n, 2, H, W] with the vectors of other places, [n or 1, H * W]."""
    return field.flatten(2).gather(2, places[:, None].expand(len(field), 2, -1)).view_as(field)


def _inputs(pictures: list[Tensor], importance: Tensor, warped: Warp) -> list[Tensor]:
    """What the decoder sees of each frame: where it comes from, the candidates, and how far to trust them."""
    displacement = warped.displacement
    return [
        displacement / FLOW_SCALE,
        *(picture[:, :COLORS] - 0.5 for picture in pictures),
        length(displacement).clamp(max=1),
        warped.agreement,
        warped.holes,
        importance / IMPORTANCE_SCALE,
    ]


def _say(warped: Warp) -> Tensor:
    """How far the network may change each pixel, [n, 1, H, W] in 0..1."""
    here = (length(warped.displacement) / FULL_SAY + warped.holes).clamp(max=1)
    return F.max_pool2d(here, 2 * RIM + 1, stride=1, padding=RIM)


def _mixed(drawn: Tensor, pictures: list[Tensor], agreement: Tensor, say: Tensor) -> Tensor:
    """The frame: the fast renderer's, changed where the network has a say."""
    splatted = pictures[0]
    change = sum(drawn[:, COLORS + i : COLORS + i + 1] * (picture - splatted) for i, picture in enumerate(pictures[1:]))
    change = torch.cat([change[:, :COLORS] + drawn[:, :COLORS], change[:, COLORS:]], 1)
    if not drawn.requires_grad:  # training needs the gradient of small changes
        largest = F.max_pool2d(change.abs().amax(1, keepdim=True), 3, stride=1, padding=1)
        say = say * (largest / LEAST_CHANGE - 1).clamp(0, 1)
    base = torch.lerp(splatted, pictures[1], agreement)
    return torch.where(say > 0, base + say * change, base)
