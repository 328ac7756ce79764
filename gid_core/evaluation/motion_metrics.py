"""Motion metrics that need no trained network: strength, place, seam and fidelity of the motion.

Conventions
-----------
* One photo at a time: volumes and motions hold a batch of one. `MotionLike` is a `Motion`, or exact displacements
  [frames, 2, H, W] in pixels of their own grid. A `Motion` is evaluated a few frames at a time, so memory does not grow
  with its length. Metrics that depend only on mean magnitudes also accept a magnitude map [H, W] or a mask of moving
  pixels.
* The ground truth is the first argument, the prediction the second.
* Lengths are in pixels of an image 256 wide, so that results do not depend on resolution: a displacement on an H x W
  grid is multiplied by 256 / W.
* A pixel *moves* when its mean displacement over time exceeds `MOVING_PIXELS`.
* Spectra are compared in bins 1 .. K-1 of the true volume. Bin 0 is left out: the other bins and F_0 = 0 determine it.
* Where a metric is undefined (for example, if nothing moves), it is NaN.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..motion import Motion, loop
from ..sources.optical_flow import FlowFunction, estimate_trajectories
from ..spectral_volume import SpectralVolume
from ..tensors import resize_flow, resize_maps

# Mean displacement (pixels at 256 wide) above which a pixel counts as moving; flow of a static wall stays below.
MOVING_PIXELS = 0.25
# Smallest amplitude (pixels at 256 wide) in log spectra: far below what flow can measure or an eye can see.
AMPLITUDE_FLOOR = 1e-3
# Largest relative difference of two volumes' durations. Beyond it, bins of the same number differ in frequency.
DURATION_TOLERANCE = 0.25
SEAM_FRAMES = 5  # steps on either side of a loop's seam that count as near it
CHUNK_BYTES = 32 * 2**20  # displacements that are evaluated at a time
REFERENCE_WIDTH = 256  # lengths are in pixels of an image this wide

# A motion, displacements [frames, 2, H, W], or, where only magnitude counts, a map of it [H, W].
MotionLike = Motion | Tensor


# ---- magnitude maps ----


def mean_magnitude(motion: MotionLike, size: tuple[int, int] | None = None) -> Tensor:
    """Mean length of the displacement over time: W(p) = mean_t |F_t(p)|, the paper's motion magnitude.

    A `Motion` is sampled at 48 frames at most (`Motion.magnitude`), a tensor at all of its frames.

    Args:
        motion: a motion or displacements [frames, 2, H, W]; a map [H, W] is only resized.
        size: (H', W') of the map; default: the motion's grid.

    Returns:
        float32 [H', W'], pixels at 256 wide.
    """
    if isinstance(motion, Motion):
        check_single_photo(motion.volume)
        magnitude = motion.magnitude()[0] * _pixel_scale(motion.volume.size[1])
    elif motion.ndim == 2:
        magnitude = motion.float()
    else:
        total = torch.zeros(())
        for chunk in _displacement_chunks(motion):
            total = total + _vector_norm(chunk).sum(0)
        magnitude = total * (_pixel_scale(motion.shape[-1]) / len(motion))
    return magnitude if size is None else resize_maps(magnitude[None, None], size)[0, 0]


def moving_pixels(motion: MotionLike, threshold: float = MOVING_PIXELS) -> Tensor:
    """Mask of moving pixels, bool [H, W]: mean_t |F_t(p)| > threshold (pixels at 256 wide); a mask is unchanged."""
    if isinstance(motion, Tensor) and motion.dtype == torch.bool:
        return motion
    return mean_magnitude(motion) > threshold


def moving_auc(true: MotionLike, predicted: MotionLike, threshold: float = MOVING_PIXELS) -> float:
    """Area under the ROC curve of the predicted mean magnitude as a detector of truly moving pixels.

    AUC = P(m(moving) > m(static)) + P(equal) / 2, computed exactly from mean ranks (Mann and Whitney 1947). It depends
    only on the order of magnitudes: doubling all motion changes nothing.

    Args:
        true: what moves, see `moving_pixels`; or a mask, bool [H, W].
        predicted: motion, displacements, or a magnitude map [H', W']; resized to the grid of `true`.
        threshold: which pixels truly move, pixels at 256 wide.

    Returns:
        0..1; 1 is best, 0.5 is chance (also for a constant map). NaN if all or no pixels truly move.
    """
    moving = moving_pixels(true, threshold=threshold)
    ranks = _ranks(mean_magnitude(predicted, _size(moving)))
    is_moving = moving.flatten().cpu().numpy()
    positives, negatives = int(is_moving.sum()), int((~is_moving).sum())
    if positives == 0 or negatives == 0:
        return float("nan")
    return float((ranks[is_moving].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def magnitude_rank_correlation(true: MotionLike, predicted: MotionLike) -> float:
    """Spearman's correlation of two mean magnitudes over pixels: Pearson's correlation of their (mean) ranks.

    Args:
        true, predicted: motions, displacements or magnitude maps; `predicted` is resized to the grid of `true`.

    Returns:
        -1..1; 1 is best, 0 is no relation. NaN if one map is constant.
    """
    true_magnitude = mean_magnitude(true)
    a, b = _ranks(true_magnitude), _ranks(mean_magnitude(predicted, _size(true_magnitude)))
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / scale) if scale > 0 else float("nan")


def background_motion(true: MotionLike, predicted: MotionLike, threshold: float = MOVING_PIXELS) -> float:
    """Mean predicted |F| over pixels that do not truly move: pixels at 256 wide, >= 0, less is better.

    NaN if every pixel moves.

    Args:
        true, predicted, threshold: as in `moving_auc`.
    """
    static = ~moving_pixels(true, threshold=threshold)
    magnitude = mean_magnitude(predicted, _size(static))[static]
    return float(magnitude.cpu().mean(dtype=torch.float64)) if magnitude.numel() else float("nan")


# ---- spectra ----


def log_spectrum_distance(true: SpectralVolume, predicted: SpectralVolume, moving: Tensor | None = None) -> float:
    """Difference in strength of two motion spectra, bin by bin, regardless of phase and place.

    d = sqrt(mean_{k, axis} (ln A_k,axis - ln A'_k,axis)^2), with A the RMS over the moving pixels of the amplitude
    2 |S_k,axis(p)| / T in pixels at 256 wide, at least `AMPLITUDE_FLOOR`. Motion that is g times as strong has the
    distance |ln g|.

    Args:
        true, predicted: volumes over windows of similar length, as `loop` or `playback` plays them; `predicted` is
            resized to the grid of `true`.
        moving: bool [H, W] on the grid of `true`; default: what moves in the loop of `true`.

    Returns:
        >= 0, nepers; 0 is best. NaN if nothing moves.

    Raises:
        ValueError: if a volume holds several photos or the windows differ in length by more than a quarter.
    """
    moving = moving_pixels(loop(true)) if moving is None else moving.bool()
    logs = [amplitude_spectrum(true, volume, moving).clamp(min=AMPLITUDE_FLOOR).log() for volume in (true, predicted)]
    return float((logs[0] - logs[1]).square().mean().sqrt())


def amplitude_spectrum(true: SpectralVolume, volume: SpectralVolume, moving: Tensor | None = None) -> Tensor:
    """RMS amplitude of every bin over the truly moving pixels.

    Args:
        true: defines the moving pixels, the bins and the grid.
        volume: the volume to measure; may be `true` itself.
        moving: as in `log_spectrum_distance`.

    Returns:
        float64 [K - 1, 2], bins 1 .. K-1, x and y, pixels at 256 wide. NaN if nothing moves.
    """
    moving = moving_pixels(loop(true)) if moving is None else moving.bool()
    amplitudes = _amplitudes(_match_bins_and_grid(volume, true))
    return torch.stack([a[:, moving].square().mean(1).sqrt().cpu() for a in amplitudes]).double()


def amplitude_wasserstein(true: SpectralVolume, predicted: SpectralVolume) -> float:
    """Distance of the distributions of amplitude over pixels: the mean over bins of `bin_wasserstein`.

    Unlike `log_spectrum_distance` it depends on how motion is distributed: a few pixels with strong motion differ from
    many with weak motion. Pixels at 256 wide, >= 0; 0 is best.
    """
    return float(bin_wasserstein(true, predicted).mean())


def bin_wasserstein(true: SpectralVolume, predicted: SpectralVolume) -> Tensor:
    """1-Wasserstein distance of the distributions of amplitude over all pixels, for each bin.

    W1 = mean_i |a_(i) - a'_(i)| over sorted amplitudes a(p) = 2 |S_k(p)| / T, |.| over both axes: the mean distance
    by which amplitude must be moved to turn one histogram into the other. Motion that is g times as strong has the
    distance |g - 1| times the mean amplitude.

    Args:
        true, predicted: as in `log_spectrum_distance`.

    Returns:
        float64 [K - 1], bins 1 .. K-1 of `true`, pixels at 256 wide; >= 0, 0 is best.
    """
    pairs = zip(_amplitudes(true), _amplitudes(_match_bins_and_grid(predicted, true)), strict=True)
    sorted_pairs = ([_vector_norm(a).flatten().sort().values for a in pair] for pair in pairs)
    return torch.stack([(a - b).abs().mean().cpu().double() for a, b in sorted_pairs])


# ---- over time, and rendered ----


def seam_ratio(motion: MotionLike, threshold: float = MOVING_PIXELS) -> float:
    """How much faster a loop moves at its seam than elsewhere.

    The largest displacement step between successive frames within 5 frames of the seam (the step over the seam and
    5 on either side), divided by the largest in the rest of the loop. The size of a step is the 99th percentile of
    |F_{t+1} - F_t| over moving pixels.

    Args:
        motion: a loop (or what is to be judged as one), at least 13 frames: its last frame is followed by its first.
        threshold: which pixels move, in pixels at 256 wide, see `moving_pixels`.

    Returns:
        >= 0; up to about 1 the seam cannot be told from the rest, from about 2 the loop visibly snaps. NaN if
        nothing moves.
    """
    min_frames = 2 * SEAM_FRAMES + 3
    if len(motion) < min_frames:
        raise ValueError(f"A seam ratio needs a loop of at least {min_frames} frames; got {len(motion)}.")
    moving = moving_pixels(motion, threshold=threshold)
    if not moving.any():
        return float("nan")
    step_sizes = np.concatenate(
        [
            np.quantile(_vector_norm(chunk)[:, moving].cpu().numpy(), 0.99, axis=1)
            for chunk in _displacement_chunks(_steps(motion))
        ]
    )
    # The step over the seam is the last; rolled to the front, its neighbors lie around it.
    near_seam = np.roll(step_sizes, SEAM_FRAMES + 1)[: 2 * SEAM_FRAMES + 1]
    elsewhere = step_sizes[SEAM_FRAMES : -SEAM_FRAMES - 1]
    return float(near_seam.max() / elsewhere.max()) if elsewhere.max() > 0 else float("inf")


def reference_error(motion: MotionLike, moving: Tensor | None = None) -> float:
    """Distance of frame 0 from the photo: sqrt(mean_p |F_0(p)|^2), pixels at 256 wide; >= 0, 0 is best.

    It is 0 by construction for `loop`; pass `playback(volume)` to measure the volume itself.

    Args:
        motion: a motion or displacements.
        moving: bool [H, W], the pixels to average over; default: all.
    """
    first = _displacement(motion, 0, 1)
    squares = first.cpu().double().square().sum(1)[0][... if moving is None else moving.bool().cpu()]
    return float(squares.mean().sqrt() * _pixel_scale(first.shape[-1])) if squares.numel() else float("nan")


def flow_error(
    frames: Tensor,
    motion: MotionLike,
    *,
    photo: Tensor | None = None,
    stride: int = 10,
    moving: Tensor | None = None,
    flow: FlowFunction | None = None,
) -> float:
    """Mean end-point error |F'_t(p) - F_t(p)| between the flow F' of rendered frames and the F they show.

    F' is the optical flow from the photo to every stride-th frame; the mean is over pixels that stay in the image.
    Optical flow has errors of its own, most at occlusions: compare renderers with each other, not with 0.

    Args:
        frames: [N, H, W, 3], rendered along `motion`; frame i is frame i of the motion.
        motion: the motion that was rendered, of at least N frames; scaled to the image size.
        photo: [H, W, 3], what was rendered; default: frames[0], which it is if the motion has F_0 = 0.
        stride: 1 measures every frame; larger is faster, but very large steps are harder to follow.
        moving: bool [H, W], the pixels to average over; default: all.
        flow: a flow estimator, see `optical_flow.estimate_trajectories`. Default: tuned DIS, sharpened.

    Returns:
        pixels at 256 wide, >= 0, less is better. NaN if there is no pixel to measure.
    """
    count, height, width = frames.shape[:3]
    if not 1 <= stride < count:
        raise ValueError(f"stride must be 1 to {count - 1} for {count} frames; got {stride}.")
    if len(motion) < count:
        raise ValueError(f"The motion has {len(motion)} frames, fewer than the {count} that were rendered.")
    photo = frames[0] if photo is None else photo
    measured, _ = estimate_trajectories(torch.cat([photo[None], frames[stride::stride]]), flow=flow, confidence=False)
    x, y = torch.arange(width), torch.arange(height)[:, None]
    selected = True if moving is None else moving.bool().cpu()
    errors = []
    for estimate, time in zip(measured[1:], range(stride, count, stride), strict=True):
        true_flow = resize_flow(_displacement(motion, time, time + 1).cpu(), (height, width))[0]
        end_x, end_y = true_flow[0] + x, true_flow[1] + y
        inside = (end_x >= 0) & (end_x <= width - 1) & (end_y >= 0) & (end_y <= height - 1)
        errors.append(_vector_norm(estimate - true_flow)[inside & selected])
    all_errors = torch.cat(errors)
    return float(all_errors.mean(dtype=torch.float64) * _pixel_scale(width)) if all_errors.numel() else float("nan")


# ---- helpers ----


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Sum of products in float32, since some devices have no float64; returned as float64 on the CPU."""
    return (a * b).sum().cpu().double()


def check_single_photo(volume: SpectralVolume) -> None:
    """Raise ValueError if the volume holds a batch."""
    if len(volume) != 1:
        raise ValueError(f"Metrics take one photo's motion at a time; got a batch of {len(volume)}.")


def _pixel_scale(width: int) -> float:
    """Pixels at 256 wide per pixel of a grid."""
    return REFERENCE_WIDTH / width


def _size(image: Tensor) -> tuple[int, int]:
    """(H, W) of [..., H, W]."""
    return image.shape[-2], image.shape[-1]


def _vector_norm(vectors: Tensor) -> Tensor:
    """Length of vectors [..., 2, H, W]: [..., H, W]."""
    x, y = vectors.unbind(-3)
    return torch.hypot(x, y)


def _ranks(values: Tensor) -> np.ndarray:
    """Ranks of all values, counted from 1; equal values share the mean of their ranks."""
    from scipy.stats import rankdata

    return rankdata(values.flatten().cpu().double().numpy())


def _amplitudes(volume: SpectralVolume) -> Iterator[Tensor]:
    """Amplitude 2 |S_k| / T of bins 1 .. K-1, one at a time: [2, H, W], x and y, pixels at 256 wide."""
    scale = 2 / volume.period * _pixel_scale(volume.size[1])
    for coefficients in volume.coefficients[0, 1:]:
        yield torch.hypot(coefficients[0::2], coefficients[1::2]) * scale


def _match_bins_and_grid(predicted: SpectralVolume, true: SpectralVolume) -> SpectralVolume:
    """The predicted volume on the grid of the true one, with its number of bins: truncated, or padded with zeros."""
    check_single_photo(predicted)
    check_single_photo(true)
    if abs(predicted.duration / true.duration - 1) > DURATION_TOLERANCE:
        raise ValueError(
            f"Bins of windows of {predicted.duration:.2f} s and {true.duration:.2f} s are at other frequencies; "
            "compare volumes over windows of the same length."
        )
    coefficients = predicted.coefficients[:, : true.num_bins]
    coefficients = F.pad(coefficients, (0, 0) * 3 + (0, true.num_bins - coefficients.shape[1]))
    period = max(predicted.period, 2 * (true.num_bins - 1))
    matched = SpectralVolume(coefficients * (period / predicted.period), period / predicted.duration, period)
    return matched.resize(true.size)


def _displacement_chunks(motion: MotionLike) -> Iterator[Tensor]:
    """The displacements, as many frames at a time as fit `CHUNK_BYTES`: [n, 2, H, W] on the motion's grid."""
    height, width = motion.volume.size if isinstance(motion, Motion) else _size(motion)
    chunk = max(1, CHUNK_BYTES // (8 * height * width))
    for start in range(0, len(motion), chunk):
        yield _displacement(motion, start, min(start + chunk, len(motion)))


def _displacement(motion: MotionLike, start: int, stop: int) -> Tensor:
    """Displacements [stop - start, 2, H, W] of some frames."""
    if isinstance(motion, Motion):
        check_single_photo(motion.volume)
        return motion.displacement(start, stop)[0]
    if motion.ndim != 4 or motion.shape[1] != 2:
        raise ValueError(f"Displacements must be [frames, 2, H, W]; got {list(motion.shape)}.")
    return motion[start:stop]


def _steps(motion: MotionLike) -> MotionLike:
    """F_{t+1} - F_t, cyclically. For a `Motion`, another `Motion`, whose coordinates are the differences."""
    if isinstance(motion, Motion):
        return dataclasses.replace(motion, coordinates=motion.coordinates.roll(-1, 0) - motion.coordinates)
    return motion.roll(-1, 0) - motion
