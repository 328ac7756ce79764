"""Claim: attention over frequencies (paper section 4.2) and shared noise make the frequencies coherent.

    python -m benchmarks coordination

A small model is trained on painted scenes (`gid_core.synthetic`): autoencoder, encoder, and the denoiser on single
slices. From that state, training continues twice for the same number of steps: unchanged ("independent"), and with
attention over the frequencies, everything else frozen, and shared noise in training. Both models predict unseen scenes,
whose motion is known exactly, from their images; with and without shared noise in sampling.
It takes about 15 minutes on two CPU cores; finished stages are saved in runs/coordination.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import write_results
from benchmarks.stage_training import SINGLE_SLICE_STAGES, train_branch, train_single_slices
from gid_core.evaluation.coherence import frequency_coherence, phase_coherence
from gid_core.evaluation.motion_metrics import moving_auc
from gid_core.models.checkpoint import load_model
from gid_core.models.config import GID_SMALL, AffinityConfig, DenoiserConfig, DiffusionConfig, DisplacementConfig
from gid_core.models.pipeline import GIDPipeline
from gid_core.motion import loop
from gid_core.spectral_volume import SpectralVolume
from gid_core.synthetic.random_scene import random_scene
from gid_core.training.augmentation import Augmentation
from gid_core.training.motion_dataset import Mixture, MotionDataset
from gid_core.training.motion_samples import MotionSample
from gid_core.training.splits import RESERVED_INDEX
from gid_core.training.stages import LATENT_STAGES
from gid_core.training.trainer import TrainingConfig

FOLDER = Path("runs/coordination")
SIZE = (144, 256)
TRAINING_SCENES, TEST_SCENES = 240, 32
STEPS = {"vae": 600, "encoder": 900, "denoiser": 1500, "frequency-attention": 700}
CONFIG = replace(
    GID_SMALL,
    name="coordination",
    volume=replace(GID_SMALL.volume, image_area=SIZE[0] * SIZE[1]),
    encoder=replace(GID_SMALL.encoder, hidden_channels=64),
    denoiser=DenoiserConfig((32, 64, 128), layout="independent"),
    diffusion=DiffusionConfig(),  # noise is shared by frequencies only
    affinity=AffinityConfig(),
    displacement=DisplacementConfig(),
)


def main() -> None:
    """Write results/coordination.md."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("gid_core").setLevel(logging.INFO)
    data = MotionDataset(
        [painted_samples(0, TRAINING_SCENES)],
        Mixture((1.0,), composite_probability=0.0),
        _augmentation(),
        2 * RESERVED_INDEX,
    )
    configs = {name: _training_config(name) for name in SINGLE_SLICE_STAGES}
    start = train_single_slices(CONFIG, data, configs, FOLDER)
    branch_config = _training_config("frequency-attention", seed=1)
    stages = {"independent": "denoiser", "coordinated": "frequency-attention"}
    branches = {
        name: load_model(train_branch(stage, start, data, branch_config, FOLDER)) for name, stage in stages.items()
    }
    test = painted_samples(TRAINING_SCENES, TEST_SCENES)
    rows = [["truth", "–", *_mean_coherences([sample.volume for sample in test])]]
    coordinated = branches["coordinated"]
    independent_noise = replace(
        coordinated.config, diffusion=replace(coordinated.config.diffusion, noise_coherence=0.0)
    )
    for name, model, config in (
        ("independent", branches["independent"], branches["independent"].config),
        ("attention and independent noise", coordinated, independent_noise),
        ("attention and shared noise", coordinated, coordinated.config),
    ):
        model.config = config
        pipe = GIDPipeline(model)
        predicted = [pipe(s.photo, seed=i, guidance_scale=1.0, resolution=SIZE[1] // 4) for i, s in enumerate(test)]
        pairs = zip(test, predicted, strict=True)
        auc = np.nanmean([moving_auc(loop(s.volume.resize(p.size)), loop(p)) for s, p in pairs])
        rows.append([name, f"{auc:.3f}", *_mean_coherences(predicted)])
    header = ["", "AUC of moving pixels", "coherence of neighbors", "coherence of frequencies"]
    title = f"Coordinated frequencies, {TEST_SCENES} unseen painted scenes"
    write_results("coordination", title, header, rows, f"Steps of each stage: {STEPS}; batches of 4.")


def painted_samples(first: int, count: int) -> list[MotionSample]:
    """Painted scenes as motion samples; the volume has a quarter of the image's size."""
    samples = []
    for seed in range(first, first + count):
        scene = random_scene(seed, SIZE, mean_motion=1.0, supersample=2)
        photo = torch.from_numpy((scene.render(0) * 255).round().astype(np.uint8))
        volume = scene.spectral_volume().replace(detrend="ramp").resize((SIZE[0] // 4, SIZE[1] // 4))
        samples.append(MotionSample(str(seed), str(seed), photo, volume))
    return samples


def _augmentation() -> Augmentation:
    return Augmentation(
        SIZE, max_scale=1.3, max_rotation=0.0, blur_probability=0.0, noise_probability=0.0, grayscale_probability=0.0
    )


def _training_config(name: str, seed: int = 0) -> TrainingConfig:
    learning_rate = 5e-4 if name in LATENT_STAGES else 4e-4
    return TrainingConfig(STEPS[name], learning_rate=learning_rate, ema_decay=0.998, mixed_precision="bf16", seed=seed)


def _mean_coherences(volumes: Sequence[SpectralVolume]) -> list[str]:
    """Means of both coherences over volumes."""
    return [f"{np.nanmean([f(v) for v in volumes]):.3f}" for f in (phase_coherence, frequency_coherence)]


if __name__ == "__main__":
    main()
