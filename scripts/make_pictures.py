"""Makes the pictures that the repository shows: README's loop, and the workflows' thumbnails.

    .venv/bin/python scripts/make_pictures.py

Sources are our own synthetic scenes and scikit-learn's flower.jpg (CC BY); see README for the credit.
"""

import torch
from PIL import Image

import gid_core as gid
from comfy_server import ROOT
from demo import dahlia_volume, flower_photo
from gid_core.training.synthetic import random_scene
from gid_core.visualization import motion_map


def picture(tensor: torch.Tensor) -> Image.Image:
    return Image.fromarray((tensor.clamp(0, 1) * 255).round().byte().numpy())


def readme_loop() -> None:
    """Every other frame of the demo's loop, as an animation that any page plays."""
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
