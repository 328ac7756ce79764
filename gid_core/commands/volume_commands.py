"""The commands that measure the motion of a clip or play a stored volume: extract, animate-clip, loop, render."""

from __future__ import annotations

import argparse

from torch import Tensor

from ..media.image_io import read_image, write_image
from ..motion import playback
from ..spectral_volume import SpectralVolume
from .command_steps import adjust_motion, loop_motion, progress_bar, render_output


def extract(options: argparse.Namespace) -> None:
    """Measure the spectral volume of a clip."""
    volume, reference = _extract(options)
    volume.save(options.output)
    print(f"{options.output}: {volume.num_bins} bins up to {volume.frequencies[-1]:.2f} Hz, "
          f"{volume.size[1]} x {volume.size[0]} pixels, {volume.duration:.2f} s")  # fmt: skip
    if options.reference:
        print(write_image(options.reference, reference))


def animate_clip(options: argparse.Namespace) -> None:
    """Measure the motion of a clip and render its first frame as a seamless loop."""
    volume, reference = _extract(options)
    print(render_output(options, reference, loop_motion(volume, options)))


def loop_command(options: argparse.Namespace) -> None:
    """Render a volume and a photo as a seamless loop."""
    motion = loop_motion(SpectralVolume.load(options.volume), options)
    print(render_output(options, read_image(options.photo), motion))


def render_command(options: argparse.Namespace) -> None:
    """Render a volume and a photo once, as the motion was measured."""
    motion = playback(adjust_motion(SpectralVolume.load(options.volume), options))
    print(render_output(options, read_image(options.photo), motion, start=options.start, count=options.count))


def _extract(options: argparse.Namespace) -> tuple[SpectralVolume, Tensor]:
    """The volume of a clip, and its reference frame [H, W, 3]."""
    from ..sources.video import extract_spectral_volume, read_window

    frames, fps, reference = read_window(options.clip, options.start_frame, options.window_seconds, options.max_size)
    with progress_bar("motion", "frame") as advance:
        volume = extract_spectral_volume(
            frames,
            fps,
            num_bins=options.bins,
            detrend=options.detrend,
            period=options.period,
            window_seconds=options.window_seconds,
            first_frame=options.start_frame,
            stabilize=options.stabilize,
            max_size=options.max_size,
            progress=advance,
        )
    return volume, reference
