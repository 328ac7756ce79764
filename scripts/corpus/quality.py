"""How strong the motion is to be, and which samples are not worth training on.

Motions are given in pixels of a picture 256 wide, whatever grid the volume has.
"""

from __future__ import annotations

import numpy as np

from .motion import PERIOD, trajectory

REFERENCE_WIDTH = 256
TARGET = 0.4, 4.0  # px, range of the moving cells' mean motion over samples; log-uniform
STRONGEST = 15.0  # px, of any cell in any frame but for SPECKS
SPECKS = 0.002  # share of the moving cells that may go farther: a leaf's tip right before the lens
GAIN = 0.02, 5.0  # times the motion that the joints' rms angles describe; beyond that small angles are not small
MOVING = 0.08, 0.9  # share of cells
STILL = 0.1  # px root mean square, below which a cell counts as still
BRIGHTNESS = 0.14, 0.8  # mean luminance
CLIPPED = 0.2  # largest share of white pixels, and of black ones


def rms_motion(volume: np.ndarray) -> np.ndarray:
    """Root mean square over a period of |F_t - mean F| [h, w], of a volume complex [h, w, 2, K]."""
    energy = (np.abs(volume[..., 1:]) ** 2).sum((-1, -2)) * (2 / PERIOD**2)
    return np.sqrt(energy) * (REFERENCE_WIDTH / volume.shape[1])


def largest_motion(volume: np.ndarray, every: int = 5) -> float:
    """Largest |F_t| over every n-th frame of all moving cells but SPECKS of them."""
    strong = volume[rms_motion(volume) > 0]  # [n, 2, K]
    if not len(strong):
        return 0.0
    path = trajectory(strong, np.arange(0, PERIOD, every))
    farthest = np.sqrt((path**2).sum(1)).max(-1)
    return float(np.quantile(farthest, 1 - SPECKS, method="lower")) * REFERENCE_WIDTH / volume.shape[1]


def scaled(volume: np.ndarray, target: float) -> np.ndarray:
    """The volume times one factor, such that its moving cells move by `target` px on average (root mean square).

    The factor stays within GAIN, and below what would take a cell farther than STRONGEST.
    """
    rms = rms_motion(volume)
    moving = rms > 0.02 * rms.max()
    if not moving.any():
        return volume
    factor = np.clip(target / rms[moving].mean(), *GAIN)
    return volume * np.float32(min(factor, 0.95 * STRONGEST / max(largest_motion(volume), 1e-6)))


def motion_fault(volume: np.ndarray) -> str:
    """Why a volume complex [h, w, 2, K] is no good, or ""."""
    if not np.isfinite(volume).all():
        return "motion is not finite"
    share = float((rms_motion(volume) > STILL).mean())
    if not MOVING[0] <= share <= MOVING[1]:
        return f"{share:.0%} of the picture moves"
    largest = largest_motion(volume)
    return f"a cell moves {largest:.1f} px" if largest >= STRONGEST else ""


def photo_fault(photo: np.ndarray) -> str:
    """Why a photo uint8 [H, W, 3] is no good, or ""."""
    luminance = photo @ np.array([0.2126, 0.7152, 0.0722]) / 255
    mean = float(luminance.mean())
    if not BRIGHTNESS[0] <= mean <= BRIGHTNESS[1]:
        return f"mean luminance is {mean:.2f}"
    white, black = float((luminance > 0.985).mean()), float((luminance < 0.012).mean())
    return f"{white:.0%} white and {black:.0%} black" if max(white, black) > CLIPPED else ""
