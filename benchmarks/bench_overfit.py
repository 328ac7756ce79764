"""Claim: every training stage can overfit four samples. A stage that cannot has a bug.

    python -m benchmarks overfit

gid-small's networks at half its size are trained on two prepared clips and two samples of the corpus, or else on four
painted scenes, always the same images.
It takes about 12 minutes on two CPU cores; finished stages are saved in runs/overfit.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from benchmarks.bench_coordination import SIZE, painted_samples
from benchmarks.measure import write_results
from benchmarks.stage_training import new_model, train_stage
from gid_core.models.config import GID_SMALL, AffinityConfig, DiffusionConfig, DisplacementConfig
from gid_core.models.motion_model import MotionModel
from gid_core.models.noise import frequency_noise
from gid_core.models.noise_schedule import add_noise, alphas_cumprod, velocity
from gid_core.models.sampling import Condition, sample_latents
from gid_core.training.augmentation import NO_AUGMENTATION
from gid_core.training.motion_dataset import Mixture, MotionDataset
from gid_core.training.motion_samples import MotionSample, find_motion_samples, load_motion_sample
from gid_core.training.stages import make_stage, modulus_target
from gid_core.training.trainer import TrainingConfig

FOLDER = Path("runs/overfit")
SAMPLES = (Path("runs/samples/clips"), Path("runs/samples/corpus"))
STEPS = {"vae": 1500, "encoder": 800, "denoiser": 1000, "frequency-attention": 400}
RATE = 1e-3
CONFIG = replace(
    GID_SMALL,
    name="overfit",
    volume=replace(GID_SMALL.volume, image_area=SIZE[0] * SIZE[1]),
    encoder=replace(GID_SMALL.encoder, dropout=0.0),
    denoiser=replace(GID_SMALL.denoiser, layout="independent"),
    diffusion=DiffusionConfig(),
    affinity=AffinityConfig(),
    displacement=DisplacementConfig(),
)
TIMESTEPS = (100, 300, 500, 700, 900)  # of 1000
LOSS_SEEDS = 8  # the loss is a mean over this many draws

Batch = tuple[Tensor, Tensor]  # photos [B, 3, H, W], coefficients [B, K, 4, h, w]


class RepeatedItems(Dataset):
    """A few items, repeated: item i is number i modulo their count."""

    def __init__(self, items: list[tuple[Tensor, Tensor]]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.items[index % len(self.items)]


def main() -> None:
    """Write results/overfit.md."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("gid_core").setLevel(logging.INFO)
    data = RepeatedItems([_item(sample) for sample in four_samples()])
    batch = default_collate(data.items)
    model, rows = new_model(CONFIG, data), []
    for name, steps in STEPS.items():
        if name == "frequency-attention":
            model = model.with_layout("coordinated")
        before = measure(name, model, batch)
        config = TrainingConfig(
            steps,
            train_batch_size=len(data),
            learning_rate=RATE,
            lr_warmup_steps=50,
            ema_decay=0.99,
            mixed_precision="bf16",
        )
        model = train_stage(name, model, data, config, FOLDER / f"{name}.safetensors")
        after = measure(name, model, batch)
        for quantity, first in before.items():
            last = after[quantity]
            ratio = f"{last / first:.3f}" if first > 0 and last >= 0 else "–"
            rows.append([name, steps, quantity, f"{first:.3f}", f"{last:.3f}", ratio])
    write_results(
        "overfit",
        "Overfitting four samples, stage by stage",
        ["stage", "steps", "", "before", "after", "after / before"],
        rows,
        f"""
Always the same four images of {SIZE[1]} x {SIZE[0]}, without augmentation; gid-small's networks. Loss: the training
loss, a mean over {LOSS_SEEDS} random draws. The autoencoder's includes the sum of gradients at three scales. The
encoder's is a likelihood without a lower bound of zero: the smaller the moduli, the lower it gets. The denoiser's drops
a tenth of the photos, for guidance, and from noise alone it cannot know which of the four to generate.
All errors are shares of the energy. "slices": the normalized slices that the autoencoder does not reconstruct.
"modulus": mean error of the modulus that the encoder predicts, over the mean modulus. "noise": error of the denoiser's
prediction at timesteps {", ".join(map(str, TIMESTEPS))} of 1000, over that of predicting zero. "latents", "volume":
difference of a sample of 25 steps, guidance 1, from the training sample of its photo, as latents and as coefficients in
pixels, to which the autoencoder's error is added. "mistaken": share of sampled volumes that are closer to another
photo's. The stage "frequency-attention" continues the denoiser; all but its attention over frequencies is frozen.
""",
    )


def four_samples() -> list[MotionSample]:
    """Two samples of each folder, from different sources, or four painted scenes."""
    if not all(folder.is_dir() for folder in SAMPLES):
        return painted_samples(0, 4)
    folders = [find_motion_samples(folder) for folder in SAMPLES]
    return [load_motion_sample(paths[index]) for paths in folders for index in (0, len(paths) // 2)]


def _item(sample: MotionSample) -> tuple[Tensor, Tensor]:
    """The whole image, without augmentation."""
    scale = SIZE[1] / sample.photo.shape[1]
    plain = replace(NO_AUGMENTATION, size=SIZE, min_scale=scale, max_scale=scale)
    return MotionDataset([[sample]], Mixture((1.0,), composite_probability=0.0), plain, 1)[0]


@torch.no_grad()
def measure(name: str, model: MotionModel, batch: Batch) -> dict[str, float]:
    """A stage's loss on the four samples, and the errors that must come near zero."""
    photos, coefficients = batch
    stage = make_stage(name, model).eval()
    errors = {"loss": sum(float(stage(*batch, seed)[0]) for seed in range(LOSS_SEEDS)) / LOSS_SEEDS}
    slices = model.normalizer.normalize(coefficients)
    if name == "vae":
        return errors | {"slices": energy_error(model.autoencoder.decode(model.autoencoder.encode(slices)), slices)}
    condition = Condition(*model.encoder(photos))
    if name == "encoder":
        modulus = modulus_target(slices, condition.prior.shape[-2:])
        return errors | {"modulus": float((condition.prior - modulus).abs().mean() / modulus.mean())}
    latents = model.to_latents(coefficients, condition.prior)
    errors["noise"] = sum(noise_error(model, condition, latents, timestep) for timestep in TIMESTEPS) / len(TIMESTEPS)
    sampled = sample_latents(model, condition, _noise(model, latents, 0))
    volumes = model.to_coefficients(sampled, condition.prior)
    nearest = torch.cdist(volumes.flatten(1), coefficients.flatten(1)).argmin(1)
    mistaken = (nearest != torch.arange(len(volumes))).float().mean()
    return errors | {
        "latents": energy_error(sampled, latents),
        "volume": energy_error(volumes, coefficients),
        "mistaken": float(mistaken),
    }


def noise_error(model: MotionModel, condition: Condition, latents: Tensor, timestep: int) -> float:
    """Error of the denoiser's prediction (eq. 3) at a timestep, as a share of that of predicting zero."""
    level, timesteps = alphas_cumprod(model.config.diffusion)[timestep], torch.full((len(latents),), timestep)
    noise = _noise(model, latents, timestep)
    prediction = model.denoiser(add_noise(latents, noise, level), timesteps, condition.features, condition.prior)
    return energy_error(prediction, velocity(latents, noise, level))


def _noise(model: MotionModel, like: Tensor, seed: int) -> Tensor:
    """Noise as in training."""
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([frequency_noise(item.shape, model.config.noise_coherence, generator) for item in like])


def energy_error(predicted: Tensor, true: Tensor) -> float:
    """Energy of the error as a share of the true energy."""
    return float((predicted - true).square().sum() / true.square().sum())


if __name__ == "__main__":
    main()
