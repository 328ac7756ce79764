"""The evaluation of rendering alone: frames rendered along a clip's own flow, compared with its real frames.

Rows are renderers; columns are PSNR, SSIM and LPIPS. Images are 256 x 160 and flow is estimated. Figures of other
publications are from other clips, so at most the order of rows is comparable with theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..notices import warn
from ..rendering.render import Renderer, fast_splat, motion_importance
from ..rendering.softmax_splatting import softmax_splat
from ..rendering.warping import FULL_COVERAGE, backward_warp
from ..sources.optical_flow import estimate_trajectories
from ..tensors import resize_maps
from . import image_metrics
from .baselines import motion_from_displacements
from .clip_folder import Clip, center_crop, cover_size, load_window
from .clip_measures import FRAME_STEP
from .networks.feature_networks import FeatureFunction, FeatureNetworks

SIZE = (160, 256)  # (H, W) of the compared frames
RENDER_BATCH = 4  # frames that a `Renderer` draws at a time

# photo [1, 3, H, W], displacements [n, 2, H, W], importance [1, 1, H, W] -> frames [n, 3, H, W]
RenderMethod = Callable[[Tensor, Tensor, Tensor], Tensor]


def repeat_photo(photo: Tensor, flow: Tensor, importance: Tensor) -> Tensor:
    """The photo for every frame: [n, 3, H, W]."""
    return photo.expand(len(flow), -1, -1, -1)


def average_splat(photo: Tensor, flow: Tensor, importance: Tensor) -> Tensor:
    """Splatting with equal weights, holes left black: [n, 3, H, W]."""
    return softmax_splat(photo, flow, torch.zeros_like(importance))[0]


def plain_splat(photo: Tensor, flow: Tensor, importance: Tensor) -> Tensor:
    """Softmax splatting of colors (Niklaus and Liu 2020); holes are filled with the photo at p - F(p)."""
    frames, coverage = softmax_splat(photo, flow, importance)
    return torch.lerp(frames, backward_warp(photo, flow, "bilinear"), (1 - coverage / FULL_COVERAGE).clamp(min=0))


def remap(photo: Tensor, flow: Tensor, importance: Tensor) -> Tensor:
    """OpenCV's backward warp with the forward flow in place of its inverse: I(p - F(p))."""
    from ..packages import cv2

    image = photo[0].permute(1, 2, 0).contiguous().numpy()
    y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    frames = [
        cv2.remap(image, x - f[0], y - f[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for f in flow.numpy()
    ]
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)


def render_with(renderer: Renderer) -> RenderMethod:
    """The frames that `rendering.render` makes with a renderer."""

    @torch.inference_mode()
    def render_frames(photo: Tensor, flow: Tensor, importance: Tensor) -> Tensor:
        frame_renderer = renderer(photo, importance)
        return torch.cat([frame_renderer(flow_batch)[0] for flow_batch in flow.split(RENDER_BATCH)])

    return render_frames


METHODS: dict[str, RenderMethod] = {
    "repeat": repeat_photo,
    "average splat": average_splat,
    "remap": remap,
    "softmax splat": plain_splat,
    "fast splat": render_with(fast_splat),
}


def evaluate_rendering(
    clips: Sequence[Clip],
    networks: FeatureNetworks,
    renderer: Renderer | None = None,
    progress: Callable[[str, Clip], None] = lambda method, clip: None,
) -> dict[str, dict[str, float]]:
    """Compare every renderer with the real frames, every fifth of them; means over clips.

    Args:
        clips: an unusable clip is skipped with a warning.
        networks: LPIPS is measured if its weights are available.
        renderer: a model's rendering network, reported as one more row, "network".
        progress: called as progress("rendering", clip) before each clip.

    Returns:
        {renderer: {"psnr": dB, "ssim": 0..1; with LPIPS also "lpips": >= 0, "tlpips": temporal LPIPS, and "change":
        LPIPS between a rendered frame and the next}}. Temporal LPIPS (Chu et al. 2020) is the absolute difference of
        "change" from that of the real frames.
    """
    lpips = networks.get("lpips")
    methods = METHODS if renderer is None else METHODS | {"network": render_with(renderer)}
    clip_rows: dict[str, list[dict[str, float]]] = {name: [] for name in methods}
    for clip in clips:
        progress("rendering", clip)
        try:
            frames = load_window(clip)[0]
        except ValueError as error:
            warn(f"Left out: {error}")
            continue
        for name, row in _compare_clip(frames, methods, lpips).items():
            clip_rows[name].append(row)
    return {
        name: {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
        for name, rows in clip_rows.items()
        if rows
    }


def _compare_clip(
    frames: Tensor, methods: dict[str, RenderMethod], lpips: FeatureFunction | None
) -> dict[str, dict[str, float]]:
    """The metrics of every method on one clip [T, H, W, 3]."""
    # The frames cover 256 x 128; they are scaled again to cover 256 x 160.
    size = cover_size((frames.shape[1], frames.shape[2]), SIZE)
    frames = center_crop(resize_maps(frames.permute(0, 3, 1, 2), size).permute(0, 2, 3, 1), SIZE).contiguous()
    displacements = estimate_trajectories(frames, confidence=False)[0]
    importance = motion_importance(motion_from_displacements(displacements), SIZE)
    times = torch.arange(FRAME_STEP, len(frames) - 1, FRAME_STEP)
    photo, real, real_next = (frames[index].permute(0, 3, 1, 2) for index in ([0], times, times + 1))
    real_change = lpips(real, real_next) if lpips else None
    rows = {}
    for name, method in methods.items():
        rendered = method(photo, displacements[times], importance).clamp(0, 1)
        pair = rendered.permute(0, 2, 3, 1), real.permute(0, 2, 3, 1)
        row = {"psnr": image_metrics.psnr(*pair).mean(), "ssim": image_metrics.ssim(*pair).mean()}
        if lpips is not None and real_change is not None:
            change = lpips(rendered, method(photo, displacements[times + 1], importance).clamp(0, 1))
            row["lpips"] = lpips(rendered, real).mean()
            row["tlpips"] = (change - real_change).abs().mean()
            row["change"] = change.mean()
        rows[name] = {key: float(value) for key, value in row.items()}
    return rows
