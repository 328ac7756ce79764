"""Frames for the encoders of animated images: WebP with alpha, and GIF with the colors of its first frame."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import av

# An ordered dither does not flicker where the picture stands still, as error diffusion does beside what moves.
DITHER = "dither=bayer:bayer_scale=4"


def bgra_frame(image: np.ndarray) -> av.VideoFrame:
    """An image, uint8 [H, W, 3 or 4], as a frame with alpha, which is how WebP's encoder keeps RGB colors."""
    from ..packages import av

    if image.shape[-1] == 3:
        image = np.concatenate([image, np.full_like(image[..., :1], 255)], -1)
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgba").reformat(format="bgra")


class PaletteFrames:
    """Turns the images of one animation into frames of 256 colors, chosen for the first image.

    The frames of a moving photo share its colors. A palette for all of them would need them all in memory.

    Args:
        image: the first image, uint8 [H, W, 3].
        rate: frames per second.
    """

    def __init__(self, image: np.ndarray, rate: Fraction) -> None:
        from av.filter import Graph

        from ..packages import av

        rgb = av.VideoFormat("rgb24", image.shape[1], image.shape[0])
        self.time_base, self.count = 1 / rate, 0
        palette = _palette(image)
        palette.pts, palette.time_base = 0, self.time_base
        graph = Graph()
        self._images = graph.add_buffer(
            width=image.shape[1], height=image.shape[0], format=rgb, time_base=self.time_base
        )
        palettes = graph.add_buffer(
            width=palette.width, height=palette.height, format=palette.format, time_base=self.time_base
        )
        mapper = graph.add("paletteuse", DITHER)
        sink = graph.add("buffersink")
        self._images.link_to(mapper, 0, 0)
        palettes.link_to(mapper, 0, 1)
        mapper.link_to(sink)
        graph.configure()
        palettes.push(palette)
        palettes.push(None)
        self._graph = graph

    def __call__(self, image: np.ndarray) -> av.VideoFrame:
        """The next image, uint8 [H, W, 3], as a frame."""
        from ..packages import av

        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = self.count, self.time_base
        self.count += 1
        self._images.push(frame)
        return self._graph.vpull()


def _palette(image: np.ndarray) -> av.VideoFrame:
    """256 colors for an image, uint8 [H, W, 3], as FFmpeg's frame of 16 x 16 pixels."""
    from av.filter import Graph

    from ..packages import av

    graph, rgb = Graph(), av.VideoFormat("rgb24", image.shape[1], image.shape[0])
    source = graph.add_buffer(width=image.shape[1], height=image.shape[0], format=rgb, time_base=Fraction(1))
    palettegen, sink = graph.add("palettegen"), graph.add("buffersink")
    source.link_to(palettegen)
    palettegen.link_to(sink)
    graph.configure()
    frame = av.VideoFrame.from_ndarray(image, format="rgb24")
    frame.pts = 0
    source.push(frame)
    source.push(None)
    return graph.vpull()
