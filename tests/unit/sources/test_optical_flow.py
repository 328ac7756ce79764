"""Trajectories: accuracy on known motion, every frame size, canceling, and the prevention of crashes in OpenCV."""

import subprocess
import sys
import textwrap
import tracemalloc

import numpy as np
import pytest
import torch

from gid_core.sources.optical_flow import dis_flow, estimate_trajectories, gray_frames, refine_trajectories


def textured(height, width, seed=0):
    """Smooth noise with detail at every scale, float32 [H, W, 3] in 0..1."""
    import cv2

    rng = np.random.default_rng(seed)
    noise = sum(cv2.GaussianBlur(rng.standard_normal((height, width, 3)), (0, 0), s) * s for s in (1, 2, 5))
    return ((noise - noise.min()) / (noise.max() - noise.min())).astype(np.float32)


def shifted_clip(shifts, height=64, width=96, margin=12):
    """A textured plane moved by whole pixels (dx, dy)."""
    plane = textured(height + 2 * margin, width + 2 * margin)
    views = [plane[margin - dy : margin - dy + height, margin - dx : margin - dx + width] for dx, dy in shifts]
    return np.stack(views)


def test_a_known_shift_is_found():
    shifts = [(0, 0), (1, 0), (2, -1), (4, -2)]
    path, confidence = estimate_trajectories(shifted_clip(shifts))
    inner = path[:, :, 8:-8, 8:-8]
    assert (inner - torch.tensor(shifts, dtype=torch.float32)[:, :, None, None]).abs().mean() < 0.03
    assert confidence.shape == path.shape[-2:] and confidence[8:-8, 8:-8].mean() > 0.95


def test_frame_0_and_static_clips_do_not_move():
    path, _ = estimate_trajectories(np.repeat(textured(40, 50)[None], 5, 0))
    assert path.abs().max() < 1e-3
    assert (estimate_trajectories(shifted_clip([(0, 0), (1, 0)]))[0][0] == 0).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (5, 7), (8, 8), (33, 17), (47, 131)])
def test_every_size_works(size):
    frames = np.random.default_rng(0).random((4, *size, 3), dtype=np.float32)
    path, confidence = estimate_trajectories(frames)
    assert path.shape == (4, 2, *size) and confidence.shape == size
    assert torch.isfinite(path).all() and (0 <= confidence).all() and (confidence <= 1).all()


def test_one_frame_and_black_frames():
    path, confidence = estimate_trajectories(np.zeros((1, 20, 20, 3), np.float32))
    assert path.shape == (1, 2, 20, 20) and (path == 0).all() and (confidence == 1).all()
    assert (estimate_trajectories(np.zeros((4, 40, 40, 3), np.float32))[0] == 0).all()


def test_tensors_and_arrays_give_the_same_result():
    frames = shifted_clip([(0, 0), (1, 1), (2, 2)])
    first, second = estimate_trajectories(frames)[0], estimate_trajectories(torch.from_numpy(frames))[0]
    assert torch.equal(first, second)


def test_bytes_give_the_trajectories_of_floats_and_one_clip_of_trajectories_is_held():
    shifts = [(round(2 * np.sin(t / 9)), round(2 * np.cos(t / 9)) - 2) for t in range(200)]
    frames = (shifted_clip(shifts, 48, 64) * 255).round().astype(np.uint8)
    expected = estimate_trajectories(frames.astype(np.float32) / 255)
    tracemalloc.start()
    trajectories, confidence = estimate_trajectories(frames)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert torch.equal(trajectories, expected[0]) and torch.equal(confidence, expected[1])
    # NumPy's memory is 1.8 to 1.95 times the trajectories; a copy of the frames in floats would add 1.5 times.
    assert peak < 2.5 * trajectories.nbytes


def test_progress_counts_frames_and_may_cancel():
    frames, seen = shifted_clip([(0, 0), (1, 0), (2, 0)]), []
    estimate_trajectories(frames, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(step, 8) for step in range(1, 9)]  # 3 frames, 1 backward check, 2 rounds of 2 comparisons

    class Canceled(Exception):
        pass

    def cancel(done, total):
        raise Canceled

    with pytest.raises(Canceled):
        estimate_trajectories(frames, progress=cancel)
    estimate_trajectories(frames)


def test_external_flow_is_used_unchanged_and_checked():
    frames = torch.rand(5, 6, 7, 3)
    own = torch.randn(5, 2, 6, 7)
    path, confidence = estimate_trajectories(frames, flow=lambda reference, clip: own)
    assert torch.equal(path[1:], own[1:]) and (path[0] == 0).all() and (confidence == 1).all()
    with pytest.raises(ValueError, match=r"\[5, 2, 6, 7\]; got \[4, 2, 6, 7\]"):
        estimate_trajectories(frames, flow=lambda reference, clip: own[1:])
    with pytest.raises(ValueError, match="NaN"):
        estimate_trajectories(frames, flow=lambda reference, clip: own * float("nan"))


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 8, 8, 1), (0, 8, 8, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="frames must be"):
        estimate_trajectories(np.zeros(shape, np.float32))


def test_refinement_removes_motion_that_spread_into_a_static_background():
    height, width = 60, 80
    background, bar = textured(height, width, 1) * 0.5, textured(height, width, 2) * 0.5 + 0.5
    motion = np.round(3 * np.sin(np.arange(40) / 4)).astype(int)
    frames = np.repeat(background[None], 40, 0)
    for t, dx in enumerate(motion):
        frames[t, :, 36 + dx : 44 + dx] = bar[:, 36:44]
    spread = np.zeros((40, 2, height, width), np.float32)
    spread[:, 0, :, 32:48] = motion[:, None, None]
    path, confidence = refine_trajectories(frames, spread, np.ones((height, width), np.float32))
    assert np.abs(path[:, 0, 6:-6, 37:43] - motion[:, None, None]).max() == 0
    outside = np.abs(path).mean((0, 1))
    assert outside[6:-6, :30].max() == 0 and outside[6:-6, 32:36].mean() < 0.3 * np.abs(motion).mean() / 2


def test_starting_from_the_previous_flow_follows_large_slow_motion():
    shifts = [(0, 0), (3, 0), (6, 0), (9, 0), (12, 0)]
    path = dis_flow(gray_frames(shifted_clip(shifts, margin=16)))
    assert abs(np.median(path[-1, 0, 8:-8, 8:-24]) - 12) < 0.2


CRASHES = {
    # An estimator that returns NaN: the next frame must not start from it.
    "nan": """
        class Poisoned:
            def __init__(self): self.real = made()
            def calc(self, *images):
                out = self.real.calc(*images)
                out[::2] = np.nan; out[1::4] = np.inf
                return out
        flow._create_dis = Poisoned
        """,
    # One estimator for several clips: it stores the small clip's initial flow.
    "stale": """
        shared = made()
        flow._create_dis = lambda: shared
        """,
}


@pytest.mark.parametrize("trigger", CRASHES)
def test_opencv_does_not_read_outside_its_buffers(trigger):
    """In OpenCV 5.0 both end in a segmentation fault without the precautions that dis_flow describes."""
    program = textwrap.dedent("""
        import numpy as np
        from gid_core.sources import optical_flow as flow
        made = flow._create_dis
        {}
        rng = np.random.default_rng(0)
        for size in (64, 512, 96, 700):
            gray = [(rng.random((size, size)) * 255).astype(np.uint8) for _ in range(3)]
            assert np.isfinite(flow.dis_flow(gray)).all()
            path = np.zeros((3, 2, size, size), np.float32)
            assert np.isfinite(flow.forward_backward_confidence(gray, path)).all()
        print("survived")
        """).format(textwrap.dedent(CRASHES[trigger]))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=_environment())
    assert done.returncode == 0 and "survived" in done.stdout, done.stderr[-800:]


def _environment():
    import os

    import gid_core

    root = os.path.dirname(os.path.dirname(gid_core.__file__))
    return {**os.environ, "PYTHONPATH": root}
