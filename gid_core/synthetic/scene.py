"""Layered 2D scenes whose motion is known exactly: geometry, ground truth and rendering.

A scene is a static background and a stack of opaque layers. Layer l carries a texture painted in the
coordinates of frame 0 and a smooth deformation

    u_l(X, t) = Σ_j  fields_j(X) · a_j(t),        a_j(t) = Re Σ_n weights_jn (e^{2πi f_n t / fps} − 1)

so that u_l(X, 0) = 0: frame 0 shows the textures undeformed, and the surface seen at pixel p of frame 0 is at
p + u_l(p, t) in frame t. Frames are made by inverting X → X + u_l(X, t) (fixed-point iteration), sampling the
textures at `supersample` times the resolution, compositing back to front and averaging over each pixel's
area.

Conventions are those of `gid_core.spectral_volume`: displacements (dx, dy) in pixels, +x right, +y down,
pixel centers at integers; time t counts frames.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

Fields = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass
class Layer:
    """One moving surface.

    texture: float32 [h·s, w·s, 4], RGBA with color already multiplied by alpha, s = the scene's
    supersampling.
    origin: (x, y) of the pixel that the texture's first s × s block covers; may lie outside the frame.
    fields: maps x, y (float arrays of one shape [...], pixels) to the J displacement fields, [J, 2, ...];
    must be
        defined and smooth around the texture too, since the inverse mapping looks there.
    weights: complex [J, N], pixels per unit field, one column per frequency of the scene.
    kind: "stems", "branches", "leaves" or "cloth".
    width: the width the layer was drawn with, pixels (stems: across; leaves: their widest; cloth: of the
    sheet).
    """

    texture: np.ndarray
    origin: tuple[int, int]
    fields: Fields
    weights: np.ndarray
    kind: str
    width: float

    def bounds(self, supersample: int) -> tuple[int, int, int, int]:
        """(x0, y0, x1, y1), the half-open pixel rectangle of the texture."""
        (x, y), (h, w) = self.origin, self.texture.shape[:2]
        return x, y, x + w // supersample, y + h // supersample


@dataclass
class Scene:
    """Layers in motion before a static background; exact displacements and anti-aliased frames.

    size: (H, W). layers: back to front, label 1 first. background: float32 [H, W, 3] in 0..1.
    frequencies: [N] Hz of the motion; integer multiples of fps / period when `periodic`.
    noise: standard deviation of the sensor noise added to each frame (its own draw for each t; 0 = none).
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
        """Displacement from frame 0 to time t (frames, any float) of the surface seen at each pixel of frame
        0.

        Returns float32 [2, H, W], pixels; zero on the background and at t = 0.
        """
        return self.displacements([t])[0]

    def displacements(self, times) -> np.ndarray:
        """`displacement` at several times: float32 [n, 2, H, W]."""
        times = np.asarray(times, dtype=np.float64).reshape(-1)
        return self._assemble(lambda layer: coordinates(layer.weights, self.frequencies, times, self.fps))

    def spectral_volume(self, num_bins: int = 16, detrend: str = "none"):
        """Exact spectral volume: rfft bins 0..num_bins-1 of `displacements(range(period))`, unnormalized.

        For a periodic scene the inverse transform of the first 16 bins gives the displacements back exactly.
        detrend="ramp" first removes the straight line from F_0 to F_T, see gid_core.sources.video. Returns a
        SpectralVolume, coefficients [1, num_bins, 4, H, W] (x_re, x_im, y_re, y_im).
        """
        import torch

        from ..spectral_volume import SpectralVolume

        if detrend not in ("none", "ramp"):
            raise ValueError(f'detrend must be "none" or "ramp", got {detrend!r}')
        times = np.arange(self.period + 1)

        def spectrum(layer):
            a = coordinates(layer.weights, self.frequencies, times, self.fps)
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
        """int32 [H, W]: number of the layer seen at each pixel's center in frame 0; 0 is the background."""
        return self._visibility[0]

    def interior(
        self,
        layer: int | None = None,
        *,
        kind: str | None = None,
        width: float | None = None,
        margin: int = 0,
    ):
        """bool [H, W]: pixels of frame 0 covered by one layer alone, so not mixed at an edge.

        Chosen by layer number, kind or drawn width (all layers when none is given); `margin` more pixels are
        taken off at the edges of each layer.
        """
        labels, pure = self._visibility
        chosen = np.zeros(self.size, bool)
        for number, item in enumerate(self.layers, start=1):
            if layer not in (None, number) or kind not in (None, item.kind) or width not in (None, item.width):
                continue
            mask = (labels == number) & pure
            chosen |= _grow(~mask, margin) == 0 if margin else mask
        return chosen

    def background(self, margin: float = 2.0) -> np.ndarray:
        """bool [H, W]: pixels at least `margin` px away from wherever any layer is during one period."""
        times, pad = np.arange(self.period), 32  # what starts further outside the frame is not looked at
        travel = np.full((self.size[0] + 2 * pad, self.size[1] + 2 * pad), -1, np.float32)
        for layer in self.layers:
            a = coordinates(layer.weights, self.frequencies, times, self.fps).astype(np.float32)
            x0, y0, _, _ = layer.bounds(self.supersample)
            ys, xs = np.nonzero(_block_max(layer.texture[..., 3], self.supersample))
            ys, xs = ys + y0, xs + x0
            seen = (np.minimum(xs, ys) >= -pad) & (xs < self.size[1] + pad) & (ys < self.size[0] + pad)
            ys, xs = ys[seen], xs[seen]
            basis = layer.fields(xs.astype(np.float32), ys.astype(np.float32)).astype(np.float32)
            # The largest of |u| over time is found in steps, to hold a few frames of displacements at once.
            far = np.zeros(len(xs), np.float32)
            for chunk in np.array_split(a, 10):
                u = np.tensordot(chunk, basis, axes=1)
                np.maximum(far, (u**2).sum(1).max(0), out=far)
            np.maximum.at(travel, (ys + pad, xs + pad), np.sqrt(far))
        occupied = np.zeros(travel.shape, bool)
        limits = [-0.5, 0.5, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, np.inf]
        for low, high in zip(limits[:-1], limits[1:], strict=True):
            band = (travel > low) & (travel <= high)
            if band.any():
                occupied |= _grow(band, int(np.ceil(min(high, travel.max()) + margin)) + 1)
        return ~occupied[pad:-pad, pad:-pad]

    # ---- pictures ----

    def render(self, t: float) -> np.ndarray:
        """Frame at time t (frames, any float): float32 [H, W, 3] in 0..1."""
        (h, w), s = self.size, self.supersample
        # The fourth channel gathers how much of a pixel is covered by layers.
        canvas = np.dstack([self.background_image, np.zeros(self.size, np.float32)])
        canvas = cv2.resize(canvas, (w * s, h * s), interpolation=cv2.INTER_NEAREST)
        for layer, patch in zip(self.layers, self._patches, strict=True):
            a = coordinates(layer.weights, self.frequencies, np.array([t]), self.fps)[0]
            window = _moved_window(patch, a, self.size)
            if window is None:
                continue
            x0, y0, x1, y1 = window
            surface = _sample(layer, patch, a, window, s)
            target = canvas[y0 * s : y1 * s, x0 * s : x1 * s]
            target *= cv2.merge([1 - surface[..., 3]] * 4)
            target += surface
        canvas = cv2.resize(canvas, (w, h), interpolation=cv2.INTER_AREA)
        # Where nothing moves the background is copied: the same bits in every frame.
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
        """Puts Σ_j amplitudes(layer)[n, j] · field_j at each layer's visible pixels: float32 [n, 2, H, W]."""
        labels, out = self._visibility[0], None
        for number, layer in enumerate(self.layers, start=1):
            a = amplitudes(layer)  # [n, J]
            if out is None:
                out = np.zeros((len(a), 2, *self.size), np.float32)
            here = _overlap(layer.bounds(self.supersample), self.size)[0]
            ys, xs = np.nonzero(labels[here] == number)
            ys, xs = ys + here[0].start, xs + here[1].start
            out[:, :, ys, xs] = np.tensordot(a, layer.fields(xs.astype(float), ys.astype(float)), axes=1)
        if out is None:
            raise ValueError("a scene needs at least one layer")
        return out

    @cached_property
    def _patches(self) -> list["_Patch"]:
        return [_patch(self, layer) for layer in self.layers]

    @cached_property
    def _visibility(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels int32 [H, W] at pixel centers, and bool [H, W]: the whole pixel shows one surface."""
        (h, w), s = self.size, self.supersample
        fine = np.zeros((h * s, w * s), np.int32)
        pure = np.ones((h * s, w * s), bool)
        for number, layer in enumerate(self.layers, start=1):
            (fy, fx), (ly, lx) = _overlap(layer.bounds(s), self.size)
            alpha = layer.texture[ly.start * s : ly.stop * s, lx.start * s : lx.stop * s, 3]
            here = np.s_[fy.start * s : fy.stop * s, fx.start * s : fx.stop * s]
            fine[here][alpha > 0.5] = number
            pure[here] = np.where(alpha >= 1, True, pure[here] & (alpha <= 0))
        blocks = fine.reshape(h, s, w, s)
        same = (blocks == blocks[:, :1, :, :1]).all((1, 3)) & pure.reshape(h, s, w, s).all((1, 3))
        return np.ascontiguousarray(blocks[:, s // 2, :, s // 2]), same


def coordinates(weights: np.ndarray, frequencies: np.ndarray, times: np.ndarray, fps: float) -> np.ndarray:
    """a_j(t) = Re Σ_n w_jn (e^{2πi f_n t/fps} − 1): weights [J, N], Hz [N], frames [n] → float64 [n, J]."""
    waves = np.exp(2j * np.pi / fps * np.outer(times, frequencies)) - 1
    return (waves @ weights.T).real


def steepest(layer: Layer, frequencies: np.ndarray, fps: float, period: int, supersample: int) -> tuple[float, float]:
    """(largest displacement in px, largest Jacobian entry) of a layer over one period, on a coarse grid."""
    x0, y0, x1, y1 = layer.bounds(supersample)
    x, y = np.meshgrid(np.linspace(x0, x1, 13), np.linspace(y0, y1, 13))
    a = coordinates(layer.weights, frequencies, np.arange(0, period, 2), fps)
    u = np.tensordot(a, layer.fields(x, y), axes=1)  # [n, 2, 13, 13]
    du_dx = np.diff(u, axis=3) / ((x1 - x0) / 12)
    du_dy = np.diff(u, axis=2) / ((y1 - y0) / 12)
    return float(np.hypot(u[:, 0], u[:, 1]).max()), float(max(np.abs(du_dx).max(), np.abs(du_dy).max()))


@dataclass
class _Patch:
    """A layer's fields sampled once: basis float32 [J, 2, h, w] over `region`, the texture's bounds plus its
    travel."""

    bounds: tuple[int, int, int, int]
    region: tuple[int, int, int, int]
    basis: np.ndarray


def _patch(scene: Scene, layer: Layer) -> _Patch:
    bounds = layer.bounds(scene.supersample)
    travel, _ = steepest(layer, scene.frequencies, scene.fps, scene.period, scene.supersample)
    pad = int(np.ceil(1.3 * travel)) + 3
    region = (bounds[0] - pad, bounds[1] - pad, bounds[2] + pad, bounds[3] + pad)
    y, x = np.mgrid[region[1] : region[3], region[0] : region[2]].astype(np.float64)
    return _Patch(bounds, region, layer.fields(x, y).astype(np.float32))


def _moved_window(patch: _Patch, a: np.ndarray, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Pixel rectangle of the frame that the layer can reach with coordinates a; None when outside the
    frame."""
    x0, y0, x1, y1 = patch.bounds
    rx, ry = patch.region[:2]
    u = np.tensordot(a, patch.basis[:, :, y0 - ry : y1 - ry : 2, x0 - rx : x1 - rx : 2], axes=1)
    low, high = u.min((1, 2)) - 1, u.max((1, 2)) + 1
    x0, y0 = max(0, int(np.floor(x0 + low[0]))), max(0, int(np.floor(y0 + low[1])))
    x1, y1 = min(size[1], int(np.ceil(x1 + high[0]))), min(size[0], int(np.ceil(y1 + high[1])))
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _sample(layer: Layer, patch: _Patch, a: np.ndarray, window, s: int) -> np.ndarray:
    """The deformed layer over a window of the frame: float32 [h·s, w·s, 4], premultiplied."""
    u = np.tensordot(a.astype(np.float32), patch.basis, axes=1)
    x0, y0, x1, y1 = window
    # One pixel more on each side, so that interpolating to sub-pixels never extrapolates.
    y, x = np.mgrid[y0 - 1 : y1 + 1, x0 - 1 : x1 + 1].astype(np.float32)
    px, py = x - patch.region[0], y - patch.region[1]
    vx, vy = np.zeros_like(px), np.zeros_like(py)
    for _ in range(20):  # X ← Y − u(X), a contraction while the Jacobian of u stays below 1
        new_x, new_y = (cv2.remap(c, px - vx, py - vy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for c in u)
        change = max(np.abs(new_x - vx).max(), np.abs(new_y - vy).max())
        vx, vy = new_x, new_y
        if change < 2e-3:  # remap() itself rounds positions to 1/32 px
            break
    ox, oy = layer.origin
    # The source position is interpolated at sub-pixel centers; resize() uses the same half-pixel geometry.
    sx, sy = (
        cv2.resize(c, None, fx=s, fy=s, interpolation=cv2.INTER_LINEAR)[s:-s, s:-s]
        for c in ((x - vx - ox + 0.5) * s - 0.5, (y - vy - oy + 0.5) * s - 0.5)
    )
    return cv2.remap(layer.texture, sx, sy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)


def _overlap(bounds, size):
    """Slices (rows, columns) of the part of `bounds` inside the frame: in the frame, and in the rectangle."""
    x0, y0, x1, y1 = bounds
    left, top = min(max(x0, 0), size[1]), min(max(y0, 0), size[0])
    right, bottom = max(left, min(x1, size[1])), max(top, min(y1, size[0]))
    frame = (slice(top, bottom), slice(left, right))
    return frame, (slice(top - y0, bottom - y0), slice(left - x0, right - x0))


def _grow(mask: np.ndarray, radius: int) -> np.ndarray:
    """Dilation of a bool mask by a disc."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.dilate(mask.astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0


def _block_max(values: np.ndarray, s: int) -> np.ndarray:
    h, w = values.shape
    return values.reshape(h // s, s, w // s, s).max((1, 3))
