"""Steps of solvers of diffusion's differential equation, between noise levels of alpha and sigma."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor


def dpm_solver_step(history: Sequence[tuple[Tensor, Tensor]], levels: Sequence[tuple[float, float]]) -> Tensor:
    """Latents of the next noise level by DPM-Solver++(2M) (Lu et al. 2022, "DPM-Solver++", algorithm 2).

    The first and the last step are of first order.

    Args:
        history: latents, and the estimate of the noiseless latents, of the previous and of this step; of this one only
            in the first step.
        levels: alpha and sigma of these steps and of the next one.
    """
    (latents, estimate), sigma = history[-1], levels[-2][1]
    next_alpha, next_sigma = levels[-1]
    if next_sigma == 0:
        return estimate
    step_size = _log_snr(levels[-1]) - _log_snr(levels[-2])
    if len(history) > 1:
        ratio = (_log_snr(levels[-2]) - _log_snr(levels[-3])) / step_size
        estimate = estimate + (estimate - history[-2][1]) / (2 * ratio)
    return next_sigma / sigma * latents - next_alpha * math.expm1(-step_size) * estimate


def unipc_correction(
    history: Sequence[tuple[Tensor, Tensor]], estimate: Tensor, levels: Sequence[tuple[float, float]]
) -> Tensor:
    """Latents of this noise level, once the estimate is known that they led to.

    It is the corrector of UniPC (Zhao et al. 2023, "UniPC", algorithm 1, with B_2 and predictions of the data), whose
    predictor of second order is `dpm_solver_step`. It costs no pass through the network.

    Args:
        history: latents and estimates of the one or two steps before.
        estimate: of this step.
        levels: alpha and sigma of these steps and of this one.
    """
    (latents, before), (alpha, sigma) = history[-1], levels[-1]
    step_size = _log_snr(levels[-1]) - _log_snr(levels[-2])
    decay = math.expm1(-step_size)
    if len(history) == 1:
        correction = (estimate - before) / 2
    else:
        # The weights of both differences solve the order conditions: w + v = b_1 and w r + v = b_2.
        ratio = (_log_snr(levels[-3]) - _log_snr(levels[-2])) / step_size
        b1 = -1 / step_size - 1 / decay
        b2 = -2 * b1 / step_size - 1 / decay
        weight = (b1 - b2) / (1 - ratio)
        correction = weight / ratio * (history[-2][1] - before) + (b1 - weight) * (estimate - before)
    return sigma / levels[-2][1] * latents - alpha * decay * (before + correction)


def _log_snr(level: tuple[float, float]) -> float:
    """Half the logarithm of the signal-to-noise ratio, log(alpha / sigma)."""
    return math.log(level[0] / level[1])
