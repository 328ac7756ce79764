"""Operations on images, masks and maps that the whole library shares: validate, resize, transform and filter them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor

from .validation import check_number, describe, refuse

# Functions of this type work alike on NumPy arrays and on tensors.
Maps = TypeVar("Maps", np.ndarray, Tensor)
BoxMean = Callable[[Maps, int], Maps]

# Integers by which images and masks are divided.
INTEGER_SCALES = {torch.uint8: 255, torch.uint16: 65535}
# Images and masks beyond this are not in 0..1 but in another range; less is what filters add at edges.
MAX_VALUE = 4.0


def image_batch(image: Tensor | np.ndarray, name: str = "image") -> Tensor:
    """An image or batch of images as float32 [B, C, H, W] in 0..1.

    Args:
        image: [H, W, C] or [B, H, W, C], C = 3 or 4: floating point in 0..1 (any width), uint8 in 0..255 or uint16 in
            0..65535. Values a little outside 0..1, as filters make them, are kept.
        name: what to call the input in an error.

    Raises:
        ValueError: for another shape or type, an empty one, values that are not finite, or a wider range.
    """
    tensor = to_tensor(image, name, "[H, W, C] or [B, H, W, C]")
    if tensor.ndim == 3:
        tensor = tensor.unsqueeze(0)
    shape = list(tensor.shape)
    if tensor.ndim != 4 or 0 in shape:
        raise ValueError(f"{name} must be [H, W, C] or [B, H, W, C] with at least one pixel; got {shape}.")
    if shape[-1] not in (3, 4):
        hint = " Repeat a gray image to three channels." if shape[-1] == 1 else " Is the channel axis the last one?"
        raise ValueError(f"{name} must have 3 (RGB) or 4 (RGBA) channels; got {shape[-1]}.{hint}")
    if not tensor.is_floating_point() and tensor.dtype not in INTEGER_SCALES:
        allowed = "floating point in 0..1, uint8 or uint16"
        raise ValueError(f"{name} must be {allowed}; got {tensor.dtype}. Convert it to one of these.")
    return _unit_range(tensor, name).permute(0, 3, 1, 2)


def unit_floats(image: np.ndarray) -> np.ndarray:
    """An array of uint8 as float32 in 0..1. Floats are returned as they are."""
    return image.astype(np.float32) / 255 if image.dtype == np.uint8 else image


def mask_batch(mask: Tensor | np.ndarray, batch: int, name: str = "mask") -> Tensor:
    """A mask or batch of masks as float32 [B, H, W] in 0..1, B = 1 or `batch`.

    Args:
        mask: [H, W] or [B, H, W]: floating point in 0..1, bool, uint8 in 0..255 or uint16 in 0..65535. Integers that
            are all 0 or 1 are such a mask too.
        batch: number of images that it is for.
        name: what to call the input in an error.

    Raises:
        ValueError: for another shape or type, another batch, values that are not finite, or a wider range.
    """
    tensor = to_tensor(mask, name, "[H, W] or [B, H, W]")
    if tensor.ndim == 2:
        tensor = tensor.unsqueeze(0)
    if tensor.ndim != 3 or 0 in tensor.shape:
        raise ValueError(f"{name} must be [H, W] or [B, H, W]; got {list(tensor.shape)}.")
    if tensor.shape[0] not in (1, batch):
        raise ValueError(f"{name} must be one mask or as many as there are images ({batch}); got {tensor.shape[0]}.")
    if not tensor.is_floating_point() and float(tensor.float().amax()) <= 1:
        tensor = tensor.float()
    return _unit_range(tensor, name).clamp(0, 1)


def to_tensor(value: Tensor | ArrayLike, name: str, shape: str) -> Tensor:
    """A tensor of real numbers from a tensor, an array or nested lists.

    Args:
        name, shape: what to call the input and its allowed shapes in an error.

    Raises:
        ValueError: for anything else.
    """
    try:
        tensor = value if isinstance(value, Tensor) else torch.as_tensor(np.ascontiguousarray(value))
    except (TypeError, ValueError, RuntimeError):  # what NumPy and PyTorch raise for other objects
        tensor = None
    if tensor is None or tensor.ndim == 0 or tensor.is_complex() or tensor.layout != torch.strided:
        raise ValueError(f"{name} must be a tensor {shape} of real numbers; got {describe(value)}.")
    return tensor


def check_device(device: torch.device | str, name: str = "device") -> torch.device:
    """A device that torch can use here.

    Raises:
        ValueError: if it cannot.
    """
    try:
        usable = torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, TypeError, ValueError) as error:
        raise ValueError(f"{name} {device} cannot be used here: {str(error).splitlines()[0]}") from error
    if usable.type == "meta":
        refuse(name, "a device that holds values, such as cpu or cuda", device)
    return usable


def check_weights_dtype(dtype: torch.dtype) -> torch.dtype:
    """A dtype that weights are stored and computed in.

    Raises:
        ValueError: for another one.
    """
    if not any(dtype is allowed for allowed in (torch.float16, torch.bfloat16, torch.float32)):
        raise ValueError(f"dtype must be float16, bfloat16 or float32; got {dtype}.")
    return dtype


def default_weights_dtype(device: torch.device | str) -> torch.dtype:
    """The dtype in which networks run best on a device: bfloat16 on a CPU that multiplies it in hardware, else float32.

    There it takes half of the time, and changes a prediction by 0.3 %, which is less than a step of sampling does.
    """
    # Releases before 2.10 do not have this function.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    native = torch.device(device).type == "cpu" and capabilities.get("avx512_bf16", False)
    return torch.bfloat16 if native else torch.float32


def _unit_range(tensor: Tensor, name: str) -> Tensor:
    """An image or mask of any dtype as float32, checked to be in about 0..1."""
    scale = INTEGER_SCALES.get(tensor.dtype, 1)
    tensor = tensor.float() / scale if scale > 1 else tensor.float()
    low, high = (float(limit) for limit in torch.aminmax(tensor))
    if not (math.isfinite(low) and math.isfinite(high)):
        if len(tensor) > 1:
            name = f"{name}[{int((~torch.isfinite(tensor)).flatten(1).any(1).nonzero()[0])}]"
        raise ValueError(f"{name} holds NaN or infinite values; check the node or file that made it.")
    if max(high, -low) > MAX_VALUE:
        raise ValueError(f"{name} must be in 0..1; got values from {low:g} to {high:g}. Divide by the value of white.")
    return tensor


def feather_mask(mask: Tensor, feather: float) -> Tensor:
    """Soften the edges of masks inward: black pixels stay 0, white pixels rise from 0 over `feather` pixels.

    Args:
        mask: float [B, H, W] in 0..1.
        feather: width of the rise in pixels, >= 0.
    """
    feather = check_number("feather", feather, 0, meaning="pixels")
    if feather == 0:
        return mask
    from .packages import cv2

    inside = (mask > 0).to(torch.uint8).cpu().numpy()
    distance = np.stack([cv2.distanceTransform(m, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for m in inside])
    return mask * smoothstep(torch.from_numpy(distance).to(mask).div(feather).clamp(0, 1))


def smoothstep(x: Maps) -> Maps:
    """The cubic 3 x^2 - 2 x^3, which rises from 0 to 1 with slope 0 at both ends; for x in 0..1."""
    return x * x * (3 - 2 * x)


def fit_size(size: Sequence[int], max_size: int) -> tuple[int, int]:
    """(H, W) with a longest side of at most `max_size` pixels and the same proportions; smaller sizes are unchanged."""
    factor = min(1.0, max_size / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def resize_maps(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Resize maps [N, C, H, W] to (H', W'): bilinear, with antialiasing when shrinking. Values are not rescaled."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    shrinks = size[0] < maps.shape[-2] or size[1] < maps.shape[-1]
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False, antialias=shrinks)


def resize_flow(flow: Tensor, size: Sequence[int]) -> Tensor:
    """Resize displacements [N, 2, h, w] to an (H, W) grid and rescale them to its pixels: [N, 2, H, W]."""
    # Made on the flow's device: a copy from the host would wait for it.
    ratio = flow.new_full((1, 2, 1, 1), size[0] / flow.shape[-2])
    ratio[:, :1].fill_(size[1] / flow.shape[-1])
    return resize_maps(flow, size) * ratio


def resize_mask(mask: Tensor, size: Sequence[int]) -> Tensor:
    """Resize masks [B, H, W] to [B, 1, H', W'] smoothly; pixels whose nearest pixel is black stay black."""
    soft = resize_maps(mask.unsqueeze(1), size)
    return soft * (F.interpolate(mask.unsqueeze(1), size=tuple(size), mode="nearest-exact") > 0)


def box_mean(maps: Maps, radius: int) -> Maps:
    """Mean over the (2 radius + 1)^2 window around every pixel; the border is repeated outside.

    Args:
        maps: array [H, W] or tensor [N, C, H, W].
        radius: of the window in pixels.
    """
    side = 2 * radius + 1
    if isinstance(maps, Tensor):
        return F.avg_pool2d(F.pad(maps, (radius, radius, radius, radius), mode="replicate"), side, 1)
    from .packages import cv2

    return cv2.blur(maps, (side, side), borderType=cv2.BORDER_REPLICATE)


class GuidedFilter(Generic[Maps]):
    """An edge-preserving mean of maps. In every window the result is an affine function of the guide's channels.

    Arrays are filtered in NumPy and tensors in torch, by the same formulas. The guide's statistics are computed once.

    Args:
        guide: the guide's channels, floating point in 0..1: arrays [H, W] or tensors [B, 1, H, W]. One channel is a
            gray guide, three are a color guide.
        radius: of the square windows in pixels.
        epsilon: variance of the guide below which a window counts as flat; squared units of the guide.
        box_mean: mean over the windows of one map, if the border is to be treated differently.
    """

    def __init__(self, guide: Sequence[Maps], radius: int, epsilon: float, box_mean: BoxMean[Maps] = box_mean) -> None:
        self.guide: list[Maps] = list(guide)
        self.radius = radius
        self._box_mean: BoxMean[Maps] = box_mean
        self.mean: list[Maps] = [self.window_mean(channel) for channel in self.guide]
        covariance = [
            [self.window_mean(a * b) - mean_a * mean_b for b, mean_b in zip(self.guide, self.mean, strict=True)]
            for a, mean_a in zip(self.guide, self.mean, strict=True)
        ]
        self.inverse_covariance: list[list[Maps]] = _regularized_inverse(covariance, epsilon)

    def __call__(self, maps: Maps) -> Maps:
        """The filtered maps: an array [H, W] or a tensor [B, C, H, W], as the input."""
        slopes, offset = self.coefficients(maps)
        return _weighted_sum(slopes, self.guide) + offset

    def coefficients(self, maps: Maps) -> tuple[list[Maps], Maps]:
        """The affine function at every pixel, averaged over the windows that contain the pixel.

        The fast guided filter (He and Sun 2015) interpolates these and applies them to a larger guide.

        Returns:
            (one slope for each channel of the guide, the offset), all of the shape of `maps`.
        """
        mean = self.window_mean(maps)
        covariance = [
            self.window_mean(channel * maps) - channel_mean * mean
            for channel, channel_mean in zip(self.guide, self.mean, strict=True)
        ]
        slopes = [_weighted_sum(row, covariance) for row in self.inverse_covariance]
        offset = mean - _weighted_sum(slopes, self.mean)
        return [self.window_mean(slope) for slope in slopes], self.window_mean(offset)

    def window_mean(self, maps: Maps) -> Maps:
        """Means of maps over this filter's windows."""
        return self._box_mean(maps, self.radius)


def _weighted_sum(weights: Sequence[Maps], maps: Sequence[Maps]) -> Maps:
    """sum_i weights[i] * maps[i]."""
    total = weights[0] * maps[0]
    for weight, values in zip(weights[1:], maps[1:], strict=True):
        total = total + weight * values
    return total


def _regularized_inverse(matrix: list[list[Maps]], epsilon: float) -> list[list[Maps]]:
    """Inverse of (matrix + epsilon * identity) at every pixel; the matrix is given and returned as rows of maps."""
    size = len(matrix)
    first = matrix[0][0]
    if isinstance(first, Tensor):
        # Small matrices are inverted on the CPU: not every kind of device can do it.
        stacked = torch.stack([torch.stack(row, -1) for row in matrix], -2)
        stacked = stacked + epsilon * torch.eye(size).to(stacked)
        inverse = torch.linalg.inv(stacked.cpu()).to(stacked)
    else:
        stacked = np.stack([np.stack(row, -1) for row in matrix], -2)
        inverse = np.linalg.inv(stacked + epsilon * np.eye(size, dtype=stacked.dtype))
    return [[inverse[..., i, j] for j in range(size)] for i in range(size)]
