"""Pokes: pull a point of the photo, let go, and it swings (paper section 6).

A pull by D pixels at the point p holds mode k where the paper's eq. 9 puts it, with the strength solved so that p
itself moves by D along D:

    q_k = |D|^2 conj(D . S_k(p)) / (g + 0.005 t),   g = sum_k |D . S_k(p)|^2,   t = |D|^2 sum_k |S_k(p)|^2

where D . S = Dx Sx + Dy Sy. The share of t keeps q small where p does not move along D. Let go, every mode rings as a
free oscillator: the closed form, whatever the frame rate.
"""

from __future__ import annotations

import json
import math
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields
from numbers import Real

import numpy as np
import torch

from ..motion import Motion
from ..spectral_volume import SpectralVolume, modal_sum
from .modes import angular_frequencies, bin_motion, check_settings, make_motion, soft_limit
from .oscillators import DEFAULT_DAMPING, Damping, check_stable, free_response, simulate

KINDS = ("pull", "kick")
SOFTNESS = 0.005  # share of t in the denominator above
SEARCH = 0.02  # how far from a still point the nearest moving one is looked for, as a share of the width
STILL = 0.02  # a point moves if it does so by more than this share of the picture's 99th percentile
VELOCITY_WINDOW = 0.05  # seconds before the release over which the velocity of a drag is measured
MAX_VELOCITY = 3.0  # of a mode at release, in w |q|
MOST = sys.float_info.max
SAME_INSTANT = 1e-6  # seconds; times this close to a frame are on it, however n / fps rounds


@dataclass(frozen=True)
class Poke:
    """One press of a point: pulled, held, let go; or kicked.

    Attributes:
        x, y: the point, as fractions of the picture's width and height, 0..1.
        dx, dy: how far it is pulled, as fractions of width and height, -1..1; +x right, +y down.
        time: when the press begins, in seconds of the result, >= 0.
        hold: seconds from press to release, >= 0, in which the point is eased to (dx, dy); 0: there at once.
        kind: "pull", or "kick": an impulse at `time` after which every mode, undamped, would first swing as far as a
            pull would hold it. A kick ignores `hold`.
        path: samples (seconds since the press, dx, dy) of a drag, straight in between; it begins at (0, 0) unless
            its first time is 0. The last is the release; dx, dy and hold become its values.

    Raises:
        ValueError: if a value is out of range, with its name.
    """

    x: float
    y: float
    dx: float = 0.0
    dy: float = 0.0
    time: float = 0.0
    hold: float = 0.2
    kind: str = "pull"
    path: tuple[tuple[float, float, float], ...] = ()

    def __post_init__(self):
        path = _checked_path(self.path)
        if path:
            if self.kind == "kick":
                _refuse("path belongs to a pull; a kick has none")
            hold, dx, dy = path[-1]
            for name, value in (("path", path), ("hold", hold), ("dx", dx), ("dy", dy)):
                object.__setattr__(self, name, value)
        for name, low, high, of in (
            ("x", 0, 1, "a fraction of the picture's width"),
            ("y", 0, 1, "a fraction of the picture's height"),
            ("dx", -1, 1, "a fraction of the picture's width"),
            ("dy", -1, 1, "a fraction of the picture's height"),
            ("time", 0, math.inf, "seconds"),
            ("hold", 0, math.inf, "seconds"),
        ):
            object.__setattr__(self, name, _checked(getattr(self, name), name, low, high, of))
        if self.kind not in KINDS:
            _refuse(f"kind is one of {KINDS}; got {self.kind!r}")

    @property
    def release(self) -> float:
        """When the point is let go, in seconds of the result."""
        return self.time if self.kind == "kick" else self.time + self.hold

    def offset(self, time: np.ndarray) -> np.ndarray:
        """(dx, dy) of a pull at times since the press, 0 <= time <= hold: float64 [frames, 2]."""
        time = np.asarray(time, dtype=np.float64)
        if not self.path:
            part = np.clip(time / self.hold, 0, 1) if self.hold > 0 else np.ones_like(time)
            return (part * part * (3 - 2 * part))[:, None] * np.array([self.dx, self.dy])
        t, dx, dy = np.array(self.path).T
        if t[0] > 0:
            t, dx, dy = (np.insert(values, 0, 0.0) for values in (t, dx, dy))
        return np.stack([np.interp(time, t, dx), np.interp(time, t, dy)], -1)


def parse_pokes(text: str) -> list[Poke]:
    """Pokes from JSON: a list of objects with the names of `Poke`; dx, dy and hold may be left out beside a path.

    Args:
        text: e.g. '[{"x": 0.5, "y": 0.4, "dx": 0.05, "dy": 0, "time": 1}]'; empty text is no poke.

    Raises:
        ValueError: if it is not such a list; names the poke (from 1) and the key.
    """
    if not text.strip():
        return []
    try:
        items = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"The pokes are not valid JSON: {error}. Write a list, for example {_EXAMPLE}") from None
    if not isinstance(items, list):
        raise ValueError(f"The pokes must be a list, for example {_EXAMPLE} got {type(items).__name__}.")
    return [_parse_one(item, number) for number, item in enumerate(items, 1)]


def format_pokes(pokes: Sequence[Poke]) -> str:
    """Pokes as JSON that `parse_pokes` reads back as the same; one a line, what is at its default left out."""
    lines = []
    for poke in pokes:
        item = {f.name: getattr(poke, f.name) for f in fields(Poke)}
        for name, default in (("hold", 0.2), ("kind", "pull"), ("path", ())):
            if item[name] == default:
                del item[name]
        lines.append(json.dumps(item))
    return "[" + ",\n ".join(lines) + "]"


def poke(
    volume: SpectralVolume,
    pokes: Sequence[Poke],
    num_frames: int = 120,
    fps: float | None = None,
    damping: Damping = DEFAULT_DAMPING,
    speed: float = 1.0,
    strength: float = 1.0,
    max_displacement: float = 0.25,
    integrator: str = "exact",
) -> Motion:
    """The answer of a volume's modes to pokes; the answers to several add up.

    While a point is held, the modes follow it exactly. At its release they have the pull's position, and the velocity
    of the drag (measured over its last 0.05 s, at most 3 w |q| a mode; an eased pull ends at rest).

    Args:
        volume: one photo's.
        pokes: in any order. One that begins after the last frame is left out, with a warning. A point where
            nothing moves is replaced by the best one within 2 % of the width, or left out, with a warning.
        num_frames: frames to make, >= 1.
        fps: frames a second; default: the volume's.
        damping: of the modes.
        speed: 0.5 lets the modes swing at half speed, > 0. The times of pokes are not changed by it.
        strength: factor of every pull, >= 0.
        max_displacement: softly limits how far any pixel is pulled, as a fraction of the width, > 0: a pull's peak d
            becomes d / (1 + (d / limit)^4)^(1/4).
        integrator: "exact", or one of `modal.INTEGRATORS` from each release on.

    Returns:
        A `Motion` that does not loop.

    Raises:
        ValueError: if the volume holds several photos, or an argument is out of range.
    """
    if len(volume) != 1:
        raise ValueError(f"Pokes need the volume of one photo; got {len(volume)} photos. Poke one photo at a time.")
    fps = check_settings(volume, num_frames, fps, speed, strength, max_displacement)
    omega = angular_frequencies(volume)
    gamma = damping.rates(omega)
    times = np.arange(num_frames) / fps
    total = np.zeros((num_frames, volume.num_bins), dtype=np.complex128)
    check_stable(omega, gamma, speed / fps, integrator)
    activity = bin_motion(volume)[0] if len(pokes) else None
    for number, one in enumerate(pokes, 1):
        if one.time > times[-1] + SAME_INSTANT:
            message = f"Poke {number} is at {one.time:g} s, after the last frame ({times[-1]:.2f} s); it is left out."
            warnings.warn(message, stacklevel=2)
            continue
        point = find_point(activity, one.x, one.y)
        if point is None:
            where = f"({one.x:g}, {one.y:g})"
            warnings.warn(f"Poke {number} at {where}: nothing moves there; it is left out.", stacklevel=2)
            continue
        pull = Pull(volume, point, strength, max_displacement)
        total += _response(pull, one, times, omega, gamma, fps, speed, integrator)
    return make_motion(volume, total, fps)


def find_point(activity: torch.Tensor, x: float, y: float) -> tuple[float, float] | None:
    """Where a poke at fractions (x, y) takes hold: (column, row) in pixels, or None if nothing moves there.

    Args:
        activity: [H, W], how much each pixel moves (`forces.bin_motion`).
    """
    height, width = activity.shape
    column, row = min(max(x * width - 0.5, 0), width - 1), min(max(y * height - 0.5, 0), height - 1)
    least = STILL * float(np.quantile(activity.cpu().numpy(), 0.99))
    if _bilinear(activity, column, row) > least:
        return column, row
    reach = SEARCH * width
    left, top = max(math.ceil(column - reach), 0), max(math.ceil(row - reach), 0)
    near = activity[top : math.floor(row + reach) + 1, left : math.floor(column + reach) + 1]
    if near.numel() == 0:
        return None
    rows = torch.arange(near.shape[0], device=near.device)[:, None] + top - row
    columns = torch.arange(near.shape[1], device=near.device) + left - column
    near = torch.where(rows**2 + columns**2 <= reach**2, near, 0)
    best = int(near.argmax())
    if not float(near.flatten()[best]) > least:
        return None
    return float(best % near.shape[1] + left), float(best // near.shape[1] + top)


class Pull:
    """Where a pull by any D holds the modes; the picture is looked at once, when it is made.

    Args:
        volume: one photo's.
        point: (column, row) in pixels.
        strength, max_displacement: see `poke`.
    """

    def __init__(self, volume: SpectralVolume, point: tuple[float, float], strength=1.0, max_displacement=0.25):
        height, width = volume.size
        self.size = np.array([width, height], dtype=np.float64)
        self.strength, self.limit = strength, max_displacement * width
        slices = _bilinear(volume.coefficients[0], *point).cpu().double().numpy()  # [K, 4]
        self.modes = np.stack([slices[:, 0] + 1j * slices[:, 1], slices[:, 2] + 1j * slices[:, 3]])  # x and y, [2, K]
        self.modes[:, 0] = 0
        # The pull's field is linear in D but for a scalar, so its peak for any D follows from two fields.
        conj = np.stack([self.modes.real, -self.modes.imag], -1)
        fields = modal_sum(volume.coefficients, torch.from_numpy(conj).float())[0].flatten(2)  # [x or y, 2, pixels]
        self.square = torch.stack(
            [fields[0].square().sum(0), 2 * (fields[0] * fields[1]).sum(0), fields[1].square().sum(0)]
        )

    def hold(self, offset: np.ndarray) -> np.ndarray:
        """Modal coordinates, complex [n, K], that hold the point at `offset` = (dx, dy), [n, 2] fractions."""
        d = np.asarray(offset, dtype=np.float64) * self.size
        along = d @ self.modes
        length = (d**2).sum(1)
        weight = (np.abs(along) ** 2).sum(1) + SOFTNESS * length * (np.abs(self.modes) ** 2).sum()
        gain = self.strength * np.divide(length, weight, out=np.zeros_like(length), where=weight > 0)
        gain = gain * soft_limit(np.abs(gain) * self._peak(d), self.limit)
        return gain[:, None] * along.conj()

    def _peak(self, d: np.ndarray) -> np.ndarray:
        """max over pixels of the length of the field of conj(D . S(p)), for D [n, 2]: [n]."""
        powers = torch.from_numpy(np.stack([d[:, 0] ** 2, d[:, 0] * d[:, 1], d[:, 1] ** 2], 1)).to(self.square)
        peaks = torch.cat([(some @ self.square).amax(1) for some in powers.split(16)])
        return peaks.clamp_min(0).sqrt().cpu().double().numpy()


def _response(pull: Pull, one: Poke, times, omega, gamma, fps, speed, integrator) -> np.ndarray:
    """Modal coordinates [frames, K] of one poke."""
    q = np.zeros((len(times), len(omega)), dtype=np.complex128)
    since = times - one.release  # of the release
    since[np.abs(since) < SAME_INSTANT] = 0
    free, held = since >= 0, (times - one.time > -SAME_INSTANT) & (since < 0)
    if held.any():
        q[held] = pull.hold(one.offset(np.maximum(times[held] - one.time, 0)))
    if not free.any():
        return q
    if one.kind == "kick":
        velocity = omega * pull.hold([[one.dx, one.dy]])[0]
        position = np.zeros_like(velocity)
    else:
        position, velocity = _release(pull, one, omega, speed)
    if integrator == "exact":
        q[free] = free_response(omega, gamma, since[free] * speed, position, velocity)[0]
    else:  # exact up to the first frame after the release
        state = [part[0] for part in free_response(omega, gamma, since[free][:1] * speed, position, velocity)]
        q[free] = simulate(omega, gamma, q[free], speed / fps, integrator, state)
    return q


def _release(pull: Pull, one: Poke, omega, speed) -> tuple[np.ndarray, np.ndarray]:
    """Position and velocity, in the modes' own time, of the modes when a pull is let go."""
    window = min(VELOCITY_WINDOW, one.hold)
    before, position = pull.hold(one.offset([one.hold - window, one.hold]))
    if not one.path or window == 0:
        return position, np.zeros_like(position)
    velocity = (position - before) / (window * speed)
    size, most = np.abs(velocity), MAX_VELOCITY * omega * np.abs(position)
    return position, velocity * np.divide(most, size, out=np.ones_like(size), where=size > most)


def _bilinear(maps: torch.Tensor, column: float, row: float) -> torch.Tensor:
    """Maps [..., H, W] at a place between pixel centers."""
    height, width = maps.shape[-2:]
    left, top = min(int(column), max(width - 2, 0)), min(int(row), max(height - 2, 0))
    patch = maps[..., top : top + 2, left : left + 2]
    u, v = column - left, row - top
    across = patch[..., 0] * (1 - u) + patch[..., -1] * u
    return across[..., 0] * (1 - v) + across[..., -1] * v


_EXAMPLE = '[{"x": 0.5, "y": 0.4, "dx": 0.05, "dy": 0, "time": 0}].'


def _parse_one(item, number: int) -> Poke:
    if not isinstance(item, dict):
        raise ValueError(f"Poke {number} must be an object, for example {_EXAMPLE[1:-2]}; got {json.dumps(item)}.")
    names = [f.name for f in fields(Poke)]
    for key in item:
        if key not in names:
            raise ValueError(f"Poke {number}: {key!r} is not known; the names are {', '.join(names)}.")
    for key in ("x", "y") if item.get("path") else ("x", "y", "dx", "dy"):
        if key not in item:
            raise ValueError(f"Poke {number}: {key} is missing.")
    try:
        made = Poke(**item)
        if made.path:
            for key in ("dx", "dy", "hold"):
                if key in item and not abs(_checked(item[key], key) - getattr(made, key)) < 1e-3:
                    _refuse(f"{key} is {item[key]}, but its path ends at {getattr(made, key):g}")
    except ValueError as error:
        raise ValueError(str(error).replace("Poke", f"Poke {number}", 1)) from None
    return made


def _checked_path(path) -> tuple[tuple[float, float, float], ...]:
    if not isinstance(path, (list, tuple)) or not all(isinstance(p, (list, tuple)) and len(p) == 3 for p in path):
        _refuse("path must be a list of (seconds, dx, dy)")
    found = tuple(
        (
            _checked(t, f"path[{i}] seconds", 0, math.inf, "since the press"),
            _checked(dx, f"path[{i}] dx", -1, 1, "a fraction of the picture's width"),
            _checked(dy, f"path[{i}] dy", -1, 1, "a fraction of the picture's height"),
        )
        for i, (t, dx, dy) in enumerate(path)
    )
    for i in range(1, len(found)):
        if not found[i][0] > found[i - 1][0]:
            _refuse(f"path[{i}] is at {found[i][0]:g} s, not after path[{i - 1}] at {found[i - 1][0]:g} s")
    return found


def _checked(value, name: str, low=-math.inf, high=math.inf, of: str = "") -> float:
    number = isinstance(value, Real) and not isinstance(value, bool)
    # Compared before it is converted: a whole number of JSON can be too large for a float.
    if not (number and max(low, -MOST) <= value <= min(high, MOST)):
        span = "a number" if low == -math.inf else f">= {low}" if high == math.inf else f"{low} to {high}"
        _refuse(f"{name} is {value!r}; it must be {span}" + (f" ({of})" if of else ""))
    return float(value)


def _refuse(problem: str):
    raise ValueError(f"Poke: {problem}.")
