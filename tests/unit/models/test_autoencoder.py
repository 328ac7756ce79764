"""The autoencoder of slices: sizes, independence, whitening and training."""

from dataclasses import replace

import pytest
import torch

from gid_core.models.config import (
    AutoencoderConfig,
)
from gid_core.models.motion_model import MotionModel
from random_tensors import random_normal
from tiny_models import BINS, TINY, make_tiny_model


def smooth_slices(count, size=(16, 32), seed=0):
    """Smooth slices, as those of motion: each a blob and a constant, [N, 4, H, W]."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, size[0]), torch.linspace(-1, 1, size[1]), indexing="ij")
    numbers = torch.rand(count, 4, 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    blob = torch.exp(-((x - numbers[..., :1, None]) ** 2 + (y - numbers[..., 1:2, None]) ** 2) * 4)
    return 2 * blob * numbers[..., 2:3, None] + 0.5 * numbers[..., 3:, None]


def test_latent_size_follows_from_the_number_of_levels():
    autoencoder = make_tiny_model().autoencoder
    assert TINY.autoencoder.downsampling_factor == 4
    slices = random_normal(2, BINS, 4, 24, 40)
    latents = autoencoder.encode(slices)
    assert latents.shape == (2, BINS, 4, 6, 10)
    assert autoencoder.decode(latents).shape == slices.shape
    shallow = replace(TINY, autoencoder=AutoencoderConfig((8, 16)))
    assert shallow.latent_stride == 8
    assert make_tiny_model(shallow).autoencoder.encode(slices).shape == (2, BINS, 4, 12, 20)


def test_slices_are_encoded_independently():
    autoencoder = make_tiny_model().autoencoder
    slices = random_normal(2, BINS, 4, 8, 8)
    expected = autoencoder.encode(slices)
    changed = slices.clone()
    changed[0, 3] += 1
    actual = autoencoder.encode(changed)
    unchanged = torch.ones(2, BINS, dtype=torch.bool)
    unchanged[0, 3] = False
    torch.testing.assert_close(actual[unchanged], expected[unchanged])
    assert not torch.allclose(actual[0, 3], expected[0, 3])


def test_whitened_latents_have_mean_0_and_variance_1_per_frequency_and_channel():
    model = make_tiny_model()
    amplitudes = torch.linspace(2, 0.1, BINS).view(-1, 1, 1, 1)
    batches = [smooth_slices(2 * BINS, seed=s).unflatten(0, (2, BINS)) * amplitudes for s in range(3)]
    before = model.autoencoder.decode(model.autoencoder.encode(batches[0]))
    model.autoencoder.fit_latent_statistics((slices, 1.0) for slices in batches)
    latents = torch.cat([model.autoencoder.encode(slices) for slices in batches]).double()
    mean, variance = latents.mean((0, 3, 4)), latents.var((0, 3, 4), unbiased=False)
    torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-4, rtol=0)
    torch.testing.assert_close(variance, torch.ones_like(variance), atol=1e-3, rtol=0)
    # Decoding inverts whitening, and fitting again changes nothing.
    restored = model.autoencoder.decode(model.autoencoder.encode(batches[0]))
    torch.testing.assert_close(restored, before, atol=1e-4, rtol=0)
    statistics = model.autoencoder.latent_mean.clone(), model.autoencoder.latent_std.clone()
    model.autoencoder.fit_latent_statistics((slices, 1.0) for slices in batches)
    assert torch.equal(model.autoencoder.latent_mean, statistics[0])
    assert torch.equal(model.autoencoder.latent_std, statistics[1])
    # Latents are divided by their scale before whitening.
    latent_scale = 0.2 + random_normal(2, BINS, 4, 4, 8).abs()
    model.autoencoder.fit_latent_statistics((slices, latent_scale) for slices in batches)
    latents = torch.cat([model.autoencoder.encode(slices, latent_scale) for slices in batches]).double()
    torch.testing.assert_close(latents.var((0, 3, 4), unbiased=False), torch.ones(BINS, 4).double(), atol=1e-3, rtol=0)
    restored = model.autoencoder.decode(model.autoencoder.encode(batches[0], latent_scale), latent_scale)
    torch.testing.assert_close(restored, before, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("skip_connection", "max_error"), [(False, 0.25), (True, 0.02)])
def test_autoencoder_overfits_four_slices(skip_connection, max_error):
    torch.manual_seed(0)
    config = replace(TINY, autoencoder=replace(TINY.autoencoder, skip_connection=skip_connection))
    autoencoder = MotionModel(config).autoencoder.train()
    slices = smooth_slices(4)
    optimizer = torch.optim.Adam(autoencoder.parameters(), 3e-3)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0, 200)
    for _ in range(200):
        loss, _ = autoencoder.loss(slices)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    with torch.no_grad():
        reconstruction = autoencoder.decode(autoencoder.encode(slices[:, None].expand(-1, BINS, -1, -1, -1)))[:, 0]
    assert float((reconstruction - slices).abs().mean()) < max_error * float(slices.abs().mean())
