"""Upsample a coarse volume along the outlines of the photo."""

from __future__ import annotations

from torch import Tensor

from ..edge_aware_smoothing import Affinities, color_affinities, edge_aware_smooth
from ..spectral_volume import SpectralVolume
from ..tensors import resize_maps

# Standard deviation of the smoothing in cells of the coarse volume: what a cell on an outline takes its motion from.
SIGMA = 1.5
COLOR_SIGMA = 6.0  # CIE Lab difference between neighboring pixels that counts as an outline
MIN_CONFIDENCE = 0.02  # of coarse cells on an outline, whose motion is a mixture of both sides
ROUNDS = 1


def upsample_to_photo(
    volume: SpectralVolume, photo: Tensor, size: tuple[int, int], affinities: Affinities | None = None
) -> SpectralVolume:
    """Upsample a volume to an (H, W) grid so that outlines of motion lie on the photo's own pixels.

    Coarse cells inside objects keep their motion. Cells on an outline mix the motion of both sides, so their fine
    pixels are filled from the inside of the object to which the photo's colors join them. Colors count only near
    outlines of the coarse affinities, so the texture of petals is not written into the motion. Linear in the volume:
    constant motion stays constant, and motion that begins at rest still does.

    Args:
        volume: of B photos.
        photo: [B, 3, H', W'] in 0..1.
        size: (H, W) of the result. A volume that is not smaller than that is only resized.
        affinities: of B grids of the volume's size; None takes the photo's colors.
    """
    if size[0] <= volume.size[0] or size[1] <= volume.size[1]:
        return volume.resize(size)
    outlines = (color_affinities(photo, volume.size) if affinities is None else affinities).outlines()
    fine = color_affinities(photo, size, COLOR_SIGMA, outlines)
    confidence = resize_maps((1 - outlines).square().clamp_min(MIN_CONFIDENCE), size)
    maps = volume.resize(size).coefficients
    sigma = SIGMA * size[1] / volume.size[1]
    smoothed = edge_aware_smooth(maps.flatten(1, 2), fine, sigma, confidence, ROUNDS)
    return volume.replace(coefficients=smoothed.view_as(maps))
