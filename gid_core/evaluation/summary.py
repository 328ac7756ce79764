"""Summary of an evaluation: set distances with intervals, mean metrics, distances over time, spectra."""

from __future__ import annotations

from collections.abc import Sequence
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
MEAN_RESAMPLES = 1000  # bootstrap replicates of a mean over clips
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
    """Summarize stored results: set distances with bootstrap intervals over sources, mean metrics, distances over time.

    Returns:
        as `runner.evaluate`.
    """
    groups = [clip.group for clip in clips]
    real = [store.load_features(REAL, clip) for clip in clips]
    rows: dict[str, dict[str, list[float]]] = {}
    curves: dict[str, dict[str, list[float]]] = {}
    spectra = {REAL: _median_spectrum([store.load_metrics(REAL, clip) for clip in clips])}
    for method in methods:
        generated = [store.load_features(method, clip) for clip in clips]
        metrics = [store.load_metrics(method, clip) for clip in clips]
        row = {}
        for name, key in DISTANCES.items():
            if all(key in features for features in real + generated):
                row[name] = _distance_with_interval(name, _select(real, key), _select(generated, key), groups)
        for name in [name for name, value in metrics[0].items() if not isinstance(value, list)]:
            row[name] = _mean_with_interval(np.array([values[name] for values in metrics], float), groups)
        rows[method] = row
        curves[method] = {
            name: _sliding_distance(_select(real, key), _select(generated, key), samples)
            for name, (key, samples) in SLIDING_DISTANCES.items()
            if all(key in features for features in real + generated)
        }
        spectra[method] = _median_spectrum(metrics)
    return {
        "clips": [clip.name for clip in clips],
        "groups": len(set(groups)),
        "methods": rows,
        "curves": curves,
        "spectra": spectra,
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


def _mean_with_interval(values: np.ndarray, groups: Sequence[str]) -> list[float]:
    """[mean, low, high] over the clips where the metric is finite; the 95 % interval resamples sources."""
    finite = np.isfinite(values)
    values, finite_groups = values[finite], np.array(groups)[finite]
    if not len(values):
        return [float("nan")] * 3
    rng, distinct = np.random.default_rng(0), sorted(set(finite_groups))
    by_group = {group: values[finite_groups == group] for group in distinct}
    means = [
        np.concatenate([by_group[distinct[i]] for i in rng.integers(len(distinct), size=len(distinct))]).mean()
        for _ in range(MEAN_RESAMPLES)
    ]
    return [float(values.mean()), *(float(q) for q in np.quantile(means, (0.025, 0.975)))]


def _sliding_distance(real: list[Tensor], generated: list[Tensor], samples: int) -> list[float]:
    """The distance at each position in the clips, `samples` features wide, which shows whether it grows over time."""
    count = min(len(features) for features in real + generated) // samples
    positions = [slice(i * samples, (i + 1) * samples) for i in range(count)]
    return [
        frechet_distance(torch.cat([r[position] for r in real]), torch.cat([g[position] for g in generated]))
        for position in positions
    ]


def _median_spectrum(metrics: Sequence[Metrics]) -> list[float]:
    """Median over clips of the amplitude in each bin."""
    return np.nanmedian(np.array([values["spectrum"] for values in metrics]), axis=0).tolist()
