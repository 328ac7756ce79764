"""The static surroundings of the subject: light, sky, ground with litter, walls and tables."""

from __future__ import annotations

import sysconfig
from dataclasses import dataclass
from pathlib import Path

import bpy
import mathutils
import numpy as np

from . import shading
from .blender_scene import BlenderScene
from .geometry import Body, Mesh, box, grid_faces, instance_mesh, leaf, make_mesh, merge_meshes, pebble, tube
from .random_choices import choose, log_uniform, random_color
from .shading import Nodes

OUTDOORS = ("forest", "sunset", "sunrise")
INDOORS = ("interior", "courtyard", "city", "studio")


def set_panorama(scene: BlenderScene, names, strength: float) -> None:
    """Light and background of one of the CC0 panoramas that come with Blender, rotated at random."""
    folder = next(Path(sysconfig.get_path("purelib")).glob("bpy/*/datafiles/studiolights/world"))
    tree = scene.bpy_scene.world.node_tree
    tree.nodes.clear()
    nodes = Nodes(tree)
    rotation = (0, 0, float(scene.rng.uniform(0, 2 * np.pi)))
    direction = nodes.add("Mapping", {"Vector": nodes.add("TexCoord").outputs["Generated"], "Rotation": rotation})
    image = bpy.data.images.load(str(folder / f"{choose(scene.rng, names)}.exr"), check_existing=True)
    light = nodes.add("TexEnvironment", {0: direction.outputs[0]}, image=image, interpolation="Cubic")
    background = nodes.add("Background", {0: light.outputs[0], 1: strength})
    nodes.add("OutputWorld", {0: background.outputs[0]})


def set_sky(scene: BlenderScene, elevation: float) -> None:
    """A clear or cloudy sky without a sun disc; the sun is a separate lamp."""
    rng = scene.rng
    tree = scene.bpy_scene.world.node_tree
    tree.nodes.clear()
    nodes = Nodes(tree)
    air = nodes.add("TexSky", sky_type="NISHITA", sun_elevation=elevation, sun_rotation=float(rng.uniform(0, 6.28)),
                     sun_disc=False, dust_density=float(rng.uniform(0.5, 3)))  # fmt: skip
    direction = nodes.add("TexCoord").outputs["Generated"]
    up = nodes.add("SeparateXYZ", {0: direction}).outputs[2]
    height = nodes.math("ADD", nodes.math("MAXIMUM", up, 0.04), 0.12)
    heights = nodes.add("CombineXYZ", {0: height, 1: height, 2: height}).outputs[0]
    plane = nodes.add("VectorMath", {0: direction, 1: heights}, operation="DIVIDE")
    shift = nodes.add("Mapping", {"Vector": plane.outputs[0], "Location": tuple(rng.uniform(-50, 50, 3))})
    cover = rng.uniform(0, 1)
    cloud = nodes.map_range(
        nodes.noise(rng.uniform(0.5, 1.3), 9, shift.outputs[0]), 0.72 - 0.35 * cover, 0.95 - 0.25 * cover
    )
    bright = rng.uniform(4, 8)
    mixed = nodes.mix(cloud, air.outputs[0], np.array([1, 1, 1.03]) * bright)
    background = nodes.add("Background", {0: mixed, 1: rng.uniform(0.07, 0.13)})
    nodes.add("OutputWorld", {0: background.outputs[0]})


def add_sun(scene: BlenderScene, elevation: float, strength: float) -> None:
    """A sun lamp, usually behind or beside the camera, sometimes facing it."""
    rng = scene.rng
    lamp = bpy.data.lights.new("sun", "SUN")
    lamp.energy, lamp.angle = strength, rng.uniform(0.005, 0.08)
    warm = max(0.0, 0.7 - elevation)
    lamp.color = 1, 0.95 - 0.3 * warm, 0.88 - 0.5 * warm
    bpy_object = bpy.data.objects.new("sun", lamp)
    bpy_object.rotation_euler = np.pi / 2 - elevation, 0, rng.normal(0, 1.2)
    scene.bpy_scene.collection.objects.link(bpy_object)


def randomize_light(scene: BlenderScene) -> None:
    """Rotate the light at random for another view of the same scene."""
    rng = scene.rng
    for node in scene.bpy_scene.world.node_tree.nodes:
        if node.bl_idname == "ShaderNodeMapping":
            node.inputs["Rotation"].default_value[2] = rng.uniform(0, 2 * np.pi)
    for bpy_object in scene.bpy_scene.objects:
        if bpy_object.type == "LIGHT" and bpy_object.data.type == "SUN":
            bpy_object.rotation_euler = np.pi / 2 - rng.uniform(0.3, 1.1), 0, rng.normal(0, 1.2)


def add_daylight(scene: BlenderScene, panoramas: float) -> None:
    """Outdoor light: a panorama with this probability, otherwise a sky, and a sun."""
    rng = scene.rng
    elevation = float(rng.uniform(0.2, 1.1))
    if rng.random() < panoramas:
        set_panorama(scene, OUTDOORS, float(rng.uniform(0.8, 1.6)))
        add_sun(scene, elevation, float(rng.uniform(0, 3)))
    else:
        set_sky(scene, elevation)
        add_sun(scene, elevation, float(rng.uniform(1, 4)))


def add_window_light(scene: BlenderScene) -> None:
    """Indoor light: a dim panorama and a bright window on one side."""
    rng = scene.rng
    set_panorama(scene, INDOORS, float(rng.uniform(0.3, 1.0)))
    lamp = bpy.data.lights.new("window", "AREA")
    lamp.energy, lamp.size = rng.uniform(20, 110), rng.uniform(0.3, 1.8)
    lamp.color = 1, rng.uniform(0.82, 1), rng.uniform(0.68, 1)
    bpy_object = bpy.data.objects.new("window", lamp)
    bpy_object.location = choose(rng, [-1, 1]) * rng.uniform(1.2, 2.4), -rng.uniform(0.4, 1.6), rng.uniform(1, 2.2)
    bpy_object.rotation_euler = (
        (mathutils.Vector((0, 0, 0.3)) - bpy_object.location).to_track_quat("-Z", "Y").to_euler()
    )
    scene.bpy_scene.collection.objects.link(bpy_object)


@dataclass(frozen=True)
class Ground:
    """Uneven ground: waves with (direction [n, 2] 1/m, phase [n], height [n] m), and a hill that starts at y = 12."""

    waves: np.ndarray
    phases: np.ndarray
    heights: np.ndarray
    hill: float

    @classmethod
    def random(cls, rng, roughness: float, hill: float = 0.0) -> Ground:
        """Random waves of up to about `roughness` m."""
        number = rng.uniform(0.15, 2.2, 9)
        angle = rng.uniform(0, 2 * np.pi, 9)
        waves = number[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        return cls(waves, rng.uniform(0, 2 * np.pi, 9), 0.3 * roughness / (1 + number), hill)

    def height(self, positions: np.ndarray) -> np.ndarray:
        """m above z = 0 at positions [n, 2]; 0 at the origin."""
        positions = np.asarray(positions, float)
        waves = np.sin(positions @ self.waves.T + self.phases) - np.sin(self.phases)
        rise = np.clip((positions[:, 1] - 12) / 40, 0, 1) ** 1.4 * (1 + 0.25 * np.sin(0.13 * positions[:, 0]))
        return (waves * self.heights).sum(1) + self.hill * rise

    def points(self, positions: np.ndarray) -> np.ndarray:
        """Points [n, 3] of the ground at positions [n, 2]."""
        return np.concatenate([positions, self.height(positions)[:, None]], axis=1)


def add_ground(scene: BlenderScene, ground: Ground, cover, size: float) -> None:
    """The mesh of the ground, finer near the origin."""
    line = np.linspace(-1, 1, 220)
    line = size * np.sign(line) * np.abs(line) ** 1.8
    positions = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    scene.add(Body(make_mesh(ground.points(positions), grid_faces(220, 220)), (cover,)))


def random_positions(rng, count: int, width: float, near: float, far: float, crowding: float = 1.0) -> np.ndarray:
    """Positions [count, 2] in a strip |x| < width, near < y < far; crowding > 1 puts more positions near the camera."""
    y = near + (far - near) * rng.random(count) ** crowding
    return np.stack([rng.uniform(-width, width, count), y], axis=1)


def add_litter(scene: BlenderScene, ground: Ground, width: float, near: float, far: float) -> None:
    """Fallen leaves, twigs and pebbles."""
    rng = scene.rng
    kinds = choose(rng, [("leaves",), ("stones",), ("leaves", "stones"), ("leaves", "sticks", "stones")])
    if "leaves" in kinds:
        count = int(log_uniform(rng, 60, 500))
        points = ground.points(random_positions(rng, count, width, near, far, 1.4)) + [0, 0, 0.012]
        blade = leaf(choose(rng, ["oval", "egg", "heart"]), rng.uniform(0.2, 0.4), droop=-0.3, fold=0.5, segments=6)
        dry = random_color(rng, (0.04, 0.12), (0.4, 0.8), (0.3, 0.6))
        scene.add(Body(_scatter_on_ground(rng, blade, points, 0.06, 0.4), (shading.leaves(rng, (dry, dry * 0.6)),)))
    if "sticks" in kinds:
        points = ground.points(random_positions(rng, 30, width, near, far)) + [0, 0, 0.01]
        stick = tube([[0, -0.5, 0], [0.04, 0, 0.03], [0, 0.5, 0]], 0.02, 5)
        scene.add(Body(_scatter_on_ground(rng, stick, points, 0.3, 0.1), (shading.bark(rng),)))
    if "stones" in kinds:
        for _ in range(3):
            points = ground.points(random_positions(rng, int(rng.integers(6, 30)), width, near, far))
            sizes = log_uniform(rng, 0.02, 0.12)
            scene.add(Body(_scatter_on_ground(rng, pebble(rng), points, sizes, 0.2), (shading.stone(rng),)))


def add_wall(scene: BlenderScene, distance: float, kind: str | None = None, windows: int = 0) -> None:
    """A wall at y = distance of plaster, brick or boards, with up to `windows` windows."""
    rng = scene.rng
    make = {"plaster": shading.plaster, "bricks": shading.bricks, "wood": shading.wood}
    cover = make[kind or choose(rng, ["plaster", "plaster", "bricks", "wood"])](rng)
    corners = [(-8, distance, -1), (8, distance, -1), (8, distance, 6), (-8, distance, 6)]
    uv = [(-8, -1), (8, -1), (8, 6), (-8, 6)]
    scene.add(Body(make_mesh(corners, [(0, 1, 2, 3)], uv=uv), (cover,), smooth=False))
    frame = shading.plain(random_color(rng, (0, 1), (0, 0.5), (0.25, 0.9)), roughness=0.5)
    glass = shading.plain(np.array([0.02, 0.025, 0.03]), roughness=0.04, specular=0.9)
    for _ in range(int(rng.integers(0, windows + 1))):
        _window(scene, rng.uniform(-1.4, 1.4), distance, rng.uniform(0.9, 1.5), rng.uniform(0.6, 1.1), frame, glass)


def _window(scene: BlenderScene, x: float, y: float, z: float, width: float, frame, glass) -> None:
    """A window with reflecting panes and its lower left corner at (x, y, z)."""
    height = 1.4 * width
    scene.add(Body(box((x, y - 0.02, z), (x + width, y + 0.1, z + height)), (glass,), smooth=False))
    bars = [box((x + s * width - 0.025, y - 0.05, z), (x + s * width + 0.025, y, z + height)) for s in (0, 0.5, 1)]
    bars += [box((x, y - 0.05, z + s * height - 0.02), (x + width, y, z + s * height + 0.02)) for s in (0, 0.6, 1)]
    sill = box((x - 0.08, y - 0.14, z - 0.06), (x + width + 0.08, y, z - 0.02))
    scene.add(Body(merge_meshes([*bars, sill]), (frame,), smooth=False))


def add_table(scene: BlenderScene) -> None:
    """A table top at z = 0."""
    cover = choose(scene.rng, [shading.wood, shading.wood, shading.plaster, shading.fabric])(scene.rng)
    corners = [(-5, -2, 0), (5, -2, 0), (5, 1.5, 0), (-5, 1.5, 0)]
    uv = [(x * 0.6, y * 1.5) for x, y, _ in corners]
    scene.add(Body(make_mesh(corners, [(0, 1, 2, 3)], uv=uv), (cover,), smooth=False))


def add_shelf_objects(scene: BlenderScene) -> None:
    """Books and boxes behind the plants of a table."""
    rng = scene.rng
    x = rng.uniform(-1.1, -0.7)
    while x < 1.1:
        kind = rng.random()
        y = rng.uniform(0.12, 0.3)
        tint = random_color(rng, (0, 1), (0.1, 0.75), (0.2, 0.85))
        cover = shading.plain(tint, roughness=log_uniform(rng, 0.15, 0.8))
        if kind < 0.4:
            for _ in range(int(rng.integers(2, 8))):
                thickness, height = rng.uniform(0.015, 0.045), rng.uniform(0.16, 0.27)
                tint = random_color(rng, (0, 1), (0.1, 0.75), (0.15, 0.8))
                scene.add(Body(box((x, y, 0), (x + thickness, y + 0.18, height)), (shading.plain(tint),), smooth=False))
                x += thickness + 0.002
        elif kind < 0.6:
            width, height = rng.uniform(0.08, 0.2), rng.uniform(0.05, 0.2)
            scene.add(Body(box((x, y, 0), (x + width, y + width, height)), (cover,), smooth=False))
            x += width
        x += rng.uniform(0.05, 0.5)


def _scatter_on_ground(rng, part: Mesh, points: np.ndarray, size: float, tilt: float) -> Mesh:
    """Copies of a mesh on the ground, with random rotation."""
    count = len(points)
    angle, slope = rng.uniform(0, 2 * np.pi, count), rng.normal(0, tilt, (count, 2))
    normal = np.concatenate([slope, np.ones((count, 1))], axis=1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    forward = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    right = np.cross(forward, normal)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    rotations = np.stack([right, np.cross(normal, right), normal], axis=-1)
    scale = size * rng.uniform(0.5, 1.5, count)
    return instance_mesh(part, rotations * scale[:, None, None], points, -1)
