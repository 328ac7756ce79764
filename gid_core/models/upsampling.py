"""Upsample a coarse volume along the edges of the photo."""

from __future__ import annotations

from torch import Tensor

from ..spectral_volume import SpectralVolume
from ..tensors import GuidedFilter, resize_maps

# The guided filter's windows are 3 x 3 pixels of the volume. Where the variance of the color (0..1) in a window is
# below EPSILON, the window has no edge.
RADIUS = 1
EPSILON = 1e-3


def upsample_to_photo(volume: SpectralVolume, photo: Tensor, size: tuple[int, int]) -> SpectralVolume:
    """Upsample a volume to an (H, W) grid so that its edges follow the photo's.

    This is the fast guided filter (He and Sun 2015): in every window of the coarse grid, motion is an affine function
    of the photo's color. Its four coefficients are interpolated and applied to the fine photo. The filter is linear in
    the volume: constant motion stays constant, and motion that begins at rest still does.

    Args:
        volume: of B photos.
        photo: [B, 3, H', W'] in 0..1.
        size: (H, W) of the result. A volume that is not smaller than that is only resized.
    """
    if size[0] <= volume.size[0] or size[1] <= volume.size[1]:
        return volume.resize(size)
    guided_filter = GuidedFilter(resize_maps(photo, volume.size).split(1, 1), RADIUS, EPSILON)
    slopes, offset = guided_filter.coefficients(volume.coefficients.flatten(1, 2))
    upsampled = resize_maps(offset, size)
    for slope, channel in zip(slopes, resize_maps(photo, size).split(1, 1), strict=True):
        upsampled.addcmul_(resize_maps(slope, size), channel)
    upsampled = upsampled.view(len(volume), -1, 4, *size)
    ratio = upsampled.new_tensor([size[1] / volume.size[1]] * 2 + [size[0] / volume.size[0]] * 2)
    return volume.replace(coefficients=upsampled.mul_(ratio.view(1, 1, 4, 1, 1)))
