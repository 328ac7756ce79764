"""Sampling latents of a spectral volume by stepwise denoising (paper sections 4.2 and 6)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..validation import check_choice, check_integer
from .motion_model import MotionModel
from .noise import frequency_noise
from .noise_schedule import alphas_cumprod, trailing_timesteps
from .solvers import dpm_solver_step, unipc_correction

SAMPLERS = ("unipc", "dpm", "ddim")
# alpha^2 at the last noise level of a schedule with zero terminal SNR, so that divisions by alpha stay finite. The
# steps of UniPC and DPM-Solver++ are differences of log(alpha / sigma); diffusers has this value for them.
MIN_ALPHA_CUMPROD = {"unipc": 2.0**-24, "dpm": 2.0**-24, "ddim": 1e-10}
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
    denoised_latents: the network's estimate of z_0 at this step ; may be replaced.
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
    sampler: str = "unipc",
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
        sampler: "unipc", UniPC of second order; "dpm", DPM-Solver++(2M); or "ddim", the paper's (250 steps).
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
    check_choice("sampler", sampler, SAMPLERS)
    max_steps = model.config.diffusion.num_train_timesteps
    steps = check_integer("num_inference_steps", steps, 1, max_steps)
    timesteps = trailing_timesteps(max_steps, steps)
    levels = _noise_levels(model, timesteps, MIN_ALPHA_CUMPROD[sampler])
    latents = noise
    history: list[tuple[Tensor, Tensor]] = []  # latents and estimates of the last steps, two at most
    repeats = max(1, guidance.recurrences or 1) if guidance is not None else 1
    for index, timestep in enumerate(timesteps):
        (alpha, sigma), (next_alpha, next_sigma) = levels[index : index + 2]

        def denoise(z: Tensor, timestep: int = timestep, alpha: float = alpha, sigma: float = sigma) -> Tensor:
            return _denoise(model, condition, z, timestep, alpha, sigma, guidance_scale)

        for remaining in reversed(range(repeats)):
            step = SamplingStep(index, steps, latents, denoise(latents), alpha, sigma, condition.prior)
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
        estimate = step.denoised_latents
        if sampler == "unipc" and history and repeats == 1:  # repeated steps have other noise than the steps before
            latents = unipc_correction(history, estimate, levels[index - len(history) : index + 1])
        history = [*history[-1:], (latents, estimate)]
        if sampler == "ddim":
            latents = next_alpha * estimate + next_sigma * _epsilon(step)
        else:
            latents = dpm_solver_step(history, levels[index + 1 - len(history) : index + 2])
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


def _noise_levels(model: MotionModel, timesteps: Sequence[int], min_alpha_cumprod: float) -> list[tuple[float, float]]:
    """alpha and sigma of each timestep, then those without noise, (1, 0)."""
    schedule = alphas_cumprod(model.config.diffusion).double().clamp_min(min_alpha_cumprod)
    return [(math.sqrt(schedule[t]), math.sqrt(1 - schedule[t])) for t in timesteps] + [(1.0, 0.0)]


def _denoise(
    model: MotionModel,
    condition: Condition,
    latents: Tensor,
    timestep: int,
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
    timesteps = torch.full((len(model_input),), timestep, device=latents.device)
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
