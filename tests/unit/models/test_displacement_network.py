"""The network that refines how far each cell is expected to move."""

import pytest
import torch

from gid_core.models.config import DisplacementConfig, ImageEncoderConfig, ModelConfig
from gid_core.models.displacement_network import (
    MAX_FACTOR,
    MIN_DISPLACEMENT,
    DisplacementNetwork,
    displacement_loss,
)
from gid_core.models.motion_model import MotionModel
from gid_core.tensors import resize_maps
from random_tensors import random_uniform
from tiny_models import randomize_weights


def test_an_untrained_network_leaves_the_expectation_as_it_is():
    network = DisplacementNetwork(8).eval()
    expected = torch.full((2, 1, 3, 5), 0.3)
    refined = network(random_uniform(2, 3, 48, 80), [], expected)
    torch.testing.assert_close(refined, torch.full((2, 1, 12, 20), 0.3))
    assert (network(random_uniform(2, 3, 48, 80), [], 0 * expected) < 1e-9).all()


def test_the_factor_is_limited():
    network = DisplacementNetwork(8).eval()
    photo, expected = random_uniform(1, 3, 48, 80), torch.full((1, 1, 3, 5), 0.3)
    for bias, factor in ((50.0, MAX_FACTOR), (-50.0, 1 / MAX_FACTOR)):
        torch.nn.init.constant_(network.head.bias, bias)
        wanted = (0.3 + MIN_DISPLACEMENT) * factor - MIN_DISPLACEMENT
        torch.testing.assert_close(network(photo, [], expected), torch.full((1, 1, 12, 20), wanted))


def test_the_loss_is_least_at_the_true_displacement():
    true = random_uniform(1, 1, 6, 8)
    best = displacement_loss(true, true)
    for factor in (0.5, 2.0):
        assert displacement_loss(factor * true, true) > best + 0.01


def test_cells_near_outlines_count_twice():
    true = torch.zeros(1, 1, 32, 40)
    true[..., :20] = 1.0
    near, far = true.clone(), true.clone()
    near[0, 0, 10, 22] = far[0, 0, 10, 30] = 0.5
    best, near, far = (float(displacement_loss(maps, true)) for maps in (true, near, far))
    assert near - best == pytest.approx(2 * (far - best), rel=1e-2)


def test_thin_stems_are_found_inside_coarse_cells():
    """A column of green, a quarter of a coarse cell wide, moves; the wall behind it does not."""
    model = MotionModel(ModelConfig(encoder=ImageEncoderConfig("resnet"), displacement=DisplacementConfig(8)))
    photo, true = torch.full((2, 3, 64, 96), 0.7), torch.zeros(2, 1, 16, 24)
    for item, column in enumerate((5, 14)):
        photo[item, :, :, 4 * column : 4 * column + 4] = torch.tensor([0.1, 0.6, 0.1]).view(3, 1, 1)
        true[item, :, :, column] = 1.0
    expected = torch.nn.functional.avg_pool2d(true, 4)
    torch.manual_seed(0)
    network = model.displacement.eval()
    for parameter in network.head.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        displacement_loss(model.refine_displacement(photo, expected), true).backward()
        optimizer.step()
    refined = model.refine_displacement(photo, expected).detach()
    beside = resize_maps(expected, true.shape[-2:]).gt(0) & (true == 0)
    assert refined[true > 0].min() > 5 * refined[beside].mean()


def test_a_model_without_the_network_resizes_the_expectation():
    model = MotionModel(ModelConfig(encoder=ImageEncoderConfig("resnet")))
    expected = random_uniform(1, 1, 4, 6)
    refined = model.refine_displacement(torch.zeros(1, 3, 64, 96), expected)
    assert torch.equal(refined, resize_maps(expected, (16, 24)))


def test_it_uses_the_pretrained_features_where_there_are_some():
    model = MotionModel(ModelConfig(displacement=DisplacementConfig(8)))
    assert len(model.displacement.lateral_convs) == 4
    refined = model.eval().refine_displacement(random_uniform(1, 3, 64, 96), random_uniform(1, 1, 4, 6))
    assert refined.shape == (1, 1, 16, 24)


def test_a_network_without_a_prior_or_of_another_stride_is_refused():
    with pytest.raises(ValueError, match=r"displacement.hidden_channels > 0 needs encoder.prior"):
        ModelConfig.from_dict({"encoder": {"prior": False}, "displacement": {"hidden_channels": 8}})
    with pytest.raises(ValueError, match=r"displacement.hidden_channels > 0 needs volume.stride 4"):
        ModelConfig.from_dict({"volume": {"stride": 1}, "displacement": {"hidden_channels": 8}})


def test_odd_sizes_of_features_are_accepted():
    network = randomize_weights(DisplacementNetwork(8, (3,)))
    out = network(random_uniform(1, 3, 80, 112), [random_uniform(1, 3, 5, 7)], random_uniform(1, 1, 5, 7))
    assert out.shape == (1, 1, 20, 28) and (out >= 0).all() and out.isfinite().all()
