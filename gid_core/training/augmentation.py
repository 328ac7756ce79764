"""Augmentation of motion samples: a photo and its motion are rotated, scaled, recolored and composited together.
Rendering samples are flipped, scaled and cropped in `rendering_dataset`.

All random numbers come from a `torch.Generator`. Their number does not depend on the settings, so a seed determines
the result. Photos are float32 [3, H, W] in 0..1. Motion is float32 [K, 4, h, w] in pixels of the h x w grid, whose
pixel i covers the photo pixels stride * i .. stride * (i + 1) - 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..packages import cv2
from ..spectral_volume import SpectralVolume
from ..tensors import GuidedFilter, smoothstep

# Constants of `motion_mask` and `composite`, which are not in the paper.
MIN_RELATIVE_MOTION = 0.25  # pixels below this share of the moving pixels' typical motion are static
MIN_COMPONENT_AREA = 12  # of a connected component of the mask, in pixels of the volume
MASK_AREA_RANGE = (0.03, 0.8)  # share of the image that a pasted region may cover
MAX_SHIFT_DIVISOR = 4  # a pasted region moves by at most 1/4 of the image
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


@dataclass(frozen=True)
class Augmentation:
    """Settings of `augment`, drawn independently for each sample.

    Attributes:
        size: (H, W) of the crop in photo pixels, multiples of 16.
        volume_stride: photo pixels per pixel of the volume, in both directions.
        min_scale, max_scale: range of the scale of the image before it is cropped. The scale is drawn so that the crop
            lies inside the image; if `max_scale` is too small for that, the image is mirrored at its borders.
        max_rotation: degrees in either direction.
        flip_probability: of a horizontal flip.
        color_jitter: strength of changes in brightness, contrast, saturation and hue; 0.2 is up to 20 %.
        blur_probability: of a slight Gaussian blur.
        noise_probability: of slight Gaussian noise.
        grayscale_probability: of a black and white photo.
        time_shift: start at a random time of the period. This and time reversal only affect volumes with detrend ==
            "ramp"; others are not periodic.
        time_reversal_probability: of playing backward.
    """

    size: tuple[int, int] = (288, 512)
    volume_stride: int = 4
    min_scale: float = 0.85
    max_scale: float = 1.6
    max_rotation: float = 5.0
    flip_probability: float = 0.5
    color_jitter: float = 0.2
    blur_probability: float = 0.1
    noise_probability: float = 0.1
    grayscale_probability: float = 0.05
    time_shift: bool = True
    time_reversal_probability: float = 0.5

    def __post_init__(self) -> None:
        if any(side < 16 or side % 16 or side % self.volume_stride for side in self.size):
            raise ValueError(
                f"size must be multiples of 16 and of volume_stride = {self.volume_stride}; got {self.size}."
            )
        if not 0 < self.min_scale <= self.max_scale:
            raise ValueError(f"Need 0 < min_scale <= max_scale; got {self.min_scale} and {self.max_scale}.")


# Only crops to the default size.
NO_AUGMENTATION = Augmentation(
    min_scale=1.0,
    max_scale=1.0,
    max_rotation=0,
    flip_probability=0,
    color_jitter=0,
    blur_probability=0,
    noise_probability=0,
    grayscale_probability=0,
    time_shift=False,
    time_reversal_probability=0,
)


def augment(
    photo: Tensor, volume: SpectralVolume, generator: torch.Generator, settings: Augmentation
) -> tuple[Tensor, Tensor]:
    """A random augmentation of a sample.

    Args:
        photo: uint8 [H', W', 3].
        volume: one volume of this photo, on any grid that covers the whole photo.
        generator: draws all random numbers.
        settings: ranges and probabilities.

    Returns:
        (photo float32 [3, H, W] in 0..1, coefficients float32 [K, 4, H / stride, W / stride] in pixels of their grid,
        with F_0 = 0), where (H, W) = settings.size.
    """
    uniform = torch.rand(16, generator=generator, dtype=torch.float64).tolist()
    noise_seed = int(torch.randint(2**31, (1,), generator=generator))
    photo_size = photo.shape[0], photo.shape[1]
    linear, center = _draw_affine(uniform[:5], photo_size, settings)
    image = _warp_photo(photo, linear, center, settings.size)
    image = _jitter_color(image, uniform[5:10], settings)
    image = _degrade(image, uniform[10:13], noise_seed, settings)

    # The photo is not moved by F_tau although the motion now starts at tau. This error of a few pixels at most is
    # accepted: without the time shift the network would memorize the one phase that each photo comes with.
    periodic = volume.detrend == "ramp"
    time_shift = uniform[13] if periodic and settings.time_shift else 0.0
    reverse = periodic and uniform[14] < settings.time_reversal_probability
    coefficients = _warp_volume(volume, linear, center, photo_size, settings, time_shift, reverse)
    return image, volume.replace(coefficients=coefficients.unsqueeze(0)).at_rest().coefficients[0]


def static_sample(photo: Tensor, num_bins: int = 16, volume_stride: int = 4) -> tuple[Tensor, Tensor]:
    """A photo [3, H, W] without motion, as a background for `composite`: (photo, zeros [K, 4, h, w])."""
    height, width = photo.shape[-2] // volume_stride, photo.shape[-1] // volume_stride
    return photo, photo.new_zeros(num_bins, 4, height, width)


def composite(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Paste the moving region of `a`, with its motion, over `b`. Models then cannot infer motion from position alone.

    Args:
        a, b: (photo [3, H, W] in 0..1, coefficients [K, 4, h, w]) of `augment` or `static_sample`, of the same sizes.
        generator: draws whether the region is flipped, and its shift.

    Returns:
        A pair like `a`; `a` itself (not a copy) if too little or too much of it moves.
    """
    uniform = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
    photo, coefficients = a
    alpha = motion_mask(photo, coefficients)
    stride = photo.shape[-1] // coefficients.shape[-1]
    if not _area_fits(_downsample_mask(alpha, stride)):
        return a
    if uniform[0] < 0.5:
        photo, alpha = photo.flip(-1), alpha.flip(-1)
        coefficients = coefficients.flip(-1) * coefficients.new_tensor([-1, -1, 1, 1]).view(1, 4, 1, 1)
    rows, columns = _draw_shift(_downsample_mask(alpha, stride), uniform[1:])
    alpha = _shift(alpha, rows * stride, columns * stride)
    moving = _downsample_mask(alpha, stride)
    if not _area_fits(moving):
        return a
    photo = torch.lerp(b[0], _shift(photo, rows * stride, columns * stride), alpha)
    return photo, torch.where(moving, _shift(coefficients, rows, columns), b[1])


def motion_mask(photo: Tensor, coefficients: Tensor) -> Tensor:
    """Soft mask of the moving pixels. Its edges follow the photo's edges and are about two pixels wide.

    Args:
        photo: float32 [3, H, W] in 0..1.
        coefficients: float32 [K, 4, h, w].

    Returns:
        float32 [H, W] in 0..1; all 0 if nothing moves.
    """
    motion = coefficients[1:].square().sum((0, 1)).sqrt()
    total = float(motion.sum())
    if total <= 0:
        return photo.new_zeros(photo.shape[-2:])
    # The mean is weighted by motion: a percentile would be that of the background if only a small region moves.
    typical = float(motion.square().sum()) / total
    mask: np.ndarray = (motion > MIN_RELATIVE_MOTION * typical).numpy().astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
    # Small components are removed by area: a morphological opening would also remove stems and twigs.
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    mask = mask * (stats[:, cv2.CC_STAT_AREA] >= MIN_COMPONENT_AREA)[labels]
    size = photo.shape[-1], photo.shape[-2]
    soft = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    luma = torch.einsum("c,chw->hw", photo.new_tensor(LUMA), photo).numpy()
    radius = 2 * (photo.shape[-1] // coefficients.shape[-1])
    guided = torch.from_numpy(GuidedFilter([luma], radius, 1e-3, _mirrored_box_mean)(soft))
    return smoothstep(((guided - 0.3) / 0.4).clamp(0, 1))


# ---- the affine map ----


def _draw_affine(
    uniform: Sequence[float], photo_size: tuple[int, int], settings: Augmentation
) -> tuple[np.ndarray, np.ndarray]:
    """(A, c): position p in pixels from the center of the photo is mapped to A (p - c) from the center of the crop."""
    angle = math.radians(settings.max_rotation) * (2 * uniform[0] - 1)
    cos, sin = math.cos(angle), math.sin(angle)
    # Sides (x, y) of the bounding box of the rotated crop.
    bounding_box = np.array([[abs(cos), abs(sin)], [abs(sin), abs(cos)]]) @ np.array(settings.size[::-1])
    photo_sides = np.array(photo_size[::-1], dtype=np.float64)
    min_scale = min(max(settings.min_scale, float((bounding_box / photo_sides).max())), settings.max_scale)
    scale = min_scale * (settings.max_scale / min_scale) ** uniform[1]
    linear = scale * np.array([[cos, -sin], [sin, cos]])
    if uniform[2] < settings.flip_probability:
        linear = linear @ np.diag([-1.0, 1.0])
    slack = np.maximum(photo_sides - bounding_box / scale, 0)
    return linear, slack * (np.array(uniform[3:5]) - 0.5)


def _warp_photo(photo: Tensor, linear: np.ndarray, center: np.ndarray, size: tuple[int, int]) -> Tensor:
    """The crop of a uint8 [H', W', 3] photo as float32 [3, H, W] in 0..1, mirrored at the photo's borders."""
    source = photo.numpy()
    scale = math.sqrt(abs(np.linalg.det(linear)))
    if scale < 1:  # low-pass filter against aliasing
        source = cv2.GaussianBlur(source, (0, 0), 0.5 * math.sqrt(scale**-2 - 1), borderType=cv2.BORDER_REFLECT)
    inverse = np.linalg.inv(linear)
    # Pixel centers are at integers, so the center of an image is at (side - 1) / 2.
    photo_center = (np.array(photo.shape[1::-1]) - 1) / 2
    crop_center = (np.array(size[::-1]) - 1) / 2
    matrix = np.column_stack([inverse, photo_center + center - inverse @ crop_center])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    crop = cv2.warpAffine(source, matrix, size[::-1], flags=flags, borderMode=cv2.BORDER_REFLECT)
    return torch.from_numpy(crop).permute(2, 0, 1).contiguous().float().div_(255)


def _warp_volume(
    volume: SpectralVolume,
    linear: np.ndarray,
    center: np.ndarray,
    photo_size: tuple[int, int],
    settings: Augmentation,
    time_shift: float,
    reverse: bool,
) -> Tensor:
    """Coefficients [K, 4, h, w] of the crop. Both the positions and the displacement vectors are transformed.

    Args:
        time_shift: as a fraction of the period.
        reverse: play backward.
    """
    stride, bins = settings.volume_stride, volume.num_bins
    size = settings.size[0] // stride, settings.size[1] // stride
    half_photo, half_crop = np.array(photo_size[::-1]) / 2, np.array(settings.size[::-1]) / 2
    # In normalized coordinates (align_corners=False) positions are the same in the photo and in the volume.
    inverse = np.linalg.inv(linear)
    theta = np.column_stack([inverse * half_crop / half_photo[:, None], center / half_photo])
    grid = F.affine_grid(torch.as_tensor(theta)[None], [1, 1, *size], align_corners=False).float()
    maps = volume.coefficients.flatten(1, 2)
    sampled = F.grid_sample(maps, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    sampled = sampled.view(bins, 4, -1)
    if float(grid.abs().max()) > 1 + 1e-5:  # motion is mirrored with the image
        signs = 1 - 2 * ((grid[0] + 1) / 2).floor().remainder(2)
        sampled = sampled * signs.permute(2, 0, 1).reshape(2, -1).repeat_interleave(2, 0)

    # Units: volume pixels of the source -> photo pixels -> pixels of the crop -> volume pixels of the crop.
    to_photo = np.diag(np.array(photo_size[::-1]) / np.array(volume.size[::-1]))
    vectors = torch.as_tensor(linear @ to_photo / stride)
    angle = 2 * math.pi * time_shift * torch.arange(bins, dtype=torch.float64)
    phase_shift = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).view(bins, 2, 2)
    if reverse:
        phase_shift = phase_shift * torch.tensor([1.0, -1.0])  # acts on the complex conjugate
    matrices = torch.einsum("ij,kab->kiajb", vectors, phase_shift).reshape(bins, 4, 4).float()
    return (matrices @ sampled).view(bins, 4, *size)


# ---- colors ----


def _jitter_color(photo: Tensor, uniform: Sequence[float], settings: Augmentation) -> Tensor:
    """Change brightness, contrast, saturation and hue of a [3, H, W] photo by one affine map of colors."""
    grayscale = uniform[4] < settings.grayscale_probability
    if settings.color_jitter == 0 and not grayscale:
        return photo
    brightness, contrast, saturation, hue = (settings.color_jitter * (2 * u - 1) for u in uniform[:4])
    luma = torch.tensor(LUMA).expand(3, 3)
    angle = hue / 2  # radians about the gray axis
    axis = torch.full((3, 3), 1 / 3)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    rotation = math.cos(angle) * torch.eye(3) + (1 - math.cos(angle)) * axis + math.sin(angle) * cross
    chroma = 0.0 if grayscale else 1 + saturation
    matrix = (1 + brightness) * (luma + chroma * (torch.eye(3) - luma) @ rotation)
    flat = photo.flatten(1)
    mean = (matrix @ flat.mean(1)).mean()
    offset = (-contrast * mean).expand(3, 1)
    return torch.addmm(offset, (1 + contrast) * matrix, flat).clamp_(0, 1).view_as(photo)


def _degrade(photo: Tensor, uniform: Sequence[float], noise_seed: int, settings: Augmentation) -> Tensor:
    """Add a slight blur and slight noise, as cameras do, with the probabilities of the settings."""
    if uniform[0] < settings.blur_probability:
        sigma = 0.4 + 0.8 * uniform[2]
        photo = torch.from_numpy(np.stack([cv2.GaussianBlur(c, (0, 0), sigma) for c in photo.numpy()]))
    if uniform[1] < settings.noise_probability:
        generator = torch.Generator().manual_seed(noise_seed)
        noise = torch.randn(photo.shape, generator=generator) * (0.005 + 0.025 * uniform[2])
        photo = (photo + noise).clamp_(0, 1)
    return photo


# ---- compositing ----


def _downsample_mask(alpha: Tensor, stride: int) -> Tensor:
    """bool [h, w]: pixels of the volume that a mask alpha [H, W] covers by more than half."""
    return F.avg_pool2d(alpha[None, None], stride)[0, 0] > 0.5


def _area_fits(mask: Tensor) -> bool:
    return MASK_AREA_RANGE[0] <= float(mask.float().mean()) <= MASK_AREA_RANGE[1]


def _draw_shift(mask: Tensor, uniform: Sequence[float]) -> tuple[int, int]:
    """(rows, columns) by which to shift a region, up to a quarter of the image.

    A region that touches an edge of the image only moves towards that edge, so its straight cut stays outside.
    """

    def draw(touches_low: bool, touches_high: bool, length: int, u: float) -> int:
        low = 0 if touches_high else -(length // MAX_SHIFT_DIVISOR)
        high = 0 if touches_low else length // MAX_SHIFT_DIVISOR
        return low + min(int(u * (high - low + 1)), high - low)

    rows, columns = mask.any(1), mask.any(0)
    return (
        draw(bool(rows[0]), bool(rows[-1]), mask.shape[0], uniform[0]),
        draw(bool(columns[0]), bool(columns[-1]), mask.shape[1], uniform[1]),
    )


def _shift(maps: Tensor, rows: int, columns: int) -> Tensor:
    """[..., H, W] shifted down and right by whole pixels, filled with 0."""
    return F.pad(maps, (columns, -columns, rows, -rows))


def _mirrored_box_mean(image: np.ndarray, radius: int) -> np.ndarray:
    """Mean over the (2 radius + 1)^2 window around every pixel of [H, W]; the image is mirrored at its border."""
    side = 2 * radius + 1
    return cv2.boxFilter(image, -1, (side, side), borderType=cv2.BORDER_REFLECT)
