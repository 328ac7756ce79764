"""Video to spectral volume: accuracy on exact scenes, conventions, warnings and invalid input."""

import math
import warnings

import numpy as np
import pytest
import torch

from gid_core import loop
from gid_core.motion import Motion, playback_coordinates
from gid_core.sources.video import (
    MIN_FRAMES,
    extract_spectral_volume,
    extrapolate_displacement,
    fill_unreliable,
    read_window,
)
from gid_core.synthetic import random_scene as synthetic
from video_files import numbered, numbers, write_file

# Made-up flow that moves everything is warned of, rightly.
pytestmark = pytest.mark.filterwarnings("ignore:The camera")


def gray_clip(count=20, height=12, width=16, **kwargs):
    """A uniform gray clip, for tests with external flow."""
    return torch.full((count, height, width, 3), 0.5, **kwargs)


def sway(times, height=12, width=16):
    """Known trajectories [n, 2, H, W] at times in s: bins 1, 2 and 5 of five seconds, different at every pixel."""
    rng = np.random.default_rng(0)
    path = np.zeros((len(times), 2, height, width), np.float32)
    for k in (1, 2, 5):
        a, b = rng.standard_normal((2, 2, height, width))
        angle = 2 * np.pi * k / 5 * np.asarray(times)[:, None, None, None]
        path += a * (np.cos(angle) - 1) + b * np.sin(angle)
    return torch.from_numpy(path)


def external_flow(path):
    return lambda reference, frames: path[: len(frames)]


@pytest.fixture(scope="module")
def stems():
    scene = synthetic.stems_scene(seed=0, noise=0.008)
    frames = scene.frames()
    return scene, frames, extract_spectral_volume(frames, scene.fps)


def displacement(volume, count=150):
    time = torch.arange(count, dtype=torch.float64) * volume.period / count
    return Motion(volume, playback_coordinates(volume, time, start_at_rest=False), volume.fps).displacement()[0].numpy()


@pytest.mark.parametrize("width, limit", [(3, 0.2), (6, 0.1), (12, 0.1)])
def test_stems_are_measured(stems, width, limit):
    scene, _, volume = stems
    error = np.linalg.norm(displacement(volume) - scene.displacements(range(150)), axis=1).mean(0)
    assert error[scene.interior_mask(width=width)].mean() <= limit


def test_a_static_background_does_not_move(stems):
    scene, _, volume = stems
    leak = np.linalg.norm(displacement(volume), axis=1).mean(0)
    assert leak[scene.background_mask(margin=1)].mean() <= 0.08


def test_conventions_of_the_volume(stems):
    _, frames, volume = stems
    assert volume.coefficients.shape == (1, 16, 4, 160, 256) and volume.coefficients.dtype == torch.float32
    assert (volume.fps, volume.period, volume.detrend) == (30.0, 150, "none")
    assert (volume.coefficients[:, 0, 1::2] == 0).all()


def test_the_transform_is_exact():
    truth = np.fft.rfft(sway(np.arange(150) / 30).numpy(), axis=0)[:16]
    volume = extract_spectral_volume(gray_clip(150), 30, flow=external_flow(sway(np.arange(150) / 30)))
    complex_bins = torch.view_as_complex(volume.coefficients[0].unflatten(1, (2, 2)).movedim(2, -1).contiguous())
    np.testing.assert_allclose(complex_bins.numpy(), truth, atol=2e-3)


@pytest.mark.parametrize("fps", [24, 25, 29.97, 50, 60])
def test_any_frame_rate_gives_the_same_volume(fps):
    expected = extract_spectral_volume(gray_clip(150), 30, flow=external_flow(sway(np.arange(150) / 30)))
    count = round(5 * fps)
    volume = extract_spectral_volume(gray_clip(count), fps, flow=external_flow(sway(np.arange(count) * 5 / count)))
    assert volume.period == 150 and volume.fps == pytest.approx(150 * fps / count)
    torch.testing.assert_close(volume.coefficients, expected.coefficients, atol=2e-3, rtol=0)


def test_one_window_is_measured_and_a_short_clip_is_used_completely():
    assert extract_spectral_volume(gray_clip(100), 10, flow=external_flow(torch.zeros(100, 2, 12, 16))).duration == 5
    short = extract_spectral_volume(gray_clip(45), 30, flow=external_flow(torch.zeros(45, 2, 12, 16)))
    assert short.duration == 1.5 and short.fps == 100
    seen = []

    def flow(reference, frames):
        seen.append((reference, frames))
        return torch.zeros(len(frames), 2, 12, 16)

    clip = gray_clip(60) + torch.arange(60)[:, None, None, None] / 1000
    extract_spectral_volume(clip, 10, start=7, window_seconds=2, detrend="ramp", flow=flow)
    assert torch.equal(seen[0][0], clip[7]) and torch.equal(seen[0][1], clip[7:28])  # 20 frames and the next


def test_bins_above_the_nyquist_frequency_are_zero():
    volume = extract_spectral_volume(gray_clip(MIN_FRAMES), 30, flow=external_flow(torch.randn(MIN_FRAMES, 2, 12, 16)))
    assert (volume.coefficients[:, 8:] == 0).all() and (volume.coefficients[:, 7] != 0).any()


def test_ramp_subtracts_the_line_to_the_next_frame():
    drift = torch.arange(151)[:, None, None, None] / 150 * torch.tensor([3.0, -2.0])[:, None, None]
    path = sway(np.arange(151) / 30)
    expected = extract_spectral_volume(gray_clip(150), 30, flow=external_flow(path))
    volume = extract_spectral_volume(gray_clip(151), 30, detrend="ramp", flow=external_flow(path + drift))
    assert volume.detrend == "ramp"
    torch.testing.assert_close(volume.coefficients, expected.coefficients, atol=5e-3, rtol=0)


def test_the_end_of_a_clip_is_extrapolated():
    path = torch.linspace(0, 2, 21)[:, None, None, None].expand(21, 2, 4, 4)
    frames = np.linspace(0, 1, 20, dtype=np.float32)[:, None, None, None] * np.ones((1, 4, 4, 3), np.float32)
    torch.testing.assert_close(extrapolate_displacement(path[:20], frames), path[20])


def test_a_perfect_loop_has_no_ramp(stems):
    _, frames, plain = stems
    ramp = extract_spectral_volume(frames, 30, detrend="ramp")
    assert (ramp.coefficients - plain.coefficients).abs().mean() < 0.05 * plain.coefficients.abs().mean()


def test_smaller_flow_grid_keeps_the_motion(stems):
    scene, frames, volume = stems
    small = extract_spectral_volume(frames[:60], 30, max_size=128)
    assert small.size == (80, 128)
    big = extract_spectral_volume(frames[:60], 30)
    inside = torch.from_numpy(scene.interior_mask(width=12, margin=2))[::2, ::2]
    a, b = loop(small.resize((160, 256))).magnitude()[0, ::2, ::2][inside], loop(big).magnitude()[0, ::2, ::2][inside]
    assert float(a.mean()) == pytest.approx(float(b.mean()), rel=0.1)


def test_unreliable_motion_is_filled_from_its_surroundings_or_fades_out():
    volume = torch.ones(2, 4, 40, 60)
    volume[:, :, 18:22, 28:32] = 50
    confidence = torch.ones(40, 60)
    confidence[18:22, 28:32] = 0
    assert fill_unreliable(volume, confidence)[:, :, 18:22, 28:32].mean() == pytest.approx(1, abs=0.1)
    assert torch.equal(fill_unreliable(volume, torch.full((40, 60), 0.5)), volume)
    assert (fill_unreliable(volume, torch.zeros(40, 60)) == 0).all()


def noisy_wall(height, width, seed=0):
    import cv2

    noise = np.random.default_rng(seed).random((height, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    return (smooth - smooth.min()) / (smooth.max() - smooth.min())


def test_a_cut_is_warned_of_with_its_frame():
    clip = np.concatenate([np.repeat(noisy_wall(40, 60, s)[None], 12, 0) for s in (0, 1)])
    with pytest.warns(UserWarning, match="frame 12"):
        extract_spectral_volume(clip, 30)
    with pytest.warns(UserWarning, match="frame 12"):
        extract_spectral_volume(np.concatenate([clip, clip[-8:]]), 30, start=3)


def shaken(count=30, amplitude=3.0):
    import cv2

    wall = noisy_wall(80, 110)
    shift = [(amplitude * math.sin(t / 4), amplitude / 2 * (math.cos(t / 5) - 1)) for t in range(count)]
    views = [
        cv2.warpAffine(wall, np.array([[1, 0, dx], [0, 1, dy]]), (110, 80), flags=cv2.INTER_CUBIC)[10:-10, 10:-10]
        for dx, dy in shift
    ]
    return np.stack(views).clip(0, 1)


def test_camera_motion_is_warned_of_or_removed():
    with pytest.warns(UserWarning, match="camera"):
        moving = extract_spectral_volume(shaken(), 30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        steady = extract_spectral_volume(shaken(), 30, stabilize=True)
    assert loop(steady).magnitude().mean() < 0.05 * loop(moving).magnitude().mean()


def test_ordinary_clips_are_not_warned_of(stems):
    _, frames, _ = stems
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        extract_spectral_volume(frames[:40], 30)


def test_number_types_and_alpha_are_accepted(stems):
    _, frames, _ = stems
    clip = torch.from_numpy(frames[:16, :40, :60])
    expected = extract_spectral_volume(clip, 30).coefficients
    alpha = torch.cat([clip, torch.rand(*clip.shape[:3], 1)], -1)
    assert torch.equal(extract_spectral_volume(alpha, 30).coefficients, expected)
    assert torch.equal(extract_spectral_volume(clip.numpy(), 30).coefficients, expected)
    for other in (clip.half(), (clip * 255).round().to(torch.uint8)):
        assert (extract_spectral_volume(other, 30).coefficients - expected).abs().mean() < 0.5


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(frames=torch.zeros(0, 8, 8, 3)), r"at least 16 frames; got \[0, 8, 8, 3\]"),
        (dict(frames=gray_clip(15)), "at least 16 frames; got 15"),
        (dict(frames=torch.zeros(20, 8, 8)), r"\[T, H, W, 3\].*got \[20, 8, 8\]"),
        (dict(frames=torch.zeros(20, 8, 8, 1)), "three channels"),
        (dict(frames=torch.zeros(20, 3, 8, 8)), "channel axis"),
        (dict(frames=gray_clip(20, dtype=torch.float64).fill_(float("nan"))), r"frames\[0\] holds NaN"),
        (dict(frames=torch.zeros(20, 8, 8, 3, dtype=torch.int32)), "uint8"),
        (dict(frames=gray_clip() * 510), "Divide by the value of white"),
        (dict(fps=0), "fps"),
        (dict(fps=float("inf")), "fps"),
        (dict(num_bins=0), "num_bins must be a whole number from 1 to 76"),
        (dict(num_bins=77), "num_bins must be a whole number from 1 to 76 .* got 77"),
        (dict(period=1), "period"),
        (dict(detrend="linear"), "none, ramp"),
        (dict(start=20), "start must be"),
        (dict(start=5), "earlier start"),
        (dict(window_seconds=0), "window_seconds"),
        (dict(max_size=0), "max_size"),
    ],
)
def test_invalid_input_is_refused_with_a_reason(change, message):
    with pytest.raises(ValueError, match=message):
        extract_spectral_volume(**{"frames": gray_clip(), "fps": 30, **change})


@pytest.mark.parametrize("options", [{}, {"stabilize": True}, {"max_size": 128}])
def test_bytes_give_the_volume_of_floats(stems, options):
    scene, frames, _ = stems
    clip = (frames[:40] * 255).round().astype(np.uint8)
    of_bytes = extract_spectral_volume(clip, 30, detrend="ramp", **options).coefficients
    of_floats = extract_spectral_volume(clip.astype(np.float32) / 255, 30, detrend="ramp", **options).coefficients
    difference = (of_bytes - of_floats).norm() / of_floats.norm()
    # Stabilized frames are rounded again, which decides some pixels otherwise.
    assert difference < 0.1 if "stabilize" in options else difference == 0


def test_only_the_window_is_checked_and_converted():
    clip = gray_clip(400)
    clip[100:] = 510
    path = external_flow(torch.zeros(100, 2, 12, 16))
    assert extract_spectral_volume(clip, 30, window_seconds=3, flow=path).duration == 3
    with pytest.raises(ValueError, match=r"frames\[100\] must be in 0..1"):
        extract_spectral_volume(clip, 30, window_seconds=3, start=20, flow=path)


# ---- reading from a file ----


def test_a_window_is_read_at_the_size_of_the_measurement_and_its_first_frame_in_full(tmp_path):
    path = write_file(tmp_path / "a.mp4", numbered(40, 64, 96))
    frames, fps, reference = read_window(path, 10, 0.6, 24)
    assert frames.dtype == torch.uint8 and frames.shape == (19, 16, 24, 3)  # and the frame after the window
    assert numbers(frames / 255) == list(range(10, 29))
    assert reference.shape == (64, 96, 3) and numbers([reference]) == [10]
    assert fps == pytest.approx(30, rel=1e-3)
    assert read_window(path, 30, 5.0)[0].shape == (10, 64, 96, 3)
    with pytest.raises(ValueError, match="only 40 frames; start must be 0 to 39, not 40"):
        read_window(path, 40)


def test_a_cut_in_a_part_of_a_video_is_named_by_its_number_in_the_video():
    clip = gray_clip()
    clip[12:] = 0.9
    with pytest.warns(UserWarning, match="at frame 112.*start=112"):
        extract_spectral_volume(clip, 30, flow=external_flow(torch.zeros(20, 2, 12, 16)), first_frame=100)


@pytest.mark.parametrize(
    "numbers", [dict(seconds=math.inf), dict(seconds=math.nan), dict(max_size=0), dict(max_size="a")]
)
def test_a_window_of_impossible_size_is_refused_before_the_file_is_read(tmp_path, numbers):
    with pytest.raises(ValueError, match=r"(window_seconds|max_size) must be"):
        read_window(tmp_path / "none.mp4", **numbers)


@pytest.mark.parametrize(
    ("settings", "fits"), [(dict(), False), (dict(max_size=16), True), (dict(window_seconds=1), True)]
)
def test_a_measurement_that_does_not_fit_into_memory_is_refused(monkeypatch, settings, fits):
    frames = torch.zeros(200, 24, 32, 3, dtype=torch.uint8)
    monkeypatch.setattr("gid_core.memory.free_memory", lambda device: 24 * 32 * 2000)
    if fits:
        assert len(extract_spectral_volume(frames, 30, num_bins=2, **settings)) == 1
    else:
        with pytest.raises(ValueError, match=r"150 frames of 32 x 24 pixels need .* \(max_size\), or .*window_seconds"):
            extract_spectral_volume(frames, 30, num_bins=2, **settings)
