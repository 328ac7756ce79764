"""Make the pictures of docs/gallery.md: photographs moved by the bundled model with default settings, and failures.

    .venv/bin/python scripts/make_gallery.py --wallpapers FOLDER

FOLDER holds the photographs of Debian's package lomiri-wallpapers-16.04 (/usr/share/backgrounds). The dahlia is
scikit-learn's flower.jpg. The page gives authors and licenses.
"""

import argparse
from pathlib import Path

import torch
from PIL import Image
from sklearn.datasets import load_sample_image

import gid_core as gid
from comfy_server import ROOT
from gid_core.rendering.visualization import motion_map
from make_pictures import save_loop, side_by_side, to_pil

IMAGES = ROOT / "docs" / "images"
LARGE_GAIN = 4.0  # at which outlines of the dandelions tear


def small(photo: torch.Tensor, longest_side: int = 768) -> torch.Tensor:
    """A photo [H, W, 3] in the size of the gallery."""
    return gid.fit_image(photo, longest_side)[0]


def beside_its_motion(photo: torch.Tensor, volume: gid.SpectralVolume, name: str) -> None:
    """The photo, and where it moves, side by side."""
    side_by_side([to_pil(photo), to_pil(motion_map(gid.loop(volume), photo, photo.shape[1]))]).resize(
        (960, round(480 * photo.shape[0] / photo.shape[1])), Image.LANCZOS
    ).save(IMAGES / f"{name}.jpg", quality=82)


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wallpapers", type=Path, required=True)
    folder = parser.parse_args().wallpapers
    IMAGES.mkdir(exist_ok=True)
    pipeline = gid.GIDPipeline.from_pretrained()
    dahlia = small(torch.from_numpy(load_sample_image("flower.jpg").copy()).float() / 255)
    volume = pipeline(dahlia, seed=1)
    save_loop(IMAGES / "dahlia.webp", dahlia, volume, (480, 320))
    beside_its_motion(dahlia, volume, "dahlia_motion")
    forest = small(gid.read_image(folder / "life_by_Aitzol_Berasategi.jpg"))
    beside_its_motion(forest, pipeline(forest, seed=1), "forest_motion")
    dandelions = gid.read_image(ROOT / "assets" / "dandelions.jpg")
    volume = pipeline(dandelions, seed=2)
    beside_its_motion(dandelions, volume, "dandelions_motion")
    motion = gid.loop(volume.amplify(LARGE_GAIN))
    farthest = int(motion.displacement()[0].square().sum(1).mean((1, 2)).argmax())
    frame = to_pil(gid.render(dandelions, motion, start=farthest, count=1)[0])
    crop = (60, 0, 420, 300)
    side_by_side([to_pil(dandelions).crop(crop), frame.crop(crop)]).save(IMAGES / "too_far.jpg", quality=85)


if __name__ == "__main__":
    main()
