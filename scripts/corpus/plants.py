"""Procedural plants: each function returns a Body whose root is the origin, with a joint for each part.

Frequencies stay below 2.8 Hz, because 16 bins of five seconds end at 3 Hz.
"""

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

UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class TreeForm:
    """The shape of a tree or bush.

    Attributes:
        height: m.
        crown_ratio: length of the longest branches relative to the height.
        clear_trunk: share of the trunk without branches.
        branches, shoots, twigs, leaves: number on the trunk, per branch, per shoot, per twig.
        leaf: a blade of length 1.
        leaf_size: m.
        droop: how much branches sink, 0..0.3.
        trunk_radius: m at the ground.
        frequency: Hz of the trunk.
    """

    height: float
    crown_ratio: float
    clear_trunk: float
    branches: int
    shoots: int
    twigs: int
    leaves: int
    leaf: Mesh
    leaf_size: float
    droop: float
    trunk_radius: float
    frequency: float


def tree(rng: np.random.Generator, form: TreeForm, bark, foliage) -> Body:
    """A trunk, two orders of branches, and twigs with leaves."""
    skeleton = Skeleton()
    top = form.height * 0.92
    trunk = random_path(rng, np.zeros(3), UP, top, 9, wobble=0.08, lift=0.12)
    root = skeleton.add([0, 0, 0], UP, top, frequency=form.frequency, amplitude=0.02, bend_exponent=1, coherence=0.9)[0]
    parts = [tube(trunk, form.trunk_radius * np.linspace(1, 0.12, 10), 9, root)]
    starts, directions, parents = [], [], []
    for i in range(form.branches):
        share = form.clear_trunk + (1 - form.clear_trunk) * (i + rng.random()) / form.branches
        azimuth, rise = 2.4 * i + rng.normal(0, 0.4), rng.uniform(0.1, 0.7) + 0.6 * share
        direction = [np.cos(azimuth) * np.cos(rise), np.sin(azimuth) * np.cos(rise), np.sin(rise)]
        length = form.height * form.crown_ratio * (1.05 - 0.75 * share**1.5) * rng.uniform(0.7, 1.15)
        path = random_path(rng, point_on_path(trunk, share), direction, length, 5, wobble=0.12, lift=0.06 - form.droop)
        speed = min(form.frequency * rng.uniform(1.4, 3), 2.4)
        branch = skeleton.add(
            path[0], path[-1] - path[0], length, root, frequency=speed, amplitude=0.035, bend_exponent=0.5
        )[0]
        branch_radius = max(form.trunk_radius * 0.34 * (1.1 - 0.7 * share), 0.002)
        parts.append(tube(path, branch_radius * np.linspace(1, 0.25, 6), 6, branch))
        for j in range(form.shoots):
            at = 0.18 + 0.82 * (j + rng.random()) / form.shoots
            heading = normalize(path[-1] - path[0]) + rng.normal(0, 0.65, 3)
            size = length * 0.42 * rng.uniform(0.6, 1.2) * (1.25 - 0.6 * at)
            shoot = random_path(rng, point_on_path(path, at), heading, size, 4, wobble=0.15, lift=0.04 - form.droop)
            fast = min(form.frequency * rng.uniform(2.2, 4.5), 2.7)
            number = skeleton.add(
                shoot[0],
                shoot[-1] - shoot[0],
                size,
                branch,
                frequency=fast,
                amplitude=0.05,
                bend_exponent=0.5,
                coherence=0.35,
            )[0]
            parts.append(tube(shoot, branch_radius * 0.4 * np.linspace(1, 0.3, 5), 4, number))
            share_of_twig = rng.uniform(0.1, 1, form.twigs)
            starts.append(np.stack([point_on_path(shoot, s) for s in share_of_twig]))
            directions.append(normalize(shoot[-1] - shoot[0]) + rng.normal(0, 0.6, (form.twigs, 3)))
            parents.append(np.full(form.twigs, number))
    twig_length = form.leaf_size * (1.2 + 0.22 * form.leaves)
    parts += _leafy_twigs(
        rng, skeleton, form, np.concatenate(starts), np.concatenate(directions), np.concatenate(parents), twig_length
    )
    return Body(merge_meshes(parts), (bark, foliage), skeleton.joints())


def _leafy_twigs(rng, skeleton: Skeleton, form: TreeForm, starts, directions, parents, length: float) -> list[Mesh]:
    count = len(starts)
    scale = length * rng.uniform(0.7, 1.2, count)
    rotations = rotations_along(directions - np.array([0, 0, 0.4 * form.droop]), rng, roll=0.6)
    twigs = skeleton.add(
        starts,
        directions,
        scale,
        parents,
        frequency=rng.uniform(1, 2.5, count),
        amplitude=0.05,
        bend_exponent=0.5,
        coherence=0.3,
    )
    bow = np.linspace(0, 1, 4)
    stem = tube(np.stack([0 * bow, bow, -0.15 * bow**2], axis=1), 0.012, 3)
    parts = [instance_mesh(stem, rotations * scale[:, None, None], starts, twigs)]
    # Leaves alternate between the left and right side of the twig; the last one is at its end.
    at = np.append(np.linspace(0.15, 0.95, form.leaves - 1), 1.0)
    side = np.append(np.where(np.arange(form.leaves - 1) % 2, 1.0, -1.0), 0.0)
    local = np.stack([side * 0.9, 0.55 + 0.3 * at, rng.uniform(-0.25, 0.35, form.leaves)], axis=1)
    bases = np.stack([0 * at, at, -0.15 * at**2], axis=1)
    pivots = np.einsum("nij,mj->nmi", rotations * scale[:, None, None], bases) + starts[:, None]
    heading = np.einsum("nij,mj->nmi", rotations, local) + rng.normal(0, 0.3, (count, form.leaves, 3))
    heading[..., 2] -= 0.2 + form.droop
    pivots, heading = pivots.reshape(-1, 3), heading.reshape(-1, 3)
    size = form.leaf_size * rng.uniform(0.65, 1.2, len(pivots))
    return parts + [
        add_leaves(rng, skeleton, form.leaf, pivots, heading, size, np.repeat(twigs, form.leaves), roll=0.45)
    ]


def add_leaves(rng, skeleton, blade: Mesh, pivots, heading, size, parents, amplitude=0.1, roll=0.3, slot=1) -> Mesh:
    """Instances of a leaf, each on its own joint."""
    frequency = rng.uniform(0.9, 2.7, len(pivots))
    joints = skeleton.add(pivots, heading, size, parents, frequency=frequency, amplitude=amplitude, coherence=0.25)
    rotations = rotations_along(heading, rng, roll) * np.broadcast_to(size, len(pivots))[:, None, None]
    return instance_mesh(blade, rotations, np.asarray(pivots), joints).with_slot(slot)


def tuft(
    rng, blades: int, height: float, spread: float, width: float, green, mean_tilt=0.3, ear=0.0, frequency=0.8
) -> Body:
    """Blades of grass around the origin; with `ear` > 0 (share of the height) they are stalks of ripe wheat.

    All blades have nearly the same `frequency` Hz, so gusts travel over a meadow as waves. Blades that are out of phase
    with their neighbors would be noise on the grid of a volume.
    """
    skeleton = Skeleton()
    t = np.linspace(0, 1, 7)
    feet = np.concatenate([rng.normal(0, spread, (blades, 2)), np.zeros((blades, 1))], axis=1)
    tall = height * rng.uniform(0.5, 1.15, blades)
    tilt = mean_tilt * rng.gamma(2, 0.6, blades)
    heading = horizontal_directions(rng, blades) + 0.6 * normalize(feet + 1e-6)
    sink = 0.35 * np.minimum(tilt, 1.4)[:, None] * t**2.5
    middle = feet[:, None] + (tall * tilt)[:, None, None] * (t**2)[:, None] * heading[:, None]
    middle = middle + (tall[:, None] * (t - sink))[..., None] * UP
    joints = skeleton.add(
        feet,
        middle[:, -1] - feet,
        np.linalg.norm(middle[:, -1] - feet, axis=1),
        frequency=frequency * rng.uniform(0.94, 1.07, blades),
        amplitude=0.11,
        bend_exponent=1,
        coherence=0.93,
    )
    sides = horizontal_directions(rng, blades) * width * (0.5 if ear else 1)
    half = (0.5 * (1 - t**1.5) + 0.03) if not ear else np.full(7, 0.35)
    edges = [middle + s * sides[:, None] * half[:, None] for s in (-1, 0, 1)]
    edges[1] = edges[1] - 0.3 * width * half[:, None] * normalize(heading)[:, None]  # a keel, for shading
    points = np.stack(edges, axis=1).reshape(-1, 3)
    uv = np.tile(np.stack([np.repeat([-1.0, 0, 1], 7), np.tile(t, 3)], axis=1), (blades, 1))
    faces = grid_faces(3, 7)[None] + (21 * np.arange(blades))[:, None, None]
    parts = [make_mesh(points, faces.reshape(-1, 4), np.repeat(joints, 21), uv)]
    if ear:
        grains = 22
        along = np.linspace(0, 1, grains)
        around = np.arange(grains) * 2.6
        grain = leaf("oval", 0.22, segments=3, across=3, fold=0.8)
        out = np.stack([0.45 * np.cos(around), np.ones(grains), 0.45 * np.sin(around)], axis=1)
        ear_mesh = instance_mesh(
            grain, rotations_along(out, rng, 0.8) * 0.3, np.stack([0 * along, along, 0 * along], 1), 0
        )
        rotations = rotations_along(middle[:, -1] - middle[:, -2], rng) * (ear * tall)[:, None, None]
        parts.append(instance_mesh(ear_mesh, rotations, middle[:, -1], joints))
    return Body(merge_meshes(parts), (green,), skeleton.joints())


def arching(rng, leaves: int, size: float, outline: str, width: float, green, stalk: float = 0.0) -> Body:
    """Leaves that arch outward from one root: a spider plant or dracaena; with stalks (a share of `size`) a lily."""
    skeleton = Skeleton()
    azimuth = 2.4 * np.arange(leaves) + rng.normal(0, 0.3, leaves)
    rise = np.linspace(0.35, 1.35, leaves) + rng.normal(0, 0.12, leaves)
    heading = np.stack([np.cos(azimuth) * np.cos(rise), np.sin(azimuth) * np.cos(rise), np.sin(rise)], axis=1)
    parts = []
    if not stalk:
        for i in range(leaves):
            blade = leaf(outline, width, segments=12, droop=rng.uniform(0.3, 1.2), fold=0.35, wave=0.004)
            length = size * rng.uniform(0.65, 1.1)
            joint = skeleton.add(
                [0, 0, 0],
                heading[i],
                length,
                frequency=rng.uniform(0.6, 1.6),
                amplitude=0.06,
                bend_exponent=1,
                coherence=0.45,
            )
            rotations = rotations_along(heading[i : i + 1], rng, 0.12) * length
            parts.append(instance_mesh(blade, rotations, np.zeros((1, 3)), joint))
        return Body(merge_meshes(parts), (green,), skeleton.joints())
    blade = leaf(outline, width, segments=10, droop=0.45, fold=rng.uniform(0.05, 0.4), wave=0.02)
    for i in range(leaves):
        length = size * stalk * rng.uniform(0.6, 1.15)
        path = random_path(rng, np.zeros(3), heading[i], length, 5, wobble=0.05, lift=-0.03)
        joint = skeleton.add(
            [0, 0, 0],
            heading[i],
            length,
            frequency=rng.uniform(0.6, 1.5),
            amplitude=0.05,
            bend_exponent=1,
            coherence=0.5,
        )[0]
        parts.append(tube(path, size * 0.009 * np.linspace(1, 0.7, 6), 6, joint))
        out = normalize(path[-1] - path[0]) * [1, 1, 0.2] + [0, 0, -0.15]
        grown = size * (1 - stalk) * rng.uniform(0.8, 1.3)
        parts.append(
            add_leaves(
                rng, skeleton, blade, path[-1:], out[None], grown, np.array([joint]), amplitude=0.08, roll=0.3
            ).with_slot(0)
        )
    return Body(merge_meshes(parts), (green,), skeleton.joints())


def fronds(rng, count: int, size: float, pairs: int, green, rise=(0.5, 1.3)) -> Body:
    """Feathered leaves from one root: a fern, a young palm."""
    skeleton = Skeleton()
    azimuth = 2.4 * np.arange(count) + rng.normal(0, 0.3, count)
    lift = np.linspace(*rise, count) + rng.normal(0, 0.1, count)
    parts = []
    leaflet = leaf("lance", rng.uniform(0.09, 0.16), segments=4, across=3, fold=0.3, droop=0.3)
    for angle, elevation in zip(azimuth, lift, strict=True):
        length = size * rng.uniform(0.7, 1.1)
        heading = [np.cos(angle) * np.cos(elevation), np.sin(angle) * np.cos(elevation), np.sin(elevation)]
        path = random_path(rng, np.zeros(3), heading, length, 10, wobble=0.03, lift=-0.14)
        joint = skeleton.add(
            [0, 0, 0], path[-1], length, frequency=rng.uniform(0.5, 1.4), amplitude=0.07, bend_exponent=1, coherence=0.5
        )[0]
        parts.append(tube(path, size * 0.008 * np.linspace(1, 0.3, 11), 5, joint))
        share = np.repeat(np.linspace(0.16, 1, pairs), 2)
        bases = np.stack([point_on_path(path, s) for s in share])
        forward = normalize(
            np.stack([point_on_path(path, min(s + 0.06, 1)) - point_on_path(path, s - 0.06) for s in share])
        )
        side = normalize(np.cross(forward, UP)) * np.tile([-1.0, 1.0], pairs)[:, None]
        out = 0.75 * side + 0.5 * forward - [0, 0, 0.12] + rng.normal(0, 0.05, side.shape)
        grown = length * 0.3 * (1.02 - share) ** 0.6 * np.minimum(1, 5 * share)
        parts.append(
            add_leaves(rng, skeleton, leaflet, bases, out, grown, np.full(2 * pairs, joint), 0.05, 0.05).with_slot(0)
        )
    return Body(merge_meshes(parts), (green,), skeleton.joints())


def strands(rng, count: int, length: float, radius: float, blade: Mesh, leaf_size: float, bark, green) -> Body:
    """Shoots that hang from a ring of `radius` m: ivy over the rim of a pot, or a curtain of leaves."""
    skeleton = Skeleton()
    parts = []
    around = rng.uniform(0, 2 * np.pi, count)
    for angle in around:
        out = np.array([np.cos(angle), np.sin(angle), 0])
        long = length * rng.uniform(0.35, 1.1)
        path = random_path(
            rng, out * radius * rng.uniform(0.5, 1), out + [0, 0, 0.6], long, 12, wobble=0.06, lift=-0.33
        )
        speed = np.clip(0.42 / np.sqrt(long), 0.4, 1.4)
        joint = skeleton.add(
            path[0], path[-1] - path[0], long, frequency=speed, amplitude=0.09, bend_exponent=0.4, coherence=0.6
        )[0]
        parts.append(tube(path, leaf_size * 0.03 * np.linspace(1, 0.5, 13), 4, joint))
        many = max(4, int(long / leaf_size * 2.4))
        share = np.linspace(0.04, 1, many)
        bases = np.stack([point_on_path(path, s) for s in share])
        heading = horizontal_directions(rng, many) * 0.9 + out * 0.5 - [0, 0, 0.7]
        size = leaf_size * rng.uniform(0.55, 1.2, many) * (1.1 - 0.4 * share)
        parts.append(add_leaves(rng, skeleton, blade, bases, heading, size, np.full(many, joint), 0.1, 0.3))
    return Body(merge_meshes(parts), (bark, green), skeleton.joints())


def random_path(rng, start, direction, length: float, steps: int, wobble: float, lift: float) -> np.ndarray:
    """A random path [steps + 1, 3]; `lift` bends it up a little at each step."""
    points, heading = [np.asarray(start, float)], normalize(direction)
    for _ in range(steps):
        heading = normalize(heading + rng.normal(0, wobble, 3) + [0, 0, lift])
        points.append(points[-1] + heading * (length / steps))
    return np.array(points)


def point_on_path(path: np.ndarray, share: float) -> np.ndarray:
    """The point [3] at a fraction 0..1 of a path with equal steps."""
    position = np.clip(share, 0, 1) * (len(path) - 1)
    step = min(int(position), len(path) - 2)
    return path[step] + (path[step + 1] - path[step]) * (position - step)


def horizontal_directions(rng, count: int) -> np.ndarray:
    """Random horizontal unit vectors [count, 3]."""
    angle = rng.uniform(0, 2 * np.pi, count)
    return np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
