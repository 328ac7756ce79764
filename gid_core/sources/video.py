"""A video of something swaying in, its spectral volume out (paper sections 3 and 4.1)."""

from __future__ import annotations

import logging
import math
import warnings

import numpy as np
import torch
from torch import Tensor

from ..spectral_volume import DEFAULT_BINS, DEFAULT_PERIOD, DETREND_MODES, SpectralVolume
from ..tensors import fit_size
from .optical_flow import FlowFunction, Progress, trajectories

log = logging.getLogger(__name__)

MIN_FRAMES = 16
# A cut: a frame differs from the one before by this much (0..1) and by this many times the usual difference.
CUT_DIFFERENCE, CUT_RATIO = 0.06, 6.0
# Camera motion, after the paper's supplement: this share of pixels moves by more than this many pixels on average
# (of a 256 px wide picture), or this share of them moves as the median does.
CAMERA_SHARE, CAMERA_MOTION = 0.95, 1.0
COMMON_SHARE, COMMON_MOTION, COMMON_DEVIATION = 0.6, 0.5, 0.35
# A clip is a loop when its last frame leads back to its first by a step like those inside it.
LOOP_STEP_RATIO = 1.5
# Frames through which the line is laid that continues a clip by one frame.
EXTRAPOLATION_FRAMES = 4
# Displacement of less confidence than this is mixed with its surroundings'; their reach is this share of the width.
TRUSTED, FILL_REACH = 0.5, 0.02


def extract_spectral_volume(
    frames: Tensor | np.ndarray,
    fps: float,
    num_bins: int = DEFAULT_BINS,
    detrend: str = "none",
    *,
    period: int = DEFAULT_PERIOD,
    window_seconds: float = 5.0,
    start: int = 0,
    flow: FlowFunction | None = None,
    stabilize: bool = False,
    max_size: int | None = None,
    progress: Progress | None = None,
) -> SpectralVolume:
    """Measure how every pixel of a clip's first frame moves, as a spectral volume (paper section 3, eq. 2).

    The n frames of the window are transformed at their own rate and scaled by period / n: the volume that `period`
    samples spread over the same time would have, for motion slower than half the clip's frame rate. Bin k is
    k / (n / fps) Hz, so the volume's fps is period * fps / n: 30 for five seconds and the default period.

    Args:
        frames: [T, H, W, C], T >= 16, C = 3 or 4 (alpha is dropped), floating point 0..1 or uint8.
        fps: frames a second of the clip, > 0.
        num_bins: K, 1 to period // 2 + 1. Bins above half the clip's own frame rate are zero.
        detrend: "none": as measured (the paper's). "ramp": F_t - (t/n) (F_n - F_0), so that the end meets the
            beginning and a loop has no jerk; F_n comes from the frame after the window, or where the clip ends,
            from continuing it (0 if it is a loop).
        period: T of the volume in samples, >= 2.
        window_seconds: at most this long a stretch is used; a shorter clip is used whole.
        start: first frame of the window; it is the photo that the volume moves.
        flow: your own optical flow, see `flow.trajectories`. Default: tuned DIS.
        stabilize: take the camera's shift (one translation a frame) out first. Otherwise it is warned of.
        max_size: longest side in pixels at which motion is measured; the volume has that size. Default: the clip's.
        progress: called as progress(done, total) once a frame; may raise to cancel.

    Returns:
        A `SpectralVolume` of one photo, frames[start], in pixels of the (possibly reduced) grid.

    Raises:
        ValueError: for frames, numbers or modes outside the ranges above.

    Warns:
        UserWarning: for a cut inside the window (with its frame), or a moving camera.
    """
    pictures = _pictures(frames)
    _check(pictures, fps, num_bins, detrend, period, window_seconds, start, max_size)
    available = len(pictures) - start
    count = min(available, max(MIN_FRAMES, round(window_seconds * fps)))
    followed = detrend == "ramp" and available > count  # is there a frame after the window to end the ramp?
    pictures = _reduce(pictures[start : start + count + followed], max_size)
    _warn_of_cuts(pictures, start)
    if stabilize:
        pictures = _stabilized(pictures)
    path, confidence = trajectories(pictures, flow=flow, progress=progress)
    if not stabilize:
        _warn_of_camera(path)
    end = None
    if detrend == "ramp":
        end = path[count] if followed else continuation(path, pictures)
    return volume_from_trajectories(path[:count], fps, num_bins, end=end, period=period, confidence=confidence)


def volume_from_trajectories(
    path: Tensor,
    fps: float,
    num_bins: int = DEFAULT_BINS,
    *,
    end: Tensor | None = None,
    period: int = DEFAULT_PERIOD,
    confidence: Tensor | None = None,
) -> SpectralVolume:
    """The spectral volume of known trajectories; the second half of `extract_spectral_volume`.

    Args:
        path: float32 [n, 2, H, W], displacements of one window in pixels, path[0] = 0.
        fps: of the trajectories.
        num_bins, period: as in `extract_spectral_volume`.
        end: [2, H, W], the displacement F_n one frame after the window; the line to it is taken off ("ramp").
        confidence: [H, W] in 0..1, to fill what is unreliable.
    """
    count = len(path)
    if end is not None:
        path = path - torch.arange(count)[:, None, None, None] / count * end
    coefficients = window_bins(path, num_bins) * (period / count)
    if confidence is not None:
        coefficients = fill_unreliable(coefficients, confidence)
    metadata = {"source": f"{count} video frames at {fps:g} fps"}
    detrend = "none" if end is None else "ramp"
    return SpectralVolume(coefficients[None], period * fps / count, period, detrend, metadata)


def window_bins(path: Tensor, num_bins: int) -> Tensor:
    """First K bins of the unnormalized temporal DFT, zero from the Nyquist bin on.

    Args:
        path: float32 [n, 2, H, W] displacements.

    Returns:
        float32 [K, 4, H, W], x_re, x_im, y_re, y_im.
    """
    count, _, height, width = path.shape
    known = min(num_bins, (count + 1) // 2)
    angle = 2 * math.pi / count * np.outer(np.arange(known), np.arange(count))
    basis = torch.from_numpy(np.stack([np.cos(angle), -np.sin(angle)], 1).astype(np.float32))
    product = basis.reshape(2 * known, count) @ path.reshape(count, -1)
    bins = torch.zeros(num_bins, 4, height, width)
    bins[:known] = product.view(known, 2, 2, height, width).transpose(1, 2).reshape(known, 4, height, width)
    return bins


def fill_unreliable(coefficients: Tensor, confidence: Tensor) -> Tensor:
    """Replace what flow is not sure of by the confident motion around it, fading out where there is none.

    Normalized convolution (Knutsson and Westin 1993): with c = min(1, confidence / TRUSTED) and a Gaussian mean <.>,
    the result is c S + (1 - c) <c S> / max(<c>, 0.25).

    Args:
        coefficients: float32 [K, 4, H, W]. confidence: float32 [H, W] in 0..1.

    Returns:
        float32 [K, 4, H, W]; unchanged where confidence >= TRUSTED.
    """
    import cv2

    certain = (confidence / TRUSTED).clamp(0, 1).numpy()
    if certain.min() == 1:
        return coefficients
    sigma = max(1.0, FILL_REACH * certain.shape[1])
    weight = np.maximum(cv2.GaussianBlur(certain, (0, 0), sigma), 0.25)
    filled = coefficients.flatten(0, 1).numpy().copy()
    for values in filled:
        around = cv2.GaussianBlur(certain * values, (0, 0), sigma) / weight
        values[:] = certain * values + (1 - certain) * around
    return torch.from_numpy(filled).view_as(coefficients)


def camera_shift(path: Tensor) -> Tensor:
    """The translation that most of the picture shares in each frame, the median: float32 [T, 2] pixels."""
    return path.flatten(2).median(dim=2).values


def _pictures(frames) -> Tensor:
    frames = torch.as_tensor(frames).detach().cpu()
    shape = list(frames.shape)
    if frames.ndim != 4 or 0 in shape:
        raise ValueError(
            f"frames must be [T, H, W, 3] with at least {MIN_FRAMES} frames; got {shape}. Give the "
            "frames of one video clip."
        )
    if shape[-1] not in (3, 4):
        hint = " Repeat gray frames to three channels." if shape[-1] == 1 else " Is the channel axis the last one?"
        raise ValueError(f"frames must have 3 (RGB) or 4 (RGBA) channels, [T, H, W, C]; got {shape}.{hint}")
    if frames.dtype == torch.uint8:
        return frames[..., :3].float() / 255
    if not frames.is_floating_point():
        raise ValueError(f"frames must be floating point in 0..1 or uint8; got {frames.dtype}. Convert the frames.")
    frames = frames[..., :3].float()
    if not bool(torch.isfinite(frames).all()):
        bad = int((~torch.isfinite(frames)).flatten(1).any(1).nonzero()[0])
        raise ValueError(f"frame {bad} holds NaN or infinite values; check the node or file that made the frames.")
    if float(frames.max()) > 4:
        raise ValueError(f"frames must be in 0..1; got values up to {float(frames.max()):g}. Divide them by 255.")
    return frames


def _check(pictures, fps, num_bins, detrend, period, window_seconds, start, max_size) -> None:
    if not (fps > 0 and math.isfinite(fps)):
        raise ValueError(f"fps must be a number > 0, the clip's frames a second; got {fps}.")
    if period < 2:
        raise ValueError(f"period must be at least 2 samples; got {period}.")
    if not 1 <= num_bins <= period // 2 + 1:
        raise ValueError(f"num_bins must be 1 to {period // 2 + 1} for a period of {period} samples; got {num_bins}.")
    if detrend not in DETREND_MODES:
        raise ValueError(f"detrend must be one of {DETREND_MODES}; got {detrend!r}.")
    if not (window_seconds > 0 and math.isfinite(window_seconds)):
        raise ValueError(f"window_seconds must be a number > 0; got {window_seconds}.")
    if not 0 <= start < len(pictures):
        raise ValueError(f"start must be a frame of the clip, 0 to {len(pictures) - 1}; got {start}.")
    if len(pictures) - start < MIN_FRAMES:
        raise ValueError(
            f"A spectral volume needs at least {MIN_FRAMES} frames; got {len(pictures) - start} from "
            f"frame {start} of {len(pictures)}. Give a longer clip or an earlier start."
        )
    if max_size is not None and max_size < 1:
        raise ValueError(f"max_size must be at least 1 pixel, or None; got {max_size}.")


def _reduce(pictures: Tensor, max_size: int | None) -> np.ndarray:
    """The frames with a longest side of at most max_size: float32 [T, H, W, 3]."""
    import cv2

    size = tuple(pictures.shape[1:3])
    reduced = size if max_size is None else fit_size(size, max_size)
    pictures = pictures.contiguous().numpy()
    if reduced == size:
        return pictures
    return np.stack([cv2.resize(p, reduced[::-1], interpolation=cv2.INTER_AREA) for p in pictures])


def _warn_of_cuts(pictures: np.ndarray, start: int) -> None:
    change = _steps(pictures)
    usual = np.median(change)
    for t in np.flatnonzero((change > CUT_DIFFERENCE) & (change > CUT_RATIO * usual)) + 1:
        warnings.warn(
            f"The clip seems to cut to another picture at frame {start + t}. Motion across a cut means nothing: end "
            f"the window before it (window_seconds), or begin at it (start={start + t}).",
            stacklevel=3,
        )


def _warn_of_camera(path: Tensor) -> None:
    """The supplement's test (nearly everything moves), and whether most pixels move exactly together."""
    width = path.shape[-1]
    shift = camera_shift(path)
    motion = path.norm(dim=1).mean(0) * (256 / width)
    common = float(shift.norm(dim=1).mean()) * (256 / width)
    deviation = (path - shift[:, :, None, None]).norm(dim=1).mean(0) * (256 / width)
    together = float((deviation < COMMON_DEVIATION * common).float().mean())
    everything = float((motion > CAMERA_MOTION).float().mean())
    if everything >= CAMERA_SHARE or (common > COMMON_MOTION and together > COMMON_SHARE):
        warnings.warn(
            f"The camera seems to move: {everything:.0%} of the pixels move, {together:.0%} move alike. Use a clip "
            "from a fixed camera, or stabilize=True; or ignore this if everything in the picture sways.",
            stacklevel=3,
        )


def _stabilized(pictures: np.ndarray) -> np.ndarray:
    """The frames shifted back by the translation that most of the picture makes, twice for precision."""
    import cv2

    height, width = pictures.shape[1:3]
    total = np.zeros((len(pictures), 2))
    shifted = pictures
    for _ in range(2):
        total += _coarse_shift(shifted)
        shifted = np.stack(
            [
                cv2.warpAffine(
                    p,
                    np.array([[1, 0, dx], [0, 1, dy]]),
                    (width, height),
                    flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
                    borderMode=cv2.BORDER_REPLICATE,
                )
                for p, (dx, dy) in zip(pictures, total, strict=True)
            ]
        ).clip(0, 1)
    log.info("Took out camera motion of up to %.1f px.", np.linalg.norm(total, axis=1).max())
    return shifted


def _coarse_shift(pictures: np.ndarray) -> np.ndarray:
    from .optical_flow import dis_flow, gray_pictures

    return camera_shift(torch.from_numpy(dis_flow(gray_pictures(pictures)))).numpy()


def continuation(path: Tensor, pictures: np.ndarray) -> Tensor:
    """Displacement one frame after the clip's end, [2, H, W]: 0 in a loop, else on a line through the last frames."""
    if np.abs(pictures[-1] - pictures[0]).mean() <= LOOP_STEP_RATIO * np.median(_steps(pictures)) + 1e-6:
        return torch.zeros_like(path[0])
    last = path[-EXTRAPOLATION_FRAMES:]
    time = torch.arange(len(last), dtype=torch.float32) - (len(last) - 1) / 2
    slope = (time[:, None, None, None] * last).sum(0) / (time**2).sum()
    return last.mean(0) + slope * (len(last) + 1) / 2


def _steps(pictures: np.ndarray) -> np.ndarray:
    """Mean absolute difference between each frame and the next: [T - 1]."""
    return np.array([np.abs(after - before).mean() for before, after in zip(pictures, pictures[1:], strict=False)])
