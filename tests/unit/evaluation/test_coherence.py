"""Coherence of neighboring pixels and frequencies on volumes with known motion."""

import numpy as np
import pytest
import torch

from gid_core.evaluation.coherence import bin_coherence, frequency_coherence, phase_coherence
from gid_core.spectral_volume import SpectralVolume
from metric_volumes import noise_volume, smooth_volume, translation


def test_a_translation_and_a_wave_are_coherent():
    assert bin_coherence(translation())[1] == pytest.approx(1, abs=1e-9)
    assert bin_coherence(translation()).isnan().sum() == 14
    wave = translation()
    angle = torch.arange(256.0) * 0.3
    wave.coefficients[:, 2, 0], wave.coefficients[:, 2, 1] = 75 * angle.cos(), 75 * angle.sin()
    wave.coefficients[:, 2, 2:] = 0
    assert phase_coherence(wave) == pytest.approx(1, abs=1e-6)


def test_independent_noise_is_incoherent_and_smooth_motion_coherent():
    assert phase_coherence(noise_volume(size=(128, 256))) < 0.02
    assert phase_coherence(smooth_volume()) > 0.99


def test_random_signs_are_incoherent():
    volume = translation((4, 64))
    volume.coefficients[..., ::2] *= -1
    # To the right all change sign (coherent up to a constant phase), so the two directions agree on 1.
    assert phase_coherence(volume) == pytest.approx(1)
    torch.manual_seed(0)
    volume.coefficients.mul_(torch.where(torch.rand(4, 64) < 0.5, -1.0, 1.0))
    assert phase_coherence(volume) < 0.2


def test_coherence_needs_neighbors():
    assert phase_coherence(translation((1, 5))) == pytest.approx(1)
    with pytest.raises(ValueError, match="distance"):
        phase_coherence(translation((1, 1)))


def test_frequency_coherence_is_one_for_a_single_shape_and_small_for_independent_slices():
    shape = torch.randn(1, 1, 4, 12, 20, generator=torch.Generator().manual_seed(0))
    turned = torch.stack([-shape[:, :, 1], shape[:, :, 0], -shape[:, :, 3], shape[:, :, 2]], 2)  # i times it
    one = SpectralVolume(torch.cat([shape, 2 * shape, turned, 0.1 * shape], 1))
    assert frequency_coherence(one) == pytest.approx(1)
    apart = torch.randn(1, 16, 4, 12, 20, generator=torch.Generator().manual_seed(1))
    assert frequency_coherence(SpectralVolume(apart)) < 0.15
    assert np.isnan(frequency_coherence(SpectralVolume(torch.zeros_like(apart))))
