"""Extract the spectral volume of a video of something swaying (paper sections 3 and 4.1)."""

from __future__ import annotations

import logging
import os
from typing import IO

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..media.video_io import WINDOW_SECONDS, clip_windows, read_video
from ..media.video_probe import probe_video
from ..memory import check_fits
from ..notices import warn
from ..spectral_volume import DEFAULT_BINS, DEFAULT_PERIOD, DETREND_MODES, SpectralVolume, temporal_dft
from ..tensors import fit_size, image_batch, to_tensor, unit_floats
from ..validation import MAX_FRAMES, check_callable, check_choice, check_flag, check_integer, check_number, check_rate
from .optical_flow import FlowFunction, Progress, dis_flow, estimate_trajectories, gray_frames

logger = logging.getLogger(__name__)

MIN_FRAMES = 16
MAX_WINDOW_SECONDS = 1e5
# A frame is a cut if its mean absolute difference from the frame before (0..1) exceeds CUT_DIFFERENCE, and also
# CUT_RATIO times the median difference.
CUT_DIFFERENCE, CUT_RATIO = 0.06, 6.0
# The camera moves if at least CAMERA_SHARE of the pixels move by more than CAMERA_MOTION pixels on average (paper's
# supplement; at 256 px width).
CAMERA_SHARE, CAMERA_MOTION = 0.95, 1.0
# It also moves if the median motion exceeds COMMON_MOTION pixels (at 256 px width) and more than COMMON_SHARE of the
# pixels differ from it by less than the fraction COMMON_DEVIATION of it.
COMMON_SHARE, COMMON_DEVIATION, COMMON_MOTION = 0.6, 0.35, 0.5
# The width in pixels at which camera motion is compared.
REFERENCE_WIDTH = 256
# A clip is a loop if the difference from its last to its first frame is at most this multiple of the median
# difference between consecutive frames.
LOOP_STEP_RATIO = 1.5
# The line that extrapolates a clip by one frame is fitted to this many of its last frames.
EXTRAPOLATION_FRAMES = 4
# Motion of a confidence below this is blended with the motion around it. The Gaussian of the blend has this standard
# deviation as a fraction of the width, and its weight is at least MIN_FILL_WEIGHT.
TRUSTED_CONFIDENCE, FILL_SIGMA, MIN_FILL_WEIGHT = 0.5, 0.02, 0.25
# Peak memory of a measurement in bytes per pixel, beside the colors of its frames: whatever their number (measured),
# and of each of them its trajectory and brightness.
SHARED_BYTES, FRAME_BYTES = 1300, 8 + 1
# Rounds of the stabilization: the second one corrects the interpolation errors of the first.
STABILIZE_ROUNDS = 2


def extract_spectral_volume(
    frames: Tensor | np.ndarray,
    fps: float,
    num_bins: int = DEFAULT_BINS,
    *,
    detrend: str = "none",
    period: int = DEFAULT_PERIOD,
    window_seconds: float = WINDOW_SECONDS,
    start: int = 0,
    first_frame: int = 0,
    flow: FlowFunction | None = None,
    stabilize: bool = False,
    max_size: int | None = None,
    progress: Progress | None = None,
) -> SpectralVolume:
    """Measure the motion of every pixel of a clip's first frame as a spectral volume (paper section 3, eq. 2).

    The n frames of the window are transformed at their own frame rate and scaled by period / n. For motion slower
    than half the clip's frame rate this is the volume that `period` samples of the same window would have. Bin k is
    k / (n / fps) Hz, so that the volume's fps is period * fps / n: 30 for five seconds and the default period.

    Args:
        frames: [T, H, W, C], T >= 16, C = 3 or 4 (alpha is dropped), floating point in 0..1, uint8 or uint16. Only
            the window is copied, at the size of the measurement. Of uint8 frames of this size, as `read_window` gives
            them, only a few at a time become floats.
        fps: frames per second of the clip, > 0.
        num_bins: K, 1 to period // 2 + 1. Bins above half the clip's own frame rate are zero.
        detrend: "none" keeps the motion as measured (as in the paper). "ramp" subtracts (t/n) (F_n - F_0), so that
            the end meets the beginning and a loop has no jump. F_n is measured in the frame after the window. At the
            end of the clip it is extrapolated, or 0 if the clip is a loop.
        period: T of the volume in samples, >= 2.
        window_seconds: longest window to use, in seconds; a shorter clip is used completely.
        start: index of the window's first frame, which is the photo that the volume moves.
        first_frame: number of frames[0] in the video, if `frames` are a part of it (`read_window`), for warnings.
        flow: another optical flow, see `estimate_trajectories`. None uses the tuned DIS flow.
        stabilize: first remove the camera's motion (one translation per frame). If False, a moving camera is reported.
        max_size: longest side in pixels at which motion is measured; the volume has that size. None keeps the size of
            the clip.
        progress: called as progress(done, total) once per frame; may raise to cancel.

    Returns:
        A `SpectralVolume` of one photo, frames[start], in pixels of the (possibly reduced) grid.

    Raises:
        ValueError: for frames, numbers or modes outside the ranges above, or if the measurement does not fit into
            memory.

    Warns:
        UserWarning: for a cut inside the window (with its frame), or a moving camera.
    """
    clip = _check_frames(frames)
    fps = check_rate("fps", fps, "the clip's frames per second")
    period = check_integer("period", period, 2, MAX_FRAMES, meaning="samples")
    num_bins = check_integer("num_bins", num_bins, 1, period // 2 + 1, meaning=f"for a period of {period} samples")
    detrend = check_choice("detrend", detrend, DETREND_MODES)
    window_seconds, max_size = _check_window(window_seconds, max_size)
    start = check_integer("start", start, 0, len(clip) - 1, meaning="a frame of the clip")
    stabilize, first_frame = check_flag("stabilize", stabilize), check_integer("first_frame", first_frame, 0)
    flow, progress = check_callable("flow", flow), check_callable("progress", progress)
    available = len(clip) - start
    if available < MIN_FRAMES:
        raise ValueError(
            f"A spectral volume needs at least {MIN_FRAMES} frames; got {available} from frame {start} of {len(clip)}. "
            "Give a longer clip or an earlier start."
        )
    _, count = clip_windows(available, fps, seconds=window_seconds, min_frames=MIN_FRAMES)[0]
    end_is_measured = detrend == "ramp" and available > count  # in the frame after the window
    _check_memory(clip, count + end_is_measured, max_size, stabilize)
    window = _reduce(clip, range(start, start + count + end_is_measured), max_size)
    _warn_of_cuts(window, first_frame + start)
    if stabilize:
        window = _stabilize(window)
    trajectories, confidence = estimate_trajectories(window, flow=flow, progress=progress)
    if not stabilize:
        _warn_of_camera_motion(trajectories)
    end = None
    if detrend == "ramp":
        end = trajectories[count] if end_is_measured else extrapolate_displacement(trajectories, window)
    return volume_from_trajectories(trajectories[:count], fps, num_bins, end=end, period=period, confidence=confidence)


def read_window(
    source: str | os.PathLike | IO[bytes], start: int = 0, seconds: float = WINDOW_SECONDS, max_size: int | None = None
) -> tuple[Tensor, float, Tensor]:
    """Read from a video file what `extract_spectral_volume` needs, at the size at which motion is measured.

    Args:
        source: a path or an open binary file.
        start: index of the window's first frame.
        seconds: longest window to use.
        max_size: longest side of the frames in pixels; None keeps the size of the video.

    Returns:
        frames: uint8 [T, H, W, 3], the window and, if there is one, the frame after it. The window starts at frame 0.
        fps: frames per second in Hz.
        reference: float32 [H', W', 3] in 0..1, the first frame in the full size of the video.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it holds no readable video, fewer than `start` + 1 frames, or numbers are out of range.

    Warns:
        UserWarning: if the file is cut off.
    """
    seconds, max_size = _check_window(seconds, max_size)
    probe = probe_video(source)
    size = None if max_size is None else fit_size(probe.size, max_size)
    reference = read_video(probe, start=start, max_frames=1)[0][0]
    count = clip_windows(len(probe) - start, probe.fps, seconds=seconds, min_frames=MIN_FRAMES)[0][1]
    frames, fps = read_video(probe, start=start, max_frames=count + 1, size=size, dtype=torch.uint8)
    return frames, fps, reference


def volume_from_trajectories(
    trajectories: Tensor,
    fps: float,
    num_bins: int = DEFAULT_BINS,
    *,
    end: Tensor | None = None,
    period: int = DEFAULT_PERIOD,
    confidence: Tensor | None = None,
) -> SpectralVolume:
    """The spectral volume of known trajectories: the second half of `extract_spectral_volume`.

    Args:
        trajectories: float32 [n, 2, H, W], displacements of one window in pixels; the first is 0.
        fps: frames per second of the trajectories.
        num_bins: K, as in `extract_spectral_volume`.
        end: [2, H, W], the displacement F_n one frame after the window; the line to it is subtracted ("ramp").
        period: T, as in `extract_spectral_volume`.
        confidence: [H, W] in 0..1; where it is low, the motion is filled in from its surroundings.
    """
    count = len(trajectories)
    below_nyquist = min(num_bins, (count + 1) // 2)
    slices = temporal_dft(trajectories[None], below_nyquist)[0]
    if end is not None:  # the transform is linear, so that the trajectories need no copy without the line
        line = (torch.arange(count, dtype=torch.float64) / count).view(1, count, 1, 1, 1).expand(-1, -1, 2, -1, -1)
        slices = slices - temporal_dft(line, below_nyquist)[0] * end.repeat_interleave(2, 0)
    coefficients = F.pad(slices, (0, 0, 0, 0, 0, 0, 0, num_bins - below_nyquist)) * (period / count)
    if confidence is not None:
        coefficients = fill_unreliable(coefficients, confidence)
    metadata = {"source": f"{count} video frames at {fps:g} fps"}
    detrend = "none" if end is None else "ramp"
    return SpectralVolume(coefficients[None], period * fps / count, period, detrend, metadata)


def fill_unreliable(coefficients: Tensor, confidence: Tensor) -> Tensor:
    """Replace motion of low confidence by the confident motion around it; it fades to 0 where there is none.

    Normalized convolution (Knutsson and Westin 1993): with c = min(1, confidence / TRUSTED_CONFIDENCE) and a Gaussian
    mean <.>, the result is c S + (1 - c) <c S> / max(<c>, MIN_FILL_WEIGHT).

    Args:
        coefficients: float32 [K, 4, H, W].
        confidence: float32 [H, W] in 0..1.

    Returns:
        float32 [K, 4, H, W]; unchanged where confidence >= TRUSTED_CONFIDENCE.
    """
    from ..packages import cv2

    certainty = (confidence / TRUSTED_CONFIDENCE).clamp(0, 1).numpy()
    if certainty.min() == 1:
        return coefficients
    sigma = max(1.0, FILL_SIGMA * certainty.shape[1])
    weight = np.maximum(cv2.GaussianBlur(certainty, (0, 0), sigma), MIN_FILL_WEIGHT)
    filled = coefficients.flatten(0, 1).numpy().copy()
    for values in filled:
        surroundings = cv2.GaussianBlur(certainty * values, (0, 0), sigma) / weight
        values[:] = certainty * values + (1 - certainty) * surroundings
    return torch.from_numpy(filled).view_as(coefficients)


def camera_shift(trajectories: Tensor) -> Tensor:
    """The camera's translation in each frame, the median over all pixels: float32 [T, 2] in pixels."""
    return trajectories.flatten(2).median(dim=2).values


def extrapolate_displacement(trajectories: Tensor, frames: np.ndarray) -> Tensor:
    """Displacement one frame after the end of a clip: 0 if the clip is a loop, else on a line through its last frames.

    Args:
        trajectories: float32 [T, 2, H, W] in pixels.
        frames: [T, H, W, 3], uint8 or float32 in 0..1.

    Returns:
        float32 [2, H, W] in pixels.
    """
    if _difference(frames[-1], frames[0]) <= LOOP_STEP_RATIO * np.median(_frame_differences(frames)) + 1e-6:
        return torch.zeros_like(trajectories[0])
    last = trajectories[-EXTRAPOLATION_FRAMES:]
    time = torch.arange(len(last), dtype=torch.float32) - (len(last) - 1) / 2
    slope = (time[:, None, None, None] * last).sum(0) / (time**2).sum()
    return last.mean(0) + slope * (len(last) + 1) / 2


def _check_frames(frames: Tensor | np.ndarray) -> Tensor:
    """The frames as a tensor, checked to have four axes. `_reduce` checks colors and values, of the window only."""
    clip = to_tensor(frames, "frames", "[T, H, W, 3]").detach()
    if clip.ndim != 4 or 0 in clip.shape:
        raise ValueError(
            f"frames must be [T, H, W, 3] with at least {MIN_FRAMES} frames; got {list(clip.shape)}. Give the frames "
            "of one video clip."
        )
    return clip


def _check_memory(clip: Tensor, count: int, max_size: int | None, stabilize: bool) -> None:
    """Refuse to measure `count` frames of a clip if that takes more memory than there is."""
    (height, width), is_reduced = _measured_size(clip, max_size)
    copies = is_reduced + 2 * stabilize
    frame_bytes = FRAME_BYTES + copies * 3 * (4 if is_reduced else clip.dtype.itemsize)
    check_fits(
        f"Trajectories of {count} frames of {width} x {height} pixels",
        height * width * (SHARED_BYTES + count * frame_bytes),
        torch.device("cpu"),
        ("measure at a smaller size (max_size)", "measure fewer seconds (window_seconds)"),
    )


def _check_window(seconds: float, max_size: int | None) -> tuple[float, int | None]:
    """`window_seconds` and `max_size` in the types that are computed with."""
    seconds = check_number("window_seconds", seconds, above=0, at_most=MAX_WINDOW_SECONDS)
    return seconds, None if max_size is None else check_integer("max_size", max_size, 1, meaning="pixels, or None")


def _measured_size(clip: Tensor, max_size: int | None) -> tuple[tuple[int, int], bool]:
    """(H, W) at which motion is measured, and whether frames of this size have to be made of the clip's."""
    size = clip.shape[1], clip.shape[2]
    reduced = size if max_size is None else fit_size(size, max_size)
    return reduced, reduced != size or clip.dtype not in (torch.uint8, torch.float32)


def _reduce(frames: Tensor, window: range, max_size: int | None) -> np.ndarray:
    """A window of the frames reduced to a longest side of at most max_size pixels.

    Returns:
        [n, H, W, 3]: uint8 if the frames are so and have this size already, else float32.
    """
    from ..packages import cv2

    reduced, is_reduced = _measured_size(frames, max_size)
    images = (image_batch(frames[t].cpu(), f"frames[{t}]")[0, :3].permute(1, 2, 0) for t in window)
    if not is_reduced:
        for _ in images:  # only checked: the frames need no copy
            pass
        return frames[window.start : window.stop, ..., :3].cpu().contiguous().numpy()
    result = np.empty((len(window), *reduced, 3), np.float32)
    for reduced_image, image in zip(result, images, strict=True):
        array = image.contiguous().numpy()
        if reduced != array.shape[:2]:
            array = cv2.resize(array, reduced[::-1], interpolation=cv2.INTER_AREA)
        reduced_image[:] = array
    return result


def _warn_of_cuts(frames: np.ndarray, start: int) -> None:
    differences = _frame_differences(frames)
    median = np.median(differences)
    for t in np.flatnonzero((differences > CUT_DIFFERENCE) & (differences > CUT_RATIO * median)) + 1:
        warn(
            f"The clip seems to cut to another image at frame {start + t}. Motion across a cut is meaningless: end "
            f"the window before it (window_seconds), or begin at it (start={start + t})."
        )


def _warn_of_camera_motion(trajectories: Tensor) -> None:
    """The supplement's test (nearly all pixels move), and whether most pixels move alike."""
    scale = REFERENCE_WIDTH / trajectories.shape[-1]
    shift = camera_shift(trajectories)
    motion = torch.zeros(trajectories.shape[-2:])
    deviation = torch.zeros_like(motion)
    for displacement, common in zip(trajectories, shift, strict=True):  # one by one, as a clip takes much memory
        motion += torch.hypot(*displacement) * (scale / len(trajectories))
        deviation += torch.hypot(*(displacement - common[:, None, None])) * (scale / len(trajectories))
    common_motion = float(shift.norm(dim=1).mean()) * scale
    common_share = float((deviation < COMMON_DEVIATION * common_motion).float().mean())
    moving_share = float((motion > CAMERA_MOTION).float().mean())
    if moving_share >= CAMERA_SHARE or (common_motion > COMMON_MOTION and common_share > COMMON_SHARE):
        warn(
            f"The camera seems to move: {moving_share:.0%} of the pixels move, {common_share:.0%} move alike. Use a "
            "clip from a fixed camera, or switch stabilization on; or ignore this if everything in the image sways."
        )


def _stabilize(frames: np.ndarray) -> np.ndarray:
    """The frames shifted back by the camera's translation."""
    from ..packages import cv2

    height, width = frames.shape[1:3]
    shift = np.zeros((len(frames), 2))
    stabilized = frames
    for _ in range(STABILIZE_ROUNDS):
        shift += camera_shift(torch.from_numpy(dis_flow(gray_frames(stabilized)))).numpy()
        stabilized = np.empty_like(frames)
        for t, (dx, dy) in enumerate(shift):
            moved = cv2.warpAffine(
                unit_floats(frames[t]),
                np.array([[1, 0, dx], [0, 1, dy]]),
                (width, height),
                flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )
            moved = moved.clip(0, 1)
            stabilized[t] = np.rint(moved * 255) if frames.dtype == np.uint8 else moved
    logger.info("Removed camera motion of up to %.1f px.", np.linalg.norm(shift, axis=1).max())
    return stabilized


def _frame_differences(frames: np.ndarray) -> np.ndarray:
    """The difference between each frame and the next: [T - 1]."""
    return np.array([_difference(before, after) for before, after in zip(frames, frames[1:], strict=False)])


def _difference(before: np.ndarray, after: np.ndarray) -> float:
    """Mean absolute difference between two frames, uint8 or float32, in 0..1."""
    return float(np.abs(unit_floats(after) - unit_floats(before)).mean())
