"""How far a photo's motion goes."""

import pytest
import torch

from gid_core.models.amplitude import MAX_AMPLITUDE_RATIO, REFERENCE_DISPLACEMENT, expected_amplitude
from gid_core.models.config import VolumeConfig

CONFIG = VolumeConfig()


def displacement(*shares):
    """A moving object over half of each photo, of these expected displacements."""
    return torch.cat([torch.tensor([share, 0.0]).repeat(8, 4).view(1, 1, 8, 8) for share in shares])


def test_the_reference_moves_by_the_amplitude_of_the_config():
    assert float(expected_amplitude(CONFIG, displacement(REFERENCE_DISPLACEMENT))) == pytest.approx(CONFIG.amplitude)


def test_what_surely_moves_swings_further_than_what_hardly_does():
    amplitudes = expected_amplitude(CONFIG, displacement(0.02, 0.2, 1.0)) / CONFIG.amplitude
    assert amplitudes.diff().min() > 0.3  # each photo of a batch by itself
    assert amplitudes[0] < 0.5


def test_still_background_does_not_calm_what_moves():
    alone, beside_still = torch.full((1, 1, 8, 8), 0.3), displacement(0.3)
    assert float(expected_amplitude(CONFIG, beside_still)) == pytest.approx(float(expected_amplitude(CONFIG, alone)))


def test_no_photo_moves_without_bounds():
    assert float(expected_amplitude(CONFIG, displacement(1e9))) == pytest.approx(CONFIG.amplitude * MAX_AMPLITUDE_RATIO)
    assert 0 <= float(expected_amplitude(CONFIG, displacement(0.0))) < 0.01 * CONFIG.amplitude
