"""Meshes as arrays: tubes, leaf blades, grids, bodies of revolution, and instances of a mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .joint_motion import Joints, Sheet


@dataclass(frozen=True)
class Mesh:
    """n points and m quadrilaterals.

    Attributes:
        points: [n, 3] m.
        faces: int [m, 4].
        joint: int [n], index of the joint that a point belongs to, -1 for none.
        uv: [n, 2]: on a leaf (across -1..1, along 0..1), on a cloth (across 0..1, away from the fixed edge 0..1).
        slot: int [m], index of the body's material.
    """

    points: np.ndarray
    faces: np.ndarray
    joint: np.ndarray
    uv: np.ndarray
    slot: np.ndarray

    def with_slot(self, slot: int) -> Mesh:
        """The mesh with another material."""
        return Mesh(self.points, self.faces, self.joint, self.uv, np.full(len(self.faces), slot))

    def with_joint(self, joint: int) -> Mesh:
        """The mesh attached to one joint."""
        return Mesh(self.points, self.faces, np.full(len(self.points), joint), self.uv, self.slot)

    def transformed(self, offset=(0, 0, 0), scale=1.0) -> Mesh:
        """Scaled (by a number or three) about the origin, then shifted."""
        points = self.points * np.asarray(scale) + np.asarray(offset)
        return Mesh(points, self.faces, self.joint, self.uv, self.slot)


@dataclass(frozen=True)
class Body:
    """A mesh with one material per slot, moved by joints, by a cloth's waves, or static."""

    mesh: Mesh
    materials: tuple
    joints: Joints | None = None
    sheet: Sheet | None = None
    smooth: bool = True


def make_mesh(points, faces, joint=-1, uv=None, slot=0) -> Mesh:
    """A mesh from arrays; `joint` is one index or one per point."""
    points, faces = np.asarray(points, float), np.asarray(faces, int)
    uv = np.zeros((len(points), 2)) if uv is None else np.asarray(uv, float)
    return Mesh(points, faces, np.broadcast_to(joint, len(points)), uv, np.full(len(faces), slot))


def merge_meshes(meshes: list[Mesh]) -> Mesh:
    """All meshes as one."""
    starts = np.cumsum([0] + [len(m.points) for m in meshes])
    faces = np.concatenate([m.faces + start for m, start in zip(meshes, starts, strict=False)])
    rest = (np.concatenate([getattr(m, name) for m in meshes]) for name in ("joint", "uv", "slot"))
    return Mesh(np.concatenate([m.points for m in meshes]), faces, *rest)


def instance_mesh(part: Mesh, rotations: np.ndarray, positions: np.ndarray, joints) -> Mesh:
    """n instances of a mesh.

    Args:
        rotations: [n, 3, 3], rotation times scale; the columns are the images of x, y and z.
        positions: [n, 3] m, the images of the origin.
        joints: int [n] or one index, for complete instances.
    """
    count, size = len(positions), len(part.points)
    points = np.einsum("nij,mj->nmi", rotations, part.points) + positions[:, None]
    faces = part.faces[None] + (np.arange(count) * size)[:, None, None]
    joint = np.repeat(np.broadcast_to(joints, count), size)
    return Mesh(
        points.reshape(-1, 3), faces.reshape(-1, 4), joint, np.tile(part.uv, (count, 1)), np.tile(part.slot, count)
    )


def rotations_along(directions: np.ndarray, rng: np.random.Generator | None = None, roll: float = 0.0) -> np.ndarray:
    """Rotations [n, 3, 3] that take +y to directions [n, 3] with +z as close to up as possible, with a random roll."""
    forward = normalize(directions)
    up = np.array([0.0, 0.0, 1.0]) + (rng.normal(0, roll, forward.shape) if rng is not None else 0)
    up = np.where(np.abs(forward[:, 2:]) > 0.999, [0.0, -1.0, 0.0], up)
    right = normalize(np.cross(forward, up))
    return np.stack([right, forward, np.cross(right, forward)], axis=-1)


def normalize(vectors: np.ndarray) -> np.ndarray:
    """Vectors [..., 3] of length 1."""
    vectors = np.asarray(vectors, float)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def grid_faces(rows: int, columns: int) -> np.ndarray:
    """Quadrilaterals [m, 4] over a grid of rows x columns points in row order."""
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns - 1), indexing="ij")
    corner = (i * columns + j).ravel()
    return np.stack([corner, corner + columns, corner + columns + 1, corner + 1], axis=-1)


def ring_faces(rows: int, columns: int) -> np.ndarray:
    """As `grid_faces`, with the last column connected to the first, so the shading has no seam."""
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns), indexing="ij")
    corner, neighbor = (i * columns + j).ravel(), (i * columns + (j + 1) % columns).ravel()
    return np.stack([corner, neighbor, neighbor + columns, corner + columns], axis=-1)


def tube(path: np.ndarray, radii, sides: int, joint=-1, slot: int = 0) -> Mesh:
    """A tube around a polyline [k, 3] with radii [k] or one radius; its u is 0.5, which is not on a leaf's midrib."""
    path = np.asarray(path, float)
    count = len(path)
    forward = normalize(np.gradient(path, axis=0))
    right = normalize(np.cross(forward, [0.31, 0.95, 0.05]))
    angle = np.arange(sides) * (2 * np.pi / sides)
    ring = np.cos(angle)[:, None] * right[:, None] + np.sin(angle)[:, None] * np.cross(forward, right)[:, None]
    points = path[:, None] + np.broadcast_to(radii, count)[:, None, None] * ring
    uv = np.stack([np.full(count * sides, 0.5), np.repeat(np.linspace(0, 1, count), sides)], axis=1)
    return make_mesh(points.reshape(-1, 3), ring_faces(count, sides), joint, uv, slot)


def lathe(profile, sides: int = 32, ribs: int = 0, rib: float = 0.0, joint=-1, slot: int = 0) -> Mesh:
    """A body of revolution about z from a profile of (radius, height) pairs; ribs are relative bumps around it."""
    profile = np.asarray(profile, float)
    angle = np.arange(sides) * (2 * np.pi / sides)
    radius = profile[:, :1] * (1 + rib * np.cos(ribs * angle))
    height = np.repeat(profile[:, 1:], sides, axis=1)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=-1)
    return make_mesh(points.reshape(-1, 3), ring_faces(len(profile), sides), joint, slot=slot)


def box(low, high, slot: int = 0) -> Mesh:
    """A box between two corners."""
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    low, high = np.asarray(low, float), np.asarray(high, float)
    return make_mesh(low + corners * (high - low), faces, slot=slot)


def pebble(rng: np.random.Generator, sides: int = 14) -> Mesh:
    """A pebble about 1 m wide."""
    lat, lon = np.meshgrid(np.linspace(0, np.pi, sides), np.linspace(0, 2 * np.pi, 2 * sides), indexing="ij")
    points = np.stack([np.sin(lat) * np.cos(lon), np.sin(lat) * np.sin(lon), np.cos(lat)], axis=-1).reshape(-1, 3)
    bumps = sum(np.sin(points @ rng.normal(0, k, 3) + rng.uniform(0, 6)) / (k + 1) for k in (1, 2, 3, 6))
    points = points * (0.5 + 0.09 * bumps)[:, None] * rng.uniform([0.7, 0.6, 0.4], [1.1, 1, 0.75])
    return make_mesh(points, grid_faces(sides, 2 * sides))


# Half width of a leaf along its length t in 0..1; the maximum is about 1.
LEAF_OUTLINES = {
    "oval": lambda t: np.sin(np.pi * t**0.85),
    "lance": lambda t: np.sin(np.pi * t**0.65) ** 1.2,
    "egg": lambda t: np.sin(np.pi * t**0.55) * (1 - 0.25 * t),
    "heart": lambda t: np.sin(np.pi * np.clip(t, 0.02, 1) ** 0.38) * (1 - 0.2 * t),
    "strap": lambda t: np.minimum(1, 6 * t + 0.45) * np.sqrt(np.clip(1 - t**3, 0, 1)),
    "spoon": lambda t: 0.25 + 0.75 * np.sin(np.pi * t**1.7) ** 0.9 - 0.25 * t**8,
    "petal": lambda t: 0.18 + 0.82 * np.sin(np.pi * 0.62 * t**0.9) * np.sqrt(np.clip(1 - t**7, 0, 1)),
}


def leaf(
    outline: str,
    width: float,
    *,
    segments: int = 6,
    across: int = 5,
    fold: float = 0.2,
    droop: float = 0.2,
    wave: float = 0.0,
    teeth: float = 0.0,
) -> Mesh:
    """A leaf blade or petal of length 1 along +y with its upper side to +z.

    Args:
        width: largest half width.
        fold: height of the edges over the midrib, in half widths.
        droop: how far the tip falls (negative: rises).
        wave: height of waves along the edges.
        teeth: depth of a serrated edge, relative to the half width.
    """
    t = np.linspace(0, 1, segments + 1)
    half = width * np.clip(LEAF_OUTLINES[outline](t), 0.03, None) * (1 - teeth * (np.arange(segments + 1) % 2))
    side = np.linspace(-1, 1, across)
    s, along = np.meshgrid(side, t, indexing="ij")
    x = s * half
    y = along * (1 - 0.25 * droop**2 * along)
    z = np.abs(s) ** 1.5 * half * fold - droop * along**2 * 0.6 + wave * s**2 * np.sin(12 * along + 2 * s)
    points = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    return make_mesh(points, grid_faces(across, segments + 1), uv=np.stack([s.ravel(), along.ravel()], axis=1))
