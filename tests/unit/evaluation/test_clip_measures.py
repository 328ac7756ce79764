"""The measures of one clip."""

import math

import pytest
import torch

from gid_core.evaluation.clip_measures import measure_motion, measure_real_motion, windows
from gid_core.evaluation.object_coherence import DISTANCES
from gid_core.motion import loop
from metric_volumes import smooth_volume


def test_windows_are_consecutive():
    assert windows(torch.arange(37), 16).tolist() == [list(range(16)), list(range(16, 32))]


@pytest.fixture
def still_left():
    """A volume whose left half does not move."""
    volume = smooth_volume((72, 128))
    right = (torch.arange(128) >= 64).float()
    return volume.replace(coefficients=volume.coefficients * right)


def measures_of(reference, volume):
    photo = torch.rand(72, 128, 3, generator=torch.Generator().manual_seed(0))
    frames = photo.expand(20, -1, -1, -1)
    return measure_motion(reference, loop(volume), torch.zeros(20, 72, 128), frames, photo)


def test_true_motion_has_the_best_value_of_every_measure(still_left):
    measures, real = measures_of(still_left, still_left), measure_real_motion(still_left)
    best = {"amplitude_error": 0, "fast_ratio": 1, "outline_auc": 1, "object_coherence": 0, "unevenness": 0}
    assert {name: measures[name] for name in best} == pytest.approx(best, abs=1e-6)
    assert measures["still_motion"] == 0 == real["still_motion"]
    for name, value in real.items():
        assert measures[name] == pytest.approx(value, abs=1e-6), name
    assert len(real["coherence_curve"]) == len(real["unevenness_curve"]) == len(DISTANCES)
    assert real["amplitude"] == pytest.approx(float(still_left.amplitude) * 256)


def test_motion_of_the_wrong_half_that_is_twice_as_strong_is_seen(still_left):
    mirrored = still_left.replace(coefficients=still_left.coefficients.flip(-1)).amplify(2.0)
    measures = measures_of(still_left, mirrored)
    assert measures["outline_auc"] == measures["auc"] == 0 and measures["still_motion"] > 0.25
    assert measures["amplitude_error"] == pytest.approx(math.log(2), abs=1e-5)


def test_a_still_photo_has_no_ratios(still_left):
    measures = measures_of(still_left, still_left.amplify(0))
    assert all(math.isnan(measures[name]) for name in ("amplitude_error", "fast_ratio", "lattice_share"))
    assert measures["outline_auc"] == 0.5 and all(map(math.isnan, measures["coherence_curve"]))
