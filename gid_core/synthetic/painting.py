"""What synthetic scenes are made of: noise textures, backgrounds, painted surfaces and their deformation
fields.

Lengths are pixels of the scene, angles radians in image axes (x right, y down), colors RGB in 0..1.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from .scene import Fields

NOISE_SIZE = 1024


# Amplitude falls as 1/f^slope; no detail finer than so many texels.
NOISES = {"grain": (0.7, 2.0), "blotch": (1.5, 4.0), "cloud": (2.0, 6.0)}


@lru_cache
def noise_tile(kind: str) -> np.ndarray:
    """Tileable Gaussian noise of unit variance, float32 [1024, 1024]. All scenes share the tiles and look at
    them through random windows."""
    slope, finest = NOISES[kind]
    f = np.hypot(np.fft.fftfreq(NOISE_SIZE)[:, None], np.fft.rfftfreq(NOISE_SIZE)[None])
    f[0, 0] = 1
    gain = f**-slope * np.exp(-((f * finest) ** 2))
    gain[0, 0] = 0
    white = np.random.default_rng(20240617).standard_normal((NOISE_SIZE, NOISE_SIZE))
    noise = np.fft.irfft2(np.fft.rfft2(white) * gain)
    return (noise / noise.std()).astype(np.float32)


def noise_at(kind: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The noise tile at float coordinates x, y (texels, any range): float32, the shape of x."""
    mx, my = (np.mod(c, NOISE_SIZE).astype(np.float32) for c in (x, y))
    return cv2.remap(noise_tile(kind), mx, my, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def grid(bounds: tuple[int, int, int, int], supersample: int) -> tuple[np.ndarray, np.ndarray]:
    """Sub-pixel centers x, y, float32 [h·s, w·s], of the pixel rectangle (x0, y0, x1, y1)."""
    x0, y0, x1, y1 = bounds
    x = (np.arange((x1 - x0) * supersample) + 0.5) / supersample - 0.5 + x0
    y = (np.arange((y1 - y0) * supersample) + 0.5) / supersample - 0.5 + y0
    return tuple(np.meshgrid(x.astype(np.float32), y.astype(np.float32)))


@dataclass(frozen=True)
class Studio:
    """What all painters of one scene share: sub-pixels per pixel, canvas to paint on, light.

    canvas: (x0, y0, x1, y1), the frame and some pixels around it, so that what moves in from outside exists.
    light: direction across the picture from which light comes, unit (x, y). tint: color of light.
    """

    supersample: int
    canvas: tuple[int, int, int, int]
    light: tuple[float, float] = (-0.6, -0.8)
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def bounds(self, xs, ys, pad: float) -> tuple[int, int, int, int] | None:
        """Pixel rectangle around points, clipped to the canvas; None if nothing is left."""
        c = self.canvas
        x0, y0 = max(c[0], int(np.floor(np.min(xs) - pad))), max(c[1], int(np.floor(np.min(ys) - pad)))
        x1, y1 = min(c[2], int(np.ceil(np.max(xs) + pad)) + 1), min(c[3], int(np.ceil(np.max(ys) + pad)) + 1)
        return (x0, y0, x1, y1) if x1 - x0 > 1 and y1 - y0 > 1 else None

    def texture(self, color: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        """Premultiplied RGBA from color [..., 3] and alpha [...]."""
        rgb = np.clip(color * np.asarray(self.tint, np.float32), 0, 1) * alpha[..., None]
        return np.concatenate([rgb, alpha[..., None]], axis=-1).astype(np.float32)


# ---- deformation fields: (x, y) → [J, 2, ...] ----


def rigid_fields(point) -> Fields:
    """Shift in x, shift in y, small rotation (radians) about a point."""

    def fields(x, y):
        one, zero = np.ones_like(x), np.zeros_like(x)
        return np.stack([np.stack([one, zero]), np.stack([zero, one]), np.stack([point[1] - y, x - point[0]])])

    return fields


def cantilever_fields(root, direction, length: float, power: float = 1.8, second: bool = False) -> Fields:
    """Bending across `direction` (unit) of a bar clamped at `root`, unit displacement at its tip; with
    `second`, also the shape of the second bending mode."""
    normal = np.array([-direction[1], direction[0]])

    def fields(x, y):
        h = np.maximum((x - root[0]) * direction[0] + (y - root[1]) * direction[1], 0) / length
        shapes = [h**power] + ([4.2 * h**2 * (h - 0.78)] if second else [])
        return np.stack([np.stack([normal[0] * s, normal[1] * s]) for s in shapes])

    return fields


def both(first: Fields, second: Fields) -> Fields:
    """The fields of two motions that add up."""
    return lambda x, y: np.concatenate([first(x, y), second(x, y)])


def joint(fields: Fields, weights: np.ndarray, point, direction) -> np.ndarray:
    """Motion of a point fixed to a surface, as weights [3, N] of `rigid_fields(point)`: its displacement,
    and the turning of the surface's line through it along `direction` (unit)."""
    step = 0.5
    ends = np.array([[point[i] - step * direction[i], point[i], point[i] + step * direction[i]] for i in (0, 1)])
    before, here, after = np.moveaxis(fields(ends[0], ends[1]), 2, 0)  # each [J, 2]
    turn = (after - before) / (2 * step) @ np.array([-direction[1], direction[0]])
    return np.stack([here[:, 0] @ weights, here[:, 1] @ weights, turn @ weights])


# ---- surfaces ----


@dataclass
class Bar:
    """Geometry of a stem or a leaf: an axis from root along direction, bowed sideways by curve · length ·
    h²."""

    root: np.ndarray
    direction: np.ndarray
    length: float
    curve: float = 0.0

    @property
    def normal(self) -> np.ndarray:
        return np.array([-self.direction[1], self.direction[0]])

    def point(self, h) -> np.ndarray:
        """Position at the fraction h of the length: [..., 2]."""
        h = np.asarray(h, float)[..., None]
        return self.root + h * self.length * self.direction + self.curve * self.length * h**2 * self.normal

    def coordinates(self, x, y):
        """(s along, r across) of points, pixels; r is measured from the bowed axis."""
        dx, dy = x - np.float32(self.root[0]), y - np.float32(self.root[1])
        s = dx * np.float32(self.direction[0]) + dy * np.float32(self.direction[1])
        r = dx * np.float32(self.normal[0]) + dy * np.float32(self.normal[1])
        return s, r - np.float32(self.curve / self.length) * s**2


def direction(angle: float) -> np.ndarray:
    return np.array([np.cos(angle), np.sin(angle)])


def paint_stem(
    studio: Studio, rng, bar: Bar, widths: tuple[float, float], color, roughness=0.25
) -> tuple[np.ndarray, tuple[int, int]] | None:
    """A textured round stem, `widths` pixels across at root and tip. Returns (RGBA texture, origin) or
    None."""
    line = bar.point(np.linspace(0, 1, 9))
    bounds = studio.bounds(line[:, 0], line[:, 1], max(widths) / 2 + 1)
    if bounds is None:
        return None
    x, y = grid(bounds, studio.supersample)
    s, r = bar.coordinates(x, y)
    h = np.clip(s / bar.length, 0, 1)
    half = 0.5 * (widths[0] + (widths[1] - widths[0]) * h)
    alpha = _edge(half - np.abs(r), studio) * _edge(s, studio) * _edge(bar.length - s, studio)
    across = np.clip(r / np.maximum(half, 0.2), -1, 1)
    side = float(np.dot(bar.normal, studio.light))
    shade = 0.45 + 0.55 * np.clip(np.sqrt(1 - across**2) * 0.8 + 0.5 * side * across, 0, 1)
    ox, oy = rng.uniform(0, NOISE_SIZE, 2)
    # Fibres along the stem and marks across it: the latter are what shows motion along a stem.
    grain = 0.6 * noise_at("grain", ox + 0.35 * s, oy + 2 * r) + 0.7 * noise_at("grain", oy + s, ox + 0.8 * r)
    drift = noise_at("blotch", oy + 0.3 * s, ox + 0.1 * r)
    tone = (shade * np.exp(roughness * grain))[..., None] * np.asarray(color, np.float32)
    tone = tone * (1 + 0.12 * drift[..., None] * np.array([1.2, 0.3, -0.8], np.float32))
    return studio.texture(tone, alpha), bounds[:2]


def paint_leaf(studio: Studio, rng, bar: Bar, width: float, color, blunt=0.8):
    """A leaf with midrib, veins and a darker half. Returns (RGBA texture, origin) or None."""
    line = bar.point(np.linspace(0, 1, 7))
    bounds = studio.bounds(line[:, 0], line[:, 1], width / 2 + 1)
    if bounds is None:
        return None
    x, y = grid(bounds, studio.supersample)
    s, r = bar.coordinates(x, y)
    h = np.clip(s / bar.length, 0, 1)
    stalk = 0.12
    blade = np.clip((h - stalk) / (1 - stalk), 0, 1)
    half = 0.5 * width * np.maximum(np.sin(np.pi * blade**blunt), 0) ** 0.85
    half = np.maximum(half, 0.45 * (h < 0.9))
    alpha = _edge(half - np.abs(r), studio) * _edge(s, studio) * _edge(bar.length - s, studio)
    side = float(np.dot(bar.normal, studio.light))
    ox, oy = rng.uniform(0, NOISE_SIZE, 2)
    grain = noise_at("grain", ox + s, oy + r)
    tone = 0.85 + 0.22 * side * np.tanh(2 * r) + 0.13 * grain
    tone += 0.2 * np.exp(-((r / max(0.35, 0.05 * width)) ** 2))
    tone += 0.07 * np.cos((s - 0.9 * np.abs(r)) * (2 * np.pi / max(2.5, 0.14 * bar.length)))
    tone *= 1 - 0.25 * (2 * np.abs(r) / width) ** 2
    tint = np.asarray(color, np.float32) * (1 + rng.uniform(-0.15, 0.15, 3)).astype(np.float32)
    rust = np.clip(noise_at("blotch", oy + 0.4 * s, ox + 0.4 * r) - 0.6, 0, 1)[..., None] * rng.uniform(0, 0.5)
    return studio.texture(tone[..., None] * (tint + rust * np.array([0.5, 0.1, -0.1], np.float32)), alpha), bounds[:2]


def paint_cloth(studio: Studio, rng, corner, width: float, height: float, colors):
    """A hanging sheet with folds and a printed pattern; `corner` is its top left. Returns (RGBA, origin) or
    None."""
    bounds = studio.bounds([corner[0], corner[0] + width], [corner[1], corner[1] + height], 3)
    if bounds is None:
        return None
    x, y = grid(bounds, studio.supersample)
    u, v = (x - corner[0]) / width, (y - corner[1]) / height
    folds = rng.uniform(2, 6)
    ox, oy = rng.uniform(0, NOISE_SIZE, 2)
    warp = 0.05 * noise_at("blotch", ox + 0.4 * x, oy + 0.15 * y)
    bunch = 0.08 * np.sin(2 * np.pi * (rng.uniform(0.6, 1.6) * u + rng.random()))  # folds of unequal width
    phase = 2 * np.pi * (folds * (u + bunch + warp * v) + rng.random())
    hem = height + 1.5 * np.sin(phase) * np.clip(v, 0, 1)
    alpha = (
        _edge(x - corner[0] - 1.2 * np.sin(6 * v), studio)
        * _edge(corner[0] + width - x + 1.2 * np.sin(5 * v + 1), studio)
        * _edge(y - corner[1], studio)
        * _edge(hem - (y - corner[1]), studio)
    )
    base, second = (np.asarray(c, np.float32) for c in colors)
    pattern, cell = rng.integers(0, 4), rng.uniform(0.06, 0.14) * width
    px, py = x - corner[0] + 1.5 * np.sin(phase), y - corner[1]
    stripes = {
        0: lambda: np.sin(2 * np.pi * px / cell),
        1: lambda: np.sin(2 * np.pi * py / cell),
        2: lambda: np.minimum(np.sin(2 * np.pi * px / cell), np.sin(2 * np.pi * py / cell)) + 0.3,
        3: lambda: noise_at("blotch", oy + 0.7 * px, ox + 0.7 * py) - 0.4,
    }[int(pattern)]()
    mix = np.clip(0.5 + 2 * stripes, 0, 1)[..., None]
    weave = noise_at("grain", ox + x, oy + y)
    depth = 0.05 + 0.17 * np.clip(v, 0, 1) ** 0.5
    fold = np.sin(phase + np.sign(studio.light[0]) * 0.8)
    shade = 0.85 + depth * fold + 0.3 * depth * np.sin(2.3 * phase + 5 * warp + 1) + 0.04 * weave
    shade += 0.06 * noise_at("blotch", oy + 0.8 * x, ox + 0.5 * y)
    return studio.texture(shade[..., None] * (base + mix * (second - base)), alpha), bounds[:2]


def paint_foliage(studio: Studio, rng, center, radii, color, leaf: float):
    """A clump of many small leaves painted on one surface. Returns (RGBA texture, origin) or None."""
    bounds = studio.bounds(
        [center[0] - radii[0], center[0] + radii[0]], [center[1] - radii[1], center[1] + radii[1]], leaf
    )
    if bounds is None:
        return None
    s = studio.supersample
    h, w = (bounds[3] - bounds[1]) * s, (bounds[2] - bounds[0]) * s
    picture = np.zeros((h, w, 4), np.float32)
    count = int(np.clip(8.0 * radii[0] * radii[1] / leaf**2, 30, 900))
    place = rng.standard_normal((count, 2)) * 0.42
    place = place[np.hypot(*place.T) < 0.93]
    outline = np.array([[0, 0], [0.3, 0.2], [0.6, 0.17], [1, 0], [0.6, -0.17], [0.3, -0.2]])
    foot = np.array([0.2 * radii[0] * rng.standard_normal(), radii[1]])
    for tip in place[:: max(1, len(place) // 14)] * radii:  # twigs, from one foot at the lower edge
        ends = np.round((np.array([foot, tip]) + center - bounds[:2]) * s).astype(int)
        tone = tuple(map(float, np.clip(np.array([0.22, 0.17, 0.12]) * studio.tint, 0, 1)))
        cv2.line(picture, *map(tuple, ends.tolist()), (*tone, 1.0), max(1, round(0.12 * leaf * s)))
    for i, (px, py) in enumerate(place):
        along = direction(rng.uniform(0, 2 * np.pi))
        turn = np.array([along, [-along[1], along[0]]])
        shape = np.array([px * radii[0], py * radii[1]]) + center + leaf * rng.uniform(0.6, 1.2) * (outline @ turn)
        # Light falls on the leaves painted last and on those facing it; the first ones lie in shadow.
        lit = 0.3 + 0.65 * i / len(place) + 0.18 * (px * studio.light[0] + py * studio.light[1])
        tone = np.asarray(color) * (lit + rng.uniform(-0.12, 0.25)) * (1 + rng.uniform(-0.12, 0.12, 3))
        tone = np.clip(tone * studio.tint, 0, 1)
        fixed = np.round(((shape - bounds[:2] + 0.5) * s - 0.5) * 16).astype(np.int32)
        cv2.fillConvexPoly(picture, fixed, (*map(float, tone), 1.0), lineType=cv2.LINE_8, shift=4)
    return picture, bounds[:2]


def _edge(inside: np.ndarray, studio: Studio) -> np.ndarray:
    """Anti-aliased step from the signed distance (pixels) to an edge."""
    return np.clip(inside * studio.supersample + 0.5, 0, 1).astype(np.float32)


# ---- backgrounds ----


def paint_background(rng, size: tuple[int, int], style: str) -> np.ndarray:
    """A still backdrop: "foliage" (out of focus), "sky", "wall" or "field". float32 [H, W, 3] in 0..1."""
    h, w = size
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    v = (y / h)[..., None]
    ox, oy = rng.uniform(0, NOISE_SIZE, 2)
    unit = 160.0 / h  # noise texels per pixel, so that larger pictures show the same things larger
    cloud = noise_at("cloud", ox + unit * x, oy + unit * y)[..., None]
    soft = noise_at("blotch", oy + 2 * unit * x, ox + 2 * unit * y)[..., None]
    if style == "foliage":
        dark, bright = np.array([0.07, 0.12, 0.05]), np.array([0.5, 0.58, 0.3]) * rng.uniform(0.7, 1.2, 3)
        level = np.clip(0.38 + 0.15 * cloud + 0.12 * soft, 0, 1)
        image = _bokeh(rng, (dark + level * (bright - dark)).astype(np.float32), 40, bright)
    elif style == "sky":
        top, low = np.array([0.25, 0.45, 0.75]) * rng.uniform(0.8, 1.15, 3), np.array([0.75, 0.82, 0.88])
        white = np.clip(0.3 * cloud + 0.06 * soft + rng.uniform(-0.2, 0.3), 0, 0.9)
        image = top + v * (low - top)
        image = image + white * (np.array([0.96, 0.95, 0.93]) - image)
    elif style == "wall":
        base = np.array([0.62, 0.56, 0.48]) * rng.uniform(0.6, 1.2) * rng.uniform(0.85, 1.15, 3)
        brick, row = rng.uniform(16, 30) / unit, rng.uniform(7, 12) / unit
        shift = (np.floor(y / row) % 2) * 0.5
        mortar = np.minimum(np.abs((x / brick + shift) % 1 - 0.5) * brick, np.abs((y / row) % 1 - 0.5) * row)
        seen = np.exp(-((mortar / 1.1) ** 2))[..., None] * rng.choice([0, 0.2])
        shade = 1 + 0.06 * cloud + 0.05 * soft + 0.25 * rng.uniform(-1, 1) * (x / w - 0.5)[..., None]
        image = base * (shade - seen)
    else:
        far, near = np.array([0.6, 0.66, 0.66]), np.array([0.34, 0.38, 0.16]) * rng.uniform(0.7, 1.3, 3)
        horizon = rng.uniform(0.25, 0.5) + 0.03 * noise_at("cloud", ox + unit * x, 0 * y + oy)[..., None]
        ground = 1 / (1 + np.exp(-(v - horizon) * 60))
        rows = noise_at("grain", ox + unit * x, oy + 3 * unit * y)[..., None]
        sky = np.array([0.7, 0.8, 0.9]) * (0.85 + 0.2 * v) + 0.04 * cloud
        fog = np.clip((v - horizon) * 2.5, 0, 1)
        image = sky + ground * ((far + fog * (near - far)) * (0.9 + 0.12 * rows + 0.1 * cloud) - sky)
    fine = noise_at("grain", ox + x, oy + y)[..., None]
    image = image * (1 + {"sky": 0.008, "foliage": 0.02}.get(style, 0.045) * fine)
    fall = 1 - 0.18 * (((x / w - 0.5) ** 2 + (y / h - 0.5) ** 2) * 2)[..., None]
    return np.clip(image * fall, 0, 1).astype(np.float32)


def _bokeh(rng, image: np.ndarray, count: int, color) -> np.ndarray:
    """Adds out-of-focus discs of light."""
    h, w = image.shape[:2]
    discs = np.zeros_like(image)
    for _ in range(count):
        disc = np.zeros_like(image)
        at = (int(rng.uniform(0, w)), int(rng.uniform(0, h)))
        tone = color * rng.uniform(0.1, 0.5) * rng.uniform(0.8, 1.2, 3)
        cv2.circle(disc, at, int(h * rng.uniform(0.02, 0.07)), tuple(map(float, tone)), -1)
        discs += disc
    return image + cv2.GaussianBlur(discs, (0, 0), 0.012 * h + 0.3)
