"""An elastic sheet: springs on a grid of cells, some of them held, and its slowest eigenmodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csc_matrix

# Smallest density of a cell that is not empty. It keeps threads stiff enough to hold the objects that hang on them.
MIN_DENSITY = 0.25
# Eigenproblems of up to this many unknowns are solved with dense matrices.
MAX_DENSE_UNKNOWNS = 160
# Relative tolerance of the eigenvalues of larger ones.
EIGENVALUE_TOLERANCE = 1e-7


@dataclass(frozen=True)
class ElasticModes:
    """The lowest elastic modes of a mesh, slowest first.

    Attributes:
        frequencies: float64 [M], angular frequencies in units of the mesh (only their ratios are meaningful).
        shapes: float64 [M, 2, h + 1, w + 1], (x, y) displacement of the cells' corners; 0 at empty and held corners.
            Normalized by mass: sum mass * shape^2 = 1.
        mass: float64 [h + 1, w + 1], of the corners; the sum, including held corners, is 1.
    """

    frequencies: np.ndarray
    shapes: np.ndarray
    mass: np.ndarray


def elastic_modes(
    density: np.ndarray, held: np.ndarray, count: int, stiffness: np.ndarray | None = None
) -> ElasticModes:
    """Lowest eigenmodes of a sheet of springs (the modal analysis of Davis et al. 2015 on a mesh instead of a video).

    Every cell has four springs along its sides and two springs across. Together they form an isotropic sheet
    (Poisson's ratio 1/3). A cell of density d has mass d and stiffness d^3, so that a bar that lies across two cells
    bends like the same bar within one cell. Masses are in the corners.

    Args:
        density: float [h, w], the filled fraction of each cell, 0..1.
        held: bool [h, w], cells whose four corners cannot move.
        count: number of modes, >= 1; a small mesh has fewer.
        stiffness: float [h, w], a factor of each cell's stiffness, > 0; None is 1.

    Raises:
        ValueError: if no cell is held, or if all filled cells are held.
    """
    solid = _fill_hinges(np.where(density > 0, np.maximum(density, MIN_DENSITY), 0.0))
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

    index = np.full(mass.size, -1)
    index[free] = np.arange(len(free))
    unknowns = (2 * index[corners])[..., None] + np.arange(2)
    unknowns[index[corners] < 0] = -1
    scale = np.repeat(mass[free] ** -0.5, 2)
    cells = weight**3 if stiffness is None else weight**3 * stiffness[rows, columns]
    values, vectors = _lowest_eigenpairs(_stiffness_matrix(unknowns.reshape(-1, 8), cells, scale), count)

    shapes = np.zeros((len(values), 2, mass.size))
    shapes[:, :, free] = (vectors * scale[:, None]).T.reshape(len(values), -1, 2).transpose(0, 2, 1)
    total = mass.sum()  # scaled to 1, so that modes of large and small meshes are comparable
    shapes = shapes.reshape(len(values), 2, height + 1, width + 1) * np.sqrt(total)
    return ElasticModes(np.sqrt(np.maximum(values, 0)), shapes, mass.reshape(height + 1, width + 1) / total)


def _fill_hinges(density: np.ndarray) -> np.ndarray:
    """Densities without hinges: cells that share only a corner would rotate freely about it.

    The two empty cells beside such a corner get half the smaller density.
    """
    filled = density.copy()
    a, b, c, d = density[:-1, :-1], density[:-1, 1:], density[1:, :-1], density[1:, 1:]
    falling = np.where((b == 0) & (c == 0), np.minimum(a, d), 0) / 2
    rising = np.where((a == 0) & (d == 0), np.minimum(b, c), 0) / 2
    for fill, cells in ((falling, filled[:-1, 1:]), (falling, filled[1:, :-1]), (rising, filled[:-1, :-1])):
        np.maximum(cells, fill, out=cells)
    np.maximum(filled[1:, 1:], rising, out=filled[1:, 1:])
    return filled


def _cell_stiffness() -> np.ndarray:
    """Stiffness [8, 8] of one cell; corners upper left, upper right, lower left, lower right, x before y."""
    positions = np.array([(0, 0), (1, 0), (0, 1), (1, 1)], dtype=float)
    matrix = np.zeros((8, 8))
    # Two cells share a side, so each contributes half of its spring.
    for first, second, stiffness in ((0, 1, 0.5), (2, 3, 0.5), (0, 2, 0.5), (1, 3, 0.5), (0, 3, 0.5), (1, 2, 0.5)):
        direction = positions[second] - positions[first]
        direction /= np.hypot(*direction)
        elongation = np.zeros(8)
        elongation[2 * second : 2 * second + 2], elongation[2 * first : 2 * first + 2] = direction, -direction
        matrix += stiffness * np.outer(elongation, elongation)
    return matrix


def _stiffness_matrix(unknowns: np.ndarray, stiffness: np.ndarray, scale: np.ndarray) -> csc_matrix:
    """The mesh's sparse stiffness matrix, divided by the masses: [n, n].

    Args:
        unknowns: int [cells, 8], the unknowns of each cell's corners; -1 = held.
        stiffness: float64 [cells].
        scale: float64 [n], mass^-1/2 of each unknown.
    """
    from scipy.sparse import coo_matrix

    values = stiffness[:, None, None] * _cell_stiffness()
    row, column = np.broadcast_arrays(unknowns[:, :, None], unknowns[:, None, :])
    nonzero = (row >= 0) & (column >= 0) & (values != 0)
    row, column = row[nonzero], column[nonzero]
    values = values[nonzero] * scale[row] * scale[column]
    return coo_matrix((values, (row, column)), shape=(len(scale), len(scale))).tocsc()


def _lowest_eigenpairs(matrix: csc_matrix, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Lowest eigenvalues [M], ascending, and eigenvectors [n, M] of a sparse positive definite matrix."""
    from scipy.sparse.linalg import LinearOperator, eigsh, splu

    size = matrix.shape[0]
    count = min(count, size)
    if size <= max(MAX_DENSE_UNKNOWNS, 3 * count):
        values, vectors = np.linalg.eigh(matrix.toarray())
        return values[:count], vectors[:, :count]
    # This ordering keeps the factors of a symmetric matrix small. A fixed start makes the result reproducible.
    factors = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    solve = LinearOperator(matrix.shape, matvec=factors.solve, dtype=matrix.dtype)
    start = np.random.default_rng(0).standard_normal(size)
    values, vectors = eigsh(matrix, count, sigma=0, OPinv=solve, v0=start, tol=EIGENVALUE_TOLERANCE)
    order = np.argsort(values)
    return values[order], vectors[:, order]
