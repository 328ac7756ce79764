"""What tests of models share: a config small enough to train in seconds, and chance with a seed."""

from dataclasses import replace

import torch

from gid_core.models.config import GID_SMALL, AutoencoderConfig, DenoiserConfig, EncoderConfig, RendererConfig

BINS = 8
TINY = replace(
    GID_SMALL,
    name="tiny",
    volume=replace(GID_SMALL.volume, num_bins=BINS, pixels=64 * 128),
    autoencoder=AutoencoderConfig((8, 16, 16)),
    encoder=EncoderConfig("resnet", 4, 16),
    denoiser=DenoiserConfig((16, 32, 32), heads=2),
    renderer=RendererConfig((8, 12, 16), (4, 8, 8)),
)


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
