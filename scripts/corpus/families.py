"""The kinds of scenes. Each function sets the stage and returns views of it, the camera always looking along +y."""

from __future__ import annotations

import numpy as np

from . import hangings, planting, plants, shading
from . import surroundings as around
from .chance import color, pick
from .geometry import Body, box, join, lathe, tube
from .stage import Stage, View
from .surroundings import Ground

VIEWS = 2


def trees(stage: Stage) -> list[View]:
    """One to three trees in a landscape with a line of trees behind."""
    rng = stage.rng
    around.daylight(stage, 0.15)
    ground = Ground.draw(rng, 0.3, float(pick(rng, [0, 2, 5, 9])))
    around.lay(stage, ground, shading.meadow(rng), 90)
    shade = shading.leaves(rng)
    height = 0.0
    for number in range(int(rng.integers(1, 4))):
        form = planting.tree_form(rng, rng.uniform(3.5, 6.5))
        height = height or form.height
        foliage = shade if rng.random() < 0.6 else shading.leaves(rng)
        spot = (
            (rng.uniform(-0.8, 0.8), 0) if number == 0 else (pick(rng, [-1, 1]) * rng.uniform(2, 7), rng.uniform(1, 9))
        )
        stage.add(plants.tree(rng, form, shading.bark(rng), foliage), ground.spots(np.array([spot]))[0] - [0, 0, 0.05])
    planting.tree_line(stage, ground, 16, 34)
    planting.turf(stage, ground, 9, -7, 9, (0.06, 0.2), 900)
    planting.turf(stage, ground, 24, 8, 32, (0.15, 0.35), 900)
    around.litter(stage, ground, 5, -6, 4)
    views = []
    for _ in range(VIEWS):
        side, away = rng.uniform(-0.5, 0.5), height * rng.uniform(0.9, 1.8)
        eye = (away * np.sin(side), -away * np.cos(side), rng.uniform(0.6, 2))
        views.append(View(eye, (rng.uniform(-0.5, 0.5), 0, height * rng.uniform(0.5, 0.68)), rng.uniform(26, 42)))
    return views


def foliage(stage: Stage) -> list[View]:
    """Close to bushes, to hanging branches, or to big leaves and ferns."""
    rng = stage.rng
    around.daylight(stage, 0.6)
    ground = Ground.draw(rng, 0.08)
    around.lay(stage, ground, shading.earth(rng), 20)
    if rng.random() < 0.5:
        around.wall(stage, 1.8)
    else:
        planting.tree_line(stage, ground, 7, 14, 0.3)
    style = pick(rng, ["bush", "bush", "bush", "curtain", "ferns"])
    if style == "bush":
        outline, size = pick(rng, ["oval", "egg", "lance", "heart"]), rng.uniform(0.05, 0.12)
        shade = shading.leaves(rng)
        for number in range(int(rng.integers(1, 4))):
            form = planting.bush_form(rng, rng.uniform(1.5, 2.1), size * rng.uniform(0.8, 1.2), outline)
            own = shade if rng.random() < 0.7 else shading.leaves(rng)
            place = (0, 0.2, 0) if number == 0 else (rng.uniform(-1.5, 1.5), rng.uniform(0.1, 1.3), 0)
            stage.add(plants.tree(rng, form, shading.bark(rng), own), place)
    elif style == "curtain":
        size = rng.uniform(0.05, 0.1)
        blade = planting.blade(rng, pick(rng, ["lance", "lance", "heart", "oval"]), 8)
        shade, stems = shading.leaves(rng), shading.bark(rng)
        for _ in range(int(rng.integers(6, 11))):
            hang = plants.strands(rng, int(rng.integers(4, 9)), rng.uniform(0.9, 1.8), 0.12, blade, size, stems, shade)
            stage.add(hang, (rng.uniform(-1.3, 1.3), rng.uniform(-0.2, 1.2), rng.uniform(1.7, 2.4)))
    else:
        shade = shading.leaves(rng)
        kinds = [plants.fronds(rng, int(rng.integers(9, 16)), rng.uniform(0.7, 1.1), 24, shade) for _ in range(2)]
        kinds += [plants.arching(rng, 11, 1.1, "egg", rng.uniform(0.25, 0.4), shading.leaves(rng), 0.6)]
        for x in np.arange(-1.6, 1.7, 0.5):
            y = rng.uniform(-0.4, 1.4)
            spot = ground.spots(np.array([[x + rng.normal(0, 0.15), y]]))[0]
            stage.add(pick(rng, kinds), spot, rng.uniform(0, 6.3), rng.uniform(0.8, 1.3))
    around.litter(stage, ground, 2, -1.2, 2)
    views = []
    for _ in range(VIEWS):
        side, away = rng.uniform(-0.6, 0.6), rng.uniform(1.2, 2.4)
        low = style == "ferns"
        eye = (away * np.sin(side), -away * np.cos(side), rng.uniform(0.7, 1.2) if low else rng.uniform(0.9, 1.6))
        target = (rng.uniform(-0.3, 0.3), 0, rng.uniform(0.3, 0.5) if low else rng.uniform(0.95, 1.5))
        stop = pick(rng, [None, rng.uniform(2, 5.6)])
        views.append(View(eye, target, rng.uniform(32, 65), stop, away - 0.3 if stop else None))
    return views


def flowers(stage: Stage) -> list[View]:
    """A few flowers close by, or a meadow full of them."""
    rng = stage.rng
    around.daylight(stage, 0.6)
    field = rng.random() < 0.6
    ground = Ground.draw(rng, 0.06, float(pick(rng, [0, 2])))
    around.lay(stage, ground, (shading.meadow if field else pick(rng, [shading.earth, shading.meadow]))(rng), 30)
    if rng.random() < 0.8:
        planting.tree_line(stage, ground, 8, 16, 0.5)
    kinds = planting.flower_kinds(rng, int(rng.integers(2, 4)), variants=4 if field else 3)
    count, width, deep = (int(rng.integers(90, 200)), 2.2, 4.0) if field else (int(rng.integers(4, 13)), 0.42, 0.5)
    for spot in ground.spots(around.places(rng, count, width, -0.35, deep, 1.3)):
        stage.add(pick(rng, kinds), spot, rng.normal(0, 0.6), rng.uniform(0.75, 1.15), rng.normal(0, 0.05))
    planting.turf(stage, ground, 2.6, -0.7, 5, (0.14, 0.34) if field else (0.05, 0.22), 420 if field else 160)
    around.litter(stage, ground, 1, -0.6, 1.5)
    views = []
    for _ in range(VIEWS):
        side, away = rng.uniform(-0.5, 0.5), rng.uniform(0.75, 1.3)
        eye = (away * np.sin(side), -away * np.cos(side), rng.uniform(0.42, 0.75))
        stop = pick(rng, [None, rng.uniform(1.6, 4), rng.uniform(1.4, 2.8)])
        views.append(View(eye, (rng.uniform(-0.1, 0.1), 0, rng.uniform(0.38, 0.5)), rng.uniform(35, 60), stop))
    return views


def grass(stage: Stage) -> list[View]:
    """Grass, reeds or ripe corn that fills the frame's lower part, with flowers or ferns in it now and then."""
    rng = stage.rng
    around.daylight(stage, 0.3)
    ground = Ground.draw(rng, 0.12, float(pick(rng, [0, 2, 5])))
    around.lay(stage, ground, shading.meadow(rng), 60)
    corn = rng.random() < 0.35
    tall = rng.uniform(0.3, 0.75)
    cover = shading.grasses(rng, corn)
    form = {"blades": 16, "lean": 0.12, "ear": 0.16} if corn else {"blades": 34, "lean": rng.uniform(0.15, 0.45)}
    form |= {"height": tall, "spread": 0.09, "width": rng.uniform(0.006, 0.013), "frequency": rng.uniform(0.5, 1.1)}
    kinds = [plants.tuft(rng, green=cover, **form) for _ in range(5)]
    for spot in ground.spots(around.places(rng, 900, 5.5, -1.0, 9, 1.5)):
        stage.add(pick(rng, kinds), spot, rng.uniform(0, 6.3), rng.uniform(0.75, 1.2))
    extra = pick(rng, ["none", "flowers", "flowers", "fronds"])
    guests = {
        "none": lambda: [],
        "flowers": lambda: planting.flower_kinds(rng, 2, 3),
        "fronds": lambda: [plants.fronds(rng, 9, tall * 1.3, 20, shading.leaves(rng))],
    }[extra]()
    for spot in ground.spots(around.places(rng, 50 if guests else 0, 2.5, -0.3, 5)):
        stage.add(pick(rng, guests), spot, rng.uniform(0, 6.3), rng.uniform(0.9, 1.3) * tall / 0.5)
    planting.turf(stage, ground, 16, 8, 26, (0.7 * tall, tall), 900, cover)
    planting.tree_line(stage, ground, 11, 26, 0.8)
    if rng.random() < 0.35:
        planting.fence(stage, ground, rng.uniform(2.5, 5))
    views = []
    for _ in range(VIEWS):
        eye = (rng.uniform(-0.4, 0.4), -1 - rng.uniform(0.4, 1.2), tall + rng.uniform(0.05, 0.6))
        target = (rng.uniform(-0.4, 0.4), 1.5, tall * rng.uniform(0.3, 0.9))
        stop = pick(rng, [None, None, rng.uniform(2, 5)])
        views.append(View(eye, target, rng.uniform(26, 50), stop, rng.uniform(1.2, 2.4) if stop else None))
    return views


def hanging(stage: Stage) -> list[View]:
    """Lanterns, ornaments or pots on strings, near enough to fill the frame."""
    rng = stage.rng
    planting.yard(stage)
    beam = shading.wood(rng)
    mode = pick(rng, ["lanterns", "lanterns", "ornaments", "pots", "pots"])
    size = {"lanterns": (0.12, 0.24), "ornaments": (0.07, 0.13), "pots": (0.11, 0.17)}[mode]
    thick = rng.uniform(0.012, 0.04)
    stage.add(Body(tube([(-4, 0, 0), (4, 0, 0)], thick, 10), (beam,)), (0, 0, 2.2))
    cord, metal = (
        shading.plain(color(rng, (0, 1), (0, 0.3), (0.1, 0.6))),
        shading.plain((0.75, 0.6, 0.3), metal=1, rough=0.3),
    )
    if mode == "pots":
        blade = planting.blade(rng, pick(rng, ["heart", "egg", "lance"]), 7)
        green, stem = shading.leaves(rng), shading.bark(rng)
    for x in np.arange(-1.5, 1.6, rng.uniform(0.38, 0.7)) + rng.normal(0, 0.05):
        radius, string = rng.uniform(*size), rng.uniform(0.12, 0.55)
        if mode == "lanterns":
            thing = hangings.lantern(rng, string, radius, shading.paper(rng), beam, cord)
        elif mode == "ornaments":
            glaze = shading.plain(color(rng, (0, 1), (0.2, 0.95), (0.4, 0.9)), rough=rng.uniform(0.05, 0.4),
                                  metal=int(rng.integers(2)))  # fmt: skip
            thing = hangings.ornament(rng, string, radius, glaze, metal, cord)
        else:
            grown = pick(rng, [
                lambda r: plants.strands(rng, 16, rng.uniform(0.3, 0.7), 0.8 * r, blade, 0.06, stem, green),
                lambda r: plants.fronds(rng, 16, rng.uniform(0.3, 0.45), 16, green, (0.0, 1.2)),
                lambda r: plants.arching(rng, 30, rng.uniform(0.3, 0.45), "strap", 0.03, green),
            ])(radius)  # fmt: skip
            thing = hangings.hung_pot(rng, string + 0.1, radius, shading.pottery(rng), cord, grown)
        stage.add(thing, (x, rng.uniform(-0.12, 0.3), 2.2), rng.uniform(0, 6.3))
    views = []
    for _ in range(VIEWS):
        side, away = rng.uniform(-0.5, 0.5), rng.uniform(1.1, 2.0)
        eye = (away * np.sin(side), -away * np.cos(side), rng.uniform(1.4, 1.9))
        stop = pick(rng, [None, rng.uniform(1.8, 4)])
        views.append(View(eye, (rng.uniform(-0.3, 0.3), 0, rng.uniform(1.68, 1.82)), rng.uniform(28, 45), stop))
    return views


def cloths(stage: Stage) -> list[View]:
    """Laundry on a line, or flags."""
    rng = stage.rng
    laundry = rng.random() < 0.7
    planting.yard(stage, indoors=0.35 if laundry else 0)
    pole = shading.wood(rng)
    if laundry:
        stage.add(
            Body(tube([(-4, 0, 0), (0, 0, -0.01), (4, 0, 0)], 0.004, 6), (shading.plain((0.5, 0.5, 0.48)),)),
            (0, 0, 2.2),
        )
        x, pegs = -2.0, []
        while x < 2:
            width, drop = rng.uniform(0.4, 0.95), rng.uniform(0.5, 1.1)
            stage.add(hangings.cloth(rng, width, drop, shading.fabric(rng)), (x + width / 2, rng.normal(0, 0.01), 2.2))
            pegs += [
                box((x + s * width - 0.008, -0.012, 2.15), (x + s * width + 0.008, 0.012, 2.23)) for s in (0.06, 0.94)
            ]
            x += width + rng.uniform(0.02, 0.2)
        stage.add(Body(join(pegs), (pole,), smooth=False))
        aim, least = 1.75, 1.6
    else:
        for x in np.arange(-1.6, 1.4, rng.uniform(0.7, 0.95)):
            stage.add(Body(tube([(0, 0, 0), (0, 0, 2.35)], 0.016, 10), (pole,)), (x, 0, 0))
            size = rng.uniform(0.55, 0.8)
            flag = hangings.flag(rng, size, size * rng.uniform(0.5, 0.75), shading.fabric(rng))
            stage.add(flag, (x, 0, 2.3), rng.normal(0.1, 0.25))
        aim, least = 2.0, 1.1
    views = []
    for _ in range(VIEWS):
        side, away = rng.uniform(-0.8, 0.8), least * rng.uniform(1, 1.6)
        eye = (away * np.sin(side), -away * np.cos(side), rng.uniform(1.2, 1.8))
        stop = pick(rng, [None, rng.uniform(2, 4)])
        views.append(View(eye, (rng.uniform(-0.4, 0.4), 0, aim), rng.uniform(26, 42), stop))
    return views


def potted(stage: Stage) -> list[View]:
    """Plants in pots on a table, indoors."""
    rng = stage.rng
    around.window_light(stage)
    around.wall(stage, rng.uniform(0.5, 1.2), pick(rng, ["plaster", "plaster", "wood", "bricks"]))
    around.table(stage)
    if rng.random() < 0.6:
        around.shelf_things(stage)
    count = int(rng.integers(1, 4))
    for x in np.linspace(-0.42, 0.42, count) if count > 1 else [rng.uniform(-0.1, 0.1)]:
        radius = rng.uniform(0.09, 0.14)
        tall = radius * rng.uniform(1.1, 1.9)
        place = np.array([x, rng.uniform(-0.1, 0.1), 0])
        profile = [(0, 0), (0.66, 0), (0.7, 0.02), (0.96, 0.86), (1.04, 0.87), (1.04, 1), (0.95, 1), (0.92, 0.9)]
        stage.add(Body(lathe(np.array(profile) * [radius, tall], 44), (shading.pottery(rng),)), place)
        soil = [(0, 0.02 * radius), (0.93 * radius, 0)]
        stage.add(Body(lathe(soil, 24), (shading.earth(rng),)), place + [0, 0, 0.88 * tall])
        stage.add(planting.pot_plant(rng), place + [0, 0, 0.88 * tall], rng.uniform(0, 6.3))
    views = []
    for _ in range(VIEWS):
        side, away = rng.uniform(-0.5, 0.5), rng.uniform(0.8, 1.15)
        eye = (away * np.sin(side), -away * np.cos(side), rng.uniform(0.35, 0.65))
        stop = pick(rng, [None, rng.uniform(2, 4)])
        views.append(View(eye, (rng.uniform(-0.08, 0.08), 0, rng.uniform(0.3, 0.4)), rng.uniform(32, 46), stop))
    return views


FAMILIES = {f.__name__: f for f in (flowers, trees, foliage, hanging, grass, potted, cloths)}
