"""The memory that rendering needs: how many frames are computed at once, what they take, and what to do without it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from .fused_splat import OUTLINE_MARGIN, ring_bytes
from .renderer import is_tiled, window_pixels

# Parameters of the memory use.
# Working memory of a chunk of frames in bytes, on a CPU. A larger chunk leaves its cache and is not faster.
CHUNK_BYTES = 80 * 2**20
# Share of an accelerator's free memory that a chunk may take. A longer chunk costs fewer launches a frame; the rest is
# for what allocators and libraries take beside the tensors.
DEVICE_SHARE = 0.5
# Limit of an accelerator's tensors in bytes: Metal's, and kernels of some releases index elements with 32 bits. The
# largest one has this many bytes per pixel of a chunk: the index of the splat, where a device writes it out.
MAX_TENSOR_BYTES, LARGEST_PIXEL_BYTES = 2**32, 40
# Float32 copies of a frame (its channels and two of displacement) that the renderers hold at once.
WORKING_COPIES = 6


class PixelBytes(NamedTuple):
    """Working memory of a renderer in bytes per pixel: what a photo's frames share, and each frame of a chunk."""

    shared: int
    frame: int


# Measured with one frame: 240, and 500 to 630 for the rendering network. Compiled, it takes 490, and 25 for each frame
# more, because it makes them one by one.
FAST, NETWORK = PixelBytes(130, 120), PixelBytes(160, 470)
# The fast renderer compiled: the photo and its background interleaved, outlines, importance and mask; the holes beside
# a frame's colors. Its outlines take what those of FAST take, and its threads have rings of rows.
FUSED = PixelBytes(65, 4)
# The same for photos in tiles, beside the window's: float32 importance and mask; and of each frame its displacement and
# holes, beside its colors.
TILED_BYTES = (8, 12)
# Memory of a chunk of frames in tiles on a CPU. All of them share the preparation of each window.
TILED_CHUNK_BYTES = 400_000_000
# Frames whose displacements are computed together on the volume's grid. A chunk is a part of such a block.
BLOCK_FRAMES = 16

# What to do when frames do not fit into memory, or not even one.
FRAMES_REMEDIES = (
    "write them to a file as they are made (render_to_video, the node Render Loop To Video)",
    "render fewer at a time (start and count)",
    "make the image smaller",
)
ONE_FRAME_REMEDIES = ("make the image smaller", "close other programs", "render on another device")


def default_chunk(kind: PixelBytes, channels: int, size: Sequence[int], margin: int, device_bytes: float) -> int:
    """Number of frames of a size (H, W) to compute at once, 1 to `BLOCK_FRAMES`.

    Args:
        kind, channels, size, margin: of `working_bytes`.
        device_bytes: free memory of an accelerator; infinite on a CPU, whose cache decides, and if it is unknown.
    """
    if math.isfinite(device_bytes):
        shared, one = (working_bytes(kind, channels, size, margin, frames) for frames in (0, 1))
        frame = one - shared + 4 * (channels + 1) * size[0] * size[1]  # the last chunk, on its way to the host
        return int(max(1, min(BLOCK_FRAMES, (DEVICE_SHARE * device_bytes - shared) / frame)))
    memory, frame_bytes = CHUNK_BYTES, 4 * WORKING_COPIES * (channels + 2)
    if kind is FUSED:
        frame_bytes = 4 * channels + FUSED.frame
    elif margin:
        memory, frame_bytes = TILED_CHUNK_BYTES, _tiled_frame_bytes(channels)
    return max(1, min(BLOCK_FRAMES, memory // (frame_bytes * size[0] * size[1])))


def longest_chunk(size: Sequence[int]) -> int:
    """Most frames of a size (H, W) that an accelerator computes at once; 0 if a single one is too large for it."""
    return min(BLOCK_FRAMES, MAX_TENSOR_BYTES // (LARGEST_PIXEL_BYTES * size[0] * size[1]))


def working_bytes(kind: PixelBytes, channels: int, size: Sequence[int], margin: int, chunk: int) -> float:
    """Peak memory in bytes of rendering chunks of frames of a photo, which it includes.

    Args:
        kind: `FAST`, `FUSED` or `NETWORK`.
        size: (H, W) of the photo.
        margin: of its tiles; 0 for a whole photo. The tiles of `FUSED` have their own.
    """
    pixels = size[0] * size[1]
    if kind is FUSED:
        outlines = FAST.shared * (window_pixels(size, OUTLINE_MARGIN) if is_tiled(size) else pixels)
        each = 4 * channels + FUSED.frame
        return outlines + ring_bytes(pixels) + pixels * (4 * channels + FUSED.shared + chunk * each)
    if not margin:
        return pixels * (4 * channels + kind.shared + chunk * kind.frame)
    window = window_pixels(size, margin) * (kind.shared + kind.frame)
    return window + pixels * (4 * channels + TILED_BYTES[0] + chunk * _tiled_frame_bytes(channels))


def _tiled_frame_bytes(channels: int) -> int:
    return 4 * channels + TILED_BYTES[1]


def out_of_memory(size: Sequence[int], device: torch.device, problem: str) -> MemoryError:
    """The error of a frame of size (H, W) for which memory ran out; `problem` is what the allocator said."""
    return MemoryError(
        f"Memory ran out while rendering a single frame of {size[1]} x {size[0]} pixels on {device}: make the image "
        f"smaller, free memory by closing other programs, or render on another device. ({problem})"
    )
