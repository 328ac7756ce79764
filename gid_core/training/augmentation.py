"""Augmentation of training samples: a photo and its motion are turned, zoomed, recolored and pasted together.

Every random number comes from a `torch.Generator`, and as many are drawn whatever the settings are: a seed stands for
one result. Photos are float32 [3, H, W] in 0..1, motion is float32 [K, 4, h, w] in pixels of the h x w grid, where
pixel i covers photo pixels stride * i .. stride * (i + 1) - 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..spectral_volume import SpectralVolume

# Below this share of the moving pixels' mean motion a pixel counts as still, see `moving_region`.
LEAST_MOTION = 0.25
# A region to paste is neither a speck nor nearly the whole picture.
REGION_SHARE = (0.03, 0.8)
LEAST_AREA = 12  # of a part of it, in pixels of the volume
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Augmentation:
    """What `augment` may do, each drawn anew for each sample.

    Attributes:
        size: (H, W) of the crop in photo pixels, multiples of 16.
        volume_stride: photo pixels to a pixel of the volume, in both directions.
        min_scale, max_scale: the picture is enlarged this much before it is cropped. Within these bounds the scale is
            drawn so that the crop lies in the picture; where even `max_scale` is too small, the rest is mirrored.
        max_rotation: degrees to either side.
        flip: probability of a horizontal mirror image.
        color: strength of changes in brightness, contrast, saturation and hue; 0.2 is up to 20 %.
        blur, noise: probabilities of a slight Gaussian blur, of slight Gaussian noise.
        gray: probability of a black and white photo.
        time_shift: begin anywhere in the period. This and the next only for volumes with detrend == "ramp": others
            are not periodic.
        time_reversal: probability of running backwards.
    """

    size: tuple[int, int] = (288, 512)
    volume_stride: int = 4
    min_scale: float = 0.85
    max_scale: float = 1.6
    max_rotation: float = 5.0
    flip: float = 0.5
    color: float = 0.2
    blur: float = 0.1
    noise: float = 0.1
    gray: float = 0.05
    time_shift: bool = True
    time_reversal: float = 0.5

    def __post_init__(self):
        if any(side < 16 or side % 16 or side % self.volume_stride for side in self.size):
            raise ValueError(
                f"size must be multiples of 16 and of volume_stride = {self.volume_stride}; got {self.size}."
            )
        if not 0 < self.min_scale <= self.max_scale:
            raise ValueError(f"Need 0 < min_scale <= max_scale; got {self.min_scale} and {self.max_scale}.")


def augment(
    photo: Tensor, volume: SpectralVolume, generator: torch.Generator, settings: Augmentation
) -> tuple[Tensor, Tensor]:
    """One random view of a sample.

    Args:
        photo: uint8 [H', W', 3].
        volume: of this photo, one, on any grid that covers the whole photo.
        generator: the only source of chance.
        settings: what may be done.

    Returns:
        (photo float32 [3, H, W] in 0..1, coefficients float32 [K, 4, H / stride, W / stride] in their own pixels,
        with F_0 = 0), where (H, W) = settings.size.
    """
    dice = torch.rand(16, generator=generator, dtype=torch.float64).tolist()
    noise_seed = int(torch.randint(2**31, (1,), generator=generator))
    linear, center = _draw_affine(dice[:5], tuple(photo.shape[:2]), settings)
    pixels = _warp_photo(photo, linear, center, settings.size)
    pixels = _recolor(pixels, dice[5:10], settings)
    pixels = _degrade(pixels, dice[10:13], noise_seed, settings)

    # The photo stays that of t = 0 although the motion now begins at tau: it should be moved by F_tau, a few pixels
    # at most. The small error keeps the net from learning the one phase that each photo happens to come with.
    periodic = volume.detrend == "ramp"
    shift = dice[13] if periodic and settings.time_shift else 0.0
    backwards = periodic and dice[14] < settings.time_reversal
    coefficients = _warp_volume(volume, linear, center, tuple(photo.shape[:2]), settings, shift, backwards)
    return pixels, volume.replace(coefficients=coefficients.unsqueeze(0)).at_rest().coefficients[0]


def still(photo: Tensor, num_bins: int = 16, volume_stride: int = 4) -> tuple[Tensor, Tensor]:
    """A photo [3, H, W] in which nothing moves, as a background for `composite`: (photo, zeros [K, 4, h, w])."""
    height, width = photo.shape[-2] // volume_stride, photo.shape[-1] // volume_stride
    return photo, photo.new_zeros(num_bins, 4, height, width)


def composite(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """What moves in `a`, with its motion, pasted over `b`, so that texture and not position says what moves.

    Args:
        a, b: (photo [3, H, W] in 0..1, coefficients [K, 4, h, w]) of `augment` or `still`, of the same sizes.
        generator: draws whether the region is mirrored and where it is put.

    Returns:
        Such a pair; `a` itself (not a copy) if too little or too much of it moves.
    """
    dice = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
    photo, coefficients = a
    alpha = moving_region(photo, coefficients)
    stride = photo.shape[-1] // coefficients.shape[-1]
    if not _share_fits(_majority(alpha, stride)):
        return a
    if dice[0] < 0.5:
        photo, alpha = photo.flip(-1), alpha.flip(-1)
        coefficients = coefficients.flip(-1) * coefficients.new_tensor([-1, -1, 1, 1]).view(1, 4, 1, 1)
    rows, columns = _draw_shift(_majority(alpha, stride), dice[1:])
    alpha = _shift(alpha, rows * stride, columns * stride)
    moving = _majority(alpha, stride)
    if not _share_fits(moving):
        return a
    photo = torch.lerp(b[0], _shift(photo, rows * stride, columns * stride), alpha)
    return photo, torch.where(moving, _shift(coefficients, rows, columns), b[1])


def moving_region(photo: Tensor, coefficients: Tensor) -> Tensor:
    """Where a picture moves, its edge drawn along the photo's and feathered over about two pixels.

    Args:
        photo: float32 [3, H, W] in 0..1.
        coefficients: float32 [K, 4, h, w].

    Returns:
        float32 [H, W] in 0..1; all 0 for a still picture.
    """
    motion = coefficients[1:].square().sum((0, 1)).sqrt()
    total = float(motion.sum())
    if total <= 0:
        return photo.new_zeros(photo.shape[-2:])
    # Pixels count by how much they move: a percentile over the picture is that of the background if little moves.
    typical = float(motion.square().sum()) / total
    mask = (motion > LEAST_MOTION * typical).numpy().astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
    # Specks are dropped by their area: an opening would take stems and twigs with them.
    _, labels, parts, _ = cv2.connectedComponentsWithStats(mask)
    mask = mask * (parts[:, cv2.CC_STAT_AREA] >= LEAST_AREA)[labels]
    size = photo.shape[-1], photo.shape[-2]
    soft = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    luma = torch.einsum("c,chw->hw", photo.new_tensor(LUMA), photo).numpy()
    radius = 2 * (photo.shape[-1] // coefficients.shape[-1])
    guided = torch.from_numpy(_guided_filter(luma, soft, 2 * radius + 1, 1e-3))
    rise = ((guided - 0.3) / 0.4).clamp(0, 1)
    return rise * rise * (3 - 2 * rise)


# ---- the affine map ----


def _draw_affine(dice, photo_size: tuple[int, int], settings: Augmentation) -> tuple[np.ndarray, np.ndarray]:
    """(A, c): photo position p, in pixels from the picture's center, goes to A (p - c) from the crop's center."""
    angle = math.radians(settings.max_rotation) * (2 * dice[0] - 1)
    cos, sin = math.cos(angle), math.sin(angle)
    turned = np.array([[abs(cos), abs(sin)], [abs(sin), abs(cos)]]) @ np.array(settings.size[::-1])  # its box, (x, y)
    room = np.array(photo_size[::-1], dtype=np.float64)
    least = min(max(settings.min_scale, float((turned / room).max())), settings.max_scale)
    scale = least * (settings.max_scale / least) ** dice[1]
    linear = scale * np.array([[cos, -sin], [sin, cos]])
    if dice[2] < settings.flip:
        linear = linear @ np.diag([-1.0, 1.0])
    free = np.maximum(room - turned / scale, 0)
    return linear, free * (np.array(dice[3:5]) - 0.5)


def _warp_photo(photo: Tensor, linear: np.ndarray, center: np.ndarray, size: tuple[int, int]) -> Tensor:
    """The crop of a uint8 [H', W', 3] photo as float32 [3, H, W] in 0..1, mirrored at the picture's edges."""
    source = photo.numpy()
    scale = math.sqrt(abs(np.linalg.det(linear)))
    if scale < 1:  # against aliasing: as much blur as a pixel grows
        source = cv2.GaussianBlur(source, (0, 0), 0.5 * math.sqrt(scale**-2 - 1), borderType=cv2.BORDER_REFLECT)
    inverse = np.linalg.inv(linear)
    # Pixel centers are at integers, so a picture's center is at (side - 1) / 2.
    middle_in = (np.array(photo.shape[1::-1]) - 1) / 2
    middle_out = (np.array(size[::-1]) - 1) / 2
    matrix = np.column_stack([inverse, middle_in + center - inverse @ middle_out])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    crop = cv2.warpAffine(source, matrix, size[::-1], flags=flags, borderMode=cv2.BORDER_REFLECT)
    return torch.from_numpy(crop).permute(2, 0, 1).contiguous().float().div_(255)


def _warp_volume(
    volume: SpectralVolume,
    linear: np.ndarray,
    center: np.ndarray,
    photo_size: tuple[int, int],
    settings: Augmentation,
    shift: float,
    backwards: bool,
) -> Tensor:
    """Coefficients [K, 4, h, w] of the crop: sampled where its pixels come from, and their vectors mapped as well.

    Args:
        shift: of time, as a share of the period.
        backwards: time runs backwards.
    """
    stride, bins = settings.volume_stride, volume.num_bins
    size = settings.size[0] // stride, settings.size[1] // stride
    half_in, half_out = np.array(photo_size[::-1]) / 2, np.array(settings.size[::-1]) / 2
    # In units of half sides from the center (align_corners=False) photo and volume have the same coordinates.
    inverse = np.linalg.inv(linear)
    theta = np.column_stack([inverse * half_out / half_in[:, None], center / half_in])
    grid = F.affine_grid(torch.as_tensor(theta)[None], [1, 1, *size], align_corners=False).float()
    maps = volume.coefficients.flatten(1, 2)
    sampled = F.grid_sample(maps, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    sampled = sampled.view(bins, 4, -1)
    if float(grid.abs().max()) > 1 + 1e-5:  # a mirror image moves the other way
        sides = 1 - 2 * ((grid[0] + 1) / 2).floor().remainder(2)
        sampled = sampled * sides.permute(2, 0, 1).reshape(2, -1).repeat_interleave(2, 0)

    # Volume pixels of the source -> photo pixels -> pixels of the crop -> volume pixels of the crop.
    to_photo = np.diag(np.array(photo_size[::-1]) / np.array(volume.size[::-1]))
    vectors = torch.as_tensor(linear @ to_photo / stride)
    angle = 2 * math.pi * shift * torch.arange(bins, dtype=torch.float64)
    turns = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).view(bins, 2, 2)
    if backwards:
        turns = turns * torch.tensor([1.0, -1.0])  # of the conjugate
    matrices = torch.einsum("ij,kab->kiajb", vectors, turns).reshape(bins, 4, 4).float()
    return (matrices @ sampled).view(bins, 4, *size)


# ---- colors ----


def _recolor(photo: Tensor, dice, settings: Augmentation) -> Tensor:
    """Brightness, contrast, saturation and hue of a [3, H, W] photo, as one affine map of colors."""
    gray = dice[4] < settings.gray
    if settings.color == 0 and not gray:
        return photo
    brightness, contrast, saturation, hue = (settings.color * (2 * d - 1) for d in dice[:4])
    luma = torch.tensor(LUMA).expand(3, 3)
    angle = hue / 2  # radians about the gray axis
    axis = torch.full((3, 3), 1 / 3)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    turn = math.cos(angle) * torch.eye(3) + (1 - math.cos(angle)) * axis + math.sin(angle) * cross
    share = 0.0 if gray else 1 + saturation
    matrix = (1 + brightness) * (luma + share * (torch.eye(3) - luma) @ turn)
    flat = photo.flatten(1)
    mean = (matrix @ flat.mean(1)).mean()
    offset = (-contrast * mean).expand(3, 1)
    return torch.addmm(offset, (1 + contrast) * matrix, flat).clamp_(0, 1).view_as(photo)


def _degrade(photo: Tensor, dice, noise_seed: int, settings: Augmentation) -> Tensor:
    """Now and then a slight blur and slight noise, as cameras have."""
    if dice[0] < settings.blur:
        sigma = 0.4 + 0.8 * dice[2]
        photo = torch.from_numpy(np.stack([cv2.GaussianBlur(c, (0, 0), sigma) for c in photo.numpy()]))
    if dice[1] < settings.noise:
        generator = torch.Generator().manual_seed(noise_seed)
        noise = torch.randn(photo.shape, generator=generator) * (0.005 + 0.025 * dice[2])
        photo = (photo + noise).clamp_(0, 1)
    return photo


# ---- pasting ----


def _majority(alpha: Tensor, stride: int) -> Tensor:
    """bool [h, w]: pixels of the volume most of which lies in the region alpha [H, W]."""
    return F.avg_pool2d(alpha[None, None], stride)[0, 0] > 0.5


def _share_fits(mask: Tensor) -> bool:
    return REGION_SHARE[0] <= float(mask.float().mean()) <= REGION_SHARE[1]


def _draw_shift(mask: Tensor, dice) -> tuple[int, int]:
    """(rows, columns) to move a region by, up to a quarter of the picture.

    Where it is cut off by the picture's edge it stays there, or leaves the picture: no straight cut comes inside.
    """

    def draw(cut_low: bool, cut_high: bool, length: int, chance: float) -> int:
        low = 0 if cut_high else -(length // 4)
        high = 0 if cut_low else length // 4
        return low + min(int(chance * (high - low + 1)), high - low)

    rows, columns = mask.any(1), mask.any(0)
    return (
        draw(bool(rows[0]), bool(rows[-1]), mask.shape[0], dice[0]),
        draw(bool(columns[0]), bool(columns[-1]), mask.shape[1], dice[1]),
    )


def _shift(maps: Tensor, rows: int, columns: int) -> Tensor:
    """[..., H, W] moved down and right by whole pixels; 0 comes in."""
    return F.pad(maps, (columns, -columns, rows, -rows))


def _guided_filter(guide: np.ndarray, mask: np.ndarray, width: int, eps: float) -> np.ndarray:
    """He et al.'s guided filter of a mask by a gray picture, both float32 [H, W] in 0..1; `width` of its windows."""

    def mean(image: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(image, -1, (width, width), borderType=cv2.BORDER_REFLECT)

    mean_guide, mean_mask = mean(guide), mean(mask)
    slope = (mean(guide * mask) - mean_guide * mean_mask) / (mean(guide * guide) - mean_guide**2 + eps)
    return mean(slope) * guide + mean(mean_mask - slope * mean_guide)
