"""What is planted where: the forms of trees, beds of flowers, pot plants, and the greenery around a scene."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from . import plants, shading
from . import surroundings as around
from .chance import color, log_uniform, pick
from .geometry import Body, Mesh, join, leaf, tube
from .motion import Joints
from .plants import BLOSSOMS, TreeForm
from .stage import Stage
from .surroundings import Ground

# Red, yellow, violet, pink, orange, blue: no petals are green.
PETAL_HUES = [(0.94, 1.03), (0.1, 0.16), (0.72, 0.86), (0.84, 0.95), (0.02, 0.08), (0.58, 0.68)]


def blade(rng, outline: str, segments: int):
    width = {"lance": (0.08, 0.16), "heart": (0.3, 0.45), "strap": (0.03, 0.06)}.get(outline, (0.18, 0.34))
    teeth = 0.15 if rng.random() < 0.25 else 0.0
    return leaf(outline, rng.uniform(*width), segments=segments * (2 if teeth else 1), fold=rng.uniform(0.05, 0.5),
                droop=rng.uniform(0, 0.6), wave=rng.uniform(0, 0.02), teeth=teeth)  # fmt: skip


def tree_form(rng, height: float, fine: float = 1.0) -> TreeForm:
    """A tree; `fine` < 1 has fewer and larger leaves, for trees far away."""
    size = rng.uniform(0.09, 0.15) / fine
    foliage = leaf(pick(rng, ["oval", "egg", "lance"]), rng.uniform(0.2, 0.36), segments=3, across=3, droop=0.3)
    return TreeForm(
        height=height,
        crown=rng.uniform(0.36, 0.52),
        clear=rng.uniform(0.15, 0.4),
        branches=int(rng.integers(26, 34) * fine**0.5),
        shoots=max(5, int(9 * fine)),
        twigs=9,
        leaves=int(15 * fine**0.5),
        leaf=foliage,
        leaf_size=size,
        hang=rng.uniform(0, 0.15),
        trunk=height * rng.uniform(0.014, 0.025),
        frequency=rng.uniform(0.25, 0.6),
    )


def bush_form(rng, height: float, leaf_size: float, outline: str) -> TreeForm:
    """A bush with branches from the ground up, to be seen from near; the smaller its leaves, the more."""
    return TreeForm(
        height=height,
        crown=rng.uniform(0.4, 0.6),
        clear=0.02,
        branches=int(rng.integers(16, 24)),
        shoots=6,
        twigs=5,
        leaves=int(np.clip(0.75 / leaf_size, 6, 12)),
        leaf=blade(rng, outline, 8),
        leaf_size=leaf_size,
        hang=rng.uniform(-0.03, 0.12),
        trunk=rng.uniform(0.02, 0.045),
        frequency=rng.uniform(0.4, 1.0),
    )


def tree_line(stage: Stage, ground: Ground, near: float, far: float, size: float = 1.0) -> None:
    """A wood behind the scene: many copies of three trees; they sway, too."""
    rng = stage.rng
    shades = [shading.leaves(rng) for _ in range(2)]
    stem = shading.bark(rng)
    kinds = [plants.tree(rng, tree_form(rng, rng.uniform(4, 7) * size, 0.5), stem, pick(rng, shades)) for _ in range(3)]
    for spot in ground.spots(around.places(rng, int(rng.integers(20, 60)), 1.6 * far, near, far)):
        stage.add(pick(rng, kinds), spot - [0, 0, 0.4 * size], rng.uniform(0, 6.3), rng.uniform(0.7, 1.3))


def turf(stage: Stage, ground: Ground, width: float, near: float, far: float, tall, count: int, cover=None) -> None:
    """Tufts of grass over the ground, and some broad weeds."""
    rng = stage.rng
    cover = cover or shading.grasses(rng)
    spread = 0.03 * width if width > 4 else 0.09
    blades = 110 if width > 4 else 40
    form = {"blades": blades, "spread": spread, "green": cover, "lean": 0.4, "frequency": rng.uniform(0.6, 1.1)}
    heights, widths = rng.uniform(*tall, 4), rng.uniform(0.004, 0.009, 4)
    kinds = [
        plants.tuft(rng, height=height, width=width, **form) for height, width in zip(heights, widths, strict=True)
    ]
    weeds = [plants.arching(rng, 9, rng.uniform(*tall), "oval", 0.14, shading.leaves(rng)) for _ in range(2)]
    for spot in ground.spots(around.places(rng, count, width, near, far, 1.3)):
        stage.add(pick(rng, kinds * 3 + weeds), spot, rng.uniform(0, 6.3), rng.uniform(0.6, 1.3))


def flower_kinds(rng, species: int, variants: int) -> list[Body]:
    """Some species of flowers, several plants of each."""
    made = []
    for _ in range(species):
        green = shading.leaves(rng, shading.leaf_green(rng, autumn=0))
        tint = color(rng, pick(rng, PETAL_HUES), (0, 0.12) if rng.random() < 0.25 else (0.45, 0.95), (0.75, 0.98))
        throat = np.clip(tint * color(rng, (0.05, 0.18), (0.1, 0.7), (0.6, 1)), 0, 1)
        petal = shading.petals(rng, tint, throat)
        height = rng.uniform(0.4, 0.7)
        if rng.random() < 0.2:
            made += [plants.spike(rng, height, green, petal) for _ in range(variants)]
            continue
        middle = color(rng, *pick(rng, [((0.1, 0.15), (0.7, 0.9), (0.7, 0.9)), ((0.05, 0.1), (0.5, 0.8), (0.12, 0.3))]))
        heart = shading.mottled(rng, middle, middle * 0.4, 40, grain=260, bump=1.0)
        kind = BLOSSOMS[pick(rng, list(BLOSSOMS))]
        size = log_uniform(rng, 0.035, 0.075)
        made += [
            plants.flower(rng, kind, height, size * rng.uniform(0.85, 1.1), green, petal, heart)
            for _ in range(variants)
        ]
    return made


def pot_plant(rng) -> Body:
    green = shading.leaves(rng)
    size = rng.uniform(0.3, 0.46)
    kind = pick(rng, ["bush", "bush", "straps", "lily", "lily", "fern", "flowers"])
    if kind == "straps":
        return plants.arching(rng, int(rng.integers(16, 34)), size, "strap", rng.uniform(0.02, 0.05), green)
    if kind == "lily":
        outline, width = pick(rng, ["egg", "heart", "oval"]), rng.uniform(0.25, 0.45)
        return plants.arching(rng, int(rng.integers(9, 18)), size * 1.1, outline, width, green, stalk=0.55)
    if kind == "fern":
        return plants.fronds(rng, int(rng.integers(10, 18)), size * 1.2, int(rng.integers(14, 24)), green)
    if kind == "flowers":
        tint = color(rng, pick(rng, PETAL_HUES), (0.2, 0.9), (0.7, 0.95))
        petal = shading.petals(rng, tint, tint * 0.7)
        middle = shading.plain(color(rng, (0.1, 0.15), (0.7, 0.9), (0.6, 0.9)))
        blossom = BLOSSOMS[pick(rng, list(BLOSSOMS))]
        tall = size * rng.uniform(0.7, 1.1, 9)
        return bunch(rng, [plants.flower(rng, blossom, height, 0.05, green, petal, middle) for height in tall])
    form = bush_form(rng, size * 1.25, rng.uniform(0.04, 0.075), pick(rng, ["oval", "heart", "egg"]))
    form = replace(form, clear=rng.uniform(0.1, 0.4), branches=11, shoots=4, twigs=3, leaves=6, trunk=0.009)
    return plants.tree(rng, form, shading.bark(rng), green)


def bunch(rng, bodies: list[Body]) -> Body:
    """Several plants of the same materials as one, side by side."""
    shifted, joints, start = [], [], 0
    for body in bodies:
        place = np.eye(4)
        place[:2, 3] = rng.normal(0, 0.03, 2)
        joints.append(body.joints.moved(place))
        own = body.mesh.moved(place[:3, 3])
        shifted.append(Mesh(own.points, own.faces, own.joint + start, own.uv, own.slot))
        start += len(body.joints)
    return Body(join(shifted), bodies[0].materials, Joints.stack(joints))


def yard(stage: Stage, indoors: float = 0.4) -> None:
    """What is behind things that hang: a garden, or with probability `indoors` a room's wall."""
    rng = stage.rng
    if rng.random() >= indoors:
        around.daylight(stage, 0.5)
        ground = Ground.draw(rng, 0.2, 3.0)
        around.lay(stage, ground, shading.meadow(rng), 40)
        turf(stage, ground, 5, 0, 9, (0.04, 0.12), 300)
        if rng.random() < 0.65:
            tree_line(stage, ground, 9, 22, 0.8)
        elif indoors:
            around.wall(stage, rng.uniform(1.2, 3), windows=2)
    else:
        around.panorama(stage, around.INDOORS, float(rng.uniform(0.4, 1.2)))
        if rng.random() < 0.7:
            around.sun(stage, float(rng.uniform(0.3, 0.9)), float(rng.uniform(0.5, 3)))  # through a window
        around.wall(stage, rng.uniform(0.8, 2), windows=1)


def fence(stage: Stage, ground: Ground, distance: float) -> None:
    rng = stage.rng
    line = np.arange(-9, 9, rng.uniform(1.2, 2))
    feet = ground.spots(np.stack([line, np.full(len(line), distance)], axis=1))
    posts = [tube([foot, foot + [rng.normal(0, 0.02), 0, 1]], 0.05, 8) for foot in feet]
    rails = [tube(feet + [0, -0.05, z], 0.025, 6) for z in (0.45, 0.85)]
    stage.add(Body(join(posts + rails), (shading.bark(rng),)))
