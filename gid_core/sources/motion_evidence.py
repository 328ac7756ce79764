"""Which pixels of a clip are seen to move. What flow cannot know is filled from what it does, or stays still.

Optical flow gives every pixel a displacement, also on a plain wall, where it is noise. There are three cases:

1. Motion is seen: the pixel changes color by more than the noise of the clip, or by less if its trajectory explains
   the change. The trajectory stays as it is.
2. Stillness is seen: the color stays, although the pixel has texture that would show a motion. It gets exactly 0.
3. Nothing is seen: the color stays and there is no texture, as on a plain wall or inside a plain object. If motion is
   seen nearly all around such an area, and the area can follow it as one piece (an affine motion), it does. Otherwise
   it gets exactly 0.

Beside an outline that moves over a plain wall, the frames do not tell which side is the object. The area that the
motion encloses does, and this is why an area is filled completely or not at all. Ours, not in the paper.
"""

from __future__ import annotations

import numpy as np

from ..tensors import unit_floats

# Evidence is taken from at most this many frames, spaced evenly over the clip.
EVIDENCE_FRAMES = 50
# Gaussian in pixels that blurs frames, so that interpolation between pixels hardly changes their noise; and the
# Gaussian window in pixels over which variances are averaged.
BLUR_SIGMA, WINDOW_SIGMA = 0.8, 1.5
# A color difference (0..1 per channel) counts up to this, so that one occlusion does not outweigh all other frames.
MAX_DIFFERENCE = 0.1
# Standard deviation of colors (sum over RGB, 0..1) from compression, which is added to the noise of the clip.
COMPRESSION_NOISE = 1 / 255
# Motion is seen if the variance of the color over time, or the part of it that the trajectory explains, exceeds these
# multiples of the noise's. Within SEEN_REACH pixels of that, as where a stem meets its root, less needs to be
# explained. Chosen on five real clips and the stems of `benchmarks/bench_extraction.py`: lower ones keep the noise of
# the flow, and higher ones stop the slow ends of stems.
CHANGED, EXPLAINED, BESIDE_EXPLAINED, SEEN_REACH = 5.0, 3.0, 0.25, 8
# Stillness is seen where a motion of this many pixels RMS would change the color by more than the noise.
VISIBLE_MOTION = 0.25
# An area is filled if motion is seen in at least this share of its surroundings, up to this distance in pixels, and if
# an affine motion explains at least this share of the energy of the motion there. In a clip of plain cards on a line,
# areas inside three cards have 0.92 to 0.98 and 0.91 to 0.98; large gaps between shadows or folds of cloth fail in one.
ENCLOSED_SHARE, ENCLOSED_DISTANCE, AFFINE_SHARE = 0.9, 2, 0.8


def keep_seen_motion(
    frames: np.ndarray, trajectories: np.ndarray, confidence: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Keep trajectories where motion is seen, fill the plain inside of moving objects, and stop everything else.

    Args:
        frames: [T, H, W, 3], uint8 or float32 in 0..1.
        trajectories: float32 [T, 2, H, W] in pixels; changed in place, since two of them may not fit in memory.
        confidence: float32 [H, W] in 0..1.

    Returns:
        trajectories: the changed ones; unchanged where motion is seen.
        confidence: float32 [H, W]; 1 where pixels stop, and that of the surroundings where they are filled.
    """
    if not trajectories.any():
        return trajectories, confidence
    moving, textured = motion_evidence(frames, trajectories)
    trajectories[:, :, ~moving] = 0
    kept_confidence = np.where(moving, confidence, 1)
    _fill_enclosed(trajectories, kept_confidence, moving, ~moving & ~textured)
    return trajectories, kept_confidence


def motion_evidence(frames: np.ndarray, trajectories: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where motion is seen, and where stillness would be.

    Args:
        frames: [T, H, W, 3], uint8 or float32 in 0..1.
        trajectories: float32 [T, 2, H, W] in pixels.

    Returns:
        moving: bool [H, W], whether the color changes over time by more than noise (`CHANGED`, `EXPLAINED`).
        textured: bool [H, W], whether the gradients of frame 0 would show a motion of `VISIBLE_MOTION`.
    """
    from ..packages import cv2

    count, _, height, width = trajectories.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    reference = _blur(unit_floats(frames[0]), BLUR_SIGMA)
    fixed, followed = _ColorVariance(reference), _ColorVariance(reference)
    for t in np.unique(np.linspace(0, count - 1, min(EVIDENCE_FRAMES, count)).round().astype(int)):
        frame = _blur(unit_floats(frames[t]), BLUR_SIGMA)
        fixed.add(frame)
        dx, dy = trajectories[t]
        followed.add(cv2.remap(frame, x + dx, y + dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
    noise = float(np.median(followed.noise())) + COMPRESSION_NOISE**2
    changed = _blur(fixed.variance(), WINDOW_SIGMA)
    explained = changed - _blur(followed.variance(), WINDOW_SIGMA)
    energy = np.zeros((height, width), np.float32)
    for axis in (0, 1):
        if reference.shape[axis] > 1:
            energy += np.square(np.gradient(reference, axis=axis)).sum(-1)
    textured = _blur(energy, WINDOW_SIGMA) * (VISIBLE_MOTION**2 / 2) > noise
    moving = ((changed > CHANGED * noise) | (explained > EXPLAINED * noise)).astype(np.uint8)
    weakly = (explained > BESIDE_EXPLAINED * noise) | (moving > 0)
    for _ in range(SEEN_REACH):
        moving = cv2.dilate(moving, np.ones((3, 3), np.uint8)) & weakly
    return moving > 0, textured


class _ColorVariance:
    """The variance of colors over time, summed over RGB, and the part of it that is noise.

    Args:
        reference: float32 [H, W, 3] in 0..1. Colors are compared with it, up to `MAX_DIFFERENCE`.
    """

    def __init__(self, reference: np.ndarray) -> None:
        self.reference = reference
        self.previous = np.zeros_like(reference)
        self.total = np.zeros_like(reference)
        self.squares = np.zeros(reference.shape[:2], np.float32)
        self.steps = np.zeros(reference.shape[:2], np.float32)
        self.count = 0

    def add(self, frame: np.ndarray) -> None:
        difference = (frame - self.reference).clip(-MAX_DIFFERENCE, MAX_DIFFERENCE)
        self.total += difference
        self.squares += np.square(difference).sum(-1)
        self.steps += np.square(difference - self.previous).sum(-1)
        self.previous = difference
        self.count += 1

    def variance(self) -> np.ndarray:
        """float32 [H, W]."""
        return (self.squares - np.square(self.total).sum(-1) / self.count) / self.count

    def noise(self) -> np.ndarray:
        """Half the mean squared step between frames, which is the variance of noise: float32 [H, W]."""
        return self.steps / (2 * max(1, self.count - 1))


def _fill_enclosed(trajectories: np.ndarray, confidence: np.ndarray, moving: np.ndarray, unseen: np.ndarray) -> None:
    """Give areas that one motion encloses that motion, in place.

    Args:
        trajectories: float32 [T, 2, H, W] in pixels.
        confidence: float32 [H, W] in 0..1.
        moving: bool [H, W], where motion is seen.
        unseen: bool [H, W], where nothing is seen. Its connected areas are filled or left.
    """
    from ..packages import cv2

    margin = ENCLOSED_DISTANCE
    kernel = np.ones((2 * margin + 1,) * 2, np.uint8)
    # The frame's border counts as surroundings without motion.
    moving, unseen = np.pad(moving, margin), np.pad(unseen, margin)
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(unseen.astype(np.uint8), connectivity=4)
    for label, (left, top, width, height, _) in enumerate(boxes[1:], 1):
        box = np.s_[top - margin : top + height + margin, left - margin : left + width + margin]
        area = labels[box] == label
        around = (cv2.dilate(area.astype(np.uint8), kernel) > 0) & ~area
        seen = around & moving[box]
        if seen.sum() < ENCLOSED_SHARE * around.sum():
            continue
        offset = np.array([[top - 2 * margin], [left - 2 * margin]])
        y, x = np.argwhere(seen).T + offset
        inside_y, inside_x = np.argwhere(area).T + offset
        center = y.mean(), x.mean()
        motion = trajectories[:, :, y, x].reshape(-1, len(y)).T
        terms = _affine_terms(y, x, center)
        affine = np.linalg.lstsq(terms, motion, rcond=None)[0]
        if np.square(terms @ affine - motion).sum() > (1 - AFFINE_SHARE) * np.square(motion).sum():
            continue
        inside = _affine_terms(inside_y, inside_x, center)
        for t, displacement in enumerate(trajectories):
            displacement[:, inside_y, inside_x] = (inside @ affine[:, 2 * t : 2 * t + 2]).T
        confidence[inside_y, inside_x] = confidence[y, x].mean()


def _affine_terms(y: np.ndarray, x: np.ndarray, center: tuple[float, float]) -> np.ndarray:
    """1, y and x from a center: [N, 3]."""
    return np.stack([np.ones(len(y)), y - center[0], x - center[1]], 1)


def _blur(image: np.ndarray, sigma: float) -> np.ndarray:
    from ..packages import cv2

    return cv2.GaussianBlur(image, (0, 0), sigma)
