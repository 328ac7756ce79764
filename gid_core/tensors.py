"""Helpers on images, masks and maps: validate them, resize them, soften them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def image_batch(image: Tensor | np.ndarray, name: str = "image") -> Tensor:
    """An image or batch of images as float32 [B, C, H, W] in 0..1.

    Args:
        image: [H, W, C] or [B, H, W, C], C = 3 or 4, floating point in 0..1 (any width) or uint8.
        name: what to call the input in an error.

    Raises:
        ValueError: for another shape, an empty one, or values that are not finite.
    """
    tensor = torch.as_tensor(image)
    if tensor.ndim == 3:
        tensor = tensor.unsqueeze(0)
    shape = list(tensor.shape)
    if tensor.ndim != 4 or 0 in shape:
        raise ValueError(f"{name} must be [H, W, C] or [B, H, W, C] with at least one pixel; got {shape}.")
    if shape[-1] not in (3, 4):
        hint = " Repeat a gray picture to three channels." if shape[-1] == 1 else ""
        raise ValueError(f"{name} must have 3 (RGB) or 4 (RGBA) channels; got {shape[-1]}.{hint}")
    tensor = tensor.float() / 255 if tensor.dtype == torch.uint8 else tensor.float()
    if not bool(torch.isfinite(tensor).all()):
        raise ValueError(f"{name} holds NaN or infinite values; check the node or file that made it.")
    return tensor.permute(0, 3, 1, 2)


def mask_batch(mask: Tensor | np.ndarray, batch: int, name: str = "mask") -> Tensor:
    """A mask or batch of masks as float32 [B, H, W] in 0..1, B = 1 or `batch`.

    Raises:
        ValueError: for another shape, another batch, or values that are not finite.
    """
    tensor = torch.as_tensor(mask).float()
    if tensor.ndim == 2:
        tensor = tensor.unsqueeze(0)
    if tensor.ndim != 3 or 0 in tensor.shape:
        raise ValueError(f"{name} must be [H, W] or [B, H, W]; got {list(tensor.shape)}.")
    if tensor.shape[0] not in (1, batch):
        raise ValueError(f"{name} must be one mask or as many as there are pictures ({batch}); got {tensor.shape[0]}.")
    if not bool(torch.isfinite(tensor).all()):
        raise ValueError(f"{name} holds NaN or infinite values; check the node or file that made it.")
    return tensor.clamp(0, 1)


def feather_mask(mask: Tensor, feather: float) -> Tensor:
    """Soften the edges of masks inwards: black pixels stay 0, white ones rise over `feather` pixels.

    Args:
        mask: float [B, H, W] in 0..1.
        feather: width of the rise in pixels, >= 0.
    """
    if feather < 0:
        raise ValueError(f"feather must be >= 0 pixels; got {feather}.")
    if feather == 0:
        return mask
    import cv2

    inside = (mask > 0).to(torch.uint8).cpu().numpy()
    distance = np.stack([cv2.distanceTransform(m, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for m in inside])
    rise = torch.from_numpy(distance).to(mask).div(feather).clamp(0, 1)
    return mask * rise * rise * (3 - 2 * rise)


def fit_size(size: Sequence[int], max_size: int) -> tuple[int, int]:
    """(H, W) reduced, if it is larger, to a longest side of `max_size` pixels; the proportions stay."""
    factor = min(1.0, max_size / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def resize_maps(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Resize [N, C, H, W] maps to (H', W'): bilinear, averaging when it shrinks. Values are not rescaled."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    shrinks = size[0] < maps.shape[-2] or size[1] < maps.shape[-1]
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False, antialias=shrinks)


def resize_flow(flow: Tensor, size: Sequence[int]) -> Tensor:
    """Displacements [N, 2, h, w] in their own pixels on an (H, W) grid, in its pixels: [N, 2, H, W]."""
    ratio = flow.new_tensor([size[1] / flow.shape[-1], size[0] / flow.shape[-2]])
    return resize_maps(flow, size) * ratio.view(1, 2, 1, 1)


def resize_mask(mask: Tensor, size: Sequence[int]) -> Tensor:
    """Resize masks [B, H, W] to [B, 1, H', W'], smoothly, but so that black pixels stay black to their edge."""
    soft = resize_maps(mask.unsqueeze(1), size)
    return soft * (F.interpolate(mask.unsqueeze(1), size=tuple(size), mode="nearest-exact") > 0)
