"""The content of tests/vectors/motion_brush.json: strokes, and what gid_core says that they paint.

js/motion_brush.js is tested against the same numbers. The maps are small, wide and tall, of 9 x 16 and of 14 x 10.
"""

from __future__ import annotations

import json
from pathlib import Path

from gid_core.sources.motion_brush import covers, rasterize_strokes
from gid_core.sources.stroke_list import parse_strokes

PATH = Path(__file__).parent / "vectors" / "motion_brush.json"
MOVE = {"kind": "move", "points": [[0.2, 0.8], [0.45, 0.3], [0.7, 0.35]], "radius": 0.2}
PEN = {"kind": "move", "points": [[0.9, 0.9, 0.02], [0.7, 0.2, 0.5], [0.3, 0.1, 1]], "radius": 0.25, "softness": 1}
DOT = {"kind": "move", "points": [[0.45, 0.55]], "radius": 0.3, "softness": 0, "stiffness": 8}
PIN = {"kind": "pin", "points": [[0.1, 0.75], [0.5, 0.75]], "radius": 0.15, "softness": 0.7}
ERASE = {"kind": "erase", "points": [[0.45, 0], [0.45, 1]], "radius": 0.1, "softness": 0.4}
ARROWS = [{"kind": "arrow", "points": [[x, 0.4], [x + 0.1, 0.3]]} for x in (0.42, 0.7)]
THIN = {"kind": "move", "points": [[0.31, 0.31]], "radius": 0.001}
OUTSIDE = {"kind": "move", "points": [[-0.9, -0.5], [-0.6, 1.5]], "radius": 0.1}
CASES = [
    [],
    [MOVE],
    [PEN],
    [MOVE, DOT, PIN],
    [PIN, MOVE, PEN | {"stiffness": 0.2}],  # later strokes lie over earlier ones
    [MOVE, *ARROWS, PIN, ERASE, DOT],
    [THIN, OUTSIDE],
]
SIZES = [(9, 16), (14, 10)]


def make_vectors() -> list[dict]:
    return [_paint(items, size) for items in CASES for size in SIZES]


def write_vectors() -> None:
    """One line per case."""
    PATH.write_text("[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in make_vectors()) + "\n]\n")


def read_vectors() -> list[dict]:
    return json.loads(PATH.read_text())


def _paint(items: list[dict], size: tuple[int, int]) -> dict:
    strokes = parse_strokes(json.dumps(items))
    maps = rasterize_strokes(strokes, size)
    numbers = {
        name: [round(float(value), 7) + 0.0 for value in getattr(maps, name).flatten()]
        for name in ("move", "pin", "stiffness")
    }
    arrows = [strokes.index(arrow) for arrow in maps.arrows]
    coverage = [round(covers(stroke, (0.45, 0.55), size), 9) + 0.0 for stroke in strokes]
    return {"strokes": items, "size": list(size), "arrows": arrows, "coverage": coverage, **numbers}
