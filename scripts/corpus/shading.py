"""Materials as Blender nodes. Each writes its mesh's "part" attribute to the data pass (see `blender_scene`)."""

from __future__ import annotations

import bpy
import numpy as np

from .random_choices import choose, log_uniform, random_color

PART = "part"  # point attribute and AOV: (joint + 1, u, v)


class Nodes:
    """A node tree; `add` adds a node and sets or links its inputs by name."""

    def __init__(self, tree: bpy.types.NodeTree):
        self.tree = tree

    def add(self, kind: str, inputs: dict | None = None, **settings):
        node = self.tree.nodes.new(f"ShaderNode{kind}")
        for name, value in settings.items():
            setattr(node, name, value)
        for name, value in (inputs or {}).items():
            self.set_input(node.inputs[name], value)
        return node

    def set_input(self, socket, value) -> None:
        """Link an output, or set a value; a color [3] gets an alpha of 1."""
        if isinstance(value, bpy.types.NodeSocket):
            self.tree.links.new(value, socket)
        elif np.ndim(value):
            plain = [float(x) for x in value]
            socket.default_value = [*plain, 1.0] if len(socket.default_value) == 4 and len(plain) == 3 else plain
        else:
            socket.default_value = value

    def math(self, operation: str, *values):
        node = self.add("Math", dict(enumerate(values)), operation=operation)
        return node.outputs[0]

    def map_range(self, value, low: float, high: float, to_low: float = 0.0, to_high: float = 1.0):
        """`value` from low..high to to_low..to_high, clamped."""
        return self.add("MapRange", {0: value, 1: low, 2: high, 3: to_low, 4: to_high}).outputs[0]

    def mix(self, share, first, second, blend: str = "MIX"):
        return self.add("MixRGB", {0: share, 1: first, 2: second}, blend_type=blend).outputs[0]

    def noise(self, scale: float, detail: float = 6, vector=None, roughness: float = 0.6):
        vector = vector or self.add("TexCoord").outputs["Object"]
        inputs = {"Scale": scale, "Detail": detail, "Roughness": roughness, "Vector": vector}
        return self.add("TexNoise", inputs).outputs[0]

    def part_sockets(self):
        """(joint + 1, u, v) of the surface, as three sockets."""
        attribute = self.add("Attribute", attribute_name=PART)
        return self.add("SeparateXYZ", {0: attribute.outputs["Vector"]}).outputs

    def uv_vector(self):
        """The (u, v) of the surface as a vector."""
        _, u, v = self.part_sockets()
        return self.add("CombineXYZ", {0: u, 1: v}).outputs[0]


def material(name: str, paint, *, roughness=0.6, metallic=0.0, specular=0.4, translucent=0.0, bump=0.0, emission=0.0):
    """A material whose color and height are what `paint(nodes)` returns: (color socket or [3], height or None)."""
    result = bpy.data.materials.new(name)
    result.use_nodes = True
    nodes = Nodes(result.node_tree)
    tint, height = paint(nodes)
    surface = result.node_tree.nodes["Principled BSDF"]
    values = {"Base Color": tint, "Roughness": roughness, "Metallic": metallic, "Specular IOR Level": specular}
    if emission:
        values |= {"Emission Color": tint, "Emission Strength": emission}
    if bump and height is not None:
        values["Normal"] = nodes.add("Bump", {"Strength": bump, "Distance": 0.03, "Height": height}).outputs[0]
    for key, value in values.items():
        nodes.set_input(surface.inputs[key], value)
    output = result.node_tree.nodes["Material Output"]
    if translucent:
        translucent_shader = nodes.add("BsdfTranslucent", {"Color": tint})
        mixed = nodes.add("MixShader", {0: translucent, 1: surface.outputs[0], 2: translucent_shader.outputs[0]})
        nodes.set_input(output.inputs[0], mixed.outputs[0])
    attribute = nodes.add("Attribute", attribute_name=PART)
    nodes.add("OutputAOV", {"Color": attribute.outputs["Vector"]}, aov_name=PART)
    return result


def _vary_by_joint(nodes: Nodes, tint, hue: float, value: float):
    """Vary a color between joints, so each leaf has its own shade."""
    joint, *_ = nodes.part_sockets()
    coordinates = nodes.add("ObjectInfo").outputs["Random"]
    random = nodes.add("TexWhiteNoise", {"W": nodes.math("ADD", joint, nodes.math("MULTIPLY", coordinates, 997.0))},
                        noise_dimensions="1D")  # fmt: skip
    split = nodes.add("SeparateColor", {0: random.outputs["Color"]}).outputs
    inputs = {
        "Hue": nodes.map_range(split[0], 0, 1, 0.5 - hue, 0.5 + hue),
        "Saturation": nodes.map_range(split[2], 0, 1, 0.85, 1.1),
        "Value": nodes.map_range(split[1], 0, 1, 1 - value, 1 + value),
        "Color": tint,
    }
    return nodes.add("HueSaturation", inputs).outputs[0]


def leaf_green(rng, autumn: float = 0.14) -> tuple[np.ndarray, np.ndarray]:
    """Two linear colors of one plant's leaves: green, or with probability `autumn` yellow to copper."""
    if rng.random() >= autumn:
        hue = rng.uniform(0.19, 0.31)
        first = random_color(rng, (hue, hue), (0.45, 0.8), (0.22, 0.46))
        return first, random_color(rng, (hue - 0.04, hue), (0.4, 0.75), (0.3, 0.56))
    hue = rng.uniform(0.015, 0.13)
    return random_color(rng, (hue, hue), (0.65, 0.9), (0.4, 0.7)), random_color(
        rng, (hue, hue + 0.05), (0.55, 0.85), (0.5, 0.85)
    )


def leaves(rng, tints=None, gloss: float | None = None, veins: int | None = None):
    """Foliage with a midrib, side veins, and blotches; each leaf has its own shade."""
    first, second = tints or leaf_green(rng)
    veins = int(rng.integers(6, 13)) if veins is None else veins
    blotch, vary = rng.uniform(0.1, 0.45), rng.uniform(0.12, 0.35)

    def paint(nodes: Nodes):
        _, across, along = nodes.part_sockets()
        tint = nodes.mix(nodes.map_range(nodes.noise(rng.uniform(3, 25)), 0.35, 0.65), first, second)
        spots = nodes.map_range(nodes.noise(rng.uniform(60, 250), 3), 0.6, 0.7)
        tint = nodes.mix(nodes.math("MULTIPLY", spots, blotch), tint, first * [0.9, 0.55, 0.4])
        off = nodes.math("ABSOLUTE", across)
        rib = nodes.map_range(off, 0.02, 0.1, 1, 0)
        forward = nodes.math("SUBTRACT", along, nodes.math("MULTIPLY", off, 0.22))
        lines = nodes.math("SINE", nodes.math("MULTIPLY", forward, 2 * np.pi * veins))
        side = nodes.map_range(lines, 0.75, 1, 0, 0.5)
        vein = nodes.math("MAXIMUM", rib, side) if veins else rib
        light = np.clip(second * 1.25 + 0.02, 0, 1)
        tint = nodes.mix(nodes.math("MULTIPLY", vein, 0.6), tint, light)
        return _vary_by_joint(nodes, tint, 0.02, vary), vein

    gloss = rng.uniform(0.3, 0.6) if gloss is None else gloss
    return material("leaves", paint, roughness=gloss, translucent=rng.uniform(0.25, 0.45), bump=0.12)


def grasses(rng, ripe: bool = False):
    """Blades of grass, green or straw; ripe ones golden."""
    if ripe:
        tints = (
            random_color(rng, (0.09, 0.13), (0.4, 0.65), (0.5, 0.75)),
            random_color(rng, (0.1, 0.14), (0.3, 0.55), (0.65, 0.9)),
        )
    elif rng.random() < 0.2:
        tints = (
            random_color(rng, (0.12, 0.16), (0.35, 0.55), (0.4, 0.6)),
            random_color(rng, (0.15, 0.2), (0.4, 0.6), (0.35, 0.55)),
        )
    else:
        tints = leaf_green(rng, autumn=0)
    return leaves(rng, tints, 0.5, veins=0)


def petals(rng, tint: np.ndarray, throat: np.ndarray):
    """Thin petals with fine lines along them and another color toward the center."""
    throat_length = rng.uniform(0.1, 0.55)

    def paint(nodes: Nodes):
        _, across, along = nodes.part_sockets()
        base = nodes.mix(nodes.map_range(along, 0, throat_length, 0.9, 0), tint, throat)
        lines = nodes.noise(1.0, 2, nodes.add("CombineXYZ", {0: nodes.math("MULTIPLY", across, 9.0)}).outputs[0])
        dark = nodes.map_range(lines, 0.35, 0.65, 0.78, 1.08)
        base = nodes.mix(1.0, base, nodes.add("CombineXYZ", {0: dark, 1: dark, 2: dark}).outputs[0], "MULTIPLY")
        return _vary_by_joint(nodes, base, 0.012, 0.12), lines

    return material("petals", paint, roughness=0.55, specular=0.25, translucent=0.45, bump=0.1)


def mottled(rng, first, second, scale: float, *, grain: float = 0, depth: float = 0.5, **settings):
    """Two colors in patches with a finer grain: earth, bark, plaster, stone, the center of a flower."""

    def paint(nodes: Nodes):
        patches = nodes.noise(scale, 8)
        tint = nodes.mix(nodes.map_range(patches, 0.35, 0.65), first, second)
        if not grain:
            return tint, patches
        fine = nodes.noise(grain, 10, roughness=0.7)
        shade = nodes.map_range(fine, 0.3, 0.7, 1 - depth, 1 + 0.7 * depth)
        gray = nodes.add("CombineXYZ", {0: shade, 1: shade, 2: shade}).outputs[0]
        return nodes.mix(1.0, tint, gray, "MULTIPLY"), fine

    return material("mottled", paint, **{"roughness": 0.9, "specular": 0.1, **settings})


def earth(rng):
    first, second = (
        random_color(rng, (0.05, 0.1), (0.3, 0.6), (0.2, 0.38)),
        random_color(rng, (0.06, 0.12), (0.25, 0.5), (0.32, 0.5)),
    )
    return mottled(rng, first, second, rng.uniform(0.6, 4), grain=rng.uniform(25, 60), depth=0.7, bump=0.9)


def meadow(rng):
    """The ground between blades of grass: dark green and straw."""
    first = random_color(rng, (0.17, 0.28), (0.45, 0.7), (0.16, 0.28))
    second = random_color(rng, (0.1, 0.19), (0.3, 0.6), (0.22, 0.4))
    return mottled(rng, first, second, rng.uniform(0.3, 1.5), grain=rng.uniform(15, 40), depth=0.7, bump=0.9)


def bark(rng):
    first, second = (
        random_color(rng, (0.04, 0.1), (0.2, 0.5), (0.13, 0.32)),
        random_color(rng, (0.05, 0.1), (0.1, 0.35), (0.3, 0.5)),
    )
    return mottled(rng, first, second, rng.uniform(8, 20), grain=70, bump=0.9)


def stone(rng):
    first, second = (
        random_color(rng, (0.05, 0.12), (0, 0.2), (0.3, 0.5)),
        random_color(rng, (0.05, 0.6), (0, 0.15), (0.45, 0.65)),
    )
    return mottled(rng, first, second, rng.uniform(2, 6), grain=40, depth=0.4, bump=0.5, roughness=0.85)


def wood(rng):
    """Boards along u with grain."""
    dark = random_color(rng, (0.04, 0.09), (0.35, 0.65), (0.2, 0.5))
    boards, stretch = rng.uniform(2, 9), rng.uniform(12, 30)

    def paint(nodes: Nodes):
        coordinates = nodes.uv_vector()
        longer = nodes.add("Mapping", {"Vector": coordinates, "Scale": (1.5, stretch, 1)}).outputs[0]
        grain = nodes.noise(2.0, 9, longer, 0.7)
        tint = nodes.mix(nodes.map_range(grain, 0.3, 0.7), dark * 0.6, dark * 1.25)
        _, _, v = nodes.part_sockets()
        row = nodes.math("MULTIPLY", v, boards)
        number = nodes.add("TexWhiteNoise", {"W": nodes.math("FLOOR", row)}, noise_dimensions="1D").outputs["Value"]
        tint = nodes.add("HueSaturation", {"Value": nodes.map_range(number, 0, 1, 0.75, 1.2), "Color": tint}).outputs[0]
        gap = nodes.map_range(nodes.math("FRACT", row), 0.0, 0.03)
        return nodes.mix(gap, dark * 0.15, tint), nodes.math("ADD", gap, nodes.math("MULTIPLY", grain, 0.3))

    return material("wood", paint, roughness=rng.uniform(0.35, 0.7), bump=0.25)


def bricks(rng):
    first = random_color(rng, (0.01, 0.07), (0.3, 0.6), (0.35, 0.65))
    size = rng.uniform(3, 6)

    def paint(nodes: Nodes):
        coordinates = nodes.uv_vector()
        values = {"Vector": coordinates, "Scale": size, "Color1": first, "Color2": first * rng.uniform(0.5, 0.9),
                  "Mortar": first * 0.3 + 0.25, "Mortar Size": 0.02}  # fmt: skip
        wall = nodes.add("TexBrick", values)
        fine = nodes.map_range(nodes.noise(size * 5, 10, coordinates), 0.3, 0.7, 0.55, 1.2)
        gray = nodes.add("CombineXYZ", {0: fine, 1: fine, 2: fine}).outputs[0]
        return nodes.mix(1.0, wall.outputs["Color"], gray, "MULTIPLY"), wall.outputs["Fac"]

    return material("bricks", paint, roughness=0.9, specular=0.1, bump=-0.4)


def plaster(rng):
    tint = random_color(rng, (0, 1), (0.02, 0.25), (0.45, 0.92))
    return mottled(rng, tint, tint * rng.uniform(0.62, 0.92), rng.uniform(0.6, 4), grain=rng.uniform(20, 150),
                   depth=rng.uniform(0.03, 0.15), bump=rng.uniform(0.05, 0.3))  # fmt: skip


def fabric(rng):
    """Plain, striped or checked cloth; the pattern follows (u, v), so it bends with the folds."""
    first, second = (
        random_color(rng, (0, 1), (0.05, 0.75), (0.3, 0.92)),
        random_color(rng, (0, 1), (0, 0.6), (0.4, 0.92)),
    )
    pattern, turns = choose(rng, ["plain", "plain", "stripes", "checks", "bands"]), rng.uniform(4, 14)

    def paint(nodes: Nodes):
        _, u, v = nodes.part_sockets()
        weave = nodes.noise(rng.uniform(150, 400), 2)

        def band(value):
            return nodes.map_range(nodes.math("SINE", nodes.math("MULTIPLY", value, 2 * np.pi * turns)), -0.08, 0.08)

        share = {"plain": 0.0, "stripes": band(u), "bands": band(v)}.get(pattern)
        if pattern == "checks":
            share = nodes.math("MULTIPLY", nodes.math("ADD", band(u), band(v)), 0.5)
        shade = nodes.map_range(weave, 0.3, 0.7, 0.88, 1.06)
        gray = nodes.add("CombineXYZ", {0: shade, 1: shade, 2: shade}).outputs[0]
        return nodes.mix(1.0, nodes.mix(share, first, second), gray, "MULTIPLY"), weave

    return material("fabric", paint, roughness=0.9, specular=0.1, translucent=0.2, bump=0.05)


def plain(tint, **settings):
    """One color."""
    return material("plain", lambda nodes: (np.asarray(tint, float), None), **settings)


def pottery(rng):
    """Terracotta, or glazed in some color."""
    if rng.random() < 0.5:
        tint = random_color(rng, (0.03, 0.06), (0.5, 0.7), (0.5, 0.7))
        return mottled(rng, tint, tint * 0.75, rng.uniform(5, 15), grain=80, depth=0.25, bump=0.1)
    tint = random_color(rng, (0, 1), (0, 0.55), (0.3, 0.92))
    return mottled(rng, tint, tint * rng.uniform(0.7, 1), 8, roughness=log_uniform(rng, 0.08, 0.6), specular=0.5)


def paper(rng):
    """The paper of a lantern; half of the lanterns are lit."""
    hue = choose(rng, [(0, 0.03), (0.0, 0.03), (0.08, 0.14), (0.1, 0.15), (0, 1)])
    tint = random_color(rng, hue, (0.1, 0.6) if hue == (0, 1) else (0.3, 0.9), (0.65, 0.95))
    emission = rng.uniform(0.3, 1.6) if rng.random() < 0.5 else 0.0
    return mottled(rng, tint, tint * 0.9, 5, grain=90, depth=0.12, roughness=0.8, translucent=0.4, emission=emission)
