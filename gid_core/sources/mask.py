"""A spectral volume from a painted mask: what moves sways on its roots like a sheet of springs.

The paper's motion comes from a model or a clip. Here it comes from the elastic modes of the painted regions, after
the modal analysis that the paper's interaction builds on (Davis et al. 2015), with natural amplitudes of 1/f
(paper section 3).
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..spectral_volume import DEFAULT_BINS, DEFAULT_FPS, DEFAULT_PERIOD, SpectralVolume
from ..tensors import fit_size, mask_batch
from .spring_mesh import Modes, elastic_modes

# Elastic modes a region sways in, at most; higher ones are too fast and small to be seen.
NUM_MODES = 8
# So many of them are to lie below the volume's highest frequency.
IN_REACH = 3
# Share of white above which a pixel is painted.
PAINTED = 0.25
# Connected regions smaller than this, in cells of the mesh, are specks of the brush; and how many regions may sway.
LEAST_CELLS = 4
MOST_REGIONS = 256
# Without roots a region is held along its underside, this share of its extent along gravity deep, from its lowest
# place on until a slope is above STEEPEST. An outline is rough, so slopes are measured over this share of its breadth.
FOOT = 0.05
STEEPEST = 0.6
ROUGH = 0.1
# How broadly a mode answers to gusts of other frequencies than its own (damping ratio of its resonance).
RESONANCE = 0.15
# Width of the soft rim around what moves, in amplitudes, and its limits as shares of the picture's longest side. A
# narrower one tears when the motion is at its widest, a wider one drags the background along.
RIM_PER_AMPLITUDE = 4.0
RIM_LIMITS = 0.01, 0.08
# A swing of more than this share of the longest region bends it out of shape, since mesh points move along lines.
WIDEST_SWING = 0.1
# Longest side of the volume in pixels; rendering scales it to the photo.
LONGEST = 512


@dataclass(frozen=True)
class _Region:
    """A connected part of a mask and how it sways; `length` (pixels) is that of its farthest cell from its roots."""

    pixels: np.ndarray  # bool [H, W]
    modes: Modes  # on the mesh of the whole picture
    length: float


def volume_from_mask(
    mask: Tensor,
    roots: Tensor | None = None,
    gravity_degrees: float = 90.0,
    num_bins: int = DEFAULT_BINS,
    fps: float = DEFAULT_FPS,
    period: int = DEFAULT_PERIOD,
    amplitude: float = 0.01,
    base_frequency: float = 0.5,
    seed: int = 0,
    grid: int = 128,
) -> SpectralVolume:
    """How what is painted white sways on its roots.

    Every connected region becomes a sheet of springs (`spring_mesh.elastic_modes`) and moves in its lowest modes m.
    Their frequencies f_m have the ratios of the sheet; f_1 is `base_frequency` for the longest region and higher for
    shorter ones, in proportion, up to half the volume's highest frequency f_max. Bin k holds

        S_k = sum_m a_m(f_k) e^(i phase_mk) shape_m,    a_m(f) = 2 z / (f_m |1 - r^2 + 2 i z r|),    r = f / g_m,
        g_m = f_1 (f_m / f_1)^c,    c = min(1, log(f_max / f_1) / log(f_3 / f_1))

    with shape_m of height 1 and random phases: an oscillator that gusts drive at every frequency, strongest in the
    bin nearest to g_m, with 1/f amplitudes and the irregularity of wind. A slender stem's modes (1 : 6 : 18) are too
    far apart for the bins; c draws their frequencies, not their amplitudes, together until three have room. Modes
    above the last bin are left out.

    Args:
        mask: [H, W] or [B, H, W] in 0..1, what moves (above 0.25). Around it the motion fades out within 4
            times the amplitude, at least 1 % and at most 8 % of the picture's longest side.
        roots: [H', W'] or [B or 1, H', W'], of the same picture at any size: what is fixed. They need not lie inside
            the mask, but have to touch it; regions they do not touch stay still. None: every region is held along
            its underside, from its lowest place on until that is steep, 5 % of its extent along gravity deep.
        gravity_degrees: where down is in the picture, 0 = to the right, 90 = down. What hangs from above has -90.
        num_bins: K >= 2, frequency slices.
        fps, period: samples a second and samples of the volume's window.
        amplitude: `SpectralVolume.amplitude` of the result, a share of the width, >= 0.
        base_frequency: of the longest region's slowest mode, Hz, above 0 and at most the last bin's.
        seed: of the phases, >= 0.
        grid: cells along the picture's longer side in the mesh, 8 to 256.

    Returns:
        A volume of B photos, at most 512 pixels wide and high, with F_0 = 0: loops begin with the photo.

    Raises:
        ValueError: if a mask is empty or has only specks, if roots touch nothing or cover everything, or if a
            value is outside its range.

    Warns:
        UserWarning: if the roots leave some of several regions without hold, or the amplitude is too large for the
            longest region.
    """
    _check(gravity_degrees, num_bins, fps, period, amplitude, base_frequency, seed, grid)
    painted = mask_batch(mask, len(mask) if getattr(mask, "ndim", 0) == 3 else 1).cpu()
    size = fit_size(painted.shape[-2:], LONGEST)
    hold = None if roots is None else (_roots_on(roots, painted, size) > PAINTED).numpy()
    moves = (_reduced(painted, size) > PAINTED).numpy()
    frequencies = np.arange(num_bins) * (fps / period)
    rim = max(2.0, min(max(RIM_PER_AMPLITUDE * amplitude, RIM_LIMITS[0]), RIM_LIMITS[1]) * max(size))
    slices = []
    for index, white in enumerate(moves):
        held = None if hold is None else hold[index % len(hold)]
        name = "mask" if len(moves) == 1 else f"mask {index + 1}"
        regions = _regions(white, held, gravity_degrees, grid, name)
        sways = _sways(regions, base_frequency, frequencies, seed)
        slices.append(_slices(regions, sways, white, held, rim))
        longest = max(region.length for region in regions)
        if amplitude * size[1] > WIDEST_SWING * longest:
            warnings.warn(
                f"An amplitude of {amplitude:g} is {amplitude * size[1]:.0f} of {size[1]} pixels, and the longest "
                f"region of the {name} is {longest:.0f} pixels long: it is bent out of shape. Lower the amplitude.",
                stacklevel=2,
            )
    volume = SpectralVolume(torch.stack(slices), fps, period, "ramp", {"source": "sway from mask"})
    scale = (amplitude / volume.amplitude).view(-1, 1, 1, 1, 1)
    return volume.replace(coefficients=volume.coefficients * scale).at_rest()


def _sways(regions: list[_Region], base: float, frequencies: np.ndarray, seed: int) -> list[np.ndarray]:
    """How every region's modes take part in every bin: complex [K, M] each."""
    longest = max(region.length for region in regions)
    # A short region would be too fast to be seen, or not be in the volume at all; its swing stays short even so.
    fastest = max(base, frequencies[-1] / 2)
    sways = []
    for rank, region in enumerate(regions):
        lowest = base * longest / region.length
        sway = _response(region.modes.frequencies, min(lowest, fastest), frequencies, (seed, rank))
        sways.append(sway * min(1.0, fastest / lowest))
    return sways


def _slices(
    regions: list[_Region], sways: list[np.ndarray], moves: np.ndarray, hold: np.ndarray | None, rim: float
) -> Tensor:
    """Slices float32 [K, 4, H, W] of the regions of one mask [H, W], in any unit."""
    total = torch.zeros(len(sways[0]), 4, *moves.shape)
    weight = torch.zeros(moves.shape)
    for region, sway in zip(regions, sways, strict=True):
        window, near = _near(region.pixels, moves, rim)
        shapes = _on_pixels(region.modes, moves.shape, window, rim)
        mixed = torch.view_as_real(torch.from_numpy(sway)).float()
        total[(..., *window)] += torch.einsum("kmp,mdyx->kdpyx", mixed, shapes).flatten(1, 2) * near
        weight[window] += near
    total /= weight.clamp_min(1)  # rims that overlap share what is between their regions
    return total if hold is None else total * torch.from_numpy(~hold)


def _response(modes: np.ndarray, lowest: float, frequencies: np.ndarray, seed: tuple[int, int]) -> np.ndarray:
    """c_mk = a_m(f_k) e^(i phase_mk) of `volume_from_mask`: complex [K, M]; `lowest` in Hz belongs to modes[0]."""
    phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, (NUM_MODES, len(frequencies)))[: len(modes)]
    step, highest = frequencies[1], frequencies[-1]
    ratio = modes / modes[0]
    room = math.log(max(highest / lowest, 1))
    squeeze = min(1.0, room / max(math.log(ratio[:IN_REACH][-1]), 1e-9))
    # The nearest bin, so that every mode peaks in one.
    own = np.maximum(np.floor(lowest * ratio**squeeze / step + 0.5), 1) * step
    r = frequencies / own[:, None]
    height = 2 * RESONANCE / np.abs(1 - r**2 + 2j * RESONANCE * r) / ratio[:, None] / lowest
    height[own > highest * (1 + 1e-6)] = 0
    height[:, 0] = 0
    mixed = height * np.exp(1j * phase)
    # Begin where the modes pass their middle, so that the photo is not one end of the sway.
    turns = np.exp(2j * np.pi * np.arange(len(frequencies)) * np.arange(256)[:, None] / 256)
    swing = (turns @ mixed.T).real
    return (mixed * turns[np.square(swing).sum(1).argmin()]).T


def _near(pixels: np.ndarray, moves: np.ndarray, rim: float) -> tuple[tuple[slice, slice], Tensor]:
    """The window around a region, and in it how much its motion counts: 1 inside, falling to 0 over the rim outside."""
    import cv2

    margin = math.ceil(rim)
    window = tuple(
        slice(max(0, int(line[0]) - margin), int(line[-1]) + 1 + margin)
        for line in (np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0)))
    )
    inside = pixels[window]
    distance = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    rest = np.clip(1 - distance / rim, 0, 1) * (inside | ~moves[window])
    near = np.where(inside, 1, rest * rest * (3 - 2 * rest))
    return window, torch.from_numpy(near).float()


def _on_pixels(modes: Modes, size: tuple[int, int], window: tuple[slice, slice], rim: float) -> Tensor:
    """Mode shapes float32 [M, 2, h, w] on the pixels of a window, continued a little beyond the mesh; height 1."""
    # Mesh corner i lies at pixel i * step - 1/2.
    steps = [side / (corners - 1) for side, corners in zip(size, modes.mass.shape, strict=True)]
    parts = tuple(
        slice(max(0, int(pixels.start / step) - 1), math.ceil(pixels.stop / step) + 2)
        for pixels, step in zip(window, steps, strict=True)
    )
    shapes = torch.from_numpy(modes.shapes[(..., *parts)]).float()
    shapes = shapes / shapes.norm(dim=1).amax((1, 2)).view(-1, 1, 1, 1)
    known = torch.from_numpy(modes.mass[parts] > 0).float()[None, None]
    around = torch.ones(1, 1, 3, 3)
    for _ in range(math.ceil(rim / min(steps)) + 1):
        count = F.conv2d(known, around, padding=1)
        mean = F.conv2d(shapes.flatten(0, 1)[:, None], around, padding=1).view_as(shapes) / count.clamp_min(1)
        shapes = torch.where(known > 0, shapes, mean)
        known = (count > 0).float()
    places = []  # from the first to the last corner in -1..1, as grid_sample counts
    for side, step, pixels, part, corners in zip(size, steps, window, parts, shapes.shape[-2:], strict=True):
        center = (torch.arange(side)[pixels].float() + 0.5) / step - part.start
        places.append(center * (2 / (corners - 1)) - 1)
    where = torch.stack(torch.meshgrid(*places, indexing="ij")[::-1], -1)[None]
    return F.grid_sample(shapes.flatten(0, 1)[None], where, align_corners=True)[0].unflatten(0, (-1, 2))


def _regions(moves: np.ndarray, hold: np.ndarray | None, gravity: float, grid: int, name: str) -> list[_Region]:
    """The connected regions of a mask [H, W] that can sway, largest first."""
    import cv2

    if not moves.any():
        raise ValueError(f"The {name} is black everywhere; paint white what is to move.")
    cells = fit_size(moves.shape, grid)
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(moves.astype(np.uint8), connectivity=8)
    order = 1 + np.argsort(-statistics[1:, cv2.CC_STAT_AREA], kind="stable")
    rooted, loose, regions = 0, 0, []
    for label in order[:MOST_REGIONS]:
        pixels = labels == label
        solid = _in_cells(pixels, cells)
        if np.count_nonzero(solid) < LEAST_CELLS:
            continue
        held = _foot(solid > 0, gravity) if hold is None else _rooted(pixels, solid > 0, hold)
        loose += not held.any()
        rooted += held.any()
        if held.any() and not held[solid > 0].all():
            regions.append(_region(pixels, solid, held, gravity))
    if loose and regions:
        warnings.warn(
            f"The roots touch {rooted} of the {rooted + loose} regions of the {name}; the others stay still. Paint "
            "roots where they are fixed, or join them to what holds them.",
            stacklevel=3,
        )
    if regions:
        return regions
    if not rooted + loose:
        raise ValueError(
            f"The {name} holds only specks of fewer than {LEAST_CELLS} mesh cells (of {cells[1]} x {cells[0]} in the "
            "picture); paint a larger region, or use a finer grid."
        )
    if not rooted:
        raise ValueError(
            f"The roots touch no region of the {name}, so nothing holds it; paint roots that overlap or adjoin what "
            "is to move, or leave them out to have them found by gravity."
        )
    cause = "The roots hold" if hold is not None else "Its foot is"
    raise ValueError(f"{cause} all of the {name}; paint a larger region, or roots only where it is fixed.")


def _region(pixels: np.ndarray, density: np.ndarray, held: np.ndarray, gravity: float) -> _Region:
    """A region's modes, each with a sign that turns with the picture, and its length."""
    import cv2

    solid = density > 0
    distance = cv2.distanceTransform((~held).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # The mesh is solved in its own corner of the grid: the rest of the picture only costs time.
    box = tuple(slice(line[0], line[-1] + 1) for line in (np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))))
    corners = tuple(slice(part.start, part.stop + 1) for part in box)
    modes = elastic_modes(density[box], held[box], NUM_MODES)
    down = _direction(gravity)
    push = np.einsum("mdyx,yx->md", modes.shapes, modes.mass)  # how far the whole goes
    across, along = push @ [-down[1], down[0]], push @ down
    sign = np.where(np.where(np.abs(across) > 1e-4 * np.abs(along), across, along) < 0, -1.0, 1.0)
    shapes = np.zeros((len(sign), 2, solid.shape[0] + 1, solid.shape[1] + 1))
    shapes[(..., *corners)] = modes.shapes * sign[:, None, None, None]
    mass = np.zeros(shapes.shape[2:])
    mass[corners] = modes.mass
    length = float(distance[solid].max()) * max(pixels.shape) / max(solid.shape)
    return _Region(pixels, replace(modes, shapes=shapes, mass=mass), length)


def _rooted(pixels: np.ndarray, solid: np.ndarray, hold: np.ndarray) -> np.ndarray:
    """Cells of a region that the roots overlap; if none, those beside them."""
    import cv2

    inside = _in_cells(pixels & hold, solid.shape) > 0
    if inside.any():
        return inside
    return solid & (cv2.dilate((_in_cells(hold, solid.shape) > 0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)


def _foot(solid: np.ndarray, gravity: float) -> np.ndarray:
    """Cells on which a region stands: a band along its underside, from its lowest places on until that is too steep.

    What is tall above its sloping underside stands on all of it; what is flat leans, and is held at its low end only.
    """
    down = _direction(gravity)
    rows, columns = np.nonzero(solid)
    places = np.stack([columns, rows], 1)
    depth, across = places @ down, places @ [-down[1], down[0]]
    breadth = np.abs(down).sum()  # of a cell, seen along gravity
    strip = np.floor((across - across.min()) / breadth + 1e-6).astype(int)
    underside = np.full(strip.max() + 1, -np.inf)
    np.maximum.at(underside, strip, depth)
    height = np.ptp(depth)
    band = FOOT * height + 1e-6
    lowest = underside >= depth.max() - band
    stands = _onwards(lowest, underside, breadth) | _onwards(lowest[::-1], underside[::-1], breadth)[::-1]
    level = np.full(len(underside), depth.max())
    if underside[stands].min() >= depth.max() - height / 2:
        level[stands] = underside[stands]
    held = depth >= level[strip] - band
    foot = np.zeros_like(solid)
    foot[rows[held], columns[held]] = True
    return foot


def _onwards(lowest: np.ndarray, underside: np.ndarray, breadth: float) -> np.ndarray:
    """Strips that one reaches from the lowest, in rising order, on slopes of at most `STEEPEST`: bool [n]."""
    window = max(3, round(ROUGH * len(lowest)))
    stands = lowest.copy()
    for here in range(1, len(stands)):
        if stands[here - 1] and not stands[here]:
            last = slice(max(0, here - window), here)
            climb = np.median(underside[last][stands[last]]) - np.median(underside[here : here + window])
            stands[here] = climb <= STEEPEST * window * breadth
    return stands


def _direction(degrees: float) -> np.ndarray:
    """Unit vector (x, y) of an angle in the picture; exact along its sides."""
    return np.round([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))], 12)


def _in_cells(pixels: np.ndarray, cells: tuple[int, int]) -> np.ndarray:
    """The share of each cell [h, w] that is covered by pixels [H, W] (bool)."""
    import cv2

    return cv2.resize(pixels.astype(np.float32), cells[::-1], interpolation=cv2.INTER_AREA)


def _reduced(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Masks [B, H, W] at another size, by the largest value in each pixel: what is thin does not fade."""
    return F.adaptive_max_pool2d(masks, size)


def _roots_on(roots: Tensor, masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Roots checked against the masks they belong to, at the volume's size: [B or 1, H, W]."""
    held = mask_batch(roots, len(masks), "roots").cpu()
    (height, width), (own_height, own_width) = masks.shape[-2:], held.shape[-2:]
    if abs(own_width * height - own_height * width) > 0.02 * own_height * width + max(own_width, width):
        raise ValueError(
            f"roots is {own_width} x {own_height} and mask {width} x {height}: they are not of one picture. "
            "Paint the roots on the same picture as the mask."
        )
    if not bool((held > PAINTED).any()):
        raise ValueError(
            "roots is black everywhere; paint where the region is held, or leave roots out to have them found by "
            "gravity."
        )
    return _reduced(held, size)


def _check(gravity, num_bins, fps, period, amplitude, base_frequency, seed, grid) -> None:
    """ValueError for numbers outside `volume_from_mask`'s ranges."""
    if not math.isfinite(gravity):
        raise ValueError(f"gravity_degrees must be a finite angle (90 = down); got {gravity}.")
    if num_bins < 2 or period < 2 * (num_bins - 1) or not (math.isfinite(fps) and fps > 0):
        raise ValueError(
            "A swaying volume needs num_bins of at least 2, a period of at least 2 (num_bins - 1) samples and fps > 0; "
            f"got num_bins={num_bins}, period={period}, fps={fps}."
        )
    if not (math.isfinite(amplitude) and amplitude >= 0):
        raise ValueError(f"amplitude must be >= 0, a share of the picture's width; got {amplitude}.")
    highest = (num_bins - 1) * fps / period
    if not 0 < base_frequency <= highest * (1 + 1e-6):
        raise ValueError(
            f"base_frequency must be above 0 and at most the last bin's {highest:g} Hz; got {base_frequency}."
        )
    if seed < 0:
        raise ValueError(f"seed must be >= 0; got {seed}.")
    if not 8 <= grid <= 256:
        raise ValueError(f"grid must be 8 to 256 cells along the picture's longer side; got {grid}.")
