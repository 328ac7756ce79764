"""What adaptive normalization (paper section 4.1) and attention over the frequencies (4.2) are worth on real clips.

gid-small's networks at half its size are trained on the prepared samples, three times on the same budget: as they are;
with single slices to the end; with one scale for all frequencies and no square root. Each predicts the development
clips from their photos, beside the clips' own motion as `make evaluate` keeps it in runs/evaluation. About 25 minutes
on two CPU cores; finished stages are kept in runs/ablation.
"""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.measure import report
from benchmarks.staged import SINGLE, branch, single_slices
from gid_core.evaluation.clip_folder import Clip, find_clips, load_window
from gid_core.evaluation.coherence import frequency_coherence
from gid_core.evaluation.motion_metrics import amplitude_wasserstein, log_spectrum_distance, moving_auc
from gid_core.evaluation.run import REAL, Store
from gid_core.models.config import GID_SMALL, RendererConfig
from gid_core.models.pipeline import GIDPipeline
from gid_core.motion import loop
from gid_core.spectral_volume import SpectralVolume
from gid_core.training.augmentation import Augmentation
from gid_core.training.motion_dataset import Mixture, MotionDataset
from gid_core.training.motion_samples import find_samples, load_sample, split
from gid_core.training.train_command import APART, EARLY
from gid_core.training.trainer import Schedule

ROOT = Path(__file__).resolve().parents[1]
FOLDER, EVALUATION = ROOT / "runs" / "ablation", ROOT / "runs" / "evaluation"
CLIPS = ROOT.parent / "shared" / "clips"
# Folders of samples, each with its share.
SAMPLES = {ROOT / "runs" / "samples" / "clips": 0.4, ROOT / "runs" / "samples" / "corpus": 0.6}
SIZE = (144, 256)
STEPS = {"vae": 400, "encoder": 400, "denoiser": 700, "last": 350}
CONFIG = replace(
    GID_SMALL,
    name="ablation",
    volume=replace(GID_SMALL.volume, pixels=SIZE[0] * SIZE[1]),
    denoiser=replace(GID_SMALL.denoiser, layout="independent"),
    # Noise that frequencies share makes them coherent by itself; attention is to be seen alone.
    diffusion=replace(GID_SMALL.diffusion, noise_coherence=0.0),
    renderer=RendererConfig(),  # nothing is rendered here
)
# Normalization and the last stage. The last stage trains the whole U-Net, with the attention or without.
VARIANTS = {
    "full": ("sqrt", "coordinate"),
    "no frequency attention": ("sqrt", "denoiser"),
    "no adaptive normalization": ("linear", "coordinate"),
}


def main() -> None:
    if missing := [str(folder) for folder in (*SAMPLES, CLIPS) if not folder.is_dir()]:
        print(f"The ablation needs {', '.join(missing)}: samples are made by `gid train prepare`.")
        return
    logging.basicConfig(format="%(message)s")
    logging.getLogger("gid_core").setLevel(logging.INFO)
    store = Store(EVALUATION)
    clips = [clip for clip in find_clips(CLIPS, "develop") if store.path(REAL, clip, "-ramp.safetensors").is_file()]
    if not clips:
        print("The ablation compares with the motion of the real clips, which `make evaluate` measures first.")
        return
    rows = [measured(name, clips, checkpoint) for name, checkpoint in trained().items()]
    report(
        "ablation",
        f"Adaptive normalization and attention over the frequencies, on {len(clips)} development clips",
        ["", "AUC of what moves", "log-spectrum distance", "distance of amplitudes", "coherence of frequencies"],
        rows,
        f"""
Means over clips; larger is better for AUC, smaller for distances (of spectra, and Wasserstein's of amplitudes).
Networks of gid-small on pictures of {SIZE[1]} x {SIZE[0]}; steps of each stage: {STEPS}, with the same seeds and data.
The last stage trains the whole U-Net, with attention over the frequencies or without; noise is independent from
frequency to frequency in all variants.
Without adaptive normalization all frequencies are divided by one scale and no root is taken; latents are whitened
frequency by frequency in all variants. Coherence is best when as good as the truth's.
""",
    )


def trained() -> dict[str, Path]:
    """The file of each variant's model."""
    sources = [split([load_sample(path) for path in find_samples(folder)])[0] for folder in SAMPLES]
    data = MotionDataset(sources, Mixture(tuple(SAMPLES.values())), Augmentation(SIZE), 2 * APART)
    checkpoints = {}
    for name, (normalization, last) in VARIANTS.items():
        folder = FOLDER / normalization
        config = replace(CONFIG, normalization=normalization)
        start = single_slices(config, data, {stage: _schedule(stage) for stage in SINGLE}, folder)
        options = {"unfreeze": True} if last == "coordinate" else {}
        checkpoints[name] = branch(last, start, data, _schedule("last", seed=1), folder, **options)
    return checkpoints


def measured(name: str, clips: list[Clip], checkpoint: Path) -> list[str]:
    """A row of the table: means over clips of what a model predicts from their first frames."""
    pipe, store = GIDPipeline.from_pretrained(checkpoint), Store(EVALUATION)
    kept = checkpoint.with_suffix(".json")
    numbers = json.loads(kept.read_text()) if kept.is_file() else {}
    for clip in (clip for clip in clips if clip.name not in numbers):
        truth = SpectralVolume.load(store.path(REAL, clip, "-ramp.safetensors"))
        volume = pipe(load_window(clip)[0][0], resolution=max(truth.size)).resize(truth.size)
        numbers[clip.name] = (
            moving_auc(loop(truth), loop(volume)),
            log_spectrum_distance(truth, volume),
            amplitude_wasserstein(truth, volume),
            frequency_coherence(volume),
            frequency_coherence(truth),
        )
        kept.write_text(json.dumps(numbers))
        print(name, clip.name)
    auc, spectrum, wasserstein, own, true = np.nanmean(list(numbers.values()), 0)
    return [name, f"{auc:.3f}", f"{spectrum:.2f}", f"{wasserstein:.2f}", f"{own:.2f} (true {true:.2f})"]


def _schedule(name: str, seed: int = 0) -> Schedule:
    rate = 5e-4 if name in EARLY else 4e-4
    batch = 6 if name == "encoder" else 4
    return Schedule(STEPS[name], batch=batch, rate=rate, ema=0.998, precision="bf16", seed=seed)


if __name__ == "__main__":
    main()
