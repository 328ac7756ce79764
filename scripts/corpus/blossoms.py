"""Flowers: heads of petals on stems with leaves, and spikes of florets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .geometry import (
    Body,
    Mesh,
    grid_faces,
    instance_mesh,
    leaf,
    make_mesh,
    merge_meshes,
    normalize,
    rotations_along,
    tube,
)
from .joint_motion import Skeleton
from .plants import add_leaves, point_on_path, random_path


@dataclass(frozen=True)
class Blossom:
    """A kind of flower head, in units of the length of its petals.

    Attributes:
        petals: number in each whorl.
        whorls: number of rings of petals, one above the other.
        outline, width, fold, droop, wave: of `leaf`.
        rise: rad of the outer petals above the plane of the head; each further whorl has `rise_step` more.
        center_radius: of the center of the head.
        center_height: of the center, relative to its radius.
    """

    petals: int
    whorls: int
    outline: str
    width: float
    rise: float
    rise_step: float
    center_radius: float
    center_height: float
    fold: float = 0.3
    droop: float = 0.1
    wave: float = 0.0


BLOSSOMS = {
    "daisy": Blossom(21, 1, "strap", 0.11, 0.1, 0.3, 0.32, 0.5),
    "aster": Blossom(26, 3, "lance", 0.08, 0.1, 0.2, 0.22, 0.5),
    "sunflower": Blossom(19, 2, "lance", 0.17, 0.15, 0.25, 0.62, 0.35),
    "cosmos": Blossom(8, 1, "petal", 0.33, 0.15, 0.3, 0.16, 0.6, wave=0.02),
    "poppy": Blossom(4, 2, "petal", 0.62, 0.5, 0.3, 0.14, 0.9, -0.3, -0.5, 0.06),
    "tulip": Blossom(3, 2, "oval", 0.36, 1.15, 0.12, 0.05, 1.0, 0.9, -0.5),
    "peony": Blossom(9, 5, "petal", 0.40, 0.25, 0.28, 0.08, 1.0, 0.5, -0.6, 0.05),
    "gerbera": Blossom(24, 2, "strap", 0.1, 0.12, 0.2, 0.25, 0.4),
}


def _flower_head(
    rng, skeleton: Skeleton, kind: Blossom, center, facing, size: float, parent: int, slots=(2, 3)
) -> list[Mesh]:
    """Petals and center of a flower that faces along `facing` [3]."""
    spin = rotations_along(facing[None], rng, 0.5)[0][:, [0, 2, 1]]  # its z is along `facing`
    spin[:, 1] *= -1  # makes it a proper rotation
    neck = skeleton.add(center, facing, size, parent, frequency=rng.uniform(0.8, 2), amplitude=0.07, coherence=0.6)[0]
    parts = []
    for whorl in range(kind.whorls):
        angle = 2 * np.pi * (np.arange(kind.petals) + 0.5 * whorl) / kind.petals + rng.normal(0, 0.06, kind.petals)
        rise = kind.rise + kind.rise_step * whorl + rng.normal(0, 0.09, kind.petals)
        out = np.stack([np.cos(angle) * np.cos(rise), np.sin(angle) * np.cos(rise), np.sin(rise)], axis=1)
        rim = out * [1, 1, 0] * 0.75 * kind.center_radius * (1 - whorl / (kind.whorls + 1))
        inner = np.stack([-np.cos(angle) * np.sin(rise), -np.sin(angle) * np.sin(rise), np.cos(rise)], axis=1)
        rotations = np.stack([np.cross(out, inner), out, inner], axis=-1)
        length = size * (1 - 0.12 * whorl) * rng.uniform(0.88, 1.08, kind.petals)
        blade = leaf(
            kind.outline,
            kind.width,
            segments=7,
            fold=kind.fold,
            droop=kind.droop + rng.normal(0, 0.06),
            wave=kind.wave,
        )
        pivots = center + size * rim @ spin.T
        joints = skeleton.add(
            pivots,
            out @ spin.T,
            length,
            neck,
            frequency=rng.uniform(1.2, 2.7, kind.petals),
            amplitude=0.05,
            coherence=0.3,
        )
        parts.append(
            instance_mesh(blade, (spin @ rotations) * length[:, None, None], pivots, joints).with_slot(slots[0])
        )
    angle = np.linspace(0, np.pi / 2, 7)
    dome = size * kind.center_radius * np.stack([np.cos(angle), kind.center_height * np.sin(angle)], axis=1)
    spun = np.linspace(0, 2 * np.pi, 19)
    cap = np.stack(
        [
            dome[:, :1] * np.cos(spun),
            dome[:, :1] * np.sin(spun),
            np.repeat(dome[:, 1:], 19, axis=1) - 0.1 * size * kind.center_radius,
        ],
        axis=-1,
    )
    parts.append(make_mesh(cap.reshape(-1, 3) @ spin.T + center, grid_faces(7, 19), neck, slot=slots[1]))
    return parts


def flower(rng, kind: Blossom, height: float, head: float, green, petal, heart) -> Body:
    """One stem with a few leaves and a flower head of radius about `head` m."""
    skeleton = Skeleton()
    tilt = rng.normal(0, 0.13, 2)
    path = random_path(rng, np.zeros(3), [*tilt, 1.0], height, 7, wobble=0.04, lift=0.02)
    stem = skeleton.add(
        [0, 0, 0], path[-1], height, frequency=rng.uniform(0.45, 1.1), amplitude=0.06, bend_exponent=1, coherence=0.7
    )[0]
    parts = [tube(path, 0.0035 + 0.005 * height * np.linspace(1, 0.5, 8), 7, stem)]
    count = int(rng.integers(3, 8))
    bases = np.stack([point_on_path(path, share) for share in rng.uniform(0.08, 0.8, count)])
    heading = rng.normal(0, 1, (count, 3)) * [1, 1, 0.3] + [0, 0, 0.6]
    outline = ("lance", "oval", "egg")[int(rng.integers(3))]
    blade = leaf(outline, rng.uniform(0.1, 0.22), droop=rng.uniform(0, 0.8), segments=8, wave=0.02)
    size = height * rng.uniform(0.14, 0.32, count)
    parts.append(
        add_leaves(rng, skeleton, blade, bases, heading, size, np.full(count, stem), amplitude=0.07).with_slot(0)
    )
    facing = np.array([*(tilt * 2 + rng.normal(0, 0.25, 2) - [0, rng.uniform(0.0, 0.9)]), 1.0])
    parts += _flower_head(rng, skeleton, kind, path[-1], normalize(facing), head, stem)
    return Body(merge_meshes(parts), (green, green, petal, heart), skeleton.joints())


def spike(rng, height: float, green, petal) -> Body:
    """A stem with small florets on its upper part: lavender, lupin, sage."""
    skeleton = Skeleton()
    path = random_path(rng, np.zeros(3), [*rng.normal(0, 0.12, 2), 1.0], height, 7, wobble=0.03, lift=0.02)
    stem = skeleton.add(
        [0, 0, 0], path[-1], height, frequency=rng.uniform(0.5, 1.2), amplitude=0.07, bend_exponent=1, coherence=0.75
    )[0]
    count = int(rng.integers(90, 160))
    share = np.sort(rng.uniform(0.5, 1, count))
    around = rng.uniform(0, 2 * np.pi, count)
    heading = np.stack([np.cos(around), np.sin(around), rng.uniform(0.3, 0.9, count)], axis=1)
    size = height * 0.075 * (1.25 - share) * rng.uniform(0.8, 1.3, count) * 1.6
    floret = leaf("petal", 0.42, segments=4, across=3, fold=0.5, droop=0.5)
    bases = np.stack([point_on_path(path, s) for s in share])
    florets = instance_mesh(floret, rotations_along(heading, rng, 0.4) * size[:, None, None], bases, stem).with_slot(2)
    low = int(rng.integers(8, 16))
    blade = leaf("lance", 0.09, droop=0.6, segments=6)
    leaf_bases = np.stack([point_on_path(path, s) for s in rng.uniform(0.0, 0.45, low)])
    leaf_heading = rng.normal(0, 1, (low, 3)) * [1, 1, 0.2] + [0, 0, 0.7]
    leaves = add_leaves(
        rng, skeleton, blade, leaf_bases, leaf_heading, height * rng.uniform(0.15, 0.3, low), np.full(low, stem), 0.06
    )
    parts = [tube(path, 0.002 + 0.003 * height * np.linspace(1, 0.4, 8), 6, stem), leaves.with_slot(0), florets]
    return Body(merge_meshes(parts), (green, green, petal), skeleton.joints())
