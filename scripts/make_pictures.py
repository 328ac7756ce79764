"""Makes the pictures that the repository shows: README's loop, and the workflows' thumbnails.

    .venv/bin/python scripts/make_pictures.py

Sources are our own synthetic scenes, assets/flowers.jpg (a frame of our own rendered corpus, from a scene that the
shipped model was not trained on), and scikit-learn's flower.jpg (CC BY); see README for the credit.
"""

import numpy as np
import torch
from PIL import Image

import gid_core as gid
from comfy_server import ROOT
from demo import PHOTO
from gid_core.training.synthetic import random_scene
from gid_core.visualization import motion_map


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
    from gid_core.images import resize_maps

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
    centres, reach = ((0.48, 0.52), (0.6, 1.05)), (1.0, 0.6)

    random = np.random.default_rng(2)
    coefficients = torch.zeros(1, 16, 4, height, width)
    for bin_number in range(1, 13):
        hertz = bin_number / 5
        gust = 70 / (1 + (hertz / 0.35) ** 2) + 35 * np.exp(-(((hertz - 0.8) / 0.25) ** 2))
        for head, (centre_x, centre_y), strength in zip(heads, centres, reach, strict=True):
            phase = random.uniform(0, 2 * np.pi)
            dx, dy = x - centre_x, y - centre_y
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


def predicted() -> None:
    """The demo's photo beside the motion predicted from it: the help page's picture, and a thumbnail."""
    photo = gid.read_image(PHOTO)
    motion = gid.loop(gid.GIDPipeline.from_pretrained()(photo, seed=1))
    both = torch.cat([photo, motion_map(motion, photo, photo.shape[1])], dim=1)
    picture(both).save(ROOT / "js" / "docs" / "images" / "predict.jpg", quality=82)
    small = picture(photo).resize((384, 216), Image.LANCZOS)
    small.paste(picture(motion_map(motion, photo, 384)[:, 192:]), (192, 0))
    small.save(ROOT / "workflows" / "photo_to_loop.jpg", quality=85)


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
    predicted()
