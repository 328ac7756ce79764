"""Claim: a minute of poke, wind or audio takes no longer to compute than a few rendered frames.

python -m benchmarks dynamics
"""

import numpy as np
import torch

import gid_core as gid
from benchmarks.bench_rendering import random_volume
from benchmarks.measure import interleaved_times, median_ms, write_results
from gid_core.dynamics.modes import Modes
from gid_core.dynamics.oscillators import simulate

FRAMES = 1800  # a minute at 30 frames per second
RENDERED_FRAMES = 24
SAMPLE_RATE = 44_100  # Hz
SIZE, SMALL_SIZE = (288, 512), (72, 128)


def plucked_tone(seconds: float) -> torch.Tensor:
    """A decaying tone of 200 Hz that starts anew twice per second."""
    time = torch.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return torch.sin(2 * torch.pi * 200 * time) * torch.exp(-time.remainder(0.5) / 0.05)


def main() -> None:
    """Write results/dynamics.md."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    height, width = SIZE
    volume = random_volume(height, width)
    small, photo, audio = volume.resize(SMALL_SIZE), torch.rand(height, width, 3), plucked_tone(FRAMES / volume.fps)
    pokes = [gid.Poke(x=x, y=0.4, dx=-0.05, dy=0.02, time=0.5) for x in np.linspace(0.3, 0.7, 20)]
    single = gid.Poke(x=0.6, y=0.4, dx=-0.05, dy=0.02, time=0.5)
    drag = gid.Poke(x=0.6, y=0.4, time=0.5, path=tuple((0.1 * i, 0.01 * i, -0.005 * i) for i in range(1, 13)))

    forces = {
        "poke, one": lambda v: gid.poke(v, [single], num_frames=FRAMES),
        "poke, ten": lambda v: gid.poke(v, pokes[::2], num_frames=FRAMES),
        "poke, twenty": lambda v: gid.poke(v, pokes, num_frames=FRAMES),
        "poke, a drag of 1.2 s": lambda v: gid.poke(v, [drag], num_frames=FRAMES),
        "wind, endless": lambda v: gid.wind(v, num_frames=FRAMES),
        "wind, looping": lambda v: gid.wind(v, num_frames=FRAMES, loops=True),
        "audio": lambda v: gid.from_audio(v, audio, SAMPLE_RATE, num_frames=FRAMES),
    }
    functions = {(name, v.size): lambda f=f, v=v: f(v) for name, f in forces.items() for v in (small, volume)}
    motion = gid.wind(volume, num_frames=60)
    omega = Modes(volume).omega
    gamma, equilibrium = gid.Damping().rates(omega), np.random.default_rng(0).normal(size=(FRAMES, len(omega)))
    functions["simulate", None] = lambda: simulate(omega, gamma, equilibrium, 1 / volume.fps)
    functions["render", None] = lambda: gid.render(photo, motion, count=RENDERED_FRAMES, device=device)
    milliseconds = {key: median_ms(seconds) for key, seconds in interleaved_times(functions).items()}
    frame = milliseconds["render", None] / RENDERED_FRAMES
    simulation = milliseconds["simulate", None]
    rows = [["`oscillators.simulate` alone", f"{simulation:.1f}", f"{simulation:.1f}", f"{simulation / frame:.1f}"]]
    for name in forces:
        small_ms, large_ms = milliseconds[name, small.size], milliseconds[name, volume.size]
        rows.append([name, f"{small_ms:.1f}", f"{large_ms:.1f}", f"{large_ms / frame:.1f}"])
    rows.append([f"one rendered frame of {width} x {height}", "", f"{frame:.1f}", "1"])
    write_results(
        "dynamics",
        f"{FRAMES} frames of forces on {volume.num_bins} modes",
        ["force", "volume of 128 x 72, ms", f"volume of {width} x {height}, ms", "in rendered frames"],
        rows,
        f"""
From a volume to the modal coordinates of {FRAMES} frames (a minute at 30 frames per second), everything included. Only
the measurement of how much of the volume moves depends on its size. Audio: a minute at {SAMPLE_RATE / 1000:.1f} kHz.
Rendered frame: one of {RENDERED_FRAMES} by `gid_core.render`. Medians of 15 interleaved rounds.
""",
    )


if __name__ == "__main__":
    main()
