"""Painting of synthetic scenes: noise textures, stems, leaves, cloth and foliage.

Lengths are in pixels of the scene, angles in radians in image axes (x right, y down), colors are RGB in 0..1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..packages import cv2
from .deformation import Beam, unit_vector
from .scene import Bounds

TILE_SIZE = 1024  # texels
TILE_SEED = 20240617
# (slope, finest): the amplitude falls as 1/f^slope, and details smaller than `finest` texels are removed.
NOISE_SPECTRA = {"grain": (0.7, 2.0), "blotch": (1.5, 4.0), "cloud": (2.0, 6.0)}

Color = Sequence[float] | np.ndarray  # RGB
Painted = tuple[np.ndarray, tuple[int, int]]  # premultiplied RGBA texture, and its `Layer.origin`


@lru_cache
def noise_tile(kind: str) -> np.ndarray:
    """Tileable Gaussian noise of unit variance, float32 [1024, 1024]. All scenes sample the same tiles at random
    offsets."""
    slope, finest = NOISE_SPECTRA[kind]
    f = np.hypot(np.fft.fftfreq(TILE_SIZE)[:, None], np.fft.rfftfreq(TILE_SIZE)[None])
    f[0, 0] = 1
    gain = f**-slope * np.exp(-((f * finest) ** 2))
    gain[0, 0] = 0
    white = np.random.default_rng(TILE_SEED).standard_normal((TILE_SIZE, TILE_SIZE))
    noise = np.fft.irfft2(np.fft.rfft2(white) * gain)
    return (noise / noise.std()).astype(np.float32)


def sample_noise(kind: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Sample the noise tile at float coordinates x, y (texels, any range): float32, the shape of x."""
    map_x, map_y = (np.mod(c, TILE_SIZE).astype(np.float32) for c in (x, y))
    return cv2.remap(noise_tile(kind), map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def subpixel_grid(bounds: Bounds, supersample: int) -> tuple[np.ndarray, np.ndarray]:
    """Sub-pixel centers x, y, float32 [h·s, w·s], of the pixel rectangle (x0, y0, x1, y1)."""
    x0, y0, x1, y1 = bounds
    x = (np.arange((x1 - x0) * supersample) + 0.5) / supersample - 0.5 + x0
    y = (np.arange((y1 - y0) * supersample) + 0.5) / supersample - 0.5 + y0
    grid_x, grid_y = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    return grid_x, grid_y


@dataclass(frozen=True)
class PaintContext:
    """Settings that all surfaces of one scene share.

    Attributes:
        supersample: sub-pixels per pixel, in both directions.
        canvas: (x0, y0, x1, y1), the frame and a margin for surfaces that move into it.
        light_direction: unit (x, y) from which light comes across the image.
        light_color: RGB.
    """

    supersample: int
    canvas: Bounds
    light_direction: tuple[float, float] = (-0.6, -0.8)
    light_color: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def bounds(
        self, xs: Sequence[float] | np.ndarray, ys: Sequence[float] | np.ndarray, margin: float
    ) -> Bounds | None:
        """Pixel rectangle around points, clipped to the canvas; None if it is empty."""
        c = self.canvas
        x0, y0 = max(c[0], int(np.floor(np.min(xs) - margin))), max(c[1], int(np.floor(np.min(ys) - margin)))
        x1, y1 = min(c[2], int(np.ceil(np.max(xs) + margin)) + 1), min(c[3], int(np.ceil(np.max(ys) + margin)) + 1)
        return (x0, y0, x1, y1) if x1 - x0 > 1 and y1 - y0 > 1 else None

    def texture(self, color: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        """Premultiplied RGBA float32 [..., 4] from color [..., 3] and alpha [...]."""
        rgb = np.clip(color * np.asarray(self.light_color, np.float32), 0, 1) * alpha[..., None]
        return np.concatenate([rgb, alpha[..., None]], axis=-1).astype(np.float32)


# ---- surfaces ----


def paint_stem(
    context: PaintContext,
    rng: np.random.Generator,
    beam: Beam,
    widths: tuple[float, float],
    color: Color,
    roughness: float = 0.25,
) -> Painted | None:
    """A textured round stem, `widths` pixels across at root and tip; None if it is outside the canvas."""
    line = beam.point(np.linspace(0, 1, 9))
    bounds = context.bounds(line[:, 0], line[:, 1], max(widths) / 2 + 1)
    if bounds is None:
        return None
    x, y = subpixel_grid(bounds, context.supersample)
    s, r = beam.local_coordinates(x, y)
    h = np.clip(s / beam.length, 0, 1)
    half = 0.5 * (widths[0] + (widths[1] - widths[0]) * h)
    alpha = (
        _edge_coverage(half - np.abs(r), context)
        * _edge_coverage(s, context)
        * _edge_coverage(beam.length - s, context)
    )
    across = np.clip(r / np.maximum(half, 0.2), -1, 1)
    facing = float(np.dot(beam.normal, context.light_direction))
    shade = 0.45 + 0.55 * np.clip(np.sqrt(1 - across**2) * 0.8 + 0.5 * facing * across, 0, 1)
    offset_x, offset_y = rng.uniform(0, TILE_SIZE, 2)
    # Fibers along the stem, and marks across it that make motion along the stem visible.
    grain = 0.6 * sample_noise("grain", offset_x + 0.35 * s, offset_y + 2 * r) + 0.7 * sample_noise(
        "grain", offset_y + s, offset_x + 0.8 * r
    )
    drift = sample_noise("blotch", offset_y + 0.3 * s, offset_x + 0.1 * r)
    tone = (shade * np.exp(roughness * grain))[..., None] * np.asarray(color, np.float32)
    tone = tone * (1 + 0.12 * drift[..., None] * np.array([1.2, 0.3, -0.8], np.float32))
    return context.texture(tone, alpha), bounds[:2]


def paint_leaf(
    context: PaintContext,
    rng: np.random.Generator,
    beam: Beam,
    width: float,
    color: Color,
    bluntness: float = 0.8,
) -> Painted | None:
    """A leaf with midrib, veins and a darker half; None if it is outside the canvas."""
    line = beam.point(np.linspace(0, 1, 7))
    bounds = context.bounds(line[:, 0], line[:, 1], width / 2 + 1)
    if bounds is None:
        return None
    x, y = subpixel_grid(bounds, context.supersample)
    s, r = beam.local_coordinates(x, y)
    h = np.clip(s / beam.length, 0, 1)
    stalk = 0.12
    blade = np.clip((h - stalk) / (1 - stalk), 0, 1)
    half = 0.5 * width * np.maximum(np.sin(np.pi * blade**bluntness), 0) ** 0.85
    half = np.maximum(half, 0.45 * (h < 0.9))
    alpha = (
        _edge_coverage(half - np.abs(r), context)
        * _edge_coverage(s, context)
        * _edge_coverage(beam.length - s, context)
    )
    facing = float(np.dot(beam.normal, context.light_direction))
    offset_x, offset_y = rng.uniform(0, TILE_SIZE, 2)
    grain = sample_noise("grain", offset_x + s, offset_y + r)
    tone = 0.85 + 0.22 * facing * np.tanh(2 * r) + 0.13 * grain
    tone += 0.2 * np.exp(-((r / max(0.35, 0.05 * width)) ** 2))
    tone += 0.07 * np.cos((s - 0.9 * np.abs(r)) * (2 * np.pi / max(2.5, 0.14 * beam.length)))
    tone *= 1 - 0.25 * (2 * np.abs(r) / width) ** 2
    tint = np.asarray(color, np.float32) * (1 + rng.uniform(-0.15, 0.15, 3)).astype(np.float32)
    rust = np.clip(sample_noise("blotch", offset_y + 0.4 * s, offset_x + 0.4 * r) - 0.6, 0, 1)[..., None] * rng.uniform(
        0, 0.5
    )
    return context.texture(tone[..., None] * (tint + rust * np.array([0.5, 0.1, -0.1], np.float32)), alpha), bounds[:2]


def paint_cloth(
    context: PaintContext,
    rng: np.random.Generator,
    corner: np.ndarray,
    width: float,
    height: float,
    colors: Sequence[Color] | np.ndarray,
) -> Painted | None:
    """A hanging sheet with folds and a printed pattern; None if it is outside the canvas.

    Args:
        corner: (x, y) of the top left.
        colors: of the cloth and of the print.
    """
    bounds = context.bounds([corner[0], corner[0] + width], [corner[1], corner[1] + height], 3)
    if bounds is None:
        return None
    x, y = subpixel_grid(bounds, context.supersample)
    u, v = (x - corner[0]) / width, (y - corner[1]) / height
    fold_count = rng.uniform(2, 6)
    offset_x, offset_y = rng.uniform(0, TILE_SIZE, 2)
    warp = 0.05 * sample_noise("blotch", offset_x + 0.4 * x, offset_y + 0.15 * y)
    spacing = 0.08 * np.sin(2 * np.pi * (rng.uniform(0.6, 1.6) * u + rng.random()))  # makes folds of unequal width
    phase = 2 * np.pi * (fold_count * (u + spacing + warp * v) + rng.random())
    hem = height + 1.5 * np.sin(phase) * np.clip(v, 0, 1)
    alpha = (
        _edge_coverage(x - corner[0] - 1.2 * np.sin(6 * v), context)
        * _edge_coverage(corner[0] + width - x + 1.2 * np.sin(5 * v + 1), context)
        * _edge_coverage(y - corner[1], context)
        * _edge_coverage(hem - (y - corner[1]), context)
    )
    base_color, print_color = (np.asarray(c, np.float32) for c in colors)
    pattern, cell = rng.integers(0, 4), rng.uniform(0.06, 0.14) * width
    px, py = x - corner[0] + 1.5 * np.sin(phase), y - corner[1]
    print_value = {
        0: lambda: np.sin(2 * np.pi * px / cell),
        1: lambda: np.sin(2 * np.pi * py / cell),
        2: lambda: np.minimum(np.sin(2 * np.pi * px / cell), np.sin(2 * np.pi * py / cell)) + 0.3,
        3: lambda: sample_noise("blotch", offset_y + 0.7 * px, offset_x + 0.7 * py) - 0.4,
    }[int(pattern)]()
    mix = np.clip(0.5 + 2 * print_value, 0, 1)[..., None]
    weave = sample_noise("grain", offset_x + x, offset_y + y)
    depth = 0.05 + 0.17 * np.clip(v, 0, 1) ** 0.5
    fold = np.sin(phase + np.sign(context.light_direction[0]) * 0.8)
    shade = 0.85 + depth * fold + 0.3 * depth * np.sin(2.3 * phase + 5 * warp + 1) + 0.04 * weave
    shade += 0.06 * sample_noise("blotch", offset_y + 0.8 * x, offset_x + 0.5 * y)
    return context.texture(shade[..., None] * (base_color + mix * (print_color - base_color)), alpha), bounds[:2]


def paint_foliage(
    context: PaintContext,
    rng: np.random.Generator,
    center: np.ndarray,
    radii: np.ndarray,
    color: Color,
    leaf_length: float,
) -> Painted | None:
    """A clump of many small leaves painted on one surface; None if it is outside the canvas."""
    bounds = context.bounds(
        [center[0] - radii[0], center[0] + radii[0]], [center[1] - radii[1], center[1] + radii[1]], leaf_length
    )
    if bounds is None:
        return None
    s = context.supersample
    h, w = (bounds[3] - bounds[1]) * s, (bounds[2] - bounds[0]) * s
    image = np.zeros((h, w, 4), np.float32)
    count = int(np.clip(8.0 * radii[0] * radii[1] / leaf_length**2, 30, 900))
    positions = rng.standard_normal((count, 2)) * 0.42  # in units of the radii
    positions = positions[np.hypot(*positions.T) < 0.93]
    outline = np.array([[0, 0], [0.3, 0.2], [0.6, 0.17], [1, 0], [0.6, -0.17], [0.3, -0.2]])
    twig_root = np.array([0.2 * radii[0] * rng.standard_normal(), radii[1]])
    for tip in positions[:: max(1, len(positions) // 14)] * radii:  # twigs that start at one point of the lower edge
        (x0, y0), (x1, y1) = np.round((np.array([twig_root, tip]) + center - bounds[:2]) * s).astype(int).tolist()
        tone = tuple(map(float, np.clip(np.array([0.22, 0.17, 0.12]) * context.light_color, 0, 1)))
        cv2.line(image, (x0, y0), (x1, y1), (*tone, 1.0), max(1, round(0.12 * leaf_length * s)))
    for i, (px, py) in enumerate(positions):
        axis = unit_vector(rng.uniform(0, 2 * np.pi))
        rotation = np.array([axis, [-axis[1], axis[0]]])
        polygon = (
            np.array([px * radii[0], py * radii[1]])
            + center
            + leaf_length * rng.uniform(0.6, 1.2) * (outline @ rotation)
        )
        # Leaves painted last and leaves on the lit side are bright; the first ones are in shadow.
        brightness = (
            0.3 + 0.65 * i / len(positions) + 0.18 * (px * context.light_direction[0] + py * context.light_direction[1])
        )
        tone = np.asarray(color) * (brightness + rng.uniform(-0.12, 0.25)) * (1 + rng.uniform(-0.12, 0.12, 3))
        tone = np.clip(tone * context.light_color, 0, 1)
        fixed_point = np.round(((polygon - bounds[:2] + 0.5) * s - 0.5) * 16).astype(np.int32)
        cv2.fillConvexPoly(image, fixed_point, (*map(float, tone), 1.0), lineType=cv2.LINE_8, shift=4)
    return image, bounds[:2]


def _edge_coverage(distance: np.ndarray, context: PaintContext) -> np.ndarray:
    """Coverage 0..1 of sub-pixels at a signed distance (pixels) from an edge, positive inside."""
    return np.clip(distance * context.supersample + 0.5, 0, 1).astype(np.float32)
