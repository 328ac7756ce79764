"""Endless synthetic scenes of swaying things with exact ground truth: for tests of every stage and for
training.

    scene = random_scene(seed=3)                 # stems, branches, leaves, cloth over a still background
    still, volume = scene.render(0), scene.spectral_volume()
    clip, truth = scene.frames(), scene.displacements(range(150))

The physics is that of the paper's section 3 in small: a gust with a red spectrum travels over the scene and
drives damped oscillators, one for each bending mode; what is fixed to a branch follows it. `scenes.py` says
what a scene is and renders it; `scene_parts.py` paints it.
"""

from dataclasses import dataclass, replace

import numpy as np

from . import painting as parts
from .scene import Layer, Scene, coordinates, steepest

__all__ = ["Layer", "Scene", "random_scene", "stems_scene", "KINDS"]

KINDS = ("stems", "branches", "leaves", "cloth")
STEEPEST = 0.6  # largest Jacobian entry of a deformation: below 1 nothing folds and the inverse exists


@dataclass
class Wind:
    """A gust front with a red spectrum. frequencies [N] Hz; gust complex [N]; direction ±1 along x; speed
    px/s."""

    frequencies: np.ndarray
    gust: np.ndarray
    sign: float
    speed: float

    def drive(self, rng, natural: float, damping: float, x: float = 0.0, coherence: float = 0.8) -> np.ndarray:
        """Weights [N] of an oscillator (natural Hz, damping ratio) at x pixels, scaled to unit rms
        displacement.

        The gust reaches x after x / speed seconds; the rest, 1 − coherence², is turbulence of its own.
        """
        f = self.frequencies
        own = _gaussian(rng, len(f)) * _red(f)
        force = coherence * self.gust * np.exp(-2j * np.pi * f * self.sign * x / self.speed)
        force = force + np.sqrt(1 - coherence**2) * own
        weights = force / (natural**2 - f**2 + 2j * damping * natural * f)
        return self.sign * weights / np.sqrt((np.abs(weights) ** 2).sum() / 2)


def make_wind(rng, width: int, periodic: bool, fps: float = 30.0, period: int = 150, top_bin: int = 15) -> Wind:
    """Frequencies: bins 1..top_bin of the period, or (not periodic) 48 irregular ones from 0.04 to 3.2 Hz."""
    if periodic:
        frequencies = np.arange(1, top_bin + 1) * fps / period
    else:
        frequencies = np.sort(np.linspace(0.06, 3.15, 48) + rng.uniform(-0.02, 0.02, 48))
    gust = _gaussian(rng, len(frequencies)) * _red(frequencies)
    return Wind(frequencies, gust, float(rng.choice([-1, 1])), width * rng.uniform(0.5, 2.0))


def stems_scene(
    seed: int = 0,
    size: tuple[int, int] = (160, 256),
    widths: tuple[float, ...] = (3, 6, 12),
    amplitude: float = 1.5,
    periodic: bool = True,
    noise: float = 0.0,
    supersample: int = 4,
) -> Scene:
    """Separate tilted textured stems, three of each width, over a textured wall: the test of optical flow.

    The first stem of each width moves rigidly, the two others bend like bars clamped at the bottom edge. All
    move across themselves by sums of bins 1..10 (or irregular frequencies to 3.2 Hz). `amplitude`: rms over
    one period of the displacement in pixels, everywhere on a rigid stem, at the tip (near the top edge) of a
    bending one; the largest displacement is about 2 to 3 times that. `noise`: standard deviation of the
    sensor noise of each frame.
    """
    rng = np.random.default_rng(seed)
    h, w = size
    wind = make_wind(rng, w, periodic, top_bin=10)
    reach = int(np.ceil(4 * amplitude)) + 8
    studio = parts.Studio(supersample, (-reach, -reach, w + reach, h + reach))
    order = rng.permutation([width for width in widths for _ in range(3)])
    spacing, layers, seen = w / len(order), [], {}
    for i, width in enumerate(order):
        rigid = width not in seen
        seen[width] = True
        angle = -np.pi / 2 + rng.uniform(-0.14, 0.14)
        length = (0.92 * h + (h if rigid else 0)) / np.sin(-angle)
        middle = np.array([(i + 0.5) * spacing + rng.uniform(-0.08, 0.08) * spacing, h / 2])
        axis = parts.direction(angle)
        root = middle + axis * (h - 1 - h / 2 + (h / 2 if rigid else 0)) / axis[1]
        bar = parts.Bar(root, axis, length)
        color = np.array([0.5, 0.55, 0.3]) * rng.uniform(0.6, 1.4) * rng.uniform(0.8, 1.2, 3)
        painted = parts.paint_stem(studio, rng, bar, (width, width), color, roughness=0.3)
        weights = wind.drive(rng, rng.uniform(0.4, 1.2), rng.uniform(0.1, 0.3), coherence=0.3)[None]
        if rigid:
            fields = _shift_fields(bar.normal)
        else:
            fields = parts.cantilever_fields(root, axis, length)
        layers.append(Layer(*painted, fields, weights, "stems", float(width)))
    layers = [replace(item, weights=item.weights * _to_rms(item.weights, wind, amplitude)) for item in layers]
    background = parts.paint_background(rng, size, "wall")
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    detail = parts.noise_at("grain", rng.uniform(0, 1000) + x, rng.uniform(0, 1000) + y)[..., None]
    background = np.clip(background * (1 + 0.15 * detail), 0, 1)
    return Scene(
        size,
        layers,
        background,
        wind.frequencies,
        seed,
        periodic=periodic,
        noise=noise,
        supersample=supersample,
    )


def random_scene(
    seed: int,
    size: tuple[int, int] = (160, 256),
    kinds: tuple[str, ...] = KINDS,
    mean_motion: float = 1.5,
    periodic: bool = True,
    noise: float = 0.0,
    supersample: int = 3,
) -> Scene:
    """A scene drawn at random: one to three of `kinds` over a random background.

    mean_motion: mean over the moving pixels and one period of |F_t(p)| in pixels of this size; less where a
    surface would otherwise fold. `periodic`: motion of bins 1..15 of 150 frames, so the clip loops and 16
    bins hold all of it; otherwise it does not repeat and drifts, as real clips do. Every choice follows from
    `seed`.
    """
    unknown = set(kinds) - set(KINDS)
    if unknown or not kinds:
        raise ValueError(f"kinds must be some of {KINDS}, got {tuple(kinds)}")
    rng = np.random.default_rng(seed)
    settings = dict(seed=seed, periodic=periodic, noise=noise, supersample=supersample)
    for _ in range(20):  # now and then all grows outside the frame
        scene = _draw(rng, size, sorted(kinds), mean_motion, settings)
        if (scene.labels() > 0).mean() >= 0.02:
            return _with_motion(scene, mean_motion)
    raise ValueError(f"seed {seed} drew nothing inside a frame of size {size}; use a larger size")


def _draw(rng, size, kinds, mean_motion, settings) -> Scene:
    """A random scene that moves by about 1 px; its canvas has room for `mean_motion`."""
    h, w = size
    wind = make_wind(rng, w, settings["periodic"])
    reach = int(np.ceil(12 * mean_motion)) + 8
    light = parts.direction(rng.uniform(-0.85, -0.15) * np.pi)
    tint = np.clip(1 + rng.uniform(-1, 1) * np.array([0.1, 0.0, -0.12]), 0, 1.2) * rng.uniform(0.8, 1.1)
    canvas = (-reach, -reach, w + reach, h + reach)
    studio = parts.Studio(settings["supersample"], canvas, tuple(light), tuple(tint))
    chosen = set(rng.choice(kinds, rng.integers(1, min(3, len(kinds)) + 1), replace=False))
    background = parts.paint_background(rng, size, rng.choice(["foliage", "sky", "wall", "field"]))
    layers: list[Layer] = []
    for kind, build in BUILDERS.items():
        if kind in chosen:
            build(rng, studio, wind, size, layers)
    return Scene(size, layers, background, wind.frequencies, **settings)


# ---- builders: append the layers of one thing, back to front, moving by about 1 px ----


def _stems(rng, studio, wind, size, layers):
    h, w = size
    color = _green(rng)
    for x in np.sort(rng.uniform(-0.05, 1.05, rng.integers(7, 18))) * w:
        length = h * rng.uniform(0.35, 1.0)
        bar = parts.Bar(
            np.array([x, h * 1.03]),
            parts.direction(-np.pi / 2 + 0.22 * rng.standard_normal()),
            length,
            rng.uniform(-0.15, 0.15),
        )
        width = h * rng.uniform(0.015, 0.05)
        painted = parts.paint_stem(studio, rng, bar, (width, 0.25 * width), color * rng.uniform(0.7, 1.3))
        fields = parts.cantilever_fields(bar.root, bar.direction, length, rng.uniform(1.5, 2.1), second=True)
        natural = 0.45 * h / length * rng.uniform(0.9, 1.1)
        size_ratio = (length / h) ** 1.3
        first = size_ratio * wind.drive(rng, natural, rng.uniform(0.06, 0.2), x)
        second = 0.12 * size_ratio * wind.drive(rng, 3.5 * natural, 0.1, x)
        _add(layers, painted, fields, np.stack([first, second]) * 1.6, "stems", width)
        if rng.random() < 0.35 and painted:
            _leaf(
                rng,
                studio,
                wind,
                layers,
                bar,
                fields,
                layers[-1].weights,
                rng.uniform(0.4, 0.9),
                h,
                color,
                "stems",
            )


def _branches(rng, studio, wind, size, layers):
    h, w = size
    side = rng.choice([-1, 1])
    root = np.array([w * (0.5 - 0.53 * side), h * rng.uniform(0.15, 0.8)])
    bark, green = np.array([0.42, 0.33, 0.25]) * rng.uniform(0.5, 1.2), _green(rng)
    heading = (0 if side > 0 else np.pi) + rng.uniform(-0.35, 0.35)
    main = parts.Bar(root, parts.direction(heading), w * rng.uniform(0.5, 0.8), rng.uniform(-0.12, 0.12))
    _branch(rng, studio, wind, layers, main, h * rng.uniform(0.03, 0.06), None, (bark, green), 2, h)


def _branch(rng, studio, wind, layers, bar, width, parent, colors, depth, h):
    """One branch, its twigs and its leaves. parent: weights [3, N] of the joint it grows from, or None."""
    own = parts.cantilever_fields(bar.root, bar.direction, bar.length, 1.7)
    natural = float(np.clip(40.0 / bar.length * h / 160, 0.3, 2.0)) * rng.uniform(0.8, 1.2)
    bend = wind.drive(rng, natural, rng.uniform(0.06, 0.18), bar.root[0]) * 1.6 * (bar.length / h) ** 1.2
    fields, weights = own, bend[None]
    if parent is not None:
        fields, weights = parts.both(parts.rigid_fields(bar.root), own), np.concatenate([parent, bend[None]])
    painted = parts.paint_stem(studio, rng, bar, (width, 0.3 * width), colors[0], 0.35)
    twigs = []
    if depth:
        for place in np.sort(rng.uniform(0.15, 0.95, rng.integers(3, 6))):
            at = bar.point(place)
            heading = np.arctan2(bar.direction[1], bar.direction[0]) + rng.choice([-1, 1]) * rng.uniform(0.4, 0.9)
            twig = parts.Bar(at, parts.direction(heading), bar.length * rng.uniform(0.3, 0.5), rng.uniform(-0.2, 0.2))
            twigs.append((twig, parts.joint(fields, weights, at, bar.direction)))
    for twig, hold in twigs:
        _branch(rng, studio, wind, layers, twig, 0.5 * width, hold, colors, depth - 1, h)
    _add(layers, painted, fields, weights, "branches", width)
    if depth < 2:
        for place in rng.uniform(0.25, 1.0, rng.integers(3, 7)):
            _leaf(rng, studio, wind, layers, bar, fields, weights, place, h, colors[1], "branches")


def _leaves(rng, studio, wind, size, layers):
    """Clumps of foliage, far and near, and single leaves hanging in from the top."""
    h, w = size
    color = _green(rng)
    for _ in range(rng.integers(1, 5)):
        center = np.array([rng.uniform(0, w), rng.uniform(0.0, 0.9) * h])
        radii = h * rng.uniform(0.15, 0.4, 2)
        painted = parts.paint_foliage(
            studio, rng, center, radii, color * rng.uniform(0.8, 1.2), h * rng.uniform(0.04, 0.08)
        )
        wave = rng.uniform(0.4, 1.2) * parts.direction(rng.uniform(0, 2 * np.pi)) / radii.mean()
        fields = parts.both(_shift_fields(parts.direction(rng.uniform(-0.4, 0.4))), _ripple_fields(center, wave))
        swing = 1.3 * wind.drive(rng, rng.uniform(0.4, 1.0), 0.15, center[0])
        flutter = 0.35 * wind.drive(rng, rng.uniform(1.0, 2.2), 0.2, center[0], 0.5)
        _add(layers, painted, fields, np.stack([swing, flutter, -1j * flutter]), "leaves", 2 * radii[0])
    for x in rng.uniform(0.05, 0.95, rng.integers(1, 4)) * w:
        heading = np.pi / 2 + rng.uniform(-0.4, 0.4)
        twig = parts.Bar(
            np.array([x, -0.04 * h]),
            parts.direction(heading),
            h * rng.uniform(0.3, 0.6),
            rng.uniform(-0.15, 0.15),
        )
        _branch(rng, studio, wind, layers, twig, 0.018 * h, None, (0.6 * color, color * 1.1), 0, h * 1.6)


def _leaf(rng, studio, wind, layers, bar, fields, weights, place, h, color, kind):
    """A leaf on a bar: follows its joint and turns about it."""
    at = bar.point(place)
    heading = np.arctan2(bar.direction[1], bar.direction[0]) + rng.choice([-1, 1]) * rng.uniform(0.3, 1.2)
    leaf = parts.Bar(at, parts.direction(heading), h * rng.uniform(0.07, 0.16), rng.uniform(-0.2, 0.2))
    width = leaf.length * rng.uniform(0.25, 0.5)
    hold = parts.joint(fields, weights, at, bar.direction)
    hold[2] += wind.drive(rng, rng.uniform(1.0, 2.4), rng.uniform(0.08, 0.25), at[0], 0.6) * rng.uniform(0.02, 0.06)
    painted = parts.paint_leaf(studio, rng, leaf, width, color * rng.uniform(0.7, 1.35))
    _add(layers, painted, parts.rigid_fields(at), hold, kind, width)


def _cloth(rng, studio, wind, size, layers):
    h, w = size
    width, height = w * rng.uniform(0.25, 0.55), h * rng.uniform(0.6, 1.0)
    corner = np.array([rng.uniform(0.02, 0.98) * (w - width), h * rng.uniform(-0.25, -0.05)])
    # A dyed color, not too vivid, and a paler print.
    colors = np.clip(rng.uniform(0.35, 0.85) + 0.22 * rng.standard_normal((2, 3)), 0.08, 0.95)
    colors[1] = 0.45 * colors[1] + 0.55 * rng.uniform(0.6, 0.95)
    painted = parts.paint_cloth(studio, rng, corner, width, height, colors)
    k = wind.sign * rng.uniform(0.5, 1.5) * 2 * np.pi / width
    side = parts.direction(rng.uniform(0.1, 0.5))

    def fields(x, y):
        v = np.maximum(y - corner[1], 0) / height
        phase = k * (x - corner[0]) + 1.5 * v
        shapes = [v**1.3, v**1.2 * np.cos(phase), v**1.2 * np.sin(phase)]
        return np.stack([np.stack([side[0] * s, side[1] * s]) for s in shapes])

    swing = 1.2 * wind.drive(rng, rng.uniform(0.35, 0.7), 0.15, corner[0])
    wave = 0.7 * wind.drive(rng, rng.uniform(0.7, 1.6), 0.25, corner[0])
    _add(layers, painted, fields, np.stack([swing, wave, -1j * wave]), "cloth", width)


BUILDERS = {"cloth": _cloth, "branches": _branches, "leaves": _leaves, "stems": _stems}  # back to front


# ---- helpers ----


def _add(layers, painted, fields, weights, kind, width):
    if painted is not None:
        layers.append(Layer(*painted, fields, weights, kind, float(width)))


def _with_motion(scene: Scene, mean_motion: float) -> Scene:
    """The scene with all motion scaled by one factor: to the mean asked for, if nothing folds."""
    f = scene.displacements(np.arange(0, scene.period, 6))[:, :, scene.labels() > 0]
    factor = mean_motion / float(np.hypot(f[:, 0], f[:, 1]).mean())
    for layer in scene.layers:
        _, steep = steepest(layer, scene.frequencies, scene.fps, scene.period, scene.supersample)
        factor = min(factor, STEEPEST / max(steep, 1e-9))
    return replace(scene, layers=[replace(item, weights=item.weights * factor) for item in scene.layers])


def _to_rms(weights, wind: Wind, amplitude: float) -> float:
    """Factor that gives the displacement of one coordinate the rms `amplitude` over 150 frames from F_0 =
    0."""
    a = coordinates(weights, wind.frequencies, np.arange(150), 30.0)
    return amplitude / np.sqrt((a**2).mean())


def _shift_fields(along) -> parts.Fields:
    return lambda x, y: np.stack([np.stack([np.full_like(x, along[0]), np.full_like(x, along[1])])])


def _ripple_fields(center, wave) -> parts.Fields:
    """Cosine and sine of one plane wave: with weights (q, −iq) it travels along `wave` (radians per
    pixel)."""

    def fields(x, y):
        phase = wave[0] * (x - center[0]) + wave[1] * (y - center[1])
        return np.stack(
            [
                np.stack([np.cos(phase), 0.6 * np.cos(phase + 1)]),
                np.stack([np.sin(phase), 0.6 * np.sin(phase + 1)]),
            ]
        )

    return fields


def _red(f: np.ndarray) -> np.ndarray:
    """Amplitude of the gusts: flat below 0.15 Hz, ∝ 1/f above."""
    return 1 / np.hypot(f, 0.15)


def _gaussian(rng, n: int) -> np.ndarray:
    return rng.standard_normal(n) + 1j * rng.standard_normal(n)


def _green(rng) -> np.ndarray:
    """A color of plants: mostly greens, sometimes straw or autumn."""
    base = np.array([[0.35, 0.52, 0.18], [0.22, 0.42, 0.2], [0.55, 0.58, 0.25], [0.7, 0.6, 0.35], [0.72, 0.38, 0.15]])
    return base[rng.choice(5, p=[0.35, 0.25, 0.2, 0.12, 0.08])] * rng.uniform(0.85, 1.15, 3)
