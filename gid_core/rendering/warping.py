"""Warp one photo along many displacement fields: the frames, their holes, and how far each pixel is to be trusted.

Softmax splatting decides what is visible at every pixel of a frame (paper section 5), but it spreads each source pixel
over four pixels, which blurs fine texture. Here it splats the displacements d as well. They give the origin of every
pixel p in the photo, p - d, and the photo is sampled there bicubically. The result is sharp, and correct wherever one
surface is visible. Where surfaces meet, their mean displacement gives a wrong origin, and the splatted colors are kept.

At outlines, an object's motion reaches beyond it, and holes show the background behind it, see `outlines`. What enters
across the frame's edge is the photo mirrored there: repeated pixels would show as stripes. Letting motion fade out
towards the edge instead has a larger error there, because it holds back what truly moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .outlines import Outlines, find_outlines, gather_pixels
from .softmax_splatting import splat_with_flow

# Parameters of `forward_warp`, which are not in the paper.
# At lower coverage a pixel is partly a hole: holes = 1 - coverage / FULL_COVERAGE. Not 1, because even smooth flow
# covers some pixels slightly less.
FULL_COVERAGE = 0.9
# Radius in pixels of the window that bridges a stretched surface, and the mean coverage that the window needs.
BRIDGE_RADIUS = 2
MIN_NEIGHBOR_COVERAGE = 0.3
# A hole is bridged while the flow at its origin differs from the mean displacement by less than this multiple of the
# displacements' standard deviation. At 0.5 and more, holes at the corners of objects show the object.
BRIDGE_DEVIATION = 0.25
# A hole is inside of a stretched object, and shows it, if the flow at its origin differs from the displacement by less
# than this fraction of it.
STRETCH_TOLERANCE = 0.25
# Largest difference in pixels between the displacement d a pixel arrives with and the flow at its origin p - d.
CONSISTENCY_TOLERANCE = 0.5
# Types of devices on which `grid_sample` refuses mode "bicubic" in some releases of PyTorch (Metal, up to 2.10).
NO_BICUBIC_SAMPLER = ("mps",)


@dataclass(frozen=True)
class WarpResult:
    """A photo [1, C, H, W] (premultiplied alpha) warped along n displacement fields.

    Attributes:
        splatted: [n, C, H, W], the softmax splat with its holes filled.
        sampled: [n, C, H, W], the photo sampled at the origin of each pixel.
        displacement: [n, 2, H, W] in pixels, the displacement of the surface visible at each pixel of the frame.
        consistency: [n, 1, H, W] in 0..1, 1 where a single surface is visible.
        holes: [n, 1, H, W] in 0..1, 1 where no pixel landed; a stretched surface may still be visible there.
        static: bool [n, 1, H, W], pixels that no motion touches. There all images above are the photo itself.
    """

    splatted: Tensor
    sampled: Tensor
    displacement: Tensor
    consistency: Tensor
    holes: Tensor
    static: Tensor

    def blended(self) -> Tensor:
        """The frames [n, C, H, W]: sampled where a single surface is visible, splatted elsewhere."""
        return torch.lerp(self.splatted, self.sampled, self.consistency)


def forward_warp(features: Tensor, flow: Tensor, importance: Tensor, outlines: Outlines | None = None) -> WarpResult:
    """Warp a photo along displacement fields. Pixels that no motion touches keep the photo's exact bits.

    Args:
        features: [1 or n, C, H, W] from `premultiply`.
        flow: [n, 2, H, W], (dx, dy) in pixels, from the photo to the frame.
        importance: [1 or n, 1, H, W], see `rendering.motion_importance`.
        outlines: of `find_outlines` for these features and importance; None finds them here.
    """
    outlines = find_outlines(features, importance) if outlines is None else outlines
    background_flow = gather_pixels(flow, outlines.background_index)
    flow = gather_pixels(flow, outlines.motion_index)
    splatted, splatted_flow, coverage = splat_with_flow(features, flow, importance)
    holes = (1 - coverage / FULL_COVERAGE).clamp_(min=0)
    neighbor_displacement, bridge_weight = _bridge_holes(splatted_flow, coverage, flow)
    displacement = torch.lerp(splatted_flow, torch.lerp(flow, neighbor_displacement, bridge_weight), holes)
    del splatted_flow, neighbor_displacement
    sampled = backward_warp(features, displacement)
    # A hole behind a moving object shows the background. The photo at p itself would show the object, which has moved
    # away. A hole at the frame's edge shows the photo mirrored there: an object that reaches the edge stays whole.
    fill = backward_warp(outlines.background, background_flow, "bilinear")
    del background_flow
    # Forward-backward consistency: does the flow at the origin equal the displacement that led there?
    error = vector_length(backward_warp(flow, displacement, "bilinear") - displacement)
    consistency = (1 - error / CONSISTENCY_TOLERANCE).clamp_(min=0)
    stretched = (2 - error / (STRETCH_TOLERANCE * vector_length(displacement)).clamp(min=1e-6)).clamp_(0, 1)
    surface_weight = torch.maximum(bridge_weight, stretched).masked_fill_(_enters_frame(flow), 1)
    splatted = torch.lerp(splatted, torch.lerp(fill, sampled, surface_weight), holes)
    # The splat multiplies and divides by the weight, which rounds. Static pixels get the photo's exact bits back.
    static = (flow == 0).all(1, keepdim=True) & (coverage == 1)
    splatted, sampled = torch.where(static, features, splatted), torch.where(static, features, sampled)
    return WarpResult(splatted, sampled, displacement, consistency, holes, static)


def _enters_frame(flow: Tensor) -> Tensor:
    """Whether what the flow [n, 2, H, W] brings to a pixel p comes from outside, p - F(p): bool [n, 1, H, W]."""
    height, width = flow.shape[-2:]
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    x = torch.arange(width, dtype=flow.dtype, device=flow.device) - middle_x
    y = torch.arange(height, dtype=flow.dtype, device=flow.device)[:, None] - middle_y
    return ((x - flow[:, :1]).abs_() > middle_x) | ((y - flow[:, 1:]).abs_() > middle_y)


def _bridge_holes(displacement: Tensor, coverage: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Bridge the holes of stretched surfaces, which would otherwise appear as stripes.

    A coarse motion grid stretches the surface between a moving object and its background, so that its pixels land
    apart. The mean displacement around a hole at p gives the origin p - mean. In a bridgeable hole, the flow at this
    origin is about equal to the mean. Behind a sharp outline, the origin lies on the moving object, whose flow differs.

    Args:
        displacement: [n, 2, H, W] in pixels, splatted.
        coverage: [n, 1, H, W] of the splat.
        flow: [n, 2, H, W] in pixels, before the splat.

    Returns:
        The mean displacement [n, 2, H, W] around each pixel, weighted by coverage, and bridge_weight [n, 1, H, W] in
        0..1, 1 where the mean replaces the missing displacement.
    """
    squared_length = displacement.square().sum(1, keepdim=True)
    moments = torch.cat([displacement * coverage, squared_length * coverage, coverage], 1)
    moments = _window_mean(moments, BRIDGE_RADIUS)
    neighbor_coverage = moments[:, 3:]
    mean, mean_square = (moments[:, :3] / neighbor_coverage.clamp(min=1e-6)).split([2, 1], 1)
    deviation = (mean_square - mean.square().sum(1, keepdim=True)).clamp(min=0).sqrt()
    error = vector_length(backward_warp(flow, mean, "bilinear") - mean)
    bridge_weight = (2 - error / (BRIDGE_DEVIATION * deviation + CONSISTENCY_TOLERANCE)).clamp_(0, 1)
    return mean, torch.where(neighbor_coverage > MIN_NEIGHBOR_COVERAGE, bridge_weight, 0)


def _window_mean(maps: Tensor, radius: int) -> Tensor:
    """Mean of maps [n, C, H, W] over the (2 radius + 1)^2 window around every pixel; 0 outside."""
    side = 2 * radius + 1
    if maps.device.type != "cpu":  # half of the bytes of two passes; and convolutions may round to TF32
        return F.avg_pool2d(maps, side, 1, radius)
    channels = maps.shape[1]  # on a CPU, pooling takes three times as long
    kernel = maps.new_full((channels, 1, side, 1), 1 / side)
    maps = F.conv2d(maps, kernel, padding=(radius, 0), groups=channels)
    return F.conv2d(maps, kernel.transpose(2, 3), padding=(0, radius), groups=channels)


def backward_warp(
    maps: Tensor, displacement: Tensor, mode: str = "bicubic", window_origin: Sequence[int] = (0, 0)
) -> Tensor:
    """Sample maps [1 or n, C, H, W] at p - displacement(p). Outside they are mirrored at their edges.

    Args:
        displacement: [n, 2, h, w], (dx, dy) in pixels of the maps, for all of them or for a window.
        mode: interpolation, as in `torch.nn.functional.grid_sample`.
        window_origin: (y, x) of the window's first pixel.

    Returns:
        [n, C, h, w].
    """
    height, width = maps.shape[-2:]
    rows, columns = (
        (torch.arange(first, first + side, dtype=displacement.dtype, device=displacement.device) + 0.5) * (2 / whole)
        - 1
        for first, side, whole in zip(window_origin, displacement.shape[-2:], (height, width), strict=True)
    )
    x = torch.sub(columns, displacement[:, 0], alpha=2 / width)
    y = torch.sub(rows[:, None], displacement[:, 1], alpha=2 / height)
    maps, grid = maps.expand(len(displacement), -1, -1, -1), torch.stack([x, y], -1)
    if mode == "bicubic" and maps.device.type in NO_BICUBIC_SAMPLER:
        return _sample_bicubic(maps, grid)
    return F.grid_sample(maps, grid, mode, "reflection", align_corners=False)


def _sample_bicubic(maps: Tensor, grid: Tensor) -> Tensor:
    """`grid_sample` in mode "bicubic" with "reflection", from gathers: maps [n, C, H, W] at [n, h, w, 2]."""
    (count, channels, height, width), size = maps.shape, grid.shape[1:3]
    x, y = ((grid[..., i] + 1) * (side / 2) - 0.5 for i, side in enumerate((width, height)))
    x0, y0 = x.floor(), y.floor()
    columns = [(_mirror(x0.long() + tap, width), _cubic(x - x0 - tap)) for tap in range(-1, 3)]
    rows = [(_mirror(y0.long() + tap, height) * width, _cubic(y - y0 - tap)) for tap in range(-1, 3)]
    flat, result = maps.flatten(2), maps.new_zeros(count, channels, *size)
    for row, row_weight in rows:
        for column, column_weight in columns:
            index = (row + column).view(count, 1, -1).expand(-1, channels, -1)
            result += flat.gather(2, index).unflatten(2, size) * (row_weight * column_weight).unsqueeze(1)
    return result


def _mirror(index: Tensor, side: int) -> Tensor:
    """Indices of any size, mirrored at the edges of pixels 0 .. side - 1."""
    index = index.remainder(2 * side)
    return torch.minimum(index, 2 * side - 1 - index)


def _cubic(distance: Tensor) -> Tensor:
    """Weights of Keys's cubic kernel with a = -0.75, as PyTorch's and OpenCV's, at distances of up to 2 pixels."""
    d, a = distance.abs(), -0.75
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return torch.where(d <= 1, near, far)


def vector_length(field: Tensor) -> Tensor:
    """Lengths [N, 1, H, W] of the vectors of a field [N, 2, H, W]. `norm` over dimension 1 is 20 times slower."""
    return torch.hypot(field[:, :1], field[:, 1:])


def premultiply(photo: Tensor) -> Tensor:
    """RGBA [N, 4, H, W] with colors multiplied by alpha, so that transparent colors do not bleed; RGB is unchanged."""
    if photo.shape[1] == 3:
        return photo
    return torch.cat([photo[:, :3] * photo[:, 3:], photo[:, 3:]], dim=1)


def unpremultiply(frames: Tensor) -> Tensor:
    """The inverse of `premultiply`. Colors are 0 where alpha is 0."""
    if frames.shape[1] == 3:
        return frames
    alpha = frames[:, 3:]
    return torch.cat([torch.where(alpha > 0, frames[:, :3] / alpha.clamp(min=1e-6), 0), alpha], dim=1)
