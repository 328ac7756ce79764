"""Pokes: the response of the modes when a point of the photo is pulled and released (paper section 6).

A pull by D pixels at the point p gives mode k the coordinate of the paper's eq. 9, times a factor that is equal for all
modes and makes p itself move by |D| in the direction of D:

    q_k = |D|^2 conj(D . S_k(p)) / (g + 0.005 t),   g = sum_k |D . S_k(p)|^2,   t = |D|^2 sum_k |S_k(p)|^2

where D . S = Dx Sx + Dy Sy. The term with t keeps q small where p cannot move along D. After the release, every mode is
a free oscillator, evaluated in closed form at any frame rate.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..motion import Motion
from ..notices import warn
from ..spectral_volume import SpectralVolume, modal_sum
from .modes import Modes, soft_limit
from .oscillators import DEFAULT_DAMPING, Damping, check_stable, free_response, simulate
from .poke_list import Poke, check_pokes
from .settings import check_settings

# The page uses the same numbers (js/constants.js).
SOFTNESS = 0.005  # factor of t in the denominator above
VELOCITY_WINDOW = 0.05  # seconds before the release over which the velocity of a drag is measured
MAX_RELEASE_VELOCITY = 3.0  # largest velocity of a mode at its release, as a multiple of w |q|
TIME_TOLERANCE = 1e-6  # seconds; times this close to a frame count as equal to it, because n / fps is rounded


def poke(
    volume: SpectralVolume,
    pokes: Sequence[Poke],
    *,
    num_frames: int = 120,
    fps: float | None = None,
    damping: Damping = DEFAULT_DAMPING,
    speed: float = 1.0,
    strength: float = 1.0,
    max_displacement: float = 0.25,
    integrator: str = "exact",
) -> Motion:
    """The response of a volume's modes to pokes; the responses to several pokes add up.

    While a point is held, the modes follow it exactly. At its release they have the position of the pull and the
    velocity of the drag (measured over its last 0.05 s, at most 3 w |q| per mode; an eased pull ends at rest).

    Args:
        volume: of one photo.
        pokes: in any order. A poke that begins after the last frame is skipped, with a warning. A point where nothing
            moves is replaced by the most active one within 2 % of the width, or skipped, with a warning.
        num_frames: frames to make, 1 to 100,000.
        fps: frames per second; None takes the volume's.
        damping: of the modes.
        speed: of the modes, > 0; 0.5 lets them swing at half speed. It does not change the times of the pokes.
        strength: factor of every pull, >= 0.
        max_displacement: soft limit of how far a pull moves any pixel, as a fraction of the width, > 0: a peak d
            becomes d / (1 + (d / limit)^4)^(1/4).
        integrator: one of `oscillators.INTEGRATORS`; used from each release on.

    Returns:
        A `Motion` that does not loop.

    Raises:
        ValueError: if the volume holds several photos, or an argument is out of range.
    """
    settings = check_settings(
        volume,
        num_frames=num_frames,
        fps=fps,
        damping=damping,
        speed=speed,
        strength=strength,
        max_displacement=max_displacement,
        integrator=integrator,
    )
    num_frames, fps, speed, strength, max_displacement, _ = settings
    pokes = check_pokes(pokes)
    if len(volume) != 1:
        raise ValueError(f"Pokes need the volume of one photo; got {len(volume)} photos. Poke one photo at a time.")
    modes = Modes(volume)
    gamma = damping.rates(modes.omega)
    times = np.arange(num_frames) / fps
    coordinates = np.zeros((num_frames, modes.num_bins), dtype=np.complex128)
    check_stable(modes.omega, gamma, speed / fps, integrator)
    for number, item in enumerate(pokes, 1):
        if item.time > times[-1] + TIME_TOLERANCE:
            message = f"Poke {number} is at {item.time:g} s, after the last frame ({times[-1]:.2f} s); it is skipped."
            warn(message)
            continue
        point = modes.find_point(item.x, item.y)
        if point is None:
            where = f"({item.x:g}, {item.y:g})"
            warn(f"Poke {number} at {where}: nothing moves there; it is skipped.")
            continue
        pull = PokePull(modes, point, strength=strength, max_displacement=max_displacement)
        coordinates += _response(pull, item, times, gamma, fps, speed, integrator)
    return modes.make_motion(coordinates, fps)


class PokePull:
    """Modal coordinates that hold one point at any offset D; the fields of the volume are evaluated once.

    Args:
        modes: of one photo.
        point: (column, row) in pixels.
        strength, max_displacement: see `poke`.
    """

    def __init__(
        self, modes: Modes, point: tuple[float, float], *, strength: float = 1.0, max_displacement: float = 0.25
    ) -> None:
        volume = modes.volume
        height, width = volume.size
        self.omega = modes.omega
        self.size = np.array([width, height], dtype=np.float64)
        self.strength, self.limit = strength, max_displacement * width
        slices = modes.sample(*point)  # [K, 4]
        self.slices = np.stack([slices[:, 0] + 1j * slices[:, 1], slices[:, 2] + 1j * slices[:, 3]])  # x, y: [2, K]
        self.slices[:, 0] = 0
        # The field of a pull is linear in D up to a scalar factor, so two fields give its peak for any D.
        conj = np.stack([self.slices.real, -self.slices.imag], -1)
        fields = modal_sum(volume.coefficients, torch.from_numpy(conj).float())[0].flatten(2)  # [x or y, 2, pixels]
        self.squared_field = torch.stack(
            [fields[0].square().sum(0), 2 * (fields[0] * fields[1]).sum(0), fields[1].square().sum(0)]
        )

    def held_coordinates(self, offset: np.ndarray) -> np.ndarray:
        """Modal coordinates, complex [n, K], that hold the point at `offset` = (dx, dy), [n, 2] fractions."""
        d = np.asarray(offset, dtype=np.float64) * self.size
        along = d @ self.slices
        length = (d**2).sum(1)
        denominator = (np.abs(along) ** 2).sum(1) + SOFTNESS * length * (np.abs(self.slices) ** 2).sum()
        gain = self.strength * np.divide(length, denominator, out=np.zeros_like(length), where=denominator > 0)
        gain = gain * soft_limit(np.abs(gain) * self._peak(d), self.limit)
        return gain[:, None] * along.conj()

    def _peak(self, d: np.ndarray) -> np.ndarray:
        """Maximum over pixels of the length of the field of conj(D . S(p)), for D [n, 2]: float64 [n]."""
        squares = np.stack([d[:, 0] ** 2, d[:, 0] * d[:, 1], d[:, 1] ** 2], 1)
        batches = torch.from_numpy(squares).to(self.squared_field).split(16)
        peaks = torch.cat([(batch @ self.squared_field).amax(1) for batch in batches])
        return peaks.clamp_min(0).sqrt().cpu().double().numpy()


def _response(
    pull: PokePull, item: Poke, times: np.ndarray, gamma: np.ndarray, fps: float, speed: float, integrator: str
) -> np.ndarray:
    """Modal coordinates, complex [frames, K], of one poke."""
    omega = pull.omega
    q = np.zeros((len(times), len(omega)), dtype=np.complex128)
    since_release = times - item.release
    since_release[np.abs(since_release) < TIME_TOLERANCE] = 0
    free = since_release >= 0
    held = (times - item.time > -TIME_TOLERANCE) & (since_release < 0)
    if held.any():
        q[held] = pull.held_coordinates(item.offset(np.maximum(times[held] - item.time, 0)))
    if not free.any():
        return q
    if item.kind == "kick":
        velocity = omega * pull.held_coordinates(np.array([[item.dx, item.dy]]))[0]
        position = np.zeros_like(velocity)
    else:
        position, velocity = _release_state(pull, item, speed)
    modal_time = since_release[free] * speed
    if integrator == "exact":
        q[free] = free_response(omega, gamma, modal_time, position, velocity)[0]
    else:  # exact up to the first frame after the release
        at_position, at_velocity = free_response(omega, gamma, modal_time[:1], position, velocity)
        q[free] = simulate(omega, gamma, q[free], speed / fps, integrator, (at_position[0], at_velocity[0]))
    return q


def _release_state(pull: PokePull, item: Poke, speed: float) -> tuple[np.ndarray, np.ndarray]:
    """Position and velocity of the modes when a pull is released, in the modes' own time."""
    window = min(VELOCITY_WINDOW, item.hold)
    before, position = pull.held_coordinates(item.offset([item.hold - window, item.hold]))
    if not item.path or window == 0:
        return position, np.zeros_like(position)
    velocity = (position - before) / (window * speed)
    magnitude, max_magnitude = np.abs(velocity), MAX_RELEASE_VELOCITY * pull.omega * np.abs(position)
    return position, velocity * np.divide(
        max_magnitude, magnitude, out=np.ones_like(magnitude), where=magnitude > max_magnitude
    )
