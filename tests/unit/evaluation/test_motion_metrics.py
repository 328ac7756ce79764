"""Motion measures: known values on made-up motion, and what they must not depend on."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from gid_core.evaluation.coherence import phase_coherence
from gid_core.evaluation.motion_metrics import (
    amplitude_wasserstein,
    background_motion,
    bin_wasserstein,
    flow_error,
    log_spectrum_distance,
    magnitude_rank_correlation,
    mean_magnitude,
    moving_auc,
    moving_pixels,
    reference_error,
    seam_ratio,
)
from gid_core.motion import Motion, loop, playback, playback_coordinates
from gid_core.rendering.render import render
from gid_core.spectral_volume import SpectralVolume, temporal_dft
from gid_core.synthetic.random_scene import stems_scene
from metric_volumes import SIZE, mirrored, noise_volume, smooth_volume, translation

# ---- magnitude ----


def test_magnitude_is_a_mean_over_time_in_pixels_at_256_wide():
    path = torch.zeros(4, 2, 8, 128)
    path[1:, 0], path[1:, 1] = 3, 4
    assert torch.equal(mean_magnitude(path), torch.full((8, 128), 5 * 2 * 3 / 4))
    motion = playback(translation((8, 128), pixels=1.5))
    torch.testing.assert_close(mean_magnitude(motion), torch.full((8, 128), 3.0))
    torch.testing.assert_close(mean_magnitude(motion, (16, 64)), torch.full((16, 64), 3.0))


def test_moving_pixels_returns_masks_and_thresholds_maps():
    mask = torch.rand(5, 6) > 0.5
    assert torch.equal(moving_pixels(mask), mask)
    assert not moving_pixels(torch.full((5, 6), 0.25)).any()
    assert moving_pixels(torch.full((5, 6), 0.26)).all()


def test_auc_is_one_for_right_half_for_no_and_zero_for_reversed_order():
    moving = torch.zeros(4, 6, dtype=torch.bool)
    moving[:, 3:] = True
    columns = torch.arange(6.0).expand(4, 6)
    assert moving_auc(moving, columns) == 1
    assert moving_auc(moving, -columns) == 0
    assert moving_auc(moving, torch.ones(4, 6)) == 0.5
    assert math.isnan(moving_auc(torch.ones(4, 6, dtype=torch.bool), columns))


def test_auc_counts_pairs_and_half_of_ties():
    generator = torch.Generator().manual_seed(1)
    magnitude = torch.randint(0, 5, (9, 11), generator=generator).float()
    moving = torch.rand(9, 11, generator=generator) > 0.6
    a, b = magnitude[moving][:, None], magnitude[~moving][None]
    expected = ((a > b).double() + (a == b).double() / 2).mean()
    assert moving_auc(moving, magnitude) == pytest.approx(float(expected), abs=1e-12)
    assert moving_auc(moving, magnitude * 3 + 1) == moving_auc(moving, magnitude)


def test_rank_correlation_is_spearmans():
    generator = torch.Generator().manual_seed(2)
    a, b = torch.randint(0, 9, (2, 7, 8), generator=generator).float()
    expected = stats.spearmanr(a.flatten().numpy(), b.flatten().numpy()).statistic
    assert magnitude_rank_correlation(a, b) == pytest.approx(expected, abs=1e-12)
    assert magnitude_rank_correlation(a, a**3) == pytest.approx(1)
    assert magnitude_rank_correlation(a, -a) == pytest.approx(-1)
    assert math.isnan(magnitude_rank_correlation(a, torch.ones(7, 8)))


def test_background_motion_is_the_mean_over_static_pixels():
    magnitude = torch.arange(8.0).view(2, 4)
    assert background_motion(magnitude > 3, magnitude) == 1.5
    assert math.isnan(background_motion(magnitude > -1, magnitude))


# ---- spectra ----


@pytest.mark.parametrize("gain", [0.25, 0.5, 1.0, 3.0])
def test_spectra_of_scaled_motion_differ_by_the_gain(gain):
    volume = smooth_volume()
    assert log_spectrum_distance(volume, volume.amplify(gain)) == pytest.approx(abs(math.log(gain)), abs=1e-5)
    coefficients = volume.coefficients[0, 1:] / 75
    amplitude = (coefficients**2).sum(1).sqrt().mean((1, 2)).double()
    torch.testing.assert_close(
        bin_wasserstein(volume, volume.amplify(gain)), amplitude * abs(gain - 1), atol=1e-5, rtol=1e-4
    )
    expected = float(amplitude.mean() * abs(gain - 1))
    assert amplitude_wasserstein(volume, volume.amplify(gain)) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_wasserstein_distance_equals_scipys():
    a, b = noise_volume(0), noise_volume(1, scale=60.0)
    lengths = [np.sqrt((v.coefficients[0, 5].numpy() ** 2).sum(0)).ravel() / 75 for v in (a, b)]
    assert float(bin_wasserstein(a, b)[4]) == pytest.approx(stats.wasserstein_distance(*lengths), rel=1e-5)


def test_log_distance_uses_only_moving_pixels_and_bins_above_zero():
    volume = smooth_volume()
    other = volume.coefficients.clone()
    other[:, 0] += 1000
    still = ~moving_pixels(loop(volume))
    assert still.any()
    other[..., still] *= 7
    assert log_spectrum_distance(volume, volume.replace(coefficients=other)) == pytest.approx(0, abs=1e-6)
    assert log_spectrum_distance(volume, volume.amplify(0)) > 3  # finite: amplitudes are cut off at a floor
    assert math.isnan(log_spectrum_distance(volume.amplify(0), volume))


def test_spectra_of_other_sizes_periods_and_numbers_of_bins_are_matched():
    volume = translation((16, 64))
    wide = translation((32, 128), pixels=2.0)
    rescaled = SpectralVolume(volume.coefficients * 2, fps=60.0, period=300)
    more = SpectralVolume(torch.cat([volume.coefficients, torch.ones(1, 60, 4, 16, 64) * 50], 1))
    for other in (wide, rescaled, more):
        assert log_spectrum_distance(volume, other) == pytest.approx(0, abs=1e-5)
        assert amplitude_wasserstein(volume, other) == pytest.approx(0, abs=1e-5)
    few = SpectralVolume(volume.coefficients[:, :2], fps=2.0, period=10)  # holds nothing of bin 2
    assert bin_wasserstein(volume, few)[1] == pytest.approx(math.sqrt(2) * 4, rel=1e-5)


def test_spectra_at_other_frequencies_are_not_compared():
    with pytest.raises(ValueError, match=r"5.00 s and 2.50 s"):
        log_spectrum_distance(noise_volume(fps=60.0), noise_volume(1))


# ---- over time ----


def ramp_volume(detrended=False):
    """150 frames that go 12 px to the right while swaying, as 16 bins; or with the ramp taken off."""
    t = torch.arange(150.0)
    path = torch.zeros(1, 150, 2, *SIZE)
    path[0, :, 1] = (1.5 * torch.sin(2 * math.pi * t / 50))[:, None, None]
    if not detrended:
        path[0, :, 0] = (t * 12 / 150)[:, None, None]
    return SpectralVolume(temporal_dft(path, 16))


def test_periodic_motion_has_no_seam():
    assert seam_ratio(loop(translation())) == pytest.approx(1, abs=1e-3)
    assert seam_ratio(loop(ramp_volume(detrended=True))) == pytest.approx(1, abs=0.02)


def test_a_ramp_in_the_volume_makes_a_seam():
    assert seam_ratio(loop(ramp_volume())) > 3


def test_a_rotated_loop_has_its_jump_elsewhere():
    path = loop(ramp_volume()).displacement()[0]
    assert seam_ratio(path) == pytest.approx(seam_ratio(loop(ramp_volume())), rel=1e-4)
    assert seam_ratio(path.flip(0)) == pytest.approx(seam_ratio(path), rel=1e-4)
    assert seam_ratio(path.roll(75, 0)) < 0.5


@pytest.mark.parametrize(
    ("frame", "ratio"), [(0, 5.0), (4, 5.0), (5, 1.0), (6, 0.2), (20, 0.2), (33, 0.2), (34, 1.0), (35, 5.0), (39, 5.0)]
)
def test_the_seam_is_its_step_and_five_on_either_side(frame, ratio):
    """Steps of 3 px to and fro in 40 frames, of 15 px into and out of one frame."""
    path = torch.zeros(40, 2, 4, 256)
    path[::2, 0] = 3
    path[frame, 1] = math.sqrt(15**2 - 3**2)
    assert seam_ratio(path) == pytest.approx(ratio, rel=1e-5)


def test_seam_ratio_is_undefined_without_motion_or_room():
    assert math.isnan(seam_ratio(loop(translation().amplify(0))))
    with pytest.raises(ValueError, match="at least 13 frames; got 12"):
        seam_ratio(loop(translation(), num_frames=12))


def test_reference_error_is_the_rms_of_frame_zero():
    volume = translation((8, 64), pixels=0.5)
    assert reference_error(loop(volume)) == 0
    assert reference_error(playback(volume)) == pytest.approx(0.5 * 4)
    path = torch.zeros(2, 2, 8, 256)
    path[0, 0, :2] = 3
    assert reference_error(path) == pytest.approx(1.5)
    assert reference_error(path, path[0, 0] > 0) == pytest.approx(3)


# ---- rendered frames ----


@pytest.fixture(scope="module")
def scene():
    return stems_scene(seed=3, size=(96, 160), amplitude=1.5, widths=(6, 12))


def test_flow_of_true_frames_is_close_to_the_true_motion_and_not_to_zero(scene):
    times = list(range(0, 60, 12))
    frames = torch.from_numpy(np.stack([scene.render(t) for t in times]))
    truth = torch.from_numpy(scene.displacements(times))
    moving = torch.from_numpy(scene.labels() > 0)
    right = flow_error(frames, truth, stride=1, moving=moving)
    wrong = flow_error(frames, torch.zeros_like(truth), stride=1, moving=moving)
    assert right < 0.4 * wrong


def test_flow_error_with_a_perfect_estimator_is_zero_or_the_offset(scene):
    volume = scene.spectral_volume()
    photo, motion = torch.from_numpy(scene.render(0)), loop(volume)
    frames = render(photo, motion, count=21)

    def oracle(reference, pictures):
        return motion.displacement(0, 21)[0, ::10] + torch.tensor([0.0, 0.5, 0.5]).view(3, 1, 1, 1)

    assert flow_error(frames, motion, flow=oracle) == pytest.approx(math.sqrt(0.5) * 256 / 160, rel=1e-4)
    # A picture of another size than the grid: the command is scaled to it.
    large = torch.rand(21, 192, 320, 3)

    def doubled(reference, pictures):
        return torch.nn.functional.interpolate(motion.displacement(0, 21)[0, ::10], scale_factor=2, mode="bilinear") * 2

    assert flow_error(large, motion, flow=doubled) == pytest.approx(0, abs=1e-5)


def test_flow_error_refuses_invalid_arguments():
    frames = torch.zeros(5, 32, 32, 3)
    with pytest.raises(ValueError, match="stride"):
        flow_error(frames, torch.zeros(5, 2, 32, 32), stride=5)
    with pytest.raises(ValueError, match="3 frames, fewer"):
        flow_error(frames, torch.zeros(3, 2, 32, 32), stride=1)


# ---- what they must not depend on ----


def measures(true, predicted):
    motion = loop(predicted)
    return [
        log_spectrum_distance(true, predicted),
        amplitude_wasserstein(true, predicted),
        phase_coherence(predicted),
        moving_auc(loop(true), motion),
        magnitude_rank_correlation(loop(true), motion),
        background_motion(loop(true), motion),
        seam_ratio(motion),
        reference_error(playback(predicted)),
    ]


def test_metrics_of_mirrored_motion_are_the_same():
    true = smooth_volume()
    predicted = mirrored(true).amplify(0.7)
    here, there = measures(true, predicted), measures(mirrored(true), mirrored(predicted))
    assert here == pytest.approx(there, rel=1e-4)


def test_metrics_hardly_depend_on_resolution():
    true = smooth_volume((48, 512))
    predicted = mirrored(true).amplify(0.7)
    here = measures(true, predicted)
    there = measures(true.resize((24, 256)), predicted.resize((24, 256)))
    assert here == pytest.approx(there, rel=0.02)


def test_a_motion_and_its_displacements_have_the_same_metrics():
    motion = loop(smooth_volume((8, 64)))
    path = motion.displacement()[0]
    assert seam_ratio(motion) == pytest.approx(seam_ratio(path), rel=1e-4)
    torch.testing.assert_close(mean_magnitude(motion), mean_magnitude(path), rtol=0.1, atol=0.05)


def test_results_do_not_depend_on_the_chunk_size(monkeypatch):
    from gid_core.evaluation import motion_metrics

    motion = loop(smooth_volume((8, 64)))
    path = motion.displacement()[0]
    whole = seam_ratio(motion), mean_magnitude(path)
    monkeypatch.setattr(motion_metrics, "CHUNK_BYTES", 7 * 8 * 8 * 64)
    assert seam_ratio(motion) == pytest.approx(whole[0], rel=1e-5)
    torch.testing.assert_close(mean_magnitude(path), whole[1])


def test_batches_are_refused():
    volume = SpectralVolume(torch.zeros(2, 16, 4, 4, 4))
    for measure in (phase_coherence, lambda v: seam_ratio(loop(v)), lambda v: mean_magnitude(loop(v))):
        with pytest.raises(ValueError, match="batch of 2"):
            measure(volume)
    with pytest.raises(ValueError, match="Displacements must be"):
        mean_magnitude(torch.zeros(4, 3, 5, 5))


def test_seam_ratio_works_for_arbitrary_coordinates():
    volume = translation()
    motion = Motion(volume, playback_coordinates(volume, torch.arange(150.0) * 2), 30.0)
    assert seam_ratio(motion) == pytest.approx(1, abs=1e-3)
