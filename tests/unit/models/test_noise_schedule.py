"""The noise schedule, UniPC and DPM-Solver++ agree with diffusers' schedulers."""

import pytest
import torch

from gid_core.models.config import DiffusionConfig
from gid_core.models.motion_model import MotionModel
from gid_core.models.noise_schedule import add_noise, alphas_cumprod, trailing_timesteps, velocity
from gid_core.models.sampling import Condition, sample_latents
from random_tensors import random_normal
from tiny_models import BINS, TINY

SCHEDULES = [DiffusionConfig(), DiffusionConfig(rescale_betas_zero_snr=False, beta_schedule="linear")]


def their_scheduler(name, diffusion, **settings):
    diffusers = pytest.importorskip("diffusers")
    names = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "prediction_type")
    shared = {name: getattr(diffusion, name) for name in (*names, "rescale_betas_zero_snr")}
    return getattr(diffusers, name)(**shared, **settings)


@pytest.mark.parametrize("diffusion", SCHEDULES)
def test_schedule_of_training(diffusion):
    theirs = their_scheduler("DDPMScheduler", diffusion)
    schedule = alphas_cumprod(diffusion)
    torch.testing.assert_close(schedule, theirs.alphas_cumprod, atol=1e-6, rtol=1e-5)
    latents, noise, timesteps = random_normal(4, 3, 2), random_normal(4, 3, 2, seed=1), torch.tensor([0, 10, 700, 999])
    level = schedule[timesteps].view(-1, 1, 1)
    for ours, name in ((add_noise, "add_noise"), (velocity, "get_velocity")):
        expected = getattr(theirs, name)(latents, noise, timesteps)
        torch.testing.assert_close(ours(latents, noise, level), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("steps", [1, 2, 14, 25, 48, 61, 1000])
def test_timesteps(steps):
    theirs = their_scheduler("DPMSolverMultistepScheduler", DiffusionConfig(), timestep_spacing="trailing")
    theirs.set_timesteps(steps)
    assert trailing_timesteps(1000, steps) == theirs.timesteps[:steps].tolist()


@pytest.mark.parametrize("steps", [1, 2, 3, 14, 25])
@pytest.mark.parametrize(
    ("sampler", "name"), [("dpm", "DPMSolverMultistepScheduler"), ("unipc", "UniPCMultistepScheduler")]
)
def test_samples_of_fast_solvers(sampler, name, steps):
    theirs = their_scheduler(name, DiffusionConfig(), timestep_spacing="trailing")
    theirs.set_timesteps(steps)
    model, noise = MotionModel(TINY), random_normal(1, BINS, 4, 3, 5)

    def velocity_of(latents, timesteps, *_):
        return (latents * 1.3 + timesteps[0] / 1000).sin()

    model.denoiser.forward = velocity_of
    ours = sample_latents(model, Condition(torch.zeros(1, 4, 3, 5), None), noise, steps=steps, sampler=sampler)
    latents = noise
    for timestep in theirs.timesteps:
        latents = theirs.step(velocity_of(latents, timestep[None]), timestep, latents).prev_sample
    torch.testing.assert_close(ours, latents, atol=1e-4, rtol=1e-4)
