"""A sheet of springs over a grid of cells, held somewhere, and the ways in which it sways most easily."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# A cell that its material only grazes still carries this share of it: a thread holds what hangs on it.
LEAST_DENSITY = 0.25
# Up to this many unknowns the eigenproblem is solved whole.
DENSE = 160


@dataclass(frozen=True)
class Modes:
    """The lowest elastic modes of a mesh, slowest first.

    Attributes:
        frequencies: float64 [M], angular, in units of the mesh (only their ratios mean something).
        shapes: float64 [M, 2, h + 1, w + 1], (x, y) displacement of the cells' corners; 0 where nothing is or where
            it is held. Their kinetic energies at equal speed are the same: sum mass * shape^2 = 1.
        mass: float64 [h + 1, w + 1], of the corners, in sum 1 (the held ones count).
    """

    frequencies: np.ndarray
    shapes: np.ndarray
    mass: np.ndarray


def elastic_modes(density: np.ndarray, held: np.ndarray, count: int) -> Modes:
    """Lowest eigenmodes of a sheet of springs (the modal analysis of Davis et al. 2015 on a mesh instead of a video).

    Every cell is a square of four springs along its sides and two across, half as stiff again each, which together
    are an isotropic sheet (Poisson's ratio 1/3). A cell filled to the share d weighs d and is d^3 as stiff: a bar that
    lies across two cells then bends like the same bar within one. Masses sit in the corners.

    Args:
        density: float [h, w], how much of each cell is filled, 0..1.
        held: bool [h, w], cells whose four corners cannot move.
        count: modes wanted, >= 1; fewer come back when the mesh has fewer.

    Raises:
        ValueError: if no cell is held, or none of the filled cells can move.
    """
    solid = _without_hinges(np.where(density > 0, np.maximum(density, LEAST_DENSITY), 0.0))
    rows, columns = np.nonzero(solid)
    weight = solid[rows, columns]
    height, width = solid.shape
    corner = rows * (width + 1) + columns
    corners = corner[:, None] + np.array([0, 1, width + 1, width + 2])  # [cells, 4]

    mass = np.zeros((height + 1) * (width + 1))
    np.add.at(mass, corners, weight[:, None] / 4)
    fixed = np.zeros_like(mass, dtype=bool)
    fixed[corners[held[rows, columns]]] = True
    free = np.flatnonzero((mass > 0) & ~fixed)
    if not fixed.any():
        raise ValueError("An elastic mesh that is held nowhere has no modes; hold at least one filled cell.")
    if not len(free):
        raise ValueError("Every cell of this elastic mesh is held; leave some to move.")

    number = np.full(mass.size, -1)
    number[free] = np.arange(len(free))
    unknowns = (2 * number[corners])[..., None] + np.arange(2)
    unknowns[number[corners] < 0] = -1
    scale = np.repeat(mass[free] ** -0.5, 2)
    values, vectors = _lowest(_stiffness(unknowns.reshape(-1, 8), weight**3, scale), count)

    shapes = np.zeros((len(values), 2, mass.size))
    shapes[:, :, free] = (vectors * scale[:, None]).T.reshape(len(values), -1, 2).transpose(0, 2, 1)
    total = mass.sum()  # a mass of 1 makes modes of large and small meshes comparable
    shapes = shapes.reshape(len(values), 2, height + 1, width + 1) * np.sqrt(total)
    return Modes(np.sqrt(np.maximum(values, 0)), shapes, mass.reshape(height + 1, width + 1) / total)


def _without_hinges(density: np.ndarray) -> np.ndarray:
    """Cells that meet in a corner only would turn about it freely; the two cells beside them get half as much."""
    filled = density.copy()
    a, b, c, d = density[:-1, :-1], density[:-1, 1:], density[1:, :-1], density[1:, 1:]
    falling = np.where((b == 0) & (c == 0), np.minimum(a, d), 0) / 2
    rising = np.where((a == 0) & (d == 0), np.minimum(b, c), 0) / 2
    for gap, part in ((falling, filled[:-1, 1:]), (falling, filled[1:, :-1]), (rising, filled[:-1, :-1])):
        np.maximum(part, gap, out=part)
    np.maximum(filled[1:, 1:], rising, out=filled[1:, 1:])
    return filled


def _cell_stiffness() -> np.ndarray:
    """Stiffness [8, 8] of one cell; corners upper left, upper right, lower left, lower right, x before y."""
    places = np.array([(0, 0), (1, 0), (0, 1), (1, 1)], dtype=float)
    matrix = np.zeros((8, 8))
    # Sides belong to two cells, so each gives half of its spring.
    for first, second, stiffness in ((0, 1, 0.5), (2, 3, 0.5), (0, 2, 0.5), (1, 3, 0.5), (0, 3, 0.5), (1, 2, 0.5)):
        along = places[second] - places[first]
        along /= np.hypot(*along)
        pull = np.zeros(8)
        pull[2 * second : 2 * second + 2], pull[2 * first : 2 * first + 2] = along, -along
        matrix += stiffness * np.outer(pull, pull)
    return matrix


def _stiffness(unknowns: np.ndarray, stiffness: np.ndarray, scale: np.ndarray):
    """The mesh's stiffness matrix between the unknowns of its cells [cells, 8] (-1 = held), divided by the masses."""
    from scipy.sparse import coo_matrix

    values = stiffness[:, None, None] * _cell_stiffness()
    row, column = np.broadcast_arrays(unknowns[:, :, None], unknowns[:, None, :])
    moves = (row >= 0) & (column >= 0) & (values != 0)
    row, column = row[moves], column[moves]
    values = values[moves] * scale[row] * scale[column]
    return coo_matrix((values, (row, column)), shape=(len(scale), len(scale))).tocsc()


def _lowest(matrix, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Lowest eigenvalues [M], rising, and eigenvectors [n, M] of a sparse positive definite matrix."""
    from scipy.sparse.linalg import LinearOperator, eigsh, splu

    size = matrix.shape[0]
    count = min(count, size)
    if size <= max(DENSE, 3 * count):
        values, vectors = np.linalg.eigh(matrix.toarray())
        return values[:count], vectors[:, :count]
    # This ordering keeps the factors of a symmetric matrix small, and a fixed start makes the result repeatable.
    factors = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    solve = LinearOperator(matrix.shape, matvec=factors.solve, dtype=matrix.dtype)
    start = np.random.default_rng(0).standard_normal(size)
    values, vectors = eigsh(matrix, count, sigma=0, OPinv=solve, v0=start, tol=1e-7)
    order = np.argsort(values)
    return values[order], vectors[:, order]
