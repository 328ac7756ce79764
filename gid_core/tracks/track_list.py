"""Tracks as data, and the JSON text that video models and spline editors exchange.

The text is a list of tracks, each a list of {"x": .., "y": ..}, one for each point in time, in pixels from the top left
corner of the picture: the center of its first pixel is at 0.5. It states neither the size of the picture, nor times,
nor whether a point is visible. A reader such as ComfyUI's WanTrackToVideo takes a point for visible as long as its
track lasts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor

from ..memory import check_fits
from ..tensors import to_tensor
from ..validation import MAX_FRAMES, check_instance, check_rate, check_size, describe, parse_json

DECIMALS = 3  # of coordinates in JSON
MAX_COORDINATE = 1e6  # pixels: beyond this a coordinate is a mistake
JSON_BYTES = 370  # of memory for a point while the text is written, measured
PIXEL_CENTER = 0.5  # coordinates of the first pixel's center in JSON; inside the library it is at 0

_EXAMPLE = '[[{"x": 100, "y": 80}, {"x": 104, "y": 81}]]'


@dataclass(frozen=True, eq=False)
class Tracks:
    """Where N points of a picture are at T times, for each of B motions.

    Attributes:
        positions: float32 [B, N, T, 2], (x, y) in pixels of the picture, pixel centers at integers. They may leave it.
        size: (H, W) of the picture.
        fps: points in time per second, > 0.

    Raises:
        ValueError: for another shape, or for positions that are not finite.
    """

    positions: Tensor
    size: tuple[int, int]
    fps: float

    def __post_init__(self) -> None:
        positions = to_tensor(self.positions, "positions", "[B, N, T, 2]")
        if positions.ndim != 4 or positions.shape[-1] != 2 or 0 in positions.shape:
            raise ValueError(f"The positions of tracks are [B, N, T, 2]; got {list(positions.shape)}.")
        positions = positions.float()
        if not bool((positions.abs() <= MAX_COORDINATE).all()):
            raise ValueError(f"The positions of tracks must be within {MAX_COORDINATE:g} pixels; some are not.")
        object.__setattr__(self, "positions", positions)
        object.__setattr__(self, "size", check_size("size", self.size))
        object.__setattr__(self, "fps", check_rate("fps", self.fps, "points of a track per second"))

    def __len__(self) -> int:
        """T, the number of points in time."""
        return self.positions.shape[2]

    @property
    def displacement(self) -> Tensor:
        """float32 [B, N, T, 2]: how far each point is from where its track begins, in pixels."""
        return self.positions - self.positions[:, :, :1]


def parse_tracks(text: str, size: Sequence[int], fps: float = 24.0) -> Tracks:
    """Read tracks from JSON: one track, a list of tracks, or a list of lists of tracks (one for each of B pictures).

    Args:
        text: for example '[[{"x": 100, "y": 80}, {"x": 104, "y": 81}]]'. Other keys of a point are ignored. A text
            in single quotes is read as well.
        size: (H, W) of the picture in whose pixels x and y are.
        fps: points of a track per second.

    Raises:
        ValueError: if it is no such list, or the tracks have different lengths; the message names the track (counted
            from 1).
    """
    items = _parse_list("tracks", text)
    depth, first = 0, items
    while isinstance(first, list):
        depth, first = depth + 1, first[0] if first else None
    if not 1 <= depth <= 3 or not isinstance(first, dict):
        raise ValueError(f"The tracks must be lists of points, for example {_EXAMPLE}; got {text.strip()[:60]!r}.")
    for _ in range(3 - depth):
        items = [items]
    batch = [_parse_picture(item) for item in items]
    if len({item.shape for item in batch}) > 1:
        _fail("every picture of a batch needs equally many tracks of one length")
    return Tracks(torch.stack(batch) - PIXEL_CENTER, check_size("size", size), fps)


def format_tracks(tracks: Tracks) -> str:
    """Write tracks as JSON: a list of tracks, or for a batch of several motions a list of such lists.

    `parse_tracks` and ComfyUI's WanTrackToVideo read both; spline editors read a list of tracks.

    Raises:
        ValueError: if it is given something else, or the text does not fit into memory.
    """
    check_instance("tracks", tracks, Tracks, "Tracks, of follow_points or parse_tracks")
    count = tracks.positions.shape[:-1].numel()
    remedies = ("follow fewer points (count)", "make the tracks shorter (num_points)")
    check_fits(f"Tracks of {count} points as JSON", count * JSON_BYTES, torch.device("cpu"), remedies)
    positions = (tracks.positions.double() + PIXEL_CENTER).cpu().tolist()
    batch = [
        [[{"x": round(x, DECIMALS), "y": round(y, DECIMALS)} for x, y in track] for track in picture]
        for picture in positions
    ]
    return json.dumps(batch[0] if len(batch) == 1 else batch)


def parse_points(text: str, size: Sequence[int]) -> Tensor:
    """Read single points from the JSON of a point or spline editor: of each track, its first point.

    A list of points, which is one track to `parse_tracks`, is here a list of points to follow.

    Args:
        text: for example '[{"x": 100, "y": 80}]'.
        size: (H, W) of the picture in whose pixels x and y are.

    Returns:
        float32 [N, 2], (x, y), pixel centers at integers.

    Raises:
        ValueError: if it is no such list, or a point lies outside the picture.
    """
    height, width = check_size("size", size)
    items = _parse_list("points", text)
    if not isinstance(items, list) or not items:
        raise ValueError(f"The points must be a list with at least one point; got {text.strip()[:60]!r}.")
    firsts = [item[0] if isinstance(item, list) and item else item for item in items]
    points = torch.tensor([_parse_point(point, f"point {i}") for i, point in enumerate(firsts, 1)])
    for i, (x, y) in enumerate(points.tolist(), 1):
        if not (0 <= x <= width and 0 <= y <= height):
            _fail(f"point {i} at ({x:g}, {y:g}) lies outside the picture of {width} x {height} pixels")
    return points - PIXEL_CENTER


def _parse_list(name: str, text: Any) -> Any:
    """What a text holds. If it is no JSON, its single quotes count as double ones: some spline editors write them."""
    try:
        return parse_json(name, text, _EXAMPLE)
    except ValueError:
        if not (isinstance(text, str) and "'" in text):
            raise
    return parse_json(name, text.replace("'", '"'), _EXAMPLE)


def _parse_picture(tracks: Any) -> Tensor:
    """The tracks of one picture as float32 [N, T, 2]."""
    if not isinstance(tracks, list) or not tracks:
        _fail(f"a picture's tracks must be a list with at least one track; got {describe(tracks)}")
    points = []
    for number, track in enumerate(tracks, 1):
        if not isinstance(track, list) or not track:
            _fail(f"track {number} must be a list of points, for example {_EXAMPLE[1:-1]}; got {describe(track)}")
        points.append([_parse_point(point, f"track {number}, point {i}") for i, point in enumerate(track, 1)])
        if len(track) != len(tracks[0]):
            _fail(
                f"track {number} has {len(track)} points and track 1 has {len(tracks[0])}; give all tracks equally "
                "many points in the editor"
            )
    if len(points[0]) > MAX_FRAMES:
        _fail(f"a track has at most {MAX_FRAMES} points; got {len(points[0])}")
    return torch.tensor(points)


def _parse_point(point: Any, name: str) -> tuple[float, float]:
    if not isinstance(point, dict):
        _fail(f'{name} must be an object such as {{"x": 100, "y": 80}}; got {describe(point)}')
    for key in ("x", "y"):
        value = point.get(key)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not abs(value) <= MAX_COORDINATE:
            _fail(f"{name}: {key} must be a number of pixels, at most {MAX_COORDINATE:g}; got {describe(value)}")
    return float(point["x"]), float(point["y"])


def _fail(problem: str) -> NoReturn:
    raise ValueError(f"Tracks: {problem}.")
