"""The image encoder with both backbones, with and without a prior."""

from dataclasses import replace

import pytest
import torch

from gid_core.models.config import (
    DisplacementConfig,
    ImageEncoderConfig,
)
from random_tensors import random_normal
from tiny_models import BINS, TINY, make_tiny_model, randomize_weights


@pytest.mark.parametrize("backbone", ["resnet", "efficientnet"])
def test_features_and_prior_have_the_size_of_the_latents(backbone):
    model = make_tiny_model(replace(TINY, encoder=ImageEncoderConfig(backbone, 4, 16)))
    with torch.no_grad():
        features, prior = model.encoder(torch.rand(2, 3, 48, 80))
    assert features.shape == (2, 4, 3, 5)
    assert prior.shape == (2, BINS, 2, 3, 5)
    assert (prior > 0).all()


def test_model_without_prior():
    config = replace(TINY, encoder=replace(TINY.encoder, prior=False), displacement=DisplacementConfig())
    model = randomize_weights(make_tiny_model(config))
    with torch.no_grad():
        features, prior = model.encoder(torch.rand(2, 3, 48, 80))
        assert prior is None
        latents = random_normal(2, BINS, 4, 3, 5)
        assert model.denoiser(latents, torch.tensor([3, 4]), features, None).shape == latents.shape
        assert model.to_coefficients(latents, None).shape == (2, BINS, 4, 12, 20)


def test_pretrained_backbone_stays_frozen_in_training():
    encoder = make_tiny_model(replace(TINY, encoder=ImageEncoderConfig("efficientnet", 4, 16))).encoder
    network = encoder.backbone.network
    before = {name: value.clone() for name, value in network.state_dict().items()}
    encoder.train()
    sum(output.sum() for output in encoder(torch.rand(2, 3, 64, 64))).backward()
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())
    assert not network.training
