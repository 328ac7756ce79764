"""Distances between two sets of features: Fréchet (FID, FVD, DTFVD) and kernel (KID), with bootstrap intervals.

A Fréchet distance is named after its features: FVD from I3D logits, FID only from the Inception of 2015-12-05.
Sources: Dowson and Landau 1982 (closed form for Gaussians), Heusel et al. 2017 (FID), Binkowski et al. 2018 (KID).
All sums are float64.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np
from torch import Tensor

# With fewer samples per dimension, the bias of a Fréchet distance deserves a warning.
SAMPLES_PER_DIMENSION = 10

Features = Tensor | np.ndarray
Distance = Callable[[np.ndarray, np.ndarray], float]


def frechet_distance(features_a: Features, features_b: Features) -> float:
    """Squared Fréchet distance of the Gaussians fitted to two sets; covariances are divided by count - 1.

    Equals `frechet_distance_from_statistics` of the sets' statistics, but never squares the features:
    tr sqrt(Ca Cb) is the nuclear norm of A B^T for centered, scaled A and B. Sets with fewer samples than dimensions,
    whose covariances are singular, therefore lose no precision.

    Args:
        features_a: [N, D], N >= 2.
        features_b: [M, D], M >= 2.

    Raises:
        ValueError: for other shapes, too few samples or values that are not finite.
    """
    a, b = _validate(features_a, features_b)
    mean_a, factor_a = _mean_and_factor(a)
    mean_b, factor_b = _mean_and_factor(b)
    trace_of_root = np.linalg.svd(factor_a @ factor_b.T, compute_uv=False).sum()
    return _gaussian_distance(mean_a, mean_b, (factor_a**2).sum() + (factor_b**2).sum(), trace_of_root)


def frechet_distance_from_statistics(mean_a: Features, cov_a: Features, mean_b: Features, cov_b: Features) -> float:
    """Squared Fréchet distance of two Gaussians given by mean [D] and covariance [D, D].

    The square root's trace comes from the eigenvalues of the symmetric sqrt(Ca) Cb sqrt(Ca), so no imaginary part
    can arise and nothing is added to the diagonals.

    Raises:
        ValueError: for inconsistent shapes or values that are not finite.
    """
    mean_a, cov_a, mean_b, cov_b = (_to_array(x) for x in (mean_a, cov_a, mean_b, cov_b))
    size = mean_a.size
    shapes = [x.shape for x in (mean_a, cov_a, mean_b, cov_b)]
    if shapes != [(size,), (size, size)] * 2:
        raise ValueError(f"Two means [D] and two covariances [D, D] are needed; got {shapes}.")
    values, vectors = np.linalg.eigh(cov_a)
    root_a = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    trace_of_root = np.sqrt(np.linalg.eigvalsh(root_a @ cov_b @ root_a).clip(0)).sum()
    return _gaussian_distance(mean_a, mean_b, np.trace(cov_a) + np.trace(cov_b), trace_of_root)


def kernel_distance(
    features_a: Features, features_b: Features, *, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Unbiased squared MMD with the kernel (x.y / D + 1)^3, as in KID: (mean, standard deviation) over random subsets.

    It needs no covariance, and its expectation does not depend on the number of samples: prefer it to a Fréchet
    distance for small sets. It may be slightly negative. The paper reports it times 100.

    Args:
        features_a: [N, D], N >= 2.
        features_b: [M, D], M >= 2.
        subsets: number of pairs of subsets, each drawn without replacement, >= 1.
        subset_size: samples per subset, >= 2; reduced to the size of the smaller set.
        seed: of the random subsets.

    Raises:
        ValueError: for other shapes, too few samples or values that are not finite.
    """
    a, b = _validate(features_a, features_b)
    if subsets < 1 or subset_size < 2:
        raise ValueError(f"At least 1 subset of 2 samples is needed; got {subsets} of {subset_size}.")
    size = min(subset_size, len(a), len(b))
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(subsets):
        x, y = (features[rng.choice(len(features), size, replace=False)] for features in (a, b))
        within = sum((k.sum() - np.trace(k)) / (size * (size - 1)) for k in (_kernel(x, x), _kernel(y, y)))
        values.append(within - 2 * _kernel(x, y).mean())
    return float(np.mean(values)), float(np.std(values))


def bootstrap(
    distance: Distance,
    features_a: Features,
    features_b: Features,
    *,
    num_resamples: int = 1000,
    seed: int = 0,
    groups_a: Sequence[Hashable] | np.ndarray | None = None,
    groups_b: Sequence[Hashable] | np.ndarray | None = None,
    paired: bool = False,
) -> tuple[float, float, float]:
    """A distance with its 95 % interval: (distance(a, b), low, high), from resampling with replacement.

    The interval is for the value expected at these sample sizes, which can be compared between methods measured on
    equally many clips. Resampled sets hold repeats, which raises a Fréchet distance; the replicates are therefore
    used around their own mean (centered basic bootstrap).

    Args:
        distance: of two sets [N, D], [M, D].
        features_a: [N, D].
        features_b: [M, D].
        num_resamples: number of replicates, >= 2; 1000 for published figures.
        seed: of the resampling.
        groups_a: a label for each row of the first set, or None. Rows that share a label (windows of one clip,
            clips of one source) are drawn together, since they are not independent samples.
        groups_b: the same for the second set.
        paired: both sets come from the same sources (real clips, and clips made from their first frames): draw the
            labels once, for both.

    Raises:
        ValueError: if labels do not fit the features, there are fewer than two groups, or `paired` sets differ in
            their labels.
    """
    a, b = _validate(features_a, features_b)
    rows_a, rows_b = _rows_by_group(groups_a, len(a)), _rows_by_group(groups_b, len(b))
    if num_resamples < 2:
        raise ValueError(f"A bootstrap needs at least 2 resamples; got {num_resamples}.")
    if paired and (groups_a is None or groups_b is None or rows_a.keys() != rows_b.keys()):
        raise ValueError("A paired bootstrap needs labels of both sets, and the same ones.")
    rng = np.random.default_rng(seed)
    replicates: list[float] = []
    while len(replicates) < num_resamples:
        drawn_a = rng.choice(len(rows_a), len(rows_a))
        drawn_b = drawn_a if paired else rng.choice(len(rows_b), len(rows_b))
        if len(set(drawn_a)) > 1 and len(set(drawn_b)) > 1:  # a single group has no variance
            replicates.append(distance(a[_select_rows(rows_a, drawn_a)], b[_select_rows(rows_b, drawn_b)]))
    value = float(distance(a, b))
    upper, lower = np.percentile(np.asarray(replicates, np.float64) - np.mean(replicates), [97.5, 2.5])
    return value, float(value - upper), float(value - lower)


def small_sample_warning(count: int, dimensions: int) -> str | None:
    """The warning for a Fréchet distance of `count` samples (of the smaller set), or None if there are enough."""
    if count >= SAMPLES_PER_DIMENSION * dimensions:
        return None
    covariances = "the covariances are singular and" if count <= dimensions else "the covariances are noisy and"
    return (
        f"{count} samples for {dimensions} dimensions: {covariances} the distance is biased upwards. Compare it only "
        "with distances from exactly as many samples, and see the kernel distance."
    )


def _gaussian_distance(mean_a: np.ndarray, mean_b: np.ndarray, traces: float, trace_of_root: float) -> float:
    """|difference of means|^2 + tr Ca + tr Cb - 2 tr sqrt(Ca Cb), never below zero."""
    return max(float(((mean_a - mean_b) ** 2).sum() + traces - 2 * trace_of_root), 0.0)


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The polynomial kernel of KID between rows of x and of y."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def _mean_and_factor(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean [D] and a matrix R [min(N, D), D] with R^T R = the covariance."""
    mean = features.mean(0)
    factor = (features - mean) / np.sqrt(len(features) - 1)
    if factor.shape[0] > factor.shape[1]:
        factor = np.asarray(np.linalg.qr(factor, mode="r"))
    return mean, factor


def _to_array(values: Features) -> np.ndarray:
    """Values as a finite float64 array."""
    array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values, np.float64)
    if not np.isfinite(array).all():
        raise ValueError("The features hold NaN or infinite values.")
    return array


def _validate(features_a: Features, features_b: Features) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of features as float64 arrays [N, D] and [M, D] with at least two samples each."""
    a, b = _to_array(features_a), _to_array(features_b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1:] != b.shape[1:] or min(a.shape + b.shape) < 1:
        raise ValueError(f"Features must be [N, D] and [M, D]; got {a.shape} and {b.shape}.")
    if min(len(a), len(b)) < 2:
        raise ValueError(f"At least two samples of each are needed; got {len(a)} and {len(b)}.")
    return a, b


def _rows_by_group(labels: Sequence[Hashable] | np.ndarray | None, count: int) -> dict[Hashable, list[int]]:
    """Row numbers of each label, in a fixed order; without labels each row is its own group."""
    labels = range(count) if labels is None else labels
    if len(labels) != count:
        raise ValueError(f"{count} samples need {count} group labels; got {len(labels)}.")
    rows: dict[Hashable, list[int]] = {}
    for row, label in enumerate(labels):
        rows.setdefault(label, []).append(row)
    if len(rows) < 2:
        raise ValueError("A bootstrap needs at least two groups.")
    return dict(sorted(rows.items(), key=lambda item: str(item[0])))


def _select_rows(rows_by_group: dict[Hashable, list[int]], drawn: np.ndarray) -> np.ndarray:
    """Row numbers of the drawn groups, concatenated."""
    groups = list(rows_by_group.values())
    return np.concatenate([groups[number] for number in drawn])
