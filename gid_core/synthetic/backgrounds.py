"""Static backgrounds of synthetic scenes."""

from __future__ import annotations

import numpy as np

from ..packages import cv2
from .painting import TILE_SIZE, sample_noise

BACKGROUNDS = ("foliage", "sky", "wall", "field")
TEXELS_PER_HEIGHT = 160.0  # noise texels per image height, so backgrounds look the same at every size
BOKEH_DISCS = 40
FINE_NOISE = {"sky": 0.008, "foliage": 0.02}  # relative amplitude; 0.045 for other styles


def paint_background(rng: np.random.Generator, size: tuple[int, int], style: str) -> np.ndarray:
    """A static background float32 [H, W, 3] in 0..1.

    Args:
        rng: draws everything random.
        size: (H, W).
        style: one of BACKGROUNDS; "foliage" is out of focus.
    """
    h, w = size
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    v = (y / h)[..., None]
    offset_x, offset_y = rng.uniform(0, TILE_SIZE, 2)
    scale = TEXELS_PER_HEIGHT / h
    cloud = sample_noise("cloud", offset_x + scale * x, offset_y + scale * y)[..., None]
    blotch = sample_noise("blotch", offset_y + 2 * scale * x, offset_x + 2 * scale * y)[..., None]
    if style == "foliage":
        dark, bright = np.array([0.07, 0.12, 0.05]), np.array([0.5, 0.58, 0.3]) * rng.uniform(0.7, 1.2, 3)
        level = np.clip(0.38 + 0.15 * cloud + 0.12 * blotch, 0, 1)
        image = _add_bokeh(rng, (dark + level * (bright - dark)).astype(np.float32), bright)
    elif style == "sky":
        top, bottom = np.array([0.25, 0.45, 0.75]) * rng.uniform(0.8, 1.15, 3), np.array([0.75, 0.82, 0.88])
        cloud_alpha = np.clip(0.3 * cloud + 0.06 * blotch + rng.uniform(-0.2, 0.3), 0, 0.9)
        image = top + v * (bottom - top)
        image = image + cloud_alpha * (np.array([0.96, 0.95, 0.93]) - image)
    elif style == "wall":
        color = np.array([0.62, 0.56, 0.48]) * rng.uniform(0.6, 1.2) * rng.uniform(0.85, 1.15, 3)
        brick, row = rng.uniform(16, 30) / scale, rng.uniform(7, 12) / scale
        shift = (np.floor(y / row) % 2) * 0.5
        distance = np.minimum(np.abs((x / brick + shift) % 1 - 0.5) * brick, np.abs((y / row) % 1 - 0.5) * row)
        mortar = np.exp(-((distance / 1.1) ** 2))[..., None] * rng.choice([0, 0.2])
        shade = 1 + 0.06 * cloud + 0.05 * blotch + 0.25 * rng.uniform(-1, 1) * (x / w - 0.5)[..., None]
        image = color * (shade - mortar)
    else:
        far, near = np.array([0.6, 0.66, 0.66]), np.array([0.34, 0.38, 0.16]) * rng.uniform(0.7, 1.3, 3)
        mean_horizon = rng.uniform(0.25, 0.5)
        horizon = mean_horizon + 0.03 * sample_noise("cloud", offset_x + scale * x, 0 * y + offset_y)[..., None]
        ground = 1 / (1 + np.exp(-(v - horizon) * 60))
        rows = sample_noise("grain", offset_x + scale * x, offset_y + 3 * scale * y)[..., None]
        sky = np.array([0.7, 0.8, 0.9]) * (0.85 + 0.2 * v) + 0.04 * cloud
        nearness = np.clip((v - horizon) * 2.5, 0, 1)
        image = sky + ground * ((far + nearness * (near - far)) * (0.9 + 0.12 * rows + 0.1 * cloud) - sky)
    fine = sample_noise("grain", offset_x + x, offset_y + y)[..., None]
    image = image * (1 + FINE_NOISE.get(style, 0.045) * fine)
    vignette = 1 - 0.18 * (((x / w - 0.5) ** 2 + (y / h - 0.5) ** 2) * 2)[..., None]
    return np.clip(image * vignette, 0, 1).astype(np.float32)


def _add_bokeh(rng: np.random.Generator, image: np.ndarray, color: np.ndarray) -> np.ndarray:
    """Add out-of-focus discs of light."""
    h, w = image.shape[:2]
    discs = np.zeros_like(image)
    for _ in range(BOKEH_DISCS):
        disc = np.zeros_like(image)
        center = (int(rng.uniform(0, w)), int(rng.uniform(0, h)))
        tone = color * rng.uniform(0.1, 0.5) * rng.uniform(0.8, 1.2, 3)
        cv2.circle(disc, center, int(h * rng.uniform(0.02, 0.07)), tuple(map(float, tone)), -1)
        discs += disc
    return image + cv2.GaussianBlur(discs, (0, 0), 0.012 * h + 0.3)
