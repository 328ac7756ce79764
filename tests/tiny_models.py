"""Helpers for tests of models: a config small enough to train in seconds, its models, and seeded random tensors."""

from dataclasses import replace

import torch
from torch import nn

from gid_core.models.config import (
    GID_SMALL,
    AffinityConfig,
    AutoencoderConfig,
    DenoiserConfig,
    DisplacementConfig,
    ImageEncoderConfig,
    ModelConfig,
    RendererConfig,
)
from gid_core.models.motion_model import MotionModel
from gid_core.models.motion_refinement import expected_displacement

BINS = 8
TINY = replace(
    GID_SMALL,
    name="tiny",
    volume=replace(GID_SMALL.volume, num_bins=BINS, image_area=64 * 128),
    autoencoder=AutoencoderConfig((8, 16, 16)),
    encoder=ImageEncoderConfig("resnet", 4, 16),
    denoiser=DenoiserConfig((16, 32, 32), num_attention_heads=2),
    affinity=AffinityConfig(8),
    displacement=DisplacementConfig(8),
    renderer=RendererConfig((8, 12, 16), (4, 8, 8)),
)


def with_layout(layout: str, config: ModelConfig = TINY) -> ModelConfig:
    """The config with another layout of the denoiser."""
    return replace(config, denoiser=replace(config.denoiser, layout=layout))


def make_tiny_model(config: ModelConfig = TINY, seed: int = 0) -> MotionModel:
    """A model with initial weights, some of which are zero."""
    torch.manual_seed(seed)
    return MotionModel(config).eval()


@torch.no_grad()
def expect_motion(model: MotionModel) -> MotionModel:
    """Scale the frequencies of a model, in place, so that its encoder expects a typical photo's motion everywhere."""
    prior = model.encoder(torch.full((1, 3, 64, 96), 0.5))[1]
    if prior is not None:
        model.normalizer.scale.div_(expected_displacement(model, prior).mean())
    return model


def randomize_weights(module: nn.Module, seed: int = 0) -> nn.Module:
    """Add noise to all weights of a module, in place, so that none is zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return module.eval()
