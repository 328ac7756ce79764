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

from ..rendering.render import Renderer, motion_importance, splatting
from ..rendering.softmax_splatting import softmax_splat
from ..rendering.warping import FULL_COVERAGE, sample
from ..sources.optical_flow import trajectories
from ..tensors import resize_maps
from . import image_metrics
from .baselines import motion_of_path
from .clip_folder import Clip, center_crop, load_window
from .measures import FRAME_STEP, Networks

SIZE = (160, 256)
Method = Callable[[Tensor, Tensor, Tensor], Tensor]  # photo [1, 3, H, W], flow [n, 2, H, W], importance -> frames


def average_splat(photo: Tensor, flow: Tensor, importance: Tensor) -> Tensor:
    """Splatting in which all pixels weigh alike, holes left black: [n, 3, H, W]."""
    return softmax_splat(photo, flow, torch.zeros_like(importance))[0]


def plain_splat(photo: Tensor, flow: Tensor, importance: Tensor) -> Tensor:
    """Softmax splatting of the colors (Niklaus and Liu 2020); in holes the photo at p - F(p)."""
    frames, coverage = softmax_splat(photo, flow, importance)
    return torch.lerp(frames, sample(photo, flow, "bilinear"), (1 - coverage / FULL_COVERAGE).clamp(min=0))


def remap(photo: Tensor, flow: Tensor, importance: Tensor) -> Tensor:
    """OpenCV's backward warp with the forward flow, as if it were the inverse: I(p - F(p))."""
    import cv2

    picture = photo[0].permute(1, 2, 0).contiguous().numpy()
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]].astype(np.float32)
    frames = [
        cv2.remap(picture, x - f[0], y - f[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for f in flow.numpy()
    ]
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)


def drawn_by(renderer: Renderer) -> Method:
    """What `rendering.render` makes with a renderer."""

    @torch.inference_mode()
    def draw(photo: Tensor, flow: Tensor, importance: Tensor) -> Tensor:
        paint = renderer(photo, importance)
        return torch.cat([paint(part)[0] for part in flow.split(4)])

    return draw


METHODS: dict[str, Method] = {
    "repeat": lambda photo, flow, importance: photo.expand(len(flow), -1, -1, -1),
    "average splat": average_splat,
    "remap": remap,
    "softmax splat": plain_splat,
    "fast": drawn_by(splatting),
}


def evaluate_rendering(
    clips: list[Clip],
    networks: Networks,
    renderer: Renderer | None = None,
    progress: Callable[[str, Clip], None] = lambda method, clip: None,
) -> dict[str, dict[str, float]]:
    """Means over clips of every renderer's agreement with the real frames, every fifth of them.

    Args:
        renderer: a model's rendering network, as one more row, "network".

    Returns:
        {renderer: {"psnr": dB, "ssim": 0..1; if LPIPS's weights are at hand also "lpips": >= 0, "tlpips": temporal
        LPIPS, and "change": LPIPS between a rendered frame and the next}}. Temporal LPIPS (Chu et al. 2020) is how far
        "change" is off that of the real frames.
    """
    lpips = networks.get("lpips")
    methods = METHODS if renderer is None else METHODS | {"network": drawn_by(renderer)}
    rows = {name: [] for name in methods}
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
        frames = center_crop(resize_maps(frames.permute(0, 3, 1, 2), size).permute(0, 2, 3, 1), SIZE).contiguous()
        path = trajectories(frames, confidence=False)[0]
        importance = motion_importance(motion_of_path(path), SIZE)
        chosen, following = (torch.arange(FRAME_STEP, len(frames) - 1, FRAME_STEP) + after for after in (0, 1))
        photo, real, after = (frames[times].permute(0, 3, 1, 2) for times in ([0], chosen, following))
        true_change = lpips(real, after) if lpips else None
        for name, method in methods.items():
            fake = method(photo, path[chosen], importance).clamp(0, 1)
            pair = fake.permute(0, 2, 3, 1), real.permute(0, 2, 3, 1)
            row = {"psnr": image_metrics.psnr(*pair).mean(), "ssim": image_metrics.ssim(*pair).mean()}
            if lpips:
                change = lpips(fake, method(photo, path[following], importance).clamp(0, 1))
                row["lpips"] = lpips(fake, real).mean()
                row["tlpips"] = (change - true_change).abs().mean()
                row["change"] = change.mean()
            rows[name].append({key: float(value) for key, value in row.items()})
    return {
        name: {key: float(np.mean([row[key] for row in found])) for key in found[0]}
        for name, found in rows.items()
        if found
    }
