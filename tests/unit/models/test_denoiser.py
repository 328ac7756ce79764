"""The denoiser in its three layouts: what interacts with what, sizes and initial output."""

import pytest
import torch

from gid_core.models.denoiser import Denoiser, FrequencyAttention
from random_tensors import random_normal
from tiny_models import BINS, TINY, make_tiny_model, randomize_weights, with_layout


def denoiser_inputs(config=TINY, batch=2, size=(4, 8), bins=BINS, seed=0):
    latents = random_normal(batch, bins, config.autoencoder.latent_channels, *size, seed=seed)
    features = random_normal(batch, config.encoder.feature_channels, *size, seed=seed + 1)
    prior = random_normal(batch, bins, 2, *size, seed=seed + 2).abs()
    return latents, torch.tensor([10, 700])[:batch], features, prior


def test_new_frequency_attention_changes_nothing():
    """Stage 2 of the training must start where stage 1 ended."""
    independent = make_tiny_model(with_layout("independent"))
    randomize_weights(independent.denoiser)
    coordinated = independent.with_layout("coordinated").eval()
    assert len(coordinated.denoiser.frequency_attention_parameters()) > 0
    assert independent.denoiser.frequency_attention_parameters() == []
    expected = independent.denoiser(*denoiser_inputs())
    torch.testing.assert_close(coordinated.denoiser(*denoiser_inputs()), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("name", "interact"), [("independent", False), ("coordinated", True), ("stacked", True)])
def test_slices_interact_only_in_layouts_with_interaction(name, interact):
    denoiser = randomize_weights(Denoiser(with_layout(name)))
    latents, *rest = denoiser_inputs()
    changed = latents.clone()
    changed[:, 2] += 1
    others = [k for k in range(BINS) if k != 2]
    before, after = denoiser(latents, *rest), denoiser(changed, *rest)
    assert not torch.allclose(before[:, 2], after[:, 2], atol=1e-3)
    assert torch.allclose(before[:, others], after[:, others], atol=1e-5) != interact


@pytest.mark.parametrize("name", ["independent", "coordinated", "stacked"])
def test_photos_of_a_batch_are_independent(name):
    denoiser = randomize_weights(Denoiser(with_layout(name)))
    batch = denoiser_inputs(batch=2)
    flipped = [each.flip(0) for each in batch]
    torch.testing.assert_close(denoiser(*flipped), denoiser(*batch).flip(0), atol=1e-4, rtol=1e-4)
    single = [each[:1] for each in batch]
    torch.testing.assert_close(denoiser(*single), denoiser(*batch)[:1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["independent", "coordinated", "stacked"])
@pytest.mark.parametrize("size", [(4, 4), (5, 7), (3, 13), (1, 1)])
def test_latents_may_have_any_size(name, size):
    batch = denoiser_inputs(size=size)
    output = randomize_weights(Denoiser(with_layout(name)))(*batch)
    assert output.shape == batch[0].shape
    assert torch.isfinite(output).all()


@pytest.mark.parametrize("name", ["independent", "coordinated", "stacked"])
def test_new_denoiser_predicts_zero(name):
    assert (Denoiser(with_layout(name))(*denoiser_inputs()) == 0).all()


def test_subset_of_frequencies_gives_the_same_prediction():
    denoiser = randomize_weights(Denoiser(with_layout("independent")))
    latents, timesteps, features, prior = denoiser_inputs()
    bins = torch.tensor([5, 1])
    subset = denoiser(latents[:, bins], timesteps, features, prior[:, bins], bins=bins)
    torch.testing.assert_close(subset, denoiser(latents, timesteps, features, prior)[:, bins], atol=1e-5, rtol=1e-5)
    wrong = denoiser(latents[:, bins], timesteps, features, prior[:, bins])
    assert not torch.allclose(subset, wrong, atol=1e-3)


def test_every_slice_may_have_its_own_timestep():
    denoiser = randomize_weights(Denoiser(with_layout("independent")))
    latents, timesteps, features, prior = denoiser_inputs()
    per_slice = timesteps[:, None].repeat(1, BINS)
    expected = denoiser(latents, timesteps, features, prior)
    torch.testing.assert_close(denoiser(latents, per_slice, features, prior), expected, atol=1e-5, rtol=1e-5)
    per_slice[0, 3] = 500
    changed = (denoiser(latents, per_slice, features, prior) - expected).abs().amax((2, 3, 4)) > 1e-3
    assert changed.nonzero().tolist() == [[0, 3]]


def test_frequency_attention_does_not_mix_positions():
    torch.manual_seed(0)
    attention = randomize_weights(FrequencyAttention(16, 2))
    x = random_normal(BINS, 16, 3, 5)
    changed = x.clone()
    changed[3, :, 1, 2] += 2
    # Group normalization depends on the whole slice, so it is left out here.
    attention.group_norm = torch.nn.Identity()
    difference = (attention(changed, BINS) - attention(x, BINS)).abs().amax((0, 1))
    assert (difference > 1e-5).nonzero().tolist() == [[1, 2]]
