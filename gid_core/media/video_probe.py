"""What a video file holds: the stream that counts, when its frames are shown, and how large."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import numpy as np

from ..notices import warn
from ..validation import check_path
from .frame_times import even_frames
from .video_color import DisplayMatrix, display_matrix, shown_size

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

# A file is cut off if more than this many seconds, and more than two frames, of the length that it states are missing.
# Lengths that files state are rounded, and sound may end a little later than the picture.
MISSING_SECONDS = 0.2
# Threads that decode. Each holds a frame of its own, 12 MB for 4K.
DECODER_THREADS = 4
# Containers that store no presentation times, only the order of the frames.
WITHOUT_TIMES = ("avi",)


@dataclass(frozen=True)
class VideoProbe:
    """A video file as a clip of an even frame rate.

    Attributes:
        source: the file's path, or the open binary file.
        name: its name in messages.
        stream: index of its stream in the container.
        fps: frames per second of the clip in Hz.
        size: (H, W) in pixels at which the clip is shown: upright, with square pixels.
        shown: int64 [T], the stored frame that the clip shows at t / fps. Frames of a variable rate may repeat.
        times: int64 [n], increasing presentation times of the stored frames in the stream's time base; None if the
            container states none, and frames are counted.
        matrix: display matrix, which turns and mirrors the stored frames.
        transfer, primaries: code points of its colors, where its frames do not state theirs.
    """

    source: str | IO[bytes]
    name: str
    stream: int
    fps: float
    size: tuple[int, int]
    shown: np.ndarray
    times: np.ndarray | None
    matrix: DisplayMatrix
    transfer: int
    primaries: int

    def __len__(self) -> int:
        """Number of frames of the clip."""
        return len(self.shown)


def probe_video(source: str | os.PathLike | IO[bytes]) -> VideoProbe:
    """Find the first video stream with more than one frame (not cover art), and when its frames are shown.

    The whole file is read, but only one frame is decoded.

    Args:
        source: a path or an open binary file, in any container and codec that FFmpeg reads.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it holds no readable video.

    Warns:
        UserWarning: if the file is cut off, with the seconds that are there.
    """
    name = "The video"
    if isinstance(source, (str, os.PathLike)) or not hasattr(source, "read"):
        path = check_path("source", source)
        if not path.is_file():
            raise FileNotFoundError(f"No video at {source}.")
        name, source = path.name, os.path.abspath(path)  # a relative one, such as 10:30.mp4, may name a protocol
    with open_container(source, name) as container:
        if not container.streams.video:
            raise ValueError(f"{name} has no video stream.")
        packets, spans = _packet_times(container)
        indices = sorted(packets, key=lambda index: (len(packets[index]) < 2, index))
        if not indices or not packets[indices[0]]:
            raise ValueError(f"{name} cannot be read as a video: no frames are there.")
        stream = video_stream(container, indices[0])
        fps, times, shown = _timing(container, stream, packets[stream.index])
        if fps <= 0:
            raise ValueError(f"{name} does not state its frame rate.")
        _warn_of_cut_end(container, stream, spans, name, 2 / fps)
        index = stream.index
    with open_container(source, name) as container:
        stream = video_stream(container, index)
        frame = next(decoded_frames(container, stream), None)
        if frame is None:
            raise ValueError(f"{name} cannot be read as a video: none of its frames can be decoded.")
        matrix = display_matrix(frame)
        size = shown_size(frame.height, frame.width, float(stream.sample_aspect_ratio or 1), matrix)
        transfer, primaries = int(stream.codec_context.color_trc), int(stream.codec_context.color_primaries)
    return VideoProbe(source, name, index, fps, size, shown, times, matrix, transfer, primaries)


@contextmanager
def open_container(source: str | IO[bytes], name: str) -> Iterator[InputContainer]:
    """Open a file from its beginning; FFmpeg's errors become ValueErrors with the file's name."""
    from ..packages import av

    if not isinstance(source, str):
        source.seek(0)
    try:
        with av.open(source, metadata_errors="replace") as container:  # a title may have wrong bytes
            yield container
    except av.error.FFmpegError as error:
        raise ValueError(f"{name} cannot be read as a video: {error}.") from error


def video_stream(container: InputContainer, index: int) -> av.VideoStream:
    """The video stream of this index among all streams."""
    return next(stream for stream in container.streams.video if stream.index == index)


def decoded_frames(container: InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    """The frames from where the container stands. Packets that cannot be decoded are left out."""
    from ..packages import av

    stream.thread_type, stream.thread_count = "AUTO", min(DECODER_THREADS, os.cpu_count() or 1)
    for packet in _readable_packets(container, [stream]):
        try:
            yield from packet.decode()
        except av.error.FFmpegError:
            continue
    try:
        yield from stream.decode(None)
    except av.error.FFmpegError:
        return


def _readable_packets(container: InputContainer, streams: list) -> Iterator[av.Packet]:
    """The packets of streams up to where the file breaks off."""
    from ..packages import av

    packets = container.demux(streams)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.FFmpegError):
            return
        if packet.size and not packet.is_corrupt:
            yield packet


def _packet_times(
    container: InputContainer,
) -> tuple[dict[int, list[tuple[int | None, int]]], dict[int, tuple[float, float]]]:
    """What the packets of a file say about time.

    Returns:
        Of each video stream that is not cover art, (presentation time or None, duration) of its packets.
        Of each stream, by its index, the seconds at which it begins and ends.
    """
    from av.stream import Disposition

    entries: dict[int, list[tuple[int | None, int]]] = {}
    spans: dict[int, tuple[float, float]] = {}
    videos = {s.index for s in container.streams.video if not s.disposition & Disposition.attached_pic}
    streams = [s for s in container.streams if s.index in videos or s.type == "audio"]
    for packet in _readable_packets(container, streams):
        index, duration = packet.stream.index, packet.duration or 0
        if packet.pts is not None and packet.time_base:
            begin, end = float(packet.pts * packet.time_base), float((packet.pts + duration) * packet.time_base)
            earliest, latest = spans.get(index, (begin, end))
            spans[index] = min(begin, earliest), max(end, latest)
        if index in videos and not packet.is_discard:
            entries.setdefault(index, []).append((packet.pts, duration))
    return entries, spans


def _timing(
    container: InputContainer, stream: av.VideoStream, packets: list[tuple[int | None, int]]
) -> tuple[float, np.ndarray | None, np.ndarray]:
    """`fps`, `times` and `shown` of a `VideoProbe` from (presentation time or None, duration) of each packet."""
    rates = [float(rate or 0) for rate in (stream.guessed_rate, stream.average_rate, stream.base_rate)]
    time_base = float(stream.time_base or 0)
    stored = {pts: duration for pts, duration in packets if pts is not None}
    if not stored or not time_base:  # such as a raw H.264 stream
        return rates[0] or rates[1], None, np.arange(len(packets))
    times = np.array(sorted(stored), np.int64)
    fps, shown = even_frames(times * time_base, stored[int(times[-1])] * time_base, rates)
    return fps, None if container.format.name in WITHOUT_TIMES else times, shown


def _warn_of_cut_end(
    container: InputContainer,
    stream: av.VideoStream,
    spans: dict[int, tuple[float, float]],
    name: str,
    tolerance: float,
) -> None:
    """Warn if the packets end before the length that the file states, for the stream or for all streams together."""
    if stream.index not in spans:
        return
    begin, end = spans[stream.index]
    if container.format.name in WITHOUT_TIMES and stream.guessed_rate:
        stated, last = stream.frames / float(stream.guessed_rate), end
    elif stream.duration and stream.time_base:
        stated, last = float(stream.duration * stream.time_base), end
    else:
        stated, last = (container.duration or 0) / 1e6, max(end for _, end in spans.values())
    if stated - max(last, end - begin) > max(MISSING_SECONDS, tolerance):  # some containers count from 0, others do not
        warn(f"{name} is cut off: {end - begin:.2f} of its {stated:.2f} seconds are there. Only these are used.")
