"""How things sway: rotations about joints, driven by one wind, in the Fourier domain.

A joint turns everything beyond it. Branches, leaves, blades of grass, petals and the strings of lanterns are all joints
in a tree, which is the whole model: a point X of joint j, at r = X - pivot, moves by

    D(X) = u + theta x r + (omega x r) s^b,    s = |r| / length,

where u and theta are how the joint's base is carried by its parent, omega is its own rotation, and b bends it: 0 is
rigid (a pendulum, a leaf), 1 a cantilever whose root stands still and whose root does not turn either. Rotations are
small, so D is linear in omega, and omega of each joint is a complex number per frequency: the spectral volume follows
without a single time step, each motion is exactly periodic, and F_0 = 0 comes from bin 0 alone.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

# The library's conventions (gid_core.spectral_volume), which the environment with bpy cannot import; a test compares.
PERIOD = 150  # samples
FPS = 30.0  # samples a second
BINS = 16

FREQUENCIES = np.arange(1, BINS) * FPS / PERIOD  # Hz, of all bins but the constant one
REACH = 1.3  # a point may lie this many lengths from its pivot before the bend stops growing


@dataclass(frozen=True)
class Joints:
    """J joints; a parent stands before its children.

    Attributes:
        pivot: [J, 3] m, the point that it turns about.
        axis: [J, 3] unit vector from the pivot along the part; wind across it turns it.
        length: [J] m from the pivot to the part's tip.
        parent: int [J], or -1.
        bend: [J], exponent b above.
        frequency: [J] Hz of its resonance.
        swing: [J] rad, root mean square of its rotation before the scene's motion is scaled.
        shared: [J] 0..1, the share of its motion that follows the common gust; the rest is its own.
    """

    pivot: np.ndarray
    axis: np.ndarray
    length: np.ndarray
    parent: np.ndarray
    bend: np.ndarray
    frequency: np.ndarray
    swing: np.ndarray
    shared: np.ndarray

    def __len__(self) -> int:
        return len(self.pivot)

    def moved(self, matrix: np.ndarray) -> Joints:
        """The same joints after a 4 x 4 matrix of rotation, even scale and translation."""
        turn = matrix[:3, :3]
        scale = np.cbrt(np.linalg.det(turn))
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["pivot"] = self.pivot @ turn.T + matrix[:3, 3]
        values["axis"] = self.axis @ turn.T / scale
        values["length"] = self.length * scale
        return Joints(**values)

    def needed(self, index: np.ndarray) -> tuple[Joints, np.ndarray]:
        """The joints of `index` [n] with their ancestors alone, and `index` in the new numbering."""
        keep = np.zeros(len(self), bool)
        fresh = np.unique(index)
        while len(fresh):
            keep[fresh] = True
            fresh = self.parent[fresh]
            fresh = np.unique(fresh[fresh >= 0])
            fresh = fresh[~keep[fresh]]
        number = np.cumsum(keep) - 1
        values = {field.name: getattr(self, field.name)[keep] for field in fields(self)}
        values["parent"] = np.where(values["parent"] < 0, -1, number[values["parent"]])
        return Joints(**values), number[index]

    @classmethod
    def stack(cls, parts: list[Joints]) -> Joints:
        """All joints in one table; parents are renumbered."""
        starts = np.cumsum([0] + [len(part) for part in parts])
        joined = {field.name: np.concatenate([getattr(p, field.name) for p in parts]) for field in fields(cls)}
        joined["parent"] = np.concatenate(
            [np.where(p.parent < 0, -1, p.parent + start) for p, start in zip(parts, starts, strict=False)]
        )
        return cls(**joined)


class Skeleton:
    """Collects joints while a plant grows."""

    def __init__(self):
        self._parts: list[Joints] = []
        self.size = 0

    def add(self, pivot, axis, length, parent=-1, *, frequency, swing, bend=0.0, shared=0.5) -> np.ndarray:
        """Add n joints at once, n from `pivot` [n, 3] or [3]; the others broadcast.

        Returns:
            int [n]: their numbers.
        """
        pivot = np.atleast_2d(np.asarray(pivot, float))
        count = len(pivot)
        axis = np.broadcast_to(np.asarray(axis, float), (count, 3))
        axis = axis / np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-9)

        def full(value, dtype=float):
            return np.broadcast_to(np.asarray(value, dtype), (count,)).copy()

        values = [full(v) for v in (bend, frequency, swing, shared)]
        self._parts.append(
            Joints(pivot, axis, np.maximum(full(length), 1e-6), np.broadcast_to(parent, (count,)).astype(int), *values)
        )
        self.size += count
        return np.arange(self.size - count, self.size)

    def joints(self) -> Joints:
        """Everything added so far; at least one joint."""
        return Joints(*(np.concatenate([getattr(p, f.name) for p in self._parts]) for f in fields(Joints)))


@dataclass(frozen=True)
class Sheet:
    """A cloth fixed at the edge v = 0 of its (u, v) coordinates: waves that travel from there to the free edge v = 1.

    Attributes:
        normal: [3] unit vector out of the cloth, along which it moves most.
        across: [3] unit vector along the fixed edge; a cloth seen from the front shows this part of its motion.
        size: m from the fixed to the free edge.
        frequency: Hz of its resonance.
        swing: root mean square of the free edge's motion before scaling, as a share of `size`.
        ripples: waves across the width at once.
        lag: s that a wave takes from edge to edge.
    """

    normal: np.ndarray
    across: np.ndarray
    size: float
    frequency: float
    swing: float
    ripples: float
    lag: float

    def moved(self, turn: np.ndarray) -> Sheet:
        """The same cloth after a rotation times an even scale, [3, 3]."""
        scale = np.cbrt(np.linalg.det(turn))
        ways = {"normal": turn @ self.normal / scale, "across": turn @ self.across / scale}
        return replace(self, size=self.size * scale, **ways)


@dataclass(frozen=True)
class Wind:
    """A light wind: periodic red noise that travels over the scene.

    Attributes:
        direction: [3] unit vector.
        speed: m/s of the gusts' travel.
        corner: Hz above which the gusts grow weaker.
        slope: how fast they do: the amplitude is 1 / (1 + (f / corner)^2)^slope.
        damping: of the resonances, relative to critical.
    """

    direction: np.ndarray
    speed: float
    corner: float
    slope: float
    damping: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Wind:
        """A random wind. The ranges make the mean amplitude by bin that of real clips; damping is low now and then,
        for real clips have sharp peaks."""
        angle = rng.uniform(0, 2 * np.pi)
        direction = np.array([np.cos(angle), np.sin(angle), 0.0])
        damping = float(np.exp(rng.uniform(np.log(0.04), np.log(0.3))))
        return cls(direction, float(rng.uniform(1.5, 5)), 0.2, float(rng.uniform(0.3, 0.75)), damping)


def noise(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """White complex noise of mean square 1, [*shape, K - 1] complex64."""
    pairs = rng.standard_normal((*shape, 2 * (BINS - 1)), np.float32) * np.float32(np.sqrt(0.5))
    return pairs.view(np.complex64)


def response(wind: Wind, natural: np.ndarray) -> np.ndarray:
    """Complex [J, K - 1]: what a damped resonance at `natural` [J] Hz makes of the gusts, of unit rms over a period."""
    ratio = FREQUENCIES / np.asarray(natural, float)[:, None]
    oscillator = 1 / (1 - ratio**2 + 2j * wind.damping * ratio)
    weight = oscillator / (1 + (FREQUENCIES / wind.corner) ** 2) ** wind.slope
    return (weight * PERIOD / np.sqrt(2 * (np.abs(weight) ** 2).sum(1, keepdims=True))).astype(np.complex64)


def delay(seconds: np.ndarray) -> np.ndarray:
    """Factors [..., K - 1] that make a motion come `seconds` later: exact on the circle of one period."""
    return np.exp(-2j * np.pi * np.asarray(seconds)[..., None] * FREQUENCIES).astype(np.complex64)


def rotations(joints: Joints, wind: Wind, rng: np.random.Generator) -> np.ndarray:
    """The joints' own rotation vectors omega, complex64 [J, 3, K - 1], rad x T (unnormalized transform)."""
    across = np.array([-wind.direction[1], wind.direction[0], 0.0])
    gust = noise(rng, 2)
    passing = delay(joints.pivot @ wind.direction / wind.speed)  # [J, K - 1]
    common = (wind.direction[:, None] * gust[0] + 0.4 * across[:, None] * gust[1]).astype(np.complex64)  # [3, K - 1]
    share = joints.shared[:, None, None].astype(np.float32)
    push = share * common * passing[:, None] + np.sqrt(1 - share**2) * noise(rng, len(joints), 3)
    turn = _cross(joints.axis, push)  # a push along the axis does not turn it ...
    turn += (
        np.float32(0.3) * joints.axis[:, :, None].astype(np.float32) * noise(rng, len(joints))[:, None]
    )  # ... but parts also twist a little
    return turn * (response(wind, joints.frequency) * joints.swing[:, None].astype(np.float32))[:, None]


def carried(joints: Joints, omega: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How the base of each joint is carried by its ancestors: translation m and rotation rad, [J, 3, K - 1] each."""
    shift, turn = np.zeros_like(omega), np.zeros_like(omega)
    done = joints.parent < 0
    while not done.all():
        child = np.flatnonzero(~done & done[joints.parent])  # one more level of the tree
        done[child] = True
        parent = joints.parent[child]
        arm = joints.pivot[child] - joints.pivot[parent]
        bent = _bend(joints, parent, arm)
        own = omega[parent] * bent[:, None, None]
        shift[child] = shift[parent] - _cross(arm, turn[parent] + own)
        turn[child] = (
            turn[parent] + own * (1 + joints.bend[parent]).astype(np.float32)[:, None, None]
        )  # the slope of a bent part
    return shift, turn


def displacement(joints: Joints, omega: np.ndarray, index: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Motion of points that belong to joints.

    Args:
        omega: of `rotations`.
        index: int [n], the joint of each point.
        points: [n, 3] m at rest.

    Returns:
        complex64 [n, 3, K - 1]: m x T.
    """
    shift, turn = carried(joints, omega)
    arm = points - joints.pivot[index]
    return shift[index] - _cross(arm, turn[index] + omega[index] * _bend(joints, index, arm)[:, None, None])


def sheet_displacement(sheet: Sheet, uv: np.ndarray, wind: Wind, rng: np.random.Generator) -> np.ndarray:
    """Motion of the points (u, v) [n, 2] of a cloth: complex64 [n, 3, K - 1], m x T."""
    u, v = uv[:, :1], np.clip(uv[:, 1:], 0, 1)
    drive = response(wind, sheet.frequency * np.array([1, 1.6, 2.1, 1.2]))
    swing, ripple, flutter, sway = drive * noise(rng, 4)
    phase = rng.uniform(0, 2 * np.pi)
    main = v**1.4 * swing * delay(sheet.lag * v[:, 0])
    wave = main + 0.35 * v * np.sin(2 * np.pi * sheet.ripples * u + phase) * ripple * delay(0.8 * sheet.lag * v[:, 0])
    wave += 0.3 * v * flutter * delay(sheet.lag * (1.3 * v[:, 0] + 0.9 * u[:, 0]))
    side = 0.5 * v**1.3 * sway * delay(sheet.lag * v[:, 0])
    lift = 0.25 * v * main  # what swings out also rises
    ways = np.stack([sheet.normal, sheet.across, np.cross(sheet.normal, sheet.across)])
    motion = np.einsum("wi,wnk->nik", ways, np.stack([wave, side, lift]))
    return (sheet.swing * sheet.size * motion).astype(np.complex64)


def with_rest(bins: np.ndarray) -> np.ndarray:
    """Put the constant bin before bins 1..K-1 [..., K - 1], such that the motion is 0 in frame 0: [..., K]."""
    return np.concatenate([-2 * bins.real.sum(-1, keepdims=True) + 0j, bins], axis=-1).astype(np.complex64)


def trajectory(volume: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Displacement [..., frames] of bins [..., K] at frame numbers (any real numbers): the inverse transform."""
    phase = np.exp(2j * np.pi / PERIOD * np.outer(np.arange(BINS), frames)) * np.where(np.arange(BINS), 2, 1)[:, None]
    return (volume @ (phase / PERIOD).astype(np.complex64)).real


def _bend(joints: Joints, index: np.ndarray, arm: np.ndarray) -> np.ndarray:
    along = np.clip(np.linalg.norm(arm, axis=1) / joints.length[index], 0, REACH)
    return np.where(joints.bend[index] == 0, 1.0, along ** joints.bend[index]).astype(np.float32)


def _cross(arm: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """arm [n, 3] x turn [n, 3, K - 1] (np.cross takes four times as long)."""
    x, y, z = arm.T.astype(np.float32)[:, :, None]
    return np.stack(
        [y * turn[:, 2] - z * turn[:, 1], z * turn[:, 0] - x * turn[:, 2], x * turn[:, 1] - y * turn[:, 0]], axis=1
    )
