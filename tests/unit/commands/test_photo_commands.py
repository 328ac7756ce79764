"""animate, poke, wind and page: what they write, and their errors."""

import os
import sys

import pytest
import torch

from command_files import images, load
from gid_core.cli import main
from gid_core.dynamics.oscillators import Damping
from gid_core.dynamics.poke import poke
from gid_core.dynamics.poke_list import Poke, format_pokes
from gid_core.dynamics.wind import wind
from gid_core.media.image_io import read_image, write_image
from gid_core.media.video_io import read_video
from gid_core.models.pipeline import GIDPipeline
from gid_core.motion import loop
from gid_core.presets import WIND_PRESETS
from gid_core.rendering.interactive_page import interactive_page
from gid_core.rendering.render import render
from gid_core.spectral_volume import SpectralVolume

# ---- animate ----

ANIMATE = ["animate", "photo.png", "--model", "model.safetensors", "--steps", "2", "--frames", "6", "-o"]


def test_animate(model, capsys):
    assert main([*ANIMATE, "loop.mp4", "--volume", "new.safetensors", "--loop-mode", "none"]) == 0
    frames, _ = read_video("loop.mp4")
    assert frames.shape == (6, 48, 64, 3)
    assert (frames[0] - read_image("photo.png")).abs().mean() < 0.03
    assert "seamless" in capsys.readouterr().out
    volume = SpectralVolume.load("new.safetensors")
    assert volume.metadata["source"] == "predicted by tiny"
    assert main([*ANIMATE, "a", "--loop-mode", "none"]) == 0
    assert main([*ANIMATE, "drawn", "--loop-mode", "none", "--renderer", "network"]) == 0
    assert main([*ANIMATE, "b", "--seed", "1"]) == 0
    assert main([*ANIMATE, "c", "--amplitude", "0"]) == 0
    network = GIDPipeline.from_pretrained("model.safetensors").renderer
    for folder, renderer in (("a", None), ("drawn", network)):
        expected = render(read_image("photo.png"), loop(volume, 6), renderer=renderer)
        torch.testing.assert_close(images(model / folder), expected, atol=1.5 / 255, rtol=0)
    assert (images(model / "a") - images(model / "b")).abs().max() > 0.05
    assert torch.equal(images(model / "c")[3], read_image("photo.png"))


def test_animate_does_not_move_black_mask_pixels(model):
    mask = torch.zeros(48, 64, 3)
    mask[:, 32:] = 1
    write_image("mask.png", mask)
    assert main([*ANIMATE, "masked", "--mask", "mask.png", "--feather", "0", "--loop-mode", "crossfade"]) == 0
    frames, photo = images(model / "masked"), read_image("photo.png")
    assert torch.equal(frames[:, :, :32], photo[:, :32].expand(6, -1, -1, -1))
    assert (frames[2, :, 32:] - photo[:, 32:]).abs().max() > 0.05


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "nothing.safetensors"], "nothing.safetensors"),
        (["--model", "volume.safetensors"], "not a motion model"),
        (["--steps", "0"], "num_inference_steps"),
        (["--guidance", "-1"], "guidance_scale"),
        (["--amplitude", "nan"], "amplitude"),
        (["--mask", "nothing.png"], "nothing.png"),
        (["--device", "nowhere"], "--device nowhere"),
    ],
)
def test_animate_refuses(model, capsys, arguments, message):
    before = sorted(os.listdir())
    assert main([*ANIMATE, "loop.mp4", *arguments]) == 1
    error = capsys.readouterr().err
    assert "gid animate: " in error and message in error and "Traceback" not in error
    assert sorted(os.listdir()) == before


# ---- poke, wind ----

STORED = ["photo.png", "--motion", "volume.safetensors", "--renderer", "fast-splat", "-o"]


def test_poke_with_a_stored_motion(files, capsys):
    assert main(["poke", *STORED, "out", "--poke", "0.5,0.4,0.05,-0.01", "--frames", "9", "--fps", "15"]) == 0
    volume, photo = load()
    expected = render(photo, poke(volume, [Poke(0.5, 0.4, 0.05, -0.01)], num_frames=9, fps=15, max_displacement=0.05))
    torch.testing.assert_close(images(files / "out"), expected, atol=0.51 / 255, rtol=0)
    assert (expected[6] - photo).abs().max() > 0.1
    assert "9 frames at 15 fps" in capsys.readouterr().out


def test_pokes_of_a_file_and_of_options_add_up(files):
    pokes = [Poke(0.3, 0.3, 0.04, 0, 0.1), Poke(0.6, 0.4, -0.03, 0.01, 0.2, 0.1)]
    (files / "pokes.json").write_text(format_pokes(pokes[:1]))
    settings = ["--strength", "0.5", "--damping", "2", "--speed", "1.5", "--limit", "0.1", "--frames", "12"]
    added = ["--pokes", "pokes.json", "--poke", "0.6,0.4,-0.03,0.01,0.2,0.1"]
    assert main(["poke", *STORED, "out", *added, *settings]) == 0
    volume, photo = load()
    values = dict(strength=0.5, damping=Damping(0.8, 0.16), speed=1.5, max_displacement=0.1, num_frames=12)
    expected = render(photo, poke(volume, pokes, **values))
    torch.testing.assert_close(images(files / "out"), expected, atol=0.51 / 255, rtol=0)


def test_wind_with_a_stored_motion(files, capsys):
    command = ["wind", *STORED, "out", "--direction", "180", "--gustiness", "1", "--seed", "3", "--frames", "6"]
    assert main([*command, "--loop"]) == 0
    volume, photo = load()
    motion = wind(volume, direction_degrees=180, gustiness=1, seed=3, num_frames=6, loops=True, max_displacement=0.05)
    torch.testing.assert_close(images(files / "out"), render(photo, motion), atol=0.51 / 255, rtol=0)
    assert "seamless" in capsys.readouterr().out
    assert main(command) == 0
    assert torch.equal(images(files / "out")[0], photo)


def test_wind_with_a_preset_and_a_change_of_it(files):
    assert main(["wind", *STORED, "out", "--preset", "storm", "--speed", "0.5", "--frames", "6"]) == 0
    volume, photo = load()
    storm = WIND_PRESETS["storm"]
    settings = dict(
        strength=storm.strength, gustiness=storm.gustiness, damping=Damping(0.4 * storm.damping, 0.08 * storm.damping)
    )
    motion = wind(volume, **settings, speed=0.5, num_frames=6, max_displacement=0.05)
    torch.testing.assert_close(images(files / "out"), render(photo, motion), atol=0.51 / 255, rtol=0)


@pytest.mark.parametrize("command", [["poke", "--poke", "0.5,0.4,0.05,0"], ["wind"]])
def test_poke_and_wind_on_a_predicted_motion(model, command):
    name, *arguments = command
    predict = ["photo.png", "--model", "model.safetensors", "--steps", "2", "--volume", "new.safetensors"]
    assert main([name, *predict, *arguments, "--frames", "5", "-o", "a.mp4"]) == 0
    assert len(read_video("a.mp4")[0]) == 5
    assert SpectralVolume.load("new.safetensors").metadata["source"] == "predicted by tiny"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["poke", *STORED, "a.mp4"], "There is no poke"),
        (["poke", *STORED, "a.mp4", "--poke", "0.5,0.4"], "--poke must be X,Y,DX,DY[,TIME[,HOLD]]; got 2 numbers"),
        (["poke", *STORED, "a.mp4", "--poke", "2,0.4,0,0"], "x is 2.0; it must be 0 to 1"),
        (["poke", *STORED, "a.mp4", "--pokes", "nothing.json"], "nothing.json"),
        (["poke", *STORED, "a.mp4", "--poke", "0.5,0.4,0.1,0", "--frames", "0"], "num_frames"),
        (["wind", *STORED, "a.avi"], ".avi"),
        (["wind", *STORED, "nowhere/a.mp4"], "no folder nowhere"),
        (["wind", *STORED, "a.mp4", "--gustiness", "2"], "gustiness"),
        (["wind", *STORED, "a.mp4", "--damping", "-1"], "Damping"),
        (["wind", *STORED, "a.mp4", "--limit", "0"], "max_displacement"),
    ],
)
def test_poke_and_wind_refuse(files, capsys, arguments, message):
    before = sorted(os.listdir())
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert f"gid {arguments[0]}: " in error and message in error and "Traceback" not in error
    assert sorted(os.listdir()) == before


# ---- page ----

PAGE = ["page", "photo.png", "--motion", "volume.safetensors", "-o"]


def test_page_of_a_stored_motion(files, capsys):
    assert main([*PAGE, "a.html", "--title", "My <photo>", "--alt", "Stems", "--autoplay", "--size", "64"]) == 0
    volume, photo = load()
    assert (files / "a.html").read_text("utf-8") == interactive_page(
        photo, volume, title="My <photo>", alt="Stems", autoplay=True, max_size=64
    )
    assert "a.html" in capsys.readouterr().out
    assert main([*PAGE, "b.html", "--gain", "0.5"]) == 0
    expected = interactive_page(photo, volume.amplify(0.5), title="photo")
    assert (files / "b.html").read_text("utf-8") == expected


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow no such file names")
def test_page_of_a_photo_whose_name_is_no_text(files):
    os.rename("photo.png", b"a\xff<b>.png")
    assert main(["page", os.fsdecode(b"a\xff<b>.png"), *PAGE[2:], "a.html"]) == 0
    assert "<title>a\ufffd&lt;b&gt;</title>" in (files / "a.html").read_text("utf-8")


def test_page_keeps_black_mask_pixels_still(files):
    mask = torch.zeros(48, 64, 3)
    mask[:, 32:] = 1
    write_image("mask.png", mask)
    assert main([*PAGE, "a.html", "--mask", "mask.png", "--feather", "0"]) == 0
    volume, photo = load()
    assert (files / "a.html").read_text("utf-8") == interactive_page(photo, volume.mask(mask[..., 0]), title="photo")


def test_page_of_a_predicted_motion(model):
    predict = ["page", "photo.png", "--model", "model.safetensors", "--steps", "2", "--volume", "new.safetensors"]
    assert main([*predict, "-o", "a.html"]) == 0
    expected = interactive_page(read_image("photo.png"), SpectralVolume.load("new.safetensors"), title="photo")
    assert (model / "a.html").read_text("utf-8") == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*PAGE, "a.mp4"], ".mp4"),
        ([*PAGE, "nowhere/a.html"], "nowhere"),
        ([*PAGE, "a.html", "--size", "5"], "max_size"),
        ([*PAGE, "a.html", "--mask", "nothing.png"], "nothing.png"),
        (["page", "photo.png", "--motion", "nothing.safetensors", "-o", "a.html"], "nothing.safetensors"),
    ],
)
def test_page_refuses(files, capsys, arguments, message):
    before = sorted(os.listdir())
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert "gid page: " in error and message in error and "Traceback" not in error
    assert sorted(os.listdir()) == before
