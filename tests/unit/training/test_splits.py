"""Train-test splits by group, and seeds."""

import pytest
import torch

from gid_core.training.motion_samples import MotionSample
from gid_core.training.splits import combine_seeds, split_by_group
from tiny_training import random_sample


def sample(group, name="a"):
    return MotionSample(name, group, torch.zeros(2, 2, 3, dtype=torch.uint8), random_sample().volume)


def test_split_keeps_groups_together_and_every_sample():
    samples = [sample(f"group {i % 40}", str(i)) for i in range(200)]
    train, test = split_by_group(samples, 0.3)
    assert sorted(s.name for s in train + test) == sorted(s.name for s in samples)
    assert not {s.group for s in train} & {s.group for s in test}
    assert 0.1 < len(test) / 200 < 0.5
    assert split_by_group(samples, 0.0) == (samples, [])
    assert split_by_group(samples, 1.0) == ([], samples)


def test_split_does_not_depend_on_other_samples():
    """Nor on the machine: these groups were test groups before and must remain so."""
    groups = [f"group {i}" for i in range(60)]
    test_groups = {s.group for s in split_by_group([sample(g) for g in groups], 0.1)[1]}
    half = groups[::-2]
    assert {s.group for s in split_by_group([sample(g) for g in half], 0.1)[1]} == test_groups & set(half)
    larger = {s.group for s in split_by_group([sample(g) for g in groups], 0.2)[1]}
    assert test_groups < larger
    assert test_groups == {f"group {i}" for i in (5, 8, 11, 18, 30, 54, 58)}


@pytest.mark.parametrize("numbers", [(0, 0), (0, 1), (1, 0), (2**40, 0), (0, 10**9), (5, 3, 1)])
def test_combined_seeds_differ_in_the_bits_that_torch_uses(numbers):
    others = [(0, 0), (0, 1), (1, 0), (2**40, 0), (0, 10**9), (5, 3, 1), (5, 3, 2)]
    draws = {n: torch.rand(2, generator=torch.Generator().manual_seed(combine_seeds(*n))).tolist() for n in others}
    assert [n for n in others if draws[n] == draws[numbers]] == [numbers]
    assert combine_seeds(5, 3, 1) == combine_seeds(5, 3, 1)
