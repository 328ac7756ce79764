"""Contact sheets that show two loops of one photo side by side: whole frames, enlarged places that move, slices.

Loops are uint8 [T, H, W, 3], and all loops of a sheet have one H x W. What moves is measured without optical flow, by
how much gray values vary over time.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

SHEET_WIDTH = 2000  # pixels, at most
TIMES = 6  # frames and crops are shown at as many times, spaced evenly over the loop
FRAME_BLOCK = (1544, 840)  # (width, height) in pixels that the whole frames of one loop may take
CROP, ZOOM = 72, 3  # side of a crop in pixels of the loop, and how much it is enlarged
CROP_COLUMNS = 3  # crops of one place in a row
MAX_PLACES = 3
MIN_PLACE_SHARE = 0.15  # a place moves at least this share of what the first place moves
SLICE_WINDOW = 148  # pixels of the loop along a slice
SLICE_WIDTH = 440  # pixels on the sheet
GAP, BLOCK_GAP, LABEL_HEIGHT = 6, 10, 24  # pixels
PAPER, INK = (255, 255, 255), (40, 40, 40)
MARKS = ((230, 60, 30), (30, 110, 230), (20, 150, 60))  # colors of the places' outlines


def contact_sheet(loops: Sequence[np.ndarray]) -> np.ndarray:
    """One image of all loops, each under its number, counted from 1.

    Args:
        loops: uint8 [T, H, W, 3], at least two frames each; T may differ, H and W may not.

    Returns:
        uint8 [height, SHEET_WIDTH or less, 3].

    Raises:
        ValueError: if the loops differ in size, or one has fewer than two frames.
    """
    if len({loop.shape[1:] for loop in loops}) != 1 or min(len(loop) for loop in loops) < 2:
        shapes = [list(loop.shape) for loop in loops]
        raise ValueError(f"The loops of a sheet need at least 2 frames each and one size; got {shapes}.")
    maps = [motion_map(loop) for loop in loops]
    places = moving_places(maps)
    shared = sum(map_ / max(map_.max(), 1e-6) for map_ in maps)
    return _stack([_draw_loop(number, loop, places, shared) for number, loop in enumerate(loops, start=1)], 3 * GAP)


def motion_map(loop: np.ndarray) -> np.ndarray:
    """How much every pixel changes over the loop: float32 [H, W], standard deviation of its gray value (0..255)."""
    gray = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in loop])
    return gray.std(0, dtype=np.float32)


def moving_places(maps: Sequence[np.ndarray], count: int = MAX_PLACES, side: int = CROP) -> list[tuple[int, int]]:
    """The squares of the picture that change most, in all loops together; every loop counts the same.

    Args:
        maps: from `motion_map`, [H, W] each.
        count: of squares, at most; they do not overlap.
        side: of a square, in pixels; a smaller picture has smaller squares.

    Returns:
        (left, top) of each square, the one that changes most first; at least one.
    """
    height, width = maps[0].shape
    box = min(side, width), min(side, height)
    sums = [cv2.boxFilter(map_, -1, box, anchor=(0, 0), borderType=cv2.BORDER_CONSTANT) for map_ in maps]
    sums = [sum_[: height - box[1] + 1, : width - box[0] + 1] for sum_ in sums]  # squares that lie inside
    scores = sum(sum_ / max(float(sum_.max()), 1e-6) for sum_ in sums)
    places: list[tuple[int, int]] = []
    first = float(scores.max())
    while len(places) < count:
        top, left = (int(i) for i in np.unravel_index(scores.argmax(), scores.shape))
        if places and scores[top, left] <= MIN_PLACE_SHARE * first:
            break
        places.append((left, top))
        scores[max(0, top - box[1] + 1) : top + box[1], max(0, left - box[0] + 1) : left + box[0]] = -1
    return places


def _draw_loop(number: int, loop: np.ndarray, places: Sequence[tuple[int, int]], shared: np.ndarray) -> np.ndarray:
    """Everything about one loop: a line with its number, whole frames beside slices, then the crops."""
    times = [round(i * len(loop) / TIMES) % len(loop) for i in range(TIMES)]
    frames = [loop[t] for t in times]
    whole = _whole_frames(_mark(frames[0], places), frames)
    slices = _slices(loop, places[0], shared, whole.shape[0])
    crops = [_crop_block(f"place {'abc'[i]}, six times", MARKS[i], frames, place) for i, place in enumerate(places)]
    title = _label(str(number), 48, 1.4)
    return _stack([title, _beside([whole, slices], GAP), _beside(crops, BLOCK_GAP)], GAP)


def _whole_frames(marked: np.ndarray, frames: Sequence[np.ndarray]) -> np.ndarray:
    """The frames in rows of three or six, whichever shows them larger; the first is the marked one."""
    height, width = marked.shape[:2]
    scales = {
        columns: min(
            (FRAME_BLOCK[0] / columns - GAP) / width,
            (FRAME_BLOCK[1] / (TIMES // columns) - GAP - LABEL_HEIGHT) / height,
        )
        for columns in (3, 6)
    }
    columns = max(scales, key=lambda key: scales[key])
    size = round(width * scales[columns]), round(height * scales[columns])
    cells = [
        _stack([_label(f"{i}/{TIMES} of the loop"), cv2.resize(frame, size, interpolation=cv2.INTER_AREA)], 0)
        for i, frame in enumerate([marked, *frames[1:]])
    ]
    return _grid(cells, columns)


def _crop_block(
    name: str, color: tuple[int, int, int], frames: Sequence[np.ndarray], place: tuple[int, int]
) -> np.ndarray:
    """One place at all times, enlarged, in reading order."""
    left, top = place
    cells = []
    for frame in frames:
        crop = frame[top : top + CROP, left : left + CROP]
        cells.append(cv2.resize(crop, None, fx=ZOOM, fy=ZOOM, interpolation=cv2.INTER_CUBIC))
    return _stack([_label(name, color=color), _grid(cells, CROP_COLUMNS)], 0)


def _slices(loop: np.ndarray, place: tuple[int, int], shared: np.ndarray, height: int) -> np.ndarray:
    """An X-t and a Y-t slice through the row and the column of a place that change most, one above the other."""
    left, top = place
    patch = shared[top : top + CROP, left : left + CROP]
    row, column = top + int(patch.mean(1).argmax()), left + int(patch.mean(0).argmax())
    x, y = (_window(center, side) for center, side in ((column, loop.shape[2]), (row, loop.shape[1])))
    size = SLICE_WIDTH, height // 2 - LABEL_HEIGHT - GAP
    x_slice = cv2.resize(np.ascontiguousarray(loop[:, row, x]), size, interpolation=cv2.INTER_CUBIC)
    y_slice = cv2.resize(np.ascontiguousarray(loop[:, y, column].swapaxes(0, 1)), size, interpolation=cv2.INTER_CUBIC)
    return _stack(
        [_label("X-t at place a: time runs down"), x_slice, _label("Y-t at place a: time runs right"), y_slice], 0
    )


def _window(center: int, side: int) -> slice:
    """SLICE_WINDOW pixels around a center, inside 0..side; fewer if the side is shorter."""
    start = max(0, min(center - SLICE_WINDOW // 2, side - SLICE_WINDOW))
    return slice(start, min(side, start + SLICE_WINDOW))


def _mark(frame: np.ndarray, places: Sequence[tuple[int, int]]) -> np.ndarray:
    """A copy of a frame with the outline and the letter of every place."""
    marked = frame.copy()
    for letter, color, (left, top) in zip("abc", MARKS, places, strict=False):
        cv2.rectangle(marked, (left, top), (left + CROP - 1, top + CROP - 1), color, 1)
        cv2.putText(marked, letter, (left + 4, top + 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, color, 1, cv2.LINE_AA)
    return marked


# ---- layout ----


def _label(text: str, height: int = LABEL_HEIGHT, scale: float = 0.5, color: tuple[int, int, int] = INK) -> np.ndarray:
    """A line of text on paper, as wide as the text."""
    font, thickness = cv2.FONT_HERSHEY_SIMPLEX, max(1, round(2 * scale - 0.5))
    width = cv2.getTextSize(text, font, scale, thickness)[0][0] + 8
    image = np.full((height, width, 3), PAPER, np.uint8)
    cv2.putText(image, text, (2, height - 7), font, scale, color, thickness, cv2.LINE_AA)
    return image


def _grid(cells: Sequence[np.ndarray], columns: int) -> np.ndarray:
    return _stack([_beside(cells[i : i + columns], GAP) for i in range(0, len(cells), columns)], GAP)


def _stack(images: Sequence[np.ndarray], gap: int) -> np.ndarray:
    """Images one above the other, aligned at the left; the rest is paper."""
    width = max(image.shape[1] for image in images)
    sheet = np.full((sum(image.shape[0] + gap for image in images) - gap, width, 3), PAPER, np.uint8)
    top = 0
    for image in images:
        sheet[top : top + image.shape[0], : image.shape[1]] = image
        top += image.shape[0] + gap
    return sheet


def _beside(images: Sequence[np.ndarray], gap: int) -> np.ndarray:
    """Images side by side, aligned at the top; the rest is paper."""
    return _stack([image.swapaxes(0, 1) for image in images], gap).swapaxes(0, 1)
