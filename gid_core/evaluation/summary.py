"""Summary of an evaluation: set distances with intervals, metrics, distances over time, spectra, object curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .clip_folder import Clip
from .frechet import bootstrap, frechet_distance, kernel_distance, small_sample_warning
from .networks.feature_networks import FeatureNetworks
from .result_store import REAL, Metrics, ResultStore

# Bootstrap replicates of a distance; fewer above 512 dimensions, where each takes most of a second.
BOOTSTRAP_RESAMPLES, BOOTSTRAP_RESAMPLES_LARGE, LARGE_DIMENSIONS = 200, 24, 512
CENTER_RESAMPLES = 1000  # bootstrap replicates of a mean or median over clips
# Ratios, and measures that a few clips dominate, are summarized by their median over clips; other metrics by the mean.
MEDIAN_METRICS = {"amplitude", "amplitude_error", "fast_ratio", "still_motion", "affine_residual", "affine_ratio"}
# The object curves in a summary, and their names in the metrics of a clip.
OBJECT_CURVES = {"coherence": "coherence_curve", "unevenness": "unevenness_curve"}
REAL_SETTINGS = {"fps", "row"}  # numbers stored with a real clip that are no metrics
# Names of the set distances and the features that they compare.
DISTANCES = {
    "FVD": "i3d16",
    "FVD32": "i3d32",
    "DTFVD": "dtfvd16",
    "DTFVD32": "dtfvd32",
    "FID": "inception",
    "KID x 100": "inception",
    "FD-EffNet": "efficientnet",
}
# Distances over time: the features, and how many form one position: a window of 16 frames, or six samples of every
# fifth frame (30 frames).
SLIDING_DISTANCES = {
    "FVD": ("i3d16", 1),
    "DTFVD": ("dtfvd16", 1),
    "FID": ("inception", 6),
    "FD-EffNet": ("efficientnet", 6),
}


def summarize(
    store: ResultStore, clips: Sequence[Clip], methods: Sequence[str], networks: FeatureNetworks
) -> dict[str, Any]:
    """Summarize stored results: set distances and metrics with bootstrap intervals over sources, and curves.

    Returns:
        as `runner.evaluate`.
    """
    groups = [clip.group for clip in clips]
    real = [store.load_features(REAL, clip) for clip in clips]
    rows: dict[str, dict[str, list[float]]] = {}
    curves: dict[str, dict[str, list[float]]] = {}
    metrics_of = {REAL: [store.load_metrics(REAL, clip) for clip in clips]}
    for method in methods:
        generated = [store.load_features(method, clip) for clip in clips]
        metrics_of[method] = [store.load_metrics(method, clip) for clip in clips]
        row = {}
        for name, key in DISTANCES.items():
            if all(key in features for features in real + generated):
                row[name] = _distance_with_interval(name, _select(real, key), _select(generated, key), groups)
        rows[method] = row | summarize_metrics(metrics_of[method], groups)
        curves[method] = {
            name: _sliding_distance(_select(real, key), _select(generated, key), samples)
            for name, (key, samples) in SLIDING_DISTANCES.items()
            if all(key in features for features in real + generated)
        }
    real_row = summarize_metrics(metrics_of[REAL], groups)
    return {
        "clips": [clip.name for clip in clips],
        "groups": len(set(groups)),
        "methods": rows,
        "real": {name: value for name, value in real_row.items() if name not in REAL_SETTINGS},
        "curves": curves,
        "spectra": {method: _median_curve(metrics, "spectrum") for method, metrics in metrics_of.items()},
        "object_curves": {
            name: {method: _median_curve(metrics, key) for method, metrics in metrics_of.items()}
            for name, key in OBJECT_CURVES.items()
        },
        "missing": dict(networks.missing),
        "caveats": _small_sample_warnings(real),
    }


def _select(features: Sequence[dict[str, Tensor]], key: str) -> list[Tensor]:
    return [clip_features[key] for clip_features in features]


def _small_sample_warnings(real: Sequence[dict[str, Tensor]]) -> list[str]:
    messages = []
    for name, key in DISTANCES.items():
        if all(key in features for features in real):
            count = sum(len(features[key]) for features in real)
            message = small_sample_warning(count, real[0][key].shape[1])
            messages += [f"{name}: {message}"] if message else []
    return messages


def _distance_with_interval(
    name: str, real: list[Tensor], generated: list[Tensor], groups: Sequence[str]
) -> list[float]:
    """[value, low, high] of a set distance, resampling sources."""

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        return 100 * kernel_distance(a, b)[0] if name.startswith("KID") else frechet_distance(a, b)

    small = real[0].shape[1] <= LARGE_DIMENSIONS
    group_ids = np.unique(groups, return_inverse=True)[1]
    interval = bootstrap(
        distance,
        torch.cat(real),
        torch.cat(generated),
        num_resamples=BOOTSTRAP_RESAMPLES if small else BOOTSTRAP_RESAMPLES_LARGE,
        groups_a=np.repeat(group_ids, [len(features) for features in real]),
        groups_b=np.repeat(group_ids, [len(features) for features in generated]),
        paired=True,
    )
    return [float(value) for value in interval]


def summarize_metrics(metrics: Sequence[Metrics], groups: Sequence[str]) -> dict[str, list[float]]:
    """[center, low, high] of every metric that is a number: the median for `MEDIAN_METRICS`, the mean for others.

    Only clips where the metric is finite count; the 95 % interval resamples groups.

    Args:
        metrics: of each clip, all with the same names.
        groups: of each clip.
    """
    names = [name for name, value in metrics[0].items() if not isinstance(value, list)]
    return {
        name: _center_with_interval(
            np.array([values[name] for values in metrics], float),
            groups,
            np.median if name in MEDIAN_METRICS else np.mean,
        )
        for name in names
    }


def _center_with_interval(
    values: np.ndarray, groups: Sequence[str], center: Callable[[np.ndarray], np.floating[Any]]
) -> list[float]:
    """[center, low, high] of the finite values; the 95 % interval resamples groups."""
    finite = np.isfinite(values)
    values, finite_groups = values[finite], np.array(groups)[finite]
    if not len(values):
        return [float("nan")] * 3
    rng, distinct = np.random.default_rng(0), sorted(set(finite_groups))
    by_group = {group: values[finite_groups == group] for group in distinct}
    centers = [
        center(np.concatenate([by_group[distinct[i]] for i in rng.integers(len(distinct), size=len(distinct))]))
        for _ in range(CENTER_RESAMPLES)
    ]
    return [float(center(values)), *(float(q) for q in np.quantile(centers, (0.025, 0.975)))]


def _sliding_distance(real: list[Tensor], generated: list[Tensor], samples: int) -> list[float]:
    """The distance at each position in the clips, `samples` features wide, which shows whether it grows over time."""
    count = min(len(features) for features in real + generated) // samples
    positions = [slice(i * samples, (i + 1) * samples) for i in range(count)]
    return [
        frechet_distance(torch.cat([r[position] for r in real]), torch.cat([g[position] for g in generated]))
        for position in positions
    ]


def _median_curve(metrics: Sequence[Metrics], key: str) -> list[float]:
    """Median over clips of every value of a list, over the clips where it is finite; NaN where there is none."""
    columns = np.array([values[key] for values in metrics], float).T
    return [float(np.median(finite)) if len(finite := c[np.isfinite(c)]) else float("nan") for c in columns]
