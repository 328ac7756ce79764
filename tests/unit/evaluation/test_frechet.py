"""Distances of feature sets: closed forms, other implementations, and what must hold of any distance."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.stats import ortho_group

from gid_core.evaluation.frechet import (
    bootstrap,
    frechet_distance,
    frechet_distance_from_statistics,
    kernel_distance,
    small_sample_warning,
)


def gaussian(count, dimensions, seed, shift=0.0, spread=1.0):
    """Correlated samples [count, dimensions], another covariance for every seed."""
    random = np.random.default_rng(seed)
    mixing = random.normal(size=(dimensions, dimensions)) / np.sqrt(dimensions)
    return random.normal(size=(count, dimensions)) @ mixing * spread + shift


@pytest.fixture
def fidelity(unavailable):
    """torch-fidelity's own distances."""
    try:
        from torch_fidelity import metric_fid, metric_kid
    except ImportError as error:
        unavailable(f"torch-fidelity: {error}; python scripts/evaluation_weights.py installs it")
    return metric_fid, metric_kid


def statistics(x):
    return x.mean(0), np.cov(x, rowvar=False)


def textbook(a, b):
    """The definition, with scipy's matrix square root."""
    (mean_a, cov_a), (mean_b, cov_b) = statistics(a), statistics(b)
    return ((mean_a - mean_b) ** 2).sum() + np.trace(cov_a + cov_b - 2 * sqrtm(cov_a @ cov_b).real)


# ---- Fréchet ----


@pytest.mark.parametrize(("count", "other", "dimensions"), [(50, 50, 3), (400, 300, 24), (500, 90, 64)])
def test_frechet_distance_equals_the_closed_form(count, other, dimensions):
    a, b = gaussian(count, dimensions, 1), gaussian(other, dimensions, 2, shift=0.3, spread=1.5)
    expected = textbook(a, b)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance_from_statistics(*statistics(a), *statistics(b)) == pytest.approx(expected, rel=1e-6)


def test_one_dimension_by_hand():
    a, b = np.array([[0.0], [2.0]]), np.array([[5.0], [11.0]])
    means, deviations = 8 - 1, np.sqrt(18) - np.sqrt(2)
    assert frechet_distance(a, b) == pytest.approx(means**2 + deviations**2)


@pytest.mark.parametrize(("count", "dimensions"), [(300, 40), (20, 200)])
def test_frechet_distance_agrees_with_torch_fidelity(fidelity, count, dimensions):
    metric, _ = fidelity
    a, b = (torch.from_numpy(gaussian(count, dimensions, s, shift=s)) for s in (3, 4))
    theirs = metric.fid_statistics_to_metric(
        metric.fid_features_to_statistics(a), metric.fid_features_to_statistics(b), verbose=False
    )["frechet_inception_distance"]
    assert frechet_distance(a, b) == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize(("count", "other"), [(10, 12), (10, 300), (2, 2)])
def test_fewer_samples_than_dimensions(count, other):
    """Both forms agree on singular covariances, up to the square root of rounding that the second one has."""
    a, b = gaussian(count, 60, 5), gaussian(other, 60, 6, shift=0.2)
    expected = frechet_distance_from_statistics(*statistics(a), *statistics(b))
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("count", [10, 500])
def test_a_set_has_distance_zero_from_itself(count):
    a = gaussian(count, 60, 7, shift=3.0)
    assert frechet_distance(a, a) < 1e-10
    assert frechet_distance(a, a[::-1]) < 1e-10
    assert frechet_distance_from_statistics(*statistics(a), *statistics(a)) < 1e-4


def test_frechet_distance_is_symmetric_and_rotation_invariant():
    a, b = gaussian(80, 30, 8), gaussian(50, 30, 9, shift=0.5)
    turn = ortho_group.rvs(30, random_state=0)
    distance = frechet_distance(a, b)
    assert frechet_distance(b, a) == pytest.approx(distance, rel=1e-9)
    assert frechet_distance(a @ turn + 2, b @ turn + 2) == pytest.approx(distance, rel=1e-9)
    assert frechet_distance(3 * a, 3 * b) == pytest.approx(9 * distance, rel=1e-9)


def test_a_shift_adds_its_square():
    a, b = gaussian(80, 6, 10), gaussian(80, 6, 11)
    b = b - b.mean(0) + a.mean(0)
    assert frechet_distance(a, b + 2.0) == pytest.approx(frechet_distance(a, b) + 6 * 4.0)


def test_tensors_of_any_dtype_are_accepted():
    a, b = torch.rand(9, 4), torch.rand(7, 4)
    assert frechet_distance(a.requires_grad_(), b) == pytest.approx(frechet_distance(a.detach().numpy(), b.double()))


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.zeros((4, 3)), np.zeros((4, 2)), r"\(4, 3\) and \(4, 2\)"),
        (np.zeros(4), np.zeros(4), r"\[N, D\]"),
        (np.zeros((1, 3)), np.zeros((4, 3)), "got 1 and 4"),
        (np.full((4, 3), np.nan), np.zeros((4, 3)), "NaN"),
    ],
)
def test_sets_of_wrong_shape_are_refused(a, b, message):
    for distance in (frechet_distance, kernel_distance):
        with pytest.raises(ValueError, match=message):
            distance(a, b)


def test_statistics_of_wrong_shape_are_refused():
    with pytest.raises(ValueError, match="two covariances"):
        frechet_distance_from_statistics(np.zeros(3), np.eye(3), np.zeros(3), np.eye(4))


# ---- kernel ----


def test_kernel_distance_agrees_with_torch_fidelity(fidelity):
    _, metric = fidelity
    a, b = (torch.from_numpy(gaussian(60, 16, s, shift=0.2 * s)) for s in (12, 13))
    options = {"kid_subsets": 3, "kid_subset_size": 60, "verbose": False}
    theirs = metric.kid_features_to_metric(a, b, **options)["kernel_inception_distance_mean"]
    mean, deviation = kernel_distance(a, b, subsets=3)
    assert mean == pytest.approx(theirs, rel=1e-9) and deviation == pytest.approx(0, abs=1e-9)


def test_kernel_distance_is_unbiased():
    """Sets of one distribution are 0 apart on average, however few they are; others are not."""
    random = np.random.default_rng(15)
    values = [kernel_distance(*random.normal(size=(2, 20, 8)), subsets=1)[0] for _ in range(400)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))
    apart = [kernel_distance(x, y + 1, subsets=1)[0] for x, y in random.normal(size=(20, 2, 20, 8))]
    assert min(apart) > np.mean(values)


def test_kernel_distance_is_reproducible_from_the_seed():
    a, b = gaussian(50, 8, 16), gaussian(70, 8, 17)
    one = kernel_distance(a, b, subsets=10, subset_size=20)
    assert one == kernel_distance(a, b, subsets=10, subset_size=20)
    assert one != kernel_distance(a, b, subsets=10, subset_size=20, seed=1)
    assert one[1] > 0
    with pytest.raises(ValueError, match="0 of 1000"):
        kernel_distance(a, b, subsets=0)


# ---- bootstrap ----


def mean_difference(a, b):
    return float(a.mean() - b.mean())


def test_intervals_have_the_stated_coverage():
    random = np.random.default_rng(18)
    hits = 0
    for trial in range(100):
        value, low, high = bootstrap(
            mean_difference, random.normal(1.0, 1, (40, 1)), random.normal(0, 1, (40, 1)), num_resamples=200, seed=trial
        )
        assert low < value < high
        hits += low < 1.0 < high
    assert 0.88 <= hits / 100 <= 1


def test_a_biased_distance_stays_in_its_interval():
    """With fewer samples than dimensions, replicates lie above the distance itself; the interval does not."""
    a, b = gaussian(20, 50, 19), gaussian(20, 50, 19)[::-1] + gaussian(20, 50, 20)
    value, low, high = bootstrap(frechet_distance, a, b, num_resamples=100)
    assert value == frechet_distance(a, b) and low < value < high
    assert bootstrap(frechet_distance, a, b, num_resamples=100) == (value, low, high)
    assert bootstrap(frechet_distance, a, b, num_resamples=100, seed=1)[1:] != (low, high)


def test_windows_of_one_clip_are_drawn_together():
    """Ten copies of every sample say nothing new: grouped, the interval stays as wide as without the copies."""
    random = np.random.default_rng(21)
    a, b = random.normal(size=(15, 1)), random.normal(size=(15, 1))
    labels = np.repeat([f"clip {i}" for i in range(15)], 10)
    copies = a.repeat(10, 0), b.repeat(10, 0)

    def width(*sets, **options):
        _, low, high = bootstrap(mean_difference, *sets, num_resamples=400, **options)
        return high - low

    assert width(*copies, groups_a=labels, groups_b=labels) == pytest.approx(width(a, b), rel=0.2)
    assert width(*copies) < 0.5 * width(a, b)


def test_pairing_narrows_the_interval():
    random = np.random.default_rng(22)
    a = random.normal(size=(30, 1)) * 10
    b = a + random.normal(size=(30, 1)) * 0.1
    labels = list(range(30))
    _, low, high = bootstrap(mean_difference, a, b, num_resamples=200, groups_a=labels, groups_b=labels, paired=True)
    _, loose_low, loose_high = bootstrap(mean_difference, a, b, num_resamples=200, groups_a=labels, groups_b=labels)
    assert high - low < 0.1 * (loose_high - loose_low)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups_a": [1, 2]}, "4 samples need 4 group labels; got 2"),
        ({"groups_b": [1, 1, 1, 1]}, "two groups"),
        ({"paired": True}, "same ones"),
        ({"groups_a": [1, 2, 3, 4], "groups_b": [1, 2, 3, 5], "paired": True}, "same ones"),
        ({"num_resamples": 1}, "got 1"),
    ],
)
def test_invalid_bootstrap_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        bootstrap(mean_difference, np.zeros((4, 1)), np.zeros((4, 1)), **options)


def test_small_samples_get_a_warning():
    assert "singular" in small_sample_warning(100, 400)
    assert "biased" in small_sample_warning(2000, 400)
    assert small_sample_warning(4000, 400) is None
