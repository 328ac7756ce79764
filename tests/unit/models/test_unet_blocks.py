"""The blocks of the networks compute what diffusers' blocks compute, from tensors of the same names."""

import pytest
import torch

from gid_core.models.autoencoder_kl import AutoencoderKL
from gid_core.models.config import AutoencoderConfig
from gid_core.models.unet_blocks import (
    Attention,
    Downsample2D,
    ResnetBlock2D,
    SpatialAttention,
    TimestepEmbedding,
    Upsample2D,
)
from random_tensors import random_normal
from tiny_models import randomize_weights


@pytest.fixture(scope="module")
def diffusers():
    return pytest.importorskip("diffusers")


def assert_equal(ours, theirs, *inputs, **theirs_only):
    """Give both the same weights, by name, and compare their outputs."""
    randomize_weights(theirs)
    ours.load_state_dict(theirs.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(*inputs), theirs(*inputs, **theirs_only), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("channels", "out_channels"), [(16, 16), (16, 32)])
def test_residual_block(diffusers, channels, out_channels):
    from diffusers.models.resnet import ResnetBlock2D as Theirs

    x, embedding = random_normal(2, channels, 6, 5), random_normal(2, 12)
    settings = dict(in_channels=channels, out_channels=out_channels, groups=4, groups_out=8)
    theirs = Theirs(**settings, temb_channels=12, time_embedding_norm="scale_shift")
    assert_equal(ResnetBlock2D(channels, out_channels, 4, 8, 12), theirs, x, embedding)
    theirs = Theirs(**settings, temb_channels=None)
    assert_equal(ResnetBlock2D(channels, out_channels, 4, 8), theirs, x, None)


def test_attention(diffusers):
    from diffusers.models.attention_processor import Attention as Theirs

    assert_equal(Attention(16, 4), Theirs(16, heads=4, dim_head=4), random_normal(3, 7, 16))
    theirs = Theirs(16, heads=2, dim_head=8, norm_num_groups=4, residual_connection=True, bias=True)
    assert_equal(SpatialAttention(16, 2, 4), theirs, random_normal(3, 16, 5, 7))


def test_changes_of_size(diffusers):
    from diffusers.models.downsampling import Downsample2D as TheirDownsample
    from diffusers.models.upsampling import Upsample2D as TheirUpsample

    for size in ((6, 8), (5, 7)):
        x = random_normal(2, 8, *size)
        assert_equal(Downsample2D(8), TheirDownsample(8, use_conv=True, name="op"), x)
        assert_equal(Downsample2D(8, padding=0), TheirDownsample(8, use_conv=True, padding=0, name="op"), x)
        assert_equal(Upsample2D(8), TheirUpsample(8, use_conv=True), x)
        assert_equal(Upsample2D(8), TheirUpsample(8, use_conv=True), x, (2 * size[0] - 1, 2 * size[1] - 1))


def test_embedding_of_timesteps(diffusers):
    from diffusers.models.embeddings import TimestepEmbedding as Theirs
    from diffusers.models.embeddings import Timesteps

    positions, ours, theirs = torch.tensor([0.0, 1.5, 999.0]), TimestepEmbedding(8, 16), Theirs(8, 16)
    ours.load_state_dict(randomize_weights(theirs).state_dict())
    sinusoids = Timesteps(8, flip_sin_to_cos=True, downscale_freq_shift=0)(positions)
    with torch.no_grad():
        torch.testing.assert_close(ours(positions), theirs(sinusoids))


@pytest.mark.parametrize("config", [AutoencoderConfig((8, 16)), AutoencoderConfig((8, 16, 24), 3, 2, True)])
def test_networks_of_the_autoencoder(diffusers, config):
    levels = len(config.block_out_channels)
    theirs = diffusers.AutoencoderKL(
        in_channels=4,
        out_channels=4,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=config.block_out_channels,
        layers_per_block=config.layers_per_block,
        latent_channels=config.latent_channels,
        norm_num_groups=2,
        mid_block_add_attention=config.mid_block_add_attention,
    )
    ours = AutoencoderKL(config, 4)
    assert set(ours.state_dict()) == set(theirs.state_dict())
    ours.load_state_dict(randomize_weights(theirs).state_dict())
    images, latents = random_normal(2, 4, 8, 12), random_normal(2, config.latent_channels, 2, 3)
    with torch.no_grad():
        torch.testing.assert_close(ours.encoder(images), theirs.encoder(images), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(ours.decoder(latents), theirs.decoder(latents), atol=1e-5, rtol=1e-5)
        assert torch.equal(ours.quant_conv.weight, theirs.quant_conv.weight)
