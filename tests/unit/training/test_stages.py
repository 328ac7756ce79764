"""The stages: which parameters each one trains, and what it learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from gid_core.models.config import DiffusionConfig
from gid_core.models.motion_model import MotionModel
from gid_core.models.motion_refinement import expected_displacement
from gid_core.models.noise_schedule import alphas_cumprod
from gid_core.training.stages import (
    CONDITION_DROPOUT,
    MIN_PLANT_DISPLACEMENT,
    PLANT_WEIGHT,
    DenoiserStage,
    make_stage,
    modulus_target,
)
from gid_core.training.trainer import TrainingConfig, train
from random_tensors import random_normal
from tiny_models import BINS
from tiny_training import RecordingStage, SwayingBlobs, tiny_model


def changed_tensors(name, steps=2, **options):
    """Names of the tensors that some steps of training change."""
    model = tiny_model(name)
    with torch.no_grad():
        model.denoiser.conv_out.weight.normal_()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    stage = make_stage(name, model, **options)
    optimizer = torch.optim.SGD([p for p in stage.parameters() if p.requires_grad], 0.1)
    dataset = SwayingBlobs()
    photos, coefficients = (torch.stack(each) for each in zip(*(dataset[i] for i in range(3)), strict=True))
    for step in range(steps):
        loss, _ = stage.train()(photos, coefficients, seed=step)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}


def test_every_stage_trains_its_own_part_only():
    assert all(name.startswith("autoencoder.vae.") for name in changed_tensors("vae"))
    assert all(name.startswith("encoder.") and "feature_head" not in name for name in changed_tensors("encoder"))
    changed = changed_tensors("denoiser")
    assert {name.split(".")[0] for name in changed} == {"denoiser", "encoder"}
    assert all("feature_head" in name for name in changed if name.startswith("encoder."))


def test_frequency_attention_trains_the_attention_only():
    changed = changed_tensors("frequency-attention")
    assert changed
    assert all(name.startswith("denoiser.") and ".frequency_attention." in name for name in changed)
    complete = changed_tensors("frequency-attention", train_unet=True)
    assert changed < complete
    assert all(name.startswith("denoiser.") for name in complete)


def test_frequency_attention_needs_the_coordinated_layout():
    with pytest.raises(ValueError, match="independent"):
        make_stage("frequency-attention", tiny_model("denoiser"))
    with pytest.raises(ValueError, match="juggle"):
        make_stage("juggle", tiny_model())


class PerfectDenoiser(nn.Module):
    """Predicts the exact noise or velocity, because it knows the latents. Records its inputs."""

    def __init__(self, model, latents):
        super().__init__()
        self.latents, self.alphas = latents, alphas_cumprod(model.config.diffusion)
        self.prediction_type, self.inputs = model.config.diffusion.prediction_type, []

    def forward(self, noisy, timesteps, features, prior):
        self.inputs.append((timesteps, features, prior))
        per_slice = timesteps if timesteps.ndim == 2 else timesteps[:, None]
        alpha = self.alphas[per_slice][..., None, None, None]
        noise = (noisy - alpha.sqrt() * self.latents) / (1 - alpha).sqrt()
        velocity = alpha.sqrt() * noise - (1 - alpha).sqrt() * self.latents
        return noise if self.prediction_type == "epsilon" else velocity


@pytest.mark.parametrize("name", ["denoiser", "frequency-attention"])
@pytest.mark.parametrize(("prediction_type", "zero_snr"), [("v_prediction", True), ("epsilon", False)])
def test_perfect_prediction_has_no_loss(name, prediction_type, zero_snr):
    model = tiny_model(name)
    diffusion = DiffusionConfig(prediction_type=prediction_type, rescale_betas_zero_snr=zero_snr)
    model = MotionModel(replace(model.config, diffusion=diffusion))
    stage = DenoiserStage(model, frequency_attention_only=name == "frequency-attention")
    latents = random_normal(300, BINS, 4, 2, 3)
    model.denoiser = PerfectDenoiser(model, latents)
    features, prior = torch.ones(300, 4, 2, 3), torch.ones(300, BINS, 2, 2, 3)
    loss = stage._noise_loss(latents, features, prior, None, torch.Generator().manual_seed(0))
    assert float(loss) < 1e-4
    timesteps, features, prior = model.denoiser.inputs[0]
    # Every slice has its own timestep, or all slices of a photo share one.
    assert timesteps.shape == ((300, BINS) if name == "denoiser" else (300,))
    assert int(timesteps.min()) < 20
    assert int(timesteps.max()) > 980
    # Features and prior are dropped together for some photos.
    dropped = (features == 0).flatten(1).all(1)
    assert torch.equal(dropped, (prior == 0).flatten(1).all(1))
    assert torch.equal(~dropped, (features == 1).flatten(1).all(1))
    assert abs(float(dropped.float().mean()) - CONDITION_DROPOUT) < 0.06


def test_encoder_expects_at_least_some_motion_of_plants():
    model = tiny_model("encoder")
    stage = make_stage("encoder", model)
    photos, coefficients = (torch.stack(each) for each in zip(*(SwayingBlobs()[i] for i in range(2)), strict=True))
    plants = torch.zeros_like(coefficients)
    plants[:, 1, :, : coefficients.shape[-2] // 2] = 3.0

    def plant_loss(bias):
        """Shortfall in the upper half, with a prior that is the same everywhere."""
        with torch.no_grad():
            model.encoder.prior_head.weight.zero_()
            model.encoder.prior_head.bias.fill_(bias)
        return stage(photos, coefficients, photos, plants, seed=0)[1]["plants"]

    assert plant_loss(50.0) == 0  # more motion than needed costs nothing
    shortfall = plant_loss(-5.0)
    low = expected_displacement(model, model.encoder(photos)[1]).detach()
    assert shortfall == pytest.approx(float((MIN_PLANT_DISPLACEMENT / low).log().mean()), rel=1e-4)
    loss, _ = stage(photos, coefficients, photos, plants, seed=0)
    without, _ = stage(photos, coefficients, seed=0)
    assert float(loss - without) == pytest.approx(PLANT_WEIGHT * shortfall, rel=1e-3)
    plants.zero_()
    assert stage(photos, coefficients, photos, plants, seed=0)[1]["plants"] == 0


def test_modulus_target_on_the_latents_grid():
    normalized = torch.zeros(1, BINS, 4, 8, 8)
    normalized[:, 3, :2, :4] = 2.0
    normalized[:, 5, 3, :, 4:] = -1.0
    target = modulus_target(normalized, (2, 2))
    assert target.shape == (1, BINS, 2, 2, 2)
    assert target[0, 3].tolist() == [[[2, 2], [0, 0]], [[0, 0], [0, 0]]]
    torch.testing.assert_close(target[0, 5, 1], torch.tensor([[0, 0.5**0.5], [0, 0.5**0.5]]))
    assert int((target.sum((-1, -2)) > 0).sum()) == 2


@pytest.mark.parametrize(
    ("name", "steps", "max_ratio"), [("vae", 100, 0.65), ("encoder", 60, 0.5), ("denoiser", 100, 0.6)]
)
def test_four_samples_are_learned(name, steps, max_ratio, tmp_path):
    model = tiny_model(name)
    dataset = SwayingBlobs(variants=4)
    volumes = [dataset[i][1][None] for i in range(4)]
    model.normalizer.scale.copy_(torch.stack(volumes).abs().flatten(3).amax((0, 1, 3)) / 32)
    with torch.no_grad():
        model.autoencoder.fit_latent_statistics((model.normalizer.normalize(volume), 1.0) for volume in volumes)
        if name == "denoiser":
            nn.init.zeros_(model.encoder.prior_head.weight), nn.init.constant_(model.encoder.prior_head.bias, 0.5)
    options = {"timesteps_per_sample": 2} if name == "denoiser" else {}
    config = TrainingConfig(max_train_steps=steps, train_batch_size=4, lr_warmup_steps=5, learning_rate=3e-3)
    stage = RecordingStage(make_stage(name, model, **options))
    train(stage, dataset, config, tmp_path)
    errors = [terms[{"vae": "l1", "encoder": "error", "denoiser": "noise"}[name]] for terms in stage.terms]
    assert np.mean(errors[-15:]) < max_ratio * np.mean(errors[:3])
