"""Read and write video files (PyAV)."""

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


def read_video(
    source: str | os.PathLike | IO[bytes], start: int = 0, max_frames: int | None = None
) -> tuple[Tensor, float]:
    """Read the first video stream of a file.

    Args:
        source: a path, or an open binary file, in any container and codec that FFmpeg reads.
        start: the first frame to keep.
        max_frames: stop after this many frames; what is not kept takes no memory.

    Returns:
        frames: float32 [T, H, W, 3] in 0..1.
        fps: the stream's average frame rate in Hz.

    Raises:
        FileNotFoundError: if there is no such file.
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
    frames, seen = [], 0
    try:
        with av.open(source) as container:
            if not container.streams.video:
                raise ValueError(f"{name} has no video stream.")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            fps = float(stream.average_rate or stream.guessed_rate or 0)
            for frame in container.decode(stream):
                seen += 1
                if seen <= start:
                    continue
                # Phones film sideways and say how to turn the picture.
                turns = round(getattr(frame, "rotation", 0) / 90)
                frames.append(np.rot90(frame.to_ndarray(format="rgb24"), turns).copy())
                if max_frames is not None and len(frames) >= max_frames:
                    break
    except av.error.FFmpegError as error:
        raise ValueError(f"{name} cannot be read as a video: {error}.") from error
    if not frames:
        missing = f"only {seen} frames; start must be below that, not {start}" if seen else "no video frames"
        raise ValueError(f"{name} holds {missing}.")
    if fps <= 0:
        raise ValueError(f"{name} does not say its frame rate.")
    video = torch.empty(len(frames), *frames[0].shape, dtype=torch.float32)
    for index, frame in enumerate(frames):
        torch.div(torch.from_numpy(frame), 255, out=video[index])
    return video, fps


def write_video(path: str | os.PathLike, frames: Tensor | Iterable[Tensor], fps: float, *, crf: int = 18) -> Path:
    """Write frames as a video: H.264 in .mp4, .mkv or .mov; VP9, with alpha for RGBA frames, in .webm.

    H.264 pictures have even sides; an odd side is widened by repeating its last row or column. The file appears
    whole or not at all.

    Args:
        path: file to write; the suffix decides the format.
        frames: [T, H, W, C] in 0..1, or an iterable of such chunks or of [H, W, C] frames: they are encoded as
            they come, so that a long video need not fit in memory.
        fps: frames a second, > 0.
        crf: constant rate factor; smaller is better and larger.

    Returns:
        The path.

    Raises:
        ValueError: for an unknown suffix, no frames, or an impossible fps.
    """
    import av

    path = Path(path)
    codecs = {".mp4": "libx264", ".mkv": "libx264", ".mov": "libx264", ".webm": "libvpx-vp9"}
    if path.suffix.lower() not in codecs:
        raise ValueError(f"Cannot write {path.suffix or 'a file without suffix'}; use one of {', '.join(codecs)}.")
    if not (fps > 0 and math.isfinite(fps)):
        raise ValueError(f"fps must be > 0; got {fps}.")
    codec = codecs[path.suffix.lower()]
    with atomic_write(path) as temporary:
        with av.open(str(temporary), "w") as container:
            stream = None
            for picture in _pictures(frames):
                alpha = picture.shape[-1] == 4 and codec == "libvpx-vp9"
                picture = picture[..., : 4 if alpha else 3]
                padding = [(0, side % 2) for side in picture.shape[:2]] + [(0, 0)]
                picture = np.pad(picture, padding, mode="edge")
                if stream is None:
                    stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(100000))
                    stream.options = {"crf": str(crf)} | ({"b": "0"} if codec == "libvpx-vp9" else {})
                    stream.pix_fmt = "yuva420p" if alpha else "yuv420p"
                    stream.height, stream.width = picture.shape[:2]
                if picture.shape[:2] != (stream.height, stream.width):
                    raise ValueError(
                        f"All frames must have one size; got {picture.shape[1]} x {picture.shape[0]} after "
                        f"{stream.width} x {stream.height}."
                    )
                frame = av.VideoFrame.from_ndarray(picture, format="rgba" if alpha else "rgb24")
                container.mux(stream.encode(frame))
            if stream is None:
                raise ValueError("There are no frames to write.")
            container.mux(stream.encode(None))
    return path


def _pictures(frames: Tensor | Iterable[Tensor]) -> Iterable[np.ndarray]:
    """uint8 [H, W, C] pictures out of a tensor, or out of frames and chunks as they come."""
    for item in frames:
        for picture in item if item.ndim == 4 else item[None]:
            yield (picture.clamp(0, 1) * 255).round().to(torch.uint8).cpu().contiguous().numpy()
