"""Random choices of a scene; all of them draw from the one generator that the scene's seed made."""

from __future__ import annotations

import colorsys

import numpy as np


def pick(rng: np.random.Generator, choices):
    """One of a sequence, each as likely (an item that is listed twice is twice as likely)."""
    return choices[int(rng.integers(len(choices)))]


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def color(rng: np.random.Generator, hue, saturation, value) -> np.ndarray:
    """Linear RGB [3] of an HSV color as screens show it; each argument is a (low, high) range, hue wraps at 1."""
    h, s, v = (rng.uniform(*span) for span in (hue, saturation, value))
    return np.array(colorsys.hsv_to_rgb(h % 1, s, v)) ** 2.2
