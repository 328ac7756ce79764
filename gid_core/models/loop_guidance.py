"""Loops without a jerk at the seam (paper section 4.3, eq. 5), by gradients as published or by much cheaper means.

A spectral volume always loops without a cut, because its bins are whole periods. But most clips do not end where they
began. A volume extracted from one (detrend="none"), or predicted by a model that was trained on such volumes, returns
to its start in a jerk around the seam, about T / K frames long: the leakage of the jump, cut off at bin K. Volumes
with detrend="ramp" whose period is the loop never had that jump and hardly need guidance; they come out almost
unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..spectral_volume import SpectralVolume
from ..validation import MAX_FRAMES, check_choice, check_flag, check_instance, check_integer, check_number
from .motion_model import MotionModel
from .sampling import SamplingGuidance, SamplingStep
from .seam import (
    CONSTRAINTS,
    MAX_SEAM_RATIO,
    constraint_loss,
    crossfade_matrix,
    describe_change,
    has_seam,
    projection_matrices,
    seam_ratios,
    second_moments,
    transform_bins,
    transform_volume,
)

MODES = ("projection", "crossfade", "gradient")
# Share of the steps after which `during_sampling` projects; earlier estimates are too blurred to have a seam.
PROJECTION_START = 0.8
DEFAULT_RECURRENCES = {"projection": 1, "crossfade": 1, "gradient": 2}  # "gradient": the paper's
MAX_WEIGHT = 1e6  # of strength and weight
EPS = 1e-20  # keeps divisions by the length of zero gradients finite


@dataclass(frozen=True)
class LoopGuidance(SamplingGuidance):
    """Makes motion loop without a jerk; give it to `GIDPipeline`, or call `apply` on any volume.

    mode:
        "projection": the least change of the finished volume, in closed form, after which velocities around the seam
            are no larger than elsewhere: s - V A^T (A V A^T + R)^-1 A s. A s are second differences of F in the
            frames of a jerk (about 2 T / (2K - 1) of them). V are the bins' rms amplitudes, which fall about as 1/k,
            as leakage does; with energies in V the change is 1.5 times as large. R = r I, and r is the largest value
            that suffices. It takes milliseconds and leaves volumes unchanged that loop well already.
        "crossfade": the last L frames fade into the first L. Displacements fade, not colors, so there is no ghosting.
            The period becomes T - L samples at the same fps: the loop is L / T shorter at the same speed, and bin k
            is then at k fps / (T - L) Hz. For L <= t < T - L, frame t is unchanged up to a constant. If every volume
            of the batch loops well already, nothing changes; otherwise all of them fade.
        "gradient": motion self-guidance, eq. 5: eps + u sigma grad_z L in every step, see `seam_loss` for L. A step
            is at most `strength` times as long as the one that would make a linear L zero (Polyak's step). Without
            this limit, u = 200 diverges at all but the last noise levels.
    strength: >= 0; 0 changes nothing, 1 is recommended. "projection": divides r, so 2 is stiffer than needed.
        "crossfade": factor on `frames`. "gradient": factor on the longest step, at most 1 recommended.
    during_sampling: "projection" only: also project the estimates of the last fifth of the steps, through decoder and
        encoder, so that the network can adapt to the projection. Each of these steps costs one decoding and two
        encodings more.
    frames: L of "crossfade", >= 1, samples of the volume; at most half its period is used.
    weight: u of "gradient", >= 0; 200 in the paper. L is in pixels of the volume's grid, summed over pixels.
    constraint: "natural" or "published", the seam that "gradient" asks for, see `seam_loss`.
    recurrences: how often every step is repeated, >= 1; None: 2 for "gradient" (the paper's), otherwise 1.
    through_network: "gradient" only: compute gradients through the denoiser too, as published. False: only through
        the decoder, with eps as a constant, so z_0 is affine in z_n; several times as fast.

    Raises:
        ValueError: for other modes or constraints, or numbers outside these ranges.
    """

    mode: str = "projection"
    strength: float = 1.0
    during_sampling: bool = False
    frames: int = 20
    weight: float = 200.0
    constraint: str = "natural"
    recurrences: int | None = None
    through_network: bool = False

    def __post_init__(self) -> None:
        check_choice("mode of loop guidance", self.mode, MODES)
        check_choice("constraint of loop guidance", self.constraint, CONSTRAINTS)
        for name in ("strength", "weight"):
            value = check_number(f"{name} of loop guidance", getattr(self, name), 0, MAX_WEIGHT)
            object.__setattr__(self, name, value)
        if self.recurrences is None:
            object.__setattr__(self, "recurrences", DEFAULT_RECURRENCES[self.mode])
        for name in ("frames", "recurrences"):
            value = check_integer(f"{name} of loop guidance", getattr(self, name), 1, MAX_FRAMES)
            object.__setattr__(self, name, value)
        for name in ("during_sampling", "through_network"):
            object.__setattr__(self, name, check_flag(f"{name} of loop guidance", getattr(self, name)))
        if self.during_sampling and self.mode != "projection":
            raise ValueError(f'during_sampling is for mode "projection"; got mode {self.mode!r}.')
        if self.through_network and self.mode != "gradient":
            raise ValueError(f'through_network is for mode "gradient"; got mode {self.mode!r}.')

    def on_step_end(self, model: MotionModel, step: SamplingStep, denoise: Callable[[Tensor], Tensor]) -> Tensor:
        """The denoised latents [B, K, C, h, w] to continue with; see `SamplingGuidance.on_step_end`."""
        if self.strength == 0:
            return step.denoised_latents
        if self.mode == "gradient":
            return self._gradient_step(model, step, denoise)
        if self.during_sampling and step.index >= PROJECTION_START * step.total:
            return self._project_latents(model, step)
        return step.denoised_latents

    def apply(self, volume: SpectralVolume) -> SpectralVolume:
        """Remove the jerk from a finished volume [B, K, 4, H, W], as modes "projection" and "crossfade" do.

        Afterwards F_0 = 0, and `metadata` describes the change. With strength 0, with mode "gradient" (which only
        acts while sampling) and for volumes without a seam, the same volume is returned.
        """
        check_instance("volume", volume, SpectralVolume, "a spectral volume")
        if self.strength == 0 or self.mode == "gradient" or not has_seam(volume):
            return volume
        moments = second_moments(volume.coefficients)
        if self.mode == "crossfade":
            return self._crossfade(volume, moments)
        matrices = projection_matrices(moments, volume.period, self.strength)
        description = f"projection, changed by {describe_change(matrices, moments)}"
        return transform_volume(volume, matrices, volume.period, description)

    def _crossfade(self, volume: SpectralVolume, moments: Tensor) -> SpectralVolume:
        period, num_bins = volume.period, volume.num_bins
        length = min(round(self.strength * self.frames), period // 2, period - 2 * (num_bins - 1))
        if length < 1 or bool((seam_ratios(moments, period) <= MAX_SEAM_RATIO).all()):
            return volume
        matrix = crossfade_matrix(period, num_bins, length)[None]
        return transform_volume(volume, matrix, period - length, f"crossfade over {length} frames")

    def _project_latents(self, model: MotionModel, step: SamplingStep) -> Tensor:
        latents, prior = step.denoised_latents, step.prior
        coefficients, period = model.to_coefficients(latents, prior), model.config.volume.period
        matrices = projection_matrices(second_moments(coefficients), period, self.strength)
        projected = torch.cat([coefficients[:, :1], transform_bins(matrices, coefficients)], 1)
        # Only the difference is encoded, so the autoencoder's error does not add up over the steps.
        return latents + model.to_latents(projected, prior) - model.to_latents(coefficients, prior)

    def _gradient_step(self, model: MotionModel, step: SamplingStep, denoise: Callable[[Tensor], Tensor]) -> Tensor:
        # ComfyUI loads and runs models in inference mode. Its tensors cannot take part in gradients; copies can.
        with torch.inference_mode(False), torch.enable_grad():
            _copy_inference_tensors(model)
            if self.through_network:
                noisy = step.noisy_latents.detach().clone().requires_grad_()
                denoised = denoise(noisy)
                loss = self._loss(model, denoised, step.prior)
                denoised_gradient, gradient = torch.autograd.grad(loss.sum(), (denoised, noisy))
            else:
                denoised = step.denoised_latents.detach().clone().requires_grad_()
                loss = self._loss(model, denoised, step.prior)
                (denoised_gradient,) = torch.autograd.grad(loss.sum(), (denoised,))
                gradient = denoised_gradient / step.alpha  # z_0 = (z_n - sigma eps) / alpha
            # Some normalizations have no slope at zero motion, where there is nothing to correct.
            denoised_gradient, gradient = denoised_gradient.nan_to_num(), gradient.nan_to_num()
        # eps + u sigma g moves the estimate (z_n - sigma eps) / alpha by u sigma^2 / alpha times g.
        length = _norm(gradient)
        published_length = self.weight * step.sigma**2 / step.alpha * length
        max_length = self.strength * loss.detach().view_as(length) / _norm(denoised_gradient).clamp_min(EPS)
        return step.denoised_latents - gradient * (torch.minimum(published_length, max_length) / length.clamp_min(EPS))

    def _loss(self, model: MotionModel, latents: Tensor, prior: Tensor | None) -> Tensor:
        """L of every item, [B], in pixels of the volume's grid, summed over pixels."""
        config = model.config.volume
        coefficients = model.to_coefficients(latents, prior) * (config.amplitude if config.unit_amplitude else 1.0)
        return constraint_loss(coefficients, config.period, self.constraint)


def _copy_inference_tensors(model: nn.Module) -> None:
    """Replace weights that were created in inference mode by copies; autograd cannot save the originals."""
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.is_inference():
                module.register_parameter(name, nn.Parameter(parameter.clone(), requires_grad=False))
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.is_inference():
                module.register_buffer(name, buffer.clone(), name not in module._non_persistent_buffers_set)


def _norm(latents: Tensor) -> Tensor:
    """Norm of every item's latents, [B, 1, 1, 1, 1]."""
    return latents.flatten(1).norm(dim=1).view(-1, 1, 1, 1, 1)
