"""The interface of renderers, and large photos in tiles: a renderer's working memory does not grow with the photo."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

# Larger photos are rendered in tiles on a CPU, and on other devices if a whole frame does not fit.
MAX_WHOLE_PIXELS = 2**21
# Side in pixels of the window that is rendered for a tile, while its margins leave MIN_TILE_SIDE pixels of tile. At
# this size the rendering network decodes a window at once.
WINDOW_SIDE, MIN_TILE_SIDE = 1024, 256
# Tiles and windows begin at multiples of this. The pyramids of the background and of the rendering network then divide
# all windows alike, so that tiles join without a seam.
ALIGNMENT = 64


class FrameRenderer(Protocol):
    """Renders frames of one photo from displacement fields; made by a `Renderer`."""

    def __call__(self, flow: Tensor, /) -> tuple[Tensor, Tensor]:
        """Render one frame per displacement field.

        Args:
            flow: [n, 2, H, W], (dx, dy) in pixels of the photo.

        Returns:
            frames [n, C, H, W] in 0..1 and holes [n, 1, H, W] in 0..1 (1 = no pixel landed).
        """
        ...


class Renderer(Protocol):
    """Prepares a photo for rendering: computes once what all of its frames share.

    `fast_splat` is one; a model's rendering network is another, see `GIDPipeline.renderer`.
    """

    def __call__(self, photo: Tensor, importance: Tensor, /) -> FrameRenderer:
        """Make the `FrameRenderer` of a photo.

        Args:
            photo: [1, C, H, W] in 0..1, C = 3, or 4 with straight alpha.
            importance: [1, 1, H, W], see `motion_importance`.
        """
        ...


@dataclass(frozen=True)
class Tile:
    """A part of the frame, and the window of the photo that it is rendered from.

    Attributes:
        rows, columns: of the frame.
        window_rows, window_columns: of the photo: the same with margins, within the photo.
    """

    rows: slice
    columns: slice
    window_rows: slice
    window_columns: slice


def is_tiled(size: Sequence[int]) -> bool:
    """Whether photos of a size (H, W) are large enough for tiles."""
    return size[0] * size[1] > MAX_WHOLE_PIXELS


def window_pixels(size: Sequence[int], margin: int) -> int:
    """Pixels of the largest window of a photo of size (H, W)."""
    side = _tile_side(margin) + 2 * _align(margin)
    return min(side, size[0]) * min(side, size[1])


def tiles(size: Sequence[int], margin: int) -> Iterator[Tile]:
    """The tiles of a frame of size (H, W).

    Args:
        margin: pixels around a tile that its content depends on.
    """
    step, margin = _tile_side(margin), _align(margin)
    rows, columns = (
        [(slice(a, min(a + step, side)), slice(max(0, a - margin), a + step + margin)) for a in range(0, side, step)]
        for side in size
    )
    for row, window_rows in rows:
        for column, window_columns in columns:
            yield Tile(row, column, window_rows, window_columns)


def tiled(renderer: Renderer, photo: Tensor, importance: Tensor, margin: int) -> FrameRenderer:
    """A `FrameRenderer` that renders tile by tile. It prepares each window anew for every call, and keeps nothing.

    Args:
        photo, importance: as for `Renderer`.
        margin: pixels around a tile that its content depends on: the largest displacement and the renderer's reach.
    """

    def render_frames(flow: Tensor) -> tuple[Tensor, Tensor]:
        frames = flow.new_empty(len(flow), *photo.shape[1:])
        holes = flow.new_empty(len(flow), *importance.shape[1:])
        for tile in tiles(photo.shape[-2:], margin):
            window = (..., tile.window_rows, tile.window_columns)
            render_window = renderer(photo[window].contiguous(), importance[window].contiguous())
            top, left = tile.rows.start - tile.window_rows.start, tile.columns.start - tile.window_columns.start
            rows = slice(top, top + tile.rows.stop - tile.rows.start)
            columns = slice(left, left + tile.columns.stop - tile.columns.start)
            for index in range(len(flow)):  # one by one, in the memory of one
                frame, hole = render_window(flow[index : index + 1][window].contiguous())
                frames[index, :, tile.rows, tile.columns] = frame[0, :, rows, columns]
                holes[index, :, tile.rows, tile.columns] = hole[0, :, rows, columns]
        return frames, holes

    return render_frames


def _align(pixels: int) -> int:
    return math.ceil(pixels / ALIGNMENT) * ALIGNMENT


def _tile_side(margin: int) -> int:
    return max(MIN_TILE_SIDE, WINDOW_SIDE - 2 * _align(margin))
