"""Light, sky, ground and what lies on it, walls and tables: everything around the subject. It stands still."""

from __future__ import annotations

import sysconfig
from dataclasses import dataclass
from pathlib import Path

import bpy
import mathutils
import numpy as np

from . import shading
from .chance import log_uniform, pick
from .geometry import Body, Mesh, box, grid_faces, join, leaf, lump, mesh, scatter, tube
from .shading import Nodes
from .stage import Stage

OUTDOORS = ("forest", "sunset", "sunrise")
INDOORS = ("interior", "courtyard", "city", "studio")


def panorama(stage: Stage, names, strength: float) -> None:
    """Light and background of one of the CC0 panoramas that come with Blender, turned at random."""
    folder = next(Path(sysconfig.get_path("purelib")).glob("bpy/*/datafiles/studiolights/world"))
    tree = stage.scene.world.node_tree
    tree.nodes.clear()
    nodes = Nodes(tree)
    turn = (0, 0, float(stage.rng.uniform(0, 2 * np.pi)))
    way = nodes.make("Mapping", {"Vector": nodes.make("TexCoord").outputs["Generated"], "Rotation": turn})
    image = bpy.data.images.load(str(folder / f"{pick(stage.rng, names)}.exr"), check_existing=True)
    light = nodes.make("TexEnvironment", {0: way.outputs[0]}, image=image, interpolation="Cubic")
    background = nodes.make("Background", {0: light.outputs[0], 1: strength})
    nodes.make("OutputWorld", {0: background.outputs[0]})


def sky(stage: Stage, elevation: float) -> None:
    """A clear or clouded sky. It has no sun disc of its own: a lamp is the one sun."""
    rng = stage.rng
    tree = stage.scene.world.node_tree
    tree.nodes.clear()
    nodes = Nodes(tree)
    air = nodes.make("TexSky", sky_type="NISHITA", sun_elevation=elevation, sun_rotation=float(rng.uniform(0, 6.28)),
                     sun_disc=False, dust_density=float(rng.uniform(0.5, 3)))  # fmt: skip
    way = nodes.make("TexCoord").outputs["Generated"]
    up = nodes.make("SeparateXYZ", {0: way}).outputs[2]
    height = nodes.maths("ADD", nodes.maths("MAXIMUM", up, 0.04), 0.12)
    heights = nodes.make("CombineXYZ", {0: height, 1: height, 2: height}).outputs[0]
    plane = nodes.make("VectorMath", {0: way, 1: heights}, operation="DIVIDE")
    shift = nodes.make("Mapping", {"Vector": plane.outputs[0], "Location": tuple(rng.uniform(-50, 50, 3))})
    cover = rng.uniform(0, 1)
    cloud = nodes.ramp(
        nodes.noise(rng.uniform(0.5, 1.3), 9, shift.outputs[0]), 0.72 - 0.35 * cover, 0.95 - 0.25 * cover
    )
    bright = rng.uniform(4, 8)
    mixed = nodes.mix(cloud, air.outputs[0], np.array([1, 1, 1.03]) * bright)
    background = nodes.make("Background", {0: mixed, 1: rng.uniform(0.07, 0.13)})
    nodes.make("OutputWorld", {0: background.outputs[0]})


def sun(stage: Stage, elevation: float, strength: float) -> None:
    """A sun lamp from somewhere behind or beside the camera, now and then against it."""
    rng = stage.rng
    lamp = bpy.data.lights.new("sun", "SUN")
    lamp.energy, lamp.angle = strength, rng.uniform(0.005, 0.08)
    warm = max(0.0, 0.7 - elevation)
    lamp.color = 1, 0.95 - 0.3 * warm, 0.88 - 0.5 * warm
    thing = bpy.data.objects.new("sun", lamp)
    thing.rotation_euler = np.pi / 2 - elevation, 0, rng.normal(0, 1.2)
    stage.scene.collection.objects.link(thing)


def relight(stage: Stage) -> None:
    """Turn the light for another view of the same scene."""
    rng = stage.rng
    for node in stage.scene.world.node_tree.nodes:
        if node.bl_idname == "ShaderNodeMapping":
            node.inputs["Rotation"].default_value[2] = rng.uniform(0, 2 * np.pi)
    for thing in stage.scene.objects:
        if thing.type == "LIGHT" and thing.data.type == "SUN":
            thing.rotation_euler = np.pi / 2 - rng.uniform(0.3, 1.1), 0, rng.normal(0, 1.2)


def daylight(stage: Stage, panoramas: float) -> None:
    """Light outdoors: a panorama with this probability, else a sky; and a sun in most cases."""
    rng = stage.rng
    elevation = float(rng.uniform(0.2, 1.1))
    if rng.random() < panoramas:
        panorama(stage, OUTDOORS, float(rng.uniform(0.8, 1.6)))
        sun(stage, elevation, float(rng.uniform(0, 3)))
    else:
        sky(stage, elevation)
        sun(stage, elevation, float(rng.uniform(1, 4)))


def window_light(stage: Stage) -> None:
    """A room's light: a dim panorama and a bright window from one side."""
    rng = stage.rng
    panorama(stage, INDOORS, float(rng.uniform(0.3, 1.0)))
    lamp = bpy.data.lights.new("window", "AREA")
    lamp.energy, lamp.size = rng.uniform(20, 110), rng.uniform(0.3, 1.8)
    lamp.color = 1, rng.uniform(0.82, 1), rng.uniform(0.68, 1)
    thing = bpy.data.objects.new("window", lamp)
    thing.location = pick(rng, [-1, 1]) * rng.uniform(1.2, 2.4), -rng.uniform(0.4, 1.6), rng.uniform(1, 2.2)
    thing.rotation_euler = (mathutils.Vector((0, 0, 0.3)) - thing.location).to_track_quat("-Z", "Y").to_euler()
    stage.scene.collection.objects.link(thing)


@dataclass(frozen=True)
class Ground:
    """Uneven ground: waves of (direction [n, 2] 1/m, phase [n], height [n] m), and a hill that begins at y = 12."""

    waves: np.ndarray
    phases: np.ndarray
    heights: np.ndarray
    hill: float

    @classmethod
    def draw(cls, rng, roughness: float, hill: float = 0.0) -> Ground:
        """Random waves of up to about `roughness` m."""
        number = rng.uniform(0.15, 2.2, 9)
        angle = rng.uniform(0, 2 * np.pi, 9)
        waves = number[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        return cls(waves, rng.uniform(0, 2 * np.pi, 9), 0.3 * roughness / (1 + number), hill)

    def height(self, places: np.ndarray) -> np.ndarray:
        """m above z = 0 at places [n, 2]; 0 at the origin."""
        places = np.asarray(places, float)
        waves = np.sin(places @ self.waves.T + self.phases) - np.sin(self.phases)
        rise = np.clip((places[:, 1] - 12) / 40, 0, 1) ** 1.4 * (1 + 0.25 * np.sin(0.13 * places[:, 0]))
        return (waves * self.heights).sum(1) + self.hill * rise

    def spots(self, places: np.ndarray) -> np.ndarray:
        """Points [n, 3] of the ground at places [n, 2]."""
        return np.concatenate([places, self.height(places)[:, None]], axis=1)


def lay(stage: Stage, ground: Ground, cover, size: float) -> None:
    """The ground itself, finer near the origin."""
    line = np.linspace(-1, 1, 220)
    line = size * np.sign(line) * np.abs(line) ** 1.8
    places = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    stage.add(Body(mesh(ground.spots(places), grid_faces(220, 220)), (cover,)))


def places(rng, count: int, width: float, near: float, far: float, crowding: float = 1.0) -> np.ndarray:
    """Places [count, 2] in a strip |x| < width, near < y < far; crowding > 1 puts more of them near the camera."""
    y = near + (far - near) * rng.random(count) ** crowding
    return np.stack([rng.uniform(-width, width, count), y], axis=1)


def litter(stage: Stage, ground: Ground, width: float, near: float, far: float) -> None:
    """Fallen leaves, twigs and pebbles."""
    rng = stage.rng
    kinds = pick(rng, [("leaves",), ("stones",), ("leaves", "stones"), ("leaves", "sticks", "stones")])
    if "leaves" in kinds:
        count = int(log_uniform(rng, 60, 500))
        spots = ground.spots(places(rng, count, width, near, far, 1.4)) + [0, 0, 0.012]
        blade = leaf(pick(rng, ["oval", "egg", "heart"]), rng.uniform(0.2, 0.4), droop=-0.3, fold=0.5, segments=6)
        dry = shading.color(rng, (0.04, 0.12), (0.4, 0.8), (0.3, 0.6))
        stage.add(Body(_strewn(rng, blade, spots, 0.06, 0.4), (shading.leaves(rng, (dry, dry * 0.6)),)))
    if "sticks" in kinds:
        spots = ground.spots(places(rng, 30, width, near, far)) + [0, 0, 0.01]
        stick = tube([[0, -0.5, 0], [0.04, 0, 0.03], [0, 0.5, 0]], 0.02, 5)
        stage.add(Body(_strewn(rng, stick, spots, 0.3, 0.1), (shading.bark(rng),)))
    if "stones" in kinds:
        for _ in range(3):
            spots = ground.spots(places(rng, int(rng.integers(6, 30)), width, near, far))
            sizes = log_uniform(rng, 0.02, 0.12)
            stage.add(Body(_strewn(rng, lump(rng), spots, sizes, 0.2), (shading.stone(rng),)))


def wall(stage: Stage, distance: float, kind: str | None = None, windows: int = 0) -> None:
    """A wall at y = distance of plaster, brick or boards, with up to so many windows."""
    rng = stage.rng
    make = {"plaster": shading.plaster, "bricks": shading.bricks, "wood": shading.wood}
    cover = make[kind or pick(rng, ["plaster", "plaster", "bricks", "wood"])](rng)
    corners = [(-8, distance, -1), (8, distance, -1), (8, distance, 6), (-8, distance, 6)]
    uv = [(-8, -1), (8, -1), (8, 6), (-8, 6)]
    stage.add(Body(mesh(corners, [(0, 1, 2, 3)], uv=uv), (cover,), smooth=False))
    frame = shading.plain(shading.color(rng, (0, 1), (0, 0.5), (0.25, 0.9)), rough=0.5)
    glass = shading.plain(np.array([0.02, 0.025, 0.03]), rough=0.04, shine=0.9)
    for _ in range(int(rng.integers(0, windows + 1))):
        _window(stage, rng.uniform(-1.4, 1.4), distance, rng.uniform(0.9, 1.5), rng.uniform(0.6, 1.1), frame, glass)


def _window(stage: Stage, x: float, y: float, z: float, width: float, frame, glass) -> None:
    """A window whose panes mirror the surroundings, with its lower left corner at (x, y, z)."""
    height = 1.4 * width
    stage.add(Body(box((x, y - 0.02, z), (x + width, y + 0.1, z + height)), (glass,), smooth=False))
    bars = [box((x + s * width - 0.025, y - 0.05, z), (x + s * width + 0.025, y, z + height)) for s in (0, 0.5, 1)]
    bars += [box((x, y - 0.05, z + s * height - 0.02), (x + width, y, z + s * height + 0.02)) for s in (0, 0.6, 1)]
    sill = box((x - 0.08, y - 0.14, z - 0.06), (x + width + 0.08, y, z - 0.02))
    stage.add(Body(join([*bars, sill]), (frame,), smooth=False))


def table(stage: Stage) -> None:
    """A table top at z = 0."""
    cover = pick(stage.rng, [shading.wood, shading.wood, shading.plaster, shading.fabric])(stage.rng)
    corners = [(-5, -2, 0), (5, -2, 0), (5, 1.5, 0), (-5, 1.5, 0)]
    uv = [(x * 0.6, y * 1.5) for x, y, _ in corners]
    stage.add(Body(mesh(corners, [(0, 1, 2, 3)], uv=uv), (cover,), smooth=False))


def shelf_things(stage: Stage) -> None:
    """Books, boxes, bowls and a framed picture behind the plants of a table."""
    rng = stage.rng
    x = rng.uniform(-1.1, -0.7)
    while x < 1.1:
        kind = rng.random()
        y = rng.uniform(0.12, 0.3)
        tint = shading.color(rng, (0, 1), (0.1, 0.75), (0.2, 0.85))
        cover = shading.plain(tint, rough=log_uniform(rng, 0.15, 0.8))
        if kind < 0.4:
            for _ in range(int(rng.integers(2, 8))):
                thick, tall = rng.uniform(0.015, 0.045), rng.uniform(0.16, 0.27)
                tint = shading.color(rng, (0, 1), (0.1, 0.75), (0.15, 0.8))
                stage.add(Body(box((x, y, 0), (x + thick, y + 0.18, tall)), (shading.plain(tint),), smooth=False))
                x += thick + 0.002
        elif kind < 0.6:
            wide, tall = rng.uniform(0.08, 0.2), rng.uniform(0.05, 0.2)
            stage.add(Body(box((x, y, 0), (x + wide, y + wide, tall)), (cover,), smooth=False))
            x += wide
        x += rng.uniform(0.05, 0.5)


def _strewn(rng, part: Mesh, spots: np.ndarray, size: float, tilt: float) -> Mesh:
    """Copies lying on the ground, turned at random."""
    count = len(spots)
    turn, lean = rng.uniform(0, 2 * np.pi, count), rng.normal(0, tilt, (count, 2))
    normal = np.concatenate([lean, np.ones((count, 1))], axis=1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    forward = np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1)
    right = np.cross(forward, normal)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    turns = np.stack([right, np.cross(normal, right), normal], axis=-1)
    scale = size * rng.uniform(0.5, 1.5, count)
    return scatter(part, turns * scale[:, None, None], spots, -1)
