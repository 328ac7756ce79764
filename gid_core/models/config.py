"""Sizes and settings of a motion model, as dataclasses that become JSON in its checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..spectral_volume import DEFAULT_BINS, DEFAULT_FPS, DEFAULT_PERIOD, DETREND_MODES

LAYOUTS = ("coordinated", "independent", "stacked")
ENCODERS = ("efficientnet", "resnet")
NORMALIZATIONS = ("sqrt", "polar", "linear")
PREDICTIONS = ("epsilon", "v_prediction")
MAX_BINS = 64


@dataclass(frozen=True)
class VolumeConfig:
    """What kind of spectral volume the model makes; statistics and weights hold for no other.

    num_bins, period, fps, detrend: as of `SpectralVolume`.
    stride: photo pixels to one pixel of the volume, at the model's own resolution.
    pixels: area of the photo as the model sees it; photos of another size are brought to it.
    unit_amplitude: volumes are divided by their `SpectralVolume.amplitude` in training, so the model predicts shape and
        timing of the motion, and `amplitude` says how much of it there is.
    amplitude: typical swing of a moving pixel as a share of the picture's width.
    """

    num_bins: int = DEFAULT_BINS
    period: int = DEFAULT_PERIOD
    fps: float = DEFAULT_FPS
    detrend: str = "ramp"
    stride: int = 4
    pixels: int = 512 * 288
    unit_amplitude: bool = True
    amplitude: float = 1.5 / 256

    def __post_init__(self):
        one_of("detrend", self.detrend, DETREND_MODES)
        if not 2 <= self.num_bins <= min(MAX_BINS, self.period // 2 + 1):
            raise ValueError(f"num_bins is 2 to {min(MAX_BINS, self.period // 2 + 1)}; got {self.num_bins}.")


@dataclass(frozen=True)
class AutoencoderConfig:
    """The VAE over one 4-channel slice.

    channels: of each level, each but the last halving the size.
    skip: the slice shrunk by averaging is added to the first four latent channels, and the latent enlarged to the
        decoder's output: the networks learn the rest only, which takes minutes where they took days.
    """

    channels: tuple[int, ...] = (16, 32, 64)
    latent_channels: int = 4
    blocks: int = 1
    attention: bool = False
    skip: bool = True

    @property
    def factor(self) -> int:
        """Pixels of the volume to one of the latent."""
        return 2 ** (len(self.channels) - 1)


@dataclass(frozen=True)
class EncoderConfig:
    """The photo's features on the latents' grid.

    kind: "efficientnet", EfficientNet-Lite0 begun from ImageNet weights, frozen, with a small pyramid head; or
        "resnet", from scratch (the paper's).
    channels: of the features.
    width: of the head's or the ResNet's inner layers.
    dropout: share of the head's channels left out in training.
    prior: a first guess at how much every frequency moves where (ours), trained before the denoiser by regression.
        Latents are divided by it, as slices are by their scale in eq. 4: what is left to the diffusion is the same
        everywhere, and what does not move comes out still. Not in the paper.
    """

    kind: str = "efficientnet"
    channels: int = 16
    width: int = 128
    prior: bool = True
    dropout: float = 0.25

    def __post_init__(self):
        one_of("kind of encoder", self.kind, ENCODERS)


@dataclass(frozen=True)
class DenoiserConfig:
    """The U-Net.

    channels: of each level, each but the last halving the size.
    blocks: residual blocks a level (one more on the way up).
    attention_levels: levels with attention over the picture; the lowest always has one.
    heads: of every attention.
    layout: "coordinated": one slice after another with attention over the frequencies in between (paper section
        4.2); "independent": without it; "stacked": all slices as the channels of one picture.
    """

    channels: tuple[int, ...] = (48, 96, 192)
    blocks: int = 1
    attention_levels: tuple[int, ...] = (2,)
    heads: int = 4
    layout: str = "coordinated"

    def __post_init__(self):
        one_of("layout", self.layout, LAYOUTS)


@dataclass(frozen=True)
class DiffusionConfig:
    """The noise schedule ("square linear", LDM's scaled_linear) and what the U-Net predicts.

    noise_coherence: how alike the noise of neighboring frequencies is, 0..1, see `noise.frequency_noise`; used where
        frequencies are coordinated.
    """

    steps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012
    schedule: str = "scaled_linear"
    prediction: str = "v_prediction"
    zero_snr: bool = True
    noise_coherence: float = 0.6

    def __post_init__(self):
        one_of("prediction", self.prediction, PREDICTIONS)
        if not 0 <= self.noise_coherence <= 1:
            raise ValueError(f"noise_coherence is 0 to 1; got {self.noise_coherence}.")


@dataclass(frozen=True)
class RendererConfig:
    """The rendering network.

    channels: of the decoder's levels, the first at half the photo's size, each halving it again; empty: the model has
        no rendering network.
    features: of the photo, on the same levels.
    """

    channels: tuple[int, ...] = ()
    features: tuple[int, ...] = ()

    def __post_init__(self):
        if len(self.channels) != len(self.features):
            raise ValueError(f"renderer: channels {self.channels} and features {self.features} need as many levels.")


@dataclass(frozen=True)
class ModelConfig:
    """A whole motion model.

    name: for people.
    normalization: "sqrt", signed square root of every number (eq. 4); "polar", square root of the modulus of every
        complex number; "linear", neither (for ablation). All divide each frequency by its own scale first, "linear"
        by one scale for all.
    """

    name: str = "gid-small"
    normalization: str = "sqrt"
    volume: VolumeConfig = field(default_factory=VolumeConfig)
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    renderer: RendererConfig = field(default_factory=RendererConfig)

    def __post_init__(self):
        one_of("normalization", self.normalization, NORMALIZATIONS)

    @property
    def latent_stride(self) -> int:
        """Photo pixels to one pixel of the latents; the photo's sides must be multiples of it."""
        return self.volume.stride * self.autoencoder.factor

    @property
    def noise_coherence(self) -> float:
        """Of the noise between neighboring frequencies: none where slices are drawn each for itself."""
        return self.diffusion.noise_coherence if self.denoiser.layout == "coordinated" else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """The config of such values.

        Raises:
            ValueError: naming a setting that this version does not know, or a value it does not allow.
        """
        return _build(cls, values, "config")


def one_of(what: str, value: str, allowed: tuple[str, ...]) -> None:
    """Refuse, by name, a value that is not allowed."""
    if value not in allowed:
        raise ValueError(f"{what} is one of {', '.join(allowed)}; got {value!r}.")


def _build(cls, values: Mapping[str, Any], where: str):
    """A dataclass from nested dicts; lists become tuples where the field's default is one."""
    fields = {f.name: f for f in dataclasses.fields(cls)}
    if not isinstance(values, Mapping):
        raise ValueError(f"{where} is a group of settings; got {values!r}.")
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise ValueError(f"{where} has settings that this version does not know: {', '.join(unknown)}. Update it.")
    built = {}
    for name, value in values.items():
        default = fields[name].default_factory() if callable(fields[name].default_factory) else fields[name].default
        if dataclasses.is_dataclass(default):
            built[name] = _build(type(default), value, f"{where}.{name}")
        elif isinstance(default, tuple):
            if not isinstance(value, list | tuple):
                raise ValueError(f"{where}.{name} is a list; got {value!r}.")
            built[name] = tuple(value)
        else:
            built[name] = value
    return cls(**built)


# What we train and ship: <= 60 MB in fp16 with everything.
GID_SMALL = ModelConfig(renderer=RendererConfig((32, 48, 64), (16, 32, 48)))
# The paper's sizes (section 6, supplement): 256 x 160, the volume at the photo's resolution.
GID_BASE = ModelConfig(
    name="gid-base",
    volume=VolumeConfig(detrend="none", stride=1, pixels=256 * 160, unit_amplitude=False),
    autoencoder=AutoencoderConfig((128, 256, 512), 4, 2, True, False),
    encoder=EncoderConfig("resnet", 16, 64, False, 0.0),
    denoiser=DenoiserConfig((128, 512, 1024), 2, (1, 2), 8),
    diffusion=DiffusionConfig(1000, 0.0015, 0.0195, prediction="epsilon", zero_snr=False, noise_coherence=0.0),
)
PRESETS = {config.name: config for config in (GID_SMALL, GID_BASE)}
