"""Damped oscillators: the response of the modes of a spectral volume (paper section 6, supplement eqs. 6-8).

Mode k has one complex coordinate q_k, and

    q'' + gamma_k q' + w_k^2 (q - r_k) = 0,    w_k = 2 pi f_k,    gamma_k = alpha + beta w_k^2.

r is the mode's *equilibrium*: the position where a constant force would hold it (force = w^2 r, mass 1). While r is
constant, each step multiplies the state (q - r, q') by a 2 x 2 matrix. The integrators differ only in that matrix. All
arrays are small, so everything runs on the CPU in float64 numpy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..validation import check_choice, check_number

# Larger values of Damping only overflow.
MAX_DAMPING = 1e6

INTEGRATORS = ("exact", "explicit_euler", "semi_implicit_euler")


@dataclass(frozen=True)
class Damping:
    """How quickly motion decays. The amplitude of a mode that oscillates falls as exp(-gamma t / 2).

    Attributes:
        alpha: damping that is equal for all modes, 1/s, >= 0 (0.4 in the paper's supplement).
        beta: damping that grows with the squared frequency, s, >= 0 (0.08 in the paper's supplement).
        ratio: one damping ratio for every mode in place of alpha and beta, >= 0. At 0 a mode oscillates forever, at 1
            it returns without oscillating. None uses alpha and beta.

    Raises:
        ValueError: for a value that is no number, negative, not finite or above 1e6.
    """

    alpha: float = 0.4
    beta: float = 0.08
    ratio: float | None = None

    def __post_init__(self) -> None:
        for name in ("alpha", "beta", "ratio"):
            value = getattr(self, name)
            if value is not None or name != "ratio":
                object.__setattr__(self, name, check_number(name, value, 0, MAX_DAMPING, meaning="of Damping"))

    def rates(self, omega: ArrayLike) -> np.ndarray:
        """gamma of each mode, float64 in 1/s: alpha + beta w^2, or 2 ratio w. omega: [K] in rad/s."""
        omega = np.asarray(omega, dtype=np.float64)
        return self.alpha + self.beta * omega**2 if self.ratio is None else 2 * self.ratio * omega


DEFAULT_DAMPING = Damping()


def free_response(
    omega: ArrayLike, gamma: ArrayLike, time: ArrayLike, position: ArrayLike, velocity: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Motion of oscillators without a force: the closed form of q'' + gamma q' + w^2 q = 0.

    Args:
        omega, gamma: [K] in rad/s and 1/s, >= 0. Under-, over- and critically damped modes may be mixed; w may be 0.
        time: [..., frames] in seconds since the initial state, >= 0.
        position, velocity: [..., K], real or complex: the initial state.

    Returns:
        Position and velocity, each [..., frames, K].
    """
    c, s, g = _free_solution(omega, gamma, np.asarray(time, dtype=np.float64)[..., None])
    q, v = np.asarray(position)[..., None, :], np.asarray(velocity)[..., None, :]
    return (c + g * s) * q + s * v, (c - g * s) * v - np.square(omega) * s * q


def propagator(omega: ArrayLike, gamma: ArrayLike, dt: float) -> np.ndarray:
    """The exact step matrix of (q - r, q') over a time dt: exp([[0, 1], [-w^2, -gamma]] dt), float64 [K, 2, 2].

    Args:
        omega, gamma: [K] in rad/s and 1/s, >= 0.
        dt: seconds, >= 0.
    """
    c, s, g = _free_solution(omega, gamma, dt)
    return _stack_matrices(c + g * s, s, -np.square(omega) * s, c - g * s)


def stable_step(omega: ArrayLike, gamma: ArrayLike, integrator: str = "exact") -> np.ndarray:
    """Time step below which the free oscillator does not grow: float64 [K] in seconds, infinite for "exact".

    Explicit Euler: gamma / w^2 if the mode oscillates, 2 / lambda if it is overdamped; lambda is its fastest decay.
    Semi-implicit Euler: the step where (w dt)^2 + 2 gamma dt = 4.

    Raises:
        ValueError: for an unknown integrator.
    """
    check_choice("integrator", integrator, INTEGRATORS)
    omega, gamma = np.broadcast_arrays(np.asarray(omega, np.float64), np.asarray(gamma, np.float64))
    if integrator == "exact":
        return np.full(omega.shape, np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        if integrator == "semi_implicit_euler":
            return 4 / (gamma + np.sqrt(gamma**2 + 4 * omega**2))
        fastest_decay = gamma / 2 + np.sqrt(np.maximum(gamma**2 / 4 - omega**2, 0))
        limit = np.where(gamma < 2 * omega, gamma / omega**2, 2 / fastest_decay)
    return np.where((omega == 0) & (gamma == 0), np.inf, limit)  # such a mode has neither spring nor damping


def check_stable(omega: np.ndarray, gamma: np.ndarray, dt: float, integrator: str) -> None:
    """Check that an integrator is stable at a time step.

    Raises:
        ValueError: if it is not; the message names the lowest unstable frequency and possible remedies.
    """
    limit = stable_step(omega, gamma, integrator)
    unstable = dt >= limit
    if not unstable.any():
        return
    frequency, max_dt = omega[unstable][0] / (2 * math.pi), limit[unstable].min()
    remedies = "integrator 'exact', or a volume with fewer bins"
    if max_dt > 0:
        remedies += f", or more than {1 / max_dt:.0f} steps per second (more frames per second, or a lower speed)"
    raise ValueError(
        f"{integrator} with steps of {dt:.4g} s blows up at {frequency:.2f} Hz, where its limit is "
        f"{limit[unstable][0]:.4g} s. Use {remedies}."
    )


def simulate(
    omega: ArrayLike,
    gamma: ArrayLike,
    equilibrium: ArrayLike,
    dt: float,
    integrator: str = "exact",
    initial: tuple[np.ndarray, np.ndarray] | None = None,
    periodic: bool = False,
) -> np.ndarray:
    """Motion of driven oscillators, step by step.

    Args:
        omega, gamma: [K] in rad/s and 1/s, >= 0.
        equilibrium: [frames, K], real or complex: r during the step from frame n to frame n + 1.
        dt: seconds per step, > 0.
        integrator: "exact" is stable for every step and independent of the frame rate. The paper's "explicit_euler"
            and the "semi_implicit_euler" of its supplement's equations are for comparison.
        initial: position and velocity [K] of frame 0. None starts at 0 with velocity 0.
        periodic: start in the state that recurs after the last step, so that the result loops exactly.

    Returns:
        complex128 [frames, K]: q of each frame.

    Raises:
        ValueError: if an Euler integrator is unstable at this step, an argument is out of range, or a mode has no
            periodic state (it is undamped and driven at its own frequency).
    """
    equilibrium = np.asarray(equilibrium, dtype=np.complex128)
    omega, gamma = np.asarray(omega, dtype=np.float64), np.asarray(gamma, dtype=np.float64)
    shape = equilibrium.shape
    if len(shape) != 2 or shape[0] < 1 or shape[1:] != omega.shape or gamma.shape != omega.shape:
        raise ValueError(f"equilibrium is [frames, {omega.size}], one column per mode; got {list(shape)}.")
    if not (dt > 0 and math.isfinite(dt)):
        raise ValueError(f"dt must be a number of seconds > 0; got {dt}.")
    if periodic and initial is not None:
        raise ValueError("A periodic motion determines its own initial state; leave out initial or periodic.")
    check_stable(omega, gamma, dt, integrator)
    step = _step_matrix(omega, gamma, dt, integrator)
    # The matrix acts on q - r, so an equilibrium adds (1 - step) (r, 0) to the state after it.
    drive = (np.eye(2) - step)[:, :, 0].T[:, None] * equilibrium  # position and velocity, [2, frames, K]
    state = np.zeros((2, omega.size)) if initial is None else np.stack(initial)
    if periodic:
        end = _linear_recurrence(step, np.concatenate([np.zeros_like(drive[:, :1]), drive], 1))[:, -1]
        system = np.eye(2) - np.linalg.matrix_power(step, len(equilibrium))  # (1 - step^frames) state = end
        system[omega == 0] = np.eye(2)  # without a spring every position is an equilibrium: the mode stays at 0
        resonant = np.abs(np.linalg.det(system)) < 1e-12  # |1 - e^(i w t)|^2 after the whole time t
        if resonant.any():
            frequency = omega[resonant][0] / (2 * math.pi)
            raise ValueError(f"The mode of {frequency:.2f} Hz has no state that loops; give it more damping.")
        state = np.linalg.solve(system, end.T[..., None])[..., 0].T
    return _linear_recurrence(step, np.concatenate([state[:, None], drive[:, :-1]], 1))[0]


def _linear_recurrence(step: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """States s_n = step s_{n-1} + inputs_n, [2, frames, K], by doubling: s_n sums the last 2^i terms after pass i."""
    position, velocity = inputs.astype(np.complex128)
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


def _free_solution(omega: ArrayLike, gamma: ArrayLike, time: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """c and s of the free oscillator, and g = gamma / 2: q(t) = (c + g s) q(0) + s q'(0).

    With d^2 = |w^2 - g^2|: c = e^(-g t) cos(d t) and s = e^(-g t) sin(d t) / d, or cosh and sinh if overdamped. The
    hyperbolic ones are written with e^(-(g + d) t) and e^(-w^2 t / (g + d)), which neither overflow nor cancel.
    """
    omega, time = np.asarray(omega, np.float64), np.asarray(time, np.float64)
    g = np.asarray(gamma, np.float64) / 2
    discriminant = (omega - g) * (omega + g)
    d = np.sqrt(np.abs(discriminant))
    decay = np.exp(-g * time)
    # sinc evaluates sin(x) / x without a division by 0 at critical damping.
    under_c, under_s = decay * np.cos(d * time), decay * time * np.sinc(d * time / np.pi)
    with np.errstate(divide="ignore", invalid="ignore"):
        slow = np.exp(-np.where(g > 0, omega**2 / (g + d), 0) * time)
        fast = slow * np.exp(-2 * d * time)
        over_c, over_s = (slow + fast) / 2, -slow * np.expm1(-2 * d * time) / (2 * d)
    overdamped = discriminant < 0
    return np.where(overdamped, over_c, under_c), np.where(overdamped, over_s, under_s), g


def _step_matrix(omega: np.ndarray, gamma: np.ndarray, dt: float, integrator: str) -> np.ndarray:
    """The matrix of one step of (q - r, q'), float64 [K, 2, 2]."""
    if integrator == "exact":
        return propagator(omega, gamma, dt)
    spring, friction = -(omega**2) * dt, 1 - gamma * dt  # v' = spring (q - r) + friction v
    if integrator == "explicit_euler":
        return _stack_matrices(np.ones_like(omega), np.full_like(omega, dt), spring, friction)
    return _stack_matrices(1 + dt * spring, dt * friction, spring, friction)


def _stack_matrices(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    return np.stack([np.stack([a, b], -1), np.stack([c, d], -1)], -2)
