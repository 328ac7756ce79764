"""Inputs for the tests of the evaluation's networks; their reference values were computed from `waves`."""

import numpy as np
import torch


def waves(frames, height, width):
    """A clip [T, H, W, 3] in 0..1 of waves that move with another speed in every channel."""
    t, y, x = np.meshgrid(np.arange(frames), np.arange(height), np.arange(width), indexing="ij")
    channels = [
        np.sin(0.11 * x + 0.05 * y * (k + 1) + 0.6 * t * (k - 1.5) + k) * np.cos(0.07 * y - 0.13 * k * x + 0.2 * t)
        for k in range(3)
    ]
    return torch.from_numpy((0.5 + 0.5 * np.stack(channels, -1)).astype(np.float32))
