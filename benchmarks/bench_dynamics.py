"""Time to work out a minute of poke, wind and sound, beside that of drawing one frame of it."""

import numpy as np
import torch

from benchmarks.bench_rendering import volume_for
from benchmarks.measure import in_turn, median_ms, report

FRAMES = 1800
DRAWN = 24
RATE = 44_100


def strokes(seconds: float) -> torch.Tensor:
    """Two strokes of a tone a second."""
    time = torch.arange(round(seconds * RATE)) / RATE
    return torch.sin(2 * torch.pi * 200 * time) * torch.exp(-time.remainder(0.5) / 0.05)


def main() -> None:
    import gid_core as gid
    from gid_core.dynamics.modes import angular_frequencies
    from gid_core.dynamics.oscillators import simulate

    device = "cuda" if torch.cuda.is_available() else "cpu"
    height, width = 288, 512
    volume = volume_for(height, width)
    small, photo, sound = volume.resize((72, 128)), torch.rand(height, width, 3), strokes(FRAMES / volume.fps)
    pull = gid.Poke(x=0.6, y=0.4, dx=-0.05, dy=0.02, time=0.5)
    spread = [gid.Poke(x=x, y=0.4, dx=-0.05, dy=0.02, time=0.5) for x in np.linspace(0.3, 0.7, 20)]
    drag = gid.Poke(x=0.6, y=0.4, time=0.5, path=tuple((0.1 * i, 0.01 * i, -0.005 * i) for i in range(1, 13)))

    forces = {
        "poke, one": lambda v: gid.poke(v, [pull], FRAMES),
        "poke, ten": lambda v: gid.poke(v, spread[::2], FRAMES),
        "poke, twenty": lambda v: gid.poke(v, spread, FRAMES),
        "poke, a drag of 1.2 s": lambda v: gid.poke(v, [drag], FRAMES),
        "wind, endless": lambda v: gid.wind(v, num_frames=FRAMES),
        "wind, looping": lambda v: gid.wind(v, num_frames=FRAMES, loops=True),
        "sound": lambda v: gid.from_audio(v, sound, RATE, FRAMES),
    }
    functions = {(name, v.size): lambda f=f, v=v: f(v) for name, f in forces.items() for v in (small, volume)}
    motion = gid.wind(volume, num_frames=60)
    omega = angular_frequencies(volume)
    gamma, rest = gid.Damping().rates(omega), np.random.default_rng(0).normal(size=(FRAMES, len(omega)))
    functions["simulate"] = lambda: simulate(omega, gamma, rest, 1 / volume.fps)
    functions["render"] = lambda: gid.render(photo, motion, count=DRAWN, device=device)
    milliseconds = {key: median_ms(seconds) for key, seconds in in_turn(functions).items()}
    frame = milliseconds["render"] / DRAWN
    alone = milliseconds["simulate"]
    rows = [["`modal.simulate` alone", f"{alone:.1f}", f"{alone:.1f}", f"{alone / frame:.1f}"]]
    for name in forces:
        own, large = milliseconds[name, small.size], milliseconds[name, volume.size]
        rows.append([name, f"{own:.1f}", f"{large:.1f}", f"{large / frame:.1f}"])
    rows.append([f"one frame of {width} x {height}, drawn", "", f"{frame:.1f}", "1"])
    report(
        "modal",
        f"{FRAMES} frames of forces on {volume.num_bins} modes",
        ["force", "volume of 128 x 72, ms", f"volume of {width} x {height}, ms", "in frames drawn"],
        rows,
        f"""
From a volume to the modal coordinates of {FRAMES} frames (a minute at 30 frames a second), all included: what grows
with the volume is finding how much of it moves. Sound: a minute of {RATE / 1000:.1f} kHz. Drawn: a frame
of {DRAWN} by `gid_core.render`. Medians of 15 rounds in turn.
""",
    )


if __name__ == "__main__":
    main()
