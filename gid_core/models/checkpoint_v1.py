"""Motion models of version 1: their tensors and settings under today's names.

Version 2 names modules and settings as diffusers does; values and shapes are the same. `load_model` converts files of
version 1 when it reads them, and `save_model` writes version 2. This converter stays for one release and is removed
in the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

# Prefixes in version 1 -> prefixes in version 2. Tensors of other modules keep their names.
MODULES = {
    "autoencoder.mean": "autoencoder.latent_mean",
    "autoencoder.std": "autoencoder.latent_std",
    "denoiser.time.": "denoiser.time_embedding.",
    "denoiser.frequency.": "denoiser.frequency_embedding.",
    "denoiser.enter.": "denoiser.conv_in.",
    "denoiser.down.": "denoiser.down_blocks.",
    "denoiser.shrink.": "denoiser.downsamplers.",
    "denoiser.middle.": "denoiser.mid_block.",
    "denoiser.up.": "denoiser.up_blocks.",
    "denoiser.grow.": "denoiser.upsamplers.",
    "denoiser.leave.0.": "denoiser.conv_norm_out.",
    "denoiser.leave.2.": "denoiser.conv_out.",
    "encoder.trunk.project.": "encoder.backbone.lateral_convs.",
    "encoder.trunk.position.": "encoder.backbone.position_embedding.",
    "encoder.trunk.levels.": "encoder.backbone.stages.",
    "encoder.trunk.": "encoder.backbone.",
    "encoder.features.": "encoder.feature_head.",
    "encoder.prior.": "encoder.prior_head.",
    "renderer.extract.": "renderer.feature_encoder.",
    "renderer.down.": "renderer.down_convs.",
    "renderer.join.": "renderer.feature_projections.",
    "renderer.inward.": "renderer.encoder_blocks.",
    "renderer.up.": "renderer.up_convs.",
    "renderer.outward.": "renderer.decoder_blocks.",
    "renderer.last.": "renderer.conv_out.",
}
# Parts of names inside the denoiser, the image encoder and the rendering network, replaced after the prefixes.
SUBMODULES = {
    "denoiser.": {
        ".block.": ".resnet.",
        ".coordinate.norm.": ".frequency_attention.group_norm.",
        ".coordinate.bin": ".frequency_attention.bin_embedding",
        ".coordinate.": ".frequency_attention.",
    },
    "encoder.": {".body.0.": ".norm1.", ".body.2.": ".conv1.", ".body.3.": ".norm2.", ".body.5.": ".conv2."},
    "renderer.": {".first.": ".conv1.", ".second.": ".conv2."},
}
# Settings in version 1 -> settings in version 2, for each group of the config.
SETTINGS = {
    "volume": {"pixels": "image_area"},
    "autoencoder": {
        "channels": "block_out_channels",
        "blocks": "layers_per_block",
        "attention": "mid_block_add_attention",
        "skip": "skip_connection",
    },
    "encoder": {"kind": "backbone", "channels": "feature_channels", "width": "hidden_channels"},
    "denoiser": {"channels": "block_out_channels", "blocks": "layers_per_block", "heads": "num_attention_heads"},
    "diffusion": {
        "steps": "num_train_timesteps",
        "schedule": "beta_schedule",
        "prediction": "prediction_type",
        "zero_snr": "rescale_betas_zero_snr",
    },
    "renderer": {"channels": "block_out_channels", "features": "feature_channels"},
}


def convert_tensor_name(name: str) -> str:
    """The version 2 name of a tensor of version 1."""
    for old, new in MODULES.items():
        if name.startswith(old):
            name = new + name[len(old) :]
            break
    for prefix, parts in SUBMODULES.items():
        if name.startswith(prefix):
            for old, new in parts.items():
                name = name.replace(old, new)
    return name


def convert_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All tensors of a version 1 file under their version 2 names."""
    return {convert_tensor_name(name): tensor for name, tensor in tensors.items()}


def convert_config(values: Any) -> Any:
    """A version 1 config, as it stands in a file's header, with the names of version 2.

    Values that are no groups of settings are returned as they are; `ModelConfig.from_dict` refuses them.
    """
    if not isinstance(values, Mapping):
        return values
    return {group: _renamed(settings, SETTINGS.get(group, {})) for group, settings in values.items()}


def _renamed(settings: Any, names: Mapping[str, str]) -> Any:
    if not isinstance(settings, Mapping):
        return settings
    return {names.get(name, name): value for name, value in settings.items()}
