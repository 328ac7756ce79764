"""The families of scenes. Each function builds a scene and returns views of it; the camera looks along +y."""

from __future__ import annotations

import numpy as np

from . import hanging_objects, planting, plants, shading, surroundings
from .blender_scene import BlenderScene, View
from .geometry import Body, box, lathe, merge_meshes, tube
from .random_choices import choose, random_color
from .surroundings import Ground

VIEWS = 2


def trees(scene: BlenderScene) -> list[View]:
    """One to three trees in a landscape with a line of trees behind."""
    rng = scene.rng
    surroundings.add_daylight(scene, 0.15)
    ground = Ground.random(rng, 0.3, float(choose(rng, [0, 2, 5, 9])))
    surroundings.add_ground(scene, ground, shading.meadow(rng), 90)
    shade = shading.leaves(rng)
    height = 0.0
    for number in range(int(rng.integers(1, 4))):
        form = planting.tree_form(rng, rng.uniform(3.5, 6.5))
        height = height or form.height
        foliage = shade if rng.random() < 0.6 else shading.leaves(rng)
        point = (
            (rng.uniform(-0.8, 0.8), 0)
            if number == 0
            else (choose(rng, [-1, 1]) * rng.uniform(2, 7), rng.uniform(1, 9))
        )
        scene.add(
            plants.tree(rng, form, shading.bark(rng), foliage), ground.points(np.array([point]))[0] - [0, 0, 0.05]
        )
    planting.add_tree_line(scene, ground, 16, 34)
    planting.add_turf(scene, ground, 9, -7, 9, (0.06, 0.2), 900)
    planting.add_turf(scene, ground, 24, 8, 32, (0.15, 0.35), 900)
    surroundings.add_litter(scene, ground, 5, -6, 4)
    views = []
    for _ in range(VIEWS):
        angle, distance = rng.uniform(-0.5, 0.5), height * rng.uniform(0.9, 1.8)
        eye = (distance * np.sin(angle), -distance * np.cos(angle), rng.uniform(0.6, 2))
        views.append(View(eye, (rng.uniform(-0.5, 0.5), 0, height * rng.uniform(0.5, 0.68)), rng.uniform(26, 42)))
    return views


def foliage(scene: BlenderScene) -> list[View]:
    """Close views of bushes, hanging branches, or big leaves and ferns."""
    rng = scene.rng
    surroundings.add_daylight(scene, 0.6)
    ground = Ground.random(rng, 0.08)
    surroundings.add_ground(scene, ground, shading.earth(rng), 20)
    if rng.random() < 0.5:
        surroundings.add_wall(scene, 1.8)
    else:
        planting.add_tree_line(scene, ground, 7, 14, 0.3)
    style = choose(rng, ["bush", "bush", "bush", "curtain", "ferns"])
    if style == "bush":
        outline, size = choose(rng, ["oval", "egg", "lance", "heart"]), rng.uniform(0.05, 0.12)
        shade = shading.leaves(rng)
        for number in range(int(rng.integers(1, 4))):
            form = planting.bush_form(rng, rng.uniform(1.5, 2.1), size * rng.uniform(0.8, 1.2), outline)
            leaf_material = shade if rng.random() < 0.7 else shading.leaves(rng)
            position = (0, 0.2, 0) if number == 0 else (rng.uniform(-1.5, 1.5), rng.uniform(0.1, 1.3), 0)
            scene.add(plants.tree(rng, form, shading.bark(rng), leaf_material), position)
    elif style == "curtain":
        size = rng.uniform(0.05, 0.1)
        blade = planting.leaf_blade(rng, choose(rng, ["lance", "lance", "heart", "oval"]), 8)
        shade, stems = shading.leaves(rng), shading.bark(rng)
        for _ in range(int(rng.integers(6, 11))):
            strands = plants.strands(
                rng, int(rng.integers(4, 9)), rng.uniform(0.9, 1.8), 0.12, blade, size, stems, shade
            )
            scene.add(strands, (rng.uniform(-1.3, 1.3), rng.uniform(-0.2, 1.2), rng.uniform(1.7, 2.4)))
    else:
        shade = shading.leaves(rng)
        kinds = [plants.fronds(rng, int(rng.integers(9, 16)), rng.uniform(0.7, 1.1), 24, shade) for _ in range(2)]
        kinds += [plants.arching(rng, 11, 1.1, "egg", rng.uniform(0.25, 0.4), shading.leaves(rng), 0.6)]
        for x in np.arange(-1.6, 1.7, 0.5):
            y = rng.uniform(-0.4, 1.4)
            point = ground.points(np.array([[x + rng.normal(0, 0.15), y]]))[0]
            scene.add(choose(rng, kinds), point, rng.uniform(0, 6.3), rng.uniform(0.8, 1.3))
    surroundings.add_litter(scene, ground, 2, -1.2, 2)
    views = []
    for _ in range(VIEWS):
        angle, distance = rng.uniform(-0.6, 0.6), rng.uniform(1.2, 2.4)
        low = style == "ferns"
        eye = (
            distance * np.sin(angle),
            -distance * np.cos(angle),
            rng.uniform(0.7, 1.2) if low else rng.uniform(0.9, 1.6),
        )
        target = (rng.uniform(-0.3, 0.3), 0, rng.uniform(0.3, 0.5) if low else rng.uniform(0.95, 1.5))
        f_stop = choose(rng, [None, rng.uniform(2, 5.6)])
        views.append(View(eye, target, rng.uniform(32, 65), f_stop, distance - 0.3 if f_stop else None))
    return views


def flowers(scene: BlenderScene) -> list[View]:
    """A few flowers from near, or a meadow full of them."""
    rng = scene.rng
    surroundings.add_daylight(scene, 0.6)
    field = rng.random() < 0.6
    ground = Ground.random(rng, 0.06, float(choose(rng, [0, 2])))
    surroundings.add_ground(
        scene, ground, (shading.meadow if field else choose(rng, [shading.earth, shading.meadow]))(rng), 30
    )
    if rng.random() < 0.8:
        planting.add_tree_line(scene, ground, 8, 16, 0.5)
    kinds = planting.flower_variants(rng, int(rng.integers(2, 4)), variants=4 if field else 3)
    count, width, deep = (int(rng.integers(90, 200)), 2.2, 4.0) if field else (int(rng.integers(4, 13)), 0.42, 0.5)
    for point in ground.points(surroundings.random_positions(rng, count, width, -0.35, deep, 1.3)):
        scene.add(choose(rng, kinds), point, rng.normal(0, 0.6), rng.uniform(0.75, 1.15), rng.normal(0, 0.05))
    planting.add_turf(scene, ground, 2.6, -0.7, 5, (0.14, 0.34) if field else (0.05, 0.22), 420 if field else 160)
    surroundings.add_litter(scene, ground, 1, -0.6, 1.5)
    views = []
    for _ in range(VIEWS):
        angle, distance = rng.uniform(-0.5, 0.5), rng.uniform(0.75, 1.3)
        eye = (distance * np.sin(angle), -distance * np.cos(angle), rng.uniform(0.42, 0.75))
        f_stop = choose(rng, [None, rng.uniform(1.6, 4), rng.uniform(1.4, 2.8)])
        views.append(View(eye, (rng.uniform(-0.1, 0.1), 0, rng.uniform(0.38, 0.5)), rng.uniform(35, 60), f_stop))
    return views


def grass(scene: BlenderScene) -> list[View]:
    """Grass, reeds or ripe wheat in the lower part of the frame, sometimes with flowers or ferns."""
    rng = scene.rng
    surroundings.add_daylight(scene, 0.3)
    ground = Ground.random(rng, 0.12, float(choose(rng, [0, 2, 5])))
    surroundings.add_ground(scene, ground, shading.meadow(rng), 60)
    wheat = rng.random() < 0.35
    tall = rng.uniform(0.3, 0.75)
    cover = shading.grasses(rng, wheat)
    form = (
        {"blades": 16, "mean_tilt": 0.12, "ear": 0.16}
        if wheat
        else {"blades": 34, "mean_tilt": rng.uniform(0.15, 0.45)}
    )
    form |= {"height": tall, "spread": 0.09, "width": rng.uniform(0.006, 0.013), "frequency": rng.uniform(0.5, 1.1)}
    kinds = [plants.tuft(rng, green=cover, **form) for _ in range(5)]
    for point in ground.points(surroundings.random_positions(rng, 900, 5.5, -1.0, 9, 1.5)):
        scene.add(choose(rng, kinds), point, rng.uniform(0, 6.3), rng.uniform(0.75, 1.2))
    extra = choose(rng, ["none", "flowers", "flowers", "fronds"])
    extra_plants = {
        "none": lambda: [],
        "flowers": lambda: planting.flower_variants(rng, 2, 3),
        "fronds": lambda: [plants.fronds(rng, 9, tall * 1.3, 20, shading.leaves(rng))],
    }[extra]()
    for point in ground.points(surroundings.random_positions(rng, 50 if extra_plants else 0, 2.5, -0.3, 5)):
        scene.add(choose(rng, extra_plants), point, rng.uniform(0, 6.3), rng.uniform(0.9, 1.3) * tall / 0.5)
    planting.add_turf(scene, ground, 16, 8, 26, (0.7 * tall, tall), 900, cover)
    planting.add_tree_line(scene, ground, 11, 26, 0.8)
    if rng.random() < 0.35:
        planting.add_fence(scene, ground, rng.uniform(2.5, 5))
    views = []
    for _ in range(VIEWS):
        eye = (rng.uniform(-0.4, 0.4), -1 - rng.uniform(0.4, 1.2), tall + rng.uniform(0.05, 0.6))
        target = (rng.uniform(-0.4, 0.4), 1.5, tall * rng.uniform(0.3, 0.9))
        f_stop = choose(rng, [None, None, rng.uniform(2, 5)])
        views.append(View(eye, target, rng.uniform(26, 50), f_stop, rng.uniform(1.2, 2.4) if f_stop else None))
    return views


def hanging(scene: BlenderScene) -> list[View]:
    """Lanterns, ornaments or pots on strings that fill the frame."""
    rng = scene.rng
    planting.add_yard(scene)
    beam = shading.wood(rng)
    mode = choose(rng, ["lanterns", "lanterns", "ornaments", "pots", "pots"])
    size = {"lanterns": (0.12, 0.24), "ornaments": (0.07, 0.13), "pots": (0.11, 0.17)}[mode]
    thick = rng.uniform(0.012, 0.04)
    scene.add(Body(tube([(-4, 0, 0), (4, 0, 0)], thick, 10), (beam,)), (0, 0, 2.2))
    cord, metal = (
        shading.plain(random_color(rng, (0, 1), (0, 0.3), (0.1, 0.6))),
        shading.plain((0.75, 0.6, 0.3), metallic=1, roughness=0.3),
    )
    if mode == "pots":
        blade = planting.leaf_blade(rng, choose(rng, ["heart", "egg", "lance"]), 7)
        green, stem = shading.leaves(rng), shading.bark(rng)
    for x in np.arange(-1.5, 1.6, rng.uniform(0.38, 0.7)) + rng.normal(0, 0.05):
        radius, string = rng.uniform(*size), rng.uniform(0.12, 0.55)
        if mode == "lanterns":
            hanging_object = hanging_objects.lantern(rng, string, radius, shading.paper(rng), beam, cord)
        elif mode == "ornaments":
            glaze = shading.plain(random_color(rng, (0, 1), (0.2, 0.95), (0.4, 0.9)), roughness=rng.uniform(0.05, 0.4),
                                  metallic=int(rng.integers(2)))  # fmt: skip
            hanging_object = hanging_objects.ornament(rng, string, radius, glaze, metal, cord)
        else:
            plant = choose(rng, [
                lambda r: plants.strands(rng, 16, rng.uniform(0.3, 0.7), 0.8 * r, blade, 0.06, stem, green),
                lambda r: plants.fronds(rng, 16, rng.uniform(0.3, 0.45), 16, green, (0.0, 1.2)),
                lambda r: plants.arching(rng, 30, rng.uniform(0.3, 0.45), "strap", 0.03, green),
            ])(radius)  # fmt: skip
            hanging_object = hanging_objects.hanging_pot(rng, string + 0.1, radius, shading.pottery(rng), cord, plant)
        scene.add(hanging_object, (x, rng.uniform(-0.12, 0.3), 2.2), rng.uniform(0, 6.3))
    views = []
    for _ in range(VIEWS):
        angle, distance = rng.uniform(-0.5, 0.5), rng.uniform(1.1, 2.0)
        eye = (distance * np.sin(angle), -distance * np.cos(angle), rng.uniform(1.4, 1.9))
        f_stop = choose(rng, [None, rng.uniform(1.8, 4)])
        views.append(View(eye, (rng.uniform(-0.3, 0.3), 0, rng.uniform(1.68, 1.82)), rng.uniform(28, 45), f_stop))
    return views


def cloths(scene: BlenderScene) -> list[View]:
    """Laundry on a line, or flags."""
    rng = scene.rng
    laundry = rng.random() < 0.7
    planting.add_yard(scene, indoors=0.35 if laundry else 0)
    pole = shading.wood(rng)
    if laundry:
        scene.add(
            Body(tube([(-4, 0, 0), (0, 0, -0.01), (4, 0, 0)], 0.004, 6), (shading.plain((0.5, 0.5, 0.48)),)),
            (0, 0, 2.2),
        )
        x, pegs = -2.0, []
        while x < 2:
            width, drop = rng.uniform(0.4, 0.95), rng.uniform(0.5, 1.1)
            scene.add(
                hanging_objects.cloth(rng, width, drop, shading.fabric(rng)), (x + width / 2, rng.normal(0, 0.01), 2.2)
            )
            pegs += [
                box((x + s * width - 0.008, -0.012, 2.15), (x + s * width + 0.008, 0.012, 2.23)) for s in (0.06, 0.94)
            ]
            x += width + rng.uniform(0.02, 0.2)
        scene.add(Body(merge_meshes(pegs), (pole,), smooth=False))
        target_height, min_distance = 1.75, 1.6
    else:
        for x in np.arange(-1.6, 1.4, rng.uniform(0.7, 0.95)):
            scene.add(Body(tube([(0, 0, 0), (0, 0, 2.35)], 0.016, 10), (pole,)), (x, 0, 0))
            size = rng.uniform(0.55, 0.8)
            flag = hanging_objects.flag(rng, size, size * rng.uniform(0.5, 0.75), shading.fabric(rng))
            scene.add(flag, (x, 0, 2.3), rng.normal(0.1, 0.25))
        target_height, min_distance = 2.0, 1.1
    views = []
    for _ in range(VIEWS):
        angle, distance = rng.uniform(-0.8, 0.8), min_distance * rng.uniform(1, 1.6)
        eye = (distance * np.sin(angle), -distance * np.cos(angle), rng.uniform(1.2, 1.8))
        f_stop = choose(rng, [None, rng.uniform(2, 4)])
        views.append(View(eye, (rng.uniform(-0.4, 0.4), 0, target_height), rng.uniform(26, 42), f_stop))
    return views


def potted(scene: BlenderScene) -> list[View]:
    """Plants in pots on a table, indoors."""
    rng = scene.rng
    surroundings.add_window_light(scene)
    surroundings.add_wall(scene, rng.uniform(0.5, 1.2), choose(rng, ["plaster", "plaster", "wood", "bricks"]))
    surroundings.add_table(scene)
    if rng.random() < 0.6:
        surroundings.add_shelf_objects(scene)
    count = int(rng.integers(1, 4))
    for x in np.linspace(-0.42, 0.42, count) if count > 1 else [rng.uniform(-0.1, 0.1)]:
        radius = rng.uniform(0.09, 0.14)
        tall = radius * rng.uniform(1.1, 1.9)
        position = np.array([x, rng.uniform(-0.1, 0.1), 0])
        profile = [(0, 0), (0.66, 0), (0.7, 0.02), (0.96, 0.86), (1.04, 0.87), (1.04, 1), (0.95, 1), (0.92, 0.9)]
        scene.add(Body(lathe(np.array(profile) * [radius, tall], 44), (shading.pottery(rng),)), position)
        soil = [(0, 0.02 * radius), (0.93 * radius, 0)]
        scene.add(Body(lathe(soil, 24), (shading.earth(rng),)), position + [0, 0, 0.88 * tall])
        scene.add(planting.potted_plant(rng), position + [0, 0, 0.88 * tall], rng.uniform(0, 6.3))
    views = []
    for _ in range(VIEWS):
        angle, distance = rng.uniform(-0.5, 0.5), rng.uniform(0.8, 1.15)
        eye = (distance * np.sin(angle), -distance * np.cos(angle), rng.uniform(0.35, 0.65))
        f_stop = choose(rng, [None, rng.uniform(2, 4)])
        views.append(View(eye, (rng.uniform(-0.08, 0.08), 0, rng.uniform(0.3, 0.4)), rng.uniform(32, 46), f_stop))
    return views


FAMILIES = {f.__name__: f for f in (flowers, trees, foliage, hanging, grass, potted, cloths)}
