"""Read and write video files (PyAV), and divide clips into windows."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

from .atomic import atomic_write

# Length of a motion measurement in seconds (paper section 6: 150 frames at 30 frames per second).
WINDOW_SECONDS = 5.0
# Codec for each file suffix.
CODECS = {".mp4": "libx264", ".mkv": "libx264", ".mov": "libx264", ".webm": "libvpx-vp9"}


def read_video(
    source: str | os.PathLike | IO[bytes], *, start: int = 0, max_frames: int | None = None
) -> tuple[Tensor, float]:
    """Read the first video stream of a file.

    Args:
        source: a path or an open binary file, in any container and codec that FFmpeg reads.
        start: index of the first frame to keep.
        max_frames: stop after this many frames. Frames that are not kept take no memory.

    Returns:
        frames: float32 [T, H, W, 3] in 0..1.
        fps: the stream's average frame rate in Hz.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it holds no readable video, or fewer than `start` + 1 frames.
    """
    import av

    if isinstance(source, (str, os.PathLike)):
        if not Path(source).is_file():
            raise FileNotFoundError(f"No video at {source}.")
        name, source = Path(source).name, str(source)
    else:
        name = "The video"
        source.seek(0)
    frames, decoded = [], 0
    try:
        with av.open(source) as container:
            if not container.streams.video:
                raise ValueError(f"{name} has no video stream.")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            fps = float(stream.average_rate or stream.guessed_rate or 0)
            for frame in container.decode(stream):
                decoded += 1
                if decoded <= start:
                    continue
                # Phones store rotated frames and the angle at which to show them.
                quarter_turns = round(getattr(frame, "rotation", 0) / 90)
                frames.append(np.rot90(frame.to_ndarray(format="rgb24"), quarter_turns).copy())
                if max_frames is not None and len(frames) >= max_frames:
                    break
    except av.error.FFmpegError as error:
        raise ValueError(f"{name} cannot be read as a video: {error}.") from error
    if not frames:
        content = f"only {decoded} frames; start must be below that, not {start}" if decoded else "no video frames"
        raise ValueError(f"{name} holds {content}.")
    if fps <= 0:
        raise ValueError(f"{name} does not state its frame rate.")
    video = torch.empty(len(frames), *frames[0].shape, dtype=torch.float32)
    for index, frame in enumerate(frames):
        torch.div(torch.from_numpy(frame), 255, out=video[index])
    return video, fps


def write_video(path: str | os.PathLike, frames: Tensor | Iterable[Tensor], fps: float, *, crf: int = 18) -> Path:
    """Write frames as a video: H.264 in .mp4, .mkv or .mov; VP9, with alpha for RGBA frames, in .webm.

    Both formats need even sides; an odd side is extended by repeating its last row or column. The file is written
    atomically: a failure leaves no partial file.

    Args:
        path: file to write; the suffix decides the format.
        frames: [T, H, W, C] in 0..1, or an iterable of such chunks or of [H, W, C] frames. Each item is encoded as
            soon as it arrives, so that a long video need not fit in memory.
        fps: frames per second, > 0.
        crf: constant rate factor; a smaller value gives better quality and a larger file.

    Returns:
        The path.

    Raises:
        ValueError: for an unknown suffix, no frames, frames of different sizes, or an fps out of range.
    """
    import av

    path = Path(path)
    if path.suffix.lower() not in CODECS:
        raise ValueError(f"Cannot write {path.suffix or 'a file without suffix'}; use one of {', '.join(CODECS)}.")
    if not (fps > 0 and math.isfinite(fps)):
        raise ValueError(f"fps must be > 0; got {fps}.")
    codec = CODECS[path.suffix.lower()]
    with atomic_write(path) as temporary:
        with av.open(str(temporary), "w") as container:
            stream = None
            for image in _byte_images(frames):
                alpha = image.shape[-1] == 4 and codec == "libvpx-vp9"
                image = image[..., : 4 if alpha else 3]
                padding = [(0, side % 2) for side in image.shape[:2]] + [(0, 0)]
                image = np.pad(image, padding, mode="edge")
                if stream is None:
                    stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(100000))
                    stream.options = {"crf": str(crf)} | ({"b": "0"} if codec == "libvpx-vp9" else {})
                    stream.pix_fmt = "yuva420p" if alpha else "yuv420p"
                    stream.height, stream.width = image.shape[:2]
                if image.shape[:2] != (stream.height, stream.width):
                    raise ValueError(
                        f"All frames must have one size; got {image.shape[1]} x {image.shape[0]} after "
                        f"{stream.width} x {stream.height}."
                    )
                video_frame = av.VideoFrame.from_ndarray(image, format="rgba" if alpha else "rgb24")
                container.mux(stream.encode(video_frame))
            if stream is None:
                raise ValueError("There are no frames to write.")
            container.mux(stream.encode(None))
    return path


def clip_windows(
    num_frames: int,
    fps: float,
    count: int = 1,
    *,
    seconds: float = WINDOW_SECONDS,
    min_frames: int = 1,
    min_extra: float = 0.0,
    loops: bool = False,
) -> list[tuple[int, int]]:
    """Windows of a clip, spaced evenly from its start to its end. They may overlap.

    Args:
        num_frames: length of the clip.
        fps: frames per second of the clip.
        count: number of windows. A clip that is too short for windows with different starts has only the first one.
        seconds: length of a window. A window is never longer than the clip.
        min_frames: length of a window in frames, at least.
        min_extra: a clip must exceed one window by more than this many frames to have further windows.
        loops: the clip is a seamless loop; every window is the whole loop, rolled to begin at the window's start.

    Returns:
        (index of the first frame, number of frames) of each window.
    """
    length = num_frames if loops else min(num_frames, max(min_frames, round(seconds * fps)))
    extra = num_frames if loops else num_frames - length
    intervals = max(1, count if loops else count - 1)
    if extra < intervals or (not loops and extra <= min_extra):
        count = 1
    return [(extra * i // intervals, length) for i in range(count)]


def _byte_images(frames: Tensor | Iterable[Tensor]) -> Iterable[np.ndarray]:
    """uint8 [H, W, C] images from a tensor of frames, or from an iterable of frames and chunks."""
    for item in frames:
        for image in item if item.ndim == 4 else item[None]:
            yield (image.clamp(0, 1) * 255).round().to(torch.uint8).cpu().contiguous().numpy()
