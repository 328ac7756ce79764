"""Scale of the motion, and criteria by which samples are rejected.

Motion is measured in pixels of an image 256 px wide, independent of the grid of the volume.
"""

from __future__ import annotations

import numpy as np

from .joint_motion import PERIOD, trajectory

REFERENCE_WIDTH = 256
MOTION_RANGE = 0.4, 4.0  # px, range of the moving cells' mean motion; log-uniform over samples
MAX_MOTION = 15.0  # px, of any cell in any frame, except for OUTLIER_SHARE
OUTLIER_SHARE = 0.002  # share of the moving cells that may move farther, such as the tip of a leaf near the lens
GAIN_RANGE = 0.02, 5.0  # factors of the joints' rms angles; larger angles are not small any more
MOVING_SHARE = 0.08, 0.9  # range of the share of moving cells
STATIC_THRESHOLD = 0.1  # px rms, below which a cell counts as static
LUMINANCE_RANGE = 0.14, 0.8  # range of the mean luminance
MAX_CLIPPED_SHARE = 0.2  # maximum share of white pixels, and of black ones


def rms_motion(volume: np.ndarray) -> np.ndarray:
    """Root mean square over a period of |F_t - mean F| [h, w], of a volume complex [h, w, 2, K]."""
    energy = (np.abs(volume[..., 1:]) ** 2).sum((-1, -2)) * (2 / PERIOD**2)
    return np.sqrt(energy) * (REFERENCE_WIDTH / volume.shape[1])


def max_motion(volume: np.ndarray, every: int = 5) -> float:
    """Largest |F_t| over every n-th frame of all moving cells except OUTLIER_SHARE of them."""
    moving = volume[rms_motion(volume) > 0]  # [n, 2, K]
    if not len(moving):
        return 0.0
    path = trajectory(moving, np.arange(0, PERIOD, every))
    distance = np.sqrt((path**2).sum(1)).max(-1)
    return float(np.quantile(distance, 1 - OUTLIER_SHARE, method="lower")) * REFERENCE_WIDTH / volume.shape[1]


def scale_motion(volume: np.ndarray, target: float) -> np.ndarray:
    """Scale a volume by one factor, such that the rms motion of its moving cells is `target` px on average.

    The factor stays within GAIN_RANGE and keeps the motion of all cells below MAX_MOTION.
    """
    rms = rms_motion(volume)
    moving = rms > 0.02 * rms.max()
    if not moving.any():
        return volume
    factor = np.clip(target / rms[moving].mean(), *GAIN_RANGE)
    return volume * np.float32(min(factor, 0.95 * MAX_MOTION / max(max_motion(volume), 1e-6)))


def motion_defect(volume: np.ndarray) -> str:
    """The reason to reject a volume complex [h, w, 2, K], or ""."""
    if not np.isfinite(volume).all():
        return "motion is not finite"
    share = float((rms_motion(volume) > STATIC_THRESHOLD).mean())
    if not MOVING_SHARE[0] <= share <= MOVING_SHARE[1]:
        return f"{share:.0%} of the image moves"
    largest = max_motion(volume)
    return f"a cell moves {largest:.1f} px" if largest >= MAX_MOTION else ""


def photo_defect(photo: np.ndarray) -> str:
    """The reason to reject a photo uint8 [H, W, 3], or ""."""
    luminance = photo @ np.array([0.2126, 0.7152, 0.0722]) / 255
    mean = float(luminance.mean())
    if not LUMINANCE_RANGE[0] <= mean <= LUMINANCE_RANGE[1]:
        return f"mean luminance is {mean:.2f}"
    white, black = float((luminance > 0.985).mean()), float((luminance < 0.012).mean())
    return f"{white:.0%} white and {black:.0%} black" if max(white, black) > MAX_CLIPPED_SHARE else ""
