"""From rendered light to a photo: exposure, tone mapping, color grading, vignette and grain."""

from __future__ import annotations

import numpy as np

LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)


def exposure_factor(light: np.ndarray, key: float) -> float:
    """Factor that brings linear light [H, W, 3] to a middle luminance `key` without overexposing the bright parts."""
    luminance = light @ LUMINANCE
    middle = 0.5 * np.exp(np.log(luminance.clip(1e-3, 50)).mean()) + 0.5 * np.median(luminance)
    return float(min(key / max(middle, 1e-4), 1.6 / max(np.percentile(luminance, 92), 1e-3)))


def tone_map(light: np.ndarray) -> np.ndarray:
    """Tone mapping of linear light to display values 0..1 (Narkowicz's fit of ACES, then the sRGB curve).

    Very bright colors tend toward white, as on film. Otherwise a sunlit yellow petal becomes a flat yellow patch.
    """
    peak = light.max(-1, keepdims=True)
    light = light + (peak - light) * (0.6 * peak / (peak + 3))
    light = 0.6 * light
    value = light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14)
    value = value.clip(0, 1)
    return np.where(value < 0.0031308, 12.92 * value, 1.055 * value ** (1 / 2.4) - 0.055)


def white_balance(light: np.ndarray, strength: float = 0.5) -> np.ndarray:
    """Factors [3] that remove this share of the average tint of the light, as cameras do."""
    mean = np.minimum(light, np.percentile(light, 95)).reshape(-1, 3).mean(0).clip(1e-6)
    return (mean.mean() / mean) ** strength


def develop(light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A photo uint8 [H, W, 3] from linear light [H, W, 3], as a camera with random settings would take it."""
    light = np.nan_to_num(light, nan=0, posinf=50).clip(0, 50)
    light = light * white_balance(light) * rng.uniform([0.94, 1, 0.92], [1.06, 1, 1.06])
    value = tone_map(light * exposure_factor(light, rng.uniform(0.18, 0.34)))
    gray = value @ LUMINANCE
    value = gray[..., None] + (value - gray[..., None]) * rng.uniform(0.85, 1.1)
    height, width = gray.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    value *= (1 - rng.uniform(0, 0.18) * (x**2 + y**2) / 2)[..., None]
    value += rng.normal(0, rng.uniform(0.002, 0.008), gray.shape)[..., None] + rng.normal(0, 0.003, value.shape)
    return (value.clip(0, 1) * 255).round().astype(np.uint8)
