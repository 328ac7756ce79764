"""Measures of motion that need no trained network: is it as strong, as coherent and where it should be?

Shared conventions
------------------
* One photo at a time: volumes and motions hold a batch of one. A *source* of displacements is a `Motion`, or a
  tensor [frames, 2, H, W] in pixels of its own grid (exact trajectories, say). A `Motion` is evaluated a few frames
  at a time, so memory does not grow with its length. Measures that look only at mean magnitudes also take a map of
  them, [H, W], or a mask of what moves.
* The truth comes first, what is judged second.
* Lengths are reported in pixels of a picture 256 wide, so that results do not depend on resolution: a displacement
  on an H x W grid counts 256 / W.
* A pixel *moves* when its mean displacement over time exceeds `MOVING_PIXELS`.
* Spectra are compared in bins 1 .. K-1 of the true volume. Bin 0 is left out: the others and F_0 = 0 determine it.
* Where a measure is undefined (nothing moves, say), it is NaN, never a flattering number.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..motion import Motion, loop
from ..sources.optical_flow import FlowFunction, trajectories
from ..spectral_volume import SpectralVolume
from ..tensors import resize_flow, resize_maps

# Mean displacement (pixels at 256 wide) beyond which a pixel counts as moving; flow of a still wall stays below.
MOVING_PIXELS = 0.25
# Amplitude (pixels at 256 wide) below which a bin counts as empty: far below what flow can measure or an eye see.
AMPLITUDE_FLOOR = 1e-3
# Bins of volumes whose windows differ by more than this share of their length are at other frequencies.
DURATION_TOLERANCE = 0.25
SEAM_FRAMES = 5
CHUNK_BYTES = 32 * 2**20

# A motion, displacements [frames, 2, H, W], or where only magnitude counts, a map of it [H, W].
Source = Motion | Tensor


# ---- where and how far: maps ----


def mean_magnitude(source: Source, size: tuple[int, int] | None = None) -> Tensor:
    """Mean length of the displacement over time: W(p) = mean_t |F_t(p)|, the paper's motion magnitude.

    A `Motion` is sampled at 48 frames at most (`Motion.magnitude`), a tensor at all of its frames.

    Args:
        source: a motion or displacements [frames, 2, H, W]; or such a map already.
        size: (H', W') of the map; default: the source's grid.

    Returns:
        float32 [H', W'], pixels at 256 wide.
    """
    if isinstance(source, Motion):
        check_single(source.volume)
        magnitude = source.magnitude()[0] * _unit(source.volume.size[1])
    elif source.ndim == 2:
        magnitude = source.float()
    else:
        magnitude = sum(_length(block).sum(0) for block in _blocks(source)) * (_unit(source.shape[-1]) / len(source))
    return magnitude if size is None else resize_maps(magnitude[None, None], size)[0, 0]


def moving_pixels(source: Source, threshold: float = MOVING_PIXELS) -> Tensor:
    """Mask of what moves: mean_t |F_t(p)| > threshold (pixels at 256 wide); a mask stays as it is. bool [H, W]."""
    if isinstance(source, Tensor) and source.dtype == torch.bool:
        return source
    return mean_magnitude(source) > threshold


def moving_auc(true: Source, predicted: Source, threshold: float = MOVING_PIXELS) -> float:
    """Area under the ROC curve of the predicted mean magnitude as a detector of what truly moves.

    AUC = P(m(moving) > m(still)) + P(equal) / 2, computed exactly from mean ranks (Mann and Whitney 1947). It asks
    only for order: doubling all motion changes nothing.

    Args:
        true: what moves, see `moving_pixels`; or a mask, bool [H, W].
        predicted: motion, displacements, or a magnitude map [H', W']; resized to the grid of `true`.
        threshold: which pixels truly move, pixels at 256 wide.

    Returns:
        0..1; 1 is best, 0.5 is chance (a map without variation, too). NaN if all or nothing truly moves.
    """
    moving = moving_pixels(true, threshold=threshold)
    ranks = _ranks(mean_magnitude(predicted, tuple(moving.shape)))
    moving = moving.flatten().cpu().numpy()
    positives, negatives = int(moving.sum()), int((~moving).sum())
    if positives == 0 or negatives == 0:
        return float("nan")
    return float((ranks[moving].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def magnitude_rank_correlation(true: Source, predicted: Source) -> float:
    """Spearman's correlation of two mean magnitudes over pixels: Pearson's correlation of their (mean) ranks.

    Args:
        true, predicted: motions, displacements or magnitude maps; `predicted` is resized to the grid of `true`.

    Returns:
        -1..1; 1 is best, 0 is no relation. NaN if one map is constant.
    """
    truth = mean_magnitude(true)
    a, b = _ranks(truth), _ranks(mean_magnitude(predicted, tuple(truth.shape)))
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / scale) if scale > 0 else float("nan")


def background_leak(true: Source, predicted: Source, threshold: float = MOVING_PIXELS) -> float:
    """Mean predicted |F| where nothing truly moves: pixels at 256 wide, >= 0, less is better. NaN if all moves.

    Args:
        true, predicted, threshold: as in `moving_auc`.
    """
    still = ~moving_pixels(true, threshold=threshold)
    leak = mean_magnitude(predicted, tuple(still.shape))[still]
    return float(leak.cpu().mean(dtype=torch.float64)) if leak.numel() else float("nan")


# ---- spectra ----


def log_spectrum_distance(true: SpectralVolume, predicted: SpectralVolume, moving: Tensor | None = None) -> float:
    """How far two motion spectra differ in strength, bin by bin, phase and place aside.

    d = sqrt(mean_{k, axis} (ln A_k,axis - ln A'_k,axis)^2), with A the rms over the moving pixels of the amplitude
    2 |S_k,axis(p)| / T in pixels at 256 wide, at least `AMPLITUDE_FLOOR`. Motion g times as strong is at |ln g|.

    Args:
        true, predicted: volumes over windows of like length, as `loop` or `playback` plays them; `predicted` is
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
    """Rms amplitude of every bin over the pixels that move in truth.

    Args:
        true: says which pixels move, and which bins and grid are meant.
        volume: what is measured; may be `true` itself.
        moving: as in `log_spectrum_distance`.

    Returns:
        float64 [K - 1, 2], bins 1 .. K-1, x and y, pixels at 256 wide. NaN if nothing moves.
    """
    moving = moving_pixels(loop(true)) if moving is None else moving.bool()
    bins = _amplitudes(_like(volume, true))
    return torch.stack([a[:, moving].square().mean(1).sqrt().cpu() for a in bins]).double()


def amplitude_wasserstein(true: SpectralVolume, predicted: SpectralVolume) -> float:
    """How far apart the distributions of amplitude over pixels are: the mean over bins of `bin_wasserstein`.

    Unlike `log_spectrum_distance` it sees how motion is shared out: few pixels with strong motion are not many with
    weak. Pixels at 256 wide, >= 0; 0 is best.
    """
    return float(bin_wasserstein(true, predicted).mean())


def bin_wasserstein(true: SpectralVolume, predicted: SpectralVolume) -> Tensor:
    """1-Wasserstein distance of the distributions of amplitude over all pixels, for each bin.

    W1 = mean_i |a_(i) - a'_(i)| over sorted amplitudes a(p) = 2 |S_k(p)| / T, |.| over both axes: how far amplitude
    has to be moved, on average, to turn one histogram into the other. Motion g times as strong is at |g - 1| times
    the mean amplitude.

    Args:
        true, predicted: as in `log_spectrum_distance`.

    Returns:
        float64 [K - 1], bins 1 .. K-1 of `true`, pixels at 256 wide; >= 0, 0 is best.
    """
    pairs = zip(_amplitudes(true), _amplitudes(_like(predicted, true)), strict=True)
    histograms = ((_length(a).flatten().sort().values, _length(b).flatten().sort().values) for a, b in pairs)
    return torch.stack([(a - b).abs().mean().cpu().double() for a, b in histograms])


# ---- over time, and when rendered ----


def seam_ratio(source: Source, threshold: float = MOVING_PIXELS) -> float:
    """Does a loop jerk where its end meets its beginning?

    The largest displacement step between successive frames within 5 frames of the seam (the step over the seam and
    5 on either side), over the largest in the rest of the loop; the size of a step is the 99th percentile of
    |F_{t+1} - F_t| over moving pixels.

    Args:
        source: a loop (or what would be one), at least 13 frames: its last frame is followed by its first.
        threshold: which pixels move, in pixels at 256 wide, see `moving_pixels`.

    Returns:
        >= 0; up to about 1 the seam cannot be told from the rest, from about 2 the loop visibly snaps. NaN if
        nothing moves.
    """
    least = 2 * SEAM_FRAMES + 3
    if len(source) < least:
        raise ValueError(f"A seam ratio needs a loop of at least {least} frames; got {len(source)}.")
    moving = moving_pixels(source, threshold=threshold)
    if not moving.any():
        return float("nan")
    sizes = np.concatenate(
        [np.quantile(_length(b)[:, moving].cpu().numpy(), 0.99, axis=1) for b in _blocks(_steps(source))]
    )
    # The step over the seam is the last; turned to the front, its neighbors lie around it.
    near = np.roll(sizes, SEAM_FRAMES + 1)[: 2 * SEAM_FRAMES + 1]
    rest = sizes[SEAM_FRAMES : -SEAM_FRAMES - 1]
    return float(near.max() / rest.max()) if rest.max() > 0 else float("inf")


def reference_error(source: Source, moving: Tensor | None = None) -> float:
    """How far frame 0 is from the photo: sqrt(mean_p |F_0(p)|^2), pixels at 256 wide; >= 0, 0 is best.

    0 by construction for `loop`; give `playback(volume)` to learn what a volume itself says.

    Args:
        source: a motion or displacements. moving: bool [H, W], the pixels to average over; default: all.
    """
    first = _frames(source, 0, 1)
    square = first.cpu().double().square().sum(1)[0][... if moving is None else moving.bool().cpu()]
    return float(square.mean().sqrt() * _unit(first.shape[-1])) if square.numel() else float("nan")


def flow_error(
    frames: Tensor,
    source: Source,
    *,
    photo: Tensor | None = None,
    stride: int = 10,
    moving: Tensor | None = None,
    flow: FlowFunction | None = None,
) -> float:
    """Did the renderer do what it was told? Mean end-point error |F'_t(p) - F_t(p)| of flow F' from the photo to
    rendered frames, against the commanded F; over every stride-th frame and the pixels that stay in the picture.

    Flow has errors of its own, most where surfaces hide each other: compare renderers, not with 0.

    Args:
        frames: [N, H, W, 3], rendered along `source`; frame i is frame i of the source.
        source: commanded displacements, of at least N frames; scaled to the picture's size.
        photo: [H, W, 3], what was rendered; default: frames[0], which it is if the motion has F_0 = 0.
        stride: 1 measures every frame; larger is faster, but very large steps are harder to follow.
        moving: bool [H, W], the pixels to average over; default: all.
        flow: your own estimator, see `flow.trajectories`. Default: tuned DIS, sharpened.

    Returns:
        pixels at 256 wide, >= 0, less is better. NaN if there is no pixel to measure.
    """
    count, height, width = frames.shape[:3]
    if not 1 <= stride < count:
        raise ValueError(f"stride must be 1 to {count - 1} for {count} frames; got {stride}.")
    if len(source) < count:
        raise ValueError(f"The motion has {len(source)} frames, fewer than the {count} that were rendered.")
    photo = frames[0] if photo is None else photo
    measured, _ = trajectories(torch.cat([photo[None], frames[stride::stride]]), flow=flow, confidence=False)
    x, y = torch.arange(width), torch.arange(height)[:, None]
    asked = True if moving is None else moving.bool().cpu()
    errors = []
    for estimate, time in zip(measured[1:], range(stride, count, stride), strict=True):
        commanded = resize_flow(_frames(source, time, time + 1).cpu(), (height, width))[0]
        end_x, end_y = commanded[0] + x, commanded[1] + y
        inside = (end_x >= 0) & (end_x <= width - 1) & (end_y >= 0) & (end_y <= height - 1)
        errors.append(_length(estimate - commanded)[inside & asked])
    errors = torch.cat(errors)
    return float(errors.mean(dtype=torch.float64) * _unit(width)) if errors.numel() else float("nan")


# ---- helpers ----


def _unit(width: int) -> float:
    """Pixels at 256 wide per pixel of a grid."""
    return 256 / width


def _length(vectors: Tensor) -> Tensor:
    """[..., 2, H, W] without its axis of components."""
    return torch.hypot(*vectors.unbind(-3))


def dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum().cpu().double()  # on the device in float32: some have no more


def _ranks(values: Tensor) -> np.ndarray:
    """Ranks from 1 of all values; equal values share the mean of theirs."""
    from scipy.stats import rankdata

    return rankdata(values.flatten().cpu().double().numpy())


def _amplitudes(volume: SpectralVolume) -> Iterator[Tensor]:
    """Amplitude 2 |S_k| / T of bins 1 .. K-1, one at a time: [2, H, W], x and y, pixels at 256 wide."""
    scale = 2 / volume.period * _unit(volume.size[1])
    for slice_ in volume.coefficients[0, 1:]:
        yield torch.hypot(slice_[0::2], slice_[1::2]) * scale


def _like(predicted: SpectralVolume, true: SpectralVolume) -> SpectralVolume:
    """The predicted volume on the grid of the true one, with as many bins: cut off, or filled with zeros."""
    check_single(predicted)
    check_single(true)
    if abs(predicted.duration / true.duration - 1) > DURATION_TOLERANCE:
        raise ValueError(
            f"Bins of windows of {predicted.duration:.2f} s and {true.duration:.2f} s are at other frequencies; "
            "compare volumes over windows of the same length."
        )
    coefficients = predicted.coefficients[:, : true.num_bins]
    coefficients = F.pad(coefficients, (0, 0) * 3 + (0, true.num_bins - coefficients.shape[1]))
    period = max(predicted.period, 2 * (true.num_bins - 1))
    fitted = SpectralVolume(coefficients * (period / predicted.period), period / predicted.duration, period)
    return fitted.resize(true.size)


def _blocks(source: Source) -> Iterator[Tensor]:
    """The displacements, as many frames at a time as fit `CHUNK_BYTES`: [n, 2, H, W] on the source's grid."""
    height, width = source.volume.size if isinstance(source, Motion) else source.shape[-2:]
    chunk = max(1, CHUNK_BYTES // (8 * height * width))
    for start in range(0, len(source), chunk):
        yield _frames(source, start, min(start + chunk, len(source)))


def _frames(source: Source, start: int, stop: int) -> Tensor:
    if isinstance(source, Motion):
        check_single(source.volume)
        return source.displacement(start, stop)[0]
    if source.ndim != 4 or source.shape[1] != 2:
        raise ValueError(f"Displacements must be [frames, 2, H, W]; got {list(source.shape)}.")
    return source[start:stop]


def _steps(source: Source) -> Source:
    """F_{t+1} - F_t, round the loop. Those of a motion are a motion: its coordinates' steps."""
    if isinstance(source, Motion):
        return dataclasses.replace(source, coordinates=source.coordinates.roll(-1, 0) - source.coordinates)
    return source.roll(-1, 0) - source


def check_single(volume: SpectralVolume) -> None:
    if len(volume) != 1:
        raise ValueError(f"Measures take one photo's motion at a time; got a batch of {len(volume)}.")
