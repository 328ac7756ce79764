"""loop, render, extract and animate-clip: what they write, and their errors."""

import os

import pytest
import torch

from command_files import FAST, images, load
from gid_core.cli import main
from gid_core.media.image_io import read_image, write_image
from gid_core.media.video_io import read_video, write_video
from gid_core.motion import loop, playback
from gid_core.rendering.render import render
from gid_core.spectral_volume import SpectralVolume

# ---- loop ----


def test_loop_to_a_video(files, capsys):
    assert main(["loop", *FAST, "-o", "a.mp4", "--frames", "20"]) == 0
    frames, fps = read_video("a.mp4")
    assert frames.shape == (20, 48, 64, 3) and fps == 30
    assert (frames[0] - read_image("photo.png")).abs().mean() < 0.03
    out = capsys.readouterr().out
    assert "a.mp4" in out and "20 frames at 30 fps" in out and "seamless" in out
    assert sorted(os.listdir()) == ["a.mp4", "photo.png", "volume.safetensors"]


def test_a_long_loop_to_a_video(files, capsys):
    assert main(["loop", *FAST, "-o", "a.mp4", "--long-loop", "6", "--fps", "10", "--variation", "1"]) == 0
    assert "60 frames at 10 fps, a seamless loop" in capsys.readouterr().out
    assert len(read_video("a.mp4")[0]) == 60


def test_loop_to_images(files):
    assert main(["loop", *FAST, "-o", "out/deep", "--frames", "6"]) == 0
    assert sorted(os.listdir("out/deep")) == [f"{i:05d}.png" for i in range(6)]
    volume, photo = load()
    expected = render(photo, loop(volume, 6))
    torch.testing.assert_close(images(files / "out/deep"), expected, atol=0.51 / 255, rtol=0)
    assert torch.equal(images(files / "out/deep")[0], photo)


def test_speed_and_fps_decide_the_length(files):
    assert main(["loop", *FAST, "-o", "a.mp4", "--speed", "2.5", "--fps", "12"]) == 0
    frames, fps = read_video("a.mp4")
    assert len(frames) == 24 and fps == 12


def test_gain_limit_and_bands(files):
    volume, photo = load()
    command = ["loop", *FAST, "--frames", "4", "-o"]
    assert main([*command, "still", "--gain", "0"]) == 0
    assert torch.equal(images(files / "still"), photo.expand(4, -1, -1, -1))
    assert main([*command, "shaped", "--gain", "1.5", "--band-gains", "1,0.5,0"]) == 0
    expected = render(photo, loop(volume.amplify(1.5, [1, 0.5, 0]), 4))
    torch.testing.assert_close(images(files / "shaped"), expected, atol=0.51 / 255, rtol=0)
    assert main([*command, "limited", "--limit", "0.0001"]) == 0
    assert (images(files / "limited") - photo).abs().max() < 0.02


def test_black_mask_pixels_do_not_move(files):
    _, photo = load()
    mask = torch.zeros(48, 64, 3)
    mask[:, 32:] = 1
    write_image("mask.png", mask)
    command = ["loop", "volume.safetensors", "photo.png", "--frames", "4", "-o", "masked", "--mask", "mask.png"]
    assert main([*command, "--feather", "4"]) == 0
    frames = images(files / "masked")
    assert torch.equal(frames[:, :, :32], photo[:, :32].expand(4, -1, -1, -1))
    assert (frames[2, :, 32:] - photo[:, 32:]).abs().max() > 0.1


def test_a_gray_mask_is_applied_only_once(files):
    volume, photo = load()
    gray = 128 / 255
    write_image("mask.png", torch.full((48, 64, 3), gray))
    command = ["loop", "volume.safetensors", "photo.png", "--frames", "4", "-o", "masked", "--mask", "mask.png"]
    assert main([*command, "--feather", "0"]) == 0
    expected = render(photo, loop(volume.amplify(gray), 4))
    assert (images(files / "masked") - expected).abs().mean() < 0.005


def test_transparent_photos_give_transparent_frames(files):
    _, photo = load()
    write_image("photo.png", torch.cat([photo, torch.linspace(0, 1, 64).expand(48, 64)[..., None]], dim=-1))
    assert main(["loop", *FAST, "-o", "out", "--frames", "2"]) == 0
    assert images(files / "out").shape == (2, 48, 64, 4)
    assert main(["loop", *FAST, "-o", "a.webm", "--frames", "3"]) == 0
    assert len(read_video("a.webm")[0]) == 3


# ---- render ----


def test_render_plays_once(files, capsys):
    command = ["render", *FAST, "-o", "out", "--start", "30", "--count", "3"]
    assert main(command) == 0
    assert sorted(os.listdir("out")) == ["00030.png", "00031.png", "00032.png"]
    volume, photo = load()
    expected = render(photo, playback(volume), start=30, count=3)
    torch.testing.assert_close(images(files / "out"), expected, atol=0.51 / 255, rtol=0)
    assert "seamless" not in capsys.readouterr().out
    assert main(["render", *FAST, "-o", "a.mp4", "--start", "146"]) == 0
    assert len(read_video("a.mp4")[0]) == 4


# ---- errors ----

LOOP = ["loop", *FAST, "-o", "a.mp4"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["loop", "nothing.safetensors", "photo.png", "-o", "a.mp4"], "nothing.safetensors"),
        (["loop", "photo.png", "photo.png", "-o", "a.mp4"], "photo.png cannot be read as a spectral volume"),
        (["loop", "volume.safetensors", "nothing.png", "-o", "a.mp4"], "nothing.png"),
        (["loop", "volume.safetensors", "volume.safetensors", "-o", "a.mp4"], "cannot be read as an image"),
        (["loop", *FAST, "-o", "a.avi"], ".avi"),
        (["loop", *FAST, "-o", "nowhere/a.mp4"], "nowhere"),
        ([*LOOP, "--speed", "0"], "speed"),
        ([*LOOP, "--frames", "0"], "num_frames"),
        ([*LOOP, "--long-loop", "1"], "seconds must be at least 5"),
        ([*LOOP, "--long-loop", "9", "--variation", "2"], "variation must be"),
        ([*LOOP, "--long-loop", "9", "--frames", "9"], "--frames and --long-loop both give a length"),
        ([*LOOP, "--fps", "-3"], "fps"),
        ([*LOOP, "--gain", "nan"], "finite"),
        ([*LOOP, "--limit", "-1"], "max_fraction"),
        ([*LOOP, "--mask", "nothing.png"], "nothing.png"),
        ([*LOOP, "--mask", "photo.png", "--feather", "-1"], "feather"),
        (["render", *LOOP[1:], "--start", "150"], "150"),
        (["render", *LOOP[1:], "--count", "151"], "151 frames"),
        (["render", *LOOP[1:], "--start", "-1"], "-1"),
    ],
)
def test_bad_input_gives_one_line_and_no_file(files, capsys, arguments, message):
    assert main(arguments) == 1
    captured = capsys.readouterr()
    said = [line for line in captured.err.splitlines() if line.startswith(f"gid {arguments[0]}: ")]
    assert len(said) == 1 and message in said[0]
    assert "Traceback" not in captured.err and captured.out == ""
    assert sorted(os.listdir()) == ["photo.png", "volume.safetensors"]


def test_an_empty_photo_is_refused(files, capsys):
    open("photo.png", "wb").close()
    assert main(LOOP) == 1
    assert "photo.png" in capsys.readouterr().err


# ---- extract, animate-clip ----


@pytest.fixture
def clip(files, stems):
    pytest.importorskip("gid_core.sources.video")
    write_video("clip.mp4", torch.from_numpy(stems.frames(20)), 30, crf=8)
    return files


def test_extract(clip, capsys):
    command = ["extract", "clip.mp4", "-o", "new.safetensors", "--bins", "6", "--reference", "first.png"]
    assert main([*command, "--window-seconds", "0.6"]) == 0
    volume = SpectralVolume.load("new.safetensors")
    assert volume.num_bins == 6 and volume.size == (48, 64)
    assert volume.coefficients.abs().max() > 0
    assert (read_image("first.png") - read_video("clip.mp4")[0][0]).abs().max() < 0.01
    assert "6 bins" in capsys.readouterr().out


def test_animate_clip(clip):
    command = ["animate-clip", "clip.mp4", "-o", "loop.mp4", "--window-seconds", "0.6", "--frames", "12"]
    assert main([*command, "--bins", "6"]) == 0
    frames, fps = read_video("loop.mp4")
    assert frames.shape == (12, 48, 64, 3)
    assert (frames[0] - read_video("clip.mp4")[0][0]).abs().mean() < 0.03


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["extract", "nothing.mp4", "-o", "new.safetensors"], "nothing.mp4"),
        (["extract", "photo.png", "-o", "new.safetensors"], ""),
        (["extract", "clip.mp4", "-o", "new.safetensors", "--bins", "500"], "500"),
        (["extract", "clip.mp4", "-o", "new.safetensors", "--start-frame", "25"], "25"),
        (["animate-clip", "clip.mp4", "-o", "a.avi"], ".avi"),
    ],
)
def test_bad_clips_are_refused(clip, capsys, arguments, message):
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert f"gid {arguments[0]}: " in error and message in error and "Traceback" not in error
    assert sorted(os.listdir()) == ["clip.mp4", "photo.png", "volume.safetensors"]
