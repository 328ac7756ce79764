"""Arrangements of plants: shapes of trees, flowers, potted plants, and the vegetation around a scene."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from . import blossoms, plants, shading, surroundings
from .blender_scene import BlenderScene
from .blossoms import BLOSSOMS
from .geometry import Body, Mesh, leaf, merge_meshes, tube
from .joint_motion import Joints
from .plants import TreeForm
from .random_choices import choose, log_uniform, random_color
from .surroundings import Ground

# Ranges of hue: red, yellow, violet, pink, orange, blue. Petals are never green.
PETAL_HUES = [(0.94, 1.03), (0.1, 0.16), (0.72, 0.86), (0.84, 0.95), (0.02, 0.08), (0.58, 0.68)]


def leaf_blade(rng, outline: str, segments: int) -> Mesh:
    """A random leaf of an outline."""
    width = {"lance": (0.08, 0.16), "heart": (0.3, 0.45), "strap": (0.03, 0.06)}.get(outline, (0.18, 0.34))
    teeth = 0.15 if rng.random() < 0.25 else 0.0
    return leaf(outline, rng.uniform(*width), segments=segments * (2 if teeth else 1), fold=rng.uniform(0.05, 0.5),
                droop=rng.uniform(0, 0.6), wave=rng.uniform(0, 0.02), teeth=teeth)  # fmt: skip


def tree_form(rng, height: float, fine: float = 1.0) -> TreeForm:
    """A random tree; `fine` < 1 gives fewer and larger leaves, for distant trees."""
    size = rng.uniform(0.09, 0.15) / fine
    foliage = leaf(choose(rng, ["oval", "egg", "lance"]), rng.uniform(0.2, 0.36), segments=3, across=3, droop=0.3)
    return TreeForm(
        height=height,
        crown_ratio=rng.uniform(0.36, 0.52),
        clear_trunk=rng.uniform(0.15, 0.4),
        branches=int(rng.integers(26, 34) * fine**0.5),
        shoots=max(5, int(9 * fine)),
        twigs=9,
        leaves=int(15 * fine**0.5),
        leaf=foliage,
        leaf_size=size,
        droop=rng.uniform(0, 0.15),
        trunk_radius=height * rng.uniform(0.014, 0.025),
        frequency=rng.uniform(0.25, 0.6),
    )


def bush_form(rng, height: float, leaf_size: float, outline: str) -> TreeForm:
    """A random bush with branches from the ground up, for close views; smaller leaves are more numerous."""
    return TreeForm(
        height=height,
        crown_ratio=rng.uniform(0.4, 0.6),
        clear_trunk=0.02,
        branches=int(rng.integers(16, 24)),
        shoots=6,
        twigs=5,
        leaves=int(np.clip(0.75 / leaf_size, 6, 12)),
        leaf=leaf_blade(rng, outline, 8),
        leaf_size=leaf_size,
        droop=rng.uniform(-0.03, 0.12),
        trunk_radius=rng.uniform(0.02, 0.045),
        frequency=rng.uniform(0.4, 1.0),
    )


def add_tree_line(scene: BlenderScene, ground: Ground, near: float, far: float, size: float = 1.0) -> None:
    """A forest in the background: many copies of three trees, which sway as well."""
    rng = scene.rng
    shades = [shading.leaves(rng) for _ in range(2)]
    stem = shading.bark(rng)
    kinds = [
        plants.tree(rng, tree_form(rng, rng.uniform(4, 7) * size, 0.5), stem, choose(rng, shades)) for _ in range(3)
    ]
    for point in ground.points(surroundings.random_positions(rng, int(rng.integers(20, 60)), 1.6 * far, near, far)):
        scene.add(choose(rng, kinds), point - [0, 0, 0.4 * size], rng.uniform(0, 6.3), rng.uniform(0.7, 1.3))


def add_turf(
    scene: BlenderScene, ground: Ground, width: float, near: float, far: float, tall, count: int, cover=None
) -> None:
    """Tufts of grass over the ground, and some broad weeds."""
    rng = scene.rng
    cover = cover or shading.grasses(rng)
    spread = 0.03 * width if width > 4 else 0.09
    blades = 110 if width > 4 else 40
    form = {"blades": blades, "spread": spread, "green": cover, "mean_tilt": 0.4, "frequency": rng.uniform(0.6, 1.1)}
    heights, widths = rng.uniform(*tall, 4), rng.uniform(0.004, 0.009, 4)
    kinds = [
        plants.tuft(rng, height=height, width=width, **form) for height, width in zip(heights, widths, strict=True)
    ]
    weeds = [plants.arching(rng, 9, rng.uniform(*tall), "oval", 0.14, shading.leaves(rng)) for _ in range(2)]
    for point in ground.points(surroundings.random_positions(rng, count, width, near, far, 1.3)):
        scene.add(choose(rng, kinds * 3 + weeds), point, rng.uniform(0, 6.3), rng.uniform(0.6, 1.3))


def flower_variants(rng, species: int, variants: int) -> list[Body]:
    """Some species of flowers, several plants of each."""
    bodies = []
    for _ in range(species):
        green = shading.leaves(rng, shading.leaf_green(rng, autumn=0))
        tint = random_color(
            rng, choose(rng, PETAL_HUES), (0, 0.12) if rng.random() < 0.25 else (0.45, 0.95), (0.75, 0.98)
        )
        throat = np.clip(tint * random_color(rng, (0.05, 0.18), (0.1, 0.7), (0.6, 1)), 0, 1)
        petal = shading.petals(rng, tint, throat)
        height = rng.uniform(0.4, 0.7)
        if rng.random() < 0.2:
            bodies += [blossoms.spike(rng, height, green, petal) for _ in range(variants)]
            continue
        middle = random_color(
            rng, *choose(rng, [((0.1, 0.15), (0.7, 0.9), (0.7, 0.9)), ((0.05, 0.1), (0.5, 0.8), (0.12, 0.3))])
        )
        heart = shading.mottled(rng, middle, middle * 0.4, 40, grain=260, bump=1.0)
        kind = BLOSSOMS[choose(rng, list(BLOSSOMS))]
        size = log_uniform(rng, 0.035, 0.075)
        bodies += [
            blossoms.flower(rng, kind, height, size * rng.uniform(0.85, 1.1), green, petal, heart)
            for _ in range(variants)
        ]
    return bodies


def potted_plant(rng) -> Body:
    """A random plant for a pot."""
    green = shading.leaves(rng)
    size = rng.uniform(0.3, 0.46)
    kind = choose(rng, ["bush", "bush", "straps", "lily", "lily", "fern", "flowers"])
    if kind == "straps":
        return plants.arching(rng, int(rng.integers(16, 34)), size, "strap", rng.uniform(0.02, 0.05), green)
    if kind == "lily":
        outline, width = choose(rng, ["egg", "heart", "oval"]), rng.uniform(0.25, 0.45)
        return plants.arching(rng, int(rng.integers(9, 18)), size * 1.1, outline, width, green, stalk=0.55)
    if kind == "fern":
        return plants.fronds(rng, int(rng.integers(10, 18)), size * 1.2, int(rng.integers(14, 24)), green)
    if kind == "flowers":
        tint = random_color(rng, choose(rng, PETAL_HUES), (0.2, 0.9), (0.7, 0.95))
        petal = shading.petals(rng, tint, tint * 0.7)
        middle = shading.plain(random_color(rng, (0.1, 0.15), (0.7, 0.9), (0.6, 0.9)))
        blossom = BLOSSOMS[choose(rng, list(BLOSSOMS))]
        tall = size * rng.uniform(0.7, 1.1, 9)
        return merge_bodies(rng, [blossoms.flower(rng, blossom, height, 0.05, green, petal, middle) for height in tall])
    form = bush_form(rng, size * 1.25, rng.uniform(0.04, 0.075), choose(rng, ["oval", "heart", "egg"]))
    form = replace(
        form, clear_trunk=rng.uniform(0.1, 0.4), branches=11, shoots=4, twigs=3, leaves=6, trunk_radius=0.009
    )
    return plants.tree(rng, form, shading.bark(rng), green)


def merge_bodies(rng, bodies: list[Body]) -> Body:
    """Several plants with the same materials as one body, side by side."""
    shifted, joints, start = [], [], 0
    for body in bodies:
        matrix = np.eye(4)
        matrix[:2, 3] = rng.normal(0, 0.03, 2)
        joints.append(body.joints.transformed(matrix))
        mesh = body.mesh.transformed(matrix[:3, 3])
        shifted.append(Mesh(mesh.points, mesh.faces, mesh.joint + start, mesh.uv, mesh.slot))
        start += len(body.joints)
    return Body(merge_meshes(shifted), bodies[0].materials, Joints.concatenate(joints))


def add_yard(scene: BlenderScene, indoors: float = 0.4) -> None:
    """The background of hanging objects: a garden, or with probability `indoors` the wall of a room."""
    rng = scene.rng
    if rng.random() >= indoors:
        surroundings.add_daylight(scene, 0.5)
        ground = Ground.random(rng, 0.2, 3.0)
        surroundings.add_ground(scene, ground, shading.meadow(rng), 40)
        add_turf(scene, ground, 5, 0, 9, (0.04, 0.12), 300)
        if rng.random() < 0.65:
            add_tree_line(scene, ground, 9, 22, 0.8)
        elif indoors:
            surroundings.add_wall(scene, rng.uniform(1.2, 3), windows=2)
    else:
        surroundings.set_panorama(scene, surroundings.INDOORS, float(rng.uniform(0.4, 1.2)))
        if rng.random() < 0.7:
            surroundings.add_sun(scene, float(rng.uniform(0.3, 0.9)), float(rng.uniform(0.5, 3)))  # through a window
        surroundings.add_wall(scene, rng.uniform(0.8, 2), windows=1)


def add_fence(scene: BlenderScene, ground: Ground, distance: float) -> None:
    """A fence along x at y = distance."""
    rng = scene.rng
    line = np.arange(-9, 9, rng.uniform(1.2, 2))
    feet = ground.points(np.stack([line, np.full(len(line), distance)], axis=1))
    posts = [tube([foot, foot + [rng.normal(0, 0.02), 0, 1]], 0.05, 8) for foot in feet]
    rails = [tube(feet + [0, -0.05, z], 0.025, 6) for z in (0.45, 0.85)]
    scene.add(Body(merge_meshes(posts + rails), (shading.bark(rng),)))
