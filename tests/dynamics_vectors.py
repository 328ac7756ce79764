"""The content of tests/vectors/dynamics.json: small inputs and the results of gid_core for them.

The page's JavaScript (js/oscillators.js, modes.js, poke.js, wind.js) is tested against the same numbers. The volume has
six bins on a grid of 6 x 8. As in the page, bin 0 is omitted everywhere: arrays begin with bin 1, and complex numbers
are pairs. Coordinates of motions are float32, everything else is float64.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import torch

from gid_core.dynamics.modes import Modes
from gid_core.dynamics.oscillators import INTEGRATORS, Damping, free_response, propagator, simulate, stable_step
from gid_core.dynamics.poke import poke
from gid_core.dynamics.poke_list import parse_pokes
from gid_core.dynamics.wind import gust_speed, mulberry32, phasors, wind, wind_equilibrium
from gid_core.motion import Motion
from gid_core.spectral_volume import SpectralVolume

PATH = Path(__file__).parent / "vectors" / "dynamics.json"
FPS, PERIOD, BINS, HEIGHT, WIDTH = 24.0, 60, 6, 6, 8
DAMPINGS = {"default": {"alpha": 0.4, "beta": 0.08}, "heavy": {"alpha": 2.0, "beta": 0.3}, "critical": {"ratio": 1.0}}
POKES = [  # pokes, settings that are not the default, frames to compare
    ([{"x": 0.7, "y": 0.4, "dx": -0.05, "dy": 0, "time": 0}], {}, [0, 1, 2, 4, 5, 9, 20, 39]),
    (
        [{"x": 0.52, "y": 0.81, "dx": 0.1, "dy": -0.2, "time": 0.25, "kind": "kick"}],
        {"speed": 0.5, "strength": 2.0, "damping": "heavy"},
        [0, 5, 6, 7, 12, 24, 39],
    ),
    (
        [{"x": 0.6, "y": 0.3, "time": 0.1, "path": [[0.1, 0.05, 0.02], [0.3, 0.1, -0.1], [0.52, -0.06, -0.04]]}],
        {"speed": 1.5, "damping": "critical"},
        [0, 2, 3, 5, 8, 12, 14, 15, 16, 22, 39],
    ),
    (
        [{"x": 0.95, "y": 0.02, "dx": 0.3, "dy": 0.2, "time": 0.5, "hold": 0}],
        {"max_displacement": 0.05},
        [0, 11, 12, 13, 18, 30],
    ),
    (
        [
            {"x": 0.02, "y": 0.5, "dx": 0.1, "dy": 0.1, "time": 0},
            {"x": 0.5, "y": 0.5, "dx": 0.05, "dy": 0.05, "time": 0.5, "hold": 0.3},
            {"x": 0.9, "y": 0.9, "dx": 0.02, "dy": -0.1, "time": 0.2, "hold": 0.4},
        ],
        {"fps": 30.0},
        [0, 5, 10, 17, 18, 25, 39],
    ),
    (
        [{"x": 0.6, "y": 0.6, "time": 0.03, "path": [[0, 0.02, 0.01], [0.15, 0.08, 0.05], [0.2, 0.1, 0.02]]}],
        {"integrator": "explicit_euler"},
        [0, 1, 3, 5, 6, 7, 12, 39],
    ),
    (
        [{"x": 0.6, "y": 0.6, "dx": 0.08, "dy": 0.05, "time": 0.03}],
        {"integrator": "semi_implicit_euler"},
        [0, 1, 5, 6, 7, 12, 39],
    ),
]
WINDS = [
    {"seed": 7, "direction_degrees": 20.0, "loops": False},
    {"seed": 7, "direction_degrees": 20.0, "loops": True},
    {"seed": 2**32 - 1, "direction_degrees": -130.0, "loops": False, "strength": 3.0, "gustiness": 1.0, "speed": 0.5},
    {"seed": 3, "direction_degrees": 90.0, "loops": True, "gustiness": 0.0, "damping": "heavy", "num_frames": 31},
    {"seed": 7, "direction_degrees": 20.0, "loops": True, "num_frames": 20},  # too short for the slowest mode
]


def vector_volume() -> SpectralVolume:
    """Random motion that grows to the right; the two leftmost columns are static. Two decimals per number."""
    rng = np.random.default_rng(5)
    values = rng.normal(size=(1, BINS, 4, HEIGHT, WIDTH)) * np.clip(np.arange(WIDTH) - 1, 0, None) * 4
    values /= np.arange(1, BINS + 1)[:, None, None, None]
    return SpectralVolume(torch.from_numpy(values.round(2)).float(), FPS, PERIOD)


def make_vectors() -> dict:
    volume = vector_volume()
    modes = Modes(volume)
    omega = modes.omega
    gammas = {name: Damping(**settings).rates(omega) for name, settings in DAMPINGS.items()}
    slices = volume.coefficients[0, 1:].permute(0, 2, 3, 1)
    return {
        "about": "see tests/dynamics_vectors.py; bins 1 to n, complex numbers as pairs",
        "volume": {
            "volume_size": [HEIGHT, WIDTH],
            "grid": [HEIGHT, WIDTH],
            "fps": FPS,
            "period": PERIOD,
            "bins": BINS - 1,
            "slices": [round(float(value), 2) + 0.0 for value in slices.flatten()],  # [n, h, w, 4], as in a packet
        },
        "omega": omega[1:],
        "dampings": [{"damping": settings, "gamma": gammas[name][1:]} for name, settings in DAMPINGS.items()],
        "propagator": [  # [n][a, b, c, d]
            {"gamma": gamma[1:], "dt": dt, "matrices": propagator(omega, gamma, dt)[1:].reshape(-1, 4)}
            for gamma in gammas.values()
            for dt in (1 / FPS, 0.7)
        ],
        "free_response": _free_responses(omega, gammas),
        "stable_step": [
            {"gamma": gamma[1:], "integrator": integrator, "seconds": stable_step(omega, gamma, integrator)[1:]}
            for gamma in gammas.values()
            for integrator in INTEGRATORS[1:]
        ],
        "simulate": _simulations(omega, gammas["default"]),
        "poke": [_poke(volume, *case) for case in POKES],
        "mulberry32": [
            {"seed": seed, "stream": stream, "draws": _draws(seed, stream)}
            for seed, stream in ((0, 0), (7, 0), (7, 3), (2**32 - 1, 15), (2**32 + 7, 3))
        ],
        "gust_speed": [
            {"seed": seed, "count": 10, "dt": 0.37, "loop_seconds": loop_seconds}
            | {"speed": gust_speed(np.arange(10) * 0.37, seed, loop_seconds)}
            for seed, loop_seconds in ((7, None), (8, None), (7, 3.7))
        ],
        "phasors": [
            {"mode_frequency": f, "k": k, "seed": 7, "loop_seconds": loop_seconds}
            | {"phasors": phasors(f, k, 7, loop_seconds)}
            for f, k, loop_seconds in ((0.4, 1, None), (2.0, 5, None), (0.4, 1, 2.5))
        ],
        "alignment": [{"direction_degrees": d, "alignment": pairs(modes.alignment(d))} for d in (0.0, 20.0, -130.0)],
        "limit_factor": [
            {"strength": strength, "max_displacement": limit, "limit_factor": modes.limit_factor(strength, limit)}
            for strength, limit in ((1.0, 0.25), (3.0, 0.1))
        ],
        "wind_equilibrium": [
            {"gamma": gammas["default"][1:], "count": 6, "dt": 0.25, "direction_degrees": 20.0, "gustiness": 0.5}
            | {"seed": 7, "loop_seconds": loop_seconds}
            | {"equilibrium": pairs(_wind_equilibrium(modes, gammas["default"], loop_seconds))}
            for loop_seconds in (None, 1.5)
        ],
        "wind": [_wind(volume, case) for case in WINDS],
    }


def write_vectors() -> None:
    """One line per key, and one line per item of a list of objects."""
    parts = []
    for key, value in json.loads(json.dumps(make_vectors(), default=_plain)).items():
        text = json.dumps(value, separators=(",", ":"))
        if isinstance(value, list) and isinstance(value[0], dict):
            text = "[\n" + ",\n".join(json.dumps(item, separators=(",", ":")) for item in value) + "\n]"
        parts.append(f'"{key}":{text}')
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def read_vectors() -> dict:
    return json.loads(PATH.read_text())


def pairs(values: np.ndarray) -> np.ndarray:
    """Complex [..., K] without bin 0, as [..., n, 2]."""
    return np.stack([values.real, values.imag], -1)[..., 1:, :]


def settings_of(case: dict) -> dict:
    """All settings of a case, the default ones too, with the damping's numbers."""
    full = {"num_frames": 40, "fps": FPS, "damping": "default", "speed": 1.0, "strength": 1.0}
    full |= {"max_displacement": 0.25, "integrator": "exact"} | case
    return full | {"damping": DAMPINGS[full["damping"]]}


def _free_responses(omega: np.ndarray, gammas: dict[str, np.ndarray]) -> list[dict]:
    times = np.array([0.0, 0.05, 0.4, 3.0])
    cases = [(w, gamma) for gamma in gammas.values() for w, gamma in ((omega[1], gamma[1]), (omega[5], gamma[5]))]
    cases += [(0.0, 0.0), (0.0, 1.5), (3.0, 0.0), (2.0, 900.0)]
    responses = []
    for w, gamma in cases:
        q, v = free_response([w], [gamma], times, [0.8], [-1.5])
        responses.append({"omega": w, "gamma": gamma, "times": times, "start": [0.8, -1.5], "q": q[:, 0], "v": v[:, 0]})
    return responses


def _simulations(omega: np.ndarray, gamma: np.ndarray) -> list[dict]:
    rng = np.random.default_rng(6)
    equilibrium, initial = (rng.normal(size=(n, BINS, 2)).round(3) for n in (8, 2))
    simulations = []
    for integrator in INTEGRATORS:
        for periodic in (False, True):
            start = None if periodic else tuple(_as_complex(initial))
            q = simulate(omega, gamma, _as_complex(equilibrium), 1 / FPS, integrator, start, periodic)
            case = {"gamma": gamma[1:], "dt": 1 / FPS, "integrator": integrator, "periodic": periodic}
            case |= {} if periodic else {"initial": initial[:, 1:]}
            simulations.append(case | {"equilibrium": equilibrium[:, 1:], "q": pairs(q)})
    return simulations


def _poke(volume: SpectralVolume, items: list[dict], changes: dict, frames: list[int]) -> dict:
    settings = settings_of(changes)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        arguments = settings | {"damping": Damping(**settings["damping"])}
        motion = poke(volume, parse_pokes(json.dumps(items)), **arguments)
    # Indices of the pokes where nothing moves.
    static = [int(str(w.message).split()[1]) - 1 for w in caught]
    return {"pokes": items, "settings": settings, "static": static, "frames": frames, "q": _coordinates(motion)[frames]}


def _wind(volume: SpectralVolume, changes: dict) -> dict:
    settings = settings_of({"gustiness": 0.5} | changes)
    motion = wind(volume, **(settings | {"damping": Damping(**settings["damping"])}))
    frames = [*range(0, len(motion), 6), len(motion) - 1]
    return {"settings": settings, "frames": frames, "q": _coordinates(motion)[frames]}


def _wind_equilibrium(modes: Modes, gamma: np.ndarray, loop_seconds: float | None) -> np.ndarray:
    return wind_equilibrium(modes.omega, gamma, np.arange(6) * 0.25, modes.alignment(20.0), 0.5, 7, loop_seconds)


def _coordinates(motion: Motion) -> np.ndarray:
    """float32 [frames, n, 2]; the shortest text that reads back as the same float32."""
    return np.array([[[float(str(v)) for v in pair] for pair in row] for row in motion.coordinates[:, 1:].numpy()])


def _draws(seed: int, stream: int) -> list[float]:
    draw = mulberry32(seed, stream)
    return [draw() for _ in range(6)]


def _as_complex(pairs_: np.ndarray) -> np.ndarray:
    return pairs_[..., 0] + 1j * pairs_[..., 1]


def _plain(value: np.ndarray) -> list | float:
    return value.tolist()
