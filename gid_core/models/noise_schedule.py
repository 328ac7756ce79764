"""How much noise latents have at each timestep: z = alpha z_0 + sigma eps, alpha^2 + sigma^2 = 1."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .config import DiffusionConfig


def alphas_cumprod(diffusion: DiffusionConfig) -> Tensor:
    """alpha^2 of each timestep, float32 [num_train_timesteps], decreasing.

    With `rescale_betas_zero_snr` the last one is 0 (Lin et al. 2023, "Common diffusion noise schedules and sample steps
    are flawed", algorithm 1).
    """
    power = 2 if diffusion.beta_schedule == "scaled_linear" else 1
    first, last = diffusion.beta_start ** (1 / power), diffusion.beta_end ** (1 / power)
    betas = torch.linspace(first, last, diffusion.num_train_timesteps) ** power
    cumprod = (1 - betas).cumprod(0)
    if not diffusion.rescale_betas_zero_snr:
        return cumprod
    alphas = cumprod.sqrt()
    return ((alphas - alphas[-1]) * (alphas[0] / (alphas[0] - alphas[-1]))).square()


def add_noise(latents: Tensor, noise: Tensor, alpha_squared: Tensor) -> Tensor:
    """Latents of a noise level, alpha z_0 + sigma eps; the arguments broadcast."""
    return alpha_squared.sqrt() * latents + (1 - alpha_squared).sqrt() * noise


def velocity(latents: Tensor, noise: Tensor, alpha_squared: Tensor) -> Tensor:
    """What a network with v-prediction predicts, alpha eps - sigma z_0."""
    return alpha_squared.sqrt() * noise - (1 - alpha_squared).sqrt() * latents


def trailing_timesteps(num_train_timesteps: int, steps: int) -> list[int]:
    """Timesteps of sampling in equal distances, from the last one down."""
    positions = np.arange(num_train_timesteps, 0, -num_train_timesteps / steps)[:steps]  # rounded, one more may fit
    return [int(position) - 1 for position in positions.round()]
