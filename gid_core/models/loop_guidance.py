"""Loops without a jerk (paper section 4.3, eq. 5), by gradients as published or by much cheaper means.

A spectral volume always loops without a cut, for its bins are whole periods. But most clips do not end where they
began, and a volume taken from one (detrend="none"), or a model that learned from such volumes, squeezes the way back
into a snap around the seam, about T / K frames long: the jump's leakage, cut off at bin K. Volumes with
detrend="ramp" whose period is the loop never had that jump and hardly need guidance; here they come out nearly
unchanged.

All of it happens in the space of bins 1 .. K-1. A pixel's axis is a vector s of 2 (K - 1) numbers, real parts before
imaginary ones, and a displacement, a step or a jump at the seam is a row times s. Bin 0 never matters: it follows from
F_0 = 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..spectral_volume import SpectralVolume
from .config import one_of
from .motion_model import MotionModel
from .sampling import Guide, Step

MODES = ("projection", "crossfade", "gradient")
CONSTRAINTS = ("natural", "published")
# Up to this ratio of steps at the seam to steps elsewhere there is no jerk to see, and nothing is cut away for it.
TOLERANCE = 1.1
# Estimates before this share of the steps are too blurred for their seams to mean anything.
LATE = 0.8
# Stiffness of the penalty, from nothing to a constraint, 16 trials a decade.
STIFFNESSES = 10.0 ** torch.linspace(-3, 4, 7 * 16 + 1, dtype=torch.float64)


@dataclass(frozen=True)
class LoopGuidance(Guide):
    """What makes sampled motion loop without a jerk; give it to `GIDPipeline`, or call `finish` on any volume.

    mode:
        "projection": the least change of the finished volume, in closed form, by which steps around the seam get no
            larger than steps elsewhere: s - V A^T (A V A^T + R)^-1 A s, where A s are second differences of F in the
            frames that a snap spans (about 2 T / (2K - 1) of them), V = the bins' rms amplitudes (leakage falls as
            1/k, which that resembles; with energies the change is half as large again), R = r I, and r the largest
            that is enough. It takes milliseconds, and leaves alone what loops well already.
        "crossfade": the last L frames fade into the first L, displacements, not colors, so nothing ghosts. The
            period becomes T - L samples at the same fps, so the loop is L / T shorter at unchanged speed, and bin k
            is at k fps / (T - L) Hz from then on. Frame t is what it was, up to a constant, for L <= t < T - L.
            If every volume of the batch loops well already, nothing changes; otherwise all are faded.
        "gradient": motion self-guidance, eq. 5: eps + u sigma grad_z L in every step, see `seam_loss` for L. A step
            is never longer than `strength` times what would bring L to zero if it were linear (Polyak's step):
            unlimited, u = 200 diverges at all but the last noise levels.
    strength: >= 0; 0 changes nothing, 1 is right. "projection": r is divided by it, so 2 is stiffer than needed.
        "crossfade": factor on `frames`. "gradient": factor on the longest step, best at most 1.
    during_sampling: "projection" only: also project the estimates of the last fifth of the steps, by way of decoder
        and encoder, so that the network can settle what the projection upsets. Costs a decoding and two encodings in
        each of them.
    frames: L of "crossfade", >= 1, samples of the volume; at most half its period is taken.
    weight: u of "gradient", >= 0; 200 in the paper. L counts in pixels of the volume's grid, summed over pixels.
    constraint: "natural" or "published", which seam "gradient" asks for, see `seam_loss`.
    recurrences: times every step is taken, >= 1; None: 2 for "gradient" (the paper's), else 1.
    through_network: "gradient" only: take gradients through the denoiser too, as published. False: only through the
        decoder, with eps as a constant, so that z_0 is affine in z_n; several times as fast.

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

    def __post_init__(self):
        one_of("mode of loop guidance", self.mode, MODES)
        one_of("constraint of loop guidance", self.constraint, CONSTRAINTS)
        for name in ("strength", "weight"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} of loop guidance must be a number >= 0; got {value}.")
        if self.recurrences is None:
            object.__setattr__(self, "recurrences", 2 if self.mode == "gradient" else 1)
        for name in ("frames", "recurrences"):
            value = getattr(self, name)
            if value != int(value) or value < 1:
                raise ValueError(f"{name} of loop guidance must be a whole number >= 1; got {value}.")
        if self.during_sampling and self.mode != "projection":
            raise ValueError(f'during_sampling is for mode "projection"; got mode {self.mode!r}.')
        if self.through_network and self.mode != "gradient":
            raise ValueError(f'through_network is for mode "gradient"; got mode {self.mode!r}.')

    def during(self, model: MotionModel, step: Step, predict: Callable[[Tensor], Tensor]) -> Tensor:
        """The clean latents [B, K, C, h, w] to go on with after a step; see `Guide.during`."""
        if self.strength == 0:
            return step.clean
        if self.mode == "gradient":
            return self._descend(model, step, predict)
        if self.during_sampling and step.index >= LATE * step.total:
            return self._project_latents(model, step)
        return step.clean

    def finish(self, volume: SpectralVolume) -> SpectralVolume:
        """The finished volume, [B, K, 4, H, W], with what this mode does to volumes done to it.

        F_0 = 0 afterwards, and `metadata` says what was done. With strength 0, and for "gradient", whose work is
        done by then, it is the volume given.
        """
        if self.strength == 0 or self.mode == "gradient" or not _has_seam(volume):
            return volume
        moments = _moments(volume.coefficients)
        if self.mode == "crossfade":
            return self._crossfade(volume, moments)
        matrices = _projections(moments, volume.period, self.strength)
        return _with_motion(volume, matrices, volume.period, f"projection, changed by {_change(matrices, moments)}")

    def _crossfade(self, volume: SpectralVolume, moments: Tensor) -> SpectralVolume:
        period, bins = volume.period, volume.num_bins
        length = min(round(self.strength * self.frames), period // 2, period - 2 * (bins - 1))
        if length < 1 or bool((_seam_ratios(moments, period) <= TOLERANCE).all()):
            return volume
        matrix = _crossfade_matrix(period, bins, length)[None]
        return _with_motion(volume, matrix, period - length, f"crossfade over {length} frames")

    def _project_latents(self, model: MotionModel, step: Step) -> Tensor:
        latents, prior = step.clean, step.prior
        coefficients, period = model.to_coefficients(latents, prior), model.config.volume.period
        moments = _moments(coefficients)
        matrices = _projections(moments, period, self.strength)
        projected = torch.cat([coefficients[:, :1], _apply(matrices, coefficients)], 1)
        # Only the difference is encoded, so that what the autoencoder loses is not lost anew in every step.
        return latents + model.to_latents(projected, prior) - model.to_latents(coefficients, prior)

    def _descend(self, model: MotionModel, step: Step, predict: Callable[[Tensor], Tensor]) -> Tensor:
        # ComfyUI runs (and loads) in inference mode, whose tensors cannot take part in gradients; their copies can.
        with torch.inference_mode(False), torch.enable_grad():
            _leave_inference_mode(model)
            if self.through_network:
                noisy = step.noisy.detach().clone().requires_grad_()
                clean = predict(noisy)
                loss = self._loss(model, clean, step.prior)
                to_clean, direction = torch.autograd.grad(loss.sum(), (clean, noisy))
            else:
                clean = step.clean.detach().clone().requires_grad_()
                loss = self._loss(model, clean, step.prior)
                (to_clean,) = torch.autograd.grad(loss.sum(), (clean,))
                direction = to_clean / step.signal  # z_0 = (z_n - sigma eps) / alpha
            # Zero motion has no slope in some normalizations; there, nothing is to do either.
            to_clean, direction = to_clean.nan_to_num(), direction.nan_to_num()
        # eps + u sigma g moves the estimate (z_n - sigma eps) / alpha by u sigma^2 / alpha of g.
        length = _norm(direction)
        published = self.weight * step.noise**2 / step.signal * length
        limit = self.strength * loss.detach().view_as(length) / _norm(to_clean).clamp_min(1e-20)
        return step.clean - direction * (torch.minimum(published, limit) / length.clamp_min(1e-20))

    def _loss(self, model: MotionModel, clean: Tensor, prior: Tensor | None) -> Tensor:
        """L of every item, [B], in pixels of the volume's grid, summed over pixels."""
        config = model.config.volume
        coefficients = model.to_coefficients(clean, prior) * (config.amplitude if config.unit_amplitude else 1.0)
        rows = _seam_rows(config.period, config.num_bins, self.constraint)
        return (_on(rows, coefficients) @ _stacked(coefficients)).abs().sum((1, 2))


def seam_loss(volume: SpectralVolume, constraint: str = "natural") -> Tensor:
    """L of eq. 5, how far the loop's end is from leading into its beginning: [B], pixels, mean over all pixels.

    "published": |F_T - F_1|_1 + |F'_T - F'_1|_1, with F'_T = F_T - F_{T-1} and F'_1 = F_2 - F_1. As F_T = F_0, it
    asks for a frame of standstill.
    "natural": |F_h - F_-h - h (F'_h + F'_-h)|_1 + |F'_h - F'_-h|_1: the way over the seam is 2h natural steps, as
    large as those on either side of it. h frames is half the length of a snap. (With h = 1/2 this would be F_T = F_1
    minus one step; but a snap is smooth from frame to frame, so it must be seen from outside.)
    """
    one_of("constraint of loop guidance", constraint, CONSTRAINTS)
    rows = _on(_seam_rows(volume.period, volume.num_bins, constraint), volume.coefficients)
    return (rows @ _stacked(volume.coefficients)).abs().sum((1, 2)) / math.prod(volume.size)


# ---- rows: what is linear in a volume ----


def _rows(period: int, bins: int, times: Tensor) -> Tensor:
    """F at some times less its mean, as rows over bins 1 .. K-1: float64 [len(times), 2 (K - 1)]."""
    k = torch.arange(1, bins, dtype=torch.float64)
    angle = 2 * math.pi / period * times.double()[:, None] * k
    weight = torch.full_like(k, 2 / period)
    if period == 2 * (bins - 1):
        weight[-1] /= 2  # the Nyquist bin has no mirror image
    return torch.cat([weight * torch.cos(angle), -weight * torch.sin(angle)], 1)


def _steps(period: int, bins: int, times: Tensor) -> Tensor:
    """F_{t+1} - F_t as rows."""
    return _rows(period, bins, times + 1) - _rows(period, bins, times)


def _half_snap(period: int, bins: int) -> int:
    """Frames from the seam to the end of a snap: the first zero of the Dirichlet kernel of K bins."""
    return max(1, min(round(period / (2 * bins - 1)), period // 6))


def _seam_rows(period: int, bins: int, constraint: str) -> Tensor:
    def at(t):
        return _rows(period, bins, torch.tensor([t]))

    def step(t):
        return _steps(period, bins, torch.tensor([t]))

    if constraint == "published":
        return torch.cat([at(period) - at(1), step(period - 1) - step(1)])
    h = _half_snap(period, bins)
    return torch.cat([at(h) - at(-h) - h * (step(h) + step(-h - 1)), step(h) - step(-h - 1)])


def _stacked(coefficients: Tensor) -> Tensor:
    """[B, K, 4, H, W] -> the vectors s as columns, [B, 2 (K - 1), 2 H W]."""
    batch, bins = coefficients.shape[:2]
    parts = coefficients[:, 1:].unflatten(2, (2, 2))  # [B, K - 1, axis, part, H, W]
    return parts.permute(0, 3, 1, 2, 4, 5).reshape(batch, 2 * (bins - 1), -1)


def _apply(matrices: Tensor, coefficients: Tensor) -> Tensor:
    """Matrices [B or 1, 2 (K - 1), 2 (K - 1)] times every pixel's s: bins 1 .. K-1, [B, K - 1, 4, H, W]."""
    batch, bins, _, height, width = coefficients.shape
    product = _on(matrices, coefficients) @ _stacked(coefficients)
    parts = product.view(batch, 2, bins - 1, 2, height, width)
    return parts.permute(0, 2, 3, 1, 4, 5).reshape(batch, bins - 1, 4, height, width)


def _with_motion(volume: SpectralVolume, matrices: Tensor, period: int, done: str) -> SpectralVolume:
    """The volume with other bins 1 .. K-1, and bin 0 such that F_0 = 0."""
    moving = _apply(matrices, volume.coefficients)
    coefficients = torch.cat([torch.zeros_like(moving[:, :1]), moving], 1)
    metadata = {**volume.metadata, "loop_guidance": done}
    return volume.replace(coefficients=coefficients, period=period, metadata=metadata).at_rest()


# ---- how a volume's seam compares, and the projection ----


def _has_seam(volume: SpectralVolume) -> bool:
    """Whether there are bins that move and frames besides those at the seam."""
    return volume.num_bins > 1 and volume.period >= 6


def _moments(coefficients: Tensor) -> Tensor:
    """Second moments of s over pixels and axes, relative to all energy: float64 [B, 2 (K - 1), 2 (K - 1)].

    They hold all that is asked about a volume here, so that no frame of it need be made. Zeros if nothing moves.
    """
    stacked = _stacked(coefficients.float())
    # Brought to size 1 first: squares of very small or large motion leave float32.
    stacked = stacked / stacked.abs().amax((1, 2), keepdim=True).clamp_min(1e-30)
    moments = (stacked @ stacked.transpose(1, 2)).cpu().double()
    return moments / moments.diagonal(dim1=1, dim2=2).sum(1).clamp_min(1e-30)[:, None, None]


def _seam_ratios(moments: Tensor, period: int) -> Tensor:
    """The largest rms step F_{t+1} - F_t around the seam over the largest elsewhere: [...] of moments [..., n, n].

    1 or less: the seam cannot be told from the rest. 0 if nothing moves.
    """
    bins = moments.shape[-1] // 2 + 1
    half = _half_snap(period, bins)
    times = torch.arange(-half - 1, period - half - 1)  # 2 half + 1 steps around the one into frame 0, then the rest
    rows = _steps(period, bins, times)
    square = ((rows @ moments) * rows).sum(-1).clamp_min(0)
    near, rest = square[..., : 2 * half + 1].amax(-1), square[..., 2 * half + 1 :].amax(-1)
    return (near / rest.clamp_min(1e-30)).sqrt()


def _projections(moments: Tensor, period: int, strength: float) -> Tensor:
    """The matrix I - V A^T (A V A^T + R)^-1 A of every item, [B, n, n]; the identity where there is no jerk."""
    size = moments.shape[-1]
    half, bins = _half_snap(period, size // 2 + 1), size // 2 + 1
    bend = _steps(period, bins, torch.arange(-half, half + 1)) - _steps(period, bins, torch.arange(-half, half + 1) - 1)
    matrices = []
    for moment in moments:
        matrix = torch.eye(size, dtype=torch.float64)
        if strength > 0 and _seam_ratios(moment, period) > 1:
            energy = moment.diagonal()
            variance = (energy[: bins - 1] + energy[bins - 1 :]).sqrt().repeat(2)
            trials = _shrink(bend, variance, STIFFNESSES)
            ratios = _seam_ratios(trials @ moment @ trials.transpose(1, 2), period)
            # The softest that is enough; if none is, the one that gets nearest.
            enough = ratios <= max(1.0, float(ratios.min()))
            stiffness = STIFFNESSES[enough.int().argmax()] * strength
            matrix = _shrink(bend, variance, stiffness[None])[0]
        matrices.append(matrix)
    return torch.stack(matrices)


def _shrink(bend: Tensor, variance: Tensor, stiffnesses: Tensor) -> Tensor:
    """I - V A^T (A V A^T + r I)^-1 A for some r = (mean of A V A^T's diagonal) / stiffness: [len, n, n]."""
    weighted = bend * variance
    inner = weighted @ bend.T
    roots, basis = torch.linalg.eigh(inner)
    penalty = roots.mean() / stiffnesses
    right = basis.T @ bend
    left = (weighted.T @ basis)[None] / (roots.clamp_min(0) + penalty[:, None])[:, None]
    return torch.eye(len(variance), dtype=torch.float64) - left @ right


def _change(matrices: Tensor, moments: Tensor) -> str:
    """Relative rms change of motion, for people: "14 %", or one a volume."""
    moved = matrices - torch.eye(matrices.shape[-1], dtype=torch.float64)
    shares = (moved @ moments @ moved.transpose(1, 2)).diagonal(dim1=1, dim2=2).sum(1).clamp_min(0).sqrt()
    return ", ".join(f"{100 * float(share):.0f} %" for share in shares)


def _crossfade_matrix(period: int, bins: int, length: int) -> Tensor:
    """s of T samples to s of T - L: play, fade, transform."""
    frames = torch.arange(period - length)
    ramp = torch.arange(length, dtype=torch.float64) / length
    fade = torch.ones(period - length, 1, dtype=torch.float64)
    fade[:length, 0] = ramp * ramp * (3 - 2 * ramp)
    # Frame 0 is what followed the last frame, so nothing jumps there. (Past the fade, `later` counts for nothing.)
    later = _rows(period, bins, (frames + period - length) % period)
    played = fade * _rows(period, bins, frames) + (1 - fade) * later
    angle = 2 * math.pi / (period - length) * torch.arange(1, bins, dtype=torch.float64)[:, None] * frames
    return torch.cat([torch.cos(angle), -torch.sin(angle)]) @ played


# ---- helpers ----


def _leave_inference_mode(model: nn.Module) -> None:
    """Replace weights that were made in inference mode by copies, once; they could not be saved for a gradient."""
    for module in model.modules():
        for name, value in module.named_parameters(recurse=False):
            if value.is_inference():
                module.register_parameter(name, nn.Parameter(value.clone(), requires_grad=False))
        for name, value in module.named_buffers(recurse=False):
            if value.is_inference():
                module.register_buffer(name, value.clone(), name not in module._non_persistent_buffers_set)


def _norm(latents: Tensor) -> Tensor:
    """Length of every item's latents, [B, 1, 1, 1, 1]."""
    return latents.flatten(1).norm(dim=1).view(-1, 1, 1, 1, 1)


def _on(matrix: Tensor, like: Tensor) -> Tensor:
    return matrix.float().to(like.device)  # float32 first: some devices have no more
