"""What the rendering network sees of a frame, and how its output edits the frame; all of it but the network.

A frame is mixed from five images, the candidates, and a color. Both are found by the network's decoder, which is given
the candidates and maps of how reliable they are. These functions define what `edit_kernel` computes on the CPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import torch
from torch import Tensor

from ..rendering.outlines import gather_pixels, local_argmax, local_max
from ..rendering.renderer import Tile
from ..rendering.warping import WarpResult, backward_warp, vector_length

# Where the network may edit a frame, see `find_edit_mask`.
# Displacement in pixels from which edits have full weight.
FULL_EDIT_DISPLACEMENT = 0.1
# Radius in pixels around moving pixels in which edits are made and outlines are looked for.
EDIT_RADIUS = 2
# Smaller changes of color (0..1) are suppressed, which keeps fine texture; from twice this on they have full weight.
MIN_CHANGE = 0.02

# Tiles of a large frame.
# Side in pixels of the part that is decoded at once.
TILE_SIZE = 1024
# Surroundings that are decoded with a tile and then cut off, in strides of the network.
TILE_MARGIN = 12

# Channels of the decoder's input and output.
COLOR_CHANNELS = 3
# Images that a frame is mixed from, see `candidate_images`.
NUM_CANDIDATES = 5
# A color to add, and the weights of all candidates but the first.
DECODED_CHANNELS = COLOR_CHANNELS + NUM_CANDIDATES - 1
# The candidates' colors and six maps, see `decoder_inputs`.
INPUT_CHANNELS = NUM_CANDIDATES * COLOR_CHANNELS + 6
# Displacements in pixels and importance are divided by these in the decoder's input.
FLOW_SCALE, IMPORTANCE_SCALE = 16.0, 6.0


def find_departing(importance: Tensor) -> Tensor:
    """Flat indices int64 [N, H * W] of the most important pixel near each, which may uncover what is behind it.

    Args:
        importance: [N, 1, H, W]; what is found serves all frames of a photo.
    """
    return local_argmax(importance, EDIT_RADIUS)


def candidate_images(source: Tensor, flow: Tensor, departing_index: Tensor, warped: WarpResult) -> list[Tensor]:
    """The `NUM_CANDIDATES` images [n or 1, C, H, W], with premultiplied alpha, that a frame is mixed from.

    They are the splatted photo; the photo sampled at the pixels' origins; the photo itself; the photo sampled as if a
    moving object nearby reached this pixel, because its outline may be too tight; and the photo sampled as if the most
    important object nearby had left this pixel, which shows the background.

    Args:
        source: [1 or n, C, H, W] from `premultiply`.
        flow: [n, 2, H, W] in pixels.
        departing_index: from `find_departing`, of 1 or n photos.
        warped: of `forward_warp` for these.
    """
    displacement = warped.displacement
    arriving = gather_pixels(displacement, local_argmax(vector_length(displacement), EDIT_RADIUS))
    departing = gather_pixels(flow, departing_index)
    return [
        warped.splatted,
        warped.sampled,
        source,
        backward_warp(source, arriving, "bilinear"),
        backward_warp(source, departing, "bilinear"),
    ]


def decoder_inputs(candidates: Sequence[Tensor], importance: Tensor, warped: WarpResult) -> list[Tensor]:
    """Maps [n or 1, ., H, W] of `INPUT_CHANNELS` in total: displacement, candidates, and how reliable they are."""
    displacement = warped.displacement
    return [
        displacement / FLOW_SCALE,
        *(candidate[:, :COLOR_CHANNELS] - 0.5 for candidate in candidates),
        vector_length(displacement).clamp(max=1),
        warped.consistency,
        warped.holes,
        importance / IMPORTANCE_SCALE,
    ]


def find_edit_mask(warped: WarpResult) -> Tensor:
    """How far the network may edit each pixel: [n, 1, H, W] in 0..1."""
    weight = (vector_length(warped.displacement) / FULL_EDIT_DISPLACEMENT + warped.holes).clamp(max=1)
    return local_max(weight, EDIT_RADIUS)


def compose(decoded: Tensor, candidates: Sequence[Tensor], consistency: Tensor, edit_mask: Tensor) -> Tensor:
    """The fast renderer's frame [n, C, H, W], edited where the mask allows it.

    Args:
        decoded: [n, `DECODED_CHANNELS`, H, W] from `RenderingNetwork._decode_tile`; 0 where nothing was decoded.
        candidates: from `candidate_images`.
        consistency: [n, 1, H, W], see `WarpResult`.
        edit_mask: [n, 1, H, W] in 0..1.
    """
    splatted, sampled, *_ = candidates
    added_color, weights = decoded[:, :COLOR_CHANNELS], decoded[:, COLOR_CHANNELS:].split(1, 1)
    change = torch.zeros_like(splatted)
    for weight, candidate in zip(weights, candidates[1:], strict=True):
        change = change + weight * (candidate - splatted)
    change = torch.cat([change[:, :COLOR_CHANNELS] + added_color, change[:, COLOR_CHANNELS:]], 1)
    if not decoded.requires_grad:  # training needs the gradient of small changes
        largest = local_max(change.abs().amax(1, keepdim=True), 1)
        edit_mask = edit_mask * (largest / MIN_CHANGE - 1).clamp(0, 1)
    frames = torch.lerp(splatted, sampled, consistency)
    return torch.where(edit_mask > 0, frames + edit_mask * change, frames)


def tiles(edit_mask: Tensor, stride: int) -> Iterator[Tile]:
    """What must be decoded to edit frames, in tiles: all of the mask's pixels, and those beside them.

    All begin at multiples of the stride. On an accelerator they cover the frame: it would wait for the host.

    Args:
        edit_mask: [n, 1, H, W].
        stride: of the network.
    """
    size, margin = edit_mask.shape[-2:], TILE_MARGIN * stride
    parts = [(0, side) for side in size]
    if edit_mask.device.type == "cpu":
        edited = [edit_mask.amax(dims).nonzero().flatten().tolist() for dims in ((0, 1, 3), (0, 1, 2))]
        if not edited[0]:
            return
        parts = [
            (max(0, indices[0] - 1) // stride * stride, min(indices[-1] + 2, side))
            for indices, side in zip(edited, size, strict=True)
        ]
    rows, columns = (
        [
            (slice(a, min(a + TILE_SIZE, last)), slice(max(0, a - margin), min(a + TILE_SIZE, last) + margin))
            for a in range(first, last, TILE_SIZE)
        ]
        for first, last in parts
    )
    for (row, row_window), (column, column_window) in product(rows, columns):
        yield Tile(row, column, row_window, column_window)
