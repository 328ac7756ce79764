"""The command line: python -m gid_core animate | animate-clip | extract | loop | render | evaluate | train."""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from tqdm import tqdm

from .evaluation.evaluate_command import evaluate_command as evaluate
from .evaluation.evaluate_command import evaluation_options
from .media.image_io import read_image, write_image
from .media.video_io import read_video, write_video
from .motion import Motion, limit_displacement, loop, playback
from .rendering.render import render_chunks
from .spectral_volume import DEFAULT_BINS, DEFAULT_PERIOD, DETREND_MODES, SpectralVolume
from .tensors import feather_mask
from .training.train_command import train_command as train
from .training.train_command import training_options


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 on success, 1 with a message on bad input, 130 when interrupted."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="%(message)s")
    warnings.showwarning = lambda message, *_: print(f"Note: {message}", file=sys.stderr)
    try:
        options.command(options)
    except (ValueError, OSError) as error:
        print(f"gid_core {options.name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def extract(options) -> None:
    """A clip to a spectral volume, and the reference frame if asked for."""
    volume, reference = _extract(options)
    volume.save(options.output)
    print(f"{options.output}: {volume.num_bins} bins up to {volume.frequencies[-1]:.2f} Hz, "
          f"{volume.size[1]} x {volume.size[0]} pixels, {volume.duration:.2f} s")  # fmt: skip
    if options.reference:
        print(write_image(options.reference, reference))


def loop_command(options) -> None:
    """A volume and a photo to a seamless loop."""
    volume = _shape(SpectralVolume.load(options.volume), options)
    _write(options, read_image(options.photo), loop(volume, options.frames, options.speed, options.fps))


def render_command(options) -> None:
    """A volume and a photo to frames, played once as measured."""
    motion = playback(_shape(SpectralVolume.load(options.volume), options))
    _write(options, read_image(options.photo), motion, options.start, options.count)


def animate_clip(options) -> None:
    """A clip to a seamless loop of its first frame."""
    volume, reference = _extract(options)
    _write(options, reference, loop(_shape(volume, options), options.frames, options.speed, options.fps))


def animate(options) -> None:
    """A photo to a seamless loop, with a motion that is predicted from it."""
    from .models.loop_guidance import LoopGuidance
    from .models.pipeline import GIDPipeline

    _check_device(options.device)
    photo = read_image(options.photo)
    mask = read_image(options.mask)[..., :3].mean(-1) if options.mask else None
    guidance = None if options.loop_mode == "none" else LoopGuidance(options.loop_mode)
    pipeline = GIDPipeline.from_pretrained(options.model, options.device)
    with tqdm(desc="motion", unit="step", disable=None) as bar:
        volume = pipeline(
            photo,
            num_inference_steps=options.steps,
            guidance_scale=options.guidance,
            loop_guidance=guidance,
            seed=options.seed,
            mask=mask,
            amplitude=options.amplitude,
            callback=lambda done, total, _: _advance(bar, done, total),
        )
    if options.volume:
        volume.save(options.volume)
    _write(options, photo, loop(_shape(volume, options), options.frames, options.speed, options.fps))


def _extract(options) -> tuple[SpectralVolume, torch.Tensor]:
    from .sources.video import extract_spectral_volume

    frames, fps = read_video(options.clip)
    with tqdm(desc="motion", unit="frame", disable=None) as bar:
        volume = extract_spectral_volume(
            frames,
            fps,
            num_bins=options.bins,
            detrend=options.detrend,
            period=options.period,
            window_seconds=options.window_seconds,
            start=options.start_frame,
            stabilize=options.stabilize,
            max_size=options.max_size,
            progress=lambda done, total: _advance(bar, done, total),
        )
    return volume, frames[options.start_frame]


def _shape(volume: SpectralVolume, options) -> SpectralVolume:
    volume = volume.amplify(options.gain, options.band_gains)
    return limit_displacement(volume, options.limit) if options.limit else volume


def _write(options, photo, motion: Motion, start: int = 0, count: int | None = None) -> None:
    """Render to a video file, or to numbered pictures when the output is a folder."""
    mask = feather_mask(read_image(options.mask)[None, ..., :3].mean(-1), options.feather) if options.mask else None
    total = len(motion) - start if count is None else count
    _check_device(options.device)
    renderer = None
    if options.renderer == "network":
        from .models.pipeline import GIDPipeline

        renderer = GIDPipeline.from_pretrained(options.model, options.device).renderer
    settings = dict(start=start, count=count, mask=mask, renderer=renderer, device=options.device)
    chunks = render_chunks(photo, motion, **settings)
    frames = _with_bar((frames for frames, _ in chunks), total)
    output = Path(options.output)
    if output.suffix:
        write_video(output, frames, motion.fps, crf=options.crf)
    else:
        output.mkdir(parents=True, exist_ok=True)
        for index, frame in enumerate(frame for chunk in frames for frame in chunk):
            write_image(output / f"{start + index:05d}.png", frame)
    print(f"{output}: {total} frames at {motion.fps:g} fps{', a seamless loop' if motion.loops else ''}")


def _check_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {device} cannot be used here: {error}") from error


def _with_bar(chunks: Iterator[torch.Tensor], total: int) -> Iterator[torch.Tensor]:
    with tqdm(desc="frames", unit="frame", total=total, disable=None) as bar:
        for chunk in chunks:
            yield chunk
            bar.update(len(chunk))


def _advance(bar: tqdm, done: int, total: int) -> None:
    bar.total = total
    bar.update(done - bar.n)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gid_core", description=__doc__)
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")

    def command(name, function, *parts):
        sub = commands.add_parser(name, help=function.__doc__, description=function.__doc__)
        for part in parts:
            part(sub)
        sub.set_defaults(command=function)
        return sub

    command("animate", animate, _photo_options, _shape_options, _loop_options, _output_options)
    sub = command("extract", extract, _clip_options)
    sub.add_argument("-o", "--output", required=True, help="the .safetensors file to write")
    sub.add_argument("--reference", help="also write the reference frame to this picture file")
    command("loop", loop_command, _volume_options, _shape_options, _loop_options, _output_options)
    sub = command("render", render_command, _volume_options, _shape_options, _output_options)
    sub.add_argument("--start", type=int, default=0, help="first frame")
    sub.add_argument("--count", type=int, help="number of frames (default: to the end)")
    command("animate-clip", animate_clip, _clip_options, _shape_options, _loop_options, _output_options)
    command("evaluate", evaluate, evaluation_options)
    command("train", train, training_options)
    return parser


def _photo_options(sub) -> None:
    sub.add_argument("photo", help="the picture to move: a plant, flowers, a tree, something that hangs")
    sub.add_argument("--seed", type=int, default=0, help="another seed, another breeze (default 0)")
    sub.add_argument("--steps", type=int, default=25, help="steps of the sampling (default 25)")
    sub.add_argument("--guidance", type=float, default=1.75, help="how closely to follow the photo (default 1.75)")
    sub.add_argument("--amplitude", type=float, default=1.0, help="how much it moves; 1 as in the training clips")
    sub.add_argument(
        "--loop-mode", choices=["none", "projection", "crossfade", "gradient"], default="projection",
        help="how a jerk at the seam is taken away, if there is one (default projection)",
    )  # fmt: skip
    sub.add_argument("--volume", help="also write the spectral volume to this .safetensors file")


def _clip_options(sub) -> None:
    sub.add_argument("clip", help="a video of 16 frames or more from a still camera")
    sub.add_argument("--detrend", choices=DETREND_MODES, default="ramp", help="ramp loops without a jerk (default)")
    sub.add_argument("--start-frame", type=int, default=0, help="the reference frame")
    sub.add_argument("--window-seconds", type=float, default=5.0, help="length of motion to measure (default 5)")
    sub.add_argument("--bins", type=int, default=DEFAULT_BINS, help="frequency bins, the constant one included")
    sub.add_argument("--period", type=int, default=DEFAULT_PERIOD, help="samples of the window")
    sub.add_argument("--max-size", type=int, default=512, help="longer side at which motion is measured")
    sub.add_argument("--stabilize", action="store_true", help="take off a shake of the whole camera")


def _volume_options(sub) -> None:
    sub.add_argument("volume", help="a spectral volume (.safetensors)")
    sub.add_argument("photo", help="the picture to move")


def _shape_options(sub) -> None:
    sub.add_argument("--gain", type=float, default=1.0, help="amplify motion (2) or calm it (0.5)")
    sub.add_argument(
        "--band-gains", type=lambda text: [float(part) for part in text.split(",")],
        help="further gains from the slowest to the fastest motion, as 1,1,0.5",
    )  # fmt: skip
    sub.add_argument("--limit", type=float, help="largest displacement as a fraction of the width")
    sub.add_argument("--mask", help="a picture: white moves, black stays")
    sub.add_argument("--feather", type=float, default=16.0, help="soft edge of the mask in its pixels")


def _loop_options(sub) -> None:
    sub.add_argument("--frames", type=int, help="frames of the loop (default: one period)")
    sub.add_argument("--speed", type=float, default=1.0, help="0.5 is slow motion")
    sub.add_argument("--fps", type=float, help="frames a second (default: the volume's)")


def _output_options(sub) -> None:
    sub.add_argument("-o", "--output", required=True, help="a .mp4 or .webm file, or a folder for pictures")
    sub.add_argument("--model", help="a model (.safetensors; default: the one that ships)")
    sub.add_argument(
        "--renderer", choices=["network", "fast"], default="network",
        help="how frames are drawn: by the model's rendering network, or in a quarter of the time (default network)",
    )  # fmt: skip
    sub.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    sub.add_argument("--crf", type=int, default=18, help="quality of the video, smaller is better")
