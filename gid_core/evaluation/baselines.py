"""Methods that move a photo: the model, simple baselines, and oracles that know the reference clip.

Every method has the interface ``method(photo [H, W, 3], *, seed=0) -> Motion``. The motion has 150 frames at 30 frames
per second (oracles and neighbors: 150 frames over their own clip's window). A method's further inputs are given to its
constructor; `build_method` makes a method from its name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.pipeline import GIDPipeline
from ..motion import Motion, loop, playback
from ..spectral_volume import DEFAULT_BINS, DEFAULT_FPS, DEFAULT_PERIOD, SpectralVolume, temporal_dft
from ..tensors import fit_size, resize_maps
from .networks.feature_networks import FeatureFunction

# Motion is smooth: it is computed on a grid of at most this many pixels per side, and scaled to the photo by rendering.
MAX_GRID_SIDE = 256
# Fitted to the 24 training clips (128 px wide, detrended), means over clips and all pixels: |F| in pixels at 256 wide,
# and the ratio of the amplitudes along y and x. Their amplitudes fall as k^-0.6 and k^-0.7 over bins 1..15; those of
# `global_translation` fall as 1/k, as wind's do.
SWAY_MEAN_PIXELS, SWAY_Y_TO_X = 0.31, 0.70

T = TypeVar("T")


class Method(Protocol):
    """A way to move a photo [H, W, 3] in 0..1; the same seed gives the same motion."""

    def __call__(self, photo: Tensor, *, seed: int = 0) -> Motion: ...


def repeat_photo(photo: Tensor, *, seed: int = 0) -> Motion:
    """No motion: the lower bound for every method. The seed is ignored."""
    return loop(SpectralVolume(torch.zeros(1, DEFAULT_BINS, 4, *_grid_size(photo))))


def global_translation(photo: Tensor, *, seed: int = 0) -> Motion:
    """The whole photo sways as one, with the training clips' mean strength and speed, regardless of its content.

    F_t = sum_k (a / k) (cos(2 pi k t / T + phi_k) - cos phi_k) along x, 0.7 times as much along y. The phases phi are
    random, and the mean of |F_t| over the loop is that of the training clips, 0.31 px at 256 wide.
    """
    generator = torch.Generator().manual_seed(seed)
    phase = torch.rand(DEFAULT_BINS - 1, 2, generator=generator) * (2 * torch.pi)
    amplitude = torch.tensor([1.0, SWAY_Y_TO_X]) / torch.arange(1, DEFAULT_BINS)[:, None]
    bins = torch.stack([amplitude * phase.cos(), amplitude * phase.sin()], -1)  # [K - 1, x/y, re/im]
    constant = torch.stack([-2 * bins[..., 0].sum(0), torch.zeros(2)], -1)  # so that F_0 = 0
    one_pixel_volume = SpectralVolume(torch.cat([constant[None], bins]).view(1, DEFAULT_BINS, 4, 1, 1))
    x, y = loop(one_pixel_volume).displacement()[0].unbind(1)
    mean = float(torch.hypot(x, y).mean())
    height, width = _grid_size(photo)
    coefficients = one_pixel_volume.coefficients.expand(-1, -1, -1, height, width)
    return loop(one_pixel_volume.replace(coefficients=coefficients * (SWAY_MEAN_PIXELS * width / 256 / mean)))


@dataclass(frozen=True)
class EulerianField:
    """A static velocity field, followed by Euler integration: x_{t+1} = x_t + v(x_t) (Holynski et al. 2021).

    The method is made for water and smoke, which flow one way; a static field cannot reverse. The displacements are
    exact in every frame: the `Motion` holds all 76 rfft bins of the 150 integrated positions, and plays them once.
    Spectral metrics therefore apply to it: the drift has the spectrum of a sawtooth, falling as 1/k, and makes a seam.

    Attributes:
        velocity: float32 [2, h, w], (dx, dy) in pixels of its own grid per frame, at 30 frames per second.
    """

    velocity: Tensor

    def __post_init__(self) -> None:
        if self.velocity.ndim != 3 or self.velocity.shape[0] != 2:
            raise ValueError(f"A velocity field is [2, H, W]; got {list(self.velocity.shape)}.")

    @classmethod
    def from_motion(cls, motion: Motion, match: Literal["speed", "drift"] = "speed") -> EulerianField:
        """Fit the static field to a reference clip. This is an oracle: a network cannot know the reference clip.

        Args:
            motion: of the reference (`playback` of the extracted volume), one photo's.
            match: "speed" gives each pixel its mean speed, mean_t |F_{t+1} - F_t|, along the axis of its largest
                motion, in the direction in which the line fitted to its path rises: as much motion as in the clip,
                but displacements grow without limit. "drift" gives each pixel its mean velocity, the least-squares
                static field, which the paper trains on: closer to the clip, but almost static where motion oscillates.
        """
        if match not in ("speed", "drift"):
            raise ValueError(f'match is "speed" or "drift"; got {match!r}.')
        velocity = (_mean_speed if match == "speed" else _mean_velocity)(motion)
        return cls(velocity * (motion.fps / DEFAULT_FPS))

    def __call__(self, photo: Tensor, *, seed: int = 0) -> Motion:
        """Follow the field from every pixel. The seed is ignored."""
        size = _grid_size(photo)
        height, width = self.velocity.shape[1:]
        scale = self.velocity.new_tensor([size[1] / width, size[0] / height]).view(2, 1, 1)
        velocity = resize_maps(self.velocity[None], size)[0] * scale
        return motion_from_displacements(euler_integration(velocity, DEFAULT_PERIOD))


def _efficientnet() -> FeatureFunction:
    from .networks.efficientnet_features import efficientnet_extractor

    return efficientnet_extractor()


@dataclass(frozen=True)
class NearestNeighbor:
    """The motion of the most similar training photo, resized to this photo.

    Attributes:
        library: pairs of (photo [H, W, 3] in 0..1, its volume).
        feature: photos [N, H, W, 3] -> features [N, D], compared by cosine similarity; the library's features are
            computed once. Default: EfficientNet-Lite0's, which needs its weights.
    """

    library: Sequence[tuple[Tensor, SpectralVolume]]
    feature: FeatureFunction = field(default_factory=_efficientnet)

    def __post_init__(self) -> None:
        if not len(self.library):
            raise ValueError("The nearest neighbor needs a library of at least one (photo, volume) pair.")

    @cached_property
    def features(self) -> Tensor:
        """Unit features of the library, [N, D]."""
        return torch.cat([self._unit_feature(photo) for photo, _ in self.library])

    def nearest(self, photo: Tensor) -> int:
        """Index of the library's most similar photo."""
        return int((self.features @ self._unit_feature(photo)[0]).argmax())

    def __call__(self, photo: Tensor, *, seed: int = 0) -> Motion:
        """The nearest photo's motion. The seed is ignored."""
        _, volume = self.library[self.nearest(photo)]
        return _loop_or_playback(volume.resize(_grid_size(photo)))

    def _unit_feature(self, photo: Tensor) -> Tensor:
        return F.normalize(self.feature(photo[None, ..., :3]).float().flatten(1), dim=1)


@dataclass(frozen=True)
class TrueMotion:
    """The oracle: the motion measured in the clip that starts with the photo.

    Attributes:
        volume: extracted from the clip, of any size.
        loops: play it as a loop with F_0 = 0, or once as it was measured; default: as a loop if its ramp was
            subtracted, as extraction for loops does.
    """

    volume: SpectralVolume
    loops: bool | None = None

    def __call__(self, photo: Tensor, *, seed: int = 0) -> Motion:
        """The clip's motion, on the volume's grid. Photo and seed are ignored."""
        return _loop_or_playback(self.volume, self.loops)


@dataclass(frozen=True)
class ModelMotion:
    """The motion that a model predicts, looped.

    Attributes:
        pipeline: the model.
        settings: keyword arguments of its call, such as num_inference_steps.
    """

    pipeline: GIDPipeline
    settings: dict[str, Any] = field(default_factory=dict)

    def __call__(self, photo: Tensor, *, seed: int = 0) -> Motion:
        """The model's motion for this seed."""
        return loop(self.pipeline(photo[..., :3], seed=seed, **self.settings))


def euler_integration(velocity: Tensor, frames: int) -> Tensor:
    """Displacements of every pixel that follows a static field: x_{t+1} = x_t + v(x_t), by Euler's method.

    Args:
        velocity: float32 [2, H, W], pixels per frame; sampled bilinearly, and extended beyond the edge by its values
            at the edge.
        frames: number of frames, >= 1; the first displacement is 0.

    Returns:
        float32 [frames, 2, H, W] pixels.
    """
    _, height, width = velocity.shape
    # grid_sample's units, align_corners=False: pixel x is at (2 x + 1) / width - 1.
    scale = velocity.new_tensor([2 / width, 2 / height])
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    start = (torch.stack([x, y], -1).to(velocity) + 0.5) * scale - 1
    path = velocity.new_zeros(frames, 2, height, width)
    for t in range(1, frames):
        grid = start + path[t - 1].permute(1, 2, 0) * scale
        step = F.grid_sample(velocity[None], grid[None], "bilinear", "border", align_corners=False)[0]
        path[t] = path[t - 1] + step
    return path


def motion_from_displacements(displacements: Tensor, fps: float = DEFAULT_FPS) -> Motion:
    """A `Motion` that plays given displacements once, exactly: its volume holds all their rfft bins.

    Args:
        displacements: float [frames, 2, H, W] pixels.
        fps: frames per second.
    """
    frames = len(displacements)
    return playback(SpectralVolume(temporal_dft(displacements[None], frames // 2 + 1), fps, frames))


def _grid_size(photo: Tensor) -> tuple[int, int]:
    """Size (H, W) of the motion's grid: the photo's, reduced to at most `MAX_GRID_SIDE`."""
    if photo.ndim != 3 or photo.shape[-1] not in (3, 4) or 0 in photo.shape:
        raise ValueError(f"A method moves one photo [H, W, 3]; got {list(photo.shape)}.")
    return fit_size(tuple(photo.shape[:2]), MAX_GRID_SIDE)


def _loop_or_playback(volume: SpectralVolume, loops: bool | None = None) -> Motion:
    """See `TrueMotion.loops`."""
    return loop(volume) if (volume.detrend == "ramp" if loops is None else loops) else playback(volume)


def _mean_velocity(motion: Motion) -> Tensor:
    """See `EulerianField.from_motion`: [2, H, W], pixels per frame."""
    first, last = (motion.displacement(t, t + 1)[0, 0] for t in (0, len(motion) - 1))
    return (last - first) / max(1, len(motion) - 1)


def _mean_speed(motion: Motion) -> Tensor:
    """See `EulerianField.from_motion`: [2, H, W], pixels per frame. Frames are evaluated one at a time."""
    count, previous = len(motion), motion.displacement(0, 1)[0, 0]
    speed, xx_minus_yy, twice_xy = torch.zeros(3, *previous.shape[1:]).to(previous)
    slope = previous * (-(count - 1) / 2)
    for t in range(1, count):
        current = motion.displacement(t, t + 1)[0, 0]
        dx, dy = current - previous
        speed += torch.hypot(dx, dy)
        xx_minus_yy += dx * dx - dy * dy
        twice_xy += 2 * dx * dy
        slope += current * (t - (count - 1) / 2)
        previous = current
    # The main axis of the steps' covariance, at half the angle of (xx - yy, 2 xy).
    angle = torch.atan2(twice_xy, xx_minus_yy) / 2
    axis = torch.stack([angle.cos(), angle.sin()])
    sign = torch.where((axis * slope).sum(0) < 0, -1.0, 1.0)
    return axis * sign * (speed / max(1, count - 1))


# ---- by name ----


Library = NearestNeighbor | Sequence[tuple[Tensor, SpectralVolume]]
Model = GIDPipeline | ModelMotion


@dataclass(frozen=True)
class MethodInputs:
    """The inputs of methods, see `build_method`."""

    reference: SpectralVolume | None
    library: Library | None
    model: Model | None


def _repeat(inputs: MethodInputs) -> Method:
    """The static photo (`repeat_photo`)."""
    return repeat_photo


def _sway(inputs: MethodInputs) -> Method:
    """One translation of the whole photo (`global_translation`)."""
    return global_translation


def _eulerian(inputs: MethodInputs) -> Method:
    """The reference clip's speeds as a static field (`EulerianField`)."""
    return EulerianField.from_motion(_loop_or_playback(_require(inputs.reference, "eulerian", "reference")))


def _nearest(inputs: MethodInputs) -> Method:
    """The motion of the most similar photo in the library (`NearestNeighbor`)."""
    if isinstance(inputs.library, NearestNeighbor):
        return inputs.library
    return NearestNeighbor(_require(inputs.library, "nearest", "library"))


def _true(inputs: MethodInputs) -> Method:
    """The reference clip's own motion (`TrueMotion`)."""
    return TrueMotion(_require(inputs.reference, "true", "reference"))


def _model(inputs: MethodInputs) -> Method:
    """The motion model's prediction (`ModelMotion`)."""
    if isinstance(inputs.model, ModelMotion):
        return inputs.model
    return ModelMotion(_require(inputs.model, "model", "model"))


METHODS: dict[str, Callable[[MethodInputs], Method]] = {
    "repeat": _repeat,
    "sway": _sway,
    "eulerian": _eulerian,
    "nearest": _nearest,
    "model": _model,
    "true": _true,
}


def build_method(
    name: str,
    *,
    reference: SpectralVolume | None = None,
    library: Library | None = None,
    model: Model | None = None,
) -> Method:
    """Make a method from its name in `METHODS`.

    Args:
        name: "repeat", "sway", "eulerian", "nearest", "model" or "true".
        reference: for "eulerian" and "true", the volume extracted from the clip that starts with the photo.
        library: for "nearest", (photo, volume) pairs of the training clips; or a `NearestNeighbor`, to compute the
            library's features once for many photos.
        model: for "model", the pipeline.

    Raises:
        ValueError: for another name, or if the method's input is missing.
    """
    if name not in METHODS:
        raise ValueError(f"There is no method {name!r}; the methods are {', '.join(METHODS)}.")
    return METHODS[name](MethodInputs(reference, library, model))


def _require(value: T | None, method: str, description: str) -> T:
    if value is None:
        raise ValueError(f"The method {method!r} needs a {description}.")
    return value
