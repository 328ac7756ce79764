"""Render to a video file: frames are written as they are made, so that memory does not grow with their number."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from ..media.video_io import encoder_memory, write_video
from ..motion import Motion
from ..tensors import image_batch
from ..validation import check_callable
from .frame_range import count_frames
from .host_copies import to_host
from .render import Progress, checked_chunks
from .render_plan import compute_device
from .renderer import Renderer


def render_to_video(
    path: str | os.PathLike,
    image: Tensor,
    motion: Motion,
    *,
    start: int = 0,
    count: int | None = None,
    mask: Tensor | None = None,
    renderer: Renderer | None = None,
    chunk: int | None = None,
    device: torch.device | str | None = None,
    crf: int = 18,
    progress: Progress | None = None,
) -> Path:
    """Animate a photo as `render` does, and write the frames to a video as `write_video` does.

    Memory does not grow with the number of frames. The file appears when it is complete: a failure or a cancel leaves
    no partial file.

    Args:
        path: file to write, see `write_video`.
        image, motion, start, count, mask, renderer, chunk, device: see `render`. The clips of a batch follow each
            other in the video.
        crf: constant rate factor; a smaller value gives better quality and a larger file.
        progress: called as progress(done, total, frame [H, W, C]) after every frame; may raise to cancel.

    Returns:
        The path.

    Raises:
        ValueError: if the inputs do not fit together, or one frame does not fit into memory.
    """
    check_callable("progress", progress)
    total = count_frames(image, motion, start, count)
    chunks = checked_chunks(
        image,
        motion,
        start=start,
        count=count,
        mask=mask,
        renderer=renderer,
        chunk=chunk,
        device=device,
        kept_bytes=encoder_memory(*image_batch(image).shape[-2:]),
    )
    frames = _single_frames(to_host(chunks, compute_device(motion, device)), total, progress)
    return write_video(path, frames, motion.fps, crf=crf)


def _single_frames(chunks: Iterator[tuple[Tensor, ...]], total: int, progress: Progress | None) -> Iterator[Tensor]:
    """The frames [H, W, C] of chunks one by one; a chunk is free before the next one is made."""
    done = 0
    while done < total:
        frames = next(chunks)[0]
        for index in range(len(frames)):
            yield frames[index]
            done += 1
            if progress is not None:
                progress(done, total, frames[index])
        del frames
