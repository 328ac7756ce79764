"""Pokes as data: the `Poke` class with its checks, and the JSON text that nodes and files store."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike

from ..tensors import smoothstep
from ..validation import check_instances, describe, parse_json_objects

POKE_KINDS = ("pull", "kick")
DEFAULT_HOLD = 0.2  # seconds
PATH_TOLERANCE = 1e-3  # how much dx, dy and hold in a JSON text may differ from the end of their path

_MAX_FLOAT = sys.float_info.max
_EXAMPLE = '[{"x": 0.5, "y": 0.4, "dx": 0.05, "dy": 0, "time": 0}]'


@dataclass(frozen=True)
class Poke:
    """One press of a point that is pulled, held and released, or one kick of it.

    Attributes:
        x, y: the point, as fractions of the image's width and height, 0..1.
        dx, dy: how far it is pulled, as fractions of width and height, -1..1; +x right, +y down.
        time: when the press begins, in seconds of the result, >= 0.
        hold: seconds from press to release, >= 0, in which the point is eased to (dx, dy); 0 moves it at once.
        kind: "pull", or "kick": an impulse at `time`. Without damping, every mode would first swing as far as a pull
            would hold it. A kick ignores `hold`.
        path: samples (seconds since the press, dx, dy) of a drag, interpolated linearly. It begins at (0, 0) unless
            its first time is 0. The last sample is the release; dx, dy and hold take its values.

    Raises:
        ValueError: if a value is out of range; the message names it.
    """

    x: float
    y: float
    dx: float = 0.0
    dy: float = 0.0
    time: float = 0.0
    hold: float = DEFAULT_HOLD
    kind: str = "pull"
    path: tuple[tuple[float, float, float], ...] = ()

    def __post_init__(self) -> None:
        path = _check_path(self.path)
        if path:
            if self.kind == "kick":
                _fail("path belongs to a pull; a kick has none")
            hold, dx, dy = path[-1]
            for name, value in (("path", path), ("hold", hold), ("dx", dx), ("dy", dy)):
                object.__setattr__(self, name, value)
        for name, low, high, unit in (
            ("x", 0, 1, "a fraction of the image's width"),
            ("y", 0, 1, "a fraction of the image's height"),
            ("dx", -1, 1, "a fraction of the image's width"),
            ("dy", -1, 1, "a fraction of the image's height"),
            ("time", 0, math.inf, "seconds"),
            ("hold", 0, math.inf, "seconds"),
        ):
            object.__setattr__(self, name, _check_number(getattr(self, name), name, low, high, unit))
        if self.kind not in POKE_KINDS:
            _fail(f"kind is one of {POKE_KINDS}; got {describe(self.kind)}")

    @property
    def release(self) -> float:
        """When the point is released, in seconds of the result."""
        return self.time if self.kind == "kick" else self.time + self.hold

    def offset(self, time: ArrayLike) -> np.ndarray:
        """(dx, dy) of a pull at times [frames] since the press, 0 <= time <= hold: float64 [frames, 2]."""
        time = np.asarray(time, dtype=np.float64)
        if not self.path:
            progress = np.clip(time / self.hold, 0, 1) if self.hold > 0 else np.ones_like(time)
            return smoothstep(progress)[:, None] * np.array([self.dx, self.dy])
        t, dx, dy = np.array(self.path).T
        if t[0] > 0:
            t, dx, dy = (np.insert(values, 0, 0.0) for values in (t, dx, dy))
        return np.stack([np.interp(time, t, dx), np.interp(time, t, dy)], -1)


POKE_KEYS = tuple(field.name for field in fields(Poke))  # of a poke in JSON


def parse_pokes(text: str) -> list[Poke]:
    """Read pokes from JSON: a list of objects with the names of `Poke`; a path makes dx, dy and hold optional.

    Args:
        text: for example '[{"x": 0.5, "y": 0.4, "dx": 0.05, "dy": 0, "time": 1}]'; an empty text has no pokes.

    Raises:
        ValueError: if it is not such a list; the message names the poke (counted from 1) and the key.
    """
    items = parse_json_objects("pokes", text, POKE_KEYS, _EXAMPLE)
    return [_parse_poke(item, number) for number, item in enumerate(items, 1)]


def format_pokes(pokes: Sequence[Poke]) -> str:
    """Write pokes as JSON that `parse_pokes` reads back unchanged, one per line and without default values."""
    lines = []
    for poke in check_pokes(pokes):
        item = {key: getattr(poke, key) for key in POKE_KEYS}
        for name, default in (("hold", DEFAULT_HOLD), ("kind", "pull"), ("path", ())):
            if item[name] == default:
                del item[name]
        lines.append(json.dumps(item))
    return "[" + ",\n ".join(lines) + "]"


def check_pokes(pokes: Sequence[Poke]) -> list[Poke]:
    """The pokes as a list.

    Raises:
        ValueError: if it holds anything else.
    """
    return check_instances("pokes", pokes, Poke, "Poke(0.5, 0.4, 0.05)")


def _parse_poke(item: dict[str, Any], number: int) -> Poke:
    """One item of a JSON list as a poke; `number` is its position for error messages, from 1."""
    for key in ("x", "y") if item.get("path") else ("x", "y", "dx", "dy"):
        if key not in item:
            raise ValueError(f"Poke {number}: {key} is missing.")
    try:
        poke = Poke(**item)
        if poke.path:
            for key in ("dx", "dy", "hold"):
                if key in item and not abs(_check_number(item[key], key) - getattr(poke, key)) < PATH_TOLERANCE:
                    _fail(f"{key} is {item[key]}, but its path ends at {getattr(poke, key):g}")
    except ValueError as error:
        raise ValueError(str(error).replace("Poke", f"Poke {number}", 1)) from None
    return poke


def _check_path(path: Any) -> tuple[tuple[float, float, float], ...]:
    if not isinstance(path, (list, tuple)) or not all(isinstance(p, (list, tuple)) and len(p) == 3 for p in path):
        _fail("path must be a list of (seconds, dx, dy)")
    samples = tuple(
        (
            _check_number(t, f"path[{i}] seconds", 0, math.inf, "since the press"),
            _check_number(dx, f"path[{i}] dx", -1, 1, "a fraction of the image's width"),
            _check_number(dy, f"path[{i}] dy", -1, 1, "a fraction of the image's height"),
        )
        for i, (t, dx, dy) in enumerate(path)
    )
    for i in range(1, len(samples)):
        if not samples[i][0] > samples[i - 1][0]:
            _fail(f"path[{i}] is at {samples[i][0]:g} s, not after path[{i - 1}] at {samples[i - 1][0]:g} s")
    return samples


def _check_number(value: Any, name: str, low: float = -math.inf, high: float = math.inf, unit: str = "") -> float:
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    # Compared before it is converted: an integer of JSON can be too large for a float.
    if not (is_number and max(low, -_MAX_FLOAT) <= value <= min(high, _MAX_FLOAT)):
        expected = "a number" if low == -math.inf else f">= {low}" if high == math.inf else f"{low} to {high}"
        _fail(f"{name} is {describe(value)}; it must be {expected}" + (f" ({unit})" if unit else ""))
    return float(value)


def _fail(problem: str) -> NoReturn:
    raise ValueError(f"Poke: {problem}.")
