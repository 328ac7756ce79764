"""Ways to move a photo: the model, simple ones that it has to beat, and the oracle that it cannot.

Every method is called alike, a model's too: ``method(photo [H, W, 3], *, seed=0) -> Motion``, 150 frames of one
photo at 30 a second (oracles and neighbors: 150 frames over their own clip's window). What else a method needs, it
is given when it is made; `build` makes one by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.pipeline import GIDPipeline
from ..motion import Motion, loop, playback
from ..spectral_volume import DEFAULT_BINS, DEFAULT_FPS, DEFAULT_PERIOD, SpectralVolume, rfft_bins
from ..tensors import fit_size, resize_maps

# Motion is smooth: it is made on a grid of at most this many pixels a side, and scaled to the photo when rendered.
GRID = 256
# Fitted to the 24 training clips (128 px wide, ramp taken off), means over clips and all pixels: |F| in pixels at 256
# wide, and the amplitude along y over that along x. Their amplitudes fall as k^-0.6 and k^-0.7 over bins 1..15;
# global_sway falls as 1/k, as wind does.
SWAY_MEAN, SWAY_Y_PER_X = 0.31, 0.70


class Method(Protocol):
    """A way to move a photo [H, W, 3] in 0..1; the same seed gives the same motion."""

    def __call__(self, photo: Tensor, *, seed: int = 0) -> Motion: ...


FeatureFunction = Callable[[Tensor], Tensor]  # photos [N, H, W, 3] in 0..1 -> features [N, D]


def repeat_photo(photo: Tensor, *, seed: int = 0) -> Motion:
    """The photo, still: what every method must improve on. The seed changes nothing."""
    return loop(SpectralVolume(torch.zeros(1, DEFAULT_BINS, 4, *_grid(photo))))


def global_sway(photo: Tensor, *, seed: int = 0) -> Motion:
    """The whole photo sways as one: right in strength and speed on average, blind to what is in the picture.

    F_t = sum_k (a / k) (cos(2 pi k t / T + phi_k) - cos phi_k) along x, 0.7 times as much along y; phases phi are
    drawn with the seed, and the mean of |F_t| over the loop is that of the training clips, 0.31 px at 256 wide.
    """
    generator = torch.Generator().manual_seed(seed)
    phase = torch.rand(DEFAULT_BINS - 1, 2, generator=generator) * (2 * torch.pi)
    strength = torch.tensor([1.0, SWAY_Y_PER_X]) / torch.arange(1, DEFAULT_BINS)[:, None]
    bins = torch.stack([strength * phase.cos(), strength * phase.sin()], -1)  # [K - 1, x/y, re/im]
    constant = torch.stack([-2 * bins[..., 0].sum(0), torch.zeros(2)], -1)  # so that F_0 = 0
    point = SpectralVolume(torch.cat([constant[None], bins]).view(1, DEFAULT_BINS, 4, 1, 1))
    mean = float(torch.hypot(*loop(point).displacement()[0].unbind(1)).mean())
    height, width = _grid(photo)
    everywhere = point.coefficients.expand(-1, -1, -1, height, width)
    return loop(point.replace(coefficients=everywhere * (SWAY_MEAN * width / 256 / mean)))


@dataclass(frozen=True)
class EulerianField:
    """A static velocity field, followed by Euler integration: x_{t+1} = x_t + v(x_t) (Holynski et al. 2021).

    Made for water and smoke, which flow on; nothing in it turns back. The displacements are exact in every frame:
    `Motion` holds all 76 rfft bins of the 150 integrated positions, and plays them once. That is a true spectrum, so
    spectral measures apply to it: its drift shows as a sawtooth's, falling as 1/k, and as a seam.

    Attributes:
        velocity: float32 [2, h, w], (dx, dy) in pixels of its own grid a frame, at 30 frames a second.
    """

    velocity: Tensor

    def __post_init__(self):
        if self.velocity.ndim != 3 or self.velocity.shape[0] != 2:
            raise ValueError(f"A velocity field is [2, H, W]; got {list(self.velocity.shape)}.")

    @classmethod
    def from_motion(cls, motion: Motion, match: Literal["speed", "drift"] = "speed") -> EulerianField:
        """The static field of a reference clip: an oracle, which no network that predicts such fields can know.

        Args:
            motion: of the reference (`playback` of the extracted volume), one photo's.
            match: "speed": each pixel goes at its mean speed, mean_t |F_{t+1} - F_t|, along the axis on which it moves
                most, toward the side to which the line fitted to its path rises: as much motion as the clip
                has, but it carries things away. "drift": at its mean velocity, the least-squares static field and what
                the paper trains on: nearer to the clip, but almost still where things come back.
        """
        if match not in ("speed", "drift"):
            raise ValueError(f'match is "speed" or "drift"; got {match!r}.')
        velocity = (_mean_speed if match == "speed" else _mean_velocity)(motion)
        return cls(velocity * (motion.fps / DEFAULT_FPS))

    def __call__(self, photo: Tensor, *, seed: int = 0) -> Motion:
        """Follow the field from every pixel. The seed changes nothing."""
        size = _grid(photo)
        height, width = self.velocity.shape[1:]
        ratio = self.velocity.new_tensor([size[1] / width, size[0] / height]).view(2, 1, 1)
        return motion_of_path(integrate(resize_maps(self.velocity[None], size)[0] * ratio, DEFAULT_PERIOD))


def _efficientnet() -> FeatureFunction:
    from .networks.efficientnet_features import EfficientNetLite0

    return EfficientNetLite0.from_weights().features


@dataclass(frozen=True)
class NearestNeighbor:
    """The motion of the training photo that looks most like this one, stretched to it.

    Attributes:
        library: pairs of (photo [H, W, 3] in 0..1, its volume).
        feature: what "looks like" means: photos [N, H, W, 3] -> features [N, D], compared by cosine; those of the
            library are computed once. Default: `efficientnet`'s, whose weights must then be at hand.
    """

    library: Sequence[tuple[Tensor, SpectralVolume]]
    feature: FeatureFunction = field(default_factory=_efficientnet)

    def __post_init__(self):
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
        """The nearest photo's motion. The seed changes nothing."""
        _, volume = self.library[self.nearest(photo)]
        return _played(volume.resize(_grid(photo)))

    def _unit_feature(self, photo: Tensor) -> Tensor:
        return F.normalize(self.feature(photo[None, ..., :3]).float().flatten(1), dim=1)


@dataclass(frozen=True)
class TrueMotion:
    """The oracle: the motion measured in the very clip that begins with the photo.

    Attributes:
        volume: extracted from the clip, of any size.
        loops: play it as a loop with F_0 = 0, or once as it was measured; default: as a loop if its ramp was taken
            off, which is what extraction for loops does.
    """

    volume: SpectralVolume
    loops: bool | None = None

    def __call__(self, photo: Tensor, *, seed: int = 0) -> Motion:
        """The clip's motion, on the volume's grid; photo and seed change nothing."""
        return _played(self.volume, self.loops)


@dataclass(frozen=True)
class ModelMotion:
    """What a motion model predicts, looped.

    Attributes:
        pipeline: the model.
        settings: of its call, such as num_inference_steps.
    """

    pipeline: GIDPipeline
    settings: dict = field(default_factory=dict)

    def __call__(self, photo: Tensor, *, seed: int = 0) -> Motion:
        """The seed is the model's."""
        return loop(self.pipeline(photo[..., :3], seed=seed, **self.settings))


def integrate(velocity: Tensor, frames: int) -> Tensor:
    """Displacements of every pixel carried along a static field: x_{t+1} = x_t + v(x_t), by Euler's method.

    Args:
        velocity: float32 [2, H, W], pixels a frame; between pixels bilinear, beyond the edge as at the edge.
        frames: how many, >= 1, the first of which is 0.

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


def motion_of_path(path: Tensor, fps: float = DEFAULT_FPS) -> Motion:
    """Any displacements as a `Motion` that plays them once, exactly: the volume holds all their rfft bins.

    Args:
        path: float [frames, 2, H, W] pixels.
        fps: frames a second.
    """
    frames = len(path)
    return playback(SpectralVolume(rfft_bins(path[None], frames // 2 + 1), fps, frames))


def _grid(photo: Tensor) -> tuple[int, int]:
    """Size of the grid on which a photo's motion is made: the photo's, reduced to at most `GRID`."""
    if photo.ndim != 3 or photo.shape[-1] not in (3, 4) or 0 in photo.shape:
        raise ValueError(f"A method moves one photo [H, W, 3]; got {list(photo.shape)}.")
    return fit_size(tuple(photo.shape[:2]), GRID)


def _played(volume: SpectralVolume, loops: bool | None = None) -> Motion:
    return loop(volume) if (volume.detrend == "ramp" if loops is None else loops) else playback(volume)


def _mean_velocity(motion: Motion) -> Tensor:
    first, last = (motion.displacement(t, t + 1)[0, 0] for t in (0, len(motion) - 1))
    return (last - first) / max(1, len(motion) - 1)


def _mean_speed(motion: Motion) -> Tensor:
    """See `EulerianField.from_motion`; one frame at a time."""
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
    side = torch.where((axis * slope).sum(0) < 0, -1.0, 1.0)
    return axis * side * (speed / max(1, count - 1))


# ---- by name ----


def _repeat(reference, library, model) -> Method:
    """The still photo (`repeat_photo`)."""
    return repeat_photo


def _sway(reference, library, model) -> Method:
    """One translation of the whole photo (`global_sway`)."""
    return global_sway


def _eulerian(reference, library, model) -> Method:
    """The reference clip's speeds as a static field (`EulerianField`)."""
    return EulerianField.from_motion(_played(_needed(reference, "eulerian", "reference")))


def _nearest(reference, library, model) -> Method:
    """The motion of the most similar photo in the library (`NearestNeighbor`)."""
    library = _needed(library, "nearest", "library")
    return library if isinstance(library, NearestNeighbor) else NearestNeighbor(library)


def _true(reference, library, model) -> Method:
    """The reference clip's own motion (`TrueMotion`)."""
    return TrueMotion(_needed(reference, "true", "reference"))


def _model(reference, library, model) -> Method:
    """What the motion model predicts (`ModelMotion`)."""
    return model if isinstance(model, ModelMotion) else ModelMotion(_needed(model, "model", "model"))


METHODS: dict[str, Callable[..., Method]] = {
    "repeat": _repeat,
    "sway": _sway,
    "eulerian": _eulerian,
    "nearest": _nearest,
    "model": _model,
    "true": _true,
}


def build(
    name: str,
    *,
    reference: SpectralVolume | None = None,
    library: NearestNeighbor | Sequence[tuple[Tensor, SpectralVolume]] | None = None,
    model: GIDPipeline | ModelMotion | None = None,
) -> Method:
    """Make a method by its name in `METHODS`.

    Args:
        name: "repeat", "sway", "eulerian", "nearest", "model" or "true".
        reference: for "eulerian" and "true", the volume extracted from the clip that begins with the photo.
        library: for "nearest", (photo, volume) pairs of the training clips; or a `NearestNeighbor`, to compute the
            library's features once for many photos.

        model: for "model", the pipeline.

    Raises:
        ValueError: for another name, or if what the method needs is missing.
    """
    if name not in METHODS:
        raise ValueError(f"There is no method {name!r}; the methods are {', '.join(METHODS)}.")
    return METHODS[name](reference, library, model)


def _needed(value, name: str, what: str):
    if value is None:
        raise ValueError(f"The method {name!r} needs a {what}.")
    return value
