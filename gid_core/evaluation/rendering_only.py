"""Rendering alone: the clip's own flow in, its frames to be met. Renderers as rows, PSNR, SSIM and LPIPS as columns.

At 256 x 160 and with estimated flow, so that it can be read beside the one public table of its kind (see the method
notes); the clips differ, so only the order of rows compares.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..flow import trajectories
from ..images import resize_maps
from ..rendering import motion_importance, premultiply, splat_frames
from ..splatting import softmax_splat
from . import image_metrics
from .baselines import motion_of_path
from .clips import Clip, centre_crop, load_window
from .measures import FRAME_STEP, Networks

SIZE = (160, 256)


def average_splat(photo: Tensor, flow: Tensor, importance: Tensor) -> Tensor:
    """Splatting in which all pixels weigh alike, holes left black: [n, 3, H, W]."""
    return softmax_splat(photo, flow, torch.zeros_like(importance))[0]


def softmax_splat_filled(photo: Tensor, flow: Tensor, importance: Tensor) -> Tensor:
    """What `rendering.render` does."""
    return splat_frames(photo, premultiply(photo), flow, importance)[0]


def remap(photo: Tensor, flow: Tensor, importance: Tensor) -> Tensor:
    """OpenCV's backward warp with the forward flow, as if it were the inverse: I(p - F(p))."""
    import cv2

    picture = photo[0].permute(1, 2, 0).contiguous().numpy()
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]].astype(np.float32)
    frames = [
        cv2.remap(picture, x - f[0], y - f[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for f in flow.numpy()
    ]
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)


RENDERERS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "repeat": lambda photo, flow, importance: photo.expand(len(flow), -1, -1, -1),
    "average splat": average_splat,
    "remap": remap,
    "softmax splat": softmax_splat_filled,
}


def evaluate_rendering(
    clips: list[Clip], networks: Networks, progress: Callable[[str, Clip], None] = lambda method, clip: None
) -> dict[str, dict[str, float]]:
    """Means over clips of every renderer's agreement with the real frames, every fifth of them.

    Returns:
        {renderer: {"psnr": dB, "ssim": 0..1, "lpips": >= 0 if its weights are at hand}}.
    """
    lpips = networks.get("lpips")
    rows = {name: [] for name in RENDERERS}
    for clip in clips:
        progress("rendering", clip)
        try:
            frames = load_window(clip)[0]
        except ValueError as error:
            warnings.warn(f"Left out: {error}", stacklevel=2)
            continue
        # Covers 256 x 128; scaled again to cover 256 x 160.
        scale = max(SIZE[0] / frames.shape[1], SIZE[1] / frames.shape[2])
        size = max(SIZE[0], round(frames.shape[1] * scale)), max(SIZE[1], round(frames.shape[2] * scale))
        frames = centre_crop(resize_maps(frames.permute(0, 3, 1, 2), size).permute(0, 2, 3, 1), SIZE).contiguous()
        path = trajectories(frames, confidence=False)[0]
        importance = motion_importance(motion_of_path(path), SIZE)
        photo, real = frames[0].permute(2, 0, 1)[None], frames[FRAME_STEP::FRAME_STEP]
        for name, renderer in RENDERERS.items():
            fake = renderer(photo, path[FRAME_STEP::FRAME_STEP], importance).permute(0, 2, 3, 1).clamp(0, 1)
            row = {"psnr": image_metrics.psnr(fake, real).mean(), "ssim": image_metrics.ssim(fake, real).mean()}
            if lpips:
                row["lpips"] = lpips(fake.permute(0, 3, 1, 2), real.permute(0, 3, 1, 2)).mean()
            rows[name].append({key: float(value) for key, value in row.items()})
    return {
        name: {key: float(np.mean([row[key] for row in found])) for key in found[0]}
        for name, found in rows.items()
        if found
    }
