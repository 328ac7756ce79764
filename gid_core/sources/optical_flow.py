"""Dense trajectories: where every pixel of the first frame of a clip goes (paper section 4.1).

Flow runs from the first frame to every later one, which cannot drift as chained flow does. Three steps:

1. `dis_flow`: OpenCV's DIS optical flow, tuned for thin foliage (its presets lose stems thinner than 12 px).
2. `sharpen`: every pixel may trade its trajectory for a neighbor's, or for standing still, if that explains the
   whole clip better. One pair of frames cannot tell a stem from the wall beside it; 150 frames can.
3. `consistency`: how far flow and backward flow agree, a confidence in 0..1.

Trajectories are float32 [T, 2, H, W]: (dx, dy) in pixels from frame 0, as stated in `spectral_volume`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count as counter

import numpy as np
import torch
from torch import Tensor

FlowFunction = Callable[[Tensor, Tensor], Tensor]
Progress = Callable[[int, int], None]

# DIS needs at least one 8 x 8 patch, and a pyramid level; smaller pictures are padded to this.
MIN_SIDE = 32
# Frames that sharpening looks at, spread over the clip, and every how many-th frame is checked backwards.
SHARPEN_FRAMES = 40
BACKWARD_STEP = 8
# Neighbors whose trajectory a pixel may take over: 8 directions at these distances, in two rounds.
NEIGHBOR_DISTANCES = (2, 5)
SHARPEN_ROUNDS = 2
# Color difference (sum of absolute RGB) beyond which a pixel counts as hidden, not as badly matched.
MAX_DIFFERENCE = 0.15
# Standing still wins unless moving explains the clip better by this color difference: noise does not move.
STILL_BONUS = 0.001
# What a trajectory costs, as a color difference, when backward flow never leads home.
DOUBT_COST = 0.03


def trajectories(
    frames: Tensor | np.ndarray,
    *,
    flow: FlowFunction | None = None,
    confidence: bool = True,
    progress: Progress | None = None,
) -> tuple[Tensor, Tensor]:
    """Displacement of every pixel of frame 0 in every frame.

    Args:
        frames: float [T, H, W, 3] in 0..1, T >= 1, any size from 1 x 1. What is too small to hold a pattern (less
            than about 8 px) comes out as zero.
        flow: your own estimator (RAFT, say): called once as flow(reference [H, W, 3], frames [T, H, W, 3]) and
            returns displacements [T, 2, H, W] in pixels, taken as they are. Default: `dis_flow` and `sharpen`.
        confidence: also compute the confidence; otherwise it is 1 everywhere. Always 1 with your own `flow`.
        progress: called as progress(done, total) after every frame and every check of one; may raise to cancel.

    Returns:
        trajectories: float32 [T, 2, H, W]; the first is 0 exactly.
        confidence: float32 [H, W] in 0..1.

    Raises:
        ValueError: if frames are not [T, H, W, 3], or `flow` returns another shape or values that are not finite.
    """
    pictures = np.ascontiguousarray(torch.as_tensor(frames).detach().cpu().float().numpy())
    if pictures.ndim != 4 or pictures.shape[-1] != 3 or 0 in pictures.shape:
        raise ValueError(f"frames must be [T, H, W, 3] with at least one frame; got {list(pictures.shape)}.")
    count, height, width = pictures.shape[:3]
    certain = np.ones((height, width), np.float32)
    if flow is not None:
        path = _own_flow(flow, torch.from_numpy(pictures))
        if progress:
            progress(count, count)
    else:
        gray = gray_pictures(pictures)
        checks = len(_backward_times(count)) if confidence else 0
        tick = _ticker(progress, count + checks + SHARPEN_ROUNDS * len(_sharpen_times(count)))
        path = dis_flow(gray, tick)
        if checks:
            certain = consistency(gray, path, tick)
        path, certain = sharpen(pictures, path, certain, tick)
    path[0] = 0
    return torch.from_numpy(path), torch.from_numpy(certain)


def gray_pictures(frames: np.ndarray) -> list[np.ndarray]:
    """Brightness of float [T, H, W, 3] frames in 0..1, as DIS takes it: T pictures, uint8 [H, W]."""
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    return [(frame.clip(0, 1) @ weights * 255 + 0.5).astype(np.uint8) for frame in frames]


def dis_flow(gray: list[np.ndarray], tick: Callable[[], None] = lambda: None) -> np.ndarray:
    """Flow from the first picture to each, every one starting from the flow before it.

    DISOpticalFlow.calc(I0, I1, flow) reads its initial flow at I1[(int)(p + flow)] after clamping with min/max,
    and both let NaN through: (int)NaN is far outside the picture, a segmentation fault. Two ways lead there in
    OpenCV 4 and 5. A NaN or infinite initial flow; and the initial flow of an *earlier* call: the object keeps it
    and uses it when a later call passes none, without asking for its size, so one object used for two clips reads
    beyond the end of the smaller one's. Hence here: one object for one clip, an initial flow in every call
    (zeros in the first), each made finite and shorter than the picture. Nothing else in it depends on values.

    Args:
        gray: T pictures, uint8 [H, W], any size.
        tick: called after every picture.

    Returns:
        float32 [T, 2, H, W], the first 0.
    """
    height, width = gray[0].shape
    padded = [_pad(picture) for picture in gray]
    estimator = _dis()
    path = np.zeros((len(gray), 2, height, width), np.float32)
    current = np.zeros((*padded[0].shape, 2), np.float32)
    for t, picture in enumerate(padded):
        if t:
            current = estimator.calc(padded[0], picture, _safe_start(current))
            path[t] = current[:height, :width].transpose(2, 0, 1)
        tick()
    return _safe_start(path)


def sharpen(
    frames: np.ndarray, path: np.ndarray, confidence: np.ndarray, tick: Callable[[], None] = lambda: None
) -> tuple[np.ndarray, np.ndarray]:
    """Give each pixel the trajectory, of its own, its neighbors' and none at all, that fits the clip best.

    The cost of a trajectory F at pixel p is the truncated color difference |I_t(p + F_t) - I_0(p)|, averaged over
    frames spread over the clip and then over neighbors of like color by a guided filter, as in cost-volume
    filtering (Hosni et al. 2013), where the labels are here whole trajectories. It takes the motion that flow
    spreads around thin things back to their edges. Only whole trajectories are exchanged, never blended.
    Unconfident trajectories cost more: a dark background's flow that dodges a passing flame fits every frame, but
    does not lead back.

    Args:
        frames: float32 [T, H, W, 3] in 0..1. path: float32 [T, 2, H, W] in pixels. confidence: float32 [H, W] in
            0..1. tick: called SHARPEN_ROUNDS times for every frame looked at.

    Returns:
        trajectories: float32 [T, 2, H, W].
        confidence: float32 [H, W], what was given for each one taken over; 1 for standing still.
    """
    count, _, height, width = path.shape
    times = _sharpen_times(count)
    if not len(times):
        return path, confidence
    guide = GuidedFilter(frames[0])
    offsets = [(0, 0)] + [
        (dy * r, dx * r) for r in NEIGHBOR_DISTANCES for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx
    ]
    rows, columns = np.mgrid[0:height, 0:width]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in range(SHARPEN_ROUNDS):
            costs = _costs(frames, path, times, offsets, pool, tick)
            costs[:-1] += DOUBT_COST * (1 - np.stack(_neighbors(confidence, offsets)))
            costs = np.stack(list(pool.map(guide, costs)))
            costs[-1] -= STILL_BONUS
            best = costs.argmin(0)
            dy, dx = np.array([*offsets, (0, 0)])[best].transpose(2, 0, 1)
            source = np.clip(rows + dy, 0, height - 1), np.clip(columns + dx, 0, width - 1)
            path, confidence = path[:, :, source[0], source[1]], confidence[source]
            still = best == len(offsets)
            path[:, :, still], confidence[still] = 0, 1
    return path, confidence


def consistency(gray: list[np.ndarray], path: np.ndarray, tick: Callable[[], None] = lambda: None) -> np.ndarray:
    """Confidence of trajectories: the share of checked frames from which backward flow leads home.

    A check passes fully if going there and back misses by nothing, and by half at 0.5 px plus a tenth of the way.

    Args:
        gray: T pictures, uint8 [H, W]. path: float32 [T, 2, H, W] in pixels. tick: called after every check.

    Returns:
        float32 [H, W] in 0..1.
    """
    import cv2

    height, width = gray[0].shape
    x, y = _grid(height, width)
    first = _pad(gray[0])
    estimator = _dis()
    times = _backward_times(len(gray))
    total = np.zeros((height, width), np.float32)
    for t in times:
        start = _safe_start(_pad(-path[t].transpose(1, 2, 0)))
        back = _safe_start(estimator.calc(_pad(gray[t]), first, start))[:height, :width]
        dx, dy = path[t]
        home = cv2.remap(back, x + dx, y + dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        miss = np.hypot(home[..., 0] + dx, home[..., 1] + dy)
        tolerance = 0.5 + 0.1 * np.hypot(dx, dy)
        total += 1 / (1 + (miss / tolerance) ** 2)
        tick()
    return total / len(times)


class GuidedFilter:
    """Edge-preserving mean of a map, guided by a color picture (He, Sun and Tang 2010).

    guide: float32 [H, W, 3] in 0..1. radius: of the box windows, pixels. epsilon: variance of the guide below which
    it counts as flat. Calling it filters a float32 [H, W] map.
    """

    def __init__(self, guide: np.ndarray, radius: int = 2, epsilon: float = 1e-4):
        self.radius, self.guide = radius, guide.transpose(2, 0, 1).copy()
        self.mean = np.stack([self._box(channel) for channel in self.guide])
        products = np.stack([[self._box(a * b) for b in self.guide] for a in self.guide])
        covariance = products - self.mean[:, None] * self.mean[None]
        matrices = covariance.transpose(2, 3, 0, 1) + epsilon * np.eye(3, dtype=np.float32)
        self.inverse = np.linalg.inv(matrices).transpose(2, 3, 0, 1)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        mean = self._box(values)
        covariance = np.stack([self._box(channel * values) for channel in self.guide]) - self.mean * mean
        slope = (self.inverse * covariance[None]).sum(1)
        offset = mean - (slope * self.mean).sum(0)
        return sum(self._box(a) * channel for a, channel in zip(slope, self.guide, strict=True)) + self._box(offset)

    def _box(self, values: np.ndarray) -> np.ndarray:
        import cv2

        side = 2 * self.radius + 1
        return cv2.blur(values, (side, side), borderType=cv2.BORDER_REPLICATE)


def _costs(frames, path, times, offsets, pool, tick) -> np.ndarray:
    """Mean truncated color difference of each neighbor's trajectory, and last of standing still: [C, H, W]."""
    import cv2

    height, width = path.shape[-2:]
    x, y = _grid(height, width)
    reference = frames[0]

    def difference(picture):
        return np.minimum(np.abs(picture - reference).sum(-1), MAX_DIFFERENCE)

    def one_frame(t):
        dx, dy = (_neighbors(component, offsets) for component in path[t])
        moved = (
            cv2.remap(frames[t], x + u, y + v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            for u, v in zip(dx, dy, strict=True)
        )
        return np.stack([difference(picture) for picture in (*moved, frames[t])])

    total = np.zeros((len(offsets) + 1, height, width), np.float32)
    for start in range(0, len(times), 8):  # a few at a time: each is a stack of maps
        for costs in pool.map(one_frame, times[start : start + 8]):
            total += costs
            tick()
    return total / len(times)


def _sharpen_times(count: int) -> np.ndarray:
    """Frames that sharpening looks at, spread over the clip."""
    return np.unique(np.linspace(1, count - 1, min(SHARPEN_FRAMES, count - 1)).round().astype(int))


def _backward_times(count: int) -> range:
    """Frames that are checked backwards; none in a clip of one frame."""
    return range(min(BACKWARD_STEP, count - 1), count, BACKWARD_STEP) if count > 1 else range(0)


def _ticker(progress: Progress | None, total: int) -> Callable[[], None]:
    """A function that counts its calls into progress(done, total)."""
    steps = counter(1)
    return (lambda: progress(next(steps), total)) if progress else lambda: None


def _neighbors(values: np.ndarray, offsets: list[tuple[int, int]]) -> list[np.ndarray]:
    """The map as seen from neighbors at (dy, dx): for each, values[y + dy, x + dx], held at the edges."""
    (height, width), reach = values.shape, max(NEIGHBOR_DISTANCES)
    wide = np.pad(values, reach, mode="edge")
    return [wide[reach + dy : reach + dy + height, reach + dx : reach + dx + width] for dy, dx in offsets]


def _dis():
    """DIS with the settings that keep thin stems: method notes, and `benchmarks/bench_extraction.py`."""
    import cv2

    estimator = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    estimator.setFinestScale(0)
    estimator.setPatchStride(2)
    estimator.setGradientDescentIterations(12)
    estimator.setVariationalRefinementIterations(20)
    estimator.setVariationalRefinementAlpha(10.0)
    return estimator


def _own_flow(flow: FlowFunction, frames: Tensor) -> np.ndarray:
    expected = (frames.shape[0], 2, *frames.shape[1:3])
    path = torch.as_tensor(flow(frames[0], frames)).detach().cpu().float().numpy().copy()
    if path.shape != expected:
        raise ValueError(f"flow(reference, frames) must return displacements {list(expected)}; got {list(path.shape)}.")
    if not np.isfinite(path).all():
        raise ValueError("flow(reference, frames) returned NaN or infinite displacements.")
    return path


def _safe_start(flow: np.ndarray, limit: float = 1e4) -> np.ndarray:
    """The flow as a contiguous array, finite and no longer than any picture is wide (see `dis_flow`)."""
    return np.ascontiguousarray(np.clip(np.nan_to_num(flow, nan=0.0, posinf=0.0, neginf=0.0), -limit, limit))


def _pad(picture: np.ndarray) -> np.ndarray:
    """Repeat the last row and column until each side has MIN_SIDE pixels."""
    missing = [(0, max(0, MIN_SIDE - side)) for side in picture.shape[:2]] + [(0, 0)] * (picture.ndim - 2)
    return np.ascontiguousarray(np.pad(picture, missing, mode="edge"))


def _grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return x, y
