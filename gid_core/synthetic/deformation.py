"""Deformation fields of synthetic surfaces, and the geometry of beams: stems, branches and leaves.

A field maps positions x, y (pixels) to displacements per unit of its modal coordinate, see `scene.Fields`. Angles are
in radians in image axes (x right, y down).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .scene import Fields


def unit_vector(angle: float) -> np.ndarray:
    """(cos, sin) of an angle in radians."""
    return np.array([np.cos(angle), np.sin(angle)])


def rigid_fields(point: np.ndarray) -> Fields:
    """Translation in x, translation in y, and a small rotation (radians) about a point."""

    def fields(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        ones, zeros = np.ones_like(x), np.zeros_like(x)
        return np.stack([np.stack([ones, zeros]), np.stack([zeros, ones]), np.stack([point[1] - y, x - point[0]])])

    return fields


def translation_fields(axis: np.ndarray) -> Fields:
    """Translation along `axis` (unit)."""
    return lambda x, y: np.stack([np.stack([np.full_like(x, axis[0]), np.full_like(x, axis[1])])])


def plane_wave_fields(center: np.ndarray, wave_vector: np.ndarray) -> Fields:
    """Cosine and sine of one plane wave. With weights (q, −iq) it travels along `wave_vector` (radians per pixel)."""

    def fields(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        phase = wave_vector[0] * (x - center[0]) + wave_vector[1] * (y - center[1])
        return np.stack(
            [
                np.stack([np.cos(phase), 0.6 * np.cos(phase + 1)]),
                np.stack([np.sin(phase), 0.6 * np.sin(phase + 1)]),
            ]
        )

    return fields


def cantilever_fields(
    root: np.ndarray, axis: np.ndarray, length: float, power: float = 1.8, second_mode: bool = False
) -> Fields:
    """Bending across `axis` (unit) of a beam clamped at `root`, with unit displacement at its tip.

    `second_mode` adds the shape of the second bending mode.
    """
    normal = np.array([-axis[1], axis[0]])

    def fields(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        h = np.maximum((x - root[0]) * axis[0] + (y - root[1]) * axis[1], 0) / length
        shapes = [h**power] + ([4.2 * h**2 * (h - 0.78)] if second_mode else [])
        return np.stack([np.stack([normal[0] * s, normal[1] * s]) for s in shapes])

    return fields


def concatenate_fields(first: Fields, second: Fields) -> Fields:
    """The fields of two motions that are added."""
    return lambda x, y: np.concatenate([first(x, y), second(x, y)])


def attachment_weights(fields: Fields, weights: np.ndarray, point: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Motion of a point attached to a surface, as weights [3, N] of `rigid_fields(point)`.

    They are the displacement of the point and the rotation of the surface's line through it along `axis` (unit).
    """
    step = 0.5  # pixels
    samples = np.array([[point[i] - step * axis[i], point[i], point[i] + step * axis[i]] for i in (0, 1)])
    before, center, after = np.moveaxis(fields(samples[0], samples[1]), 2, 0)  # each [J, 2]
    rotation = (after - before) / (2 * step) @ np.array([-axis[1], axis[0]])
    return np.stack([center[:, 0] @ weights, center[:, 1] @ weights, rotation @ weights])


@dataclass
class Beam:
    """Geometry of a stem or a leaf: an axis from `root` along `axis` (unit), displaced sideways by curvature · length ·
    h² at the fraction h of the length."""

    root: np.ndarray
    axis: np.ndarray
    length: float
    curvature: float = 0.0

    @property
    def normal(self) -> np.ndarray:
        """Unit vector at right angles to the axis."""
        return np.array([-self.axis[1], self.axis[0]])

    def point(self, h: float | np.ndarray) -> np.ndarray:
        """Position at the fraction h of the length: [..., 2]."""
        h = np.asarray(h, float)[..., None]
        return self.root + h * self.length * self.axis + self.curvature * self.length * h**2 * self.normal

    def local_coordinates(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(s along, r across) of points, pixels; r is measured from the curved axis."""
        dx, dy = x - np.float32(self.root[0]), y - np.float32(self.root[1])
        s = dx * np.float32(self.axis[0]) + dy * np.float32(self.axis[1])
        r = dx * np.float32(self.normal[0]) + dy * np.float32(self.normal[1])
        return s, r - np.float32(self.curvature / self.length) * s**2
