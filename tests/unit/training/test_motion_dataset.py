"""The dataset of motion samples: items depend on their index alone, and have unit amplitude."""

import pytest
import torch

from gid_core.spectral_volume import SpectralVolume
from gid_core.training.augmentation import Augmentation
from gid_core.training.motion_dataset import Mixture, MotionDataset
from tiny_models import BINS
from tiny_training import random_sample


def test_items_depend_on_their_index_alone():
    sources = [[random_sample("a", seed=1), random_sample("b", seed=2)], [random_sample("c", seed=3)]]
    augmentation = Augmentation(size=(32, 64))
    dataset = MotionDataset(sources, Mixture((1.0, 2.0)), augmentation, 1000, seed=5)
    forward, backward = [dataset[i] for i in range(6)], [dataset[i] for i in reversed(range(6))][::-1]
    for first, second in zip(forward, backward, strict=True):
        assert torch.equal(first[0], second[0])
        assert torch.equal(first[1], second[1])
    assert forward[0][0].shape == (3, 32, 64)
    assert forward[0][1].shape == (BINS, 4, 8, 16)
    assert not torch.equal(forward[0][0], forward[1][0])
    other = MotionDataset(sources, Mixture((1.0, 2.0)), augmentation, 1000, seed=6)
    assert not torch.equal(other[0][0], forward[0][0])


def test_items_have_unit_amplitude_on_request():
    for unit in (True, False):
        dataset = MotionDataset(
            [[random_sample()]], Mixture((1.0,), 0.0), Augmentation(size=(32, 64)), 10, unit_amplitude=unit
        )
        amplitudes = [float(SpectralVolume(dataset[i][1][None]).amplitude) for i in range(3)]
        assert (amplitudes == pytest.approx([1, 1, 1], rel=1e-4)) == unit


@pytest.mark.parametrize(("sources", "weights"), [([[]], (1.0,)), ([[random_sample()]], (1.0, 2.0)), ([], ())])
def test_number_of_weights_must_match_the_sources(sources, weights):
    with pytest.raises(ValueError, match="weights"):
        MotionDataset(sources, Mixture(weights), Augmentation(size=(32, 64)), 10)
