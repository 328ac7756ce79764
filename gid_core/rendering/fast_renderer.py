"""The fast renderer, which needs no network: compiled on the CPU where Numba is installed, else by PyTorch."""

from __future__ import annotations

import inspect

import torch
from torch import Tensor

from .fused_splat import FusedSplat, can_fuse
from .outlines import find_outlines
from .renderer import FrameRenderer, Renderer
from .warping import forward_warp, premultiply, unpremultiply


def fast_splat(photo: Tensor, importance: Tensor) -> FrameRenderer:
    """The fast renderer: `warping.forward_warp` without a network.

    Args:
        photo: [1, C, H, W] in 0..1, C = 3, or 4 with straight alpha.
        importance: [1, 1, H, W], see `render.motion_importance`.
    """
    if can_fuse(photo, importance):
        return FusedSplat(photo, importance, torch_splat)
    return torch_splat(photo, importance)


def torch_splat(photo: Tensor, importance: Tensor) -> FrameRenderer:
    """`fast_splat` by PyTorch's operators, on any device and with gradients; defines what the compiled one computes."""
    features = premultiply(photo)
    outlines = find_outlines(features, importance)

    def render_frames(flow: Tensor) -> tuple[Tensor, Tensor]:
        warped = forward_warp(features, flow, importance, outlines)
        # Static pixels keep the photo's exact values, including the colors of transparent pixels.
        frames = torch.where(warped.static, photo, unpremultiply(warped.blended()))
        return frames.clamp_(0, 1), warped.holes

    return render_frames


def is_fast_splat(renderer: Renderer) -> bool:
    """Whether a renderer is `fast_splat`, or a function that wraps it, or `torch_splat`."""
    return inspect.unwrap(renderer) in (fast_splat, torch_splat)
