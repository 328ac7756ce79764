"""Random choices. All choices of a scene come from one generator, seeded by the scene's seed."""

from __future__ import annotations

import colorsys

import numpy as np


def choose(rng: np.random.Generator, choices):
    """An item of a sequence with uniform probability. Items can be repeated to make them more likely."""
    return choices[int(rng.integers(len(choices)))]


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number in low..high whose logarithm is uniformly distributed."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def random_color(rng: np.random.Generator, hue, saturation, value) -> np.ndarray:
    """Linear RGB [3] of a random HSV color (sRGB); each argument is a range (low, high), hue wraps at 1."""
    h, s, v = (rng.uniform(*span) for span in (hue, saturation, value))
    return np.array(colorsys.hsv_to_rgb(h % 1, s, v)) ** 2.2
