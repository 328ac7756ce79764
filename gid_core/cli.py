"""The command line, `gid COMMAND` or `python -m gid_core COMMAND`.

Commands: animate, animate-clip, page, extract, loop, render, evaluate, train.
"""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from tqdm import tqdm

from .dynamics.long_loop import long_loop
from .evaluation.evaluate_command import evaluate_command as evaluate
from .evaluation.evaluate_command import evaluation_options
from .media.atomic import check_target
from .media.image_io import read_image, write_image
from .media.video_io import WINDOW_SECONDS, check_video_path
from .motion import Motion, limit_displacement, loop, playback
from .rendering.host_copies import to_host
from .rendering.render import render_chunks
from .rendering.render_plan import compute_device
from .rendering.video_output import render_to_video
from .spectral_volume import DEFAULT_BINS, DEFAULT_PERIOD, DETREND_MODES, SpectralVolume
from .tensors import check_device, feather_mask
from .training.train_command import train_command as train
from .training.train_options import training_options

OptionAdder = Callable[[argparse.ArgumentParser], None]


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: 0 on success, 1 with a message for bad input, 130 when interrupted.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="%(message)s")
    warnings.showwarning = lambda message, *_: print(f"Note: {message}", file=sys.stderr)
    try:
        _check_outputs(options)
        options.command(options)
    except (ValueError, OSError, MemoryError) as error:
        print(f"gid_core {options.name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _check_outputs(options: argparse.Namespace) -> None:
    """Refuse files that could not be written before anything is computed for them."""
    output = getattr(options, "output", None)
    if hasattr(options, "crf"):
        if Path(options.output).suffix:
            check_video_path(options.output)
        else:  # a folder for images, which is made
            output = None
    is_predicted = options.name in ("animate", "page")  # the volume is then an output, too
    for path in (output, getattr(options, "reference", None), options.volume if is_predicted else None):
        if path:
            check_target(path)


def extract(options: argparse.Namespace) -> None:
    """Measure the spectral volume of a clip."""
    volume, reference = _extract(options)
    volume.save(options.output)
    print(f"{options.output}: {volume.num_bins} bins up to {volume.frequencies[-1]:.2f} Hz, "
          f"{volume.size[1]} x {volume.size[0]} pixels, {volume.duration:.2f} s")  # fmt: skip
    if options.reference:
        print(write_image(options.reference, reference))


def loop_command(options: argparse.Namespace) -> None:
    """Render a volume and a photo as a seamless loop."""
    motion = _loop(SpectralVolume.load(options.volume), options)
    _render_output(options, read_image(options.photo), motion)


def render_command(options: argparse.Namespace) -> None:
    """Render a volume and a photo once, as the motion was measured."""
    motion = playback(_adjust_motion(SpectralVolume.load(options.volume), options))
    _render_output(options, read_image(options.photo), motion, options.start, options.count)


def animate_clip(options: argparse.Namespace) -> None:
    """Measure the motion of a clip and render its first frame as a seamless loop."""
    volume, reference = _extract(options)
    _render_output(options, reference, _loop(volume, options))


def animate(options: argparse.Namespace) -> None:
    """Predict the motion of a photo and render it as a seamless loop."""
    photo = read_image(options.photo)
    _render_output(options, photo, _loop(_predict(options, photo), options))


def page(options: argparse.Namespace) -> None:
    """Write a photo as an interactive web page in one file: drag it to poke it."""
    from .rendering.interactive_page import save_interactive_page

    photo = read_image(options.photo)
    volume = SpectralVolume.load(options.motion) if options.motion else _predict(options, photo)
    volume = _adjust_motion(volume, options)
    if options.mask:
        volume = volume.mask(read_image(options.mask)[..., :3].mean(-1), options.feather)
    title = Path(options.photo).stem if options.title is None else options.title
    texts = {"title": title} | ({} if options.alt is None else {"alt": options.alt})
    path = save_interactive_page(
        options.output, photo, volume, **texts, autoplay=options.autoplay, max_size=options.size
    )
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB; open it by a double click")


def _predict(options: argparse.Namespace, photo: torch.Tensor) -> SpectralVolume:
    """The motion that the model predicts for a photo."""
    from .models.loop_guidance import LoopGuidance
    from .models.pipeline import GIDPipeline

    check_device(options.device, "--device")
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
    return volume


def _extract(options: argparse.Namespace) -> tuple[SpectralVolume, torch.Tensor]:
    from .sources.video import extract_spectral_volume, read_window

    frames, fps, reference = read_window(options.clip, options.start_frame, options.window_seconds, options.max_size)
    with tqdm(desc="motion", unit="frame", disable=None) as bar:
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
            progress=lambda done, total: _advance(bar, done, total),
        )
    return volume, reference


def _adjust_motion(volume: SpectralVolume, options: argparse.Namespace) -> SpectralVolume:
    volume = volume.amplify(options.gain, options.band_gains)
    return limit_displacement(volume, options.limit) if options.limit else volume


def _loop(volume: SpectralVolume, options: argparse.Namespace) -> Motion:
    """The loop that the options ask for."""
    volume, time = _adjust_motion(volume, options), {"speed": options.speed, "fps": options.fps}
    if options.long_loop is None:
        return loop(volume, options.frames, **time)
    if options.frames is not None:
        raise ValueError("--frames and --long-loop both give a length; leave one out.")
    return long_loop(volume, seconds=options.long_loop, variation=options.variation, **time)


def _render_output(
    options: argparse.Namespace, photo: torch.Tensor, motion: Motion, start: int = 0, count: int | None = None
) -> None:
    """Render to a video file, or to numbered images if the output is a folder."""
    mask = feather_mask(read_image(options.mask)[None, ..., :3].mean(-1), options.feather) if options.mask else None
    total = len(motion) - start if count is None else count
    check_device(options.device, "--device")
    renderer = None
    if options.renderer == "network":
        from .models.pipeline import GIDPipeline

        renderer = GIDPipeline.from_pretrained(options.model, options.device).renderer
    settings = dict(start=start, count=count, mask=mask, renderer=renderer, device=options.device)
    output = Path(options.output)
    with tqdm(desc="frames", unit="frame", disable=None) as bar:
        if output.suffix:
            advance = partial(_advance, bar)
            render_to_video(output, photo, motion, **settings, crf=options.crf, progress=advance)
        else:
            chunks = to_host(render_chunks(photo, motion, **settings), compute_device(motion, options.device))
            output.mkdir(parents=True, exist_ok=True)
            for index, frame in enumerate(frame for frames, *_ in chunks for frame in frames):
                write_image(output / f"{start + index:05d}.png", frame)
                _advance(bar, index + 1, total)
    print(f"{output}: {total} frames at {motion.fps:g} fps{', a seamless loop' if motion.loops else ''}")


def _advance(bar: tqdm, done: int, total: int, *_: torch.Tensor) -> None:
    bar.total = total
    bar.update(done - bar.n)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gid_core", description=__doc__)
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")

    def command(
        name: str, function: Callable[[argparse.Namespace], None], *option_groups: OptionAdder
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=function.__doc__, description=function.__doc__)
        for add_options in option_groups:
            add_options(sub)
        sub.set_defaults(command=function)
        return sub

    command("animate", animate, _photo_options, _motion_options, _loop_options, _output_options)
    command("page", page, _photo_options, _motion_options, _page_options)
    sub = command("extract", extract, _clip_options)
    sub.add_argument("-o", "--output", required=True, help="the .safetensors file to write")
    sub.add_argument("--reference", help="also write the reference frame to this image file")
    command("loop", loop_command, _volume_options, _motion_options, _loop_options, _output_options)
    sub = command("render", render_command, _volume_options, _motion_options, _output_options)
    sub.add_argument("--start", type=int, default=0, help="first frame (default 0)")
    sub.add_argument("--count", type=int, help="number of frames (default: to the end)")
    command("animate-clip", animate_clip, _clip_options, _motion_options, _loop_options, _output_options)
    command("evaluate", evaluate, evaluation_options)
    command("train", train, training_options)
    return parser


def _photo_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photo", help="the photo to animate: a plant, flowers, a tree, something that hangs")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random motion (default 0)")
    parser.add_argument("--steps", type=int, default=10, help="number of sampling steps (default 10)")
    parser.add_argument(
        "--guidance", type=float, default=1.75, help="guidance scale: how closely to follow the photo (default 1.75)"
    )
    parser.add_argument(
        "--amplitude",
        type=float,
        default=1.0,
        help="factor of the amplitude; 1 is that of the training clips (default)",
    )
    parser.add_argument(
        "--loop-mode",
        choices=["none", "projection", "crossfade", "gradient"],
        default="projection",
        help="how a jump at the seam of the loop is removed, if there is one (default projection)",
    )
    parser.add_argument("--volume", help="also write the spectral volume to this .safetensors file")


def _clip_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clip", help="a video of 16 frames or more from a fixed camera")
    parser.add_argument(
        "--detrend", choices=DETREND_MODES, default="ramp", help="ramp loops without a jump at the seam (default)"
    )
    parser.add_argument("--start-frame", type=int, default=0, help="index of the reference frame (default 0)")
    parser.add_argument(
        "--window-seconds", type=float, default=WINDOW_SECONDS, help="seconds of motion to measure (default 5)"
    )
    parser.add_argument(
        "--bins", type=int, default=DEFAULT_BINS, help="frequency bins, including the constant one (default 16)"
    )
    parser.add_argument("--period", type=int, default=DEFAULT_PERIOD, help="samples of the window (default 150)")
    parser.add_argument(
        "--max-size", type=int, default=512, help="longest side in pixels at which motion is measured (default 512)"
    )
    parser.add_argument("--stabilize", action="store_true", help="remove the motion of a shaky camera")


def _volume_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("volume", help="a spectral volume (.safetensors)")
    parser.add_argument("photo", help="the photo to animate")


def _motion_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--gain", type=float, default=1.0, help="factor of the motion: 2 doubles it, 0.5 halves it (default 1)"
    )
    parser.add_argument(
        "--band-gains",
        type=lambda text: [float(part) for part in text.split(",")],
        help="further factors from the slowest to the fastest motion, for example 1,1,0.5",
    )
    parser.add_argument("--limit", type=float, help="largest displacement as a fraction of the width")
    parser.add_argument("--mask", help="an image: white pixels move, black pixels do not")
    parser.add_argument(
        "--feather", type=float, default=16.0, help="width of the mask's soft edge in its pixels (default 16)"
    )


def _loop_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--frames", type=int, help="number of frames of the loop (default: one period)")
    parser.add_argument("--speed", type=float, default=1.0, help="relative speed: 0.5 is half speed (default 1)")
    parser.add_argument("--fps", type=float, help="frames per second (default: the volume's)")
    parser.add_argument(
        "--long-loop",
        type=float,
        metavar="SECONDS",
        help="a loop of so many seconds whose motion does not repeat before its end, instead of one period",
    )
    parser.add_argument(
        "--variation",
        type=float,
        default=0.5,
        help="how much the swings of a long loop vary: 0 is even, 1 varies most (default 0.5)",
    )


def _output_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", required=True, help="a .mp4 or .webm file, or a folder for PNG images")
    _model_options(parser)
    parser.add_argument(
        "--renderer",
        choices=["network", "fast-splat"],
        default="network",
        help="how frames are rendered: by the model's rendering network, or by fast splatting in a quarter of the time "
        "(default network)",
    )
    parser.add_argument(
        "--crf", type=int, default=18, help="constant rate factor of the video; smaller is better (default 18)"
    )


def _page_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", required=True, help="the .html file to write")
    parser.add_argument("--motion", help="use this spectral volume (.safetensors) instead of predicting one")
    parser.add_argument("--title", help="title of the page (default: the name of the photo)")
    parser.add_argument("--alt", help="what the photo shows, for those who do not see it")
    parser.add_argument(
        "--autoplay", action="store_true", help="play the loop when the page opens, as its address with ?autoplay does"
    )
    parser.add_argument(
        "--size", type=int, default=1024, help="longest side of the photo in the page, in pixels (default 1024)"
    )
    _model_options(parser)


def _model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", help="a model (.safetensors; default: the bundled checkpoint)")
    parser.add_argument(
        "--device",
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="torch device (default: cuda if available, else cpu)",
    )
