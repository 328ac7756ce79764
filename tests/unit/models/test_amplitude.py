"""How far a photo's motion goes."""

import pytest
import torch

from gid_core.edge_aware_smoothing import Affinities
from gid_core.models.amplitude import AMPLITUDE_RATIO_RANGE, expected_amplitude, object_size
from gid_core.models.config import VolumeConfig

SIZE = (12, 24)
CONFIG = VolumeConfig()


def tiles(side):
    """Objects of side x side cells."""
    affinities = Affinities(torch.ones(1, 1, SIZE[0], SIZE[1] - 1), torch.ones(1, 1, SIZE[0] - 1, SIZE[1]))
    affinities.horizontal[..., side - 1 :: side] = 0
    affinities.vertical[..., side - 1 :: side, :] = 0
    return affinities


@pytest.mark.parametrize("side", [1, 2, 4])
def test_size_counts_the_cells_of_small_objects(side):
    assert object_size(tiles(side)).mean() == pytest.approx(side**2, rel=0.2)


def test_large_objects_move_further_within_the_range():
    small, large = (float(expected_amplitude(CONFIG, tiles(side), None)) for side in (1, 6))
    assert small < large
    assert small == pytest.approx(CONFIG.amplitude * AMPLITUDE_RATIO_RANGE[0])
    assert large <= CONFIG.amplitude * AMPLITUDE_RATIO_RANGE[1]


def test_only_what_moves_counts():
    affinities = tiles(6)
    small = tiles(1)
    affinities.horizontal[..., :12], affinities.vertical[..., :12] = (
        small.horizontal[..., :12],
        small.vertical[..., :12],
    )
    moves_left = torch.zeros(1, 1, *SIZE)
    moves_left[..., :12] = 1
    left, right = (expected_amplitude(CONFIG, affinities, each) for each in (moves_left, 1 - moves_left))
    assert left < right
    assert torch.isfinite(expected_amplitude(CONFIG, affinities, torch.zeros(1, 1, *SIZE)))


def test_a_photo_without_a_cause_of_motion_hardly_moves():
    everywhere = torch.ones(1, 1, *SIZE)
    certain, doubtful = (float(expected_amplitude(CONFIG, tiles(4), share * everywhere)) for share in (0.5, 0.05))
    assert doubtful == pytest.approx(0.2 * certain)
