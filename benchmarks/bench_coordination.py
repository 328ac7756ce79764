"""What coordinates the frequencies: attention (paper section 4.2) and noise that they share, on painted scenes.

A small model is trained on painted scenes (`training.synthetic`): autoencoder, encoder, and the denoiser on single
slices. Then it goes on twice for the same number of steps from the same state: as it was ("independent"), and with
attention over the frequencies, everything else frozen, and shared noise in training. Both predict unseen scenes, whose
motion is known exactly, from their pictures; with and without shared noise in sampling.
About 15 minutes on two CPU cores; finished stages are kept in runs/coordination.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import report
from benchmarks.staged import SINGLE, branch, single_slices
from gid_core.evaluation.coherence import frequency_coherence, phase_coherence
from gid_core.evaluation.motion_metrics import moving_auc
from gid_core.models.checkpoint import load_model
from gid_core.models.config import GID_SMALL, DenoiserConfig
from gid_core.models.pipeline import GIDPipeline
from gid_core.motion import loop
from gid_core.synthetic.random_scene import random_scene
from gid_core.training.augmentation import Augmentation
from gid_core.training.motion_dataset import Mixture, MotionDataset
from gid_core.training.motion_samples import Sample
from gid_core.training.train_command import EARLY
from gid_core.training.trainer import Schedule

FOLDER = Path("runs/coordination")
SIZE = (144, 256)
TRAINING, TEST = 240, 32
STEPS = {"vae": 600, "encoder": 900, "denoiser": 1500, "coordinate": 700}
CONFIG = replace(
    GID_SMALL,
    name="coordination",
    volume=replace(GID_SMALL.volume, pixels=SIZE[0] * SIZE[1]),
    encoder=replace(GID_SMALL.encoder, width=64),
    denoiser=DenoiserConfig((32, 64, 128), layout="independent"),
)


def main() -> None:
    logging.basicConfig(format="%(message)s")
    logging.getLogger("gid_core").setLevel(logging.INFO)
    data = MotionDataset([scenes(0, TRAINING)], Mixture((1.0,), composited=0.0), _augmentation(), 2 * 10**9)
    shared = single_slices(CONFIG, data, {name: _schedule(name) for name in SINGLE}, FOLDER)
    stages = {"independent": "denoiser", "coordinated": "coordinate"}
    branches = {
        name: load_model(branch(stage, shared, data, _schedule("coordinate", seed=1), FOLDER))
        for name, stage in stages.items()
    }
    test = scenes(TRAINING, TEST)
    rows = [["truth", "–", *_numbers([sample.volume for sample in test])]]
    coordinated = branches["coordinated"]
    apart = replace(coordinated.config, diffusion=replace(coordinated.config.diffusion, noise_coherence=0.0))
    for name, model, config in (
        ("independent", branches["independent"], branches["independent"].config),
        ("attention, noise of its own for every frequency", coordinated, apart),
        ("attention and shared noise", coordinated, coordinated.config),
    ):
        model.config = config
        pipe = GIDPipeline(model)
        predicted = [pipe(s.photo, seed=i, guidance_scale=1.0, resolution=SIZE[1] // 4) for i, s in enumerate(test)]
        pairs = zip(test, predicted, strict=True)
        auc = np.nanmean([moving_auc(loop(s.volume.resize(p.size)), loop(p)) for s, p in pairs])
        rows.append([name, f"{auc:.3f}", *_numbers(predicted)])
    header = ["", "AUC of what moves", "coherence of neighbors", "coherence of frequencies"]
    title = f"Coordinated frequencies, {TEST} unseen painted scenes"
    report("coordination", title, header, rows, f"Steps of each stage: {STEPS}; batches of 4.")


def scenes(first: int, count: int) -> list[Sample]:
    """Painted scenes as samples; the volume has a quarter of the picture's sides."""
    found = []
    for seed in range(first, first + count):
        scene = random_scene(seed, SIZE, mean_motion=1.0, supersample=2)
        photo = torch.from_numpy((scene.render(0) * 255).round().astype(np.uint8))
        volume = scene.spectral_volume().replace(detrend="ramp").resize((SIZE[0] // 4, SIZE[1] // 4))
        found.append(Sample(str(seed), str(seed), photo, volume))
    return found


def _augmentation() -> Augmentation:
    return Augmentation(SIZE, max_scale=1.3, max_rotation=0.0, blur=0.0, noise=0.0, gray=0.0)


def _schedule(name: str, seed: int = 0) -> Schedule:
    rate = 5e-4 if name in EARLY else 4e-4
    return Schedule(STEPS[name], batch=4, rate=rate, ema=0.998, precision="bf16", seed=seed)


def _numbers(volumes) -> list[str]:
    return [f"{np.nanmean([f(v) for v in volumes]):.3f}" for f in (phase_coherence, frequency_coherence)]


if __name__ == "__main__":
    main()
