"""Sampling latents of a spectral volume: denoising from noise, step by step (paper sections 4.2 and 6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .config import one_of
from .motion_model import MotionModel
from .noise import frequency_noise

SAMPLERS = ("dpm", "ddim")


@dataclass(frozen=True)
class Condition:
    """The photo, as the denoiser sees it: features [B, E, h, w] and prior [B, K, 2, h, w] (None without one)."""

    features: Tensor
    prior: Tensor | None

    def repeat(self, count: int) -> Condition:
        """Every photo `count` times, one after another."""
        prior = None if self.prior is None else self.prior.repeat_interleave(count, 0)
        return Condition(self.features.repeat_interleave(count, 0), prior)


@dataclass
class Step:
    """One step of sampling, for those who look on or change it.

    index, total: which step of how many.
    noisy: [B, K, C, h, w], z_n.
    clean: the network's estimate of the noiseless latents at this step; may be replaced.
    signal, noise: alpha and sigma of this step's level, z_n = alpha z_0 + sigma eps.
    prior: the photo's, which decoding needs.
    """

    index: int
    total: int
    noisy: Tensor
    clean: Tensor
    signal: float
    noise: float
    prior: Tensor | None = None


Callback = Callable[[Step], None]


class Guide:
    """What may change sampling, see `guidance.LoopGuidance`; this one does nothing.

    recurrences: times every step is taken (universal guidance's self-recurrence; 1: once).
    """

    recurrences: int = 1

    def during(self, model: MotionModel, step: Step, predict: Callable[[Tensor], Tensor]) -> Tensor:
        """The clean latents to go on with. predict: noisy latents to clean ones, for gradients through the network."""
        return step.clean


@torch.no_grad()
def sample_latents(
    model: MotionModel,
    condition: Condition,
    noise: Tensor,
    *,
    steps: int = 25,
    guidance_scale: float = 1.0,
    sampler: str = "dpm",
    guide: Guide | None = None,
    keep: Tensor | None = None,
    still: Tensor | None = None,
    callback: Callback | None = None,
    generator: torch.Generator | Sequence[torch.Generator] | None = None,
) -> Tensor:
    """Latents [B, K, C, h, w] of spectral volumes.

    Args:
        condition: of B photos.
        noise: [B, K, C, h, w], where sampling starts.
        steps: evaluations of the network, >= 1.
        guidance_scale: classifier-free guidance, eps_0 + scale (eps_c - eps_0), in one pass of twice the batch;
            1: none. The paper's w is scale - 1.
        sampler: "dpm", DPM-Solver++(2M), or "ddim", the paper's (250 steps).
        guide: changes the estimate in every step.
        keep, still: [B, 1, 1, h, w] in 0..1 and [1, K, C, 1 or h, 1 or w]: where keep is 0, the estimate is replaced
            by these latents of stillness in every step, so that the rest is made to fit.
        callback: called after every step; may raise to cancel.
        generator: on the CPU, for the noise that recurrences add; B of them give every photo noise of its own, which
            does not depend on the others.
    """
    scheduler = _scheduler(model, sampler, steps)
    latents = noise * float(scheduler.init_noise_sigma)
    alphas = scheduler.alphas_cumprod.double()
    repeat = max(1, guide.recurrences) if guide is not None else 1
    total = len(scheduler.timesteps)
    for index, level in enumerate(scheduler.timesteps):
        # A trace of signal even at the last level, so that divisions by it are finite.
        signal = float(alphas[int(level)].clamp_min(1e-10).sqrt())
        sigma = float((1 - alphas[int(level)]).sqrt())

        def predict(z: Tensor, signal=signal, sigma=sigma, level=level) -> Tensor:
            return _clean(model, condition, z, level, signal, sigma, guidance_scale)

        for again in reversed(range(repeat)):
            step = Step(index, total, latents, predict(latents), signal, sigma, condition.prior)
            if guide is not None:
                step.clean = guide.during(model, step, predict)
            if keep is not None:
                step.clean = still + keep * (step.clean - still)
            if callback is not None and not again:
                callback(step)
            if again:  # forward again to the level it came from
                fresh = _noise(model, latents, generator)
                latents = signal * step.clean + sigma * _mixed(_epsilon(step), fresh)
        if sampler == "ddim":
            alpha = alphas[int(scheduler.timesteps[index + 1])] if index + 1 < total else alphas.new_ones(())
            latents = float(alpha.sqrt()) * step.clean + float((1 - alpha).sqrt()) * _epsilon(step)
        else:
            latents = scheduler.step(_prediction(model, step), level, latents).prev_sample
    return latents


def _noise(model: MotionModel, like: Tensor, generator) -> Tensor:
    generators = generator if isinstance(generator, Sequence) else [generator] * len(like)
    coherence = model.config.noise_coherence
    return torch.stack([frequency_noise(like.shape[1:], coherence, one) for one in generators]).to(like)


def _mixed(epsilon: Tensor, fresh: Tensor) -> Tensor:
    """Half old, half new noise, of variance one."""
    return (epsilon + fresh) * 0.5**0.5


def _scheduler(model: MotionModel, sampler: str, steps: int):
    from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

    one_of("sampler", sampler, SAMPLERS)
    if steps != int(steps) or not 1 <= steps <= model.config.diffusion.steps:
        raise ValueError(f"num_inference_steps must be 1 to {model.config.diffusion.steps}; got {steps}.")
    if sampler == "ddim":
        # For its levels only: its own steps are 1000 // steps long, which these, 1000 / steps apart, are not.
        scheduler = model.schedule(cls=DDIMScheduler, timestep_spacing="trailing")
    else:
        scheduler = model.schedule(
            cls=DPMSolverMultistepScheduler,
            algorithm_type="dpmsolver++",
            timestep_spacing="trailing",
            use_karras_sigmas=False,
        )
    scheduler.set_timesteps(steps)
    if len(scheduler.timesteps) > steps:  # where 1000 / steps is rounded up, diffusers goes on to level -1
        scheduler.timesteps = scheduler.timesteps[:steps]
        scheduler.num_inference_steps = steps
        if sampler == "dpm":
            scheduler.sigmas = torch.cat([scheduler.sigmas[:steps], scheduler.sigmas[-1:]])
    return scheduler


def _clean(model, condition: Condition, latents: Tensor, level: Tensor, signal, sigma, scale: float) -> Tensor:
    """The estimate of noiseless latents, classifier-free guidance included."""
    features, prior = condition.features, condition.prior
    guided = scale != 1.0
    if guided:
        features = torch.cat([features, torch.zeros_like(features)])
        prior = None if prior is None else torch.cat([prior, torch.zeros_like(prior)])
    both = torch.cat([latents, latents]) if guided else latents
    timesteps = torch.full((len(both),), int(level), device=latents.device)
    dtype = model.dtype
    output = model.denoiser(both.to(dtype), timesteps, features.to(dtype), prior).float()
    if guided:
        with_photo, without = output.chunk(2)
        output = without + scale * (with_photo - without)
    if model.config.diffusion.prediction == "v_prediction":
        return signal * latents - sigma * output
    return (latents - sigma * output) / signal


def _epsilon(step: Step) -> Tensor:
    return (step.noisy - step.signal * step.clean) / max(step.noise, 1e-6)


def _prediction(model: MotionModel, step: Step) -> Tensor:
    """What the scheduler expects the network to have said, from the estimate."""
    if model.config.diffusion.prediction == "v_prediction":
        return step.signal * _epsilon(step) - step.noise * step.clean
    return _epsilon(step)
