"""The connected regions of a painted mask and their elastic modes: which parts are held, and how each part can sway."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ..notices import warn
from ..tensors import fit_size
from .spring_mesh import ElasticModes, elastic_modes

# Largest number of elastic modes per region. Higher modes are too fast and too small to be seen.
MAX_MODES = 8
# Regions with fewer mesh cells are taken for unintended dots of the brush and ignored.
MIN_CELLS = 4
# Largest number of regions per mask; of more regions, the largest ones are used.
MAX_REGIONS = 256
# Without roots a region is held in a band along its underside. The depth of the band is this fraction of the region's
# extent along gravity.
SUPPORT_DEPTH = 0.05
# The band extends from the lowest point until the underside has a steeper slope than this (rise over run).
MAX_SLOPE = 0.6
# Outlines are rough, so the slope is measured over this fraction of the region's width across gravity.
SLOPE_WINDOW = 0.1


@dataclass(frozen=True)
class Region:
    """A connected part of a mask, with its elastic modes.

    Attributes:
        pixels: bool [H, W].
        modes: on a mesh of the whole image.
        length: distance in pixels from the held cells to the farthest cell.
        stiffness: the mean of its cells, 1 where nothing says otherwise.
    """

    pixels: np.ndarray
    modes: ElasticModes
    length: float
    stiffness: float


def find_regions(
    painted: np.ndarray,
    roots: np.ndarray | None,
    gravity_degrees: float,
    grid: int,
    name: str,
    *,
    pinned: np.ndarray,
    stiffness: np.ndarray,
) -> list[Region]:
    """The connected regions of a mask that can sway, largest first.

    Args:
        painted: bool [H, W], the pixels that can move.
        roots: bool [H, W], the pixels that are held; None holds every region along its underside.
        gravity_degrees: direction of gravity, 0 = right, 90 = down.
        grid: mesh cells along the image's longer side.
        name: of the mask in errors and warnings.
        pinned: bool [H, W], pixels that are held, too. Regions that they do not touch are held as if there were none.
        stiffness: float32 [H, W], of the springs, 1 is usual.

    Raises:
        ValueError: if no region can sway, with the reason.

    Warns:
        UserWarning: if the roots touch only some of the regions.
    """
    from ..packages import cv2

    if not painted.any():
        raise ValueError(f"The {name} is black everywhere; paint white what is to move.")
    mesh_size = fit_size(painted.shape, grid)
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(painted.astype(np.uint8), connectivity=8)
    largest_first = 1 + np.argsort(-statistics[1:, cv2.CC_STAT_AREA], kind="stable")
    num_held, num_loose = 0, 0
    regions: list[Region] = []
    for label in largest_first[:MAX_REGIONS]:
        pixels = labels == label
        density = cell_means(pixels, mesh_size)
        solid = density > 0
        if np.count_nonzero(density) < MIN_CELLS:
            continue
        held = _rooted_cells(pixels, solid, pinned if roots is None else roots | pinned)
        if roots is None and not held.any():
            held = support_cells(solid, gravity_degrees)
        num_loose += int(not held.any())
        num_held += int(held.any())
        if held.any() and (_corners(solid) & ~_corners(held & solid)).any():
            cells = cell_means(stiffness, mesh_size)
            regions.append(_build_region(pixels, density, held, gravity_degrees, cells))
    if num_loose and regions:
        warn(
            f"The roots touch {num_held} of the {num_held + num_loose} regions of the {name}; the others stay still. "
            "Paint roots where they are fixed, or connect them to a region that is held."
        )
    if regions:
        return regions
    if not num_held + num_loose:
        raise ValueError(
            f"The {name} holds only specks of fewer than {MIN_CELLS} mesh cells (of {mesh_size[1]} x {mesh_size[0]} in "
            "the image); paint a larger region, or use a finer grid."
        )
    if not num_held:
        raise ValueError(
            f"The roots touch no region of the {name}, so nothing holds it; paint roots that overlap or adjoin what "
            "is to move, or leave them out to hold it along its underside."
        )
    cause = "The roots hold" if roots is not None else "The pins hold" if pinned.any() else "Its underside holds"
    raise ValueError(f"{cause} all of the {name}; paint a larger region, or hold it only where it is fixed.")


def support_cells(solid: np.ndarray, gravity_degrees: float) -> np.ndarray:
    """Cells on which a region stands: a band along its underside, from its lowest points to where it becomes steep.

    A region that is tall above a sloping underside is held along all of it. A flat region that leans is held only at
    its low end.

    Args:
        solid: bool [h, w], the region's cells.
        gravity_degrees: direction of gravity, 0 = right, 90 = down.

    Returns:
        bool [h, w].
    """
    down = _unit_vector(gravity_degrees)
    rows, columns = np.nonzero(solid)
    cells = np.stack([columns, rows], 1)
    depth, across = cells @ down, cells @ [-down[1], down[0]]
    cell_width = np.abs(down).sum()  # of a cell, seen along gravity
    strip = np.floor((across - across.min()) / cell_width + 1e-6).astype(int)
    underside = np.full(strip.max() + 1, -np.inf)
    np.maximum.at(underside, strip, depth)
    height = np.ptp(depth)
    band = SUPPORT_DEPTH * height + 1e-6
    lowest = underside >= depth.max() - band
    supported = _extend_support(lowest, underside, cell_width)
    supported |= _extend_support(lowest[::-1], underside[::-1], cell_width)[::-1]
    level = np.full(len(underside), depth.max())
    if underside[supported].min() >= depth.max() - height / 2:
        level[supported] = underside[supported]
    held = depth >= level[strip] - band
    support = np.zeros_like(solid)
    support[rows[held], columns[held]] = True
    return support


def _corners(cells: np.ndarray) -> np.ndarray:
    """The corners of true cells [h, w]: bool [h + 1, w + 1]."""
    padded = np.pad(cells, 1)
    return padded[:-1, :-1] | padded[:-1, 1:] | padded[1:, :-1] | padded[1:, 1:]


def cell_means(values: np.ndarray, mesh_size: tuple[int, int]) -> np.ndarray:
    """The mean in each cell [h, w] of values [H, W]: float32. The mean of bool is the fraction that they cover."""
    from ..packages import cv2

    return cv2.resize(values.astype(np.float32), mesh_size[::-1], interpolation=cv2.INTER_AREA)


def bounding_box(pixels: np.ndarray, margin: int = 0) -> tuple[slice, slice]:
    """Slices (rows, columns) around the true pixels [H, W], extended by a margin in pixels within the image."""
    rows, columns = (
        slice(max(0, int(line[0]) - margin), int(line[-1]) + 1 + margin)
        for line in (np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0)))
    )
    return rows, columns


def _build_region(
    pixels: np.ndarray, density: np.ndarray, held: np.ndarray, gravity_degrees: float, stiffness: np.ndarray
) -> Region:
    """A region with its modes and its length. The sign of every mode follows gravity, so that it turns with the image.

    Args:
        pixels: bool [H, W].
        density: float32 [h, w], the covered fraction of each cell.
        held: bool [h, w], the held cells.
        gravity_degrees: direction of gravity.
        stiffness: float32 [h, w], of the cells.
    """
    from ..packages import cv2

    solid = density > 0
    distance = cv2.distanceTransform((~held).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # Solve the mesh in the bounding box of the region: empty cells only cost time.
    box = rows, columns = bounding_box(solid)
    corners = slice(rows.start, rows.stop + 1), slice(columns.start, columns.stop + 1)
    modes = elastic_modes(density[box], held[box], MAX_MODES, stiffness[box])
    down = _unit_vector(gravity_degrees)
    mean_displacement = np.einsum("mdyx,yx->md", modes.shapes, modes.mass)
    across, along = mean_displacement @ [-down[1], down[0]], mean_displacement @ down
    sign = np.where(np.where(np.abs(across) > 1e-4 * np.abs(along), across, along) < 0, -1.0, 1.0)
    shapes = np.zeros((len(sign), 2, solid.shape[0] + 1, solid.shape[1] + 1))
    shapes[..., corners[0], corners[1]] = modes.shapes * sign[:, None, None, None]
    mass = np.zeros(shapes.shape[2:])
    mass[corners] = modes.mass
    length = float(distance[solid].max()) * max(pixels.shape) / max(solid.shape)
    mean_stiffness = float(np.average(stiffness, weights=density))
    return Region(pixels, replace(modes, shapes=shapes, mass=mass), length, mean_stiffness)


def _rooted_cells(pixels: np.ndarray, solid: np.ndarray, roots: np.ndarray) -> np.ndarray:
    """Cells of a region that the roots overlap; if there are none, the cells beside the roots."""
    from ..packages import cv2

    overlap = cell_means(pixels & roots, solid.shape) > 0
    if overlap.any():
        return overlap
    root_cells = (cell_means(roots, solid.shape) > 0).astype(np.uint8)
    return solid & (cv2.dilate(root_cells, np.ones((3, 3), np.uint8)) > 0)


def _extend_support(lowest: np.ndarray, underside: np.ndarray, cell_width: float) -> np.ndarray:
    """Extend support from the lowest strips to the following ones while the slope is at most `MAX_SLOPE`: bool [n].

    Args:
        lowest: bool [n], the strips to start from.
        underside: float [n], the lowest point of every strip along gravity, in cells.
        cell_width: width of a strip in cells.
    """
    window = max(3, round(SLOPE_WINDOW * len(lowest)))
    supported = lowest.copy()
    for i in range(1, len(supported)):
        if supported[i - 1] and not supported[i]:
            previous = slice(max(0, i - window), i)
            rise = np.median(underside[previous][supported[previous]]) - np.median(underside[i : i + window])
            supported[i] = rise <= MAX_SLOPE * window * cell_width
    return supported


def _unit_vector(degrees: float) -> np.ndarray:
    """Unit vector (x, y) of an angle in the image; exact for multiples of 90 degrees."""
    return np.round([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))], 12)
