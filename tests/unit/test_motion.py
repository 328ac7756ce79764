"""Motion: length and speed of loops, and the invariants of retiming and limiting."""

import math

import pytest
import torch

from gid_core.motion import Motion, limit_displacement, loop, playback, playback_coordinates
from gid_core.spectral_volume import SpectralVolume
from peak_memory import PeakMemory


def random_volume(batch=1, bins=16, size=(6, 9), seed=0, scale=50.0, **settings):
    generator = torch.Generator().manual_seed(seed)
    return SpectralVolume(torch.randn(batch, bins, 4, *size, generator=generator) * scale, **settings)


def cycles(motion):
    """Periods of bin 1 in one pass, the step from the last frame to the first included; measured from its angle."""
    q = motion.coordinates[:, 1].double()
    angle = torch.atan2(q[:, 1], q[:, 0] + 2 / motion.volume.period)  # q(0) was taken off, so that F_0 = 0
    steps = (angle.roll(-1) - angle).remainder(2 * math.pi)
    assert steps.std() < 1e-5
    return float(steps.sum() / (2 * math.pi))


# ---- loop ----

LOOPS = [  # arguments; expected frames, cycles, fps, for a volume of 5 s at 30 fps
    ({}, 150, 1, 30),
    ({"speed": 0.5}, 300, 1, 30),
    ({"speed": 2.0}, 75, 1, 30),
    ({"fps": 15}, 75, 1, 15),
    ({"fps": 60, "speed": 0.5}, 600, 1, 60),
    ({"fps": 12.5}, 62, 1, 12.5),
    ({"num_frames": 100}, 100, 1, 30),
    ({"num_frames": 20}, 20, 1, 30),
    ({"num_frames": 224}, 224, 1, 30),
    ({"num_frames": 226}, 226, 2, 30),
    ({"num_frames": 290}, 290, 2, 30),
    ({"num_frames": 290, "speed": 0.5}, 290, 1, 30),
    ({"num_frames": 300, "speed": 2}, 300, 4, 30),
    ({"num_frames": 300, "fps": 15}, 300, 4, 15),
    ({"num_frames": 450, "fps": 90, "speed": 0.5}, 450, 1, 90),
]


@pytest.mark.parametrize(("arguments", "frames", "periods", "fps"), LOOPS)
def test_a_loop_holds_whole_periods_in_the_requested_frames(arguments, frames, periods, fps):
    motion = loop(random_volume(), **arguments)
    assert (len(motion), motion.fps, motion.loops) == (frames, fps, True)
    assert cycles(motion) == pytest.approx(periods, abs=1e-4)
    assert torch.equal(motion.coordinates[0, 1:, 1], torch.zeros(15))
    assert motion.displacement(0, 1).abs().sum() == 0


def test_speed_and_fps_pass_through_the_same_positions():
    volume = random_volume()
    plain = loop(volume).displacement()
    for other in (loop(volume, speed=0.5), loop(volume, fps=60), loop(volume, num_frames=300, speed=0.5)):
        torch.testing.assert_close(other.displacement()[:, ::2], plain, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(loop(volume, speed=2).displacement(), plain[:, ::2], atol=2e-5, rtol=1e-5)


def test_a_loop_of_one_frame_is_the_photo():
    assert loop(random_volume(), num_frames=1).displacement().abs().sum() == 0


def test_very_fast_loops_have_at_least_two_frames():
    assert len(loop(random_volume(), speed=1000)) == 2


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf")])
def test_invalid_speeds_and_frame_rates_are_refused(bad):
    volume = random_volume()
    with pytest.raises(ValueError, match=f"speed.*{bad}"):
        loop(volume, speed=bad)
    with pytest.raises(ValueError, match=f"speed.*{bad}"):
        loop(volume).retime(bad)
    with pytest.raises(ValueError, match=f"fps.*{bad}"):
        loop(volume, fps=bad)
    with pytest.raises(ValueError, match=f"fps.*{bad}"):
        Motion(volume, torch.zeros(1, 16, 2), bad)


@pytest.mark.parametrize("count", [0, -5])
def test_invalid_lengths_are_refused(count):
    with pytest.raises(ValueError, match=f"num_frames.*{count}"):
        loop(random_volume(), count)
    with pytest.raises(ValueError, match=f"num_frames.*{count}"):
        loop(random_volume()).retime(num_frames=count)


# ---- playback ----


def test_playback_is_the_loop_plus_the_first_displacement():
    volume = random_volume()
    played, looped = playback(volume).displacement(), loop(volume).displacement()
    assert played.shape == (1, 150, 2, 6, 9) and not playback(volume).loops
    torch.testing.assert_close(played - played[:, :1], looped, atol=1e-4, rtol=1e-4)


def test_coordinates_between_samples_interpolate_smoothly():
    volume = random_volume()
    time = torch.arange(0, 150, 0.25)
    q = playback_coordinates(volume, time)
    torch.testing.assert_close(q[::4], playback_coordinates(volume, torch.arange(150)))
    assert (q.diff(dim=0).abs().max() * 3) < q.abs().max()


# ---- the object ----


@pytest.mark.parametrize("shape", [(3, 16), (3, 15, 2), (0, 16, 2), (3, 16, 3)])
def test_coordinates_that_do_not_fit_are_refused(shape):
    with pytest.raises(ValueError, match="16 bins"):
        Motion(random_volume(), torch.zeros(shape), 30.0)


def test_motions_are_equal_only_to_themselves():
    """Comparison of the tensors in them would raise."""
    volume = random_volume()
    motion, other = loop(volume), loop(volume)
    assert motion == motion and motion != other
    assert len({motion, other, motion}) == 2


def test_coordinates_must_be_finite():
    with pytest.raises(ValueError, match="NaN"):
        Motion(random_volume(), torch.full((3, 16, 2), float("nan")), 30.0)


@pytest.mark.parametrize("frames", [(-1, 3), (3, 3), (5, 2), (0, 151), (150, None)])
def test_frames_outside_the_motion_are_refused(frames):
    with pytest.raises(ValueError, match="150 frames"):
        loop(random_volume()).displacement(*frames)


def test_displacements_in_chunks_equal_those_of_all_frames():
    motion = loop(random_volume(batch=2), 50)
    whole = motion.displacement()
    for size in (1, 3, 16, 50):
        parts = [motion.displacement(start, min(start + size, 50)) for start in range(0, 50, size)]
        torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-5, rtol=1e-5)


def test_magnitude_is_the_mean_length_over_time():
    motion = loop(random_volume(batch=2), 40)
    torch.testing.assert_close(motion.magnitude(), motion.displacement().norm(dim=2).mean(dim=1))
    sampled = loop(random_volume(batch=2)).magnitude()
    assert sampled.shape == (2, 6, 9)
    torch.testing.assert_close(sampled, loop(random_volume(batch=2)).magnitude(1000), atol=0, rtol=0.1)


# ---- retime ----


@pytest.mark.parametrize("frames", [48, 49])
@pytest.mark.parametrize("factor", [2, 3])
def test_slow_motion_of_a_loop_passes_through_its_frames(frames, factor):
    """48 and 16 bins, or less: even and odd lengths; the Nyquist coordinate of even ones is shared by two."""
    motion = loop(random_volume(), frames)
    slow = motion.retime(1 / factor)
    assert len(slow) == frames * factor and slow.loops and slow.fps == motion.fps
    torch.testing.assert_close(slow.coordinates[::factor], motion.coordinates, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(slow.coordinates, loop(motion.volume, frames * factor).coordinates, atol=1e-6, rtol=0)
    assert slow.displacement(0, 1).abs().max() < 1e-4


def test_any_speed_of_a_loop_is_a_loop_with_the_same_amplitude():
    motion = loop(random_volume(), 150)
    peak = motion.displacement().norm(dim=2).amax(dim=1)
    for speed in (0.25, 0.7, 1.3):
        retimed = motion.retime(speed)
        assert len(retimed) == round(150 / speed) and cycles(retimed) == pytest.approx(1, abs=1e-4)
        ratio = retimed.displacement().norm(dim=2).amax(dim=1) / peak
        assert 0.9 < ratio.min() and ratio.max() < 1.1


def test_retiming_a_long_loop_takes_memory_in_proportion():
    with PeakMemory() as memory:
        motion = Motion(random_volume(bins=2), torch.rand(10_000, 2, 2), 30.0, loops=True)
        assert len(motion.retime(0.7)) == 14_286
    assert memory.peak < 20 * motion.coordinates.nbytes


def test_retiming_to_the_same_length_changes_nothing():
    for motion in (loop(random_volume(), 31), playback(random_volume())):
        torch.testing.assert_close(motion.retime().coordinates, motion.coordinates, atol=1e-7, rtol=1e-5)


def test_slowing_down_and_speeding_up_a_loop_restores_it():
    motion = loop(random_volume(), 60)
    torch.testing.assert_close(motion.retime(0.4).retime(2.5).coordinates, motion.coordinates, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("frames", [2, 37, 150, 411])
def test_motion_that_does_not_loop_keeps_its_first_and_last_frame(frames):
    motion = playback(random_volume())
    retimed = motion.retime(num_frames=frames)
    assert len(retimed) == frames and not retimed.loops
    torch.testing.assert_close(retimed.coordinates[[0, -1]], motion.coordinates[[0, -1]], atol=1e-6, rtol=1e-4)


def test_slow_motion_of_a_straight_line_is_straight():
    volume = random_volume(bins=2)
    line = Motion(volume, torch.linspace(0, 1, 11).view(11, 1, 1).repeat(1, 2, 2), 30.0)
    slow = line.retime(num_frames=21).coordinates[:, 0, 0]
    torch.testing.assert_close(slow[2:-2], torch.linspace(0, 1, 21)[2:-2], atol=1e-5, rtol=0)


def test_a_single_frame_can_be_repeated():
    motion = Motion(random_volume(bins=2), torch.ones(1, 2, 2), 30.0)
    assert torch.equal(motion.retime(num_frames=5).coordinates, torch.ones(5, 2, 2))


def test_retiming_does_not_change_its_input():
    motion = loop(random_volume(), 20)
    kept = motion.coordinates.clone()
    motion.retime(0.5), motion.retime(num_frames=3)
    assert torch.equal(motion.coordinates, kept)


# ---- limit ----


@pytest.mark.parametrize("fraction", [0.001, 0.02, 0.3])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 50.0, 1e5])
def test_no_displacement_exceeds_the_limit(fraction, scale):
    limited = limit_displacement(random_volume(batch=2, scale=scale), fraction)
    assert loop(limited).displacement().norm(dim=2).max() <= fraction * 9 * (1 + 1e-5)
    # Between the samples of the period a band-limited motion rises little higher.
    assert loop(limited, fps=97).displacement().norm(dim=2).max() <= fraction * 9 * 1.05


def test_small_motion_is_unchanged_to_second_order():
    volume = random_volume()
    peak = loop(volume).displacement().norm(dim=2).amax(dim=1)
    for ratio in (0.1, 0.01):
        limited = limit_displacement(volume, float(peak.max()) / 9 / ratio)
        change = (limited.coefficients - volume.coefficients).abs().max() / volume.coefficients.abs().max()
        assert change <= ratio**2 / 3 + 1e-6


def test_the_limit_scales_each_pixel_and_keeps_their_order():
    volume = random_volume()
    limited = limit_displacement(volume, 0.05)
    ratio = limited.coefficients / volume.coefficients
    assert ratio.min() > 0 and ratio.max() <= 1
    torch.testing.assert_close(ratio, ratio[:, :1, :1].expand_as(ratio), atol=1e-5, rtol=1e-4)
    before = loop(volume).displacement().norm(dim=2).amax(dim=1).flatten()
    after = loop(limited).displacement().norm(dim=2).amax(dim=1).flatten()
    assert (after[before.argsort()].diff() >= -1e-5).all()


def test_a_volume_without_motion_passes_the_limit():
    static = SpectralVolume(torch.zeros(1, 3, 4, 4, 5))
    assert torch.equal(limit_displacement(static, 0.01).coefficients, static.coefficients)


@pytest.mark.parametrize("bad", [0, -0.1, float("nan")])
def test_invalid_limits_are_refused(bad):
    with pytest.raises(ValueError, match=f"max_fraction.*{bad}"):
        limit_displacement(random_volume(), bad)
