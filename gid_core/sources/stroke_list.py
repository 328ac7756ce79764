"""Brush strokes as data: the `Stroke` class with its checks, and the JSON text that nodes and files store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from ..validation import check_choice, check_instances, check_number, parse_json_objects, refuse

STROKE_KINDS = ("move", "pin", "erase", "arrow")
DEFAULT_RADIUS, DEFAULT_SOFTNESS, DEFAULT_STIFFNESS = 0.04, 0.5, 1.0
MIN_RADIUS, MAX_RADIUS = 0.001, 0.5  # of the image's longer side
MIN_STIFFNESS, MAX_STIFFNESS = 0.1, 10.0
# How far strokes may leave the image, in fractions of its sides.
MIN_POSITION, MAX_POSITION = -1.0, 2.0
# More strokes, or points of a stroke, are a mistake; drawing makes a tenth of them.
MAX_STROKES, MAX_POINTS = 5000, 2000

_EXAMPLE = '[{"kind": "move", "points": [[0.4, 0.6], [0.5, 0.3]], "radius": 0.05}]'


@dataclass(frozen=True)
class Stroke:
    """One stroke of the motion brush, drawn over those before it.

    Attributes:
        kind: "move" paints what moves, "pin" what must not, "erase" removes both, and arrows that begin under it.
            "arrow" says in which direction and how far the painted object below its first point sways.
        points: (x, y) or (x, y, pressure) along the stroke, at least one. x and y are fractions of the image's width
            and height, -1..2; pressure is a factor of the radius, 0..1 (1 if left out). An arrow has its two ends.
        radius: of the brush, a fraction of the image's longer side, 0.001..0.5.
        softness: the outer part of the radius over which the stroke fades, 0 (a hard edge) to 1.
        stiffness: of what a "move" stroke paints, 0.1..10. Parts that are stiffer bend less, and objects that are
            stiffer sway faster, in proportion to the square root.

    Raises:
        ValueError: if a value is out of range; the message names it.
    """

    kind: str
    points: tuple[tuple[float, float, float], ...]
    radius: float = DEFAULT_RADIUS
    softness: float = DEFAULT_SOFTNESS
    stiffness: float = DEFAULT_STIFFNESS

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, STROKE_KINDS)
        points = _check_points(self.points)
        if self.kind == "arrow" and (len(points) != 2 or points[0][:2] == points[1][:2]):
            refuse("points of an arrow", "its two ends [[x, y], [x, y]], which differ", self.points)
        object.__setattr__(self, "points", points)
        for name, low, high, meaning in (
            ("radius", MIN_RADIUS, MAX_RADIUS, "a fraction of the image's longer side"),
            ("softness", 0, 1, "0 is a hard edge"),
            ("stiffness", MIN_STIFFNESS, MAX_STIFFNESS, "1 is usual"),
        ):
            object.__setattr__(self, name, check_number(name, getattr(self, name), low, high, meaning=meaning))


STROKE_KEYS = tuple(field.name for field in fields(Stroke))  # of a stroke in JSON


def parse_strokes(text: str) -> list[Stroke]:
    """Read strokes from JSON: a list of objects with the names of `Stroke`; all but kind and points may be left out.

    Args:
        text: for example '[{"kind": "move", "points": [[0.4, 0.6], [0.5, 0.3]], "radius": 0.05}]'; an empty text has
            no strokes.

    Raises:
        ValueError: if it is not such a list; the message names the stroke (counted from 1) and the key.
    """
    items = parse_json_objects("strokes", text, STROKE_KEYS, _EXAMPLE)
    if len(items) > MAX_STROKES:
        raise ValueError(f"The strokes must be at most {MAX_STROKES}; got {len(items)}. Join or erase some.")
    return [_parse_stroke(item, number) for number, item in enumerate(items, 1)]


def format_strokes(strokes: Sequence[Stroke]) -> str:
    """Write strokes as JSON that `parse_strokes` reads back unchanged, one per line and without default values."""
    defaults = {"radius": DEFAULT_RADIUS, "softness": DEFAULT_SOFTNESS, "stiffness": DEFAULT_STIFFNESS}
    lines = []
    for stroke in check_strokes(strokes):
        points = [point[:2] if point[2] == 1 else point for point in stroke.points]
        values = {name: getattr(stroke, name) for name in defaults}
        changed = {name: value for name, value in values.items() if value != defaults[name]}
        lines.append(json.dumps({"kind": stroke.kind, "points": points, **changed}))
    return "[" + ",\n ".join(lines) + "]"


def check_strokes(strokes: Sequence[Stroke]) -> list[Stroke]:
    """The strokes as a list.

    Raises:
        ValueError: if it holds anything else.
    """
    return check_instances("strokes", strokes, Stroke, 'Stroke("move", ((0.5, 0.5),))')


def _parse_stroke(item: dict[str, Any], number: int) -> Stroke:
    """One item of a JSON list as a stroke; `number` is its position for error messages, from 1."""
    for key in ("kind", "points"):
        if key not in item:
            raise ValueError(f"Stroke {number}: {key} is missing.")
    try:
        return Stroke(**item)
    except ValueError as error:
        raise ValueError(f"Stroke {number}: {error}") from None


def _check_points(points: Any) -> tuple[tuple[float, float, float], ...]:
    is_list = isinstance(points, (list, tuple)) and 1 <= len(points) <= MAX_POINTS
    if not is_list or not all(isinstance(point, (list, tuple)) and len(point) in (2, 3) for point in points):
        refuse("points", f"a list of 1 to {MAX_POINTS} points [x, y] or [x, y, pressure]", points)
    limits = (("x", MIN_POSITION, MAX_POSITION), ("y", MIN_POSITION, MAX_POSITION), ("pressure", 0, 1))
    checked = []
    for i, point in enumerate(points):
        full = (*point, 1.0)[:3]
        x, y, pressure = (
            check_number(f"points[{i}] {name}", value, low, high)
            for (name, low, high), value in zip(limits, full, strict=True)
        )
        checked.append((x, y, pressure))
    return tuple(checked)
