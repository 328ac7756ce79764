"""Random synthetic scenes of swaying plants and cloth with exact ground truth, for tests, benchmarks and training.

    scene = random_scene(seed=3)                 # stems, branches, leaves, cloth over a static background
    photo, volume = scene.render(0), scene.spectral_volume()
    frames, displacements = scene.frames(), scene.displacements(range(150))

The physics is a small version of the paper's section 3: a gust with a red spectrum travels over the scene and drives
damped oscillators, one per bending mode. Parts attached to a branch follow its motion. `scene` defines and renders a
scene, `deformation` moves its surfaces, and `painting` and `backgrounds` paint them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .backgrounds import BACKGROUNDS, paint_background
from .deformation import (
    Beam,
    attachment_weights,
    cantilever_fields,
    concatenate_fields,
    plane_wave_fields,
    rigid_fields,
    translation_fields,
    unit_vector,
)
from .gust import FPS, PERIOD, Gust, random_gust
from .painting import PaintContext, Painted, paint_cloth, paint_foliage, paint_leaf, paint_stem, sample_noise
from .scene import Fields, Layer, Scene, max_motion, modal_coordinates

__all__ = ["KINDS", "Layer", "Scene", "random_scene", "stems_scene"]

KINDS = ("stems", "branches", "leaves", "cloth")
MAX_GRADIENT = 0.6  # largest Jacobian entry of a deformation; below 1 it does not fold and its inverse exists
MIN_COVERAGE = 0.02  # share of the frame that layers must cover
MAX_ATTEMPTS = 20


def stems_scene(
    seed: int = 0,
    size: tuple[int, int] = (160, 256),
    widths: Sequence[float] = (3, 6, 12),
    amplitude: float = 1.5,
    periodic: bool = True,
    noise: float = 0.0,
    supersample: int = 4,
) -> Scene:
    """Separate tilted textured stems, three of each width, over a textured wall: the test scene of optical flow.

    The first stem of each width moves rigidly; the two others bend like beams clamped at the bottom edge. All move
    across their own axis by sums of bins 1..10 (or of irregular frequencies up to 3.2 Hz).

    Args:
        seed: determines the scene.
        size: (H, W).
        widths: of stems, pixels.
        amplitude: rms displacement over one period in pixels, everywhere on a rigid stem and at the tip (near the top
            edge) of a bending one. The largest displacement is about 2 to 3 times as large.
        periodic: whether the motion repeats after 150 frames.
        noise: standard deviation of the sensor noise of each frame.
        supersample: sub-pixels per pixel, in both directions.
    """
    rng = np.random.default_rng(seed)
    h, w = size
    gust = random_gust(rng, w, periodic, max_bin=10)
    margin = int(np.ceil(4 * amplitude)) + 8
    context = PaintContext(supersample, (-margin, -margin, w + margin, h + margin))
    order = rng.permutation([width for width in widths for _ in range(3)])
    spacing = w / len(order)
    layers: list[Layer] = []
    used_widths: set[float] = set()
    for i, width in enumerate(order):
        rigid = width not in used_widths
        used_widths.add(width)
        angle = -np.pi / 2 + rng.uniform(-0.14, 0.14)
        length = (0.92 * h + (h if rigid else 0)) / np.sin(-angle)
        center = np.array([(i + 0.5) * spacing + rng.uniform(-0.08, 0.08) * spacing, h / 2])
        axis = unit_vector(angle)
        root = center + axis * (h - 1 - h / 2 + (h / 2 if rigid else 0)) / axis[1]
        beam = Beam(root, axis, length)
        color = np.array([0.5, 0.55, 0.3]) * rng.uniform(0.6, 1.4) * rng.uniform(0.8, 1.2, 3)
        painted = paint_stem(context, rng, beam, (width, width), color, roughness=0.3)
        weights = gust.oscillator_weights(rng, rng.uniform(0.4, 1.2), rng.uniform(0.1, 0.3), coherence=0.3)[None]
        fields = translation_fields(beam.normal) if rigid else cantilever_fields(root, axis, length)
        _append_layer(layers, painted, fields, weights, "stems", width)
    layers = [replace(item, weights=item.weights * _rms_factor(item.weights, gust, amplitude)) for item in layers]
    background = paint_background(rng, size, "wall")
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    detail = sample_noise("grain", rng.uniform(0, 1000) + x, rng.uniform(0, 1000) + y)[..., None]
    background = np.clip(background * (1 + 0.15 * detail), 0, 1)
    return Scene(
        size,
        layers,
        background,
        gust.frequencies,
        seed,
        periodic=periodic,
        noise=noise,
        supersample=supersample,
    )


def random_scene(
    seed: int,
    size: tuple[int, int] = (160, 256),
    kinds: Sequence[str] = KINDS,
    mean_motion: float = 1.5,
    periodic: bool = True,
    noise: float = 0.0,
    supersample: int = 3,
) -> Scene:
    """A random scene: one to three of `kinds` over a random background.

    Args:
        seed: determines every random choice.
        size: (H, W).
        kinds: some of KINDS.
        mean_motion: mean of |F_t(p)| in pixels over the moving pixels and one period. It is smaller where a surface
            would otherwise fold.
        periodic: motion of the bins 1..15 of 150 frames, so the clip loops and 16 bins describe it completely.
            Otherwise the motion does not repeat and drifts, as in real clips.
        noise: standard deviation of the sensor noise of each frame.
        supersample: sub-pixels per pixel, in both directions.

    Raises:
        ValueError: for unknown kinds, or if every attempt leaves the frame nearly empty.
    """
    unknown = set(kinds) - set(KINDS)
    if unknown or not kinds:
        raise ValueError(f"kinds must be some of {KINDS}, got {tuple(kinds)}")
    rng = np.random.default_rng(seed)
    for _ in range(MAX_ATTEMPTS):  # sometimes all layers are outside the frame
        scene = _draw_scene(rng, size, sorted(kinds), mean_motion, seed, periodic, noise, supersample)
        if (scene.labels() > 0).mean() >= MIN_COVERAGE:
            return scale_motion(scene, mean_motion)
    raise ValueError(f"seed {seed} drew nothing inside a frame of size {size}; use a larger size")


def _draw_scene(
    rng: np.random.Generator,
    size: tuple[int, int],
    kinds: list[str],
    mean_motion: float,
    seed: int,
    periodic: bool,
    noise: float,
    supersample: int,
) -> Scene:
    """A random scene that moves by about 1 px; its canvas has a margin for `mean_motion`."""
    h, w = size
    gust = random_gust(rng, w, periodic)
    margin = int(np.ceil(12 * mean_motion)) + 8
    light_direction = unit_vector(rng.uniform(-0.85, -0.15) * np.pi)
    light_color = np.clip(1 + rng.uniform(-1, 1) * np.array([0.1, 0.0, -0.12]), 0, 1.2) * rng.uniform(0.8, 1.1)
    canvas = (-margin, -margin, w + margin, h + margin)
    context = PaintContext(supersample, canvas, tuple(light_direction), tuple(light_color))
    chosen = set(rng.choice(kinds, rng.integers(1, min(3, len(kinds)) + 1), replace=False))
    background = paint_background(rng, size, rng.choice(BACKGROUNDS))
    builder = _SceneBuilder(rng, context, gust, size)
    for kind, add in builder.methods().items():
        if kind in chosen:
            add()
    return Scene(
        size,
        builder.layers,
        background,
        gust.frequencies,
        seed,
        periodic=periodic,
        noise=noise,
        supersample=supersample,
    )


@dataclass(frozen=True)
class _BranchColors:
    """RGB [3] of wood and of leaves."""

    bark: np.ndarray
    leaf: np.ndarray


class _SceneBuilder:
    """Appends the layers of random objects to `layers`, back to front; each moves by about 1 px."""

    def __init__(self, rng: np.random.Generator, context: PaintContext, gust: Gust, size: tuple[int, int]) -> None:
        self.rng, self.context, self.gust, self.size = rng, context, gust, size
        self.layers: list[Layer] = []

    def methods(self) -> dict[str, Callable[[], None]]:
        """What adds each kind, back to front."""
        return {
            "cloth": self.add_cloth,
            "branches": self.add_branches,
            "leaves": self.add_foliage,
            "stems": self.add_stems,
        }

    def add_stems(self) -> None:
        """Stems that grow from the bottom edge, some of them with a leaf."""
        rng, (h, w) = self.rng, self.size
        color = _plant_color(rng)
        for x in np.sort(rng.uniform(-0.05, 1.05, rng.integers(7, 18))) * w:
            length = h * rng.uniform(0.35, 1.0)
            axis = unit_vector(-np.pi / 2 + 0.22 * rng.standard_normal())
            beam = Beam(np.array([x, h * 1.03]), axis, length, rng.uniform(-0.15, 0.15))
            width = h * rng.uniform(0.015, 0.05)
            painted = paint_stem(self.context, rng, beam, (width, 0.25 * width), color * rng.uniform(0.7, 1.3))
            fields = cantilever_fields(beam.root, beam.axis, length, rng.uniform(1.5, 2.1), second_mode=True)
            natural_frequency = 0.45 * h / length * rng.uniform(0.9, 1.1)
            size_ratio = (length / h) ** 1.3
            first = size_ratio * self.gust.oscillator_weights(rng, natural_frequency, rng.uniform(0.06, 0.2), x)
            second = 0.12 * size_ratio * self.gust.oscillator_weights(rng, 3.5 * natural_frequency, 0.1, x)
            weights = np.stack([first, second]) * 1.6
            _append_layer(self.layers, painted, fields, weights, "stems", width)
            if rng.random() < 0.35 and painted:
                self._add_leaf(beam, fields, weights, rng.uniform(0.4, 0.9), h, color, "stems")

    def add_branches(self) -> None:
        """One branch that enters from the left or right edge, with two orders of twigs and with leaves."""
        rng, (h, w) = self.rng, self.size
        side = rng.choice([-1, 1])
        root = np.array([w * (0.5 - 0.53 * side), h * rng.uniform(0.15, 0.8)])
        bark = np.array([0.42, 0.33, 0.25]) * rng.uniform(0.5, 1.2)
        colors = _BranchColors(bark, _plant_color(rng))
        angle = (0 if side > 0 else np.pi) + rng.uniform(-0.35, 0.35)
        beam = Beam(root, unit_vector(angle), w * rng.uniform(0.5, 0.8), rng.uniform(-0.12, 0.12))
        self._add_branch(beam, h * rng.uniform(0.03, 0.06), None, colors, 2, h)

    def add_foliage(self) -> None:
        """Clumps of foliage, far and near, and single twigs that hang in from the top."""
        rng, context, (h, w) = self.rng, self.context, self.size
        color = _plant_color(rng)
        for _ in range(rng.integers(1, 5)):
            center = np.array([rng.uniform(0, w), rng.uniform(0.0, 0.9) * h])
            radii = h * rng.uniform(0.15, 0.4, 2)
            clump_color = color * rng.uniform(0.8, 1.2)
            painted = paint_foliage(context, rng, center, radii, clump_color, h * rng.uniform(0.04, 0.08))
            wave_vector = rng.uniform(0.4, 1.2) * unit_vector(rng.uniform(0, 2 * np.pi)) / radii.mean()
            fields = concatenate_fields(
                translation_fields(unit_vector(rng.uniform(-0.4, 0.4))), plane_wave_fields(center, wave_vector)
            )
            swing = 1.3 * self.gust.oscillator_weights(rng, rng.uniform(0.4, 1.0), 0.15, center[0])
            flutter = 0.35 * self.gust.oscillator_weights(rng, rng.uniform(1.0, 2.2), 0.2, center[0], 0.5)
            weights = np.stack([swing, flutter, -1j * flutter])
            _append_layer(self.layers, painted, fields, weights, "leaves", 2 * radii[0])
        for x in rng.uniform(0.05, 0.95, rng.integers(1, 4)) * w:
            angle = np.pi / 2 + rng.uniform(-0.4, 0.4)
            root, length = np.array([x, -0.04 * h]), h * rng.uniform(0.3, 0.6)
            twig = Beam(root, unit_vector(angle), length, rng.uniform(-0.15, 0.15))
            self._add_branch(twig, 0.018 * h, None, _BranchColors(0.6 * color, color * 1.1), 0, h * 1.6)

    def add_cloth(self) -> None:
        """One hanging sheet with a wave that travels across it."""
        rng, (h, w) = self.rng, self.size
        width, height = w * rng.uniform(0.25, 0.55), h * rng.uniform(0.6, 1.0)
        corner = np.array([rng.uniform(0.02, 0.98) * (w - width), h * rng.uniform(-0.25, -0.05)])
        # A dyed color of low saturation, and a paler print.
        colors = np.clip(rng.uniform(0.35, 0.85) + 0.22 * rng.standard_normal((2, 3)), 0.08, 0.95)
        colors[1] = 0.45 * colors[1] + 0.55 * rng.uniform(0.6, 0.95)
        painted = paint_cloth(self.context, rng, corner, width, height, colors)
        wave_number = self.gust.direction * rng.uniform(0.5, 1.5) * 2 * np.pi / width  # radians per pixel
        axis = unit_vector(rng.uniform(0.1, 0.5))

        def fields(x: np.ndarray, y: np.ndarray) -> np.ndarray:
            v = np.maximum(y - corner[1], 0) / height
            phase = wave_number * (x - corner[0]) + 1.5 * v
            shapes = [v**1.3, v**1.2 * np.cos(phase), v**1.2 * np.sin(phase)]
            return np.stack([np.stack([axis[0] * s, axis[1] * s]) for s in shapes])

        swing = 1.2 * self.gust.oscillator_weights(rng, rng.uniform(0.35, 0.7), 0.15, corner[0])
        wave = 0.7 * self.gust.oscillator_weights(rng, rng.uniform(0.7, 1.6), 0.25, corner[0])
        _append_layer(self.layers, painted, fields, np.stack([swing, wave, -1j * wave]), "cloth", width)

    def _add_branch(
        self, beam: Beam, width: float, parent: np.ndarray | None, colors: _BranchColors, depth: int, h: float
    ) -> None:
        """One branch, its twigs and its leaves.

        Args:
            parent: weights [3, N] of the rigid motion of its root, or None for a fixed root.
            depth: orders of twigs on it.
            h: height in pixels of a scene that it belongs to by size.
        """
        rng, gust = self.rng, self.gust
        fields = cantilever_fields(beam.root, beam.axis, beam.length, 1.7)
        natural_frequency = float(np.clip(40.0 / beam.length * h / 160, 0.3, 2.0)) * rng.uniform(0.8, 1.2)
        bend = gust.oscillator_weights(rng, natural_frequency, rng.uniform(0.06, 0.18), beam.root[0])
        bend = bend * 1.6 * (beam.length / h) ** 1.2
        weights = bend[None]
        if parent is not None:
            fields = concatenate_fields(rigid_fields(beam.root), fields)
            weights = np.concatenate([parent, weights])
        painted = paint_stem(self.context, rng, beam, (width, 0.3 * width), colors.bark, 0.35)
        twigs = []
        if depth:
            for position in np.sort(rng.uniform(0.15, 0.95, rng.integers(3, 6))):
                root = beam.point(position)
                angle = np.arctan2(beam.axis[1], beam.axis[0]) + rng.choice([-1, 1]) * rng.uniform(0.4, 0.9)
                length = beam.length * rng.uniform(0.3, 0.5)
                twig = Beam(root, unit_vector(angle), length, rng.uniform(-0.2, 0.2))
                twigs.append((twig, attachment_weights(fields, weights, root, beam.axis)))
        for twig, attachment in twigs:
            self._add_branch(twig, 0.5 * width, attachment, colors, depth - 1, h)
        _append_layer(self.layers, painted, fields, weights, "branches", width)
        if depth < 2:
            for position in rng.uniform(0.25, 1.0, rng.integers(3, 7)):
                self._add_leaf(beam, fields, weights, position, h, colors.leaf, "branches")

    def _add_leaf(
        self, beam: Beam, fields: Fields, weights: np.ndarray, position: float, h: float, color: np.ndarray, kind: str
    ) -> None:
        """A leaf at a fraction of a beam's length. It follows the beam and rotates about its own root."""
        rng = self.rng
        root = beam.point(position)
        angle = np.arctan2(beam.axis[1], beam.axis[0]) + rng.choice([-1, 1]) * rng.uniform(0.3, 1.2)
        leaf = Beam(root, unit_vector(angle), h * rng.uniform(0.07, 0.16), rng.uniform(-0.2, 0.2))
        width = leaf.length * rng.uniform(0.25, 0.5)
        attachment = attachment_weights(fields, weights, root, beam.axis)
        natural_frequency, damping = rng.uniform(1.0, 2.4), rng.uniform(0.08, 0.25)
        rotation = self.gust.oscillator_weights(rng, natural_frequency, damping, root[0], 0.6)
        attachment[2] += rotation * rng.uniform(0.02, 0.06)
        painted = paint_leaf(self.context, rng, leaf, width, color * rng.uniform(0.7, 1.35))
        _append_layer(self.layers, painted, rigid_fields(root), attachment, kind, width)


# ---- helpers ----


def _append_layer(
    layers: list[Layer], painted: Painted | None, fields: Fields, weights: np.ndarray, kind: str, width: float
) -> None:
    if painted is not None:
        layers.append(Layer(*painted, fields, weights, kind, float(width)))


def scale_motion(scene: Scene, mean_motion: float) -> Scene:
    """Scale all motion by one factor, to the requested mean or until a gradient reaches MAX_GRADIENT."""
    f = scene.displacements(np.arange(0, scene.period, 6))[:, :, scene.labels() > 0]
    factor = mean_motion / float(np.hypot(f[:, 0], f[:, 1]).mean())
    for layer in scene.layers:
        _, gradient = max_motion(layer, scene.frequencies, scene.fps, scene.period, scene.supersample)
        factor = min(factor, MAX_GRADIENT / max(gradient, 1e-9))
    return replace(scene, layers=[replace(item, weights=item.weights * factor) for item in scene.layers])


def _rms_factor(weights: np.ndarray, gust: Gust, amplitude: float) -> float:
    """Factor that scales the rms of one modal coordinate over 150 frames from F_0 = 0 to `amplitude`."""
    a = modal_coordinates(weights, gust.frequencies, np.arange(PERIOD), FPS)
    return amplitude / np.sqrt((a**2).mean())


def _plant_color(rng: np.random.Generator) -> np.ndarray:
    """A random RGB color of plants: mostly greens, sometimes straw or autumn."""
    colors = np.array([[0.35, 0.52, 0.18], [0.22, 0.42, 0.2], [0.55, 0.58, 0.25], [0.7, 0.6, 0.35], [0.72, 0.38, 0.15]])
    return colors[rng.choice(5, p=[0.35, 0.25, 0.2, 0.12, 0.08])] * rng.uniform(0.85, 1.15, 3)
