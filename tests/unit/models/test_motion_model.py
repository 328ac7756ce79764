"""The model as a whole: latents and their scale, and the noise schedule."""

import pytest
import torch

from gid_core.models.config import (
    DiffusionConfig,
)
from gid_core.models.noise_schedule import alphas_cumprod
from random_tensors import random_normal
from tiny_models import BINS, make_tiny_model


def test_latents_are_divided_by_the_prior_of_their_axis():
    model = make_tiny_model()
    coefficients = random_normal(2, BINS, 4, 16, 24)
    prior = 0.5 + random_normal(2, BINS, 2, 4, 6).abs()
    with torch.no_grad():
        plain, divided = model.to_latents(coefficients, None), model.to_latents(coefficients, prior)
        torch.testing.assert_close(divided[:, :, :2] * prior[:, :, :1], plain[:, :, :2], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(divided[:, :, 2:] * prior[:, :, 1:], plain[:, :, 2:], atol=1e-5, rtol=1e-4)
        restored = model.to_coefficients(divided, prior)
        torch.testing.assert_close(restored, model.to_coefficients(plain, None), atol=1e-3, rtol=1e-3)
        assert torch.isfinite(model.to_latents(coefficients, 0 * prior)).all()


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_zero_terminal_snr_removes_the_signal_at_the_last_timestep(prediction):
    for zero_snr in (True, False):
        alphas = alphas_cumprod(DiffusionConfig(prediction_type=prediction, rescale_betas_zero_snr=zero_snr))
        assert (float(alphas[-1]) < 1e-6) == zero_snr
        assert float(alphas[0]) > 0.99
