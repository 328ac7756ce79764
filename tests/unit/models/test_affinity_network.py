"""The network that tells which neighboring cells move as one."""

import math

import pytest
import torch

from gid_core.models.affinity_network import (
    MAX_DIFFERENCE,
    MIN_DIFFERENCE,
    OBJECT_DIFFERENCE,
    AffinityNetwork,
    affinities_from_differences,
    affinity_loss,
    relative_differences,
)
from gid_core.models.config import AffinityConfig, ModelConfig
from gid_core.models.efficientnet import PYRAMID_CHANNELS
from gid_core.models.motion_model import MotionModel
from random_tensors import random_normal, random_uniform


def moving_square(shift=1.0):
    """A square moves as one over a static background."""
    motion = torch.zeros(1, 4, 4, 16, 24)
    motion[:, 1:, :, 4:10, 6:15] = shift * torch.randn(1, 3, 4, 1, 1, generator=torch.Generator().manual_seed(0))
    return motion


def test_true_differences_are_one_across_outlines_and_zero_elsewhere():
    horizontal, vertical = relative_differences(moving_square())
    edge = torch.zeros(16, 23, dtype=torch.bool)
    edge[4:10, [5, 14]] = True
    assert horizontal[0, 0][edge].min() > 0.9 and horizontal[0, 0][~edge].max() == 0
    assert vertical.max() <= 1 and vertical.amin() == 0
    # The size of the motion does not matter, and a photo in which nothing moves has no outlines.
    torch.testing.assert_close(relative_differences(moving_square(1e-3))[0], horizontal)
    assert relative_differences(torch.zeros(1, 4, 4, 8, 8))[0].max() == 0


def test_opposite_motions_differ_by_two():
    motion = random_normal(1, 4, 4, 1, 1).repeat(1, 1, 1, 8, 8)
    motion[..., 4:] *= -1
    assert relative_differences(motion)[0][..., 3].min() == pytest.approx(2.0, abs=0.05)


def test_affinities_fall_with_the_difference():
    differences = torch.tensor([1e-3, OBJECT_DIFFERENCE, 10 * OBJECT_DIFFERENCE, 1.0]).log().view(1, 1, 1, 4)
    affinities = affinities_from_differences(differences, differences)
    torch.testing.assert_close(affinities.horizontal.flatten(), torch.tensor([1.0, 1.0, 0.1, OBJECT_DIFFERENCE]))


def test_the_loss_is_least_at_the_true_difference():
    motion = moving_square()
    true = [(difference + MIN_DIFFERENCE).log() for difference in relative_differences(motion)]
    best = affinity_loss(true, motion)
    for offset in (-0.5, 0.5):
        assert affinity_loss([each + offset for each in true], motion) > best + 0.05


def test_the_network_is_symmetric_and_within_its_range():
    network = AffinityNetwork(16, tuple(PYRAMID_CHANNELS.values())).eval()
    photo = random_uniform(2, 3, 32, 48)
    pyramid = [
        random_normal(2, channels, max(1, 8 >> level), max(1, 12 >> level), seed=level)
        for level, channels in enumerate(PYRAMID_CHANNELS.values())
    ]
    horizontal, vertical = network(photo, pyramid)
    assert horizontal.shape == (2, 1, 8, 11) and vertical.shape == (2, 1, 7, 12)
    for result in (horizontal, vertical):
        assert result.min() >= math.log(MIN_DIFFERENCE) and result.max() <= math.log(MAX_DIFFERENCE)


def test_the_network_learns_an_outline():
    """A bright square that moves over a dark background: 60 steps are enough to find its outline."""
    torch.manual_seed(0)
    model = MotionModel(ModelConfig(affinity=AffinityConfig(8)))
    motion = moving_square()
    photo = torch.full((1, 3, 64, 96), 0.2)
    photo[..., 16:40, 24:60] = 0.8
    optimizer = torch.optim.Adam(model.affinity.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        affinity_loss(model.log_differences(photo), motion).backward()
        optimizer.step()
    horizontal = model.affinities(photo).horizontal[0, 0]
    assert horizontal[4:10, [5, 14]].max() < 0.1 and horizontal[:, :4].min() > 0.3


def test_models_without_the_network_use_colors():
    model = MotionModel(ModelConfig())
    photo = torch.full((1, 3, 32, 64), 0.2)
    photo[..., 32:] = 0.8
    affinities = model.affinities(photo)
    assert affinities.size == (8, 16)
    assert affinities.horizontal[..., 7].max() < 1e-3 and affinities.vertical.min() > 0.99
    with pytest.raises(ValueError, match="no affinity network"):
        model.log_differences(photo)


def test_a_config_that_cannot_have_the_network_is_refused():
    with pytest.raises(ValueError, match="needs volume.stride 4; got 1"):
        ModelConfig.from_dict({"volume": {"stride": 1}, "affinity": {"hidden_channels": 8}})
