"""Image metrics that need no trained network: PSNR, SSIM, coverage and background change. (LPIPS is in `networks`.)"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

# PSNR of equal frames in dB. The error at this value is invisible in 8-bit images, and means over clips stay finite.
MAX_PSNR = 100.0
SSIM_WINDOW = 11  # taps of the Gaussian window
CHUNK_BYTES = 32 * 2**20  # frames that are compared at a time


def psnr(frames: Tensor, true: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each frame: -10 log10 mean((a - b)^2), for values in 0..1.

    Average the decibels over frames; the PSNR of a clip's pooled error is another, lower number.

    Args:
        frames, true: [N, H, W, 3] in 0..1.

    Returns:
        float64 [N] dB, more is better; at most 100 (`MAX_PSNR`), the score of equal frames.

    Raises:
        ValueError: if the shapes differ or are not [N, H, W, 3].
    """
    _check(frames, true)
    error = torch.stack([(a.double() - b.double()).square().mean() for a, b in zip(frames, true, strict=True)])
    return -10 * torch.log10(error.clamp(min=10 ** (-MAX_PSNR / 10)))


def ssim(frames: Tensor, true: Tensor) -> Tensor:
    """Structural similarity of each frame (Wang, Bovik, Sheikh and Simoncelli 2004), computed by kornia.

    The settings are those of the paper and of most tables: Gaussian window of 11 taps, sigma 1.5, k1 = 0.01,
    k2 = 0.03, data range 1; the mean over the three channels and over pixels whose window lies inside the image.

    Args:
        frames, true: [N, H, W, 3] in 0..1, H and W >= 11.

    Returns:
        float64 [N] in -1..1; 1 is best, and only equal frames reach it.

    Raises:
        ValueError: as for `psnr`, or if the images are smaller than the window.
    """
    from kornia.metrics import ssim as ssim_map

    _check(frames, true)
    height, width = frames.shape[1:3]
    if min(height, width) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs images of at least {SSIM_WINDOW} x {SSIM_WINDOW}; got {height} x {width}.")
    chunk = max(1, CHUNK_BYTES // (12 * height * width))
    scores = []
    for batch, true_batch in zip(frames.split(chunk), true.split(chunk), strict=True):
        a, b = (x.float().permute(0, 3, 1, 2).contiguous() for x in (batch, true_batch))
        # eps = 0: c1 and c2 already keep the quotient finite, and equal images then score exactly 1.
        similarity = ssim_map(a, b, SSIM_WINDOW, max_val=1.0, eps=0.0, padding="valid")
        scores.append(similarity.mean((1, 2, 3), dtype=torch.float64))
    return torch.cat(scores)


def coverage_fraction(holes: Tensor) -> float:
    """Share of the rendered pixels that received a source pixel: 1 - mean(holes), 0..1, more is better.

    Args:
        holes: [N, H, W] in 0..1, from `render(..., return_holes=True)`.
    """
    return 1 - float(holes.mean(dtype=torch.float64))


def background_change(frames: Tensor, moving: Tensor, margin: int = 0, reference: Tensor | None = None) -> float:
    """Mean absolute change of color outside the motion: mean_{t, p static} |I_t(p) - I_0(p)|, less is better.

    Args:
        frames: [N, H, W, C] in 0..1, N >= 1.
        moving: bool [H, W], what moves in frame 0.
        margin: dilation of `moving` in pixels: moving objects cover and uncover the pixels beside them.
        reference: I_0, [H, W, C]; default: frames[0].

    Returns:
        0..1; 0 if the background is static. Real clips have sensor noise. NaN if everything moves.
    """
    if frames.shape[1:3] != moving.shape:
        raise ValueError(f"The mask must be the frames' size {list(frames.shape[1:3])}; got {list(moving.shape)}.")
    dilated = F.max_pool2d(moving[None].float(), 2 * margin + 1, stride=1, padding=margin)[0] if margin else moving
    static = ~dilated.bool()
    if not static.any():
        return float("nan")
    background = (frames[0] if reference is None else reference)[static]
    return float(np.mean([float((frame[static] - background).abs().mean()) for frame in frames]))


def _check(frames: Tensor, true: Tensor) -> None:
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.shape != true.shape or 0 in frames.shape:
        raise ValueError(
            f"Frames to compare must both be [N, H, W, 3]; got {list(frames.shape)} and {list(true.shape)}."
        )
