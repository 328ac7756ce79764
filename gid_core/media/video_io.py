"""Read and write video files (PyAV), and divide clips into windows."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..memory import check_fits
from ..tensors import image_batch
from ..validation import check_integer, check_path, check_rate, check_size, describe, refuse
from .animated_image import PaletteFrames, bgra_frame
from .atomic import atomic_write
from .video_color import RGBConverter, bt709_frame, tag_bt709
from .video_probe import VideoProbe, decoded_frames, open_container, probe_video, video_stream

if TYPE_CHECKING:
    import av

# Length of a motion measurement in seconds (paper section 6: 150 frames at 30 frames per second).
WINDOW_SECONDS = 5.0
# What to do when the frames of a file do not fit into memory.
READING_REMEDIES = ("read fewer at a time (start and max_frames)", "read them smaller (size)", "use iterate_frames")
# Codec for each file suffix.
CODECS = {
    ".mp4": "libx264",
    ".mkv": "libx264",
    ".mov": "libx264",
    ".webm": "libvpx-vp9",
    ".webp": "libwebp_anim",
    ".gif": "gif",
}
# Longest side in pixels that each encoder takes.
MAX_SIDES = {"libx264": 16384, "libvpx-vp9": 65536, "libwebp_anim": 16383, "gif": 65535}
WITH_ALPHA = ("libvpx-vp9", "libwebp_anim")
ANIMATED_IMAGES = ("libwebp_anim", "gif")  # they repeat without end, and take odd sides
# Most reference and B frames of H.264, and the macroblocks that a decoder of level 5.1 keeps. Frames that can refer far
# back stay close to the first one: at the seam of a loop of 150 frames the picture changes by 0.0051 instead of 0.0067
# on average, and the file is a third smaller, in a fifth more time.
REFERENCE_FRAMES, B_FRAMES, DECODER_MACROBLOCKS = 16, 8, 184320
# Pixels that the encoders look ahead: x264's 40 frames of 1920 x 1080, fewer of larger frames. Below 8 frames (above 10
# megapixels), x264 works without lookahead, B frames and further references, in a quarter of the memory.
LOOKAHEAD_PIXELS, MAX_LOOKAHEAD, MIN_LOOKAHEAD = 40 * 1920 * 1080, 40, 8
# Threads for frames with less lookahead; each of x264's holds a frame.
MAX_THREADS = 4
# Memory of x264 in bytes per pixel: conversion and references; each frame of lookahead; and how many it holds beside.
ENCODER_BYTES, HELD_BYTES, HELD_FRAMES = 33, 4.5, 14


def read_video(
    source: str | os.PathLike | IO[bytes] | VideoProbe,
    *,
    start: int = 0,
    max_frames: int | None = None,
    size: Sequence[int] | None = None,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, float]:
    """Read a video file into memory; `iterate_frames` says how frames are read, and reads them one by one.

    Args:
        source: a path or an open binary file, in any container and codec that FFmpeg reads, or its probe.
        start: index of the first frame to keep.
        max_frames: stop after this many frames. Frames that are not kept take no memory.
        size: (H, W) of the frames; None keeps that of the video.
        dtype: of the frames: torch.float32, or torch.uint8, which takes a quarter of the memory.

    Returns:
        frames: [T, H, W, 3], float32 in 0..1 or uint8.
        fps: the frame rate in Hz.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it holds no readable video, fewer than `start` + 1 frames, frames of different sizes, or more
            than fits into memory.

    Warns:
        UserWarning: if the file is cut off, with the seconds that are there.
    """
    probe = source if isinstance(source, VideoProbe) else probe_video(source)
    max_frames = None if max_frames is None else check_integer("max_frames", max_frames, 1)
    if dtype not in (torch.float32, torch.uint8):
        refuse("dtype", "torch.float32 or torch.uint8", dtype)
    video, count = torch.empty(0), 0
    for frame in iterate_frames(probe, start=start, count=max_frames, size=size):
        if not count:
            available = len(probe) - start
            length = available if max_frames is None else min(max_frames, available)
            what = f"{length} frames of {frame.shape[1]} x {frame.shape[0]} pixels"
            check_fits(what, length * frame.numel() * dtype.itemsize, torch.device("cpu"), READING_REMEDIES)
            video = torch.empty(length, *frame.shape, dtype=dtype)
        if dtype == torch.uint8:
            video[count] = frame
        else:
            torch.div(frame, 255, out=video[count])
        count += 1
    if not count:
        raise ValueError(f"{probe.name} ends before frame {start}: what is stored there cannot be decoded.")
    return video[:count], probe.fps


def iterate_frames(
    source: str | os.PathLike | IO[bytes] | VideoProbe,
    *,
    start: int = 0,
    count: int | None = None,
    size: Sequence[int] | None = None,
) -> Iterator[Tensor]:
    """Decode a window of a video frame by frame, so that memory does not grow with its length.

    Frames are as a player shows them: evenly spaced in time (a variable rate is resampled to the nearest frames),
    upright, with square pixels, in sRGB (HDR is tone-mapped), without alpha.

    Args:
        source: a path or an open binary file, or its probe (`probe_video`), which saves reading the file for it again.
        start: index of the first frame.
        count: number of frames; None goes to the end.
        size: (H, W) of the frames; None keeps that of the video. A smaller one is averaged over areas.

    Yields:
        uint8 [H, W, 3], up to `count` frames. A frame that cannot be decoded is replaced by the one after it.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it holds no readable video, fewer than `start` + 1 frames, or frames of different sizes.
    """
    probe = source if isinstance(source, VideoProbe) else probe_video(source)
    start = check_integer("start", start, 0)
    count = None if count is None else check_integer("count", count, 1)
    size = probe.size if size is None else check_size("size", size)
    if start >= len(probe):
        last = len(probe) - 1
        raise ValueError(f"{probe.name} holds only {len(probe)} frames; start must be 0 to {last}, not {start}.")
    wanted = probe.shown[start : None if count is None else start + count]
    convert = RGBConverter(size, probe.matrix, transfer=probe.transfer, primaries=probe.primaries)
    done, first_size = 0, None
    for index, frame in _numbered_frames(probe, int(wanted[0])):
        stored_size = frame.width, frame.height
        first_size = first_size or stored_size
        if stored_size != first_size:
            raise ValueError(
                f"{probe.name} changes its size at frame {start + done}: {frame.width} x {frame.height} after "
                f"{first_size[0]} x {first_size[1]}. Cut the clip there, or convert it to one size."
            )
        if index < wanted[done]:
            continue
        image = torch.from_numpy(convert(frame))
        while done < len(wanted) and wanted[done] <= index:
            yield image
            done += 1
        if done == len(wanted):
            return


def write_video(path: str | os.PathLike, frames: Tensor | Iterable[Tensor], fps: float, *, crf: int = 18) -> Path:
    """Write frames as a video (H.264 in .mp4, .mkv or .mov; VP9 in .webm) or an animated image (.webp, .gif).

    WebM and WebP keep the alpha of RGBA frames. Videos have BT.709 colors, limited range, tagged, and even sides: an
    odd side is extended by repeating its last row or column. A WebP or GIF repeats without end. GIF has the 256 colors
    that suit its first frame, and durations in hundredths of a second. The file is written atomically: a failure leaves
    no partial file.

    Args:
        path: file to write; the suffix decides the format.
        frames: [T, H, W, C] in 0..1, or an iterable of such chunks or of [H, W, C] frames. Each item is encoded as
            soon as it arrives, so that a long video need not fit in memory.
        fps: frames per second, > 0.
        crf: constant rate factor; a smaller value gives better quality and a larger file. The quality of WebP is 100
            less this; GIF ignores it.

    Returns:
        The path.

    Raises:
        ValueError: for an unknown suffix, no frames, frames of different sizes or too large for the format, or an fps
            out of range.
        OSError: if the disk is full, or the encoder fails otherwise.
    """
    from ..packages import av

    path = check_video_path(path)
    fps = check_rate("fps", fps, "frames per second")
    crf = check_integer("crf", crf, 0, 51 if path.suffix.lower() != ".webm" else 63)
    codec, rate = CODECS[path.suffix.lower()], Fraction(fps).limit_denominator(100000)
    with atomic_write(path) as temporary, _ffmpeg_errors(path.name):
        repeat = {"loop": "0"} if codec in ANIMATED_IMAGES else {}
        # A relative path may name a protocol.
        with av.open(os.path.abspath(temporary), "w", options=repeat) as container:
            stream = None
            for index, image in enumerate(_byte_images(frames)):
                image = _encodable(image, codec)
                if stream is None:
                    _check_sides(path, codec, *image.shape[:2])
                    stream = container.add_stream(codec, rate=rate)
                    to_frame = _configure(stream, codec, image, crf, rate)
                if image.shape[:2] != (stream.height, stream.width):
                    raise ValueError(
                        f"All frames must have one size; got {image.shape[1]} x {image.shape[0]} after "
                        f"{stream.width} x {stream.height}."
                    )
                video_frame = to_frame(image)
                video_frame.pts, video_frame.time_base = index, 1 / rate
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


def encoder_memory(height: int, width: int) -> float:
    """Peak memory in bytes of `write_video` with frames of this size, however many they are; for H.264."""
    lookahead = _lookahead(height, width)
    held = lookahead + B_FRAMES + HELD_FRAMES if lookahead else 0
    return height * width * (ENCODER_BYTES + HELD_BYTES * held)


def check_video_path(path: str | os.PathLike) -> Path:
    """The path, if `write_video` writes files with its suffix; else a ValueError."""
    path = check_path("path", path)
    if path.suffix.lower() not in CODECS:
        raise ValueError(f"Cannot write {path.suffix or 'a file without suffix'}; use one of {', '.join(CODECS)}.")
    return path


@contextmanager
def _ffmpeg_errors(name: str) -> Iterator[None]:
    """FFmpeg's errors as OSErrors with the name of the file that is written."""
    from ..packages import av

    try:
        yield
    except av.error.FFmpegError as error:
        advice = "Free memory and disk space, or make the frames smaller."
        raise OSError(f"{name} cannot be written: {error.strerror}. {advice}") from error


def _check_sides(path: Path, codec: str, height: int, width: int) -> None:
    if max(height, width) > MAX_SIDES[codec]:
        other = ", or write a .webm file" if max(height, width) <= MAX_SIDES["libvpx-vp9"] else ""
        raise ValueError(
            f"A side of {path.suffix} video has at most {MAX_SIDES[codec]} pixels; got frames of {width} x {height}: "
            f"make the image smaller{other}."
        )


def _encodable(image: np.ndarray, codec: str) -> np.ndarray:
    """An image with the channels and sides that an encoder takes."""
    image = np.ascontiguousarray(image[..., : 4 if codec in WITH_ALPHA else 3])
    if codec in ANIMATED_IMAGES:
        return image
    return np.pad(image, [(0, side % 2) for side in image.shape[:2]] + [(0, 0)], mode="edge")


def _configure(
    stream: av.VideoStream, codec: str, image: np.ndarray, crf: int, rate: Fraction
) -> Callable[[np.ndarray], av.VideoFrame]:
    """Set up a stream for images like this one. Returns the function that makes its frames of images."""
    stream.height, stream.width = image.shape[:2]
    if codec == "gif":
        stream.pix_fmt = "pal8"
        return PaletteFrames(image, rate)
    if codec == "libwebp_anim":
        stream.pix_fmt, stream.options = "bgra", {"quality": str(100 - crf)}
        return bgra_frame
    pixel_format = "yuva420p" if image.shape[-1] == 4 else "yuv420p"
    stream.pix_fmt, stream.options = pixel_format, {"crf": str(crf), **_codec_options(codec, *image.shape[:2])}
    tag_bt709(stream.codec_context)
    return lambda image: bt709_frame(image, pixel_format)


def _lookahead(height: int, width: int) -> int:
    frames = min(MAX_LOOKAHEAD, LOOKAHEAD_PIXELS // (height * width))
    return frames if frames >= MIN_LOOKAHEAD else 0


def _references(height: int, width: int) -> int:
    references = DECODER_MACROBLOCKS // (math.ceil(height / 16) * math.ceil(width / 16))
    return max(1, min(REFERENCE_FRAMES, references))


def _codec_options(codec: str, height: int, width: int) -> dict[str, str]:
    lookahead = _lookahead(height, width)
    few = {"threads": str(min(MAX_THREADS, os.cpu_count() or 1))} if lookahead < MAX_LOOKAHEAD else {}
    if codec == "libvpx-vp9":
        return {"b": "0", "lag-in-frames": str(min(25, lookahead))} | few
    references, b_frames = (_references(height, width), B_FRAMES) if lookahead else (1, 0)
    options = {"refs": str(references), "bf": str(b_frames), "b_strategy": "2", "rc-lookahead": str(lookahead)}
    return options | few


def _byte_images(frames: Tensor | Iterable[Tensor]) -> Iterator[np.ndarray]:
    """uint8 [H, W, C] images from a tensor of frames, or from an iterable of frames and chunks."""
    if not isinstance(frames, Iterable) or isinstance(frames, (str, bytes, dict)):
        raise ValueError(f"frames must be [T, H, W, C] or an iterable of frames; got {describe(frames)}.")
    if getattr(frames, "ndim", 4) != 4:
        raise ValueError(f"frames must be [T, H, W, C]; got {describe(frames)}.")
    for item in frames:
        for image in image_batch(item, "frames"):
            levels = image.clamp(0, 1).mul_(255).round_().to(torch.uint8)
            yield levels.permute(1, 2, 0).cpu().contiguous().numpy()
        del item, image, levels  # free before the next one is made


def _numbered_frames(probe: VideoProbe, first: int) -> Iterator[tuple[int, av.VideoFrame]]:
    """(index, frame) of the stored frames of a video, from `first` or an earlier one on."""
    if probe.times is not None and first:
        frames = _frames_from(probe, first)
        found = next(frames, None)
        if found and found[0] <= first:
            yield found
            yield from frames
            return
    yield from _frames_from(probe, 0)  # without times, or in a container whose seeking goes too far


def _frames_from(probe: VideoProbe, begin: int) -> Iterator[tuple[int, av.VideoFrame]]:
    """(index, frame) of the stored frames from the last key frame before `begin` on, as far as the container seeks."""
    with open_container(probe.source, probe.name) as container:
        stream = video_stream(container, probe.stream)
        if begin and probe.times is not None:
            container.seek(int(probe.times[begin]), stream=stream)
        before = -1
        for frame in decoded_frames(container, stream):
            index = before + 1
            if probe.times is not None and frame.pts is not None:
                index = max(index, int(np.searchsorted(probe.times, frame.pts)))
            before = min(index, len(probe.shown if probe.times is None else probe.times) - 1)
            yield before, frame
