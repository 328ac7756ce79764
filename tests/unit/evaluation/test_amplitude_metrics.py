"""Strength and speed of motion, on volumes whose values are known."""

import math

import pytest
import torch

from gid_core.evaluation.amplitude_metrics import amplitude_error, fast_share
from gid_core.spectral_volume import SpectralVolume
from metric_volumes import noise_volume, smooth_volume, translation


@pytest.mark.parametrize("gain", [0.25, 1.0, 3.0])
def test_amplitude_error_is_the_log_of_the_gain(gain):
    volume = smooth_volume()
    assert amplitude_error(volume, volume.amplify(gain)) == pytest.approx(abs(math.log(gain)), abs=1e-5)


def test_amplitude_error_depends_neither_on_resolution_nor_on_the_constant_bin():
    volume = translation((24, 256))
    assert amplitude_error(volume, volume.resize((12, 128))) == pytest.approx(0, abs=1e-5)
    shifted = volume.coefficients.clone()
    shifted[:, 0] += 500
    assert amplitude_error(volume, volume.replace(coefficients=shifted)) == pytest.approx(0, abs=1e-6)


def test_no_motion_has_neither_an_error_nor_a_share():
    volume = translation()
    assert math.isnan(amplitude_error(volume, volume.amplify(0))) and math.isnan(fast_share(volume.amplify(0)))


def test_fast_share_counts_the_energy_of_bins_above_the_frequency():
    """Bins are 0.2 Hz apart: bin 7 is at 1.4 Hz, bin 8 at 1.6 Hz. Energy is the square of amplitude."""
    assert fast_share(translation(k=7)) == 0 and fast_share(translation(k=8)) == 1
    both = translation(k=7).coefficients + 2 * translation(k=8).coefficients
    assert fast_share(SpectralVolume(both)) == pytest.approx(4 / 5)
    assert fast_share(SpectralVolume(both), min_frequency=1.7) == 0


def test_fast_share_follows_the_time_base():
    volume = translation(k=4)  # 0.8 Hz in 5 seconds, 1.6 Hz in 2.5 seconds
    assert fast_share(volume) == 0 and fast_share(volume.replace(fps=60.0)) == 1


def test_white_motion_has_the_share_of_its_bins():
    assert fast_share(noise_volume()) == pytest.approx(8 / 15, abs=0.01)


def test_batches_are_refused():
    batch = SpectralVolume(torch.ones(2, 4, 4, 2, 2))
    with pytest.raises(ValueError, match="batch of 2"):
        fast_share(batch)
    with pytest.raises(ValueError, match="batch of 2"):
        amplitude_error(translation(), batch)
