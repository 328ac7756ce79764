"""The memory that rendering needs: how many frames are computed at once, what they take, and what to do without it."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .renderer import is_tiled, window_pixels

# Parameters of the memory use.
# Working memory of a chunk of frames in bytes. A larger chunk leaves a CPU's cache and is not faster.
CHUNK_BYTES = 80 * 2**20
# Float32 copies of a frame (its channels and two of displacement) that the fast renderer holds at once.
WORKING_COPIES = 6
# Working memory in bytes per pixel: what a photo's frames share, and what each frame of a chunk takes; of the fast
# renderer and of another one. Measured with one frame: 240, and 460 to 525 for the rendering network.
FAST_BYTES, NETWORK_BYTES = (130, 120), (160, 440)
# The same for photos in tiles, beside the window's: float32 importance and mask; and of each frame its displacement and
# holes, beside its colors.
TILED_BYTES = (8, 12)
# Memory of a chunk of frames in tiles. All of them share the preparation of each window.
TILED_CHUNK_BYTES = 400e6
# Frames whose displacements are computed together on the volume's grid. A chunk is a part of such a block.
BLOCK_FRAMES = 16

# What to do when frames do not fit into memory, or not even one.
FRAMES_REMEDIES = (
    "write them to a file as they are made (render_to_video, the node Render Loop To Video)",
    "render fewer at a time (start and count)",
    "make the image smaller",
)
ONE_FRAME_REMEDIES = ("make the image smaller", "close other programs", "render on another device")


def default_chunk(channels: int, height: int, width: int) -> int:
    """Number of frames of this size to compute at once, 1 to `BLOCK_FRAMES`."""
    if is_tiled((height, width)):
        return max(1, min(BLOCK_FRAMES, int(TILED_CHUNK_BYTES / (_tiled_frame_bytes(channels) * height * width))))
    frame_bytes = 4 * height * width * WORKING_COPIES * (channels + 2)
    return max(1, min(BLOCK_FRAMES, CHUNK_BYTES // frame_bytes))


def working_bytes(fast: bool, channels: int, size: Sequence[int], margin: int, chunk: int) -> float:
    """Peak memory in bytes of rendering chunks of frames of a photo, which it includes."""
    shared, each = FAST_BYTES if fast else NETWORK_BYTES
    pixels = size[0] * size[1]
    if not is_tiled(size):
        return pixels * (4 * channels + shared + chunk * each)
    window = window_pixels(size, margin) * (shared + each)
    return window + pixels * (4 * channels + TILED_BYTES[0] + chunk * _tiled_frame_bytes(channels))


def _tiled_frame_bytes(channels: int) -> int:
    return 4 * channels + TILED_BYTES[1]


def out_of_memory(size: Sequence[int], device: torch.device, problem: str) -> MemoryError:
    """The error of a frame of size (H, W) for which memory ran out; `problem` is what the allocator said."""
    return MemoryError(
        f"Memory ran out while rendering a single frame of {size[1]} x {size[0]} pixels on {device}: make the image "
        f"smaller, free memory by closing other programs, or render on another device. ({problem})"
    )
