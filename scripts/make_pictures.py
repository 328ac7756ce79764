"""Make the images of the README, the help pages and the workflows, and the samples that make_samples draws.

    .venv/bin/python scripts/make_pictures.py

The sources are assets/dandelions.jpg (CC0, see make_samples), assets/flowers.jpg (a frame of this project's synthetic
corpus, from a scene that the bundled model was not trained on), and this project's synthetic scenes.
"""

import json
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

import gid_core as gid
from comfy_server import ROOT
from demo import PHOTO
from gid_core.rendering.renderer import Renderer
from gid_core.rendering.visualization import flows_to_images, motion_map
from gid_core.sources.motion_brush import rasterize_strokes
from make_samples import CLIP, draw_sticker, paint_dandelion_mask, paint_mask, write_tune

HEAD = 0.33, slice(290, 390)  # a row of dandelions.jpg, as a fraction, and columns of it: the edge of the large one


def to_pil(tensor: torch.Tensor) -> Image.Image:
    """Convert an image [H, W, 3] in 0..1 to PIL."""
    return Image.fromarray((tensor.clamp(0, 1) * 255).round().byte().numpy())


def save_loop(path: Path, photo: torch.Tensor, volume: gid.SpectralVolume, size: tuple[int, int]) -> None:
    """Every other frame of a loop as an animated WebP of (width, height)."""
    frames = gid.render(photo, gid.loop(volume))[::2]
    images = [to_pil(frame).resize(size, Image.LANCZOS) for frame in frames]
    images[0].save(path, save_all=True, append_images=images[1:], duration=67, loop=0, quality=60, method=6)


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
    """The first poke of 03_poke_a_photo before, during and after the pull; and the photo with arrows for both."""
    pokes = gid.parse_pokes(widget_values("03_poke_a_photo", "GID_ModalForce")[0])
    first = pokes[0]
    motion = gid.poke(volume, [first], num_frames=120, fps=30, damping=gid.Damping(0.2, 0.04))
    start, release = (round(seconds * 30) for seconds in (first.time, first.release))
    frames = [to_pil(gid.render(photo, motion, start=frame, count=1)[0]) for frame in (start, release, release + 12)]
    arrow(frames[1], first.x, first.y, 2 * first.dx, 2 * first.dy)
    crops = [frame.crop((60, 0, 480, 420)).resize((280, 280), Image.LANCZOS) for frame in frames]
    side_by_side(crops).save(ROOT / "js" / "docs" / "images" / "poke.jpg", quality=85)
    thumbnail = to_pil(photo).resize((384, 216), Image.LANCZOS)
    for poke in pokes:
        arrow(thumbnail, poke.x, poke.y, 4 * poke.dx, 4 * poke.dy)
    thumbnail.save(ROOT / "workflows" / "03_poke_a_photo.jpg", quality=85)


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
        to_pil(row_over_time(photo, gid.wind(volume, gustiness=gustiness, seed=1), *HEAD)) for gustiness in (0.0, 1.0)
    ]
    stacked(strips).save(ROOT / "js" / "docs" / "images" / "wind.jpg", quality=85)
    thumbnail = to_pil(photo).resize((384, 216), Image.LANCZOS)
    for x, y, length in ((0.02, 0.62, 0.22), (0.5, 0.2, 0.3), (0.42, 0.8, 0.25)):
        arrow(thumbnail, x, y, length, 0)
    thumbnail.save(ROOT / "workflows" / "04_wind_on_a_photo.jpg", quality=85)


def long_loop_images(photo: torch.Tensor, volume: gid.SpectralVolume) -> None:
    """One row of the photo in twenty seconds of a loop and of a long loop; and the photo over the latter."""
    motions = gid.loop(volume, num_frames=600), gid.long_loop(volume, seconds=20)
    strips = [to_pil(row_over_time(photo, motion, *HEAD)) for motion in motions]
    stacked(strips).save(ROOT / "js" / "docs" / "images" / "long_loop.jpg", quality=85)
    thumbnail = to_pil(photo).resize((384, 216), Image.LANCZOS)
    thumbnail.paste(strips[1].resize((384, 72), Image.LANCZOS), (0, 144))
    thumbnail.save(ROOT / "workflows" / "14_long_loop.jpg", quality=85)


def page_thumbnail(photo: torch.Tensor) -> None:
    """The photo in a browser's window, with a hand's drag."""
    thumbnail = Image.new("RGB", (384, 216), (222, 225, 230))
    draw = ImageDraw.Draw(thumbnail)
    draw.rounded_rectangle([(64, 4), (376, 16)], 6, "white")
    for number, color in enumerate(((237, 106, 94), (245, 191, 79), (98, 197, 84))):
        draw.ellipse([(10 + 16 * number, 5), (20 + 16 * number, 15)], fill=color)
    picture = to_pil(photo).resize((384, 216), Image.LANCZOS).crop((0, 0, 384, 196))
    arrow(picture, 0.29, 0.33, 0.12, -0.04)
    thumbnail.paste(picture, (0, 20))
    thumbnail.save(ROOT / "workflows" / "15_interactive_photo.jpg", quality=85)


def flow_thumbnail(photo: torch.Tensor, volume: gid.SpectralVolume) -> None:
    """The photo; right of the middle of the large dandelion, the flow of a frame in colors."""
    flow = gid.motion_flow(gid.loop(volume), size=photo.shape[:2], start=40, count=1)[0]
    thumbnail = to_pil(photo).resize((384, 216), Image.LANCZOS)
    colors = to_pil(flows_to_images(flow)[0]).resize((384, 216), Image.LANCZOS)
    thumbnail.paste(colors.crop((112, 0, 384, 216)), (112, 0))
    thumbnail.save(ROOT / "workflows" / "16_motion_to_flow.jpg", quality=85)


def audio_images(photo: torch.Tensor, volume: gid.SpectralVolume) -> None:
    """The tune above a row of the photo that moves to it; and the photo with the tune at its lower border."""
    waveform, sample_rate = write_tune()
    motion = gid.from_audio(volume, torch.from_numpy(waveform), sample_rate, fps=30.0, strength=2.0)
    strip = to_pil(row_over_time(photo, motion, *HEAD)).resize((600, 200), Image.LANCZOS)
    stacked = Image.new("RGB", (600, 286), "white")
    stacked.paste(draw_waveform(waveform, 600, 80), (0, 0))
    stacked.paste(strip, (0, 86))
    stacked.save(ROOT / "js" / "docs" / "images" / "audio.jpg", quality=85)
    thumbnail = to_pil(photo).resize((384, 216), Image.LANCZOS)
    thumbnail.paste(draw_waveform(waveform, 384, 56), (0, 160))
    thumbnail.save(ROOT / "workflows" / "05_dance_to_sound.jpg", quality=85)


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
    tinted = with_mask(photo, mask)
    motion = to_pil(motion_map(gid.loop(volume), photo, photo.shape[1]))
    side_by_side([tinted, motion]).save(ROOT / "js" / "docs" / "images" / "mask.jpg", quality=82)
    thumbnail = tinted.resize((384, 216), Image.LANCZOS)
    thumbnail.paste(motion.resize((384, 216), Image.LANCZOS).crop((192, 0, 384, 216)), (192, 0))
    thumbnail.save(ROOT / "workflows" / "06_sway_from_mask.jpg", quality=85)


def brush_images(photo: torch.Tensor) -> None:
    """The strokes of 07_brush_to_loop over the photo, in the page's colors; beside it, where the photo moves."""
    *_, text = (value for value in widget_values("07_brush_to_loop", "GID_VolumeFromMask") if "kind" in str(value))
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
    drawn.resize((384, 216), Image.LANCZOS).save(ROOT / "workflows" / "07_brush_to_loop.jpg", quality=85)


def track_images(photo: torch.Tensor) -> None:
    """The tracks of 08_tracks_to_loop over the photo; beside it, on the help page, where the photo moves."""
    text, *size = widget_values("08_tracks_to_loop", "GID_TracksToMotion")[:3]
    tracks = gid.parse_tracks(text, size[::-1])
    drawn = to_pil(gid.draw_tracks(tracks, photo)[0])
    motion = gid.motion_from_tracks(tracks, photo)
    moving = to_pil(motion_map(motion, photo, photo.shape[1]))
    side_by_side([drawn, moving]).save(ROOT / "js" / "docs" / "images" / "tracks.jpg", quality=82)
    drawn.resize((384, 216), Image.LANCZOS).save(ROOT / "workflows" / "08_tracks_to_loop.jpg", quality=85)


def split_thumbnail(photo: torch.Tensor, motion: gid.Motion, column: int) -> Image.Image:
    """The photo; right of a column, where it moves."""
    thumbnail = to_pil(photo).resize((384, 216), Image.LANCZOS)
    moving = to_pil(motion_map(motion, photo, 1152)).resize(
        (384, 216), Image.LANCZOS
    )  # its scale is left of the column
    thumbnail.paste(moving.crop((column, 0, 384, 216)), (column, 0))
    return thumbnail


def prediction_images(photo: torch.Tensor, volume: gid.SpectralVolume) -> None:
    """The photo beside its predicted motion: the image of the help page, and a thumbnail."""
    motion = gid.loop(volume)
    joined = torch.cat([photo, motion_map(motion, photo, photo.shape[1])], dim=1)
    to_pil(joined).save(ROOT / "js" / "docs" / "images" / "predict.jpg", quality=82)
    split_thumbnail(photo, motion, 112).save(ROOT / "workflows" / "01_photo_to_loop.jpg", quality=85)


def renderer_images(photo: torch.Tensor, volume: gid.SpectralVolume, renderer: Renderer) -> None:
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


def cinemagraph_thumbnail(photo: torch.Tensor) -> None:
    """The photo, gray where the mask keeps it still."""
    image, mask = to_pil(photo), paint_dandelion_mask(photo)
    still = Image.blend(image.convert("L").convert("RGB"), Image.new("RGB", image.size, "black"), 0.25)
    thumbnail = Image.composite(image, still, mask).resize((384, 216), Image.LANCZOS)
    thumbnail.save(ROOT / "workflows" / "02_masked_cinemagraph.jpg", quality=85)


def clip_thumbnails() -> None:
    """A frame of the sample with its motion, with its pots farther from each other in time, and as a poster."""
    frames, fps = gid.read_video(ROOT / "assets" / CLIP)
    volume = gid.extract_spectral_volume(frames, fps, detrend="ramp", max_size=256)
    small = gid.fit_image(frames[0], 384)[0]
    split_thumbnail(small, gid.loop(volume), 192).save(ROOT / "workflows" / "09_clip_to_loop.jpg", quality=85)
    poster = to_pil(small).quantize(32, dither=Image.Dither.NONE).convert("RGB")
    poster.paste(to_pil(small).crop((0, 0, 192, 216)), (0, 0))
    poster.save(ROOT / "workflows" / "10_restyle_a_clip.jpg", quality=85)
    # One row through the green pot over time: as filmed, and below three times as far.
    strips = [
        to_pil(row_over_time(frames[0], gid.loop(volume.amplify(gain)), 0.8, slice(70, 130))).resize((384, 105))
        for gain in (1.0, 3.0)
    ]
    stacked = Image.new("RGB", (384, 216), "white")
    for number, strip in enumerate(strips):
        stacked.paste(strip, (0, number * 111))
    stacked.save(ROOT / "workflows" / "11_amplify_a_clip.jpg", quality=85)


def generate_thumbnail(photo: torch.Tensor) -> None:
    """The photo below the words that an image is generated from."""
    thumbnail = to_pil(photo).resize((384, 216), Image.LANCZOS)
    draw, font = ImageDraw.Draw(thumbnail), ImageFont.load_default(18)
    draw.rectangle((0, 0, 384, 40), fill=(24, 26, 32))
    draw.text((14, 9), "flowers in a meadow, morning light", fill=(235, 235, 235), font=font)
    thumbnail.save(ROOT / "workflows" / "12_generate_and_animate.jpg", quality=85)


def on_checkerboard(image: Image.Image, side: int = 12) -> Image.Image:
    """An image with alpha over the pattern that stands for transparency."""
    board = Image.new("RGB", image.size, (236, 236, 236))
    for y in range(0, image.height, side):
        for x in range(y // side % 2 * side, image.width, 2 * side):
            board.paste((206, 206, 206), (x, y, x + side, y + side))
    board.paste(image, (0, 0), image)
    return board


def with_mask(photo: torch.Tensor, mask: Image.Image) -> Image.Image:
    """The photo, tinted in red where the mask is white."""
    image = to_pil(photo)
    return Image.composite(Image.new("RGB", image.size, (255, 60, 60)), image, mask.point(lambda value: value // 2))


def sample_images(dandelions: torch.Tensor, flowers: torch.Tensor) -> None:
    """The samples side by side, for the help page of Load Sample; two frames of the moving sticker as a thumbnail."""
    sticker = draw_sticker()
    clip, _ = gid.read_video(ROOT / "assets" / CLIP, max_frames=1)
    pictures = [
        with_mask(dandelions, paint_dandelion_mask(dandelions)).resize((384, 216)),
        with_mask(flowers, paint_mask(flowers)).resize((384, 216)),
        on_checkerboard(sticker.resize((216, 216))),
        to_pil(clip[0]).resize((384, 216)),
    ]
    joined = Image.new("RGB", (384 + 6 + 384, 216 + 6 + 216), "white")
    for picture, corner in zip(pictures, ((0, 0), (390, 0), (84, 222), (390, 222)), strict=True):
        joined.paste(picture, corner)
    joined.save(ROOT / "js" / "docs" / "images" / "sample.jpg", quality=85)
    pixels = gid.read_image(ROOT / "assets" / "sticker.png")
    motion = gid.loop(gid.volume_from_mask(pixels[..., 3], amplitude=0.03, seed=1))
    thumbnail = Image.new("RGB", (384, 216), "white")
    for number, frame in enumerate((25, 60)):
        moved = gid.render(pixels, motion, start=frame, count=1)[0]
        pasted = Image.fromarray((moved.clamp(0, 1) * 255).round().byte().numpy()).resize((216, 216), Image.LANCZOS)
        thumbnail.paste(on_checkerboard(pasted).crop((12, 0, 204, 216)), (number * 192, 0))
    thumbnail.save(ROOT / "workflows" / "13_sticker_with_alpha.jpg", quality=85)


if __name__ == "__main__":
    clip_thumbnails()
    dandelions, flowers = gid.read_image(PHOTO), gid.read_image(ROOT / "assets" / "flowers.jpg")
    pipeline = gid.GIDPipeline.from_pretrained()
    prediction = pipeline(dandelions, seed=2)
    save_loop(ROOT / "assets" / "loop.webp", dandelions, prediction, (576, 324))
    prediction_images(dandelions, prediction)
    renderer_images(dandelions, prediction, pipeline.renderer)
    poke_images(dandelions, prediction)
    wind_images(dandelions, prediction)
    long_loop_images(dandelions, prediction)
    page_thumbnail(dandelions)
    flow_thumbnail(dandelions, prediction)
    audio_images(dandelions, prediction)
    mask_images(flowers)
    cinemagraph_thumbnail(dandelions)
    generate_thumbnail(dandelions)
    sample_images(dandelions, flowers)
    brush_images(flowers)
    track_images(flowers)
