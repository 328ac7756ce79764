"""Make the samples that Load Sample gives, except the clip: files in assets/.

The photos are assets/dandelions.jpg (by Clemens Engelhardt, CC0-1.0: seeding_by_Clements_Engelhardt.jpg of Debian's
package lomiri-wallpapers-16.04, cropped and made smaller) and assets/flowers.jpg. The clip assets/pots.mp4 shows a
scene of this project's synthetic corpus, moved by the scene's own motion three times as far, and drawn by the bundled
model's rendering network.
"""

import math
from collections.abc import Callable

import av
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter

from comfy_server import ROOT

FLOWERS_PAINTED, DANDELIONS_PAINTED = "flowers_painted.png", "dandelions_painted.webp"
STICKER, CLIP, TUNE = "sticker.png", "pots.mp4", "tune.mp3"
SUPERSAMPLING = 4  # of the drawn sticker


def paint_dandelion_mask(photo: torch.Tensor) -> Image.Image:
    """dandelions.jpg with a mask over the large dandelion and its stem: assets/dandelions_painted.webp.

    Returns:
        The mask, white on the dandelion.
    """
    mask = Image.new("L", (768, 432), 0)
    draw = ImageDraw.Draw(mask)
    draw.ellipse((92, 26, 358, 258), fill=255)
    draw.polygon([(210, 240), (244, 240), (240, 440), (206, 440)], fill=255)
    mask = mask.filter(ImageFilter.GaussianBlur(3))
    image = Image.fromarray((photo * 255).round().byte().numpy())
    image.putalpha(mask.point(lambda value: 255 - value))
    image.save(ROOT / "assets" / DANDELIONS_PAINTED, quality=95, method=6, exact=True)
    return mask


def paint_mask(photo: torch.Tensor) -> Image.Image:
    """flowers.jpg with a mask over two flowers, as Load Image's mask editor saves it: assets/flowers_painted.png.

    Returns:
        The mask, white on the flowers.
    """
    outlines = [
        [(66, 178), (72, 205), (90, 220), (165, 216), (168, 228), (186, 234), (216, 216), (246, 200), (262, 172),
         (300, 164), (398, 154), (404, 126), (372, 114), (388, 84), (402, 52), (388, 40), (338, 52), (342, -8),
         (216, -8), (196, 10), (176, 50), (172, 76), (120, 74), (88, 84), (90, 108), (72, 124)],
        [(244, 166), (276, 166), (300, 236), (348, 380), (384, 500), (416, 584), (384, 584), (362, 506), (326, 388),
         (280, 256)],
        [(398, 432), (412, 452), (438, 470), (448, 500), (486, 506), (520, 486), (548, 508), (584, 516), (590, 494),
         (580, 468), (628, 468), (642, 446), (604, 430), (626, 402), (618, 380), (584, 374), (582, 350), (546, 338),
         (512, 342), (492, 334), (468, 348), (436, 366), (428, 386), (408, 400)],
        [(500, 480), (526, 480), (522, 584), (498, 584)],
    ]  # fmt: skip
    mask = Image.new("L", (1024, 576), 0)
    for outline in outlines:
        ImageDraw.Draw(mask).polygon(outline, fill=255)
    image = Image.fromarray((photo * 255).round().byte().numpy())
    mask = mask.filter(ImageFilter.MaxFilter(5)).filter(ImageFilter.GaussianBlur(2)).resize(image.size, Image.LANCZOS)
    image.putalpha(mask.point(lambda value: 255 - value))  # the editor makes painted pixels transparent
    image.save(ROOT / "assets" / FLOWERS_PAINTED, optimize=True)
    return mask


def write_tune() -> tuple[np.ndarray, int]:
    """Write 7.5 seconds of a music box over a slow drum, made of decaying sine waves: assets/tune.mp3.

    Returns:
        The waveform, float [samples], and the samples per second.
    """
    sample_rate, beat = 22050, 0.625  # Hz, seconds
    time = np.arange(round(12 * beat * sample_rate)) / sample_rate
    waveform = np.zeros_like(time)

    def add_note(start: float, note: Callable[[np.ndarray], np.ndarray]) -> None:
        playing = time >= start
        waveform[playing] += note(time[playing] - start)

    for number, hertz in enumerate([392, 523.3, 659.3, 784, 659.3, 523.3, 440, 587.3, 698.5, 880, 784, 587.3]):
        add_note(number * beat, lambda t, f=hertz: sum(
            np.sin(2 * np.pi * f * n * t) * np.exp(-(2.5 + n) * t) / n**2 for n in (1, 2, 3, 5)))  # fmt: skip
        if number % 2 == 0:
            add_note(number * beat, lambda t: 1.6 * np.sin(2 * np.pi * (70 * t - 4 * np.exp(-12 * t))) * np.exp(-5 * t))
    waveform *= np.clip(time / 0.01, 0, 1) * np.clip((time[-1] - time) / 0.2, 0, 1) * (0.7 / np.abs(waveform).max())
    with av.open(str(ROOT / "assets" / TUNE), "w") as container:
        stream = container.add_stream("libmp3lame", rate=sample_rate, layout="mono", bit_rate=64_000)
        frame = av.AudioFrame.from_ndarray(waveform[None].astype(np.float32), "fltp", "mono")
        frame.sample_rate = sample_rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return waveform, sample_rate


# Of the sticker, in pixels: where each flower's stem begins and ends, how far it bends, the length of the petals, and
# the colors of petals and heart; leaves as x, y, length, half width and degrees.
FLOWERS = (
    ((240, 372), (240, 118), 10, 46, (238, 96, 85), (250, 200, 80)),
    ((232, 372), (142, 190), -14, 36, (247, 147, 80), (255, 225, 120)),
    ((248, 372), (344, 176), 14, 38, (186, 104, 200), (255, 220, 120)),
)
LEAVES = (
    *((238, 330, 92, 17, -150), (243, 318, 96, 17, -32), (200, 262, 60, 13, -170)),
    *((290, 262, 60, 13, -12), (247, 240, 66, 14, -28), (246, 270, 66, 14, -155)),
)
POT = (
    ([(172, 372), (308, 372), (290, 452), (190, 452)], (201, 108, 72)),
    ([(160, 352), (320, 352), (316, 384), (164, 384)], (219, 125, 85)),
    ([(290, 384), (306, 384), (290, 452), (276, 452)], (178, 90, 58)),
)
STEM_COLOR, LEAF_COLOR = (70, 140, 80), (100, 170, 95)


def draw_sticker(side: int = 480) -> Image.Image:
    """Flowers in a pot with a white border on a transparent background: assets/sticker.png, which is returned."""
    image = Image.new("RGBA", (side * SUPERSAMPLING, side * SUPERSAMPLING), (255, 255, 255, 0))
    draw = ImageDraw.Draw(image)

    def scaled(outline: list) -> list:
        return [(x * SUPERSAMPLING, y * SUPERSAMPLING) for x, y in outline]

    def disc(x: float, y: float, radius: float, color: tuple) -> None:
        draw.ellipse(scaled([(x - radius, y - radius), (x + radius, y + radius)]), fill=color)

    def leaf(x: float, y: float, length: float, half_width: float, degrees: float, color: tuple) -> None:
        way = [step / 40 for step in range(41)]
        upper = [(t * length, half_width * math.sin(math.pi * t**0.8)) for t in way]
        cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        outline = upper + [(along, -across) for along, across in reversed(upper)]
        turned = [(x + a * cosine - b * sine, y + a * sine + b * cosine) for a, b in outline]
        draw.polygon(scaled(turned), fill=color)

    for (x, y), (end_x, end_y), bend, *_ in FLOWERS:
        for step in range(401):
            t = step / 400
            disc(x + (end_x - x) * t + bend * math.sin(math.pi * t), y + (end_y - y) * t, 4.5, STEM_COLOR)
    for shape in LEAVES:
        leaf(*shape, LEAF_COLOR)
    for _, (x, y), _, length, color, heart in FLOWERS:
        for petal in range(9):
            leaf(x, y, length, 0.26 * length, 40 * petal + 10, color)
        disc(x, y, 0.3 * length, heart)
    for outline, color in POT:
        draw.polygon(scaled(outline), fill=color)
    image = image.resize((side, side), Image.LANCZOS)
    border = image.getchannel("A").filter(ImageFilter.MaxFilter(15)).filter(ImageFilter.GaussianBlur(1.5))
    sticker = Image.new("RGBA", image.size, (255, 255, 255, 0))
    sticker.putalpha(border.point(lambda value: max(0, min(255, (value - 96) * 4))))
    sticker.alpha_composite(image)
    sticker.save(ROOT / "assets" / STICKER, optimize=True)
    return sticker
