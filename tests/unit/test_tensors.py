"""Operations on maps: smoothstep and the guided filter in NumPy and torch, each against its definition."""

import numpy as np
import pytest
import torch

from gid_core.tensors import GuidedFilter, box_mean, smoothstep
from random_tensors import random_uniform


def test_smoothstep_is_the_cubic_of_arrays_and_tensors():
    x = torch.linspace(0, 1, 33, dtype=torch.float64)
    expected = 3 * x**2 - 2 * x**3
    torch.testing.assert_close(smoothstep(x), expected)
    np.testing.assert_allclose(smoothstep(x.numpy()), expected.numpy())
    assert smoothstep(x)[[0, 16, 32]].tolist() == [0, 0.5, 1]


@pytest.mark.parametrize("radius", [1, 2, 4])
def test_box_mean_repeats_the_border(radius):
    maps = random_uniform(2, 3, 7, 9)
    padded = torch.nn.functional.pad(maps, (radius,) * 4, mode="replicate")
    side = 2 * radius + 1
    expected = padded.unfold(2, side, 1).unfold(3, side, 1).mean((-1, -2))
    torch.testing.assert_close(box_mean(maps, radius), expected)
    torch.testing.assert_close(torch.from_numpy(box_mean(maps[0, 0].numpy(), radius)), expected[0, 0])


def window_regression(guide, values, radius, epsilon):
    """He et al. 2010, equations 9 and 10, window by window: guide [C, H, W], values [H, W], float64."""
    channels, height, width = guide.shape
    index = np.arange(-radius, radius + 1)
    rows = np.clip(np.arange(height)[:, None] + index, 0, height - 1)
    columns = np.clip(np.arange(width)[:, None] + index, 0, width - 1)
    slopes, offsets = np.zeros((channels, height, width)), np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            window = guide[:, rows[y][:, None], columns[x]].reshape(channels, -1)
            target = values[rows[y][:, None], columns[x]].reshape(-1)
            centered = window - window.mean(1, keepdims=True)
            covariance = centered @ centered.T / target.size + epsilon * np.eye(channels)
            slopes[:, y, x] = np.linalg.solve(covariance, centered @ target / target.size)
            offsets[y, x] = target.mean() - slopes[:, y, x] @ window.mean(1)
    mean = lambda field: field[rows[:, None, :, None], columns[None, :, None, :]].mean((-1, -2))  # noqa: E731
    return sum(mean(slope) * channel for slope, channel in zip(slopes, guide, strict=True)) + mean(offsets)


@pytest.mark.parametrize("channels", [1, 3])
def test_guided_filter_is_a_linear_regression_in_every_window(channels):
    guide, values = random_uniform(channels, 8, 11), random_uniform(8, 11, seed=1)
    expected = window_regression(guide.double().numpy(), values.double().numpy(), 2, 1e-2)
    in_numpy = GuidedFilter(list(guide.numpy()), 2, 1e-2)(values.numpy())
    np.testing.assert_allclose(in_numpy, expected, atol=1e-5)
    in_torch = GuidedFilter(guide[None].split(1, 1), 2, 1e-2)(values[None, None])
    np.testing.assert_allclose(in_torch[0, 0].numpy(), expected, atol=1e-5)


def test_guided_filter_keeps_edges_of_its_guide():
    guide = np.zeros((3, 20, 20), np.float32)
    guide[:, :, 10:] = 1
    values = guide[0] + 0.1 * np.random.default_rng(0).standard_normal((20, 20)).astype(np.float32)
    smooth = GuidedFilter(list(guide), 2, 1e-4)(values)
    assert abs(smooth[:, 9].mean()) < 0.08 and abs(smooth[:, 10].mean() - 1) < 0.08
    assert smooth[:, :10].std() < 0.5 * values[:, :10].std()


def test_guided_filter_of_a_batch_filters_each_by_its_own_guide():
    guide, maps = random_uniform(3, 3, 9, 10), random_uniform(3, 5, 9, 10, seed=1)
    together = GuidedFilter(guide.split(1, 1), 1, 1e-3)(maps)
    for b in range(3):
        alone = GuidedFilter(guide[b : b + 1].split(1, 1), 1, 1e-3)(maps[b : b + 1])
        torch.testing.assert_close(together[b : b + 1], alone)
