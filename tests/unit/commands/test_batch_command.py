"""batch: every photo of a folder, with processes and with Ray; what goes wrong with one photo, and interrupts."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from importlib.util import find_spec

import pytest
import torch

from deadline import Deadline
from gid_core.cli import main
from gid_core.media.image_io import read_image, write_image
from gid_core.media.video_io import read_video

OPTIONS = ["--model", "model.safetensors", "--steps", "2", "--frames", "4", "--renderer", "fast-splat"]
BATCH = ["batch", "photos", "-o", "videos", *OPTIONS, "--engine"]
ENGINES = [
    "local",
    pytest.param("ray", marks=pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")),
]


@pytest.fixture
def photos(model):
    """A folder with model.safetensors, and photos of it: a.png, b.JPG and c.png, which is no photo."""
    photo = read_image("photo.png")
    (model / "photos").mkdir()
    write_image("photos/a.png", photo)
    write_image("photos/b.JPG", photo.flip(1))
    (model / "photos" / "c.png").write_text("no photo")
    (model / "photos" / "notes.txt").write_text("no photo, and none by its name")
    return model


@pytest.fixture
def two_threads():
    """As many threads as workers, so that each worker computes with one. Their number changes the rounding."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.usefixtures("two_threads")
def test_two_workers_animate_a_folder_and_name_a_bad_photo(photos, capsys, engine):
    assert main([*BATCH, engine, "--workers", "2"]) == 1
    captured = capsys.readouterr()
    assert "1 of 3 photos could not be animated:\n  c.png: c.png cannot be read as an image" in captured.err
    assert "Traceback" not in captured.err and "videos: 2 videos made, 0 were there" in captured.out
    assert sorted(os.listdir("videos")) == ["a.mp4", "b.mp4"]
    torch.set_num_threads(1)
    for photo, video in (("a.png", "a.mp4"), ("b.JPG", "b.mp4")):
        assert main(["animate", f"photos/{photo}", "-o", video, *OPTIONS]) == 0
        assert torch.equal(read_video(f"videos/{video}")[0], read_video(video)[0])


def test_run_again_it_makes_what_is_missing(photos, capsys):
    (photos / "photos" / "c.png").unlink()
    (photos / "videos").mkdir()
    (photos / "videos" / "a.mp4").write_bytes(b"made before")
    (photos / "videos" / ".b-1a2b3c4d.mp4").write_bytes(b"left by a process that was killed")
    assert main([*BATCH, "local"]) == 0
    assert "1 videos made, 1 were there" in capsys.readouterr().out
    assert (photos / "videos" / "a.mp4").read_bytes() == b"made before"
    assert len(read_video("videos/b.mp4")[0]) == 4
    assert main([*BATCH, "local", "--model", "nothing.safetensors"]) == 0  # nothing is left to do
    assert "0 videos made, 2 were there" in capsys.readouterr().out


def is_running(group: int) -> bool:
    """Whether a group of processes has any."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(os.name == "nt", reason="Windows has no process groups that get SIGINT")
@pytest.mark.parametrize("engine", ENGINES)
def test_an_interrupt_ends_all_processes_and_leaves_no_file(photos, repo, engine):
    (photos / "photos" / "c.png").unlink()
    command = [sys.executable, "-m", "gid_core", *BATCH, engine, "--workers", "2", "--frames", "20000"]
    run = subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": str(repo)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a group of its own, to whose processes a terminal would send SIGINT
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # ignored where a shell runs tests by "&"
    )
    deadline = Deadline(60)
    while len(list(photos.glob("videos/.*.mp4"))) < 2:  # both workers write
        assert run.poll() is None and not deadline.passed(), run.communicate()
        time.sleep(0.1)
    os.killpg(run.pid, signal.SIGINT)
    out, error = run.communicate()
    assert run.returncode == 130 and "Traceback" not in error
    assert "0 videos made, 0 were there" in out
    assert os.listdir("videos") == []
    deadline = Deadline(30)
    while is_running(run.pid):  # Python's resource tracker ends a moment later
        assert not deadline.passed()
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere"),
        (["."], "photo.png and photo.tif would both become photo.mp4"),
        (["empty"], "empty holds no photos; photos end in .jpg"),
        (["photos", "-o", "photo.png"], "--output must be a folder; got 'photo.png'"),
        (["photos", "--workers", "0"], "--workers must be"),
        (["photos", "--model", "nothing.safetensors"], "nothing.safetensors"),
        (["photos", "--mask", "nothing.png"], "nothing.png"),
        (["photos", "--device", "nowhere"], "--device nowhere"),
        (["photos", "--engine", "ray"], '--engine ray needs Ray: pip install "generative-image-dynamics[batch]"'),
    ],
)
def test_what_would_fail_for_every_photo_is_refused(photos, monkeypatch, capsys, arguments, message):
    monkeypatch.setitem(sys.modules, "ray", None)
    (photos / "empty").mkdir()
    (photos / "photo.tif").touch()
    assert main(["batch", "-o", "videos", *OPTIONS, *arguments]) == 1
    error = capsys.readouterr().err
    assert "gid batch: " in error and message in error and "Traceback" not in error
    assert not list(photos.glob("videos/*"))
