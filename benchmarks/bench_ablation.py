"""Claim: adaptive normalization (paper section 4.1) and attention over frequencies (4.2) help on real clips.

    python -m benchmarks ablation

gid-small's networks at half its size are trained on the prepared samples, three times with the same budget: in full;
without attention over frequencies; with one scale for all frequencies and no square root. Each model predicts the
motion of the development clips from their first frames, which is compared with the clips' own motion as
`make evaluate` stored it in runs/evaluation.
It takes about 25 minutes on two CPU cores; finished stages are saved in runs/ablation.
"""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import CLIPS, ROOT, write_results
from benchmarks.stage_training import SINGLE_SLICE_STAGES, train_branch, train_single_slices
from gid_core.evaluation.clip_folder import Clip, find_clips, load_window
from gid_core.evaluation.coherence import frequency_coherence
from gid_core.evaluation.motion_metrics import amplitude_wasserstein, log_spectrum_distance, moving_auc
from gid_core.evaluation.result_store import REAL, ResultStore
from gid_core.models.config import GID_SMALL, AffinityConfig, DiffusionConfig, DisplacementConfig, RendererConfig
from gid_core.models.pipeline import GIDPipeline
from gid_core.motion import loop
from gid_core.spectral_volume import SpectralVolume
from gid_core.training.augmentation import Augmentation
from gid_core.training.motion_dataset import Mixture, MotionDataset
from gid_core.training.motion_samples import find_motion_samples, load_motion_sample
from gid_core.training.splits import RESERVED_INDEX, split_by_group
from gid_core.training.stages import LATENT_STAGES
from gid_core.training.trainer import TrainingConfig

FOLDER, EVALUATION = ROOT / "runs" / "ablation", ROOT / "runs" / "evaluation"
# Folders of motion samples, each with its share of training.
SAMPLES = {ROOT / "runs" / "samples" / "clips": 0.4, ROOT / "runs" / "samples" / "corpus": 0.6}
SIZE = (144, 256)
STEPS = {"vae": 400, "encoder": 400, "denoiser": 700, "last": 350}
CONFIG = replace(
    GID_SMALL,
    name="ablation",
    volume=replace(GID_SMALL.volume, image_area=SIZE[0] * SIZE[1]),
    denoiser=replace(GID_SMALL.denoiser, layout="independent"),
    # Shared noise alone makes frequencies coherent; here only attention is measured.
    diffusion=DiffusionConfig(noise_coherence=0.0),
    affinity=AffinityConfig(),
    displacement=DisplacementConfig(),
    renderer=RendererConfig(),  # nothing is rendered here
)
# Normalization and the last stage, which trains the whole U-Net, with or without attention over frequencies.
VARIANTS = {
    "full": ("sqrt", "frequency-attention"),
    "no frequency attention": ("sqrt", "denoiser"),
    "no adaptive normalization": ("linear", "frequency-attention"),
}


def main() -> None:
    """Write results/ablation.md."""
    if missing := [str(folder) for folder in (*SAMPLES, CLIPS) if not folder.is_dir()]:
        print(f"The ablation needs {', '.join(missing)}: samples are made by `gid train prepare`.")
        return
    logging.basicConfig(format="%(message)s")
    logging.getLogger("gid_core").setLevel(logging.INFO)
    store = ResultStore(EVALUATION)
    clips = [clip for clip in find_clips(CLIPS, "develop") if store.path(REAL, clip, "-ramp.safetensors").is_file()]
    if not clips:
        print("The ablation needs the motion of the real clips: run `make evaluate` first.")
        return
    rows = [evaluate_variant(name, clips, checkpoint) for name, checkpoint in train_variants().items()]
    write_results(
        "ablation",
        f"Adaptive normalization and attention over the frequencies, on {len(clips)} development clips",
        ["", "AUC of moving pixels", "log-spectrum distance", "distance of amplitudes", "coherence of frequencies"],
        rows,
        f"""
Means over clips; larger is better for AUC, smaller for distances (of spectra, and Wasserstein's of amplitudes).
Networks of gid-small on images of {SIZE[1]} x {SIZE[0]}; steps of each stage: {STEPS}, with the same seeds and data.
The last stage trains the whole U-Net, with or without attention over the frequencies; the noise of the frequencies is
independent in all variants. Without adaptive normalization all frequencies are divided by one scale and no root is
taken; latents are whitened frequency by frequency in all variants. Coherence is best when equal to the true one.
""",
    )


def train_variants() -> dict[str, Path]:
    """Train each variant; returns the files of the models."""
    sources = [
        split_by_group([load_motion_sample(path) for path in find_motion_samples(folder)])[0] for folder in SAMPLES
    ]
    data = MotionDataset(sources, Mixture(tuple(SAMPLES.values())), Augmentation(SIZE), 2 * RESERVED_INDEX)
    checkpoints = {}
    for name, (normalization, last) in VARIANTS.items():
        folder = FOLDER / normalization
        config = replace(CONFIG, normalization=normalization)
        configs = {stage: _training_config(stage) for stage in SINGLE_SLICE_STAGES}
        start = train_single_slices(config, data, configs, folder)
        options: dict[str, Any] = {"train_unet": True} if last == "frequency-attention" else {}
        checkpoints[name] = train_branch(last, start, data, _training_config("last", seed=1), folder, **options)
    return checkpoints


def evaluate_variant(name: str, clips: list[Clip], checkpoint: Path) -> list[str]:
    """A row of the table: means over clips of a model's predictions from their first frames."""
    pipe, store = GIDPipeline.from_pretrained(checkpoint), ResultStore(EVALUATION)
    saved = checkpoint.with_suffix(".json")
    metrics = json.loads(saved.read_text()) if saved.is_file() else {}
    for clip in (clip for clip in clips if clip.name not in metrics):
        true = SpectralVolume.load(store.path(REAL, clip, "-ramp.safetensors"))
        volume = pipe(load_window(clip)[0][0], resolution=max(true.size)).resize(true.size)
        metrics[clip.name] = (
            moving_auc(loop(true), loop(volume)),
            log_spectrum_distance(true, volume),
            amplitude_wasserstein(true, volume),
            frequency_coherence(volume),
            frequency_coherence(true),
        )
        saved.write_text(json.dumps(metrics))
        print(name, clip.name)
    auc, spectrum, wasserstein, coherence, true_coherence = np.nanmean(list(metrics.values()), 0)
    coherences = f"{coherence:.2f} (true {true_coherence:.2f})"
    return [name, f"{auc:.3f}", f"{spectrum:.2f}", f"{wasserstein:.2f}", coherences]


def _training_config(name: str, seed: int = 0) -> TrainingConfig:
    learning_rate = 5e-4 if name in LATENT_STAGES else 4e-4
    batch_size = 6 if name == "encoder" else 4
    return TrainingConfig(
        STEPS[name],
        train_batch_size=batch_size,
        learning_rate=learning_rate,
        ema_decay=0.998,
        mixed_precision="bf16",
        seed=seed,
    )


if __name__ == "__main__":
    main()
