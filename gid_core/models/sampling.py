"""Sampling latents of a spectral volume by stepwise denoising (paper sections 4.2 and 6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..validation import check_choice, check_integer
from .motion_model import MotionModel
from .noise import frequency_noise

SAMPLERS = ("dpm", "ddim")
# alpha^2 at the last noise level of a schedule with zero terminal SNR, so that divisions by alpha stay finite.
MIN_ALPHA_CUMPROD = 1e-10
MIN_SIGMA = 1e-6

Generators = torch.Generator | Sequence[torch.Generator] | None


@dataclass(frozen=True)
class Condition:
    """The denoiser's condition: features [B, E, h, w] of photos and prior [B, K, 2, h, w] (None without one)."""

    features: Tensor
    prior: Tensor | None

    def repeat(self, count: int) -> Condition:
        """Every photo `count` times in a row."""
        prior = None if self.prior is None else self.prior.repeat_interleave(count, 0)
        return Condition(self.features.repeat_interleave(count, 0), prior)


@dataclass
class SamplingStep:
    """One step of sampling, for callbacks and guidance.

    index, total: number of the step, from 0, and number of steps.
    noisy_latents: [B, K, C, h, w], z_n.
    denoised_latents: the network's estimate of z_0 at this step (diffusers' pred_original_sample); may be replaced.
    alpha, sigma: of this step's noise level, z_n = alpha z_0 + sigma eps.
    prior: the photo's, needed for decoding.
    """

    index: int
    total: int
    noisy_latents: Tensor
    denoised_latents: Tensor
    alpha: float
    sigma: float
    prior: Tensor | None = None


StepCallback = Callable[[SamplingStep], None]


class SamplingGuidance:
    """Base class of guidance that acts in every sampling step, such as `loop_guidance.LoopGuidance`; changes nothing.

    recurrences: how many times every step is run (self-recurrence of universal guidance), >= 1.
    """

    recurrences: int | None = 1

    def on_step_end(self, model: MotionModel, step: SamplingStep, denoise: Callable[[Tensor], Tensor]) -> Tensor:
        """The denoised latents to continue with.

        Args:
            denoise: maps noisy latents of this step to denoised latents, for gradients through the network.
        """
        return step.denoised_latents


@torch.no_grad()
def sample_latents(
    model: MotionModel,
    condition: Condition,
    noise: Tensor,
    *,
    steps: int = 25,
    guidance_scale: float = 1.0,
    sampler: str = "dpm",
    guidance: SamplingGuidance | None = None,
    motion_mask: Tensor | None = None,
    zero_motion_latents: Tensor | None = None,
    callback: StepCallback | None = None,
    generator: Generators = None,
    noise_factor: Tensor | None = None,
) -> Tensor:
    """Sample latents [B, K, C, h, w] of spectral volumes.

    Args:
        condition: of B photos.
        noise: [B, K, C, h, w], where sampling starts.
        steps: number of denoising steps, >= 1.
        guidance_scale: of classifier-free guidance, eps_0 + scale (eps_c - eps_0), in one pass of twice the batch;
            1 for none. The paper's w is scale - 1.
        sampler: "dpm", DPM-Solver++(2M), or "ddim", the paper's (250 steps).
        guidance: changes the estimate in every step.
        motion_mask, zero_motion_latents: [B, 1, 1, h, w] in 0..1 and [1 or B, K, C, 1 or h, 1 or w]. In every step,
            the estimate is replaced by the latents of zero motion where the mask is 0, so the remaining motion adapts
            to it. Both or neither.
        callback: called after every step; may raise to cancel.
        generator: on the CPU, for the noise that recurrences add. With B generators, every photo has its own noise,
            which does not depend on the other photos.
        noise_factor: [B, h * w, h * w], how the cells of each photo share that noise (`spatial_noise_factor`).

    Raises:
        ValueError: for another sampler or number of steps.
    """
    scheduler = _make_scheduler(model, sampler, steps)
    latents = noise * float(scheduler.init_noise_sigma)
    alphas_cumprod = scheduler.alphas_cumprod.double()
    repeats = max(1, guidance.recurrences or 1) if guidance is not None else 1
    total = len(scheduler.timesteps)
    for index, timestep in enumerate(scheduler.timesteps):
        alpha = float(alphas_cumprod[int(timestep)].clamp_min(MIN_ALPHA_CUMPROD).sqrt())
        sigma = float((1 - alphas_cumprod[int(timestep)]).sqrt())

        def denoise(z: Tensor, timestep: Tensor = timestep, alpha: float = alpha, sigma: float = sigma) -> Tensor:
            return _denoise(model, condition, z, timestep, alpha, sigma, guidance_scale)

        for remaining in reversed(range(repeats)):
            step = SamplingStep(index, total, latents, denoise(latents), alpha, sigma, condition.prior)
            if guidance is not None:
                step.denoised_latents = guidance.on_step_end(model, step, denoise)
            if motion_mask is not None and zero_motion_latents is not None:
                motion = step.denoised_latents - zero_motion_latents
                step.denoised_latents = zero_motion_latents + motion_mask * motion
            if callback is not None and not remaining:
                callback(step)
            if remaining:  # add noise again, to this step's level
                fresh_noise = _draw_noise_like(model, latents, noise_factor, generator)
                latents = alpha * step.denoised_latents + sigma * _mix_noise(_epsilon(step), fresh_noise)
        if sampler == "ddim":
            last = index + 1 == total
            next_alpha = alphas_cumprod.new_ones(()) if last else alphas_cumprod[int(scheduler.timesteps[index + 1])]
            latents = float(next_alpha.sqrt()) * step.denoised_latents
            latents = latents + float((1 - next_alpha).sqrt()) * _epsilon(step)
        else:
            latents = scheduler.step(_model_output(model, step), timestep, latents).prev_sample
    return latents


def draw_noise(
    shape: Sequence[int], coherence: float, noise_factor: Tensor | None, generators: Sequence[torch.Generator | None]
) -> Tensor:
    """Noise [B, K, C, h, w] for B photos, each from its own generator.

    Args:
        shape: (K, C, h, w).
        coherence: between frequencies, see `noise.frequency_noise`.
        noise_factor: [B, h * w, h * w] of `noise.spatial_noise_factor`, or None for white noise.
    """
    factors = [None] * len(generators) if noise_factor is None else noise_factor
    pairs = zip(generators, factors, strict=True)
    return torch.stack([frequency_noise(shape, coherence, generator, factor) for generator, factor in pairs])


def _draw_noise_like(model: MotionModel, like: Tensor, noise_factor: Tensor | None, generator: Generators) -> Tensor:
    generators = generator if isinstance(generator, Sequence) else [generator] * len(like)
    return draw_noise(like.shape[1:], model.config.noise_coherence, noise_factor, generators).to(like)


def _mix_noise(epsilon: Tensor, fresh_noise: Tensor) -> Tensor:
    """Equal parts of old and new noise, of variance one."""
    return (epsilon + fresh_noise) * 0.5**0.5


def _make_scheduler(model: MotionModel, sampler: str, steps: int) -> Any:
    """A diffusers scheduler with its timesteps set."""
    from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

    check_choice("sampler", sampler, SAMPLERS)
    max_steps = model.config.diffusion.num_train_timesteps
    steps = check_integer("num_inference_steps", steps, 1, max_steps)
    if sampler == "ddim":
        # Only its timesteps are used: its `step` assumes 1000 // steps between them, but they are 1000 / steps apart.
        scheduler = model.noise_scheduler(DDIMScheduler, timestep_spacing="trailing")
    else:
        scheduler = model.noise_scheduler(
            DPMSolverMultistepScheduler,
            algorithm_type="dpmsolver++",
            timestep_spacing="trailing",
            use_karras_sigmas=False,
        )
    scheduler.set_timesteps(steps)
    if len(scheduler.timesteps) > steps:  # where 1000 / steps is rounded up, diffusers adds timestep -1
        scheduler.timesteps = scheduler.timesteps[:steps]
        scheduler.num_inference_steps = steps
        if sampler == "dpm":
            scheduler.sigmas = torch.cat([scheduler.sigmas[:steps], scheduler.sigmas[-1:]])
    return scheduler


def _denoise(
    model: MotionModel,
    condition: Condition,
    latents: Tensor,
    timestep: Tensor,
    alpha: float,
    sigma: float,
    guidance_scale: float,
) -> Tensor:
    """The estimate of noiseless latents, with classifier-free guidance."""
    features, prior = condition.features, condition.prior
    do_classifier_free_guidance = guidance_scale != 1.0
    if do_classifier_free_guidance:
        features = torch.cat([features, torch.zeros_like(features)])
        prior = None if prior is None else torch.cat([prior, torch.zeros_like(prior)])
    model_input = torch.cat([latents, latents]) if do_classifier_free_guidance else latents
    timesteps = torch.full((len(model_input),), int(timestep), device=latents.device)
    dtype = model.dtype
    output = model.denoiser(model_input.to(dtype), timesteps, features.to(dtype), prior).float()
    if do_classifier_free_guidance:
        conditional, unconditional = output.chunk(2)
        output = unconditional + guidance_scale * (conditional - unconditional)
    if model.config.diffusion.prediction_type == "v_prediction":
        return alpha * latents - sigma * output
    return (latents - sigma * output) / alpha


def _epsilon(step: SamplingStep) -> Tensor:
    """The noise in the noisy latents, according to the estimate."""
    return (step.noisy_latents - step.alpha * step.denoised_latents) / max(step.sigma, MIN_SIGMA)


def _model_output(model: MotionModel, step: SamplingStep) -> Tensor:
    """The network's output that corresponds to the estimate, as the scheduler expects it."""
    if model.config.diffusion.prediction_type == "v_prediction":
        return step.alpha * _epsilon(step) - step.sigma * step.denoised_latents
    return _epsilon(step)
