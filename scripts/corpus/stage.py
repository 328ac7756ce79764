"""The Blender scene: bodies on it, a camera, the photo and the data pass; and the motion of what the camera sees.

The data pass is one unfiltered sample a pixel of the rest position, the object's number and the surface's "part"
(joint + 1, u, v). With them every visible point finds its joint, so motion needs no second render.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import bpy
import mathutils
import numpy as np
import OpenEXR

from .geometry import Body
from .motion import BINS, Joints, Sheet, Wind, displacement, rotations, sheet_displacement, with_rest
from .projection import Camera, pool
from .shading import PART

PHOTO_SIZE = 288, 512
CELL = 3  # pixels of the data pass in a cell of the volume, each way
VOLUME_SIZE = 108, 192
LAYER = "ViewLayer"


@dataclass(frozen=True)
class View:
    """Where the camera stands (m), what it looks at, its lens (mm on 36 mm) and its stop (None: all is sharp)."""

    location: tuple
    target: tuple
    lens: float
    stop: float | None = None
    focus: float | None = None  # m; default: the distance of the target


@dataclass(frozen=True)
class Seen:
    """What the data pass sees: per pixel [H, W] the rest position m, object number, and part (joint + 1, u, v)."""

    position: np.ndarray
    objects: np.ndarray
    part: np.ndarray


class Stage:
    """One scene from an empty file."""

    def __init__(self, rng: np.random.Generator, samples: int, threads: int):
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self.rng = rng
        self.samples = samples
        self._meshes: dict[int, tuple] = {}
        self._sheets: list[Sheet | None] = [None]  # by object number; 0 is everything that stands still
        self._joints: list[Joints] = []
        self._first: list[int] = [0]  # the first joint of each object
        self._count = 0
        scene = bpy.context.scene
        self.scene = scene
        scene.world = bpy.data.worlds.new("world")
        scene.world.use_nodes = True
        scene.render.engine = "CYCLES"
        scene.render.threads_mode, scene.render.threads = "FIXED", threads
        scene.render.use_persistent_data = True
        cycles = scene.cycles
        cycles.device = "CPU"
        cycles.denoiser, cycles.denoising_prefilter = "OPENIMAGEDENOISE", "FAST"
        cycles.diffuse_bounces, cycles.glossy_bounces = 2, 2
        cycles.transmission_bounces, cycles.transparent_max_bounces = 4, 6
        cycles.sample_clamp_indirect = 4
        cycles.caustics_reflective = cycles.caustics_refractive = False
        layer = bpy.context.view_layer
        layer.name = LAYER
        layer.use_pass_position = layer.use_pass_object_index = True
        layer.aovs.add().name = PART
        camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
        scene.collection.objects.link(camera)
        scene.camera = camera

    def add(self, body: Body, location=(0, 0, 0), turn: float = 0.0, scale: float = 1.0, tilt: float = 0.0) -> None:
        """Put a body on the stage, tilted about x and then turned about z; the same body again shares its mesh."""
        if id(body) not in self._meshes:  # the tuple keeps the body alive, so that its id stays its own
            self._meshes[id(body)] = body, _blender_mesh(body)
        matrix = mathutils.Matrix.LocRotScale(
            mathutils.Vector(location), mathutils.Euler((tilt, 0, turn), "XYZ"), mathutils.Vector((scale,) * 3)
        )
        thing = bpy.data.objects.new("body", self._meshes[id(body)][1])
        thing.matrix_world = matrix
        self.scene.collection.objects.link(thing)
        if body.joints is None and body.sheet is None:
            return
        thing.pass_index = len(self._sheets)
        turned = np.array(matrix)[:3, :3]
        self._sheets.append(body.sheet and body.sheet.moved(turned))
        self._first.append(self._count)
        if body.joints is not None:
            self._joints.append(body.joints.moved(np.array(matrix)))
            self._count += len(body.joints)

    def look(self, view: View) -> Camera:
        """Point the camera; returns it as numbers."""
        thing = self.scene.camera
        way = mathutils.Vector(view.target) - mathutils.Vector(view.location)
        thing.location = view.location
        thing.rotation_euler = way.to_track_quat("-Z", "Y").to_euler()
        thing.rotation_euler.rotate_axis("Z", float(self.rng.normal(0, 0.015)))
        lens = thing.data
        lens.lens, lens.clip_start, lens.clip_end = view.lens, 0.01, 500
        lens.dof.use_dof = view.stop is not None
        if view.stop is not None:
            lens.dof.aperture_fstop = view.stop
            lens.dof.focus_distance = view.focus or way.length
        bpy.context.view_layer.update()
        matrix = np.array(thing.matrix_world)
        return Camera(matrix[:3, 3], matrix[:3, :3], view.lens / lens.sensor_width)

    def see(self) -> Seen:
        """Render the data pass at CELL x VOLUME_SIZE."""
        height, width = (CELL * side for side in VOLUME_SIZE)
        cycles = self.scene.cycles
        cycles.samples, cycles.filter_width, cycles.max_bounces = 1, 0.01, 0
        cycles.use_denoising = cycles.use_adaptive_sampling = False
        layers = self._render((height, width))

        def vector(name: str, axes: str) -> np.ndarray:
            return np.stack([layers[f"{LAYER}.{name}.{axis}"] for axis in axes], axis=-1)

        number = np.rint(layers[f"{LAYER}.IndexOB.X"]).astype(int)
        return Seen(vector("Position", "XYZ").astype(float), number, vector(PART, "RGB"))

    def photograph(self) -> np.ndarray:
        """Render the photo: linear light float32 [H, W, 3]."""
        cycles = self.scene.cycles
        cycles.samples, cycles.filter_width, cycles.max_bounces = self.samples, 1.5, 5
        cycles.use_denoising = cycles.use_adaptive_sampling = True
        cycles.adaptive_threshold = 0.03
        cycles.seed = int(self.rng.integers(1 << 20))
        layers = self._render(PHOTO_SIZE)
        return np.stack([layers[f"{LAYER}.Combined.{c}"] for c in "RGB"], axis=-1)

    def volume(self, seen: Seen, camera: Camera, wind: Wind) -> np.ndarray:
        """Spectral volume of the visible points, complex64 [h, w, 2, K] in pixels x T of VOLUME_SIZE, unscaled."""
        size = seen.objects.shape
        moving = np.flatnonzero(seen.objects)
        number, part = seen.objects.ravel()[moving], seen.part.reshape(-1, 3)[moving]
        points = seen.position.reshape(-1, 3)[moving]
        motion = np.zeros((len(moving), 3, BINS - 1), np.complex64)
        if self._joints:
            local = np.rint(part[:, 0]).astype(int) - 1
            jointed = np.flatnonzero(local >= 0)
            index = np.array(self._first)[number[jointed]] + local[jointed]
            joints, index = Joints.stack(self._joints).needed(index)
            omega = rotations(joints, wind, self.rng)
            motion[jointed] = displacement(joints, omega, index, points[jointed])
        for n in np.unique(number):
            if self._sheets[n] is not None:
                own = np.flatnonzero(number == n)
                motion[own] = sheet_displacement(self._sheets[n], part[own, 1:], wind, self.rng)
        pixels = np.zeros((size[0] * size[1], 2, motion.shape[-1]), np.complex64)
        pixels[moving] = camera.project_motion(points, motion, VOLUME_SIZE)
        return with_rest(pool(pixels.reshape(*size, 2, -1), seen.objects, CELL))

    def _render(self, size: tuple[int, int]) -> dict[str, np.ndarray]:
        render = self.scene.render
        render.resolution_y, render.resolution_x = size
        render.image_settings.file_format = "OPEN_EXR_MULTILAYER"
        render.image_settings.color_depth, render.image_settings.exr_codec = "32", "NONE"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "frame.exr"
            render.filepath = str(path)
            with _silence():
                bpy.ops.render.render(write_still=True)
            with OpenEXR.File(str(path), separate_channels=True) as file:
                return {name: channel.pixels.copy() for name, channel in file.channels().items()}


def _blender_mesh(body: Body) -> bpy.types.Mesh:
    shape = body.mesh
    made = bpy.data.meshes.new("mesh")
    made.vertices.add(len(shape.points))
    made.vertices.foreach_set("co", shape.points.astype(np.float32).ravel())
    made.loops.add(shape.faces.size)
    made.loops.foreach_set("vertex_index", shape.faces.astype(np.int32).ravel())
    made.polygons.add(len(shape.faces))
    made.polygons.foreach_set("loop_start", 4 * np.arange(len(shape.faces), dtype=np.int32))
    made.polygons.foreach_set("material_index", shape.slot.astype(np.int32))
    made.polygons.foreach_set("use_smooth", np.full(len(shape.faces), body.smooth))
    part = np.concatenate([shape.joint[:, None] + 1, shape.uv], axis=1).astype(np.float32)
    made.attributes.new(PART, "FLOAT_VECTOR", "POINT").data.foreach_set("vector", part.ravel())
    made.update(calc_edges=True)
    for one in body.materials:
        made.materials.append(one)
    return made


@contextlib.contextmanager
def _silence():
    """Blender prints each render from C; only redirecting the file descriptor quiets it."""
    kept = os.dup(1)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
