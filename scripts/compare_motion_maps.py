"""A picture of the motion that two checkouts of this software predict for the same photos: photo, A, B in each row.

python scripts/compare_motion_maps.py --a OLD --b . -o maps.jpg photo1.jpg photo2.jpg
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

import gid_core as gid
from gid_core.rendering.visualization import motion_map
from gid_core.tensors import resize_maps

PREDICT = """
import sys, gid_core as gid
gid.GIDPipeline.from_pretrained()(gid.read_image(sys.argv[1])[..., :3], seed=0).save(sys.argv[2])
"""
PREDICTED_SIZE = (336, 504)  # (H, W) in pixels of the photo
TILE = (216, 324)  # (H, W) of a picture
GAP = 4  # pixels


def predict(checkout: Path, photo: Path, folder: Path) -> gid.SpectralVolume:
    """The volume that a checkout predicts for a photo.

    Raises:
        subprocess.CalledProcessError: if it fails.
    """
    path = folder / "volume.safetensors"
    environment = {**os.environ, "PYTHONPATH": str(checkout.resolve())}
    subprocess.run([sys.executable, "-c", PREDICT, str(photo), str(path)], env=environment, cwd=checkout, check=True)
    return gid.SpectralVolume.load(path)


def crop_to_tile(image: torch.Tensor) -> torch.Tensor:
    """The center of an image [H, W, 3] with the aspect ratio of a tile, in `PREDICTED_SIZE`."""
    height, width = image.shape[:2]
    crop_height = min(height, round(width * TILE[0] / TILE[1]))
    crop_width = min(width, round(crop_height * TILE[1] / TILE[0]))
    top, left = (height - crop_height) // 2, (width - crop_width) // 2
    crop = image[top : top + crop_height, left : left + crop_width]
    return resize_maps(crop.permute(2, 0, 1)[None], PREDICTED_SIZE)[0].permute(1, 2, 0)


def compare(checkouts: list[Path], photos: list[Path]) -> torch.Tensor:
    """One row for each photo: float32 [H, W, 3] in 0..1."""
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for path in photos:
            photo = crop_to_tile(gid.read_image(path)[..., :3])
            small = gid.write_image(folder / "photo.png", photo)
            volumes = [predict(checkout, small, folder) for checkout in checkouts]
            maps = [motion_map(gid.loop(volume), photo, TILE[1]) for volume in volumes]
            tiles = [resize_maps(t.permute(2, 0, 1)[None], TILE)[0].permute(1, 2, 0) for t in (photo, *maps)]
            gap = torch.ones(TILE[0], GAP, 3)
            rows += [torch.cat([tiles[0], gap, tiles[1], gap, tiles[2]], 1), torch.ones(GAP, 3 * TILE[1] + 2 * GAP, 3)]
    return torch.cat(rows[:-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--a", type=Path, required=True, help="a checkout")
    parser.add_argument("--b", type=Path, required=True, help="another checkout")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the picture")
    options = parser.parse_args()
    gid.write_image(options.out, compare([options.a, options.b], [photo.resolve() for photo in options.photos]))


if __name__ == "__main__":
    main()
