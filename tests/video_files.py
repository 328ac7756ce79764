"""Small video files for tests: any size, codec, times, color tags and pixel format."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.filter import Graph


def filtered(image: np.ndarray, scale: str, pixel_format: str) -> av.VideoFrame:
    """An image, uint8 [H, W, 3 or 4], through FFmpeg's scale filter."""
    frame = av.VideoFrame.from_ndarray(image, format="rgba" if image.shape[-1] == 4 else "rgb24")
    graph = Graph()
    source = f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base=1/1000:pixel_aspect=1/1"
    nodes = [graph.add("buffer", source), graph.add("scale", scale), graph.add("format", pixel_format)]
    nodes.append(graph.add("buffersink"))
    for node, following in zip(nodes, nodes[1:], strict=False):
        node.link_to(following)
    graph.configure()
    graph.push(frame)
    return graph.vpull()


def add_stream(
    container,
    images,
    times,
    *,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    matrix: str = "bt601",
    full_range: bool = False,
    tags: dict[str, int] | None = None,
    pixel_aspect: Fraction | None = None,
    rotation: tuple | None = None,
    options: dict[str, str] | None = None,
    ticks: int = 30000,
) -> None:
    """Encode images, uint8 [H, W, 3 or 4], at times in seconds as a stream of an open container.

    `ticks` is the time base, in parts of a second. `tags` are attributes of the codec context (colorspace,
    color_primaries, color_trc, color_range).
    """
    stream = container.add_stream(codec, rate=30)
    stream.height, stream.width = images[0].shape[:2]
    stream.pix_fmt, stream.time_base = pixel_format, Fraction(1, ticks)
    stream.codec_context.time_base = Fraction(1, ticks)
    stream.options = ({"crf": "1"} if codec.startswith("libx26") else {}) | (options or {})
    for name, value in (tags or {}).items():
        setattr(stream.codec_context, name, value)
    if pixel_aspect:
        stream.codec_context.sample_aspect_ratio = pixel_aspect
    if rotation:
        stream.set_display_rotation(*rotation)
    scale = f"out_color_matrix={matrix}:out_range={'full' if full_range else 'limited'}:flags=area+accurate_rnd"
    for image, time in zip(images, times, strict=True):
        frame = filtered(np.ascontiguousarray(image), scale, pixel_format)
        frame.pts, frame.time_base = round(time * ticks), Fraction(1, ticks)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def write_file(path: Path, images, times=None, **settings) -> Path:
    """A file with one video stream; 30 frames a second if no times are given."""
    with av.open(str(path), "w") as container:
        add_stream(container, images, times or [index / 30 for index in range(len(images))], **settings)
    return path


def numbered(count: int, height: int = 32, width: int = 48) -> list[np.ndarray]:
    """Images that tell which one they are: gray 20, 25, 30, ..."""
    return [np.full((height, width, 3), 20 + 5 * index, np.uint8) for index in range(count)]


def numbers(frames) -> list[int]:
    """Which of the `numbered` images frames in 0..1 are."""
    return [round((float(frame.mean()) * 255 - 20) / 5) for frame in frames]


def quadrants(height: int = 32, width: int = 48) -> np.ndarray:
    """Red at the top left, green at the top right, blue at the bottom left, white at the bottom right."""
    image = np.zeros((height, width, 3), np.uint8)
    y, x = height // 2, width // 2
    image[:y, :x], image[:y, x:], image[y:, :x], image[y:, x:] = (200, 0, 0), (0, 200, 0), (0, 0, 200), 200
    return image
