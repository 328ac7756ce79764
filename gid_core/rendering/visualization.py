"""Images of a motion: where it moves, at which frequencies, how it runs over time, and in which direction."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..motion import Motion
from ..spectral_volume import SpectralVolume
from ..tensors import image_batch, resize_flow, resize_maps
from .render import render

Color = tuple[int, int, int]

# RGB, 0..255.
TEXT_COLOR: Color = (33, 36, 41)
BACKGROUND_COLOR: Color = (255, 255, 255)
GRID_COLOR: Color = (224, 227, 230)
X_COLOR: Color = (26, 115, 217)
Y_COLOR: Color = (230, 102, 13)
SEAM_COLOR: Color = (255, 38, 51)

# Quantile of the magnitude that the end of a color scale stands for; the rest is clipped.
SCALE_QUANTILE = 0.995
# Labels are left out of images that are not larger than this, in pixels.
MIN_LABEL_HEIGHT, MIN_LABEL_WIDTH = 60, 240
# Largest number of rows of an X-t slice.
MAX_SLICE_ROWS = 600
# Pictures of a photo that is taller than this multiple of its width become narrower instead of ever taller.
MAX_ASPECT = 2
# Side of the color wheel in pixels.
WHEEL_SIZE = 88
# Frames among which `flow_wheel` looks for the largest motion.
WHEEL_SAMPLES = 32


def motion_map(motion: Motion, image: Tensor | None = None, width: int = 512) -> Tensor:
    """Mean displacement of every pixel as color, over a gray version of the photo, with a scale.

    Args:
        motion: the motion; of a batch, the first one is drawn.
        image: the photo [H, W, C] or [1, H, W, C] in 0..1; without one, the map is drawn alone.
        width: of the result in pixels; less if it would be more than twice as tall as this.

    Returns:
        float32 [H, W, 3] in 0..1.
    """
    height, width = _size(motion, image, width)
    magnitude = resize_maps(motion.magnitude()[:1, None], (height, width))[0, 0].cpu().numpy()
    max_magnitude = _scale_end(magnitude)
    level = np.clip(magnitude / max_magnitude, 0, 1)
    color = _color_map(level)
    if image is not None:
        gray = _photo(image, (height, width)).mean(-1, keepdims=True) * 0.7 + 0.1
        color = gray + (color - gray) * np.sqrt(level)[..., None]
    canvas = _to_uint8(color)
    color_bar = _to_uint8(_color_map(np.tile(np.linspace(0, 1, 128), (14, 1))))
    left, bottom = 10, height - 12
    if _has_room_for_labels(height, width):
        canvas[bottom - 42 : bottom + 8, : left + 220] //= 3
        canvas[bottom - 14 : bottom, left : left + 128] = color_bar
        _draw_text(canvas, "mean motion", (left, bottom - 22), 0.6, BACKGROUND_COLOR)
        label = f"{max_magnitude * width / motion.volume.size[1]:.2g} px"
        _draw_text(canvas, label, (left + 136, bottom), 0.6, BACKGROUND_COLOR)
    return _to_tensor(canvas)


def power_spectrum(volume: SpectralVolume, size: tuple[int, int] = (288, 512)) -> Tensor:
    """Chart of the mean power of every frequency bin for x and y, on a logarithmic scale.

    Power is the squared amplitude of the bin's motion in pixels, averaged over the pixels of the first volume. The
    constant bin is left out.

    Args:
        volume: the spectral volume.
        size: (H, W) of the result in pixels.

    Returns:
        float32 [H, W, 3] in 0..1.
    """
    from ..packages import cv2

    height, width = size
    canvas = np.full((height, width, 3), BACKGROUND_COLOR, np.uint8)
    squared = volume.coefficients[0].pow(2).mean(dim=(-2, -1)) * (2 / volume.period) ** 2
    power = torch.stack([squared[:, :2].sum(1), squared[:, 2:].sum(1)]).cpu().numpy()[:, 1:]
    decades = np.log10(np.maximum(power, 1e-12))
    max_decade = math.ceil(decades.max() + 0.05) if decades.size else 0
    min_decade = min(math.floor(max(decades.min(), max_decade - 6)), max_decade - 1) if decades.size else -1
    left, right, top, bottom = 62, width - 14, 30, height - 40

    def row_of(decade: float) -> int:
        return round(bottom - (decade - min_decade) / (max_decade - min_decade) * (bottom - top))

    for decade in range(min_decade, max_decade + 1):
        cv2.line(canvas, (left, row_of(decade)), (right, row_of(decade)), GRID_COLOR, 1)
        _draw_text(canvas, f"1e{decade}", (18, row_of(decade) + 4), 0.36, TEXT_COLOR)
    bins = power.shape[1]
    bin_width = (right - left) / max(bins, 1)
    for index in range(bins):
        for axis, color in enumerate((X_COLOR, Y_COLOR)):
            x = left + round((index + 0.18 + 0.32 * axis) * bin_width)
            y = row_of(max(decades[axis, index], min_decade))
            cv2.rectangle(canvas, (x, y), (x + max(1, round(0.28 * bin_width)), bottom), color, -1)
        if index % max(1, bins // 8) == 0:
            frequency = (index + 1) * volume.fps / volume.period
            _draw_text(canvas, f"{frequency:.1f}", (left + round(index * bin_width), bottom + 16), 0.36, TEXT_COLOR)
    _draw_text(canvas, "frequency (Hz)", ((left + right) // 2 - 40, height - 8), 0.4, TEXT_COLOR)
    _draw_text(canvas, "power (px^2)", (8, 16), 0.4, TEXT_COLOR)
    _draw_text(canvas, "x", (right - 44, 18), 0.45, X_COLOR)
    _draw_text(canvas, "y", (right - 22, 18), 0.45, Y_COLOR)
    return _to_tensor(canvas)


def xt_slice(motion: Motion, image: Tensor | None = None, width: int = 512) -> Tensor:
    """One row of the rendered frames over time, time running down. The seam of a loop is marked.

    The row is the one that moves most. A loop is drawn twice, so that its seam lies in the middle. A seamless loop
    shows nothing at the mark.

    Args:
        motion: the motion; of a batch, the first one is drawn.
        image: the photo [H, W, C] or [1, H, W, C] in 0..1; without one, stripes are moved.
        width: of the result in pixels; less if it would be more than twice as tall as this.

    Returns:
        float32 [frames, W, 3] in 0..1, at most 600 rows.
    """
    from ..packages import cv2

    height, width = _size(motion, image, width)
    volume = motion.volume.replace(coefficients=motion.volume.coefficients[:1])
    first_motion = Motion(volume, motion.coordinates, motion.fps, motion.loops)
    photo = _stripe_pattern(height, width) if image is None else _photo(image, (height, width))
    magnitude = resize_maps(first_motion.magnitude()[:, None], (height, width))[0, 0]
    row = int(magnitude.mean(dim=1).argmax())
    # Only pixels of a band around the row can land on it. Peaks are taken to be at most 4 times the mean.
    max_displacement = 4 * float(magnitude.max()) * width / volume.size[1]
    band_height = min(height, 2 * math.ceil(max_displacement) + 9)
    band_top = min(max(0, row - band_height // 2), height - band_height)
    # Resized to the image before it is cut, so that the band keeps its scale.
    resized = volume.resize((height, width))
    band = resized.replace(coefficients=resized.coefficients[..., band_top : band_top + band_height, :])
    frames = render(
        torch.from_numpy(photo[band_top : band_top + band_height].copy()),
        Motion(band, motion.coordinates, motion.fps, motion.loops),
    )
    rows = frames[:, row - band_top].numpy()
    if motion.loops:
        rows = np.concatenate([rows, rows])
    slice_height = min(len(rows), MAX_SLICE_ROWS)
    canvas = _to_uint8(cv2.resize(rows, (width, slice_height), interpolation=cv2.INTER_AREA))
    if motion.loops:
        seam = slice_height // 2
        for x in (0, width - 14):
            cv2.line(canvas, (x, seam), (x + 13, seam), SEAM_COLOR, 2)
        if width >= 256 and slice_height >= 64:
            canvas[seam - 10 : seam + 10, 16:66] //= 4
            _draw_text(canvas, "seam", (20, seam + 5), 0.5, BACKGROUND_COLOR)
    return _to_tensor(canvas)


def flow_to_image(flow: Tensor, max_length: float | None = None) -> Tensor:
    """Displacements as color: the hue is the direction, the saturation is the length (white does not move).

    Args:
        flow: float [2, H, W] in pixels.
        max_length: the length in pixels that is fully saturated; None is the 99.5th percentile.

    Returns:
        float32 [H, W, 3] in 0..1.
    """
    from ..packages import cv2

    x, y = flow.float().cpu().numpy()
    length = np.hypot(x, y)
    max_length = _scale_end(length) if max_length is None else max_length
    hue = np.degrees(np.arctan2(y, x)) % 360
    hsv = np.stack([hue, np.clip(length / max_length, 0, 1), np.ones_like(hue)], -1).astype(np.float32)
    return torch.from_numpy(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))


def flows_to_images(flows: Tensor) -> Tensor:
    """`flow_to_image` of flows [N, 2, H, W] with one scale for all: float32 [N, H, W, 3] in 0..1."""
    max_length = max(_scale_end(torch.hypot(*flow.float().cpu()).numpy()) for flow in flows)
    images = torch.empty(len(flows), *flows.shape[-2:], 3)
    for index, flow in enumerate(flows):
        images[index] = flow_to_image(flow, max_length)
    return images


def flow_wheel(motion: Motion, width: int = 512) -> Tensor:
    """The frame with the largest displacement as `flow_to_image`, with a color wheel that explains it.

    Args:
        motion: the motion; of a batch, the first one is drawn.
        width: of the result in pixels; less if it would be more than twice as tall as this.

    Returns:
        float32 [H, W, 3] in 0..1.
    """
    height, width = _size(motion, None, width)
    step = max(1, len(motion) // WHEEL_SAMPLES)
    energies = torch.stack(
        [motion.displacement(frame, frame + 1)[0, 0].pow(2).mean() for frame in range(0, len(motion), step)]
    )
    largest = int(energies.argmax()) * step
    flow = resize_flow(motion.displacement(largest, largest + 1)[0], (height, width))[0]
    canvas = _to_uint8(flow_to_image(flow).numpy())
    side = min(WHEEL_SIZE, height, width)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    wheel = _to_uint8(flow_to_image(torch.from_numpy(np.stack([x, y])), side / 2).numpy())
    radius, rim_radius = np.hypot(x, y), side / 2 - 2
    corner = canvas[height - side :, width - side :]
    corner[radius <= rim_radius] = wheel[radius <= rim_radius]
    corner[np.abs(radius - rim_radius) < 1] = TEXT_COLOR
    if _has_room_for_labels(height, width):
        max_length = float(np.quantile(torch.hypot(*flow).cpu().numpy(), SCALE_QUANTILE))
        _draw_text(canvas, f"rim: {max_length:.2g} px", (width - side - 136, height - 8), 0.6, TEXT_COLOR)
    return _to_tensor(canvas)


def _size(motion: Motion, image: Tensor | None, width: int) -> tuple[int, int]:
    """(H, W) of a result of this width with the photo's proportions, or else the volume's, up to MAX_ASPECT."""
    height, original_width = motion.volume.size if image is None else image_batch(image).shape[-2:]
    if height > MAX_ASPECT * original_width:
        return MAX_ASPECT * width, max(1, round(MAX_ASPECT * width * original_width / height))
    return max(1, round(height * width / original_width)), width


def _scale_end(magnitude: np.ndarray) -> float:
    """The magnitude at the end of a color scale, > 0."""
    return max(float(np.quantile(magnitude, SCALE_QUANTILE)), 1e-6)


def _has_room_for_labels(height: int, width: int) -> bool:
    return height > MIN_LABEL_HEIGHT and width > MIN_LABEL_WIDTH


def _photo(image: Tensor, size: Sequence[int]) -> np.ndarray:
    """The first image of a batch, resized, without alpha: float32 [H, W, 3]."""
    return resize_maps(image_batch(image)[:1, :3], size)[0].permute(1, 2, 0).clamp(0, 1).cpu().numpy()


def _stripe_pattern(height: int, width: int) -> np.ndarray:
    """An image [H, W, 3] that shows motion when there is no photo."""
    brightness = 0.55 + 0.35 * np.sin(np.arange(width) * (2 * np.pi / 24))
    return np.broadcast_to(brightness[None, :, None], (height, width, 3)).astype(np.float32)


def _to_uint8(image: np.ndarray) -> np.ndarray:
    """An image in 0..1 as contiguous uint8, the only format in which OpenCV draws text."""
    return np.ascontiguousarray((image.clip(0, 1) * 255).round().astype(np.uint8))


def _to_tensor(canvas: np.ndarray) -> Tensor:
    """A uint8 image as float32 in 0..1."""
    return torch.from_numpy(canvas).float() / 255


def _color_map(level: np.ndarray) -> np.ndarray:
    """Levels [H, W] in 0..1 as colors of OpenCV's "inferno", float32 [H, W, 3] in 0..1."""
    from ..packages import cv2

    mapped = cv2.applyColorMap((level * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return mapped[..., ::-1].astype(np.float32) / 255


def _draw_text(canvas: np.ndarray, text: str, origin: tuple[int, int], scale: float, color: Color) -> None:
    """Write text on a uint8 image; `origin` is the (x, y) of its lower left corner."""
    from ..packages import cv2

    cv2.putText(canvas, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, color, 1, cv2.LINE_AA)
