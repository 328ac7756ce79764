"""Make the images of the README, the help pages and the workflows, and the input files of the workflows.

    .venv/bin/python scripts/make_pictures.py

The sources are this project's synthetic scenes, assets/flowers.jpg (a frame of this project's synthetic corpus, from a
scene that the bundled model was not trained on), and scikit-learn's flower.jpg (CC BY; the README gives the credit).
"""

import json
import math
from collections.abc import Callable

import av
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter

import gid_core as gid
from comfy_server import ROOT
from demo import PHOTO
from gid_core.rendering.visualization import flows_to_images, motion_map
from gid_core.sources.motion_brush import rasterize_strokes
from gid_core.synthetic.random_scene import random_scene


def to_pil(tensor: torch.Tensor) -> Image.Image:
    """Convert an image [H, W, 3] in 0..1 to PIL."""
    return Image.fromarray((tensor.clamp(0, 1) * 255).round().byte().numpy())


def flower_photo() -> torch.Tensor:
    """scikit-learn's flower.jpg (CC BY): float32 [426, 640, 3], without the last row, since H.264 needs even sides."""
    from sklearn.datasets import load_sample_image

    return torch.from_numpy(load_sample_image("flower.jpg")[:426].copy()).float() / 255


def node(class_type: str, **inputs) -> dict:
    """One node of a prompt."""
    return {"class_type": class_type, "inputs": inputs}


def dahlia_volume(photo: torch.Tensor, size=(108, 160)) -> gid.SpectralVolume:
    """Hand-made motion for flower.jpg: two flower heads sway on their stems, with a small motion of the petals.

    It takes the place of a prediction. Orange pixels move. Each head turns about a point below the image, with a
    spectrum of gusts that falls off as in nature; a ripple runs outward from its center.
    """
    from gid_core.tensors import resize_maps

    height, width = size
    thumbnail = resize_maps(photo.permute(2, 0, 1)[None], size)[0]
    orange = ((thumbnail[0] - thumbnail[2] - 0.12) / 0.12).clamp(0, 1)
    # The petals' edges move with the head. The motion fades out in the blurred background, where stretching does not
    # show.
    weight = torch.nn.functional.max_pool2d((orange > 0.5).float()[None], 11, 1, 5)
    for _ in range(2):
        weight = torch.nn.functional.avg_pool2d(weight, 9, 1, 4, count_include_pad=False)
    weight = weight[0]
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    heads = ((y < 0.86).float(), (y >= 0.86).float())
    centers, strengths = ((0.48, 0.52), (0.6, 1.05)), (1.0, 0.6)

    rng = np.random.default_rng(2)
    coefficients = torch.zeros(1, 16, 4, height, width)
    for bin_number in range(1, 13):
        hertz = bin_number / 5
        gust = 70 / (1 + (hertz / 0.35) ** 2) + 35 * np.exp(-(((hertz - 0.8) / 0.25) ** 2))
        for head, (center_x, center_y), strength in zip(heads, centers, strengths, strict=True):
            phase = rng.uniform(0, 2 * np.pi)
            dx, dy = x - center_x, y - center_y
            distance = torch.hypot(dx, dy * height / width)
            lag = phase - 5.0 * distance  # the petals lag behind the center
            sway = strength * gust * (1.3 - dy)
            ripple = strength * gust * 1.2 * distance
            real, imaginary = torch.cos(lag), torch.sin(lag)
            motion_x = head * weight * (sway + ripple)
            motion_y = head * weight * (0.35 * sway * dx * 3 + 0.5 * ripple)
            coefficients[0, bin_number] += torch.stack(
                [motion_x * real, motion_x * imaginary, motion_y * imaginary, -motion_y * real]
            )
    return gid.SpectralVolume(coefficients, metadata={"source": "made by hand for the demo"})


def readme_loop() -> None:
    """Every other frame of a loop as an animated WebP: assets/loop.webp."""
    photo = flower_photo()
    frames = gid.render(photo, gid.loop(dahlia_volume(photo), num_frames=60))
    images = [to_pil(frame).resize((480, 320), Image.LANCZOS) for frame in frames]
    (ROOT / "assets").mkdir(exist_ok=True)
    images[0].save(
        ROOT / "assets" / "loop.webp",
        save_all=True,
        append_images=images[1:],
        duration=83,
        loop=0,
        quality=60,
        method=6,
    )


def arrow(image: Image.Image, x: float, y: float, dx: float, dy: float, width=3) -> None:
    """Draw a white arrow with a dark outline from (x, y) by (dx, dy), in fractions of the image."""
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


def widget_values(workflow: str, node_type: str) -> list:
    """The widget values of a node of a workflow."""
    nodes = json.loads((ROOT / "workflows" / f"{workflow}.json").read_text())["nodes"]
    return next(n["widgets_values"] for n in nodes if n["type"] == node_type)


def side_by_side(images: list[Image.Image], gap: int = 6) -> Image.Image:
    """Images of the same size side by side on white."""
    width, height = images[0].size
    row = Image.new("RGB", (len(images) * (width + gap) - gap, height), "white")
    for number, image in enumerate(images):
        row.paste(image, (number * (width + gap), 0))
    return row


def poke_images(photo: torch.Tensor, volume: gid.SpectralVolume) -> None:
    """The second poke of poke_a_photo before, during and after the pull; and the photo with arrows for both pokes."""
    pokes = gid.parse_pokes(widget_values("poke_a_photo", "GID_ModalForce")[0])
    second = pokes[1]
    motion = gid.poke(volume, [second], num_frames=120, fps=30, damping=gid.Damping(0.2, 0.04))
    start, release = (round(seconds * 30) for seconds in (second.time, second.release))
    frames = [to_pil(gid.render(photo, motion, start=frame, count=1)[0]) for frame in (start, release, release + 12)]
    arrow(frames[1], second.x, second.y, 2 * second.dx, 2 * second.dy)
    crops = [frame.crop((130, 38, 380, 288)) for frame in frames]
    side_by_side(crops).save(ROOT / "js" / "docs" / "images" / "poke.jpg", quality=85)
    thumbnail = to_pil(photo).resize((384, 216), Image.LANCZOS)
    for poke in pokes:
        arrow(thumbnail, poke.x, poke.y, 4 * poke.dx, 4 * poke.dy)
    thumbnail.save(ROOT / "workflows" / "poke_a_photo.jpg", quality=85)


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
    image = to_pil(photo)
    mask = mask.filter(ImageFilter.MaxFilter(5)).filter(ImageFilter.GaussianBlur(2)).resize(image.size, Image.LANCZOS)
    image.putalpha(mask.point(lambda value: 255 - value))  # the editor makes painted pixels transparent
    image.save(ROOT / "assets" / "flowers_painted.png", optimize=True)
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
    with av.open(str(ROOT / "assets" / "tune.mp3"), "w") as container:
        stream = container.add_stream("libmp3lame", rate=sample_rate, layout="mono", bit_rate=64_000)
        frame = av.AudioFrame.from_ndarray(waveform[None].astype(np.float32), "fltp", "mono")
        frame.sample_rate = sample_rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return waveform, sample_rate


def row_over_time(photo: torch.Tensor, motion: gid.Motion, row: float, columns: slice) -> torch.Tensor:
    """Some columns of one row of the image over time; time runs to the right: [columns, frames, 3]."""
    rows = [
        gid.render(photo, motion, start=first, count=min(30, len(motion) - first))[:, int(row * len(photo)), columns]
        for first in range(0, len(motion), 30)
    ]
    return torch.cat(rows).transpose(0, 1)


def stacked(strips: list[Image.Image]) -> Image.Image:
    """Two pictures of a row over time, one above the other on white."""
    image = Image.new("RGB", (600, 2 * 200 + 6), "white")
    for number, strip in enumerate(strips):
        image.paste(strip.resize((600, 200), Image.LANCZOS), (0, number * 206))
    return image


def wind_images(photo: torch.Tensor, volume: gid.SpectralVolume) -> None:
    """One row of the photo in a steady and in a gusty wind; and the photo with arrows for the wind."""
    strips = [
        to_pil(row_over_time(photo, gid.wind(volume, gustiness=gustiness, seed=1), 0.21, slice(100, 200)))
        for gustiness in (0.0, 1.0)
    ]
    stacked(strips).save(ROOT / "js" / "docs" / "images" / "wind.jpg", quality=85)
    thumbnail = to_pil(photo).resize((384, 216), Image.LANCZOS)
    for x, y, length in ((0.02, 0.3, 0.25), (0.3, 0.55, 0.35), (0.08, 0.8, 0.22)):
        arrow(thumbnail, x, y, length, 0)
    thumbnail.save(ROOT / "workflows" / "wind_on_a_photo.jpg", quality=85)


def long_loop_images(photo: torch.Tensor, volume: gid.SpectralVolume) -> None:
    """One row of the photo in twenty seconds of a loop and of a long loop; and the photo over the latter."""
    motions = gid.loop(volume, num_frames=600), gid.long_loop(volume, seconds=20)
    strips = [to_pil(row_over_time(photo, motion, 0.21, slice(100, 200))) for motion in motions]
    stacked(strips).save(ROOT / "js" / "docs" / "images" / "long_loop.jpg", quality=85)
    thumbnail = to_pil(photo).resize((384, 216), Image.LANCZOS)
    thumbnail.paste(strips[1].resize((384, 72), Image.LANCZOS), (0, 144))
    thumbnail.save(ROOT / "workflows" / "long_loop.jpg", quality=85)


def page_thumbnail(photo: torch.Tensor) -> None:
    """The photo in a browser's window, with a hand's drag."""
    thumbnail = Image.new("RGB", (384, 216), (222, 225, 230))
    draw = ImageDraw.Draw(thumbnail)
    draw.rounded_rectangle([(64, 4), (376, 16)], 6, "white")
    for number, color in enumerate(((237, 106, 94), (245, 191, 79), (98, 197, 84))):
        draw.ellipse([(10 + 16 * number, 5), (20 + 16 * number, 15)], fill=color)
    picture = to_pil(photo).resize((384, 216), Image.LANCZOS).crop((0, 0, 384, 196))
    arrow(picture, 0.51, 0.82, 0.12, -0.04)
    thumbnail.paste(picture, (0, 20))
    thumbnail.save(ROOT / "workflows" / "interactive_photo.jpg", quality=85)


def flow_thumbnail(photo: torch.Tensor, volume: gid.SpectralVolume) -> None:
    """The photo; over its right half, the flow of a frame in colors."""
    flow = gid.motion_flow(gid.loop(volume), size=photo.shape[:2], start=40, count=1)[0]
    thumbnail = to_pil(photo).resize((384, 216), Image.LANCZOS)
    colors = to_pil(flows_to_images(flow)[0]).resize((384, 216), Image.LANCZOS)
    thumbnail.paste(colors.crop((192, 0, 384, 216)), (192, 0))
    thumbnail.save(ROOT / "workflows" / "motion_to_flow.jpg", quality=85)


def audio_images(photo: torch.Tensor, volume: gid.SpectralVolume) -> None:
    """The tune above a row of the photo that moves to it; and the photo with the tune at its lower border."""
    waveform, sample_rate = write_tune()
    motion = gid.from_audio(volume, torch.from_numpy(waveform), sample_rate, fps=30.0, strength=2.0)
    strip = to_pil(row_over_time(photo, motion, 0.21, slice(100, 200))).resize((600, 200), Image.LANCZOS)
    stacked = Image.new("RGB", (600, 286), "white")
    stacked.paste(draw_waveform(waveform, 600, 80), (0, 0))
    stacked.paste(strip, (0, 86))
    stacked.save(ROOT / "js" / "docs" / "images" / "audio.jpg", quality=85)
    thumbnail = to_pil(photo).resize((384, 216), Image.LANCZOS)
    thumbnail.paste(draw_waveform(waveform, 384, 56), (0, 160))
    thumbnail.save(ROOT / "workflows" / "audio_reactive.jpg", quality=85)


def draw_waveform(waveform: np.ndarray, width: int, height: int) -> Image.Image:
    """The loudness over time as a symmetric band."""
    image = Image.new("RGB", (width, height), (24, 26, 32))
    draw = ImageDraw.Draw(image)
    for x, part in enumerate(np.array_split(np.abs(waveform), width)):
        extent = part.max() / np.abs(waveform).max() * (height / 2 - 3)
        draw.line([(x, height / 2 - extent), (x, height / 2 + extent)], (120, 190, 255))
    return image


def mask_images(photo: torch.Tensor) -> None:
    """The mask over the photo, and where the photo moves."""
    mask = paint_mask(photo)
    volume = gid.volume_from_mask(torch.from_numpy(np.asarray(mask) / 255).float(), seed=1)
    image = to_pil(photo)
    tinted = Image.composite(Image.new("RGB", image.size, (255, 60, 60)), image, mask.point(lambda value: value // 2))
    motion = to_pil(motion_map(gid.loop(volume), photo, photo.shape[1]))
    side_by_side([tinted, motion]).save(ROOT / "js" / "docs" / "images" / "mask.jpg", quality=82)
    thumbnail = tinted.resize((384, 216), Image.LANCZOS)
    thumbnail.paste(motion.resize((384, 216), Image.LANCZOS).crop((192, 0, 384, 216)), (192, 0))
    thumbnail.save(ROOT / "workflows" / "sway_from_mask.jpg", quality=85)


def brush_images(photo: torch.Tensor) -> None:
    """The strokes of brush_to_loop over the photo, in the page's colors; beside it, where the photo moves."""
    *_, text = (value for value in widget_values("brush_to_loop", "GID_VolumeFromMask") if "kind" in str(value))
    strokes, size = gid.parse_strokes(text), photo.shape[:2]
    maps = rasterize_strokes(strokes, size)
    green, orange, red = (torch.tensor(color) / 255 for color in ((96, 225, 110), (255, 180, 50), (235, 60, 70)))
    stiff = maps.stiffness.log10().clamp(0, 1)[..., None]
    color = torch.where(maps.pin[..., None] > maps.move[..., None] * 0.5, red, green + stiff * (orange - green))
    opacity = 0.5 * torch.maximum(maps.move, maps.pin)[..., None]
    drawn = to_pil(photo + opacity * (color - photo))
    for stroke in maps.arrows:
        (x, y, _), (to_x, to_y, _) = stroke.points
        arrow(drawn, x, y, 2 * (to_x - x), 2 * (to_y - y), width=2)  # twice as long, to be seen
    volume = gid.volume_from_mask(strokes=strokes, size=size, seed=1)
    moving = to_pil(motion_map(gid.loop(volume), photo, photo.shape[1]))
    side_by_side([drawn, moving]).save(ROOT / "js" / "docs" / "images" / "brush.jpg", quality=82)
    drawn.resize((384, 216), Image.LANCZOS).save(ROOT / "workflows" / "brush_to_loop.jpg", quality=85)


def track_images(photo: torch.Tensor) -> None:
    """The tracks of tracks_to_loop over the photo; beside it, on the help page, where the photo moves."""
    text, *size = widget_values("tracks_to_loop", "GID_TracksToMotion")[:3]
    tracks = gid.parse_tracks(text, size[::-1])
    drawn = to_pil(gid.draw_tracks(tracks, photo)[0])
    motion = gid.motion_from_tracks(tracks, photo)
    moving = to_pil(motion_map(motion, photo, photo.shape[1]))
    side_by_side([drawn, moving]).save(ROOT / "js" / "docs" / "images" / "tracks.jpg", quality=82)
    drawn.resize((384, 216), Image.LANCZOS).save(ROOT / "workflows" / "tracks_to_loop.jpg", quality=85)


def prediction_images(photo: torch.Tensor, volume: gid.SpectralVolume) -> None:
    """The photo beside its predicted motion: the image of the help page, and a thumbnail."""
    motion = gid.loop(volume)
    joined = torch.cat([photo, motion_map(motion, photo, photo.shape[1])], dim=1)
    to_pil(joined).save(ROOT / "js" / "docs" / "images" / "predict.jpg", quality=82)
    thumbnail = to_pil(photo).resize((384, 216), Image.LANCZOS)
    thumbnail.paste(to_pil(motion_map(motion, photo, 384)[:, 192:]), (192, 0))
    thumbnail.save(ROOT / "workflows" / "photo_to_loop.jpg", quality=85)


def renderer_images(photo: torch.Tensor, volume: gid.SpectralVolume, renderer) -> None:
    """The region of a frame in which the fast splat and the network differ most, enlarged."""
    motion = gid.loop(volume.amplify(2.5))
    frames = [gid.render(photo, motion, start=40, count=1, renderer=choice)[0] for choice in (None, renderer)]
    height, width = 96, 128
    difference = (frames[0] - frames[1]).abs().mean(-1)[None, None]
    mean_difference = torch.nn.functional.avg_pool2d(difference, (height, width), stride=8)
    row, column = divmod(int(mean_difference.argmax()), mean_difference.shape[-1])
    window = slice(8 * row, 8 * row + height), slice(8 * column, 8 * column + width)
    crops = [to_pil(frame[window]).resize((3 * width, 3 * height), Image.NEAREST) for frame in frames]
    side_by_side(crops).save(ROOT / "js" / "docs" / "images" / "network.jpg", quality=88)


def clip_thumbnails() -> None:
    """A frame with its motion over the right half; and the same frame with a poster in the right half."""
    scene = random_scene(3, size=(216, 384))
    frame = torch.as_tensor(scene.render(0))
    volume = scene.spectral_volume()
    right = motion_map(gid.loop(volume), frame, 384)
    joined = torch.cat([frame[:, :192], right[:, 192:]], dim=1)
    to_pil(joined).save(ROOT / "workflows" / "clip_to_loop.jpg", quality=85)
    moved = gid.render(frame, gid.loop(volume), start=60, count=1)[0]
    poster = to_pil(moved).quantize(12, dither=Image.Dither.NONE).convert("RGB")
    halves = torch.cat([frame[:, :192], torch.frombuffer(bytearray(poster.tobytes()), dtype=torch.uint8)
                        .view(216, 384, 3)[:, 192:] / 255], dim=1)  # fmt: skip
    to_pil(halves).save(ROOT / "workflows" / "motion_to_restyled_photo.jpg", quality=85)


if __name__ == "__main__":
    readme_loop()
    clip_thumbnails()
    flowers = gid.read_image(PHOTO)
    pipeline = gid.GIDPipeline.from_pretrained()
    prediction = pipeline(flowers, seed=1)
    prediction_images(flowers, prediction)
    renderer_images(flowers, prediction, pipeline.renderer)
    poke_images(flowers, prediction)
    wind_images(flowers, prediction)
    long_loop_images(flowers, prediction)
    page_thumbnail(flowers)
    flow_thumbnail(flowers, prediction)
    audio_images(flowers, prediction)
    mask_images(flowers)
    brush_images(flowers)
    track_images(flowers)
