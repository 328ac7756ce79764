"""Sizes and settings of a motion model, as dataclasses that become JSON in its checkpoint.

Settings have the names of diffusers where it has the same ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..spectral_volume import DEFAULT_BINS, DEFAULT_FPS, DEFAULT_PERIOD, DETREND_MODES
from ..validation import check_choice

LAYOUTS = ("coordinated", "independent", "stacked")
BACKBONES = ("efficientnet", "resnet")
NORMALIZATIONS = ("sqrt", "polar", "linear")
BETA_SCHEDULES = ("scaled_linear", "linear")
PREDICTION_TYPES = ("epsilon", "v_prediction")
MAX_BINS = 64


@dataclass(frozen=True)
class VolumeConfig:
    """What kind of spectral volume the model makes. Statistics and weights hold for no other kind.

    num_bins, period, fps, detrend: as in `SpectralVolume`.
    stride: photo pixels per pixel of the volume, at the model's own resolution.
    image_area: pixels of the photo that the encoder sees; photos of another size are resized to this area.
    unit_amplitude: training divides volumes by their `SpectralVolume.amplitude`, so the model predicts the shape and
        timing of the motion, and `amplitude` sets its size.
    amplitude: typical displacement of a moving pixel, as a share of the image's width, of a photo in which as much
        motion as in most is expected, see `amplitude.expected_amplitude`.
    """

    num_bins: int = DEFAULT_BINS
    period: int = DEFAULT_PERIOD
    fps: float = DEFAULT_FPS
    detrend: str = "ramp"
    stride: int = 4
    image_area: int = 512 * 288
    unit_amplitude: bool = True
    amplitude: float = 0.7 / 256

    def __post_init__(self) -> None:
        check_choice("detrend", self.detrend, DETREND_MODES)
        if not 2 <= self.num_bins <= min(MAX_BINS, self.period // 2 + 1):
            raise ValueError(f"num_bins is 2 to {min(MAX_BINS, self.period // 2 + 1)}; got {self.num_bins}.")


@dataclass(frozen=True)
class AutoencoderConfig:
    """The VAE over one 4-channel slice.

    block_out_channels: of each level; each level but the last halves the size.
    layers_per_block: residual blocks per level.
    mid_block_add_attention: attention over positions in the lowest level.
    skip_connection: adds the average-pooled slice to the first four latent channels, and the upsampled latent to the
        decoder's output. The networks learn only the residual, which takes minutes instead of days. Not in the paper.
    """

    block_out_channels: tuple[int, ...] = (16, 32, 64)
    latent_channels: int = 4
    layers_per_block: int = 1
    mid_block_add_attention: bool = False
    skip_connection: bool = True

    @property
    def downsampling_factor(self) -> int:
        """Pixels of the volume per pixel of the latents."""
        return 2 ** (len(self.block_out_channels) - 1)


@dataclass(frozen=True)
class ImageEncoderConfig:
    """The photo's features on the latents' grid.

    backbone: "efficientnet", EfficientNet-Lite0 with frozen ImageNet weights and a small pyramid head; or "resnet",
        trained from scratch (the paper's).
    feature_channels: of the features.
    hidden_channels: of the head's or the ResNet's inner layers.
    prior: whether the encoder also predicts how much each frequency moves at each position; not in the paper. A
        regression trains it before the denoiser. Latents are divided by it, as slices are by their scale in eq. 4, so
        the diffusion sees motion of one size everywhere and static regions stay static.
    dropout: share of the head's channels that are dropped in training.
    """

    backbone: str = "efficientnet"
    feature_channels: int = 16
    hidden_channels: int = 128
    prior: bool = True
    dropout: float = 0.25

    def __post_init__(self) -> None:
        check_choice("backbone of the image encoder", self.backbone, BACKBONES)


@dataclass(frozen=True)
class DenoiserConfig:
    """The U-Net.

    block_out_channels: of each level; each level but the last halves the size.
    layers_per_block: residual blocks per level (one more in the up blocks).
    attention_levels: levels with attention over positions; the lowest always has one.
    num_attention_heads: of every attention.
    layout: "coordinated", slices as a batch, with attention over the frequencies between layers (paper section 4.2);
        "independent", without that attention; "stacked", all slices as the channels of one image.
    """

    block_out_channels: tuple[int, ...] = (48, 96, 192)
    layers_per_block: int = 1
    attention_levels: tuple[int, ...] = (2,)
    num_attention_heads: int = 4
    layout: str = "coordinated"

    def __post_init__(self) -> None:
        check_choice("layout", self.layout, LAYOUTS)


@dataclass(frozen=True)
class DiffusionConfig:
    """The noise schedule ("square linear", LDM's scaled_linear) and what the U-Net predicts.

    noise_coherence: correlation of the noise of neighboring frequencies, 0..1, see `noise.frequency_noise`. Only the
        "coordinated" layout uses it.
    noise_scales, noise_weights, noise_white: how the cells of an object share noise, see `noise.spatial_noise_factor`.
        Scales are in cells of the latents. No scales: white noise, as in the paper.
    """

    num_train_timesteps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012
    beta_schedule: str = "scaled_linear"
    prediction_type: str = "v_prediction"
    rescale_betas_zero_snr: bool = True
    noise_coherence: float = 0.6
    noise_scales: tuple[float, ...] = ()
    noise_weights: tuple[float, ...] = ()
    noise_white: float = 0.1

    def __post_init__(self) -> None:
        check_choice("beta_schedule", self.beta_schedule, BETA_SCHEDULES)
        check_choice("prediction_type", self.prediction_type, PREDICTION_TYPES)
        if not 0 <= self.noise_coherence <= 1:
            raise ValueError(f"noise_coherence is 0 to 1; got {self.noise_coherence}.")
        if len(self.noise_scales) != len(self.noise_weights) or min((*self.noise_scales, self.noise_white)) <= 0:
            raise ValueError(
                "noise_scales and noise_weights need the same length, and noise_scales and noise_white must be > 0; "
                f"got {self.noise_scales}, {self.noise_weights} and {self.noise_white}."
            )


@dataclass(frozen=True)
class AffinityConfig:
    """The network that tells which neighboring cells move as one (`affinity_network`). Not in the paper.

    hidden_channels: a multiple of 8; 0: the model has none, and colors of the photo take its place. It needs
        volumes of stride 4.
    """

    hidden_channels: int = 0


@dataclass(frozen=True)
class DisplacementConfig:
    """The network that refines how far each cell is expected to move (`displacement_network`). Not in the paper.

    hidden_channels: a multiple of 8; 0: the model has none, and the encoder's expectation is only resized. It needs a
        prior (`ImageEncoderConfig.prior`) and volumes of stride 4.
    """

    hidden_channels: int = 0


@dataclass(frozen=True)
class RendererConfig:
    """The rendering network.

    block_out_channels: of the decoder's levels. The first level has half the photo's size, and each further one
        halves it again. Empty: the model has no rendering network.
    feature_channels: of the photo's features, on the same levels.
    """

    block_out_channels: tuple[int, ...] = ()
    feature_channels: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if len(self.block_out_channels) != len(self.feature_channels):
            raise ValueError(
                f"renderer: block_out_channels {self.block_out_channels} and feature_channels "
                f"{self.feature_channels} need the same number of levels."
            )


@dataclass(frozen=True)
class ModelConfig:
    """A complete motion model.

    name: shown to the user.
    normalization: "sqrt", signed square root of every number (eq. 4); "polar", square root of the modulus of every
        complex number; "linear", neither (for ablation). "sqrt" and "polar" first divide each frequency by its own
        scale, "linear" divides all by one scale.
    """

    name: str = "gid-small"
    normalization: str = "sqrt"
    volume: VolumeConfig = field(default_factory=VolumeConfig)
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    encoder: ImageEncoderConfig = field(default_factory=ImageEncoderConfig)
    denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    affinity: AffinityConfig = field(default_factory=AffinityConfig)
    displacement: DisplacementConfig = field(default_factory=DisplacementConfig)
    renderer: RendererConfig = field(default_factory=RendererConfig)

    def __post_init__(self) -> None:
        check_choice("normalization", self.normalization, NORMALIZATIONS)
        for name, network in (("affinity", self.affinity), ("displacement", self.displacement)):
            if network.hidden_channels and self.volume.stride != 4:
                raise ValueError(f"{name}.hidden_channels > 0 needs volume.stride 4; got {self.volume.stride}.")
        if self.displacement.hidden_channels and not self.encoder.prior:
            raise ValueError("displacement.hidden_channels > 0 needs encoder.prior.")

    @property
    def latent_stride(self) -> int:
        """Photo pixels per pixel of the latents; the photo's sides must be multiples of it."""
        return self.volume.stride * self.autoencoder.downsampling_factor

    @property
    def noise_coherence(self) -> float:
        """`DiffusionConfig.noise_coherence` in the "coordinated" layout, otherwise 0."""
        return self.diffusion.noise_coherence if self.denoiser.layout == "coordinated" else 0.0

    @property
    def has_spatial_noise(self) -> bool:
        """Whether the cells of an object share noise (`DiffusionConfig.noise_scales`)."""
        return bool(self.diffusion.noise_scales)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """The config with these values; settings that are missing have their defaults.

        Raises:
            ValueError: naming a setting that this version does not know, or a value it does not allow.
        """
        return _dataclass_from_dict(cls, values, "config")


def _dataclass_from_dict(cls: type[Any], values: Any, path: str) -> Any:
    """A dataclass from nested dicts. Lists become tuples where the field's default is a tuple."""
    fields = {f.name: f for f in dataclasses.fields(cls)}
    if not isinstance(values, Mapping):
        raise ValueError(f"{path} is a group of settings; got {values!r}.")
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise ValueError(f"{path} has settings that this version does not know: {', '.join(unknown)}. Update it.")
    arguments: dict[str, Any] = {}
    for name, value in values.items():
        factory = fields[name].default_factory
        default = factory() if callable(factory) else fields[name].default
        if dataclasses.is_dataclass(default):
            arguments[name] = _dataclass_from_dict(type(default), value, f"{path}.{name}")
        elif isinstance(default, tuple):
            if not isinstance(value, list | tuple):
                raise ValueError(f"{path}.{name} is a list; got {value!r}.")
            arguments[name] = tuple(value)
        else:
            arguments[name] = value
    return cls(**arguments)


# The bundled model: at most 60 MB in fp16 with all networks.
GID_SMALL = ModelConfig(
    # The mixture fits the latents of the training samples best (maximum likelihood).
    diffusion=DiffusionConfig(noise_scales=(2.0, 6.0), noise_weights=(0.3, 0.7), noise_white=0.03),
    affinity=AffinityConfig(32),
    displacement=DisplacementConfig(32),
    renderer=RendererConfig((32, 48, 64), (16, 32, 48)),
)
# The paper's sizes (section 6, supplement): 256 x 160, the volume at the photo's resolution.
GID_BASE = ModelConfig(
    name="gid-base",
    volume=VolumeConfig(detrend="none", stride=1, image_area=256 * 160, unit_amplitude=False),
    autoencoder=AutoencoderConfig(
        (128, 256, 512), latent_channels=4, layers_per_block=2, mid_block_add_attention=True, skip_connection=False
    ),
    encoder=ImageEncoderConfig("resnet", feature_channels=16, hidden_channels=64, prior=False, dropout=0.0),
    denoiser=DenoiserConfig((128, 512, 1024), layers_per_block=2, attention_levels=(1, 2), num_attention_heads=8),
    diffusion=DiffusionConfig(
        beta_start=0.0015,
        beta_end=0.0195,
        prediction_type="epsilon",
        rescale_betas_zero_snr=False,
        noise_coherence=0.0,
    ),
)
PRESETS: dict[str, ModelConfig] = {config.name: config for config in (GID_SMALL, GID_BASE)}
