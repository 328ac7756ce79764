"""Rendering to a file: the frames of `render`, in memory that does not grow, and a whole file or none."""

import pytest
import torch

import gid_core as gid
from gid_core import memory
from gid_core.media.video_io import encoder_memory
from gid_core.rendering import render as rendering
from gid_core.rendering import render_plan
from gid_core.rendering.frame_memory import FAST, working_bytes
from random_tensors import random_uniform


def photo_and_motion(batch=1):
    coarse = random_uniform(batch * 16, 4, 3, 3) - 0.5
    fine = torch.nn.functional.interpolate(coarse, (24, 34), mode="bicubic").view(batch, 16, 4, 24, 34)
    return random_uniform(24, 34, 3), gid.loop(gid.SpectralVolume(fine * 100), 12)


@pytest.mark.parametrize("batch", [1, 2])
def test_the_file_holds_the_frames_of_render(tmp_path, batch):
    photo, motion = photo_and_motion(batch)
    settings = dict(start=3, count=14, mask=random_uniform(24, 34))
    calls, written = [], []

    def progress(done, total, frame):
        calls.append((done, total))
        written.append(frame.clone())

    path = gid.render_to_video(tmp_path / "a.mp4", photo, motion, **settings, progress=progress)
    rendered = gid.render(photo, motion, **settings)
    torch.testing.assert_close(torch.stack(written), rendered, atol=1e-5, rtol=0)
    assert calls == [(i + 1, 14 * batch) for i in range(14 * batch)]
    # The files are not equal: of the same frames, the encoder's first file in a process differs from all later ones.
    expected = gid.write_video(tmp_path / "b.mp4", rendered, motion.fps)
    (read, fps), (again, _) = gid.read_video(path), gid.read_video(expected)
    assert fps == motion.fps and read.shape == again.shape == rendered.shape
    errors, again_errors = ((video - rendered).abs().mean((1, 2, 3)) for video in (read, again))
    torch.testing.assert_close(errors, again_errors, atol=0.01, rtol=0.1)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_canceled_render_leaves_the_old_file_and_no_half_one(tmp_path, error):
    photo, motion = photo_and_motion()
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")

    def cancel(done, total, frame):
        if done == 5:
            raise error

    with pytest.raises(error):
        gid.render_to_video(path, photo, motion, progress=cancel)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_one_chunk_is_alive_at_a_time(tmp_path, monkeypatch):
    import weakref

    photo, motion = photo_and_motion()
    render_flow, made = rendering._render_flow, []

    def count_alive(*arguments):
        assert not [frames for frames in made if frames() is not None]
        frames, holes = render_flow(*arguments)
        made.append(weakref.ref(frames))
        return frames, holes

    monkeypatch.setattr(rendering, "_render_flow", count_alive)
    gid.render_to_video(tmp_path / "a.mp4", photo, motion, chunk=3)
    gid.render(photo, motion, chunk=3)
    assert len(made) == 8


def test_it_streams_what_does_not_fit_as_a_tensor(tmp_path, monkeypatch):
    photo, motion = photo_and_motion()
    need = working_bytes(FAST, 3, (24, 34), 0, 1) + encoder_memory(24, 34)
    for module in (render_plan, memory):
        monkeypatch.setattr(module, "free_memory", lambda device: need)
    with pytest.raises(ValueError, match="20000 frames of 34 x 24 pixels need .*render_to_video"):
        gid.render(photo, motion, count=20_000)
    assert gid.render_to_video(tmp_path / "a.mp4", photo, motion).is_file()
