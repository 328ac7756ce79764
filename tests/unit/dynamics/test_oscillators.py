"""Damped oscillators: compared with scipy's matrix exponential and with physical laws, in all damping regimes."""

import json
import os

import numpy as np
import pytest
import scipy.integrate
import scipy.linalg

from dynamics_vectors import make_vectors, read_vectors, write_vectors
from gid_core.dynamics.oscillators import INTEGRATORS, Damping, free_response, propagator, simulate, stable_step

OMEGA = 2 * np.pi * 0.2 * np.arange(16)  # the paper's bins
EULER = INTEGRATORS[1:]

# w and gamma: underdamped, critical, nearly critical on both sides, overdamped, undamped, no spring, neither force.
REGIMES = np.array(
    [(3, 1), (3, 6), (3, 6 - 1e-7), (3, 6 + 1e-7), (3, 40), (0.01, 900), (5, 0), (0, 2), (0, 0), (18.8, 28.8)], float
)


def matrix(w, gamma):
    return np.array([[0, 1], [-w * w, -gamma]])


def euler_matrix(w, gamma, dt, integrator):
    """One step, written from the definition and independent of the library."""
    q, v = np.eye(2)
    next_v = v + dt * (-gamma * v - w * w * q)
    return np.stack([q + dt * (v if integrator == "explicit_euler" else next_v), next_v])


def random_equilibrium(frames=200, bins=16, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(frames, bins)) + 1j * rng.normal(size=(frames, bins))


# ---- damping ----


def test_rates_are_rayleigh_damping_or_one_ratio():
    np.testing.assert_allclose(Damping().rates(np.array([0, 2.0])), [0.4, 0.4 + 0.08 * 4])
    np.testing.assert_allclose(Damping(1, 2).rates([3.0]), [19])
    np.testing.assert_allclose(Damping(ratio=0.25).rates([4.0]), [2])
    assert (Damping(0, 0).rates(OMEGA) == 0).all() and (Damping(ratio=0).rates(OMEGA) == 0).all()


@pytest.mark.parametrize("name", ["alpha", "beta", "ratio"])
@pytest.mark.parametrize("bad", [-0.1, float("nan"), float("inf")])
def test_invalid_damping_is_rejected(name, bad):
    with pytest.raises(ValueError, match=f"{name}.*{bad}"):
        Damping(**{name: bad})


# ---- the exact solution ----


@pytest.mark.parametrize("dt", [0.0, 1e-4, 1 / 60, 1 / 24, 0.5, 10.0])
def test_the_propagator_is_the_matrix_exponential(dt):
    expected = [scipy.linalg.expm(matrix(w, gamma) * dt) for w, gamma in REGIMES]
    np.testing.assert_allclose(propagator(*REGIMES.T, dt), expected, atol=1e-6, rtol=0)


def test_the_free_response_solves_the_equation():
    time = np.linspace(0, 4, 9)
    q, v = free_response(*REGIMES.T, time, np.full(10, 0.7), np.full(10, -1.3))
    assert q.shape == v.shape == (9, 10)

    def derivative(_, state, w, gamma):
        return matrix(w, gamma) @ state

    for k, constants in enumerate(REGIMES):
        # A solver for stiff equations: some of these modes decay within a millisecond.
        solved = scipy.integrate.solve_ivp(
            derivative, (0, 4), [0.7, -1.3], "Radau", time, args=constants, rtol=1e-8, atol=1e-9
        )
        np.testing.assert_allclose([q[:, k], v[:, k]], solved.y, atol=1e-5)


def test_free_responses_can_be_batched():
    starts = random_equilibrium(5)
    time = np.linspace(0, 3, 7)
    gamma = Damping().rates(OMEGA)
    batched = free_response(OMEGA, gamma, np.tile(time, (5, 1)), starts, 1j * starts)[0]
    assert batched.shape == (5, 7, 16)
    np.testing.assert_allclose(batched[3], free_response(OMEGA, gamma, time, starts[3], 1j * starts[3])[0])


@pytest.mark.parametrize("dt", [1e-3, 1 / 30, 0.3, 7.0])
def test_energy_never_grows_without_force(dt):
    """|v|^2 + w^2 |q|^2 grows at most by the largest singular value of the step matrix in those coordinates."""
    rng = np.random.default_rng(1)
    for alpha, beta in [(0, 0), (0.4, 0.08), (20, 0), (0, 5), *rng.uniform(0, [10, 2], (20, 2))]:
        step = propagator(OMEGA[1:], Damping(alpha, beta).rates(OMEGA[1:]), dt)
        scale = OMEGA[1:, None, None] * [[1, 0], [0, 0]] + [[0, 0], [0, 1]]
        gain = np.linalg.norm(scale @ step @ np.linalg.inv(scale), ord=2, axis=(1, 2))
        assert gain.max() <= 1 + 1e-12
        assert alpha + beta > 0 or gain.min() > 1 - 1e-9  # without damping, no energy is lost


# ---- simulation ----


@pytest.mark.parametrize("damping", [Damping(), Damping(0, 0), Damping(ratio=1), Damping(ratio=5)])
def test_simulation_without_force_is_the_free_response(damping):
    gamma, (position, velocity) = damping.rates(OMEGA), random_equilibrium(2)
    q = simulate(OMEGA, gamma, np.zeros((90, 16)), 1 / 30, initial=(position, velocity))
    free = free_response(OMEGA, gamma, np.arange(90) / 30, position, velocity)[0]
    np.testing.assert_allclose(q, free, atol=1e-9)


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_simulation_is_one_step_after_another(integrator):
    dt, equilibrium, (q, v) = 1 / 60, random_equilibrium(50), random_equilibrium(2, seed=1)
    gamma = Damping(0.4, 0.05).rates(OMEGA)
    simulated = simulate(OMEGA, gamma, equilibrium, dt, integrator, initial=(q, v))
    for n in range(50):
        np.testing.assert_allclose(simulated[n], q, atol=1e-11)
        for k, (w, g) in enumerate(zip(OMEGA, gamma, strict=True)):
            exact = scipy.linalg.expm(matrix(w, g) * dt)
            step = exact if integrator == "exact" else euler_matrix(w, g, dt, integrator)
            q[k], v[k] = step @ [q[k] - equilibrium[n, k], v[k]] + [equilibrium[n, k], 0]


def test_the_exact_integrator_does_not_depend_on_the_frame_rate():
    gamma, equilibrium = Damping().rates(OMEGA), random_equilibrium(60)
    slow = simulate(OMEGA, gamma, equilibrium, 1 / 30)
    for times in (2, 5):
        fast = simulate(OMEGA, gamma, equilibrium.repeat(times, 0), 1 / 30 / times)
        np.testing.assert_allclose(fast[::times], slow, atol=1e-10)
    coarse = simulate(OMEGA, gamma, equilibrium, 1 / 30, "semi_implicit_euler")
    fine = simulate(OMEGA, gamma, equilibrium.repeat(2, 0), 1 / 60, "semi_implicit_euler")
    assert np.abs(fine[::2] - coarse).max() > 0.01  # the Euler integrators do depend on it


def test_a_constant_force_ends_at_its_equilibrium():
    q = simulate(OMEGA, Damping().rates(OMEGA), np.full((1500, 16), 2 - 1j), 1 / 30)
    np.testing.assert_allclose(q[-1, 1:], 2 - 1j, atol=1e-4)
    assert q[-1, 0] == 0  # the constant bin has no spring


@pytest.mark.parametrize("frames", [1, 2, 7, 64, 150])
@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_a_periodic_motion_returns_to_its_first_state(frames, integrator):
    gamma, equilibrium = Damping(0.4, 0.05).rates(OMEGA), random_equilibrium(frames)
    equilibrium[:, 0] = 0
    q = simulate(OMEGA, gamma, equilibrium, 1 / 60, integrator, periodic=True)
    # After many passes, the free part has decayed and the motion is that of the loop.
    passes = -(-(4800 + frames) // frames)
    settled = simulate(OMEGA, gamma, np.tile(equilibrium, (passes, 1)), 1 / 60, integrator)[-frames:]
    np.testing.assert_allclose(q, settled, atol=1e-8)


def test_an_undamped_mode_at_resonance_has_no_loop():
    omega = np.array([2 * np.pi])
    equilibrium = np.cos(2 * np.pi * np.arange(30) / 30)[:, None]
    with pytest.raises(ValueError, match="1.00 Hz.*damping"):
        simulate(omega, np.zeros(1), equilibrium, 1 / 30, periodic=True)
    assert np.isfinite(simulate(omega, np.full(1, 0.01), equilibrium, 1 / 30, periodic=True)).all()


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_no_force_gives_exactly_zero(integrator):
    for periodic in (False, True):
        q = simulate(OMEGA, Damping(1, 0.06).rates(OMEGA), np.zeros((90, 16)), 1 / 60, integrator, periodic=periodic)
        assert (q == 0).all()


def test_ten_minutes_stay_bounded():
    equilibrium = np.sign(random_equilibrium(18_000).real)
    assert np.abs(simulate(OMEGA, Damping().rates(OMEGA), equilibrium, 1 / 30)).max() < 5


# ---- stability of the Euler integrators ----


@pytest.mark.parametrize("integrator", EULER)
@pytest.mark.parametrize(
    "damping", [Damping(), Damping(0.8, 0.05), Damping(ratio=0.1), Damping(ratio=1), Damping(ratio=3)]
)
def test_euler_decays_inside_its_limit_and_blows_up_outside(integrator, damping):
    gamma = damping.rates(OMEGA)
    for w, g, limit in zip(OMEGA[1:], gamma[1:], stable_step(OMEGA, gamma, integrator)[1:], strict=True):
        for share, stable in ((0.98, True), (1.02, False)):
            with np.errstate(over="ignore", invalid="ignore"):
                power = np.abs(np.linalg.matrix_power(euler_matrix(w, g, share * limit, integrator), 20_000))
            assert (power < 0.5).all() if stable else not (power < 50).all()


@pytest.mark.parametrize("integrator", EULER)
def test_simulation_rejects_an_unstable_step_and_names_its_frequency(integrator):
    gamma, equilibrium = Damping().rates(OMEGA), np.zeros((3, 16))
    limit = stable_step(OMEGA, gamma, integrator).min()
    simulate(OMEGA, gamma, equilibrium, 0.99 * limit, integrator)
    with pytest.raises(ValueError, match=f"{integrator}.* Hz.*exact.*fewer bins.*more frames per second"):
        simulate(OMEGA, gamma, equilibrium, 1.01 * limit, integrator)


def test_the_limits_at_30_fps_are_the_known_ones():
    """First unstable frequency on a grid of 0.1 Hz: 4.9 Hz explicit, 4.0 Hz semi-implicit."""
    frequency = np.arange(0.1, 10, 0.1)
    gamma = Damping().rates(2 * np.pi * frequency)
    for integrator, first in (("explicit_euler", 4.9), ("semi_implicit_euler", 4.0)):
        unstable = stable_step(2 * np.pi * frequency, gamma, integrator) <= 1 / 30
        assert frequency[unstable][0] == pytest.approx(first)
    with pytest.raises(ValueError, match="4.00 Hz"):
        simulate(2 * np.pi * frequency, gamma, np.zeros((2, 99)), 1 / 30, "semi_implicit_euler")


def test_explicit_euler_is_never_stable_without_damping():
    assert stable_step([2.0], [0.0], "explicit_euler")[0] == 0
    with pytest.raises(ValueError, match="explicit_euler"):
        simulate([2.0], [0.0], np.zeros((2, 1)), 1e-6, "explicit_euler")


def test_the_exact_integrator_has_no_limit():
    assert (stable_step(OMEGA, Damping().rates(OMEGA)) == np.inf).all()


# ---- invalid input ----


@pytest.mark.parametrize("dt", [0, -0.1, float("nan"), float("inf")])
def test_invalid_time_steps_are_rejected(dt):
    with pytest.raises(ValueError, match=f"dt.*{dt}"):
        simulate(OMEGA, OMEGA, np.zeros((3, 16)), dt)


@pytest.mark.parametrize("shape", [(16,), (3, 15), (0, 16), (3, 16, 2)])
def test_equilibria_of_the_wrong_shape_are_rejected(shape):
    with pytest.raises(ValueError, match="16"):
        simulate(OMEGA, OMEGA, np.zeros(shape), 0.1)


def test_unknown_integrators_are_rejected():
    with pytest.raises(ValueError, match="semi_implicit_euler.*leapfrog"):
        simulate(OMEGA, OMEGA, np.zeros((3, 16)), 0.1, "leapfrog")


def test_a_periodic_motion_takes_no_initial_state():
    with pytest.raises(ValueError, match="initial or periodic"):
        simulate(OMEGA, OMEGA, np.zeros((3, 16)), 0.1, initial=(OMEGA, OMEGA), periodic=True)


# ---- the vectors that the page's JavaScript is tested against ----


def test_the_shared_vectors_match_the_library():
    """After an intended change, GID_UPDATE_VECTORS=1 pytest tests/unit/dynamics/test_oscillators.py rewrites them."""
    if os.environ.get("GID_UPDATE_VECTORS") == "1":
        write_vectors()
    computed = json.loads(json.dumps(make_vectors(), default=lambda value: value.tolist()))
    _assert_close(read_vectors(), computed, "vectors")


def _assert_close(stored, computed, where):
    if isinstance(stored, dict):
        assert stored.keys() == computed.keys(), where
        for key in stored:
            _assert_close(stored[key], computed[key], f"{where}.{key}")
    elif isinstance(stored, list) and stored and isinstance(stored[0], dict):
        assert len(stored) == len(computed), where
        for index, pair in enumerate(zip(stored, computed, strict=True)):
            _assert_close(*pair, f"{where}[{index}]")
    elif isinstance(stored, list):
        a, b = np.array(stored, float), np.array(computed, float)
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(a).max() if a.size else 0, err_msg=where)
    else:
        assert stored == pytest.approx(computed, rel=1e-5) if isinstance(stored, float) else stored == computed, where
