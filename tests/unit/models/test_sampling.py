"""Sampling of latents whose distribution is known, so that every result has a closed form."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from gid_core.models.config import DiffusionConfig
from gid_core.models.motion_model import MotionModel
from gid_core.models.noise_schedule import alphas_cumprod
from gid_core.models.sampling import SAMPLERS, Condition, sample_latents
from random_tensors import random_normal
from tiny_models import BINS, TINY

PREDICTIONS = [("v_prediction", True), ("v_prediction", False), ("epsilon", False)]


class GaussianDenoiser(nn.Module):
    """The exact denoiser of normal latents with standard deviation `std` whose mean is the photo's features.

    The posterior mean and the result of sampling have closed forms at all noise levels.
    """

    def __init__(self, config, std):
        super().__init__()
        self.std = nn.Parameter(torch.tensor(std))
        self.alphas_cumprod = alphas_cumprod(config.diffusion).double()
        self.prediction = config.diffusion.prediction_type
        self.timesteps = []

    def forward(self, latents, timesteps, features, prior):
        alpha_cumprod = self.alphas_cumprod[timesteps].view(-1, 1, 1, 1, 1)
        self.timesteps.append(int(timesteps[0]))
        alpha, sigma, s, z = alpha_cumprod.sqrt(), (1 - alpha_cumprod).sqrt(), self.std.double(), latents.double()
        mean = features.mean(1)[:, None, None].double()
        denoised = mean + s**2 * alpha * (z - alpha * mean) / (alpha**2 * s**2 + sigma**2)
        epsilon = sigma * (z - alpha * mean) / (alpha**2 * s**2 + sigma**2)
        if self.prediction == "v_prediction":
            return (alpha * epsilon - sigma * denoised).float()
        return epsilon.float()

    def expected_sample(self, noise, mean, last=None):
        """The end of the probability flow that starts with `noise` at the highest noise level.

        last: timestep from which a single step leads to the end, as in samplers; None follows the flow.
        """
        s = self.std.double()

        def std_at(timestep):
            return (self.alphas_cumprod[timestep] * s**2 + 1 - self.alphas_cumprod[timestep]).sqrt()

        standardized = (noise.double() - self.alphas_cumprod[-1].sqrt() * mean) / std_at(-1)
        factor = 1.0 if last is None else self.alphas_cumprod[last].sqrt() * s / std_at(last)
        return (mean + s * factor * standardized).float()


def gaussian_problem(prediction, zero_snr, std=0.6, mean=0.8):
    config = replace(TINY, diffusion=DiffusionConfig(prediction_type=prediction, rescale_betas_zero_snr=zero_snr))
    model = MotionModel(config).requires_grad_(False)
    model.denoiser = GaussianDenoiser(config, std).requires_grad_(False)
    condition = Condition(torch.full((3, 4, 5, 6), mean), torch.zeros(3, BINS, 2, 5, 6))
    return model, condition, random_normal(3, BINS, 4, 5, 6)


@pytest.mark.parametrize(("prediction", "zero_snr"), PREDICTIONS)
@pytest.mark.parametrize(
    ("sampler", "steps", "error"),
    [
        ("unipc", 12, 0.02),
        ("unipc", 200, 0.004),
        ("dpm", 25, 0.02),
        ("dpm", 200, 0.004),
        ("ddim", 250, 0.02),
        ("ddim", 700, 0.01),
        ("ddim", 1000, 0.006),
    ],
)
def test_samplers_reach_the_expected_sample(prediction, zero_snr, sampler, steps, error):
    model, condition, noise = gaussian_problem(prediction, zero_snr)
    sample = sample_latents(model, condition, noise, steps=steps, sampler=sampler)
    expected = model.denoiser.expected_sample(noise, 0.8, last=model.denoiser.timesteps[-1])
    torch.testing.assert_close(sample, expected, atol=error, rtol=0)


@pytest.mark.parametrize(("prediction", "zero_snr"), PREDICTIONS)
def test_all_samplers_reach_the_same_sample(prediction, zero_snr):
    model, condition, noise = gaussian_problem(prediction, zero_snr)
    unipc, dpm, ddim = (sample_latents(model, condition, noise, steps=500, sampler=name) for name in SAMPLERS)
    torch.testing.assert_close(dpm, ddim, atol=0.02, rtol=0)
    torch.testing.assert_close(unipc, dpm, atol=0.02, rtol=0)
    torch.testing.assert_close(dpm, model.denoiser.expected_sample(noise, 0.8), atol=0.02, rtol=0)


@pytest.mark.parametrize(("prediction", "zero_snr"), PREDICTIONS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_more_steps_reduce_the_error(prediction, zero_snr, sampler):
    model, condition, noise = gaussian_problem(prediction, zero_snr)
    expected = model.denoiser.expected_sample(noise, 0.8)
    errors = [
        float((sample_latents(model, condition, noise, steps=n, sampler=sampler) - expected).abs().max())
        for n in (12, 50, 200)
    ]
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize(("prediction", "zero_snr"), PREDICTIONS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_guidance_scale_multiplies_the_mean(prediction, zero_snr, sampler):
    """The exact denoiser is linear in the mean, so a guidance scale of w samples with w times the mean."""
    model, condition, noise = gaussian_problem(prediction, zero_snr, mean=0.5)
    sample = sample_latents(model, condition, noise, steps=300, guidance_scale=3, sampler=sampler)
    torch.testing.assert_close(sample, model.denoiser.expected_sample(noise, 1.5), atol=0.03, rtol=0)
    unguided = sample_latents(model, condition, noise, steps=300, guidance_scale=0, sampler=sampler)
    torch.testing.assert_close(unguided, model.denoiser.expected_sample(noise, 0.0), atol=0.03, rtol=0)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_masked_latents_have_no_motion(sampler):
    model, condition, noise = gaussian_problem("v_prediction", True)
    motion_mask = torch.ones(3, 1, 1, 5, 6)
    motion_mask[..., :2] = 0
    zero_motion_latents = random_normal(1, BINS, 4, 1, 1, seed=5)
    sample = sample_latents(
        model,
        condition,
        noise,
        steps=20,
        sampler=sampler,
        motion_mask=motion_mask,
        zero_motion_latents=zero_motion_latents,
    )
    torch.testing.assert_close(sample[..., :2], zero_motion_latents.expand(3, -1, -1, 5, 2), atol=1e-4, rtol=0)
    unmasked = sample_latents(model, condition, noise, steps=20, sampler=sampler)
    torch.testing.assert_close(sample[..., 2:], unmasked[..., 2:])


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 2, 7, 61, 103, 122])
def test_network_is_evaluated_once_per_step_at_decreasing_timesteps(sampler, steps):
    """Also where 1000 / steps is rounded: with 61 steps, diffusers adds one at timestep -1."""
    model, condition, noise = gaussian_problem("v_prediction", True)
    sample = sample_latents(model, condition, noise[..., :1, :1], steps=steps, sampler=sampler)
    timesteps = model.denoiser.timesteps
    assert len(timesteps) == steps
    assert timesteps[0] == 999
    assert timesteps == sorted(set(timesteps), reverse=True)
    assert timesteps[-1] >= 0
    assert torch.isfinite(sample).all()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_one_step_gives_the_first_estimate(sampler):
    model, condition, noise = gaussian_problem("v_prediction", True)
    sample = sample_latents(model, condition, noise, steps=1, sampler=sampler)
    torch.testing.assert_close(sample, torch.full_like(sample, 0.8), atol=2e-3, rtol=0)
