"""Files of version 1 load as before."""

import json
import logging
import re
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from gid_core.models.checkpoint import FORMAT_VERSION, load_model, read_header, save_model
from gid_core.models.checkpoint_v1 import convert_config
from gid_core.models.config import (
    GID_BASE,
    GID_SMALL,
    AffinityConfig,
    DiffusionConfig,
    DisplacementConfig,
    ImageEncoderConfig,
    ModelConfig,
)
from tiny_models import TINY, make_tiny_model, randomize_weights, with_layout

# Regular expressions for names of version 2, and their names in version 1. The first that matches applies.
OLD_MODULES = [
    (r"^autoencoder\.latent_(mean|std)$", r"autoencoder.\1"),
    (r"^denoiser\.(time|frequency)_embedding\.", r"denoiser.\1."),
    (r"^denoiser\.conv_in\.", "denoiser.enter."),
    (r"^denoiser\.(down|up)_blocks\.", r"denoiser.\1."),
    (r"^denoiser\.downsamplers\.", "denoiser.shrink."),
    (r"^denoiser\.upsamplers\.", "denoiser.grow."),
    (r"^denoiser\.mid_block\.", "denoiser.middle."),
    (r"^denoiser\.conv_norm_out\.", "denoiser.leave.0."),
    (r"^denoiser\.conv_out\.", "denoiser.leave.2."),
    (r"^encoder\.backbone\.lateral_convs\.", "encoder.trunk.project."),
    (r"^encoder\.backbone\.position_embedding\.", "encoder.trunk.position."),
    (r"^encoder\.backbone\.stages\.", "encoder.trunk.levels."),
    (r"^encoder\.backbone\.", "encoder.trunk."),
    (r"^encoder\.feature_head\.", "encoder.features."),
    (r"^encoder\.prior_head\.", "encoder.prior."),
    (r"^renderer\.feature_encoder\.", "renderer.extract."),
    (r"^renderer\.feature_projections\.", "renderer.join."),
    (r"^renderer\.(down|up)_convs\.", r"renderer.\1."),
    (r"^renderer\.encoder_blocks\.", "renderer.inward."),
    (r"^renderer\.decoder_blocks\.", "renderer.outward."),
    (r"^renderer\.conv_out\.", "renderer.last."),
]
# Applied to the result, all that match.
OLD_SUBMODULES = [
    (r"^(denoiser\..*)\.resnet\.", r"\1.block."),
    (r"^(denoiser\..*)\.frequency_attention\.group_norm\.", r"\1.coordinate.norm."),
    (r"^(denoiser\..*)\.frequency_attention\.bin_embedding$", r"\1.coordinate.bin"),
    (r"^(denoiser\..*)\.frequency_attention\.", r"\1.coordinate."),
    (r"^(encoder\..*)\.norm1\.", r"\1.body.0."),
    (r"^(encoder\..*)\.conv1\.", r"\1.body.2."),
    (r"^(encoder\..*)\.norm2\.", r"\1.body.3."),
    (r"^(encoder\..*)\.conv2\.", r"\1.body.5."),
    (r"^(renderer\..*)\.conv1\.", r"\1.first."),
    (r"^(renderer\..*)\.conv2\.", r"\1.second."),
]
NEW_SETTINGS = {"noise_scales", "noise_weights", "noise_white"}
OLD_SETTINGS = {
    "volume": {"image_area": "pixels"},
    "autoencoder": {
        "block_out_channels": "channels",
        "layers_per_block": "blocks",
        "mid_block_add_attention": "attention",
        "skip_connection": "skip",
    },
    "encoder": {"backbone": "kind", "feature_channels": "channels", "hidden_channels": "width"},
    "denoiser": {"block_out_channels": "channels", "layers_per_block": "blocks", "num_attention_heads": "heads"},
    "diffusion": {
        "num_train_timesteps": "steps",
        "beta_schedule": "schedule",
        "prediction_type": "prediction",
        "rescale_betas_zero_snr": "zero_snr",
    },
    "renderer": {"block_out_channels": "channels", "feature_channels": "features"},
}


def old_tensor_name(name: str) -> str:
    """The version 1 name of a tensor."""
    for pattern, old in OLD_MODULES:
        if re.search(pattern, name):
            name = re.sub(pattern, old, name)
            break
    for pattern, old in OLD_SUBMODULES:
        name = re.sub(pattern, old, name)
    return name


def without_new_settings(config: ModelConfig) -> ModelConfig:
    """The config with what version 1 did not have: fewer networks, and white noise over the photo."""
    white = DiffusionConfig()
    diffusion = replace(
        config.diffusion,
        noise_scales=white.noise_scales,
        noise_weights=white.noise_weights,
        noise_white=white.noise_white,
    )
    return replace(config, affinity=AffinityConfig(), displacement=DisplacementConfig(), diffusion=diffusion)


def old_config(config: ModelConfig) -> dict:
    """A config as version 1 wrote it into the header."""

    def rename(group, settings):
        if not isinstance(settings, dict):
            return settings
        old = {OLD_SETTINGS[group].get(name, name): value for name, value in settings.items()}
        return {name: value for name, value in old.items() if name not in NEW_SETTINGS}

    new = ("affinity", "displacement")
    return {group: rename(group, settings) for group, settings in config.to_dict().items() if group not in new}


def write_version_1(path, model):
    """Save a model as version 1 did."""
    tensors = load_file(save_model(path, model, torch.float32))
    header = {**read_header(path), "version": "1", "config": json.dumps(old_config(model.config))}
    save_file({old_tensor_name(name): tensor for name, tensor in tensors.items()}, path, header)
    return path


OLD_TINY = without_new_settings(TINY)
CONFIGS = {
    "resnet": OLD_TINY,
    "efficientnet": replace(OLD_TINY, encoder=ImageEncoderConfig("efficientnet", 4, 16)),
    "independent": with_layout("independent", OLD_TINY),
    "stacked": with_layout("stacked", OLD_TINY),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_files_of_version_1_load_to_the_same_tensors(tmp_path, config, caplog):
    model = randomize_weights(make_tiny_model(config))
    path = write_version_1(tmp_path / "old.safetensors", model)
    with caplog.at_level(logging.INFO, logger="gid_core"):
        loaded = load_model(path)
    assert loaded.config == config
    state = model.state_dict()
    assert loaded.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in loaded.state_dict().items())
    assert any("old.safetensors is a motion model of version 1" in message for message in caplog.messages)


def test_files_of_version_1_have_their_old_names(tmp_path):
    names = set(load_file(write_version_1(tmp_path / "old.safetensors", make_tiny_model(OLD_TINY))))
    assert {
        "autoencoder.mean",
        "autoencoder.vae.quant_conv.weight",
        "denoiser.down.0.0.block.conv1.weight",
        "denoiser.down.0.0.coordinate.bin",
        "denoiser.up.0.0.coordinate.attention.to_q.weight",
        "denoiser.leave.2.bias",
        "encoder.trunk.levels.0.1.body.2.weight",
        "renderer.extract.0.1.first.weight",
        "renderer.last.bias",
    } <= names
    new = set(make_tiny_model(OLD_TINY).state_dict())
    assert names & new == {name for name in new if name.startswith(("autoencoder.vae.", "normalizer."))} | {
        name for name in new if re.match(r"encoder\.head\.\d+\.(weight|bias)$", name)
    }


def test_files_of_version_1_are_saved_as_version_2(tmp_path, caplog):
    model = load_model(write_version_1(tmp_path / "old.safetensors", make_tiny_model(OLD_TINY)))
    path = save_model(tmp_path / "new.safetensors", model, torch.float32)
    assert read_header(path)["version"] == FORMAT_VERSION == "2"
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="gid_core"):
        load_model(path)
    assert not caplog.messages


@pytest.mark.parametrize("config", [TINY, GID_SMALL, GID_BASE], ids=lambda config: config.name)
def test_configs_of_version_1_are_converted(config):
    config = without_new_settings(config)
    assert ModelConfig.from_dict(convert_config(old_config(config))) == config


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("[]", "no usable config"),
        ('{"x": 1}', "does not know: x"),
        ('{"volume": 3}', "config.volume is a group of settings"),
        ('{"denoiser": {"depth": 2}}', "does not know: depth"),
    ],
)
def test_unusable_configs_of_version_1_are_refused(tmp_path, config, reason):
    path = write_version_1(tmp_path / "old.safetensors", make_tiny_model(OLD_TINY))
    save_file(load_file(path), path, {**read_header(path), "config": config})
    with pytest.raises(ValueError, match="old.safetensors") as caught:
        load_model(path)
    assert reason in str(caught.value)


def test_names_of_version_1_are_refused_in_version_2(tmp_path):
    old = write_version_1(tmp_path / "old.safetensors", make_tiny_model(OLD_TINY))
    config = json.dumps(OLD_TINY.to_dict())
    save_file(load_file(old), old, {**read_header(old), "version": FORMAT_VERSION, "config": config})
    with pytest.raises(ValueError, match="is missing"):
        load_model(old)
