"""Motion of painted scenes, whose objects and true motion are known exactly: does each object move as one?

A clip's objects are not known, so the measures here need `synthetic.random_scene`. Seeds start at `FIRST_SEED`: lower
ones may have been used in training.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..media.atomic import atomic_write
from ..models.pipeline import GIDPipeline
from ..spectral_volume import SpectralVolume
from ..synthetic.random_scene import Scene, random_scene
from .baselines import Library, build_method
from .object_coherence import affine_residual, object_rank_correlation, volume_lattice_share
from .result_store import PROTOCOL_VERSION, REAL
from .summary import summarize_metrics

FIRST_SEED = 1000
SIZE = (144, 256)  # (H, W) of scenes, and of the grid on which motion is measured
SceneProgress = Callable[[str, str], None]  # called as progress(method, name of the scene)


@dataclass(frozen=True)
class SceneSettings:
    """Which scenes are evaluated, and where the results are kept.

    Attributes:
        count: number of scenes, >= 1.
        num_seeds: motions of each method for each scene, >= 1.
        out: folder; results of an earlier run are read from its subfolder `scenes`.
        versions: of methods that change, as in `ResultStore`.
    """

    count: int
    num_seeds: int
    out: Path
    versions: Mapping[str, str] = field(default_factory=dict)

    def path(self, method: str, scene_seed: int, seed: int) -> Path:
        """The file of one motion's measures."""
        version = f"{PROTOCOL_VERSION}{self.versions.get(method, '')}{SIZE}"
        key = hashlib.sha256(version.encode()).hexdigest()[:8]
        return self.out / "scenes" / method / f"scene{scene_seed}-{seed}-{key}.json"


def evaluate_scenes(
    methods: Sequence[str],
    settings: SceneSettings,
    *,
    library: Library | None = None,
    model: GIDPipeline | None = None,
    progress: SceneProgress = lambda method, scene: None,
) -> dict[str, Any]:
    """Run the methods on painted scenes, and measure their motion and the true one.

    Args:
        methods: names in `baselines.METHODS`; "eulerian" and "true" are given the scene's true motion.
        settings: which scenes, and the folder of results.
        library: (photo, volume) pairs for the method "nearest".
        model: for the method "model".
        progress: called before each method and scene.

    Returns:
        {"count": scenes, "seeds": motions per scene, "methods": {method: {metric: [value, low, high]}}} with the
        metrics of `measure_scene_motion`; the method "real" is the true motion.

    Raises:
        ValueError: if there are no scenes or seeds to run.
    """
    if min(settings.count, settings.num_seeds) < 1:
        raise ValueError(f"Scenes and seeds must be at least 1; got {settings.count} and {settings.num_seeds}.")
    rows: dict[str, list[dict[str, float]]] = {method: [] for method in (REAL, *methods)}
    groups: list[str] = []
    for scene_seed in range(FIRST_SEED, FIRST_SEED + settings.count):
        groups += [str(scene_seed)] * settings.num_seeds
        truth: _Truth | None = None
        for method in rows:
            paths = [settings.path(method, scene_seed, seed) for seed in range(settings.num_seeds)]
            progress(method, f"scene{scene_seed}")
            for seed, path in enumerate(paths):
                if not path.is_file():
                    truth = truth or _Truth.of(random_scene(scene_seed, SIZE))
                    volume = _predict(method, truth, seed, library, model)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with atomic_write(path) as file:
                        file.write_text(json.dumps(measure_scene_motion(truth.volume, volume, truth.labels)))
                rows[method].append(json.loads(path.read_text()))
    summaries = {method: summarize_metrics(row, groups) for method, row in rows.items()}
    return {"count": settings.count, "seeds": settings.num_seeds, "methods": summaries}


def measure_scene_motion(true: SpectralVolume, predicted: SpectralVolume, labels: torch.Tensor) -> dict[str, float]:
    """What is measured of one motion of a scene.

    Args:
        true, predicted: of one photo each, on one grid.
        labels: int [H, W], the object at every pixel; 0 is background.

    Returns:
        "affine_residual": the share of the objects' motion that is not affine, see `affine_residual`; "affine_ratio":
        this divided by the true motion's; "object_rank_correlation"; "lattice_share" (`volume_lattice_share`).
    """
    residual, true_residual = affine_residual(predicted, labels), affine_residual(true, labels)
    return {
        "affine_residual": residual,
        "affine_ratio": residual / true_residual if true_residual > 0 else float("nan"),
        "object_rank_correlation": object_rank_correlation(true, predicted, labels),
        "lattice_share": volume_lattice_share(predicted),
    }


@dataclass(frozen=True)
class _Truth:
    """A scene's photo [H, W, 3], true volume and labels [H, W]."""

    photo: torch.Tensor
    volume: SpectralVolume
    labels: torch.Tensor

    @classmethod
    def of(cls, scene: Scene) -> _Truth:
        photo = torch.as_tensor(scene.render(0), dtype=torch.float32)
        return cls(photo, scene.spectral_volume(), torch.as_tensor(scene.labels()))


def _predict(
    method: str, truth: _Truth, seed: int, library: Library | None, model: GIDPipeline | None
) -> SpectralVolume:
    """The volume of one motion of a method on the scene's grid."""
    if method == REAL:
        return truth.volume
    built = build_method(method, reference=truth.volume, library=library, model=model)
    return built(truth.photo, seed=seed).volume.resize(truth.volume.size)
