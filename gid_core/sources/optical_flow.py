"""Dense trajectories: the displacement of every pixel of a clip's first frame over time (paper section 4.1).

Flow is computed from the first frame to every later frame; unlike chained flow it cannot drift. Four steps:

1. `dis_flow`: OpenCV's DIS optical flow, tuned for thin foliage (its presets lose stems thinner than 12 px).
2. `forward_backward_confidence`: how well flow and backward flow agree, 0..1.
3. `refine_trajectories`: every pixel may take over a neighbor's trajectory, or the static one, if that explains the
   whole clip better. Two frames do not separate a stem from the wall beside it; 150 frames do.
4. `motion_evidence.keep_seen_motion`: where nothing is seen to move, the noise of the flow becomes exactly 0, and the
   plain inside of a moving object follows what is seen around it.

Trajectories are float32 [T, 2, H, W]: (dx, dy) in pixels from frame 0, as stated in `spectral_volume`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count as counter
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..tensors import GuidedFilter, unit_floats
from .motion_evidence import keep_seen_motion

if TYPE_CHECKING:
    from ..packages import cv2

FlowFunction = Callable[[Tensor, Tensor], Tensor]
Progress = Callable[[int, int], None]

# DIS needs at least one 8 x 8 patch and one pyramid level. Smaller frames are padded to this side, in pixels.
MIN_SIDE = 32
# Refinement compares at most this many frames, spaced evenly over the clip.
REFINE_FRAMES = 40
# The backward flow of every 8th frame is checked.
BACKWARD_STEP = 8
# A pixel may take over the trajectory of a neighbor in 8 directions at these distances (pixels), twice.
NEIGHBOR_DISTANCES = (2, 5)
REFINE_ROUNDS = 2
# Guided filter of the costs: radius in pixels, and the color variance (0..1) below which a window counts as flat.
COST_RADIUS = 2
COST_EPSILON = 1e-4
# Color difference (sum of absolute RGB differences, 0..3) above which a pixel counts as occluded, not as mismatched.
MAX_DIFFERENCE = 0.15
# A moving trajectory must beat the static one by this color difference, so that noise does not count as motion.
STATIC_BONUS = 0.001
# Extra cost of a trajectory of confidence 0, as a color difference.
LOW_CONFIDENCE_COST = 0.03
# Confidence is 1/2 where forward and backward flow differ by this many pixels plus this fraction of the displacement.
TOLERANCE_PIXELS, TOLERANCE_FRACTION = 0.5, 0.1
# Frames whose costs are held in memory at the same time.
COST_CHUNK = 8
# Weights of red, green and blue in the brightness (ITU-R BT.601).
LUMA = (0.299, 0.587, 0.114)


def estimate_trajectories(
    frames: Tensor | np.ndarray,
    *,
    flow: FlowFunction | None = None,
    confidence: bool = True,
    progress: Progress | None = None,
) -> tuple[Tensor, Tensor]:
    """Displacement of every pixel of frame 0 in every frame.

    Args:
        frames: [T, H, W, 3], T >= 1, of any size from 1 x 1: floating point in 0..1, or uint8, of which only a few
            frames at a time become floats. Frames too small to hold a pattern (less than about 8 px) give zeros.
        flow: another estimator, such as RAFT. It is called once as flow(reference [H, W, 3], frames [T, H, W, 3]) with
            float32 in 0..1 and returns displacements [T, 2, H, W] in pixels, which are used unchanged. None uses the
            four steps above.
        confidence: also compute the confidence. Without it, or with `flow`, the confidence is 1 everywhere.
        progress: called as progress(done, total) after every frame and every check of a frame; may raise to cancel.

    Returns:
        trajectories: float32 [T, 2, H, W] in pixels; the first is exactly 0.
        confidence: float32 [H, W] in 0..1.

    Raises:
        ValueError: if frames are not [T, H, W, 3], or `flow` returns another shape or values that are not finite.
    """
    tensor = torch.as_tensor(frames).detach().cpu()
    clip = np.ascontiguousarray((tensor if tensor.dtype == torch.uint8 else tensor.float()).numpy())
    if clip.ndim != 4 or clip.shape[-1] != 3 or 0 in clip.shape:
        raise ValueError(f"frames must be [T, H, W, 3] with at least one frame; got {list(clip.shape)}.")
    count, height, width = clip.shape[:3]
    confidence_map = np.ones((height, width), np.float32)
    if flow is not None:
        trajectories = _external_flow(flow, torch.from_numpy(unit_floats(clip)))
        if progress:
            progress(count, count)
    else:
        gray = gray_frames(clip)
        checks = len(_backward_times(count)) if confidence else 0
        advance = _step_counter(progress, count + checks + REFINE_ROUNDS * len(_refine_times(count)))
        trajectories = dis_flow(gray, advance)
        if checks:
            confidence_map = forward_backward_confidence(gray, trajectories, advance)
        trajectories, confidence_map = refine_trajectories(clip, trajectories, confidence_map, advance)
        trajectories, confidence_map = keep_seen_motion(clip, trajectories, confidence_map)
    trajectories[0] = 0
    return torch.from_numpy(trajectories), torch.from_numpy(confidence_map)


def gray_frames(frames: np.ndarray) -> list[np.ndarray]:
    """Brightness of frames [T, H, W, 3], uint8 or float in 0..1, as input for DIS: T arrays, uint8 [H, W]."""
    weights = np.array(LUMA, np.float32)
    return [(unit_floats(frame).clip(0, 1) @ weights * 255 + 0.5).astype(np.uint8) for frame in frames]


def dis_flow(gray: list[np.ndarray], advance: Callable[[], None] = lambda: None) -> np.ndarray:
    """Flow from the first frame to every frame; each estimate starts from the flow of the frame before.

    DISOpticalFlow.calc(I0, I1, flow) reads its initial flow at I1[(int)(p + flow)] after clamping with min/max.
    Both let NaN pass, and (int)NaN is far outside the frame: a segmentation fault. Two inputs cause this in OpenCV 4
    and 5. One is a NaN or infinite initial flow. The other is the initial flow of an *earlier* call: the object
    stores it and uses it when a later call passes none, without checking its size, so that an object used for two
    clips reads beyond the end of the smaller clip's flow. Therefore every clip has its own object, every call gets an
    initial flow (zeros in the first), and every initial flow is made finite and shorter than the frame. Nothing else
    in DIS depends on the values.

    Args:
        gray: T frames, uint8 [H, W], of any size.
        advance: called after every frame.

    Returns:
        float32 [T, 2, H, W] in pixels; the first is 0.
    """
    height, width = gray[0].shape
    first = _pad(gray[0])
    estimator = _create_dis()
    trajectories = np.zeros((len(gray), 2, height, width), np.float32)
    current = np.zeros((*first.shape, 2), np.float32)
    for t, frame in enumerate(gray):
        if t:
            current = _finite_flow(estimator.calc(first, _pad(frame), current))
            trajectories[t] = current[:height, :width].transpose(2, 0, 1)
        advance()
    return trajectories


def refine_trajectories(
    frames: np.ndarray, trajectories: np.ndarray, confidence: np.ndarray, advance: Callable[[], None] = lambda: None
) -> tuple[np.ndarray, np.ndarray]:
    """Give each pixel the trajectory that fits the clip best: its own, a neighbor's or the static one.

    The cost of a trajectory F at pixel p is the truncated color difference |I_t(p + F_t) - I_0(p)|, averaged over
    frames of the clip and then over neighbors of similar color by a guided filter, as in cost-volume filtering (Hosni
    et al. 2013). The labels are whole trajectories, which are exchanged and never blended. This moves motion that
    optical flow spreads around thin objects back to their edges. Trajectories of low confidence cost more. For example,
    if a dark background is covered by a passing flame, flow to the dark pixels beside the flame fits every frame, but
    the backward flow does not lead back.

    Args:
        frames: [T, H, W, 3], uint8 or float32 in 0..1.
        trajectories: float32 [T, 2, H, W] in pixels; changed in place, since two of them may not fit in memory.
        confidence: float32 [H, W] in 0..1.
        advance: called REFINE_ROUNDS times for every compared frame.

    Returns:
        trajectories: the changed ones.
        confidence: float32 [H, W] of the chosen trajectories; 1 for the static one.
    """
    count, _, height, width = trajectories.shape
    times = _refine_times(count)
    if not len(times):
        return trajectories, confidence
    guided_filter = GuidedFilter(list(unit_floats(frames[0]).transpose(2, 0, 1).copy()), COST_RADIUS, COST_EPSILON)
    offsets = [(0, 0)] + [
        (dy * r, dx * r) for r in NEIGHBOR_DISTANCES for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx
    ]
    rows, columns = np.mgrid[0:height, 0:width]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in range(REFINE_ROUNDS):
            costs = _trajectory_costs(frames, trajectories, times, offsets, pool, advance)
            costs[:-1] += LOW_CONFIDENCE_COST * (1 - np.stack(_neighbor_values(confidence, offsets)))
            costs = np.stack(list(pool.map(guided_filter, costs)))
            costs[-1] -= STATIC_BONUS
            best = costs.argmin(0)
            dy, dx = np.array([*offsets, (0, 0)])[best].transpose(2, 0, 1)
            source = np.clip(rows + dy, 0, height - 1) * width + np.clip(columns + dx, 0, width - 1)
            static = best == len(offsets)
            for displacement in trajectories:
                displacement[:] = np.where(static, 0, displacement.reshape(2, -1).take(source, 1))
            confidence = np.where(static, 1, confidence.take(source))
    return trajectories, confidence


def forward_backward_confidence(
    gray: list[np.ndarray], trajectories: np.ndarray, advance: Callable[[], None] = lambda: None
) -> np.ndarray:
    """Confidence of trajectories: the mean score of the checked frames, from the error of flow and backward flow.

    The score is 1 for an error of 0, and 1/2 for an error of 0.5 px plus a tenth of the displacement.

    Args:
        gray: T frames, uint8 [H, W].
        trajectories: float32 [T, 2, H, W] in pixels.
        advance: called after every check.

    Returns:
        float32 [H, W] in 0..1.
    """
    from ..packages import cv2

    height, width = gray[0].shape
    x, y = _pixel_grid(height, width)
    first = _pad(gray[0])
    estimator = _create_dis()
    times = _backward_times(len(gray))
    total = np.zeros((height, width), np.float32)
    for t in times:
        initial = _finite_flow(_pad(-trajectories[t].transpose(1, 2, 0)))
        backward = _finite_flow(estimator.calc(_pad(gray[t]), first, initial))[:height, :width]
        dx, dy = trajectories[t]
        returned = cv2.remap(backward, x + dx, y + dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        error = np.hypot(returned[..., 0] + dx, returned[..., 1] + dy)
        tolerance = TOLERANCE_PIXELS + TOLERANCE_FRACTION * np.hypot(dx, dy)
        total += 1 / (1 + (error / tolerance) ** 2)
        advance()
    return total / len(times)


def _trajectory_costs(
    frames: np.ndarray,
    trajectories: np.ndarray,
    times: np.ndarray,
    offsets: Sequence[tuple[int, int]],
    pool: ThreadPoolExecutor,
    advance: Callable[[], None],
) -> np.ndarray:
    """Mean truncated color difference of each neighbor's trajectory, and last of the static one: [C, H, W]."""
    from ..packages import cv2

    height, width = trajectories.shape[-2:]
    x, y = _pixel_grid(height, width)
    reference = unit_floats(frames[0])

    sum_of_channels = np.ones((1, 3), np.float32)

    def costs_of_frame(t: int) -> np.ndarray:
        image = unit_floats(frames[t])
        dx, dy = (_neighbor_values(component, offsets) for component in trajectories[t])
        warped = (
            cv2.remap(image, x + u, y + v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            for u, v in zip(dx, dy, strict=True)
        )
        costs = np.empty((len(offsets) + 1, height, width), np.float32)
        for cost, frame in zip(costs, (*warped, image), strict=True):
            # OpenCV's functions are several times as fast as NumPy's on three channels, with the same results.
            np.minimum(cv2.transform(cv2.absdiff(frame, reference), sum_of_channels), MAX_DIFFERENCE, out=cost)
        return costs

    total = np.zeros((len(offsets) + 1, height, width), np.float32)
    for start in range(0, len(times), COST_CHUNK):
        for costs in pool.map(costs_of_frame, times[start : start + COST_CHUNK]):
            total += costs
            advance()
    return total / len(times)


def _refine_times(count: int) -> np.ndarray:
    """Indices of the frames that refinement compares, spaced evenly over the clip."""
    return np.unique(np.linspace(1, count - 1, min(REFINE_FRAMES, count - 1)).round().astype(int))


def _backward_times(count: int) -> range:
    """Indices of the frames whose backward flow is checked; none in a clip of one frame."""
    return range(min(BACKWARD_STEP, count - 1), count, BACKWARD_STEP) if count > 1 else range(0)


def _step_counter(progress: Progress | None, total: int) -> Callable[[], None]:
    """A function that reports its number of calls as progress(done, total)."""
    steps = counter(1)
    return (lambda: progress(next(steps), total)) if progress else lambda: None


def _neighbor_values(values: np.ndarray, offsets: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """values[y + dy, x + dx] for each offset (dy, dx); the border is repeated outside."""
    (height, width), margin = values.shape, max(NEIGHBOR_DISTANCES)
    padded = np.pad(values, margin, mode="edge")
    return [padded[margin + dy : margin + dy + height, margin + dx : margin + dx + width] for dy, dx in offsets]


def _create_dis() -> cv2.DISOpticalFlow:
    """DIS with settings that keep thin stems, chosen with `benchmarks/bench_extraction.py`."""
    from ..packages import cv2

    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    estimator.setFinestScale(0)
    estimator.setPatchStride(2)
    estimator.setGradientDescentIterations(4)
    estimator.setVariationalRefinementIterations(10)
    estimator.setVariationalRefinementAlpha(10.0)
    return estimator


def _external_flow(flow: FlowFunction, frames: Tensor) -> np.ndarray:
    """The displacements [T, 2, H, W] of the caller's own estimator, checked."""
    expected = (frames.shape[0], 2, *frames.shape[1:3])
    trajectories = torch.as_tensor(flow(frames[0], frames)).detach().cpu().float().numpy().copy()
    if trajectories.shape != expected:
        raise ValueError(
            f"flow(reference, frames) must return displacements {list(expected)}; got {list(trajectories.shape)}."
        )
    if not np.isfinite(trajectories).all():
        raise ValueError("flow(reference, frames) returned NaN or infinite displacements.")
    return trajectories


def _finite_flow(flow: np.ndarray, limit: float = 1e4) -> np.ndarray:
    """The flow as a contiguous array of finite values in -limit..limit pixels (see `dis_flow`)."""
    return np.ascontiguousarray(np.clip(np.nan_to_num(flow, nan=0.0, posinf=0.0, neginf=0.0), -limit, limit))


def _pad(image: np.ndarray) -> np.ndarray:
    """Repeat the last row and column until each side has MIN_SIDE pixels."""
    missing = [(0, max(0, MIN_SIDE - side)) for side in image.shape[:2]] + [(0, 0)] * (image.ndim - 2)
    return np.ascontiguousarray(np.pad(image, missing, mode="edge"))


def _pixel_grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """(x, y) of every pixel: float32 [H, W] each."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return x, y
