"""The seam of a loop as linear algebra: how large the jerk is, and matrices that remove it (paper section 4.3).

Everything happens in the space of bins 1 .. K-1. One axis of a pixel is a vector s of 2 (K - 1) numbers, real parts
before imaginary parts. Displacements and velocities at given frames are matrices times s, called rows here. Bin 0 is
left out because it follows from F_0 = 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..spectral_volume import SpectralVolume
from ..validation import check_choice

CONSTRAINTS = ("natural", "published")
# Up to this ratio of velocities at the seam to velocities elsewhere no jerk is visible.
MAX_SEAM_RATIO = 1.1
MIN_PERIOD = 6  # samples; shorter loops have no frames besides those at the seam
# Trials for the stiffness of the penalty, from no effect to a hard constraint, 16 per decade.
STIFFNESSES = 10.0 ** torch.linspace(-3, 4, 7 * 16 + 1, dtype=torch.float64)
EPS = 1e-30  # keeps divisions by the size of zero motion finite


def seam_loss(volume: SpectralVolume, constraint: str = "natural") -> Tensor:
    """L of eq. 5, how far the loop's end is from a smooth transition to its start: [B], pixels, mean over pixels.

    Args:
        constraint: "published": |F_T - F_1|_1 + |F'_T - F'_1|_1, with F'_T = F_T - F_{T-1} and F'_1 = F_2 - F_1. As
            F_T = F_0, it asks for one frame without motion.
            "natural": |F_h - F_-h - h (F'_h + F'_-h)|_1 + |F'_h - F'_-h|_1. Motion across the seam takes 2 h steps of
            the size of those on both sides. h is `seam_frames`, half the length of a jerk. (h = 1/2 would give
            F_T = F_1 minus one step. But a jerk is smooth from frame to frame, so frames h before and after it are
            compared.)

    Raises:
        ValueError: for another constraint.
    """
    check_choice("constraint of loop guidance", constraint, CONSTRAINTS)
    loss = constraint_loss(volume.coefficients, volume.period, constraint)
    return loss / math.prod(volume.size)


def constraint_loss(coefficients: Tensor, period: int, constraint: str) -> Tensor:
    """`seam_loss` of coefficients [B, K, 4, H, W], summed over pixels: [B]."""
    rows = _constraint_rows(period, coefficients.shape[1], constraint)
    return (_to_device(rows, coefficients) @ _flatten_bins(coefficients)).abs().sum((1, 2))


# ---- measuring the seam ----


def has_seam(volume: SpectralVolume) -> bool:
    """Whether the volume has bins that move, and frames besides those at the seam."""
    return volume.num_bins > 1 and volume.period >= MIN_PERIOD


def seam_frames(period: int, num_bins: int) -> int:
    """Frames from the seam to the end of a jerk: the first zero of the Dirichlet kernel of K bins."""
    return max(1, min(round(period / (2 * num_bins - 1)), period // 6))


def second_moments(coefficients: Tensor) -> Tensor:
    """Second moments of s over pixels and axes, divided by their trace: float64 [B, 2 (K - 1), 2 (K - 1)].

    All measurements in this module follow from them, so no frames are computed. Zeros if nothing moves.
    """
    vectors = _flatten_bins(coefficients.float())
    # Scaled to 1 first: squares of very small or very large motion overflow float32.
    vectors = vectors / vectors.abs().amax((1, 2), keepdim=True).clamp_min(EPS)
    moments = (vectors @ vectors.transpose(1, 2)).cpu().double()
    return moments / moments.diagonal(dim1=1, dim2=2).sum(1).clamp_min(EPS)[:, None, None]


def seam_ratios(moments: Tensor, period: int) -> Tensor:
    """Largest rms velocity F_{t+1} - F_t around the seam over the largest elsewhere: [...] for moments [..., n, n].

    At 1 or less the seam cannot be told from the other frames. 0 if nothing moves.
    """
    num_bins = moments.shape[-1] // 2 + 1
    half = seam_frames(period, num_bins)
    num_seam = 2 * half + 1
    times = torch.arange(-half - 1, period - half - 1)  # the seam's frames first
    rows = _velocity_rows(period, num_bins, times)
    mean_square = ((rows @ moments) * rows).sum(-1).clamp_min(0)
    at_seam, elsewhere = mean_square[..., :num_seam].amax(-1), mean_square[..., num_seam:].amax(-1)
    return (at_seam / elsewhere.clamp_min(EPS)).sqrt()


# ---- removing the jerk ----


def projection_matrices(moments: Tensor, period: int, strength: float) -> Tensor:
    """I - V A^T (A V A^T + R)^-1 A for every item, [B, n, n]; see `LoopGuidance`. The identity where there is no jerk.

    Args:
        moments: of `second_moments`.
        strength: factor on the stiffness that suffices, >= 0.
    """
    size = moments.shape[-1]
    num_bins = size // 2 + 1
    half = seam_frames(period, num_bins)
    times = torch.arange(-half, half + 1)
    accelerations = _velocity_rows(period, num_bins, times) - _velocity_rows(period, num_bins, times - 1)
    matrices = []
    for moment in moments:
        matrix = torch.eye(size, dtype=torch.float64)
        if strength > 0 and seam_ratios(moment, period) > 1:
            energy = moment.diagonal()
            amplitudes = (energy[: num_bins - 1] + energy[num_bins - 1 :]).sqrt().repeat(2)
            trials = _penalized_projections(accelerations, amplitudes, STIFFNESSES)
            ratios = seam_ratios(trials @ moment @ trials.transpose(1, 2), period)
            # The smallest stiffness that suffices. If none does, the one with the smallest ratio.
            sufficient = ratios <= max(1.0, float(ratios.min()))
            stiffness = STIFFNESSES[sufficient.int().argmax()] * strength
            matrix = _penalized_projections(accelerations, amplitudes, stiffness[None])[0]
        matrices.append(matrix)
    return torch.stack(matrices)


def crossfade_matrix(period: int, num_bins: int, length: int) -> Tensor:
    """Maps s of T samples to s of T - L samples, whose first L frames fade from the last L of the original: [n, n]."""
    faded_period = period - length
    frames = torch.arange(faded_period)
    ramp = torch.arange(length, dtype=torch.float64) / length
    weight = torch.ones(faded_period, 1, dtype=torch.float64)
    weight[:length, 0] = ramp * ramp * (3 - 2 * ramp)
    # Frame 0 becomes the one that follows the new last frame, so the loop closes. The weight of `end` is 0 after the
    # fade.
    end = _displacement_rows(period, num_bins, (frames + faded_period) % period)
    faded = weight * _displacement_rows(period, num_bins, frames) + (1 - weight) * end
    angle = 2 * math.pi / faded_period * torch.arange(1, num_bins, dtype=torch.float64)[:, None] * frames
    return torch.cat([torch.cos(angle), -torch.sin(angle)]) @ faded


def transform_bins(matrices: Tensor, coefficients: Tensor) -> Tensor:
    """Multiply matrices [B or 1, n, n] with every pixel's s: bins 1 .. K-1, [B, K - 1, 4, H, W]."""
    batch, num_bins, _, height, width = coefficients.shape
    vectors = _to_device(matrices, coefficients) @ _flatten_bins(coefficients)
    parts = vectors.view(batch, 2, num_bins - 1, 2, height, width)
    return parts.permute(0, 2, 3, 1, 4, 5).reshape(batch, num_bins - 1, 4, height, width)


def transform_volume(volume: SpectralVolume, matrices: Tensor, period: int, description: str) -> SpectralVolume:
    """The volume with transformed bins 1 .. K-1 and period, and bin 0 such that F_0 = 0.

    Args:
        description: for the volume's metadata.
    """
    bins = transform_bins(matrices, volume.coefficients)
    coefficients = torch.cat([torch.zeros_like(bins[:, :1]), bins], 1)
    metadata = {**volume.metadata, "loop_guidance": description}
    return volume.replace(coefficients=coefficients, period=period, metadata=metadata).at_rest()


def describe_change(matrices: Tensor, moments: Tensor) -> str:
    """Relative rms change of motion as text, such as "14 %"; one value per item."""
    difference = matrices - torch.eye(matrices.shape[-1], dtype=torch.float64)
    energy = (difference @ moments @ difference.transpose(1, 2)).diagonal(dim1=1, dim2=2).sum(1)
    return ", ".join(f"{100 * float(change):.0f} %" for change in energy.clamp_min(0).sqrt())


def _penalized_projections(rows: Tensor, variance: Tensor, stiffnesses: Tensor) -> Tensor:
    """I - V A^T (A V A^T + r I)^-1 A for each r = (mean of A V A^T's diagonal) / stiffness: [len, n, n].

    Args:
        rows: A, [m, n].
        variance: the diagonal of V, [n].
    """
    weighted = rows * variance
    eigenvalues, eigenvectors = torch.linalg.eigh(weighted @ rows.T)
    penalty = eigenvalues.mean() / stiffnesses
    right = eigenvectors.T @ rows
    left = (weighted.T @ eigenvectors)[None] / (eigenvalues.clamp_min(0) + penalty[:, None])[:, None]
    return torch.eye(len(variance), dtype=torch.float64) - left @ right


# ---- rows: functions that are linear in s ----


def _displacement_rows(period: int, num_bins: int, times: Tensor) -> Tensor:
    """F minus its mean over time, at some times: float64 [len(times), 2 (K - 1)]."""
    k = torch.arange(1, num_bins, dtype=torch.float64)
    angle = 2 * math.pi / period * times.double()[:, None] * k
    weight = torch.full_like(k, 2 / period)
    if period == 2 * (num_bins - 1):
        weight[-1] /= 2  # the Nyquist bin has no mirror image
    return torch.cat([weight * torch.cos(angle), -weight * torch.sin(angle)], 1)


def _velocity_rows(period: int, num_bins: int, times: Tensor) -> Tensor:
    """F_{t+1} - F_t at some times, in pixels per frame: float64 [len(times), 2 (K - 1)]."""
    return _displacement_rows(period, num_bins, times + 1) - _displacement_rows(period, num_bins, times)


def _constraint_rows(period: int, num_bins: int, constraint: str) -> Tensor:
    """The differences whose absolute values `seam_loss` adds up: float64 [2, 2 (K - 1)]."""

    def displacement(t: int) -> Tensor:
        return _displacement_rows(period, num_bins, torch.tensor([t]))

    def velocity(t: int) -> Tensor:
        return _velocity_rows(period, num_bins, torch.tensor([t]))

    if constraint == "published":
        return torch.cat([displacement(period) - displacement(1), velocity(period - 1) - velocity(1)])
    h = seam_frames(period, num_bins)
    after, before = velocity(h), velocity(-h - 1)
    return torch.cat([displacement(h) - displacement(-h) - h * (after + before), after - before])


def _flatten_bins(coefficients: Tensor) -> Tensor:
    """[B, K, 4, H, W] -> the vectors s as columns, [B, 2 (K - 1), 2 H W]."""
    batch, num_bins = coefficients.shape[:2]
    parts = coefficients[:, 1:].unflatten(2, (2, 2))  # [B, K - 1, axis, part, H, W]
    return parts.permute(0, 3, 1, 2, 4, 5).reshape(batch, 2 * (num_bins - 1), -1)


def _to_device(matrix: Tensor, reference: Tensor) -> Tensor:
    """The matrix in float32 on a tensor's device. Some devices have no float64, so it is converted first."""
    return matrix.float().to(reference.device)
