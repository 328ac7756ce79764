"""Convert decoded video frames to upright sRGB images, and images to tagged BT.709 frames."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import av
    from av.filter import Graph

DisplayMatrix = tuple[int, int, int, int]

# Code points of ITU-T H.273, which FFmpeg and PyAV use for matrix coefficients, transfer and primaries.
BT709, UNSPECIFIED, BT2020, PQ, HLG, DISPLAY_P3 = 1, 2, 9, 16, 18, 12
# FFmpeg's name of the luma-chroma matrix for each code point of the matrix coefficients.
MATRICES = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
# AVColorRange.
LIMITED_RANGE, FULL_RANGE = 1, 2
# A video without tags counts as BT.709 from this height or width (pixels), below it as BT.601, as in browsers.
HD_HEIGHT, HD_WIDTH = 720, 1280
# Linear light of other primaries in those of BT.709 and sRGB (ITU-R BT.2087; SMPTE EG 432-1 with D65).
TO_BT709 = {
    BT2020: ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)),
    DISPLAY_P3: ((1.2249, -0.2247, 0.0), (-0.0420, 1.0419, 0.0), (-0.0197, -0.0786, 1.0979)),
}
# Luminance in cd/m2 of the white of graphics in HDR video (ITU-R BT.2408), which becomes 1 in linear SDR light; and of
# the brightest light that tone mapping keeps, the peak of a reference HLG display (ITU-R BT.2100).
REFERENCE_WHITE, PEAK = 203.0, 1000.0
# System gamma of an HLG display with that peak (BT.2100). It is applied to each channel and not to the luminance, as
# FFmpeg's zscale does: SDR colors that were converted to HLG return unchanged, where the other way grays them.
HLG_GAMMA = 1.2
# Linear SDR light above this value is compressed; what is darker keeps its color. White then becomes 0.9 (244 of 255).
KNEE = 0.8
# Options of FFmpeg's scaler that round correctly and filter chroma at full resolution.
ACCURATE = "accurate_rnd+full_chroma_int+full_chroma_inp"


class RGBConverter:
    """Turns the frames of one video, which all have one size and format, into images.

    Args:
        size: (H, W) of the images in pixels.
        matrix: display matrix of the frames, see `display_matrix`.
        transfer, primaries: code points of the video, where its frames do not state theirs.
    """

    def __init__(
        self,
        size: Sequence[int],
        matrix: DisplayMatrix,
        *,
        transfer: int = UNSPECIFIED,
        primaries: int = UNSPECIFIED,
    ) -> None:
        self.size, self.matrix = size, matrix
        self.transfer, self.primaries = transfer, primaries
        self._graph: Graph | None = None
        self._graph_settings: tuple = ()

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        """The image of a frame: uint8 [H, W, 3], sRGB."""
        height, width = reversed(self.size) if is_transposed(self.matrix) else self.size
        transfer = _tag(frame, "color_trc", self.transfer)
        primaries = _tag(frame, "color_primaries", self.primaries)
        is_hdr = transfer in (PQ, HLG)
        deep = is_hdr or primaries in TO_BT709
        colors = _matrix_name(frame, is_hdr), "full" if _is_full_range(frame) else "limited"
        settings = (frame.width, frame.height, frame.format.name, *colors, width, height, deep)
        if self._graph is None or settings != self._graph_settings:
            shrinks = width < frame.width or height < frame.height
            self._graph_settings, self._graph = (
                settings,
                _graph(
                    frame,
                    f"w={width}:h={height}:in_color_matrix={colors[0]}:in_range={colors[1]}:out_range=full:"
                    f"flags={'area' if shrinks else 'bicubic'}+{ACCURATE}",
                    "rgb48le" if deep else "rgb24",
                ),
            )
        self._graph.push(frame)
        image = self._graph.vpull().to_ndarray()
        if is_hdr:
            image = _bytes(hdr_to_sdr(image.astype(np.float32) / 65535, transfer, primaries))
        elif deep:
            light = srgb_to_linear(image.astype(np.float32) / 65535) @ to_bt709(primaries)
            image = _bytes(linear_to_srgb(light))
        return upright(image, self.matrix)


def bt709_frame(image: np.ndarray, pixel_format: str) -> av.VideoFrame:
    """An image, uint8 [H, W, 3 or 4] with even sides, as a video frame in limited-range BT.709 that is tagged so."""
    from ..packages import av

    frame = av.VideoFrame.from_ndarray(image, format="rgba" if image.shape[-1] == 4 else "rgb24")
    graph = _graph(frame, f"out_color_matrix=bt709:out_range=limited:flags=area+{ACCURATE}", pixel_format)
    graph.push(frame)
    return graph.vpull()


def tag_bt709(context: av.VideoCodecContext) -> None:
    """Let an encoder state that its frames are limited-range BT.709, which players would guess otherwise."""
    context.colorspace = context.color_primaries = context.color_trc = BT709
    context.color_range = LIMITED_RANGE


def hdr_to_sdr(signal: np.ndarray, transfer: int, primaries: int = BT2020) -> np.ndarray:
    """HDR video as it should look on an SDR screen.

    The signal becomes display light (BT.2100), reference white becomes SDR white, primaries become those of BT.709, and
    light above KNEE is compressed up to PEAK. The compression has one factor per pixel, so that it keeps hues.

    Args:
        signal: float32 [..., 3] in 0..1, R'G'B' of an HLG or PQ video.
        transfer: HLG or PQ.
        primaries: code point of its primaries; unknown ones count as BT.2020.

    Returns:
        float32 [..., 3] in 0..1, sRGB.
    """
    if transfer == HLG:
        light = hlg_to_scene_light(signal) ** HLG_GAMMA * (PEAK / REFERENCE_WHITE)
    else:
        light = pq_to_luminance(signal) / REFERENCE_WHITE
    if primaries != BT709:
        light = light @ to_bt709(primaries)
    light = np.maximum(light, 0)
    brightest = np.maximum(light.max(-1, keepdims=True), 1e-6)
    return linear_to_srgb(light * (compress_highlights(brightest) / brightest))


def to_bt709(primaries: int) -> np.ndarray:
    """The matrix [3, 3] by which linear light [..., 3] of these primaries is multiplied from the right."""
    return np.array(TO_BT709.get(primaries, TO_BT709[BT2020]), np.float32).T


def compress_highlights(light: np.ndarray) -> np.ndarray:
    """Linear light 0 ... PEAK / REFERENCE_WHITE in 0..1: unchanged up to KNEE, then Reinhard's extended curve."""
    peak = (PEAK / REFERENCE_WHITE - KNEE) / (1 - KNEE)
    excess = np.clip((light - KNEE) / (1 - KNEE), 0, peak)
    return np.minimum(light, KNEE) + (1 - KNEE) * excess * (1 + excess / peak**2) / (1 + excess)


def hlg_to_scene_light(signal: np.ndarray) -> np.ndarray:
    """Inverse of the hybrid log-gamma curve (ARIB STD-B67, BT.2100 table 5): 0..1 to 0..1."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((np.maximum(signal, 0.5) - c) / a) + b) / 12)


def pq_to_luminance(signal: np.ndarray) -> np.ndarray:
    """Perceptual quantizer (SMPTE ST 2084, BT.2100 table 4): 0..1 to cd/m2."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = np.maximum(signal, 0) ** (1 / m2)
    return 10000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)


def srgb_to_linear(values: np.ndarray) -> np.ndarray:
    """sRGB values 0..1 (IEC 61966-2-1) as linear light 0..1."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(light: np.ndarray) -> np.ndarray:
    """Linear light as sRGB values; what is outside 0..1 is clipped."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def shown_size(height: int, width: int, pixel_aspect: float, matrix: DisplayMatrix) -> tuple[int, int]:
    """(H, W) at which frames are shown: square pixels, none lost, upright.

    Args:
        height, width: of the stored frames.
        pixel_aspect: width of a stored pixel divided by its height.
        matrix: display matrix of the frames.
    """
    if pixel_aspect > 1:
        width = round(width * pixel_aspect)
    elif pixel_aspect < 1:
        height = round(height / pixel_aspect)
    return (width, height) if is_transposed(matrix) else (height, width)


def display_matrix(frame: av.VideoFrame) -> DisplayMatrix:
    """(a, b, c, d) of a frame's display matrix: a pixel at (x, y) is shown at (a x + c y, b x + d y).

    Ask one frame of a video only: PyAV then keeps the frame in memory until Python looks for cycles.
    """
    try:
        data: Any = frame.side_data
    except ValueError:  # this PyAV lacks a kind of data beside it, such as EXIF, but may know the rotation
        turn = math.radians(getattr(frame, "rotation", 0))
        cos, sin = round(math.cos(turn)), round(math.sin(turn))
        return cos, -sin, sin, cos
    for index in range(len(data)):
        if data[index].type.name == "DISPLAYMATRIX":
            a, b, _, c, d, *_ = struct.unpack("=9i", bytes(data[index]))
            return a, b, c, d
    return 1, 0, 0, 1


def is_transposed(matrix: DisplayMatrix) -> bool:
    """Whether the display matrix exchanges rows and columns, as for a phone held upright."""
    return abs(matrix[1]) > abs(matrix[0])


def upright(image: np.ndarray, matrix: DisplayMatrix) -> np.ndarray:
    """An image [H, W, C] turned and mirrored as its display matrix says, in quarter turns."""
    a, b, c, d = matrix
    if is_transposed(matrix):
        image, a, d = image.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _graph(frame: av.VideoFrame, scale: str, pixel_format: str) -> Graph:
    """FFmpeg's scale filter for frames like this one. PyAV's own conversion guesses colors, differently by version."""
    from av.filter import Graph

    graph = Graph()
    source = f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base=1/1000:pixel_aspect=1/1"
    steps = [graph.add("buffer", source), graph.add("scale", scale), graph.add("format", pixel_format)]
    steps.append(graph.add("buffersink"))
    for step, following in zip(steps, steps[1:], strict=False):
        step.link_to(following)
    graph.configure()
    return graph


def _tag(frame: av.VideoFrame, name: str, of_video: int) -> int:
    """A color tag of a frame, or of the video if the frame has none or PyAV (below 17) does not tell it."""
    value = int(getattr(frame, name, UNSPECIFIED))
    return of_video if value == UNSPECIFIED else value


def _matrix_name(frame: av.VideoFrame, is_hdr: bool) -> str:
    name = MATRICES.get(int(frame.colorspace))
    if name is None and is_hdr:
        return "bt2020"
    return name or ("bt709" if frame.height >= HD_HEIGHT or frame.width >= HD_WIDTH else "bt601")


def _is_full_range(frame: av.VideoFrame) -> bool:
    if int(frame.color_range) in (LIMITED_RANGE, FULL_RANGE):
        return int(frame.color_range) == FULL_RANGE
    return frame.format.is_rgb or frame.format.name.startswith(("yuvj", "gray", "ya", "pal", "mono"))


def _bytes(image: np.ndarray) -> np.ndarray:
    return (image * 255 + 0.5).astype(np.uint8)
