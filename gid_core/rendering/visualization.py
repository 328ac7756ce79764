"""Pictures of motion: where it moves, at which frequencies, how it runs over time, and in which direction."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..motion import Motion
from ..spectral_volume import SpectralVolume
from ..tensors import image_batch, resize_flow, resize_maps
from .render import render

INK, PAPER, GRID = (33, 36, 41), (255, 255, 255), (224, 227, 230)
X_COLOR, Y_COLOR, SEAM_COLOR = (26, 115, 217), (230, 102, 13), (255, 38, 51)


def motion_map(motion: Motion, image: Tensor | None = None, width: int = 512) -> Tensor:
    """Mean displacement of every pixel as color, over a gray version of the photo, with a scale.

    Args:
        motion: the first of its batch is drawn.
        image: the photo [H, W, C] or [1, H, W, C]; without one the map is drawn alone.
        width: of the picture in pixels.

    Returns:
        float32 [H, W, 3] in 0..1.
    """
    height = _height(motion, image, width)
    magnitude = resize_maps(motion.magnitude()[:1, None], (height, width))[0, 0].cpu().numpy()
    top = max(float(np.quantile(magnitude, 0.995)), 1e-6)
    level = np.clip(magnitude / top, 0, 1)
    color = _color_map(level)
    if image is not None:
        gray = _photo(image, (height, width)).mean(-1, keepdims=True) * 0.7 + 0.1
        color = gray + (color - gray) * np.sqrt(level)[..., None]
    canvas = _canvas(color)
    ramp = _canvas(_color_map(np.tile(np.linspace(0, 1, 96), (8, 1))))
    left, bottom = 10, height - 12
    if height > 48 and width > 220:
        canvas[bottom - 26 : bottom + 6, : left + 190] //= 3
        canvas[bottom - 8 : bottom, left : left + 96] = ramp
        _text(canvas, "mean motion", (left, bottom - 13), 0.38, PAPER)
        _text(canvas, f"{top * width / motion.volume.size[1]:.2g} px", (left + 102, bottom), 0.38, PAPER)
    return _picture(canvas)


def power_spectrum(volume: SpectralVolume, size: tuple[int, int] = (288, 512)) -> Tensor:
    """Mean power of every frequency bin on a logarithmic scale, for x and y.

    Power is the mean squared amplitude of the bin's motion in pixels, over the pixels of the first volume.

    Returns:
        float32 [H, W, 3] in 0..1.
    """
    import cv2

    height, width = size
    canvas = np.full((height, width, 3), PAPER, np.uint8)
    amplitude = volume.coefficients[0].pow(2).mean(dim=(-2, -1)) * (2 / volume.period) ** 2
    power = torch.stack([amplitude[:, :2].sum(1), amplitude[:, 2:].sum(1)]).cpu().numpy()[:, 1:]
    decades = np.log10(np.maximum(power, 1e-12))
    top = math.ceil(decades.max() + 0.05) if decades.size else 0
    bottom = min(math.floor(max(decades.min(), top - 6)), top - 1) if decades.size else -1
    left, right, upper, lower = 62, width - 14, 30, height - 40

    def line_y(decade: float) -> int:
        return round(lower - (decade - bottom) / (top - bottom) * (lower - upper))

    for decade in range(bottom, top + 1):
        cv2.line(canvas, (left, line_y(decade)), (right, line_y(decade)), GRID, 1)
        _text(canvas, f"1e{decade}", (18, line_y(decade) + 4), 0.36, INK)
    bins = power.shape[1]
    slot = (right - left) / max(bins, 1)
    for index in range(bins):
        for axis, color in enumerate((X_COLOR, Y_COLOR)):
            x = left + round((index + 0.18 + 0.32 * axis) * slot)
            y = line_y(max(decades[axis, index], bottom))
            cv2.rectangle(canvas, (x, y), (x + max(1, round(0.28 * slot)), lower), color, -1)
        if index % max(1, bins // 8) == 0:
            frequency = (index + 1) * volume.fps / volume.period
            _text(canvas, f"{frequency:.1f}", (left + round(index * slot), lower + 16), 0.36, INK)
    _text(canvas, "frequency (Hz)", ((left + right) // 2 - 40, height - 8), 0.4, INK)
    _text(canvas, "power (px^2)", (8, 16), 0.4, INK)
    _text(canvas, "x", (right - 44, 18), 0.45, X_COLOR)
    _text(canvas, "y", (right - 22, 18), 0.45, Y_COLOR)
    return _picture(canvas)


def xt_slice(motion: Motion, image: Tensor | None = None, width: int = 512) -> Tensor:
    """One row of the rendered picture over time, time running down, with the seam of a loop marked.

    The row is the one that moves most. A loop is drawn twice, so that its seam lies in the middle: if nothing
    shows at the mark, the loop is seamless.

    Returns:
        float32 [frames, W, 3] in 0..1, at most 600 rows.
    """
    import cv2

    height = _height(motion, image, width)
    single = Motion(
        motion.volume.replace(coefficients=motion.volume.coefficients[:1]),
        motion.coordinates,
        motion.fps,
        motion.loops,
    )
    photo = _stripes(height, width) if image is None else _photo(image, (height, width))
    magnitude = resize_maps(single.magnitude()[:, None], (height, width))[0, 0]
    row = int(magnitude.mean(dim=1).argmax())
    # Only a band around the row can land on it.
    farthest = 4 * float(magnitude.max()) * width / motion.volume.size[1]
    reach = min(height, 2 * math.ceil(farthest) + 9)
    top = min(max(0, row - reach // 2), height - reach)
    # Resized to the picture before the cut, so that the band keeps its scale.
    resized = single.volume.resize((height, width))
    band = resized.replace(coefficients=resized.coefficients[..., top : top + reach, :])
    frames = render(
        torch.from_numpy(photo[top : top + reach].copy()),
        Motion(band, single.coordinates, single.fps, single.loops),
    )
    time = frames[:, row - top].numpy()
    if motion.loops:
        time = np.concatenate([time, time])
    rows = min(len(time), 600)
    canvas = _canvas(cv2.resize(time, (width, rows), interpolation=cv2.INTER_AREA))
    if motion.loops:
        seam = rows // 2
        for x in (0, width - 14):
            cv2.line(canvas, (x, seam), (x + 13, seam), SEAM_COLOR, 2)
        if width >= 256 and rows >= 64:
            canvas[seam - 10 : seam + 10, 16:66] //= 4
            _text(canvas, "seam", (20, seam + 5), 0.5, PAPER)
    return _picture(canvas)


def flow_colors(flow: Tensor, maximum: float | None = None) -> Tensor:
    """Displacements as color: the hue is the direction, the saturation the length (white is still).

    Args:
        flow: float [2, H, W] in pixels.
        maximum: the length that is fully saturated; default: the 99.5th percentile.

    Returns:
        float32 [H, W, 3] in 0..1.
    """
    import cv2

    x, y = flow.float().cpu().numpy()
    length = np.hypot(x, y)
    maximum = max(float(np.quantile(length, 0.995)), 1e-6) if maximum is None else maximum
    hue = np.degrees(np.arctan2(y, x)) % 360
    hsv = np.stack([hue, np.clip(length / maximum, 0, 1), np.ones_like(hue)], -1).astype(np.float32)
    return torch.from_numpy(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))


def flow_wheel(motion: Motion, width: int = 512) -> Tensor:
    """The frame with the largest displacement as color, with the wheel that explains it.

    Returns:
        float32 [H, W, 3] in 0..1.
    """
    height = _height(motion, None, width)
    energies = torch.stack(
        [motion.displacement(t, t + 1)[0, 0].pow(2).mean() for t in range(0, len(motion), max(1, len(motion) // 32))]
    )
    frame = int(energies.argmax()) * max(1, len(motion) // 32)
    flow = resize_flow(motion.displacement(frame, frame + 1)[0], (height, width))[0]
    canvas = _canvas(flow_colors(flow).numpy())
    side = min(88, height, width)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    wheel = _canvas(flow_colors(torch.from_numpy(np.stack([x, y])), side / 2).numpy())
    inside = np.hypot(x, y) <= side / 2 - 2
    rim = np.abs(np.hypot(x, y) - (side / 2 - 2)) < 1
    corner = canvas[height - side :, width - side :]
    corner[inside] = wheel[inside]
    corner[rim] = INK
    if height > 48 and width > 220:
        longest = float(np.quantile(torch.hypot(*flow).cpu().numpy(), 0.995))
        _text(canvas, f"rim: {longest:.2g} px", (width - side - 96, height - 8), 0.4, INK)
    return _picture(canvas)


def _height(motion: Motion, image: Tensor | None, width: int) -> int:
    height, own_width = motion.volume.size if image is None else image_batch(image).shape[-2:]
    return max(1, round(height * width / own_width))


def _photo(image: Tensor, size: tuple[int, int]) -> np.ndarray:
    """First picture of a batch at a size, [H, W, 3], alpha dropped."""
    return resize_maps(image_batch(image)[:1, :3], size)[0].permute(1, 2, 0).clamp(0, 1).cpu().numpy()


def _stripes(height: int, width: int) -> np.ndarray:
    """A pattern to show motion on when there is no photo."""
    wave = 0.55 + 0.35 * np.sin(np.arange(width) * (2 * np.pi / 24))
    return np.broadcast_to(wave[None, :, None], (height, width, 3)).astype(np.float32)


def _canvas(picture: np.ndarray) -> np.ndarray:
    """A picture in 0..1 as bytes: OpenCV writes text on nothing else."""
    return np.ascontiguousarray((picture.clip(0, 1) * 255).round().astype(np.uint8))


def _picture(canvas: np.ndarray) -> Tensor:
    return torch.from_numpy(canvas).float() / 255


def _color_map(level: np.ndarray) -> np.ndarray:
    import cv2

    mapped = cv2.applyColorMap((level * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return mapped[..., ::-1].astype(np.float32) / 255


def _text(canvas: np.ndarray, text: str, place: tuple[int, int], scale: float, color: tuple) -> None:
    import cv2

    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, color, 1, cv2.LINE_AA)
