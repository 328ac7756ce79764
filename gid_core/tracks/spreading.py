"""Motion of all pixels of a photo from the tracks of a few points: it spreads along objects, not across outlines.

The tracks' Fourier coefficients are placed in the cells where the tracks begin, and `edge_aware_smooth` carries them to
the cells around. Every cell has a small weight of its own for standing still, so that motion ends some way from all
tracks, and behind outlines. The smoothed motion is not exact at the tracks themselves; what is left there is spread in
turn, over shorter and shorter distances.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..edge_aware_smoothing import Affinities, color_affinities, edge_aware_smooth
from ..motion import Motion, playback_coordinates
from ..notices import warn
from ..spectral_volume import DEFAULT_BINS, SpectralVolume, temporal_dft
from ..tensors import fit_size, image_batch, mask_batch, resize_mask, to_tensor
from ..validation import MAX_FRAMES, check_instance, check_integer, check_number
from .photo_view import PhotoView
from .track_list import Tracks

DEFAULT_SPREAD = 0.1  # of the grid's longer side
DEFAULT_MAX_SIZE = 384  # cells of the volume's longer side
# Weight of standing still, as a multiple of what a single track has in its own cell after smoothing without outlines.
STILLNESS = 0.05
# Exponents of color affinities, and of those that count at given outlines only: the ones with the least error over five
# painted scenes, from 60 tracks each. Lower ones leak across weak outlines, higher ones stop inside objects.
EXPONENT, OUTLINED_EXPONENT = 2.0, 4.0
# Each pass spreads what the passes before left over this multiple of their distance; the last is repeated.
SIGMA_RATIO = 0.25
MIN_SIGMA = 1.0  # cells of the last passes
LAST_PASSES = 2
# Tracks move in few ways at once: components below this multiple of the largest one are left out.
MIN_COMPONENT = 1e-4
# Tracks whose ends are nearer to their beginnings than this multiple of their largest displacement are loops.
CLOSED_RATIO = 0.05
CLOSED_DISTANCE = 0.05  # pixels: nearer ends meet in any case


def motion_from_tracks(
    tracks: Tracks,
    photo: Tensor,
    *,
    num_bins: int = DEFAULT_BINS,
    spread: float = DEFAULT_SPREAD,
    max_size: int = DEFAULT_MAX_SIZE,
    mask: Tensor | None = None,
    outlines: Tensor | None = None,
) -> Motion:
    """The motion of a whole photo in which a few points move along given tracks.

    Tracks that end where they began are one period of a loop. Other tracks are played once; their volume has the
    period of going forth and back again, so that it loops without a jump.

    Args:
        tracks: of B motions, in a picture that shows the photo, or its middle (see `PhotoView`). A track of equal
            points holds its surroundings still. Tracks that begin outside the photo are left out, with a warning.
        photo: [H, W, C] or [B or 1, H, W, C] in 0..1.
        num_bins: frequencies of the tracks to keep, the constant one included, 1 to 100; fewer if the tracks are short.
            The highest one is (num_bins - 1) / seconds of the tracks.
        spread: how far motion reaches inside an object: the standard deviation as a fraction of the longer side, 0..1.
        max_size: longer side of the volume in pixels, at most the photo's.
        mask: [H', W'] or [B', H', W'] in 0..1, white moves.
        outlines: [B or 1, 1, h, w] in 0..1, where objects end (`GIDPipeline.outlines`); colors count only there. None
            takes all edges of the photo for outlines.

    Returns:
        A `Motion` at the tracks' fps. Its `volume` holds `num_bins` frequencies, or nearly twice as many of tracks that
        are no loop.

    Raises:
        ValueError: if the tracks have one point in time or all begin outside, or an argument is out of range.
    """
    check_instance("tracks", tracks, Tracks, "Tracks, of follow_points or parse_tracks")
    if len(tracks) < 2:
        raise ValueError("Tracks of a single point do not move; give each track at least 2 points.")
    closed = _are_closed(tracks)
    longest, kind = (MAX_FRAMES, "a loop") if closed else (MAX_FRAMES // 2 + 1, "no loop: it goes forth and back")
    check_integer("The number of points of a track", len(tracks), 2, longest, meaning=kind)
    num_bins = check_integer("num_bins", num_bins, 1, 100)
    spread = check_number("spread", spread, 0, 1, meaning="a fraction of the longer side")
    max_size = check_integer("max_size", max_size, 8, 4096, meaning="pixels")
    photos = image_batch(photo, "photo")[:, :3]
    batch = len(tracks.positions)
    if len(photos) not in (1, batch):
        raise ValueError(f"Got {len(photos)} photos for {batch} motions; give one photo, or one for each motion.")
    size = fit_size(photos.shape[-2:], max_size)
    view = PhotoView((photos.shape[-2], photos.shape[-1]), tracks.size)
    affinities = color_affinities(photos, size, outlines=_check_outlines(outlines, len(photos)))
    affinities = affinities.power(EXPONENT if outlines is None else OUTLINED_EXPONENT)
    if len(photos) < batch:
        affinities = affinities.repeat_interleave(batch)

    displacement = tracks.displacement.permute(0, 2, 3, 1).unsqueeze(-2)  # [B, T, 2, 1, N]
    displacement = displacement / displacement.new_tensor(view.pixels_per_cell(size)).view(2, 1, 1)
    period = displacement[:, :-1] if closed else torch.cat([displacement, displacement[:, 1:-1].flip(1)], 1)
    bins = min(num_bins if closed else 2 * num_bins - 1, period.shape[1] // 2 + 1)
    values = temporal_dft(period, bins).flatten(1, 2)[:, :, 0]  # [B, K * 4, N]
    cells = view.on_grid(tracks.positions[:, :, 0], size)
    maps = _spread_batch(values, cells, affinities, spread * max(size))
    volume = SpectralVolume(maps.unflatten(1, (bins, 4)), tracks.fps, period.shape[1], metadata={"source": "tracks"})
    if mask is not None:
        soft = resize_mask(mask_batch(mask, batch), size).unsqueeze(1)
        volume = volume.replace(coefficients=volume.coefficients * soft.to(maps))
    time = torch.arange(len(tracks) - closed, dtype=torch.float64)
    return Motion(volume, playback_coordinates(volume, time), tracks.fps, loops=closed)


def spread_values(values: Tensor, cells: Tensor, affinities: Affinities, sigma: float) -> Tensor:
    """Spread values from single cells of one grid along its affinities.

    Args:
        values: float [C, N].
        cells: float [N, 2], (x, y) inside the grid, cell centers at integers.
        affinities: of one grid of H x W cells.
        sigma: standard deviation in cells inside an object, >= 0.

    Returns:
        float32 [C, H, W]: about the values in their cells (their mean where cells share several), near 0 far from all.
    """
    height, width = affinities.size
    x, y = (cells[:, i].round().long().clamp(0, side - 1) for i, side in enumerate((width, height)))
    index, grid = y * width + x, PhotoView((height, width), (height, width))
    weight = values.new_zeros(1, height * width).index_add_(1, index, values.new_ones(1, len(index)))
    result, remaining = values.new_zeros(len(values), height, width), values
    for level_sigma in _sigmas(sigma):
        placed = values.new_zeros(len(values), height * width).index_add_(1, index, remaining)
        maps = torch.cat([placed, weight]).view(1, -1, height, width)
        smoothed = edge_aware_smooth(maps, affinities, level_sigma)[0]
        stillness = STILLNESS / (1 + 2 * math.pi * level_sigma**2)
        result += smoothed[:-1] / (smoothed[-1:] + stillness)
        remaining = values - grid.sample(result[None], cells)[0]
    return result


def _sigmas(sigma: float) -> list[float]:
    """Standard deviations of the passes, in cells, from the widest down."""
    passes = [sigma]
    while passes[-1] * SIGMA_RATIO >= MIN_SIGMA:
        passes.append(passes[-1] * SIGMA_RATIO)
    return passes + [min(sigma, MIN_SIGMA)] * LAST_PASSES


def _spread_batch(values: Tensor, cells: Tensor, affinities: Affinities, sigma: float) -> Tensor:
    """`spread_values` of each motion of a batch, without the tracks that begin outside: [B, C, H, W]."""
    height, width = affinities.size
    inside = ((cells >= -0.5) & (cells <= cells.new_tensor([width - 0.5, height - 0.5]))).all(-1)  # [B, N]
    if not bool(inside.any(1).all()):
        raise ValueError(
            "All tracks begin outside the picture. Set the width and height of the picture in which they were drawn."
        )
    if not bool(inside.all()):
        warn(f"{int((~inside).sum())} of {inside.numel()} tracks begin outside the picture and are left out.")
    maps = []
    for i, keep in enumerate(inside):
        single = Affinities(affinities.horizontal[i : i + 1], affinities.vertical[i : i + 1])
        # Spreading is linear: the few components of the values are spread instead of every coefficient.
        left, strength, right = torch.linalg.svd(values[i][:, keep].double().cpu(), full_matrices=False)
        rank = max(1, int((strength > MIN_COMPONENT * strength[0]).sum()))
        components = (strength[:rank, None] * right[:rank]).to(values)
        spread = spread_values(components, cells[i][keep], single, sigma)
        maps.append(torch.tensordot(left[:, :rank].to(values), spread, 1))
    return torch.stack(maps)


def _are_closed(tracks: Tracks) -> bool:
    """Whether all tracks end where they began, and move between."""
    length = torch.hypot(*tracks.displacement.unbind(-1))
    gap = max(CLOSED_DISTANCE, CLOSED_RATIO * float(length.max()))
    return len(tracks) > 2 and float(length[:, :, -1].max()) <= gap


def _check_outlines(outlines: Tensor | None, count: int) -> Tensor | None:
    if outlines is None:
        return None
    maps = to_tensor(outlines, "outlines", "[B, 1, h, w]").float()
    if maps.ndim != 4 or maps.shape[1] != 1 or 0 in maps.shape or maps.shape[0] not in (1, count):
        raise ValueError(f"outlines must be [1 or {count}, 1, h, w] in 0..1; got {list(maps.shape)}.")
    if not bool(((maps >= 0) & (maps <= 1)).all()):
        raise ValueError("outlines must be in 0..1; some values are not.")
    return maps
