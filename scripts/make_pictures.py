"""Makes the pictures that the repository shows, and what its workflows begin with.

    .venv/bin/python scripts/make_pictures.py

Sources are our own synthetic scenes, assets/flowers.jpg (a frame of our own rendered corpus, from a scene that the
shipped model was not trained on), and scikit-learn's flower.jpg (CC BY); see README for the credit.
"""

import json
import math

import av
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter

import gid_core as gid
from comfy_server import ROOT
from demo import PHOTO
from gid_core.rendering.visualization import motion_map
from gid_core.synthetic.random_scene import random_scene


def picture(tensor: torch.Tensor) -> Image.Image:
    return Image.fromarray((tensor.clamp(0, 1) * 255).round().byte().numpy())


def flower_photo() -> torch.Tensor:
    """scikit-learn's flower.jpg (CC BY): float32 [426, 640, 3]; one row less than it has, since H.264 wants even."""
    from sklearn.datasets import load_sample_image

    return torch.from_numpy(load_sample_image("flower.jpg")[:426].copy()).float() / 255


def node(class_type: str, **inputs) -> dict:
    """One node of a prompt."""
    return {"class_type": class_type, "inputs": inputs}


def dahlia_volume(photo: torch.Tensor, size=(108, 160)) -> gid.SpectralVolume:
    """Motion made by hand for flower.jpg: two heads that sway on their stems, each petal a little by itself.

    It stands in for a prediction. What is orange moves; a head turns about a point below the picture, with gusts
    at low frequencies that fall off as in nature, and is followed by a ripple that runs outwards.
    """
    from gid_core.tensors import resize_maps

    height, width = size
    small = resize_maps(photo.permute(2, 0, 1)[None], size)[0]
    orange = ((small[0] - small[2] - 0.12) / 0.12).clamp(0, 1)
    # The rim moves with the head; the motion fades out in the soft background, where stretching cannot be seen.
    amount = torch.nn.functional.max_pool2d((orange > 0.5).float()[None], 11, 1, 5)
    for _ in range(2):
        amount = torch.nn.functional.avg_pool2d(amount, 9, 1, 4, count_include_pad=False)
    amount = amount[0]
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    heads = ((y < 0.86).float(), (y >= 0.86).float())
    centers, reach = ((0.48, 0.52), (0.6, 1.05)), (1.0, 0.6)

    random = np.random.default_rng(2)
    coefficients = torch.zeros(1, 16, 4, height, width)
    for bin_number in range(1, 13):
        hertz = bin_number / 5
        gust = 70 / (1 + (hertz / 0.35) ** 2) + 35 * np.exp(-(((hertz - 0.8) / 0.25) ** 2))
        for head, (center_x, center_y), strength in zip(heads, centers, reach, strict=True):
            phase = random.uniform(0, 2 * np.pi)
            dx, dy = x - center_x, y - center_y
            distance = torch.hypot(dx, dy * height / width)
            lag = phase - 5.0 * distance  # petals follow the head
            sway = strength * gust * (1.3 - dy)
            ripple = strength * gust * 1.2 * distance
            real, imaginary = torch.cos(lag), torch.sin(lag)
            moves_x = head * amount * (sway + ripple)
            moves_y = head * amount * (0.35 * sway * dx * 3 + 0.5 * ripple)
            coefficients[0, bin_number] += torch.stack(
                [moves_x * real, moves_x * imaginary, moves_y * imaginary, -moves_y * real]
            )
    return gid.SpectralVolume(coefficients, metadata={"source": "made by hand for the demo"})


def readme_loop() -> None:
    """Every other frame of a loop, as an animation that any page plays."""
    photo = flower_photo()
    frames = gid.render(photo, gid.loop(dahlia_volume(photo), num_frames=60))
    pictures = [picture(frame).resize((480, 320), Image.LANCZOS) for frame in frames]
    (ROOT / "assets").mkdir(exist_ok=True)
    pictures[0].save(
        ROOT / "assets" / "loop.webp",
        save_all=True,
        append_images=pictures[1:],
        duration=83,
        loop=0,
        quality=60,
        method=6,
    )


def arrow(image: Image.Image, x: float, y: float, dx: float, dy: float, width=3) -> None:
    """Draw an arrow from (x, y) by (dx, dy), in fractions of the picture, white on dark."""
    start = x * image.width, y * image.height
    end = start[0] + dx * image.width, start[1] + dy * image.height
    angle = math.atan2(end[1] - start[1], end[0] - start[0])
    barbs = [
        (end[0] - 5 * width * math.cos(angle + turn), end[1] - 5 * width * math.sin(angle + turn))
        for turn in (-0.5, 0.5)
    ]
    draw = ImageDraw.Draw(image)
    for color, w in (("black", width + 3), ("white", width)):
        for a, b in ((start, end), (barbs[0], end), (barbs[1], end)):
            draw.line([a, b], color, w, joint="curve")
        draw.ellipse([(start[0] - w, start[1] - w), (start[0] + w, start[1] + w)], fill=color)


def widgets(workflow: str, node_type: str) -> list:
    """Values of the widgets of a shipped workflow's node."""
    nodes = json.loads((ROOT / "workflows" / f"{workflow}.json").read_text())["nodes"]
    return next(n["widgets_values"] for n in nodes if n["type"] == node_type)


def in_a_row(pictures: list[Image.Image], gap=6) -> Image.Image:
    """Pictures of one size side by side on white."""
    width, height = pictures[0].size
    row = Image.new("RGB", (len(pictures) * (width + gap) - gap, height), "white")
    for number, one in enumerate(pictures):
        row.paste(one, (number * (width + gap), 0))
    return row


def poked(photo: torch.Tensor, volume: gid.SpectralVolume) -> None:
    """The second poke of the workflow poke_a_photo before, pulled and let go; and the photo with both as arrows."""
    pokes = gid.parse_pokes(widgets("poke_a_photo", "GID_ModalForce")[0])
    second = pokes[1]
    motion = gid.poke(volume, [second], 120, 30, gid.Damping(0.2, 0.04))
    start, release = (round(seconds * 30) for seconds in (second.time, second.release))
    moments = [picture(gid.render(photo, motion, start=frame, count=1)[0]) for frame in (start, release, release + 12)]
    arrow(moments[1], second.x, second.y, 2 * second.dx, 2 * second.dy)
    crops = [one.crop((130, 38, 380, 288)) for one in moments]
    in_a_row(crops).save(ROOT / "js" / "docs" / "images" / "poke.jpg", quality=85)
    small = picture(photo).resize((384, 216), Image.LANCZOS)
    for poke in pokes:
        arrow(small, poke.x, poke.y, 4 * poke.dx, 4 * poke.dy)
    small.save(ROOT / "workflows" / "poke_a_photo.jpg", quality=85)


def painted(photo: torch.Tensor) -> Image.Image:
    """flowers.jpg with two flowers painted, as Load Image's mask editor saves it: assets/flowers_painted.png."""
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
    image = picture(photo)
    mask = mask.filter(ImageFilter.MaxFilter(5)).filter(ImageFilter.GaussianBlur(2)).resize(image.size, Image.LANCZOS)
    image.putalpha(mask.point(lambda white: 255 - white))  # the editor makes transparent what is painted
    image.save(ROOT / "assets" / "flowers_painted.png", optimize=True)
    return mask


def tune() -> tuple[np.ndarray, int]:
    """Seven and a half seconds of a music box over a slow drum, made here of decaying sines: assets/tune.mp3.

    Returns:
        The sound, float [samples], and its samples a second.
    """
    rate, beat = 22050, 0.625  # seconds
    time = np.arange(round(12 * beat * rate)) / rate
    wave = np.zeros_like(time)

    def add(start: float, sound) -> None:
        since = time[time >= start] - start
        wave[time >= start] += sound(since)

    for number, hertz in enumerate([392, 523.3, 659.3, 784, 659.3, 523.3, 440, 587.3, 698.5, 880, 784, 587.3]):
        add(number * beat, lambda t, f=hertz: sum(
            np.sin(2 * np.pi * f * n * t) * np.exp(-(2.5 + n) * t) / n**2 for n in (1, 2, 3, 5)))  # fmt: skip
        if number % 2 == 0:
            add(number * beat, lambda t: 1.6 * np.sin(2 * np.pi * (70 * t - 4 * np.exp(-12 * t))) * np.exp(-5 * t))
    wave *= np.clip(time / 0.01, 0, 1) * np.clip((time[-1] - time) / 0.2, 0, 1) * (0.7 / np.abs(wave).max())
    with av.open(str(ROOT / "assets" / "tune.mp3"), "w") as container:
        stream = container.add_stream("libmp3lame", rate=rate, layout="mono", bit_rate=64_000)
        frame = av.AudioFrame.from_ndarray(wave[None].astype(np.float32), "fltp", "mono")
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return wave, rate


def over_time(photo: torch.Tensor, motion: gid.Motion, row: float, part: slice) -> torch.Tensor:
    """A part of one row of the picture over time, which runs to the right: [part, frames, 3]."""
    rows = [
        gid.render(photo, motion, start=first, count=min(30, len(motion) - first))[:, int(row * len(photo)), part]
        for first in range(0, len(motion), 30)
    ]
    return torch.cat(rows).transpose(0, 1)


def windy(photo: torch.Tensor, volume: gid.SpectralVolume) -> None:
    """A row in an even and a gusty wind; and the photo with the wind's arrows."""
    strips = [
        picture(over_time(photo, gid.wind(volume, gustiness=gustiness, seed=1), 0.21, slice(100, 200)))
        for gustiness in (0.0, 1.0)
    ]
    both = Image.new("RGB", (600, 2 * 200 + 6), "white")
    for number, strip in enumerate(strips):
        both.paste(strip.resize((600, 200), Image.LANCZOS), (0, number * 206))
    both.save(ROOT / "js" / "docs" / "images" / "wind.jpg", quality=85)
    small = picture(photo).resize((384, 216), Image.LANCZOS)
    for x, y, length in ((0.02, 0.3, 0.25), (0.3, 0.55, 0.35), (0.08, 0.8, 0.22)):
        arrow(small, x, y, length, 0)
    small.save(ROOT / "workflows" / "wind_on_a_photo.jpg", quality=85)


def sounding(photo: torch.Tensor, volume: gid.SpectralVolume) -> None:
    """The tune over a row that moves to it; and the photo with the tune drawn below."""
    wave, rate = tune()
    motion = gid.from_audio(volume, torch.from_numpy(wave), rate, fps=30.0, strength=2.0)
    strip = picture(over_time(photo, motion, 0.21, slice(100, 200))).resize((600, 200), Image.LANCZOS)
    both = Image.new("RGB", (600, 286), "white")
    both.paste(sound_track(wave, 600, 80), (0, 0))
    both.paste(strip, (0, 86))
    both.save(ROOT / "js" / "docs" / "images" / "sound.jpg", quality=85)
    small = picture(photo).resize((384, 216), Image.LANCZOS)
    small.paste(sound_track(wave, 384, 56), (0, 160))
    small.save(ROOT / "workflows" / "sound_reactive.jpg", quality=85)


def sound_track(wave: np.ndarray, width: int, height: int) -> Image.Image:
    """How loud a sound is over time, as a symmetric band."""
    image = Image.new("RGB", (width, height), (24, 26, 32))
    draw = ImageDraw.Draw(image)
    for x, part in enumerate(np.array_split(np.abs(wave), width)):
        reach = part.max() / np.abs(wave).max() * (height / 2 - 3)
        draw.line([(x, height / 2 - reach), (x, height / 2 + reach)], (120, 190, 255))
    return image


def swaying(photo: torch.Tensor) -> None:
    """What is painted, and where it moves."""
    mask = painted(photo)
    volume = gid.volume_from_mask(torch.from_numpy(np.asarray(mask) / 255).float(), seed=1)
    still = picture(photo)
    tinted = Image.composite(Image.new("RGB", still.size, (255, 60, 60)), still, mask.point(lambda white: white // 2))
    moves = picture(motion_map(gid.loop(volume), photo, photo.shape[1]))
    in_a_row([tinted, moves]).save(ROOT / "js" / "docs" / "images" / "sway.jpg", quality=82)
    small = tinted.resize((384, 216), Image.LANCZOS)
    small.paste(moves.resize((384, 216), Image.LANCZOS).crop((192, 0, 384, 216)), (192, 0))
    small.save(ROOT / "workflows" / "sway_from_mask.jpg", quality=85)


def predicted(photo: torch.Tensor, volume: gid.SpectralVolume) -> None:
    """The demo's photo beside the motion predicted from it: the help page's picture, and a thumbnail."""
    motion = gid.loop(volume)
    both = torch.cat([photo, motion_map(motion, photo, photo.shape[1])], dim=1)
    picture(both).save(ROOT / "js" / "docs" / "images" / "predict.jpg", quality=82)
    small = picture(photo).resize((384, 216), Image.LANCZOS)
    small.paste(picture(motion_map(motion, photo, 384)[:, 192:]), (192, 0))
    small.save(ROOT / "workflows" / "photo_to_loop.jpg", quality=85)


def two_renderers(photo: torch.Tensor, volume: gid.SpectralVolume, renderer) -> None:
    """One frame of a strong loop by the fast splat and by the network, where they differ most, enlarged."""
    motion = gid.loop(volume.amplify(2.5))
    frames = [gid.render(photo, motion, start=40, count=1, renderer=way)[0] for way in (None, renderer)]
    height, width = 96, 128
    difference = (frames[0] - frames[1]).abs().mean(-1)[None, None]
    most = torch.nn.functional.avg_pool2d(difference, (height, width), stride=8)
    row, column = divmod(int(most.argmax()), most.shape[-1])
    window = slice(8 * row, 8 * row + height), slice(8 * column, 8 * column + width)
    crops = [picture(frame[window]).resize((3 * width, 3 * height), Image.NEAREST) for frame in frames]
    in_a_row(crops).save(ROOT / "js" / "docs" / "images" / "network.jpg", quality=88)


def thumbnails() -> None:
    """A still with its motion drawn over the right half; and the same still as a poster."""
    scene = random_scene(3, size=(216, 384))
    still = torch.as_tensor(scene.render(0))
    volume = scene.spectral_volume()
    right = motion_map(gid.loop(volume), still, 384)
    both = torch.cat([still[:, :192], right[:, 192:]], dim=1)
    picture(both).save(ROOT / "workflows" / "clip_to_loop.jpg", quality=85)
    frame = gid.render(still, gid.loop(volume), start=60, count=1)[0]
    poster = picture(frame).quantize(12, dither=Image.Dither.NONE).convert("RGB")
    halves = torch.cat([still[:, :192], torch.frombuffer(bytearray(poster.tobytes()), dtype=torch.uint8)
                        .view(216, 384, 3)[:, 192:] / 255], dim=1)  # fmt: skip
    picture(halves).save(ROOT / "workflows" / "motion_to_restyled_photo.jpg", quality=85)


if __name__ == "__main__":
    readme_loop()
    thumbnails()
    flowers = gid.read_image(PHOTO)
    pipeline = gid.GIDPipeline.from_pretrained()
    prediction = pipeline(flowers, seed=1)
    predicted(flowers, prediction)
    two_renderers(flowers, prediction, pipeline.renderer)
    poked(flowers, prediction)
    windy(flowers, prediction)
    sounding(flowers, prediction)
    swaying(flowers)
