"""Plants grown from numbers: each function returns one Body whose root is the origin, with a joint for each part.

Frequencies stay below 2.8 Hz, for 16 bins of five seconds end at 3 Hz.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .geometry import Body, Mesh, frames_along, grid_faces, join, leaf, mesh, scatter, tube, unit
from .motion import Skeleton

UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class TreeForm:
    """What a tree or bush looks like.

    Attributes:
        height: m.
        crown: length of the longest branches over the height.
        clear: share of the trunk that bears no branches.
        branches, shoots, twigs, leaves: on the trunk, a branch, a shoot, a twig.
        leaf: a blade of length 1.
        leaf_size: m.
        hang: how much branches sink, 0..0.3.
        trunk: radius m at the ground.
        frequency: Hz of the trunk.
    """

    height: float
    crown: float
    clear: float
    branches: int
    shoots: int
    twigs: int
    leaves: int
    leaf: Mesh
    leaf_size: float
    hang: float
    trunk: float
    frequency: float


def tree(rng: np.random.Generator, form: TreeForm, bark, foliage) -> Body:
    """A trunk, two orders of branches, and twigs with leaves."""
    bones = Skeleton()
    top = form.height * 0.92
    trunk = _walk(rng, np.zeros(3), UP, top, 9, wobble=0.08, lift=0.12)
    root = bones.add([0, 0, 0], UP, top, frequency=form.frequency, swing=0.02, bend=1, shared=0.9)[0]
    parts = [tube(trunk, form.trunk * np.linspace(1, 0.12, 10), 9, root)]
    starts, directions, parents = [], [], []
    for i in range(form.branches):
        share = form.clear + (1 - form.clear) * (i + rng.random()) / form.branches
        azimuth, rise = 2.4 * i + rng.normal(0, 0.4), rng.uniform(0.1, 0.7) + 0.6 * share
        direction = [np.cos(azimuth) * np.cos(rise), np.sin(azimuth) * np.cos(rise), np.sin(rise)]
        length = form.height * form.crown * (1.05 - 0.75 * share**1.5) * rng.uniform(0.7, 1.15)
        path = _walk(rng, _along(trunk, share), direction, length, 5, wobble=0.12, lift=0.06 - form.hang)
        speed = min(form.frequency * rng.uniform(1.4, 3), 2.4)
        branch = bones.add(path[0], path[-1] - path[0], length, root, frequency=speed, swing=0.035, bend=0.5)[0]
        thick = max(form.trunk * 0.34 * (1.1 - 0.7 * share), 0.002)
        parts.append(tube(path, thick * np.linspace(1, 0.25, 6), 6, branch))
        for j in range(form.shoots):
            at = 0.18 + 0.82 * (j + rng.random()) / form.shoots
            heading = unit(path[-1] - path[0]) + rng.normal(0, 0.65, 3)
            size = length * 0.42 * rng.uniform(0.6, 1.2) * (1.25 - 0.6 * at)
            shoot = _walk(rng, _along(path, at), heading, size, 4, wobble=0.15, lift=0.04 - form.hang)
            fast = min(form.frequency * rng.uniform(2.2, 4.5), 2.7)
            number = bones.add(
                shoot[0], shoot[-1] - shoot[0], size, branch, frequency=fast, swing=0.05, bend=0.5, shared=0.35
            )[0]
            parts.append(tube(shoot, thick * 0.4 * np.linspace(1, 0.3, 5), 4, number))
            share_of_twig = rng.uniform(0.1, 1, form.twigs)
            starts.append(np.stack([_along(shoot, s) for s in share_of_twig]))
            directions.append(unit(shoot[-1] - shoot[0]) + rng.normal(0, 0.6, (form.twigs, 3)))
            parents.append(np.full(form.twigs, number))
    twig_length = form.leaf_size * (1.2 + 0.22 * form.leaves)
    parts += _leafy_twigs(
        rng, bones, form, np.concatenate(starts), np.concatenate(directions), np.concatenate(parents), twig_length
    )
    return Body(join(parts), (bark, foliage), bones.joints())


def _leafy_twigs(rng, bones: Skeleton, form: TreeForm, starts, directions, parents, length: float) -> list[Mesh]:
    count = len(starts)
    scale = length * rng.uniform(0.7, 1.2, count)
    turns = frames_along(directions - np.array([0, 0, 0.4 * form.hang]), rng, roll=0.6)
    twigs = bones.add(
        starts, directions, scale, parents, frequency=rng.uniform(1, 2.5, count), swing=0.05, bend=0.5, shared=0.3
    )
    bow = np.linspace(0, 1, 4)
    stem = tube(np.stack([0 * bow, bow, -0.15 * bow**2], axis=1), 0.012, 3)
    parts = [scatter(stem, turns * scale[:, None, None], starts, twigs)]
    # Leaves stand alternately left and right of the twig, and one closes it.
    at = np.append(np.linspace(0.15, 0.95, form.leaves - 1), 1.0)
    side = np.append(np.where(np.arange(form.leaves - 1) % 2, 1.0, -1.0), 0.0)
    local = np.stack([side * 0.9, 0.55 + 0.3 * at, rng.uniform(-0.25, 0.35, form.leaves)], axis=1)
    bases = np.stack([0 * at, at, -0.15 * at**2], axis=1)
    pivots = np.einsum("nij,mj->nmi", turns * scale[:, None, None], bases) + starts[:, None]
    heading = np.einsum("nij,mj->nmi", turns, local) + rng.normal(0, 0.3, (count, form.leaves, 3))
    heading[..., 2] -= 0.2 + form.hang
    pivots, heading = pivots.reshape(-1, 3), heading.reshape(-1, 3)
    size = form.leaf_size * rng.uniform(0.65, 1.2, len(pivots))
    return parts + [_leaves(rng, bones, form.leaf, pivots, heading, size, np.repeat(twigs, form.leaves), roll=0.45)]


def _leaves(rng, bones, blade: Mesh, pivots, heading, size, parents, swing=0.1, roll=0.3, slot=1) -> Mesh:
    """Copies of a leaf, each on its own joint."""
    frequency = rng.uniform(0.9, 2.7, len(pivots))
    joints = bones.add(pivots, heading, size, parents, frequency=frequency, swing=swing, shared=0.25)
    turns = frames_along(heading, rng, roll) * np.broadcast_to(size, len(pivots))[:, None, None]
    return scatter(blade, turns, np.asarray(pivots), joints).in_slot(slot)


@dataclass(frozen=True)
class Blossom:
    """A kind of flower head, in units of the length of its petals.

    Attributes:
        petals: in each whorl.
        whorls: of petals, one above the other.
        outline, width, fold, droop, wave: of `leaf`.
        rise: rad that the outer petals stand above the head's plane; each further whorl stands `steeper`.
        heart: radius of the middle, which is `dome` times as high.
    """

    petals: int
    whorls: int
    outline: str
    width: float
    rise: float
    steeper: float
    heart: float
    dome: float
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


def _head(rng, bones: Skeleton, kind: Blossom, center, facing, size: float, parent: int, slots=(2, 3)) -> list[Mesh]:
    """Petals and the middle of a flower that looks along `facing` [3]."""
    spin = frames_along(facing[None], rng, 0.5)[0][:, [0, 2, 1]]  # its z looks along `facing`
    spin[:, 1] *= -1  # a proper rotation again
    neck = bones.add(center, facing, size, parent, frequency=rng.uniform(0.8, 2), swing=0.07, shared=0.6)[0]
    parts = []
    for whorl in range(kind.whorls):
        angle = 2 * np.pi * (np.arange(kind.petals) + 0.5 * whorl) / kind.petals + rng.normal(0, 0.06, kind.petals)
        rise = kind.rise + kind.steeper * whorl + rng.normal(0, 0.09, kind.petals)
        out = np.stack([np.cos(angle) * np.cos(rise), np.sin(angle) * np.cos(rise), np.sin(rise)], axis=1)
        rim = out * [1, 1, 0] * 0.75 * kind.heart * (1 - whorl / (kind.whorls + 1))
        inner = np.stack([-np.cos(angle) * np.sin(rise), -np.sin(angle) * np.sin(rise), np.cos(rise)], axis=1)
        turns = np.stack([np.cross(out, inner), out, inner], axis=-1)
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
        joints = bones.add(
            pivots, out @ spin.T, length, neck, frequency=rng.uniform(1.2, 2.7, kind.petals), swing=0.05, shared=0.3
        )
        parts.append(scatter(blade, (spin @ turns) * length[:, None, None], pivots, joints).in_slot(slots[0]))
    angle = np.linspace(0, np.pi / 2, 7)
    dome = size * kind.heart * np.stack([np.cos(angle), kind.dome * np.sin(angle)], axis=1)
    spun = np.linspace(0, 2 * np.pi, 19)
    cap = np.stack(
        [
            dome[:, :1] * np.cos(spun),
            dome[:, :1] * np.sin(spun),
            np.repeat(dome[:, 1:], 19, axis=1) - 0.1 * size * kind.heart,
        ],
        axis=-1,
    )
    parts.append(mesh(cap.reshape(-1, 3) @ spin.T + center, grid_faces(7, 19), neck, slot=slots[1]))
    return parts


def flower(rng, kind: Blossom, height: float, head: float, green, petal, heart) -> Body:
    """One stem with a few leaves and a flower head of radius about `head` m."""
    bones = Skeleton()
    lean = rng.normal(0, 0.13, 2)
    path = _walk(rng, np.zeros(3), [*lean, 1.0], height, 7, wobble=0.04, lift=0.02)
    stem = bones.add([0, 0, 0], path[-1], height, frequency=rng.uniform(0.45, 1.1), swing=0.06, bend=1, shared=0.7)[0]
    parts = [tube(path, 0.0035 + 0.005 * height * np.linspace(1, 0.5, 8), 7, stem)]
    count = int(rng.integers(3, 8))
    bases = np.stack([_along(path, share) for share in rng.uniform(0.08, 0.8, count)])
    heading = rng.normal(0, 1, (count, 3)) * [1, 1, 0.3] + [0, 0, 0.6]
    outline = ("lance", "oval", "egg")[int(rng.integers(3))]
    blade = leaf(outline, rng.uniform(0.1, 0.22), droop=rng.uniform(0, 0.8), segments=8, wave=0.02)
    size = height * rng.uniform(0.14, 0.32, count)
    parts.append(_leaves(rng, bones, blade, bases, heading, size, np.full(count, stem), swing=0.07).in_slot(0))
    facing = np.array([*(lean * 2 + rng.normal(0, 0.25, 2) - [0, rng.uniform(0.0, 0.9)]), 1.0])
    parts += _head(rng, bones, kind, path[-1], unit(facing), head, stem)
    return Body(join(parts), (green, green, petal, heart), bones.joints())


def spike(rng, height: float, green, petal) -> Body:
    """A stem whose upper part is set with small florets: lavender, lupin, sage."""
    bones = Skeleton()
    path = _walk(rng, np.zeros(3), [*rng.normal(0, 0.12, 2), 1.0], height, 7, wobble=0.03, lift=0.02)
    stem = bones.add([0, 0, 0], path[-1], height, frequency=rng.uniform(0.5, 1.2), swing=0.07, bend=1, shared=0.75)[0]
    count = int(rng.integers(90, 160))
    share = np.sort(rng.uniform(0.5, 1, count))
    around = rng.uniform(0, 2 * np.pi, count)
    heading = np.stack([np.cos(around), np.sin(around), rng.uniform(0.3, 0.9, count)], axis=1)
    size = height * 0.075 * (1.25 - share) * rng.uniform(0.8, 1.3, count) * 1.6
    floret = leaf("petal", 0.42, segments=4, across=3, fold=0.5, droop=0.5)
    bases = np.stack([_along(path, s) for s in share])
    florets = scatter(floret, frames_along(heading, rng, 0.4) * size[:, None, None], bases, stem).in_slot(2)
    low = int(rng.integers(8, 16))
    blade = leaf("lance", 0.09, droop=0.6, segments=6)
    foots = np.stack([_along(path, s) for s in rng.uniform(0.0, 0.45, low)])
    way = rng.normal(0, 1, (low, 3)) * [1, 1, 0.2] + [0, 0, 0.7]
    leaves = _leaves(rng, bones, blade, foots, way, height * rng.uniform(0.15, 0.3, low), np.full(low, stem), 0.06)
    parts = [tube(path, 0.002 + 0.003 * height * np.linspace(1, 0.4, 8), 6, stem), leaves.in_slot(0), florets]
    return Body(join(parts), (green, green, petal), bones.joints())


def tuft(rng, blades: int, height: float, spread: float, width: float, green, lean=0.3, ear=0.0, frequency=0.8) -> Body:
    """Blades of grass around the origin; with `ear` > 0 (share of the height) they are stalks of ripe corn.

    All blades have nearly the same `frequency` Hz, so that gusts run over a meadow as waves: blades out of step with
    their neighbors would be noise on the grid of a volume.
    """
    bones = Skeleton()
    t = np.linspace(0, 1, 7)
    feet = np.concatenate([rng.normal(0, spread, (blades, 2)), np.zeros((blades, 1))], axis=1)
    tall = height * rng.uniform(0.5, 1.15, blades)
    tilt = lean * rng.gamma(2, 0.6, blades)
    way = _ring(rng, blades) + 0.6 * unit(feet + 1e-6)
    sink = 0.35 * np.minimum(tilt, 1.4)[:, None] * t**2.5
    middle = feet[:, None] + (tall * tilt)[:, None, None] * (t**2)[:, None] * way[:, None]
    middle = middle + (tall[:, None] * (t - sink))[..., None] * UP
    joints = bones.add(
        feet,
        middle[:, -1] - feet,
        np.linalg.norm(middle[:, -1] - feet, axis=1),
        frequency=frequency * rng.uniform(0.94, 1.07, blades),
        swing=0.11,
        bend=1,
        shared=0.93,
    )
    sides = _ring(rng, blades) * width * (0.5 if ear else 1)
    half = (0.5 * (1 - t**1.5) + 0.03) if not ear else np.full(7, 0.35)
    edges = [middle + s * sides[:, None] * half[:, None] for s in (-1, 0, 1)]
    edges[1] = edges[1] - 0.3 * width * half[:, None] * unit(way)[:, None]  # a keel catches light
    points = np.stack(edges, axis=1).reshape(-1, 3)
    uv = np.tile(np.stack([np.repeat([-1.0, 0, 1], 7), np.tile(t, 3)], axis=1), (blades, 1))
    faces = grid_faces(3, 7)[None] + (21 * np.arange(blades))[:, None, None]
    parts = [mesh(points, faces.reshape(-1, 4), np.repeat(joints, 21), uv)]
    if ear:
        grains = 22
        along = np.linspace(0, 1, grains)
        around = np.arange(grains) * 2.6
        grain = leaf("oval", 0.22, segments=3, across=3, fold=0.8)
        out = np.stack([0.45 * np.cos(around), np.ones(grains), 0.45 * np.sin(around)], axis=1)
        ear_mesh = scatter(grain, frames_along(out, rng, 0.8) * 0.3, np.stack([0 * along, along, 0 * along], 1), 0)
        turns = frames_along(middle[:, -1] - middle[:, -2], rng) * (ear * tall)[:, None, None]
        parts.append(scatter(ear_mesh, turns, middle[:, -1], joints))
    return Body(join(parts), (green,), bones.joints())


def arching(rng, leaves: int, size: float, outline: str, width: float, green, stalk: float = 0.0) -> Body:
    """Leaves from one root, arching outward: a spider plant, a dracaena; with stalks (a share of `size`) a lily."""
    bones = Skeleton()
    azimuth = 2.4 * np.arange(leaves) + rng.normal(0, 0.3, leaves)
    rise = np.linspace(0.35, 1.35, leaves) + rng.normal(0, 0.12, leaves)
    heading = np.stack([np.cos(azimuth) * np.cos(rise), np.sin(azimuth) * np.cos(rise), np.sin(rise)], axis=1)
    parts = []
    if not stalk:
        for one in range(leaves):
            blade = leaf(outline, width, segments=12, droop=rng.uniform(0.3, 1.2), fold=0.35, wave=0.004)
            length = size * rng.uniform(0.65, 1.1)
            joint = bones.add(
                [0, 0, 0], heading[one], length, frequency=rng.uniform(0.6, 1.6), swing=0.06, bend=1, shared=0.45
            )
            turns = frames_along(heading[one : one + 1], rng, 0.12) * length
            parts.append(scatter(blade, turns, np.zeros((1, 3)), joint))
        return Body(join(parts), (green,), bones.joints())
    blade = leaf(outline, width, segments=10, droop=0.45, fold=rng.uniform(0.05, 0.4), wave=0.02)
    for one in range(leaves):
        length = size * stalk * rng.uniform(0.6, 1.15)
        path = _walk(rng, np.zeros(3), heading[one], length, 5, wobble=0.05, lift=-0.03)
        joint = bones.add(
            [0, 0, 0], heading[one], length, frequency=rng.uniform(0.6, 1.5), swing=0.05, bend=1, shared=0.5
        )[0]
        parts.append(tube(path, size * 0.009 * np.linspace(1, 0.7, 6), 6, joint))
        out = unit(path[-1] - path[0]) * [1, 1, 0.2] + [0, 0, -0.15]
        grown = size * (1 - stalk) * rng.uniform(0.8, 1.3)
        parts.append(
            _leaves(rng, bones, blade, path[-1:], out[None], grown, np.array([joint]), swing=0.08, roll=0.3).in_slot(0)
        )
    return Body(join(parts), (green,), bones.joints())


def fronds(rng, count: int, size: float, pairs: int, green, rise=(0.5, 1.3)) -> Body:
    """Feathered leaves from one root: a fern, a young palm."""
    bones = Skeleton()
    azimuth = 2.4 * np.arange(count) + rng.normal(0, 0.3, count)
    lift = np.linspace(*rise, count) + rng.normal(0, 0.1, count)
    parts = []
    leaflet = leaf("lance", rng.uniform(0.09, 0.16), segments=4, across=3, fold=0.3, droop=0.3)
    for turn, up in zip(azimuth, lift, strict=True):
        length = size * rng.uniform(0.7, 1.1)
        heading = [np.cos(turn) * np.cos(up), np.sin(turn) * np.cos(up), np.sin(up)]
        path = _walk(rng, np.zeros(3), heading, length, 10, wobble=0.03, lift=-0.14)
        joint = bones.add([0, 0, 0], path[-1], length, frequency=rng.uniform(0.5, 1.4), swing=0.07, bend=1, shared=0.5)[
            0
        ]
        parts.append(tube(path, size * 0.008 * np.linspace(1, 0.3, 11), 5, joint))
        share = np.repeat(np.linspace(0.16, 1, pairs), 2)
        bases = np.stack([_along(path, s) for s in share])
        forward = unit(np.stack([_along(path, min(s + 0.06, 1)) - _along(path, s - 0.06) for s in share]))
        side = unit(np.cross(forward, UP)) * np.tile([-1.0, 1.0], pairs)[:, None]
        out = 0.75 * side + 0.5 * forward - [0, 0, 0.12] + rng.normal(0, 0.05, side.shape)
        grown = length * 0.3 * (1.02 - share) ** 0.6 * np.minimum(1, 5 * share)
        parts.append(_leaves(rng, bones, leaflet, bases, out, grown, np.full(2 * pairs, joint), 0.05, 0.05).in_slot(0))
    return Body(join(parts), (green,), bones.joints())


def strands(rng, count: int, length: float, radius: float, blade: Mesh, leaf_size: float, bark, green) -> Body:
    """Shoots that hang from a ring of `radius` m: ivy over a pot's rim, a willow's branches, a curtain of leaves."""
    bones = Skeleton()
    parts = []
    around = rng.uniform(0, 2 * np.pi, count)
    for angle in around:
        out = np.array([np.cos(angle), np.sin(angle), 0])
        long = length * rng.uniform(0.35, 1.1)
        path = _walk(rng, out * radius * rng.uniform(0.5, 1), out + [0, 0, 0.6], long, 12, wobble=0.06, lift=-0.33)
        speed = np.clip(0.42 / np.sqrt(long), 0.4, 1.4)
        joint = bones.add(path[0], path[-1] - path[0], long, frequency=speed, swing=0.09, bend=0.4, shared=0.6)[0]
        parts.append(tube(path, leaf_size * 0.03 * np.linspace(1, 0.5, 13), 4, joint))
        many = max(4, int(long / leaf_size * 2.4))
        share = np.linspace(0.04, 1, many)
        bases = np.stack([_along(path, s) for s in share])
        heading = _ring(rng, many) * 0.9 + out * 0.5 - [0, 0, 0.7]
        size = leaf_size * rng.uniform(0.55, 1.2, many) * (1.1 - 0.4 * share)
        parts.append(_leaves(rng, bones, blade, bases, heading, size, np.full(many, joint), 0.1, 0.3))
    return Body(join(parts), (bark, green), bones.joints())


def _walk(rng, start, direction, length: float, steps: int, wobble: float, lift: float) -> np.ndarray:
    """A crooked path [steps + 1, 3]; `lift` bends it up a little at each step."""
    points, heading = [np.asarray(start, float)], unit(direction)
    for _ in range(steps):
        heading = unit(heading + rng.normal(0, wobble, 3) + [0, 0, lift])
        points.append(points[-1] + heading * (length / steps))
    return np.array(points)


def _along(path: np.ndarray, share: float) -> np.ndarray:
    """The point [3] a share 0..1 along a path of even steps."""
    position = np.clip(share, 0, 1) * (len(path) - 1)
    step = min(int(position), len(path) - 2)
    return path[step] + (path[step + 1] - path[step]) * (position - step)


def _ring(rng, count: int) -> np.ndarray:
    """Horizontal unit vectors [count, 3]."""
    angle = rng.uniform(0, 2 * np.pi, count)
    return np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
