"""Loops as animated images, as other programs read them (Pillow)."""

import numpy as np
import pytest
import torch
from PIL import Image

import gid_core as gid

SIZE = (45, 63)


def swinging(count=7):
    """[T, H, W, 3]: a smooth photo in whose right half a square moves."""
    y, x = torch.meshgrid(*(torch.linspace(0, 1, side) for side in SIZE), indexing="ij")
    frames = torch.stack([x, y, 1 - x], -1).repeat(count, 1, 1, 1)
    for index in range(count):
        frames[index, 10 + index : 30 + index, 40:55] = torch.tensor([0.9, 0.4, 0.1])
    return frames


def decoded(path):
    """(images [T, H, W, 4] in 0..255, durations in milliseconds, repetitions) as Pillow reads them."""
    with Image.open(path) as file:
        images, durations = [], []
        for index in range(file.n_frames):
            file.seek(index)
            images.append(np.asarray(file.convert("RGBA")).astype(int))
            durations.append(file.info["duration"])
        return np.stack(images), durations, file.info["loop"]


@pytest.mark.parametrize(("name", "tolerance"), [("a.webp", 5), ("a.gif", 12), ("a.GIF", 12)])
def test_an_animated_image_shows_the_frames_and_repeats_without_end(tmp_path, name, tolerance):
    frames = swinging()
    images, durations, repetitions = decoded(gid.write_video(tmp_path / name, frames, 30))
    assert images.shape == (7, *SIZE, 4) and repetitions == 0  # 0 stands for no end
    assert np.abs(images[..., :3] / 255 - frames.numpy()).mean() < tolerance / 255
    assert (images[..., 3] == 255).all()
    assert sum(durations) == pytest.approx(7 / 30 * 1000, abs=10)  # milliseconds; GIF counts in hundredths


def test_the_background_of_a_gif_does_not_flicker(tmp_path):
    images, *_ = decoded(gid.write_video(tmp_path / "a.gif", swinging(), 20))
    assert (images[:, :, :40] == images[0, :, :40]).all()
    assert (images[1] != images[0]).any()


def test_webp_keeps_alpha_and_gif_leaves_it_out(tmp_path):
    frames = torch.cat([swinging(3), torch.linspace(0, 1, SIZE[1]).expand(3, *SIZE)[..., None]], -1)
    images, *_ = decoded(gid.write_video(tmp_path / "a.webp", frames, 10))
    assert np.abs(images[..., 3] / 255 - frames[..., 3].numpy()).max() < 0.02
    images, *_ = decoded(gid.write_video(tmp_path / "a.gif", frames, 10))
    assert (images[..., 3] == 255).all()


def test_a_smaller_crf_gives_a_better_webp(tmp_path):
    frames = (swinging(2) + 0.1 * torch.randn(2, *SIZE, 3, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    good, bad = (gid.write_video(tmp_path / f"{crf}.webp", frames, 10, crf=crf) for crf in (5, 50))
    assert good.stat().st_size > 1.5 * bad.stat().st_size


@pytest.mark.parametrize("name", ["a.webp", "a.gif"])
def test_frames_that_change_their_size_leave_no_file(tmp_path, name):
    with pytest.raises(ValueError, match="one size"):
        gid.write_video(tmp_path / name, [torch.zeros(8, 8, 3), torch.zeros(8, 9, 3)], 10)
    assert not list(tmp_path.iterdir())
