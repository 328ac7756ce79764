"""From motion in space to motion in the image: a pinhole camera, and pooling of pixels to the volume's grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks along its own -z, with +x right and +y up.

    Attributes:
        location: [3] m.
        rotation: [3, 3], columns are the camera's axes in the world.
        focal: focal length in image widths.
    """

    location: np.ndarray
    rotation: np.ndarray
    focal: float

    def project(self, points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Pixel positions [n, 2] (x right, y down, centers at integers) of points [n, 3] in an image of (H, W)."""
        height, width = size
        x, y, depth = self._camera_coordinates(points)
        scale = self.focal * width / depth
        return np.stack([width / 2 + scale * x, height / 2 - scale * y], axis=1) - 0.5

    def project_motion(self, points: np.ndarray, motion: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Small motions [n, 3, K] of points [n, 3] in pixels [n, 2, K], to first order in the motion."""
        x, y, depth = (value[:, None] for value in self._camera_coordinates(points))
        local = np.einsum("ij,nik->njk", self.rotation.astype(np.float32), motion)
        scale = (self.focal * size[1] / depth).astype(np.float32)
        toward = local[:, 2]  # decrease of the depth
        across = local[:, 0] + (x / depth).astype(np.float32) * toward
        up = local[:, 1] + (y / depth).astype(np.float32) * toward
        return np.stack([scale * across, -scale * up], axis=1)

    def _camera_coordinates(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x, y and depth [n] of points in the camera's axes."""
        local = (points - self.location) @ self.rotation
        return local[:, 0], local[:, 1], np.maximum(-local[:, 2], 1e-3)


MIN_MOVING_SHARE = 1 / 3  # share of a cell's pixels that must move for the cell to move


def pool_by_object(values: np.ndarray, objects: np.ndarray, cell: int) -> np.ndarray:
    """Mean over the pixels of each cell that show the same object, so motion is not mixed with the background's.

    If at least MIN_MOVING_SHARE of the pixels move, it is the moving object with the most pixels, otherwise the static
    background. A simple majority would break up stems and blades that are thinner than a cell.

    Args:
        values: [H, W, ...].
        objects: int [H, W]; 0 is static.
        cell: side of a cell in pixels; divides H and W.

    Returns:
        [H / cell, W / cell, ...].
    """
    height, width = objects.shape
    grid = height // cell, width // cell

    def cells(array: np.ndarray) -> np.ndarray:
        split = array.reshape(grid[0], cell, grid[1], cell, *array.shape[2:]).swapaxes(1, 2)
        return split.reshape(*grid, cell * cell, *array.shape[2:])

    ids = cells(objects)
    count = (ids[..., :, None] == ids[..., None, :]).sum(-1)
    moves = ((ids > 0).mean(-1, keepdims=True) >= MIN_MOVING_SHARE) & (ids > 0)
    count = np.where(moves, count + cell * cell, count * (ids == 0))
    major = np.take_along_axis(ids, count.argmax(-1)[..., None], -1)
    weight = (ids == major).astype(np.float32)
    weight /= weight.sum(-1, keepdims=True)
    return np.einsum("hwp...,hwp->hw...", cells(values), weight)
