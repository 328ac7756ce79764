"""A Blender scene: bodies, a camera, the photo and the data pass, and the motion of the visible points.

The data pass has one unfiltered sample per pixel of the rest position, the object's index and the surface's "part"
(joint + 1, u, v). They give the joint of every visible point, so motion needs no second render.
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
from .joint_motion import (
    BINS,
    Joints,
    Sheet,
    Wind,
    add_rest_bin,
    joint_displacement,
    joint_rotations,
    sheet_displacement,
)
from .projection import Camera, pool_by_object
from .shading import PART

PHOTO_SIZE = 288, 512
CELL_SIZE = 3  # pixels of the data pass per pixel of the volume, in both directions
VOLUME_SIZE = 108, 192
LAYER = "ViewLayer"


@dataclass(frozen=True)
class View:
    """Position (m) of the camera, its target, lens (mm on 36 mm) and f-stop (None: everything is in focus)."""

    location: tuple
    target: tuple
    lens: float
    f_stop: float | None = None
    focus: float | None = None  # m; None: the distance of the target


@dataclass(frozen=True)
class DataPass:
    """Per pixel [H, W]: the rest position m, the index of the object, and part (joint + 1, u, v)."""

    position: np.ndarray
    objects: np.ndarray
    part: np.ndarray


class BlenderScene:
    """A scene in an empty Blender file."""

    def __init__(self, rng: np.random.Generator, samples: int, threads: int):
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self.rng = rng
        self.samples = samples
        self._meshes: dict[int, tuple] = {}
        self._sheets: list[Sheet | None] = [None]  # by index of the object; 0 is everything static
        self._joints: list[Joints] = []
        self._first: list[int] = [0]  # the first joint of each object
        self._count = 0
        scene = bpy.context.scene
        self.bpy_scene = scene
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

    def add(self, body: Body, location=(0, 0, 0), angle: float = 0.0, scale: float = 1.0, tilt: float = 0.0) -> None:
        """Add a body, tilted about x and then rotated about z. Copies of a body share its mesh."""
        if id(body) not in self._meshes:  # the tuple keeps the body alive, so its id is not reused
            self._meshes[id(body)] = body, _blender_mesh(body)
        matrix = mathutils.Matrix.LocRotScale(
            mathutils.Vector(location), mathutils.Euler((tilt, 0, angle), "XYZ"), mathutils.Vector((scale,) * 3)
        )
        bpy_object = bpy.data.objects.new("body", self._meshes[id(body)][1])
        bpy_object.matrix_world = matrix
        self.bpy_scene.collection.objects.link(bpy_object)
        if body.joints is None and body.sheet is None:
            return
        bpy_object.pass_index = len(self._sheets)
        rotation = np.array(matrix)[:3, :3]
        self._sheets.append(body.sheet and body.sheet.transformed(rotation))
        self._first.append(self._count)
        if body.joints is not None:
            self._joints.append(body.joints.transformed(np.array(matrix)))
            self._count += len(body.joints)

    def set_camera(self, view: View) -> Camera:
        """Set the camera; returns its numbers."""
        bpy_object = self.bpy_scene.camera
        direction = mathutils.Vector(view.target) - mathutils.Vector(view.location)
        bpy_object.location = view.location
        bpy_object.rotation_euler = direction.to_track_quat("-Z", "Y").to_euler()
        bpy_object.rotation_euler.rotate_axis("Z", float(self.rng.normal(0, 0.015)))
        lens = bpy_object.data
        lens.lens, lens.clip_start, lens.clip_end = view.lens, 0.01, 500
        lens.dof.use_dof = view.f_stop is not None
        if view.f_stop is not None:
            lens.dof.aperture_fstop = view.f_stop
            lens.dof.focus_distance = view.focus or direction.length
        bpy.context.view_layer.update()
        matrix = np.array(bpy_object.matrix_world)
        return Camera(matrix[:3, 3], matrix[:3, :3], view.lens / lens.sensor_width)

    def render_data_pass(self) -> DataPass:
        """Render the data pass at CELL_SIZE x VOLUME_SIZE."""
        height, width = (CELL_SIZE * side for side in VOLUME_SIZE)
        cycles = self.bpy_scene.cycles
        cycles.samples, cycles.filter_width, cycles.max_bounces = 1, 0.01, 0
        cycles.use_denoising = cycles.use_adaptive_sampling = False
        layers = self._render((height, width))

        def vector(name: str, axes: str) -> np.ndarray:
            return np.stack([layers[f"{LAYER}.{name}.{axis}"] for axis in axes], axis=-1)

        number = np.rint(layers[f"{LAYER}.IndexOB.X"]).astype(int)
        return DataPass(vector("Position", "XYZ").astype(float), number, vector(PART, "RGB"))

    def render_photo(self) -> np.ndarray:
        """Render the photo: linear light float32 [H, W, 3]."""
        cycles = self.bpy_scene.cycles
        cycles.samples, cycles.filter_width, cycles.max_bounces = self.samples, 1.5, 5
        cycles.use_denoising = cycles.use_adaptive_sampling = True
        cycles.adaptive_threshold = 0.03
        cycles.seed = int(self.rng.integers(1 << 20))
        layers = self._render(PHOTO_SIZE)
        return np.stack([layers[f"{LAYER}.Combined.{c}"] for c in "RGB"], axis=-1)

    def spectral_volume(self, data: DataPass, camera: Camera, wind: Wind) -> np.ndarray:
        """Spectral volume of the visible points, complex64 [h, w, 2, K] in pixels x T of VOLUME_SIZE, unscaled."""
        size = data.objects.shape
        moving = np.flatnonzero(data.objects)
        number, part = data.objects.ravel()[moving], data.part.reshape(-1, 3)[moving]
        points = data.position.reshape(-1, 3)[moving]
        motion = np.zeros((len(moving), 3, BINS - 1), np.complex64)
        if self._joints:
            local = np.rint(part[:, 0]).astype(int) - 1
            jointed = np.flatnonzero(local >= 0)
            index = np.array(self._first)[number[jointed]] + local[jointed]
            joints, index = Joints.concatenate(self._joints).subset(index)
            omega = joint_rotations(joints, wind, self.rng)
            motion[jointed] = joint_displacement(joints, omega, index, points[jointed])
        for n in np.unique(number):
            if self._sheets[n] is not None:
                selected = np.flatnonzero(number == n)
                motion[selected] = sheet_displacement(self._sheets[n], part[selected, 1:], wind, self.rng)
        pixels = np.zeros((size[0] * size[1], 2, motion.shape[-1]), np.complex64)
        pixels[moving] = camera.project_motion(points, motion, VOLUME_SIZE)
        return add_rest_bin(pool_by_object(pixels.reshape(*size, 2, -1), data.objects, CELL_SIZE))

    def _render(self, size: tuple[int, int]) -> dict[str, np.ndarray]:
        render = self.bpy_scene.render
        render.resolution_y, render.resolution_x = size
        render.image_settings.file_format = "OPEN_EXR_MULTILAYER"
        render.image_settings.color_depth, render.image_settings.exr_codec = "32", "NONE"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "frame.exr"
            render.filepath = str(path)
            with _silenced_stdout():
                bpy.ops.render.render(write_still=True)
            with OpenEXR.File(str(path), separate_channels=True) as file:
                return {name: channel.pixels.copy() for name, channel in file.channels().items()}


def _blender_mesh(body: Body) -> bpy.types.Mesh:
    shape = body.mesh
    mesh = bpy.data.meshes.new("mesh")
    mesh.vertices.add(len(shape.points))
    mesh.vertices.foreach_set("co", shape.points.astype(np.float32).ravel())
    mesh.loops.add(shape.faces.size)
    mesh.loops.foreach_set("vertex_index", shape.faces.astype(np.int32).ravel())
    mesh.polygons.add(len(shape.faces))
    mesh.polygons.foreach_set("loop_start", 4 * np.arange(len(shape.faces), dtype=np.int32))
    mesh.polygons.foreach_set("material_index", shape.slot.astype(np.int32))
    mesh.polygons.foreach_set("use_smooth", np.full(len(shape.faces), body.smooth))
    part = np.concatenate([shape.joint[:, None] + 1, shape.uv], axis=1).astype(np.float32)
    mesh.attributes.new(PART, "FLOAT_VECTOR", "POINT").data.foreach_set("vector", part.ravel())
    mesh.update(calc_edges=True)
    for material in body.materials:
        mesh.materials.append(material)
    return mesh


@contextlib.contextmanager
def _silenced_stdout():
    """Discard stdout. Blender prints from C, so the file descriptor itself must be redirected."""
    stdout = os.dup(1)
    with open(os.devnull, "w") as null:
        os.dup2(null.fileno(), 1)
    try:
        yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)
