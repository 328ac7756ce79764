"""Long loops: seamless, as large as the volume's loop in every mode, and without a repetition before their end."""

import math

import numpy as np
import pytest
import torch

import gid_core as gid
from dynamics_volumes import natural_volume, plants, smooth_volume
from gid_core.dynamics.long_loop import breathing_phasor, whole_cycles
from gid_core.evaluation.motion_metrics import seam_ratio
from peak_memory import PeakMemory


def modal_energy(volume) -> np.ndarray:
    """Energy of the displacement that each mode makes, float64 [K]."""
    return volume.coefficients.double().square().sum((0, 2, 3, 4)).numpy()


def swings(motion) -> np.ndarray:
    """The modal coordinates about their mean, complex [frames, K]."""
    coordinates = torch.view_as_complex(motion.coordinates.double()).numpy()
    return coordinates - coordinates.mean(0)


def autocorrelation(motion) -> np.ndarray:
    """Normalized circular autocorrelation of the displacement, summed over modes by their energy: float64 [frames]."""
    spectrum = np.abs(np.fft.fft(swings(motion), axis=0)) ** 2 @ modal_energy(motion.volume)
    correlation = np.fft.ifft(spectrum).real
    return correlation / correlation[0]


def likeness(motion) -> float:
    """Largest autocorrelation at lags from one second to half of the motion: 1 if it repeats there."""
    return float(autocorrelation(motion)[round(motion.fps) : len(motion) // 2 + 1].max())


# ---- no repetition ----


@pytest.mark.parametrize("seconds", [10, 20, 60])
@pytest.mark.parametrize("make_volume", [natural_volume, plants])
def test_nothing_repeats_before_the_end(make_volume, seconds):
    volume = make_volume()
    assert likeness(gid.loop(volume, num_frames=seconds * 30)) > 0.999  # it repeats every five seconds
    for seed in range(5):
        assert likeness(gid.long_loop(volume, seconds=seconds, seed=seed)) < 0.75
        assert likeness(gid.long_loop(volume, seconds=seconds, seed=seed, variation=0)) < 0.95


def test_ten_minutes_do_not_repeat_either():
    assert likeness(gid.long_loop(natural_volume(), seconds=600)) < 0.6


def test_swings_of_a_single_frequency_differ():
    volume = plants()
    single = volume.replace(coefficients=volume.coefficients[:, :2])
    even, varied, most = (likeness(gid.long_loop(single, variation=variation)) for variation in (0, 0.5, 1))
    assert even > 0.999 and varied < 0.95 and most < 0.8


def test_the_whole_loop_is_its_shortest_period():
    for seconds in (5, 7.5, 10, 60):
        for seed in range(100):
            for num_bins in (3, 4, 16):
                cycles = whole_cycles(num_bins, seconds / 5, np.random.default_rng(seed))
                assert cycles.min() >= 1 and math.gcd(*map(int, cycles)) == 1


# ---- no seam ----


@pytest.mark.parametrize("variation", [0, 0.5, 1])
@pytest.mark.parametrize("cycles", [1, 2, 7, 64, 1000])
def test_a_second_round_equals_the_first(cycles, variation):
    """Then frame D is frame 0, and so are its velocity and all that follows."""
    twice = np.arange(2 * 4000) / 4000
    first, second = breathing_phasor(cycles, twice, variation, np.random.default_rng(0)).reshape(2, -1)
    np.testing.assert_allclose(second, first, rtol=0, atol=1e-8)


def test_the_loop_begins_with_the_photo_and_has_no_larger_step_at_its_seam():
    motion = gid.long_loop(natural_volume(), seconds=20)
    assert motion.loops and not motion.displacement(0, 1).any()
    assert seam_ratio(motion) < 1.5


# ---- as large as the loop ----


@pytest.mark.parametrize("variation", [0, 0.5, 1])
def test_every_mode_keeps_its_energy(variation):
    volume = smooth_volume()
    # About the mean over whole swings; slow breathing makes that mean of a few percent not quite that of the circle.
    energy = np.mean(np.abs(swings(gid.long_loop(volume, seconds=120, variation=variation))) ** 2, 0)
    looped = np.mean(np.abs(swings(gid.loop(volume))) ** 2, 0)
    np.testing.assert_allclose(energy[1:], looped[1:], rtol=0.03)
    assert energy[0] == looped[0] == 0


def test_the_nyquist_bin_weighs_as_in_the_loop():
    volume = natural_volume(bins=6, period=10, fps=5.0)
    long = gid.long_loop(volume, seconds=60, fps=50, variation=0)
    np.testing.assert_allclose(np.abs(swings(long)).max(0)[5], 0.1, rtol=1e-3)
    np.testing.assert_allclose(np.abs(swings(long)).max(0)[4], 0.2, rtol=1e-3)


@pytest.mark.parametrize("cycles", [1, 2, 7, 64])
def test_no_mode_comes_to_rest_or_turns_around(cycles):
    for seed in range(20):
        z = breathing_phasor(cycles, np.arange(4000) / 4000, 1.0, np.random.default_rng(seed))
        assert np.mean(np.abs(z) ** 2) == pytest.approx(1) and 0.3 < np.abs(z).min() and np.abs(z).max() < 2.2
        turns = np.angle(z[1:] / z[:-1])
        assert turns.sum() == pytest.approx(2 * math.pi * cycles, rel=0.01) and turns.min() > 0.3 * turns.mean()
        assert z[0].imag == 0 and z[0].real > 0


def test_neighbors_move_in_the_order_of_the_volume():
    """One mode alone: all its displacement fields lie in the plane of the two that the volume's loop turns through."""
    volume = smooth_volume(bins=2)
    displacement = gid.long_loop(volume, variation=1).displacement()[0].flatten(1)
    looped = gid.loop(volume).displacement()[0].flatten(1)
    basis = torch.linalg.svd(looped - looped.mean(0), full_matrices=False)[2][:2]  # the two fields of the mode
    centered = displacement - displacement.mean(0)
    assert (centered - centered @ basis.T @ basis).norm() < 1e-4 * centered.norm()


# ---- arguments ----


def test_length_rate_and_speed():
    volume = natural_volume()
    for arguments, frames, fps in (
        ({}, 1800, 30),
        ({"seconds": 12.34}, 370, 30),
        ({"seconds": 20, "fps": 24}, 480, 24),
        ({"seconds": 20, "speed": 0.5}, 600, 30),
    ):
        motion = gid.long_loop(volume, **arguments)
        assert (len(motion), motion.fps, motion.loops) == (frames, fps, True)
    fast, slow = (swings(gid.long_loop(volume, seconds=60, speed=speed)) for speed in (2, 0.5))
    steps = [np.abs(np.diff(z, axis=0)).mean() for z in (fast, slow)]
    assert steps[0] / steps[1] == pytest.approx(4, rel=0.15)


def test_seeds_give_different_sways_and_equal_seeds_the_same():
    first, again, other = (gid.long_loop(natural_volume(), seconds=20, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first.coordinates, again.coordinates)
    assert (first.coordinates - other.coordinates).norm() > 0.5 * first.coordinates.norm()


def test_a_batch_and_a_volume_without_frequencies():
    assert gid.long_loop(smooth_volume(batch=3), seconds=6).displacement(10, 12).shape == (3, 2, 2, 24, 40)
    assert not gid.long_loop(smooth_volume(bins=1), seconds=6).coordinates.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seconds": 4}, "seconds must be at least 5, one period .* got 4"),
        ({"seconds": 8, "speed": 0.5}, "seconds must be at least 10, one period .* got 8"),
        ({"seconds": 4000}, r"from 0 to 3333\.33333 \(at most 100000 frames at 30 per second\); got 4000"),
        ({"seconds": "4"}, "seconds must be a number .* got '4'"),
        ({"variation": 1.5}, "variation must be a number from 0 to 1 .* got 1.5"),
        ({"seed": -1}, "seed must be a whole number >= 0; got -1"),
        ({"fps": 0}, "fps must be a number > 0"),
        ({"speed": math.nan}, "speed must be a number > 0"),
    ],
)
def test_wrong_arguments_are_refused_in_words(arguments, message):
    with pytest.raises(ValueError, match=message):
        gid.long_loop(natural_volume(), **arguments)


def test_a_longer_loop_is_rendered_in_the_same_memory(tmp_path):
    photo, peaks = torch.rand(40, 64, 3), []
    for seconds in (6, 60):
        motion = gid.long_loop(natural_volume(), seconds=seconds, fps=10)
        with PeakMemory() as memory:
            gid.render_to_video(tmp_path / "long.mp4", photo, motion)
        peaks.append(memory.peak)
    assert peaks[1] < 1.2 * peaks[0]


def test_an_hour_of_coordinates_is_small():
    motion = gid.long_loop(natural_volume(), seconds=3300)
    assert len(motion) == 99_000 and motion.coordinates.nbytes == 99_000 * 16 * 8
