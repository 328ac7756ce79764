"""Hanging objects: lanterns and ornaments on strings, cloths on a line, flags. They are fixed at the origin."""

from __future__ import annotations

import numpy as np

from .geometry import Body, Mesh, grid_faces, lathe, make_mesh, merge_meshes, tube
from .joint_motion import Joints, Sheet, Skeleton

DOWN = np.array([0.0, 0.0, -1.0])


def pendulum(drop: float, extent: float, amplitude: float = 0.09) -> Joints:
    """One joint at the origin for an object that hangs there.

    Args:
        drop: m from the hook to the center of mass; a long pendulum swings slowly.
        extent: m from the hook to the lower end.
        amplitude: rad, rms.
    """
    skeleton = Skeleton()
    frequency = np.clip(0.5 / np.sqrt(drop), 0.35, 1.8)
    skeleton.add([0, 0, 0], DOWN, extent, frequency=frequency, amplitude=amplitude, coherence=0.6)
    return skeleton.joints()


def lantern(rng, string: float, radius: float, paper, wood, cord) -> Body:
    """A paper lantern with ribs, caps and sometimes a tassel."""
    tall = radius * rng.uniform(0.6, 1.35)
    t = np.linspace(-1, 1, 40)
    outline = radius * np.clip(1 - np.abs(0.93 * t) ** rng.uniform(1.8, 3.5), 0.05, 1) ** 0.5
    rings = int(rng.integers(7, 15))
    outline = outline * (1 + 0.02 * np.abs(np.cos(t * rings * np.pi / 2)))
    middle = -string - tall
    ribs = int(rng.choice([0, 0, 14, 20]))
    parts = [
        lathe(np.stack([outline, middle - t * tall], axis=1), 40, ribs, 0.02),
        tube([[0, 0, 0], (0, 0, -string)], 0.003, 5, slot=2),
    ]
    for level in (-string, -string - 2 * tall):
        rim = radius * 0.42
        cap = [(0, level + 0.02), (rim, level + 0.02), (rim, level - 0.025), (0, level - 0.025)]
        parts.append(lathe(cap, 24, slot=1))
    low = -string - 2 * tall
    if rng.random() < 0.6:
        fringe = rng.uniform(0.5, 1.2) * radius
        top = rng.normal(0, 0.012, (26, 2))
        for x, y in top:
            end = [x * 1.7, y * 1.7, low - fringe]
            parts.append(tube([[x * 0.3, y * 0.3, low], [x, y, low - 0.3 * fringe], end], 0.0025, 3, slot=2))
        low -= fringe
    return Body(merge_meshes(parts).with_joint(0), (paper, wood, cord), pendulum(string + tall, -low))


def ornament(rng, string: float, radius: float, glaze, metal, cord) -> Body:
    """A ball, drop or bell on a string."""
    shape = rng.integers(3)
    t = np.linspace(0, np.pi, 28)
    radial, height = np.sin(t), np.cos(t)
    if shape == 1:  # drop
        radial, height = radial * (0.5 - 0.5 * np.cos(t)) ** 0.7, height * 1.3
    if shape == 2:  # bell
        radial, height = np.clip(0.45 + 0.55 * (t / np.pi) ** 2.5, 0, 1) * (t > 0) * (t < 3.1), height * 0.9
    middle = -string - radius * height.max()
    ribs = int(rng.choice([0, 0, 8, 12]))
    parts = [
        lathe(np.stack([radius * radial, middle + radius * height], axis=1), 40, ribs, 0.04),
        lathe([(0, 0.02), (radius * 0.2, 0.02), (radius * 0.22, -0.02), (0, -0.02)], 16, slot=1).transformed(
            (0, 0, -string)
        ),
        tube([[0, 0, 0], (0, 0, -string)], 0.002, 5, slot=2),
    ]
    return Body(merge_meshes(parts).with_joint(0), (glaze, metal, cord), pendulum(string + radius, string + 2 * radius))


def hanging_pot(rng, string: float, radius: float, clay, cord, plant: Body) -> Body:
    """A pot on three cords with a plant in it; the plant's joints are children of the pot's joint."""
    level = -string
    outside = [(0, -1.3), (0.66, -1.3), (0.74, -1.2), (0.97, -0.2), (1.04, -0.18)]
    inside = [(1.04, 0), (0.94, 0), (0.9, -0.2), (0, -0.22)]
    pot = lathe(np.array(outside + inside) * radius + [0, level], 40)
    parts = [pot.with_joint(0)]
    for angle in np.arange(3) * 2.094 + rng.uniform(0, 2):
        rim = [1.02 * radius * np.cos(angle), 1.02 * radius * np.sin(angle), level - 0.05 * radius]
        parts.append(tube([[0, 0, 0], rim], 0.0022, 4, slot=1).with_joint(0))
    pot_joints = pendulum(string + radius, string + 1.3 * radius, 0.05)
    matrix = np.eye(4)
    matrix[2, 3] = level - 0.2 * radius
    plant_joints = plant.joints.transformed(matrix)
    joints = Joints.concatenate([pot_joints, plant_joints])
    joints.parent[1:] = np.where(joints.parent[1:] < 0, 0, joints.parent[1:])
    mesh = plant.mesh.transformed([0, 0, level - 0.2 * radius])
    slots = mesh.slot + 2
    parts.append(Mesh(mesh.points, mesh.faces, mesh.joint + 1, mesh.uv, slots))
    return Body(merge_meshes(parts), (clay, cord, *plant.materials), joints)


def cloth(rng, width: float, drop: float, fabric) -> Body:
    """A cloth on a line along x, fixed at its upper edge y = 0, with folds that widen downward."""
    u, v = np.meshgrid(np.linspace(0, 1, 60), np.linspace(0, 1, 50), indexing="ij")
    first, second = rng.uniform(5, 16), rng.uniform(8, 24)
    fold = 0.034 * np.sin(first * u + rng.uniform(0, 6) + rng.normal(0, 1) * v) * (0.35 + v)
    fold += 0.018 * np.sin(second * u + rng.uniform(0, 6) + 2 * v * rng.normal(0, 1)) * (0.2 + v)
    fold += rng.normal(0, 0.06) * v**2
    sag = 0.014 * np.sin(np.pi * u * rng.integers(1, 4)) ** 2
    x = (u - 0.5) * width * (1 - 0.05 * v * np.sin(3 * u + 1))
    points = np.stack([x, fold, -v * drop - sag * (1 - 0.5 * v)], axis=-1).reshape(-1, 3)
    sheet = Sheet(
        np.array([0.0, 1.0, 0.0]),
        np.array([1.0, 0.0, 0.0]),
        drop,
        rng.uniform(0.4, 1.0),
        0.06,
        rng.uniform(0.5, 1.5),
        rng.uniform(0.1, 0.4),
    )
    uv = np.stack([u.ravel(), v.ravel()], axis=1)
    return Body(make_mesh(points, grid_faces(60, 50), -1, uv), (fabric,), sheet=sheet)


def flag(rng, length: float, height: float, fabric) -> Body:
    """A flag along x from a pole at x = 0; waves travel outward."""
    v, u = np.meshgrid(np.linspace(0, 1, 60), np.linspace(0, 1, 40), indexing="ij")
    waves = 0.07 * np.sin(rng.uniform(5, 9) * v + rng.uniform(0, 6) + u * rng.normal(0, 0.7)) * v
    waves += 0.02 * np.sin(rng.uniform(12, 18) * v + 2 * u) * v
    droop = rng.uniform(0.02, 0.25) * v**1.6
    points = np.stack([v * length, waves * length, -u * height - droop * length], axis=-1).reshape(-1, 3)
    sheet = Sheet(
        np.array([0.0, 1.0, 0.0]),
        np.array([0.0, 0.0, 1.0]),
        length,
        rng.uniform(0.8, 1.8),
        0.07,
        rng.uniform(0.2, 0.6),
        rng.uniform(0.5, 1.1),
    )
    uv = np.stack([u.ravel(), v.ravel()], axis=1)
    return Body(make_mesh(points, grid_faces(60, 40), -1, uv), (fabric,), sheet=sheet)
