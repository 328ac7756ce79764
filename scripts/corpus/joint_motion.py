"""Sway as rotations about joints, driven by one wind, in the Fourier domain.

A joint rotates all parts attached to it. Branches, leaves, blades of grass, petals and the strings of lanterns are all
joints of a tree. A point X of joint j, at r = X - pivot, moves by

    D(X) = u + theta x r + (omega x r) s^b,    s = |r| / length,

where u and theta are the translation and rotation of the joint's base by its parents, omega is its own rotation, and b
is its bend exponent: 0 is rigid (a pendulum, a leaf), 1 is a cantilever clamped at its root. Rotations are small, so D
is linear in omega, and omega of each joint is a complex number per frequency. The spectral volume therefore needs no
time steps, each motion is exactly periodic, and bin 0 is chosen such that F_0 = 0.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

# The library's conventions (gid_core.spectral_volume), which the environment with bpy cannot import; a test compares.
PERIOD = 150  # samples
FPS = 30.0  # samples per second
BINS = 16

FREQUENCIES = np.arange(1, BINS) * FPS / PERIOD  # Hz, of all bins except the constant one
MAX_BEND_POSITION = 1.3  # the bend does not grow beyond this many lengths from the pivot


@dataclass(frozen=True)
class Joints:
    """J joints; parents come before their children.

    Attributes:
        pivot: [J, 3] m, the center of rotation.
        axis: [J, 3] unit vector from the pivot along the part; wind across it rotates the part.
        length: [J] m from the pivot to the part's tip.
        parent: int [J], or -1.
        bend_exponent: [J], b above.
        frequency: [J] Hz of its resonance.
        amplitude: [J] rad, rms of its rotation before the motion of the scene is scaled.
        coherence: [J] 0..1, share of its motion that follows the common gust; the rest is independent.
    """

    pivot: np.ndarray
    axis: np.ndarray
    length: np.ndarray
    parent: np.ndarray
    bend_exponent: np.ndarray
    frequency: np.ndarray
    amplitude: np.ndarray
    coherence: np.ndarray

    def __len__(self) -> int:
        return len(self.pivot)

    def transformed(self, matrix: np.ndarray) -> Joints:
        """The joints after a 4 x 4 matrix of rotation, uniform scale and translation."""
        rotation = matrix[:3, :3]
        scale = np.cbrt(np.linalg.det(rotation))
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["pivot"] = self.pivot @ rotation.T + matrix[:3, 3]
        values["axis"] = self.axis @ rotation.T / scale
        values["length"] = self.length * scale
        return Joints(**values)

    def subset(self, index: np.ndarray) -> tuple[Joints, np.ndarray]:
        """Only the joints of `index` [n] and their ancestors, and `index` in the new numbering."""
        keep = np.zeros(len(self), bool)
        new = np.unique(index)
        while len(new):
            keep[new] = True
            new = self.parent[new]
            new = np.unique(new[new >= 0])
            new = new[~keep[new]]
        number = np.cumsum(keep) - 1
        values = {field.name: getattr(self, field.name)[keep] for field in fields(self)}
        values["parent"] = np.where(values["parent"] < 0, -1, number[values["parent"]])
        return Joints(**values), number[index]

    @classmethod
    def concatenate(cls, parts: list[Joints]) -> Joints:
        """All joints in one table; parents are renumbered."""
        starts = np.cumsum([0] + [len(part) for part in parts])
        joined = {field.name: np.concatenate([getattr(p, field.name) for p in parts]) for field in fields(cls)}
        joined["parent"] = np.concatenate(
            [np.where(p.parent < 0, -1, p.parent + start) for p, start in zip(parts, starts, strict=False)]
        )
        return cls(**joined)


class Skeleton:
    """Collects joints while an object is built."""

    def __init__(self):
        self._parts: list[Joints] = []
        self.size = 0

    def add(
        self, pivot, axis, length, parent=-1, *, frequency, amplitude, bend_exponent=0.0, coherence=0.5
    ) -> np.ndarray:
        """Add n joints for `pivot` [n, 3] or [3]; the other arguments broadcast.

        Returns:
            int [n]: their indices.
        """
        pivot = np.atleast_2d(np.asarray(pivot, float))
        count = len(pivot)
        axis = np.broadcast_to(np.asarray(axis, float), (count, 3))
        axis = axis / np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-9)

        def full(value, dtype=float):
            return np.broadcast_to(np.asarray(value, dtype), (count,)).copy()

        values = [full(v) for v in (bend_exponent, frequency, amplitude, coherence)]
        self._parts.append(
            Joints(pivot, axis, np.maximum(full(length), 1e-6), np.broadcast_to(parent, (count,)).astype(int), *values)
        )
        self.size += count
        return np.arange(self.size - count, self.size)

    def joints(self) -> Joints:
        """All joints added so far; at least one."""
        return Joints(*(np.concatenate([getattr(p, f.name) for p in self._parts]) for f in fields(Joints)))


@dataclass(frozen=True)
class Sheet:
    """A cloth fixed at the edge v = 0 of its (u, v) coordinates. Waves travel from there to the free edge v = 1.

    Attributes:
        normal: [3] unit vector out of the cloth, along which it moves most.
        across: [3] unit vector along the fixed edge; seen from the front, the cloth moves along it.
        size: m from the fixed to the free edge.
        frequency: Hz of its resonance.
        amplitude: rms motion of the free edge before scaling, as a share of `size`.
        ripples: number of waves across the width.
        delay: s that a wave takes from edge to edge.
    """

    normal: np.ndarray
    across: np.ndarray
    size: float
    frequency: float
    amplitude: float
    ripples: float
    delay: float

    def transformed(self, rotation: np.ndarray) -> Sheet:
        """The cloth after a rotation times a uniform scale, [3, 3]."""
        scale = np.cbrt(np.linalg.det(rotation))
        axes = {"normal": rotation @ self.normal / scale, "across": rotation @ self.across / scale}
        return replace(self, size=self.size * scale, **axes)


@dataclass(frozen=True)
class Wind:
    """A light wind: periodic red noise that travels over the scene.

    Attributes:
        direction: [3] unit vector.
        speed: m/s at which gusts travel.
        corner_frequency: Hz above which gusts become weaker.
        slope: their amplitude is 1 / (1 + (f / corner_frequency)^2)^slope.
        damping: of the resonances, relative to critical.
    """

    direction: np.ndarray
    speed: float
    corner_frequency: float
    slope: float
    damping: float

    @classmethod
    def random(cls, rng: np.random.Generator) -> Wind:
        """A random wind. The ranges reproduce the mean amplitude per bin of real clips.

        Damping is sometimes low, because real clips have sharp peaks.
        """
        angle = rng.uniform(0, 2 * np.pi)
        direction = np.array([np.cos(angle), np.sin(angle), 0.0])
        damping = float(np.exp(rng.uniform(np.log(0.04), np.log(0.3))))
        return cls(direction, float(rng.uniform(1.5, 5)), 0.2, float(rng.uniform(0.3, 0.75)), damping)


def complex_noise(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """White complex noise of mean square 1, [*shape, K - 1] complex64."""
    pairs = rng.standard_normal((*shape, 2 * (BINS - 1)), np.float32) * np.float32(np.sqrt(0.5))
    return pairs.view(np.complex64)


def resonance_response(wind: Wind, natural_frequency: np.ndarray) -> np.ndarray:
    """Response of damped resonances at `natural_frequency` [J] Hz to the gusts, unit rms: complex [J, K - 1]."""
    ratio = FREQUENCIES / np.asarray(natural_frequency, float)[:, None]
    oscillator = 1 / (1 - ratio**2 + 2j * wind.damping * ratio)
    weight = oscillator / (1 + (FREQUENCIES / wind.corner_frequency) ** 2) ** wind.slope
    return (weight * PERIOD / np.sqrt(2 * (np.abs(weight) ** 2).sum(1, keepdims=True))).astype(np.complex64)


def delay_phasors(seconds: np.ndarray) -> np.ndarray:
    """Factors [..., K - 1] that delay a motion by `seconds`, cyclically in one period."""
    return np.exp(-2j * np.pi * np.asarray(seconds)[..., None] * FREQUENCIES).astype(np.complex64)


def joint_rotations(joints: Joints, wind: Wind, rng: np.random.Generator) -> np.ndarray:
    """The joints' own rotation vectors omega, complex64 [J, 3, K - 1], rad x T (unnormalized transform)."""
    across = np.array([-wind.direction[1], wind.direction[0], 0.0])
    gust = complex_noise(rng, 2)
    arrival = delay_phasors(joints.pivot @ wind.direction / wind.speed)  # [J, K - 1]
    common = (wind.direction[:, None] * gust[0] + 0.4 * across[:, None] * gust[1]).astype(np.complex64)  # [3, K - 1]
    share = joints.coherence[:, None, None].astype(np.float32)
    force = share * common * arrival[:, None] + np.sqrt(1 - share**2) * complex_noise(rng, len(joints), 3)
    rotation = _cross_product(joints.axis, force)  # a force along the axis does not rotate it
    # Parts also twist a little.
    rotation += np.float32(0.3) * joints.axis[:, :, None].astype(np.float32) * complex_noise(rng, len(joints))[:, None]
    return (
        rotation * (resonance_response(wind, joints.frequency) * joints.amplitude[:, None].astype(np.float32))[:, None]
    )


def parent_motion(joints: Joints, omega: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Motion of the base of each joint by its ancestors: translation m and rotation rad, [J, 3, K - 1] each."""
    shift, rotation = np.zeros_like(omega), np.zeros_like(omega)
    done = joints.parent < 0
    while not done.all():
        child = np.flatnonzero(~done & done[joints.parent])  # the next level of the tree
        done[child] = True
        parent = joints.parent[child]
        arm = joints.pivot[child] - joints.pivot[parent]
        bend = _bend_factor(joints, parent, arm)
        parent_rotation = omega[parent] * bend[:, None, None]
        shift[child] = shift[parent] - _cross_product(arm, rotation[parent] + parent_rotation)
        slope = (1 + joints.bend_exponent[parent]).astype(np.float32)  # of a bent part
        rotation[child] = rotation[parent] + parent_rotation * slope[:, None, None]
    return shift, rotation


def joint_displacement(joints: Joints, omega: np.ndarray, index: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Motion of points that belong to joints.

    Args:
        omega: of `joint_rotations`.
        index: int [n], the joint of each point.
        points: [n, 3] m at rest.

    Returns:
        complex64 [n, 3, K - 1]: m x T.
    """
    shift, rotation = parent_motion(joints, omega)
    arm = points - joints.pivot[index]
    return shift[index] - _cross_product(
        arm, rotation[index] + omega[index] * _bend_factor(joints, index, arm)[:, None, None]
    )


def sheet_displacement(sheet: Sheet, uv: np.ndarray, wind: Wind, rng: np.random.Generator) -> np.ndarray:
    """Motion of the points (u, v) [n, 2] of a cloth: complex64 [n, 3, K - 1], m x T."""
    u, v = uv[:, :1], np.clip(uv[:, 1:], 0, 1)
    drive = resonance_response(wind, sheet.frequency * np.array([1, 1.6, 2.1, 1.2]))
    swing, ripple, flutter, sway = drive * complex_noise(rng, 4)
    phase = rng.uniform(0, 2 * np.pi)
    main = v**1.4 * swing * delay_phasors(sheet.delay * v[:, 0])
    wave = main + 0.35 * v * np.sin(2 * np.pi * sheet.ripples * u + phase) * ripple * delay_phasors(
        0.8 * sheet.delay * v[:, 0]
    )
    wave += 0.3 * v * flutter * delay_phasors(sheet.delay * (1.3 * v[:, 0] + 0.9 * u[:, 0]))
    side = 0.5 * v**1.3 * sway * delay_phasors(sheet.delay * v[:, 0])
    lift = 0.25 * v * main  # a cloth that swings out also rises
    axes = np.stack([sheet.normal, sheet.across, np.cross(sheet.normal, sheet.across)])
    motion = np.einsum("wi,wnk->nik", axes, np.stack([wave, side, lift]))
    return (sheet.amplitude * sheet.size * motion).astype(np.complex64)


def add_rest_bin(bins: np.ndarray) -> np.ndarray:
    """Prepend the constant bin to bins 1..K-1 [..., K - 1], such that the motion is 0 in frame 0: [..., K]."""
    return np.concatenate([-2 * bins.real.sum(-1, keepdims=True) + 0j, bins], axis=-1).astype(np.complex64)


def trajectory(volume: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Displacement [..., frames] of bins [..., K] at frame numbers (any real numbers), by the inverse transform."""
    phase = np.exp(2j * np.pi / PERIOD * np.outer(np.arange(BINS), frames)) * np.where(np.arange(BINS), 2, 1)[:, None]
    return (volume @ (phase / PERIOD).astype(np.complex64)).real


def _bend_factor(joints: Joints, index: np.ndarray, arm: np.ndarray) -> np.ndarray:
    """s^b above, [n], at `arm` [n, 3] from the pivots of joints `index`."""
    along = np.clip(np.linalg.norm(arm, axis=1) / joints.length[index], 0, MAX_BEND_POSITION)
    return np.where(joints.bend_exponent[index] == 0, 1.0, along ** joints.bend_exponent[index]).astype(np.float32)


def _cross_product(arm: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """arm [n, 3] x rotation [n, 3, K - 1] (np.cross takes four times as long)."""
    x, y, z = arm.T.astype(np.float32)[:, :, None]
    return np.stack(
        [
            y * rotation[:, 2] - z * rotation[:, 1],
            z * rotation[:, 0] - x * rotation[:, 2],
            x * rotation[:, 1] - y * rotation[:, 0],
        ],
        axis=1,
    )
