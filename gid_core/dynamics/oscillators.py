"""Damped oscillators: how the modes of a spectral volume answer a force (paper section 6, supplement eqs. 6-8).

Mode k has one complex coordinate q_k, and

    q'' + gamma_k q' + w_k^2 (q - r_k) = 0,    w_k = 2 pi f_k,    gamma_k = alpha + beta w_k^2.

r is the mode's *rest*: the place where a constant force would hold it (force = w^2 r, mass 1). While r stays the same,
the state (q - r, q') of one step is a 2 x 2 matrix times the state before, whatever the integrator; the integrators
differ in that matrix only. Everything here is tiny, on the CPU, in float64 numpy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

INTEGRATORS = ("exact", "explicit_euler", "semi_implicit_euler")


@dataclass(frozen=True)
class Damping:
    """How quickly motion dies away. Every amplitude falls as exp(-gamma t / 2) while it swings.

    Attributes:
        alpha: damping of all modes alike, 1/s, >= 0 (0.4 in the paper's supplement).
        beta: damping that grows with frequency, s, >= 0 (0.08 there).
        ratio: one damping ratio for every mode instead, >= 0: 0 swings for ever, 1 returns without swinging.

    Raises:
        ValueError: for a negative value or one that is not finite.
    """

    alpha: float = 0.4
    beta: float = 0.08
    ratio: float | None = None

    def __post_init__(self):
        for name in ("alpha", "beta", "ratio"):
            value = getattr(self, name)
            if value is not None and not (value >= 0 and math.isfinite(value)):
                raise ValueError(f"Damping: {name} must be a number >= 0; got {value}.")

    def rates(self, omega: np.ndarray) -> np.ndarray:
        """gamma of each mode, float64 in 1/s: alpha + beta w^2, or 2 ratio w. omega: [K] in rad/s."""
        omega = np.asarray(omega, dtype=np.float64)
        return self.alpha + self.beta * omega**2 if self.ratio is None else 2 * self.ratio * omega


DEFAULT_DAMPING = Damping()


def free_response(omega, gamma, time, position, velocity) -> tuple[np.ndarray, np.ndarray]:
    """Oscillators let go: the closed form of q'' + gamma q' + w^2 q = 0.

    Args:
        omega, gamma: [K] in rad/s and 1/s, >= 0; under-, over- and critically damped modes may be mixed, w = 0 too.
        time: [..., frames] in s since they were let go, >= 0.
        position, velocity: [..., K], real or complex, at time 0.

    Returns:
        Position and velocity, each [..., frames, K].
    """
    c, s, g = _decay(omega, gamma, np.asarray(time, dtype=np.float64)[..., None])
    q, v = np.asarray(position)[..., None, :], np.asarray(velocity)[..., None, :]
    return (c + g * s) * q + s * v, (c - g * s) * v - np.square(omega) * s * q


def propagator(omega, gamma, dt: float) -> np.ndarray:
    """The matrix that takes (q - r, q') over a time dt exactly: exp([[0, 1], [-w^2, -gamma]] dt), float64 [K, 2, 2].

    Args:
        omega, gamma: [K] in rad/s and 1/s, >= 0.
        dt: seconds, >= 0.
    """
    c, s, g = _decay(omega, gamma, dt)
    return _matrices(c + g * s, s, -np.square(omega) * s, c - g * s)


def stable_step(omega, gamma, integrator: str = "exact") -> np.ndarray:
    """Step below which the free oscillator does not grow: float64 [K] in s, infinite for "exact".

    Explicit Euler: gamma / w^2 where the mode swings, 2 / lambda where it is overdamped, lambda its fastest decay.
    Semi-implicit Euler: where (w dt)^2 + 2 gamma dt = 4.

    Raises:
        ValueError: for an unknown integrator.
    """
    _check_integrator(integrator)
    omega, gamma = np.broadcast_arrays(np.asarray(omega, np.float64), np.asarray(gamma, np.float64))
    if integrator == "exact":
        return np.full(omega.shape, np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        if integrator == "semi_implicit_euler":
            return 4 / (gamma + np.sqrt(gamma**2 + 4 * omega**2))
        fastest = gamma / 2 + np.sqrt(np.maximum(gamma**2 / 4 - omega**2, 0))
        limit = np.where(gamma < 2 * omega, gamma / omega**2, 2 / fastest)
    return np.where((omega == 0) & (gamma == 0), np.inf, limit)  # nothing moves


def check_stable(omega, gamma, dt: float, integrator: str) -> None:
    """Refuse a step at which an integrator blows up.

    Raises:
        ValueError: that names the first frequency and what helps.
    """
    limit = stable_step(omega, gamma, integrator)
    unstable = dt >= limit
    if not unstable.any():
        return
    frequency, needed = omega[unstable][0] / (2 * math.pi), limit[unstable].min()
    remedies = "integrator 'exact', or a volume with fewer bins"
    if needed > 0:
        remedies += f", or more than {1 / needed:.0f} steps a second (more frames a second, or a lower speed)"
    raise ValueError(
        f"{integrator} with steps of {dt:.4g} s blows up at {frequency:.2f} Hz, where its limit is "
        f"{limit[unstable][0]:.4g} s. Use {remedies}."
    )


def simulate(
    omega,
    gamma,
    rest: np.ndarray,
    dt: float,
    integrator: str = "exact",
    initial: tuple[np.ndarray, np.ndarray] | None = None,
    periodic: bool = False,
) -> np.ndarray:
    """Driven oscillators, step by step.

    Args:
        omega, gamma: [K] in rad/s and 1/s, >= 0.
        rest: [frames, K], real or complex: where the force of the step from frame n to n + 1 would hold the modes.
        dt: seconds a step, > 0.
        integrator: "exact" is stable for every step and does not depend on the frame rate; the paper's "explicit_euler"
            and the "semi_implicit_euler" of its supplement's equations are for comparison.
        initial: position and velocity [K] of frame 0; default: at 0 and at rest.
        periodic: start instead in the state that comes back after the last step, so that the result loops exactly.

    Returns:
        complex128 [frames, K]: q of each frame.

    Raises:
        ValueError: if an Euler integrator is unstable at this step, an argument is out of range, or a mode has no
            periodic state (undamped, and driven in step with itself).
    """
    rest = np.asarray(rest, dtype=np.complex128)
    omega, gamma = np.asarray(omega, dtype=np.float64), np.asarray(gamma, dtype=np.float64)
    if rest.ndim != 2 or len(rest) < 1 or rest.shape[1:] != omega.shape or gamma.shape != omega.shape:
        raise ValueError(f"rest is [frames, {omega.size}], one column a mode; got {list(rest.shape)}.")
    if not (dt > 0 and math.isfinite(dt)):
        raise ValueError(f"dt must be a number of seconds > 0; got {dt}.")
    if periodic and initial is not None:
        raise ValueError("A periodic motion finds its own first state; leave out initial or periodic.")
    check_stable(omega, gamma, dt, integrator)
    step = _step_matrix(omega, gamma, dt, integrator)
    # The matrix acts on q - r, so a rest adds (1 - step) (r, 0) to the state after it.
    drive = (np.eye(2) - step)[:, :, 0].T[:, None] * rest  # position and velocity, [2, frames, K]
    state = np.zeros((2, omega.size)) if initial is None else np.stack(initial)
    if periodic:
        end = _run(step, np.concatenate([np.zeros_like(drive[:, :1]), drive], 1))[:, -1]
        closing = np.eye(2) - np.linalg.matrix_power(step, len(rest))
        closing[omega == 0] = np.eye(2)  # without a spring, no place is better than another: it stays at 0
        undamped = np.abs(np.linalg.det(closing)) < 1e-12  # |1 - e^(i w t)|^2 after the whole time t
        if undamped.any():
            frequency = omega[undamped][0] / (2 * math.pi)
            raise ValueError(f"The mode of {frequency:.2f} Hz has no state that loops; give it more damping.")
        state = np.linalg.solve(closing, end.T[..., None])[..., 0].T
    return _run(step, np.concatenate([state[:, None], drive[:, :-1]], 1))[0]


def _run(step: np.ndarray, added: np.ndarray) -> np.ndarray:
    """States s_n = step s_{n-1} + added_n, [2, frames, K], by doubling: after pass i, s_n holds the last 2^i terms."""
    position, velocity = added.astype(np.complex128)
    shift = 1
    while shift < len(position):
        (a, b), (c, d) = np.moveaxis(step, 0, -1)
        x, v = position[:-shift], velocity[:-shift]
        x, v = a * x + b * v, c * x + d * v
        position[shift:] += x
        velocity[shift:] += v
        step = step @ step
        shift *= 2
    return np.stack([position, velocity])


def _decay(omega, gamma, time) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """c and s of the free oscillator, and g = gamma / 2: q(t) = (c + g s) q(0) + s q'(0).

    With d^2 = |w^2 - g^2|: c = e^(-g t) cos(d t), s = e^(-g t) sin(d t) / d, or cosh and sinh where overdamped. The
    hyperbolic ones are written with e^(-(g + d) t) and e^(-w^2 t / (g + d)), which neither overflow nor cancel.
    """
    omega, time = np.asarray(omega, np.float64), np.asarray(time, np.float64)
    g = np.asarray(gamma, np.float64) / 2
    square = (omega - g) * (omega + g)
    d = np.sqrt(np.abs(square))
    swing = np.exp(-g * time)
    # sin(x) / x without a division by 0, which critical damping would be.
    swinging = swing * np.cos(d * time), swing * time * np.sinc(d * time / np.pi)
    with np.errstate(divide="ignore", invalid="ignore"):
        slow = np.exp(-np.where(g > 0, omega**2 / (g + d), 0) * time)
        fast = slow * np.exp(-2 * d * time)
        creeping = (slow + fast) / 2, -slow * np.expm1(-2 * d * time) / (2 * d)
    return np.where(square < 0, creeping[0], swinging[0]), np.where(square < 0, creeping[1], swinging[1]), g


def _step_matrix(omega, gamma, dt: float, integrator: str) -> np.ndarray:
    if integrator == "exact":
        return propagator(omega, gamma, dt)
    pull, kept = -(omega**2) * dt, 1 - gamma * dt  # v' = pull (q - r) + kept v
    if integrator == "explicit_euler":
        return _matrices(np.ones_like(omega), np.full_like(omega, dt), pull, kept)
    return _matrices(1 + dt * pull, dt * kept, pull, kept)


def _matrices(a, b, c, d) -> np.ndarray:
    return np.stack([np.stack([a, b], -1), np.stack([c, d], -1)], -2)


def _check_integrator(integrator: str) -> None:
    if integrator not in INTEGRATORS:
        raise ValueError(f"integrator is one of {INTEGRATORS}; got {integrator!r}.")
