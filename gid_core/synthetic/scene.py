"""Layered 2D scenes whose motion is known exactly: geometry, ground truth and rendering.

A scene is a static background and a stack of opaque layers. Layer l has a texture painted in the coordinates of
frame 0 and a smooth deformation

    u_l(X, t) = Σ_j  fields_j(X) · a_j(t),        a_j(t) = Re Σ_n weights_jn (e^{2πi f_n t / fps} − 1)

so u_l(X, 0) = 0: frame 0 shows the textures undeformed, and the surface seen at pixel p of frame 0 is at p + u_l(p, t)
in frame t. `Scene.render` inverts X → X + u_l(X, t) by fixed-point iteration, samples the textures at `supersample`
times the resolution, composites the layers back to front and averages over the area of each pixel.

Conventions are those of `gid_core.spectral_volume`: displacements (dx, dy) in pixels, +x right, +y down, pixel centers
at integers. Time t counts frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from ..packages import cv2
from ..spectral_volume import SpectralVolume

# Maps x, y (float arrays of one shape [...], pixels) to J displacement fields [J, 2, ...].
Fields = Callable[[np.ndarray, np.ndarray], np.ndarray]
Bounds = tuple[int, int, int, int]  # half-open pixel rectangle (x0, y0, x1, y1)

PADDING = 32  # pixels around the frame that `Scene.background_mask` also examines
MAX_ITERATIONS = 20  # of the fixed-point iteration that inverts a deformation
TOLERANCE = 2e-3  # pixels; cv2.remap itself rounds positions to 1/32 px
# Distances in pixels by which `Scene.background_mask` groups the travel of layers before it dilates them.
TRAVEL_LIMITS = (-0.5, 0.5, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, np.inf)


@dataclass
class Layer:
    """One moving surface.

    Attributes:
        texture: float32 [h·s, w·s, 4], RGBA premultiplied by alpha; s is the scene's `supersample`.
        origin: (x, y) of the pixel that the texture's first s × s block covers. It may lie outside the frame.
        fields: the J displacement fields. They must be defined and smooth around the texture as well, because the
            inverse mapping samples them there.
        weights: complex [J, N], pixels per unit of a field, one column per frequency of the scene.
        kind: "stems", "branches", "leaves", "cloth" or "cutouts".
        width: width in pixels of a stem, of a leaf at its widest, or of the sheet of cloth; length of a cut-out.
    """

    texture: np.ndarray
    origin: tuple[int, int]
    fields: Fields
    weights: np.ndarray
    kind: str
    width: float

    def bounds(self, supersample: int) -> Bounds:
        """The pixel rectangle of the texture."""
        (x, y), (h, w) = self.origin, self.texture.shape[:2]
        return x, y, x + w // supersample, y + h // supersample


@dataclass
class Scene:
    """Moving layers over a static background, with exact displacements and anti-aliased frames.

    Attributes:
        size: (H, W).
        layers: back to front; the first has label 1.
        background_image: float32 [H, W, 3] in 0..1.
        frequencies: [N] Hz, integer multiples of fps / period when `periodic`.
        seed: of the sensor noise, and recorded in the metadata of volumes.
        fps: frames per second.
        period: frames.
        periodic: whether the motion repeats after `period` frames.
        noise: standard deviation of the sensor noise of each frame, independent between frames; 0 is none.
        supersample: sub-pixels per pixel, in both directions.
    """

    size: tuple[int, int]
    layers: list[Layer]
    background_image: np.ndarray
    frequencies: np.ndarray
    seed: int = 0
    fps: float = 30.0
    period: int = 150
    periodic: bool = True
    noise: float = 0.0
    supersample: int = 3

    # ---- ground truth ----

    def displacement(self, t: float) -> np.ndarray:
        """Displacement from frame 0 to time t (frames, any float) of the surface seen at each pixel of frame 0.

        Returns:
            float32 [2, H, W], pixels; zero on the background and at t = 0.
        """
        return self.displacements([t])[0]

    def displacements(self, times: Sequence[float] | np.ndarray) -> np.ndarray:
        """`displacement` at several times: float32 [n, 2, H, W]."""
        frames = np.asarray(times, dtype=np.float64).reshape(-1)
        return self._assemble(lambda layer: modal_coordinates(layer.weights, self.frequencies, frames, self.fps))

    def spectral_volume(self, num_bins: int = 16, detrend: str = "none") -> SpectralVolume:
        """The exact spectral volume: rfft bins 0..num_bins-1 of `displacements(range(period))`, unnormalized.

        The inverse transform of the first 16 bins of a periodic scene reproduces its displacements exactly.

        Args:
            num_bins: K.
            detrend: "none", or "ramp" to subtract the straight line from F_0 to F_T, see `gid_core.sources.video`.

        Returns:
            A volume with coefficients [1, K, 4, H, W] (x_re, x_im, y_re, y_im).

        Raises:
            ValueError: for another `detrend`.
        """
        if detrend not in ("none", "ramp"):
            raise ValueError(f'detrend must be "none" or "ramp", got {detrend!r}')
        times = np.arange(self.period + 1)

        def spectrum(layer: Layer) -> np.ndarray:
            a = modal_coordinates(layer.weights, self.frequencies, times, self.fps)
            if detrend == "ramp":
                a = a - times[:, None] / self.period * a[-1]
            bins = np.fft.rfft(a[:-1], axis=0)[:num_bins]  # [K, J]
            return np.concatenate([bins.real, bins.imag])  # [2K, J]

        parts = self._assemble(spectrum).reshape(2, num_bins, 2, *self.size)  # re/im, bin, x/y, H, W
        coefficients = parts.transpose(1, 2, 0, 3, 4).reshape(1, num_bins, 4, *self.size)
        return SpectralVolume(
            torch.from_numpy(np.ascontiguousarray(coefficients)),
            fps=self.fps,
            period=self.period,
            detrend=detrend,
            metadata={"source": f"synthetic scene, seed {self.seed}"},
        )

    def labels(self) -> np.ndarray:
        """int32 [H, W]: number of the layer seen at the center of each pixel in frame 0; 0 is the background."""
        return self._visibility[0]

    def interior_mask(
        self,
        layer: int | None = None,
        *,
        kind: str | None = None,
        width: float | None = None,
        margin: int = 0,
    ) -> np.ndarray:
        """Pixels of frame 0 that a single layer covers completely, so they are not blended at an edge: bool [H, W].

        Args:
            layer: only the layer of this number.
            kind: only layers of this kind.
            width: only layers of this width.
            margin: pixels by which the area of each layer is eroded.
        """
        labels, unblended = self._visibility
        mask = np.zeros(self.size, bool)
        for number, item in enumerate(self.layers, start=1):
            if layer not in (None, number) or kind not in (None, item.kind) or width not in (None, item.width):
                continue
            covered = (labels == number) & unblended
            mask |= _dilate(~covered, margin) == 0 if margin else covered
        return mask

    def background_mask(self, margin: float = 2.0) -> np.ndarray:
        """Pixels at least `margin` pixels away from every position of every layer during one period: bool [H, W]."""
        times = np.arange(self.period)
        travel = np.full((self.size[0] + 2 * PADDING, self.size[1] + 2 * PADDING), -1, np.float32)
        for layer in self.layers:
            a = modal_coordinates(layer.weights, self.frequencies, times, self.fps).astype(np.float32)
            x0, y0, _, _ = layer.bounds(self.supersample)
            ys, xs = np.nonzero(_block_max(layer.texture[..., 3], self.supersample))
            ys, xs = ys + y0, xs + x0
            nearby = (np.minimum(xs, ys) >= -PADDING) & (xs < self.size[1] + PADDING) & (ys < self.size[0] + PADDING)
            ys, xs = ys[nearby], xs[nearby]
            basis = layer.fields(xs.astype(np.float32), ys.astype(np.float32)).astype(np.float32)
            # The maximum of |u|² over time is accumulated in chunks, so only a few frames are in memory at once.
            max_squared = np.zeros(len(xs), np.float32)
            for chunk in np.array_split(a, 10):
                u = np.tensordot(chunk, basis, axes=1)
                np.maximum(max_squared, (u**2).sum(1).max(0), out=max_squared)
            np.maximum.at(travel, (ys + PADDING, xs + PADDING), np.sqrt(max_squared))
        occupied = np.zeros(travel.shape, bool)
        for low, high in zip(TRAVEL_LIMITS[:-1], TRAVEL_LIMITS[1:], strict=True):
            band = (travel > low) & (travel <= high)
            if band.any():
                occupied |= _dilate(band, int(np.ceil(min(high, travel.max()) + margin)) + 1)
        return ~occupied[PADDING:-PADDING, PADDING:-PADDING]

    # ---- frames ----

    def render(self, t: float) -> np.ndarray:
        """Frame at time t (frames, any float): float32 [H, W, 3] in 0..1."""
        (h, w), s = self.size, self.supersample
        # The fourth channel accumulates how much of a pixel the layers cover.
        canvas = np.dstack([self.background_image, np.zeros(self.size, np.float32)])
        canvas = cv2.resize(canvas, (w * s, h * s), interpolation=cv2.INTER_NEAREST)
        for layer, sampled in zip(self.layers, self._sampled_fields, strict=True):
            a = modal_coordinates(layer.weights, self.frequencies, np.array([t]), self.fps)[0]
            window = _deformed_bounds(sampled, a, self.size)
            if window is None:
                continue
            x0, y0, x1, y1 = window
            surface = _render_layer(layer, sampled, a, window, s)
            target = canvas[y0 * s : y1 * s, x0 * s : x1 * s]
            target *= np.asarray(cv2.merge([1 - surface[..., 3]] * 4))
            target += surface
        canvas = cv2.resize(canvas, (w, h), interpolation=cv2.INTER_AREA)
        # Pixels without a layer are copied from the background: they have the same bits in every frame.
        image = np.where(canvas[..., 3:] > 0, canvas[..., :3], self.background_image)
        if self.noise:
            rng = np.random.default_rng([self.seed, int(round(t * 1000)) % 2**32])
            image = image + self.noise * rng.standard_normal(image.shape, dtype=np.float32)
        return np.clip(image, 0, 1)

    def frames(self, n: int | None = None) -> np.ndarray:
        """Frames 0..n-1 (default: one period): float32 [n, H, W, 3] in 0..1."""
        return np.stack([self.render(t) for t in range(self.period if n is None else n)])

    # ---- internals ----

    def _assemble(self, amplitudes: Callable[[Layer], np.ndarray]) -> np.ndarray:
        """Evaluate Σ_j amplitudes(layer)[n, j] · field_j at the visible pixels of each layer: float32 [n, 2, H, W]."""
        labels, result = self._visibility[0], None
        for number, layer in enumerate(self.layers, start=1):
            a = amplitudes(layer)  # [n, J]
            if result is None:
                result = np.zeros((len(a), 2, *self.size), np.float32)
            window = _overlap_slices(layer.bounds(self.supersample), self.size)[0]
            ys, xs = np.nonzero(labels[window] == number)
            ys, xs = ys + window[0].start, xs + window[1].start
            result[:, :, ys, xs] = np.tensordot(a, layer.fields(xs.astype(float), ys.astype(float)), axes=1)
        if result is None:
            raise ValueError("a scene needs at least one layer")
        return result

    @cached_property
    def _sampled_fields(self) -> list[_SampledFields]:
        return [_sample_fields(self, layer) for layer in self.layers]

    @cached_property
    def _visibility(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels int32 [H, W] at pixel centers, and bool [H, W]: the whole pixel shows one surface."""
        (h, w), s = self.size, self.supersample
        subpixel_labels = np.zeros((h * s, w * s), np.int32)
        opaque = np.ones((h * s, w * s), bool)
        for number, layer in enumerate(self.layers, start=1):
            (fy, fx), (ly, lx) = _overlap_slices(layer.bounds(s), self.size)
            alpha = layer.texture[ly.start * s : ly.stop * s, lx.start * s : lx.stop * s, 3]
            window = np.s_[fy.start * s : fy.stop * s, fx.start * s : fx.stop * s]
            subpixel_labels[window][alpha > 0.5] = number
            opaque[window] = np.where(alpha >= 1, True, opaque[window] & (alpha <= 0))
        blocks = subpixel_labels.reshape(h, s, w, s)
        unblended = (blocks == blocks[:, :1, :, :1]).all((1, 3)) & opaque.reshape(h, s, w, s).all((1, 3))
        return np.ascontiguousarray(blocks[:, s // 2, :, s // 2]), unblended


def modal_coordinates(weights: np.ndarray, frequencies: np.ndarray, times: np.ndarray, fps: float) -> np.ndarray:
    """a_j(t) = Re Σ_n w_jn (e^{2πi f_n t/fps} − 1): weights [J, N], Hz [N], frames [n] → float64 [n, J]."""
    phasors = np.exp(2j * np.pi / fps * np.outer(times, frequencies)) - 1
    return (phasors @ weights.T).real


def max_motion(layer: Layer, frequencies: np.ndarray, fps: float, period: int, supersample: int) -> tuple[float, float]:
    """(largest displacement in pixels, largest Jacobian entry) of a layer over one period, on a coarse grid."""
    x0, y0, x1, y1 = layer.bounds(supersample)
    x, y = np.meshgrid(np.linspace(x0, x1, 13), np.linspace(y0, y1, 13))
    a = modal_coordinates(layer.weights, frequencies, np.arange(0, period, 2), fps)
    u = np.tensordot(a, layer.fields(x, y), axes=1)  # [n, 2, 13, 13]
    du_dx = np.diff(u, axis=3) / ((x1 - x0) / 12)
    du_dy = np.diff(u, axis=2) / ((y1 - y0) / 12)
    return float(np.hypot(u[:, 0], u[:, 1]).max()), float(max(np.abs(du_dx).max(), np.abs(du_dy).max()))


@dataclass
class _SampledFields:
    """A layer's fields on a pixel grid.

    Attributes:
        bounds: of the texture.
        region: `bounds` enlarged by the layer's largest displacement.
        basis: float32 [J, 2, h, w] over `region`.
    """

    bounds: Bounds
    region: Bounds
    basis: np.ndarray


def _sample_fields(scene: Scene, layer: Layer) -> _SampledFields:
    bounds = layer.bounds(scene.supersample)
    travel, _ = max_motion(layer, scene.frequencies, scene.fps, scene.period, scene.supersample)
    margin = int(np.ceil(1.3 * travel)) + 3
    region = (bounds[0] - margin, bounds[1] - margin, bounds[2] + margin, bounds[3] + margin)
    y, x = np.mgrid[region[1] : region[3], region[0] : region[2]].astype(np.float64)
    return _SampledFields(bounds, region, layer.fields(x, y).astype(np.float32))


def _deformed_bounds(sampled: _SampledFields, a: np.ndarray, size: tuple[int, int]) -> Bounds | None:
    """Pixel rectangle of the frame that contains the layer at coordinates `a` [J]; None if it is outside the frame."""
    x0, y0, x1, y1 = sampled.bounds
    rx, ry = sampled.region[:2]
    u = np.tensordot(a, sampled.basis[:, :, y0 - ry : y1 - ry : 2, x0 - rx : x1 - rx : 2], axes=1)
    low, high = u.min((1, 2)) - 1, u.max((1, 2)) + 1
    x0, y0 = max(0, int(np.floor(x0 + low[0]))), max(0, int(np.floor(y0 + low[1])))
    x1, y1 = min(size[1], int(np.ceil(x1 + high[0]))), min(size[0], int(np.ceil(y1 + high[1])))
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _render_layer(layer: Layer, sampled: _SampledFields, a: np.ndarray, window: Bounds, s: int) -> np.ndarray:
    """The deformed layer over a window of the frame: float32 [h·s, w·s, 4], premultiplied."""
    u = np.tensordot(a.astype(np.float32), sampled.basis, axes=1)
    x0, y0, x1, y1 = window
    # One more pixel on each side, so that the interpolation to sub-pixels does not extrapolate.
    y, x = np.mgrid[y0 - 1 : y1 + 1, x0 - 1 : x1 + 1].astype(np.float32)
    px, py = x - sampled.region[0], y - sampled.region[1]
    vx, vy = np.zeros_like(px), np.zeros_like(py)
    for _ in range(MAX_ITERATIONS):  # X ← Y − u(X), a contraction while the Jacobian of u stays below 1
        new_x, new_y = (cv2.remap(c, px - vx, py - vy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for c in u)
        change = max(np.abs(new_x - vx).max(), np.abs(new_y - vy).max())
        vx, vy = new_x, new_y
        if change < TOLERANCE:
            break
    ox, oy = layer.origin
    # The source position is interpolated at sub-pixel centers; cv2.resize uses the same half-pixel geometry.
    sx, sy = (
        cv2.resize(c, None, fx=s, fy=s, interpolation=cv2.INTER_LINEAR)[s:-s, s:-s]
        for c in ((x - vx - ox + 0.5) * s - 0.5, (y - vy - oy + 0.5) * s - 0.5)
    )
    return cv2.remap(layer.texture, sx, sy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)


def _overlap_slices(bounds: Bounds, size: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """(rows, columns) of the part of `bounds` inside the frame: indices of the frame, and of the rectangle."""
    x0, y0, x1, y1 = bounds
    left, top = min(max(x0, 0), size[1]), min(max(y0, 0), size[0])
    right, bottom = max(left, min(x1, size[1])), max(top, min(y1, size[0]))
    frame = (slice(top, bottom), slice(left, right))
    return frame, (slice(top - y0, bottom - y0), slice(left - x0, right - x0))


def _dilate(mask: np.ndarray, radius: int) -> np.ndarray:
    """Dilation of a bool mask by a disc."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.dilate(mask.astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0


def _block_max(values: np.ndarray, s: int) -> np.ndarray:
    h, w = values.shape
    return values.reshape(h // s, s, w // s, s).max((1, 3))
