"""Upsample a coarse volume along the outlines of the photo."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..edge_aware_smoothing import Affinities, color_affinities, edge_aware_smooth
from ..spectral_volume import SpectralVolume
from ..tensors import GuidedFilter, resize_maps

# The guided filter's windows are 3 x 3 cells of the volume. Where the variance of the color (0..1) in a window is below
# GUIDED_EPSILON, the window has no edge.
GUIDED_RADIUS = 1
GUIDED_EPSILON = 1e-3
# The smoothing at the photo's resolution.
SIGMA = 1.5  # standard deviation in cells of the coarse volume
COLOR_SIGMA = 3.0  # CIE Lab difference between neighboring pixels that counts as an outline
MIN_CONFIDENCE = 0.02  # of coarse cells on an outline, whose motion is a mixture of both sides
ROUNDS = 1
# Frequencies are upsampled a few at a time. Blocks of this size are reused by the allocator of the C library; larger
# ones come back from the kernel as new pages, which cost twice the time of the arithmetic.
CHUNK_BYTES = 20 * 2**20


def upsample_to_photo(
    volume: SpectralVolume, photo: Tensor, size: tuple[int, int], affinities: Affinities | None = None
) -> SpectralVolume:
    """Upsample a volume to an (H, W) grid so that outlines of motion lie on the photo's own pixels.

    Inside objects, motion is interpolated, so the texture of petals is not written into it. Near outlines of the coarse
    affinities, the fast guided filter (He and Sun 2015) takes over: in every window of the coarse grid, motion is an
    affine function of the photo's color, which separates the two sides that a coarse cell mixes. At last, motion is
    smoothed along the photo's colors, where cells on an outline count little: their pixels are filled from the inside
    of the object to which colors join them. Linear in the volume: constant motion stays constant, and motion that
    begins at rest still does.

    Args:
        volume: of B photos.
        photo: [B, 3, H', W'] in 0..1.
        size: (H, W) of the result. A volume that is not smaller than that is only resized.
        affinities: of B grids of the volume's size; None takes the photo's colors.
    """
    if size[0] <= volume.size[0] or size[1] <= volume.size[1]:
        return volume.resize(size)
    outlines = (color_affinities(photo, volume.size) if affinities is None else affinities).outlines()
    near_outlines = resize_maps(F.max_pool2d(outlines, 3, 1, 1), size)
    confidence = resize_maps((1 - outlines).square().clamp_min(MIN_CONFIDENCE), size)
    fine = color_affinities(photo, size, COLOR_SIGMA, outlines)
    coarse_guide, guide = resize_maps(photo, volume.size).split(1, 1), resize_maps(photo, size).split(1, 1)
    guided_filter = GuidedFilter(coarse_guide, GUIDED_RADIUS, GUIDED_EPSILON)
    ratio = volume.coefficients.new_tensor([size[1] / volume.size[1]] * 2 + [size[0] / volume.size[0]] * 2)
    result = volume.coefficients.new_empty(*volume.coefficients.shape[:3], *size)
    bins_at_once = max(1, CHUNK_BYTES // result[:, 0].nbytes)
    for coarse, fine_bins in zip(
        volume.coefficients.split(bins_at_once, 1), result.split(bins_at_once, 1), strict=True
    ):
        maps = (coarse * ratio.view(-1, 1, 1)).flatten(1, 2)  # in pixels of the new grid
        slopes, offset = guided_filter.coefficients(maps)
        guided = resize_maps(offset, size)
        for slope, channel in zip(slopes, guide, strict=True):
            guided.addcmul_(resize_maps(slope, size), channel)
        guided = torch.lerp(resize_maps(maps, size), guided, near_outlines)
        smoothed = edge_aware_smooth(guided, fine, SIGMA * size[1] / volume.size[1], confidence, ROUNDS)
        fine_bins.copy_(smoothed.view_as(fine_bins))
    return volume.replace(coefficients=result)
