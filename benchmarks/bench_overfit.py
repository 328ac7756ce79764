"""Does every stage of the training learn four samples by heart? A stage that cannot has a fault.

gid-small's networks at half its size see two prepared clips and two samples of the corpus, or else painted scenes,
always the same pictures. About 12 minutes on two CPU cores; finished stages are kept in runs/overfit.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from benchmarks.bench_coordination import SIZE, scenes
from benchmarks.measure import report
from benchmarks.staged import after_stage, new_model
from gid_core.models.config import GID_SMALL
from gid_core.models.motion_model import MotionModel
from gid_core.models.noise import frequency_noise
from gid_core.models.sampling import Condition, sample_latents
from gid_core.training.augmentation import Augmentation
from gid_core.training.motion_dataset import Mixture, MotionDataset
from gid_core.training.motion_samples import Sample, find_samples, load_sample
from gid_core.training.stages import Batch, make_stage, modulus_target
from gid_core.training.trainer import Schedule

FOLDER = Path("runs/overfit")
SAMPLES = (Path("runs/samples/clips"), Path("runs/samples/corpus"))
STEPS = {"vae": 1500, "encoder": 800, "denoiser": 1000, "coordinate": 400}
RATE = 1e-3
CONFIG = replace(
    GID_SMALL,
    name="overfit",
    volume=replace(GID_SMALL.volume, pixels=SIZE[0] * SIZE[1]),
    encoder=replace(GID_SMALL.encoder, dropout=0.0),
    denoiser=replace(GID_SMALL.denoiser, layout="independent"),
)
LEVELS = (100, 300, 500, 700, 900)
LOSS_SEEDS = 8


class InTurn(Dataset):
    """A few items over and over: item i is that of number i modulo their count."""

    def __init__(self, items: list[tuple[Tensor, Tensor]]):
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.items[index % len(self.items)]


def main() -> None:
    logging.basicConfig(format="%(message)s")
    logging.getLogger("gid_core").setLevel(logging.INFO)
    data = InTurn([_item(sample) for sample in four()])
    batch = default_collate(data.items)
    model, rows = new_model(CONFIG, data), []
    for name, steps in STEPS.items():
        if name == "coordinate":
            model = model.without("coordinated")
        before = measured(name, model, batch)
        schedule = Schedule(steps, batch=len(data), rate=RATE, warmup=50, ema=0.99, precision="bf16")
        model = after_stage(name, model, data, schedule, FOLDER / f"{name}.safetensors")
        after = measured(name, model, batch)
        for what, first in before.items():
            share = f"{after[what] / first:.3f}" if first > 0 and after[what] >= 0 else "–"
            rows.append([name, steps, what, f"{first:.3f}", f"{after[what]:.3f}", share])
    report(
        "overfit",
        "Four samples learned by heart, stage by stage",
        ["stage", "steps", "", "before", "after", "after / before"],
        rows,
        f"""
Always the same four pictures of {SIZE[1]} x {SIZE[0]}, nothing left out or changed; gid-small's networks. Loss: what
training makes small, over {LOSS_SEEDS} draws of chance. The autoencoder's holds the sum of gradients of three scales.
The encoder's is a likelihood, which has no zero: it falls as low as the moduli are small. That of the denoiser has a
tenth of photos taken away, for guidance, and from noise alone it cannot be known which of the four to make.
"slices": energy of the normalized slices that the autoencoder loses. "modulus": mean error of the modulus that the
encoder predicts, over the mean modulus. "noise": energy of the error in what the denoiser predicts, at noise levels
{", ".join(map(str, LEVELS))} of 1000, over that of predicting nothing. "latents", "volume": energy in which a sample
of 25 steps, guidance 1, differs from the training sample of its photo, as latents and as coefficients in pixels, where
what the autoencoder loses comes on top. "mistaken": share of sampled volumes that are nearer to another photo's.
The coordination goes on from the denoiser, all but its attention over the frequencies frozen.
""",
    )


def four() -> list[Sample]:
    """Two samples of each folder, from different sources, or painted scenes."""
    if not all(folder.is_dir() for folder in SAMPLES):
        return scenes(0, 4)
    found = [find_samples(folder) for folder in SAMPLES]
    return [load_sample(paths[at]) for paths in found for at in (0, len(paths) // 2)]


def _item(sample: Sample) -> tuple[Tensor, Tensor]:
    """The whole picture, as it is."""
    scale = SIZE[1] / sample.photo.shape[1]
    still = dict(max_rotation=0, flip=0, color=0, blur=0, noise=0, gray=0, time_shift=False, time_reversal=0)
    plain = Augmentation(SIZE, min_scale=scale, max_scale=scale, **still)
    return MotionDataset([[sample]], Mixture((1.0,), composited=0.0), plain, 1)[0]


@torch.no_grad()
def measured(name: str, model: MotionModel, batch: Batch) -> dict[str, float]:
    """A stage's loss on the four samples, and what of it has to come near zero."""
    photos, coefficients = batch
    stage = make_stage(name, model).eval()
    found = {"loss": sum(float(stage(*batch, seed)[0]) for seed in range(LOSS_SEEDS)) / LOSS_SEEDS}
    slices = model.normalizer.normalize(coefficients)
    if name == "vae":
        return found | {"slices": lost(model.autoencoder.decode(model.autoencoder.encode(slices)), slices)}
    condition = Condition(*model.encoder(photos))
    if name == "encoder":
        modulus = modulus_target(slices, condition.prior.shape[-2:])
        return found | {"modulus": float((condition.prior - modulus).abs().mean() / modulus.mean())}
    latents = model.to_latents(coefficients, condition.prior)
    found["noise"] = sum(noise_error(model, condition, latents, level) for level in LEVELS) / len(LEVELS)
    sampled = sample_latents(model, condition, _noise(model, latents, 0))
    volumes = model.to_coefficients(sampled, condition.prior)
    nearest = torch.cdist(volumes.flatten(1), coefficients.flatten(1)).argmin(1)
    mistaken = (nearest != torch.arange(len(volumes))).float().mean()
    return found | {
        "latents": lost(sampled, latents),
        "volume": lost(volumes, coefficients),
        "mistaken": float(mistaken),
    }


def noise_error(model: MotionModel, condition: Condition, latents: Tensor, level: int) -> float:
    """Error of what the denoiser predicts (eq. 3) at a noise level, as a share of that of predicting zero."""
    schedule, levels = model.schedule(), torch.full((len(latents),), level)
    noise = _noise(model, latents, level)
    noisy, target = (f(latents, noise, levels) for f in (schedule.add_noise, schedule.get_velocity))
    return lost(model.denoiser(noisy, levels, condition.features, condition.prior), target)


def _noise(model: MotionModel, like: Tensor, seed: int) -> Tensor:
    """As training draws it."""
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([frequency_noise(one.shape, model.config.noise_coherence, generator) for one in like])


def lost(got: Tensor, true: Tensor) -> float:
    """Share of energy that differs."""
    return float((got - true).square().sum() / true.square().sum())


if __name__ == "__main__":
    main()
