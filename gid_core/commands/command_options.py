"""Options of the commands, in groups that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ..media.atomic import check_target
from ..media.video_io import CODECS, WINDOW_SECONDS, check_video_path
from ..presets import WIND_PRESETS
from ..spectral_volume import DEFAULT_BINS, DEFAULT_PERIOD, DETREND_MODES
from ..validation import refuse
from .batch_workers import ENGINES


def output_option(parser: argparse.ArgumentParser, text: str, check: Callable[[str], object] = check_target) -> None:
    """The output; `check_output` of the options refuses what could not be written."""
    parser.add_argument("-o", "--output", required=True, help=text)
    parser.set_defaults(check_output=check)


def photo_options(parser: argparse.ArgumentParser) -> None:
    """A photo whose motion is predicted."""
    parser.add_argument("photo", help="the photo to animate: a plant, flowers, a tree, something that hangs")
    prediction_options(parser)
    parser.add_argument(
        "--volume",
        dest="predicted_volume",
        metavar="VOLUME",
        help="also write the spectral volume to this .safetensors file",
    )


def prediction_options(parser: argparse.ArgumentParser) -> None:
    """How the model predicts the motion."""
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


def stored_motion_option(parser: argparse.ArgumentParser) -> None:
    """A stored volume in place of the prediction."""
    parser.add_argument("--motion", help="use this spectral volume (.safetensors) instead of predicting one")


def clip_options(parser: argparse.ArgumentParser) -> None:
    """A clip, and how its motion is measured."""
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


def volume_options(parser: argparse.ArgumentParser) -> None:
    """A stored volume and its photo."""
    parser.add_argument("volume", help="a spectral volume (.safetensors)")
    parser.add_argument("photo", help="the photo to animate")


def motion_options(parser: argparse.ArgumentParser) -> None:
    """How a volume is adjusted."""
    parser.add_argument(
        "--gain", type=float, default=1.0, help="factor of the motion: 2 doubles it, 0.5 halves it (default 1)"
    )
    parser.add_argument(
        "--band-gains",
        type=comma_separated,
        help="further factors from the slowest to the fastest motion, for example 1,1,0.5",
    )
    parser.add_argument("--limit", type=float, help="largest displacement as a fraction of the width")
    mask_options(parser)


def mask_options(parser: argparse.ArgumentParser) -> None:
    """What may move."""
    parser.add_argument("--mask", help="an image: white pixels move, black pixels do not")
    parser.add_argument(
        "--feather", type=float, default=16.0, help="width of the mask's soft edge in its pixels (default 16)"
    )


def loop_options(parser: argparse.ArgumentParser) -> None:
    """The length and speed of a loop."""
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


def force_options(parser: argparse.ArgumentParser, seconds: int) -> None:
    """What pokes and wind share; `seconds` at 30 frames per second are the default length."""
    add = parser.add_argument
    add("--frames", type=int, default=30 * seconds, help="number of frames (default %(default)s)")
    add("--fps", type=float, help="frames per second (default: the volume's)")
    add("--speed", type=float, default=1.0, help="how fast things swing: 0.5 is half as fast (default 1)")
    add("--strength", type=float, default=1.0, help="factor of the force: 2 moves twice as far (default 1)")
    add("--damping", type=float, default=1.0, help="how fast swings die out: 0.3 swings long (default 1)")
    add(
        "--limit",
        type=float,
        default=0.05,
        help="soft limit of the displacement as a fraction of the width; more tears outlines (default %(default)s)",
    )
    mask_options(parser)


def poke_options(parser: argparse.ArgumentParser) -> None:
    """Pokes."""
    parser.add_argument(
        "--poke",
        action="append",
        type=comma_separated,
        metavar="X,Y,DX,DY[,TIME[,HOLD]]",
        help="pull the point X,Y by DX,DY, as fractions of width and height, TIME seconds after the start (default 0), "
        "and release it HOLD seconds later (default 0.2); may be repeated",
    )
    parser.add_argument("--pokes", help="a JSON file of pokes, as the node Modal Force stores them")
    force_options(parser, seconds=4)


def wind_options(parser: argparse.ArgumentParser) -> None:
    """Wind. Its seed is that of the prediction."""
    add = parser.add_argument
    add(
        "--preset",
        choices=WIND_PRESETS,
        action=_SetWindPreset,
        help="sets --strength, --gustiness, --speed and --damping; those given after it change its values",
    )
    add("--direction", type=float, default=0.0, help="where it blows to, in degrees: 0 is right, 90 down (default 0)")
    add("--gustiness", type=float, default=0.5, help="0 is an even breeze, 1 has gusts and lulls (default 0.5)")
    add("--loop", action="store_true", help="a seamless loop; without it the photo begins at rest")
    force_options(parser, seconds=10)


class _SetWindPreset(argparse.Action):
    """Sets the options that a preset has."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        vars(namespace).update(asdict(WIND_PRESETS[values]))


def comma_separated(text: str) -> list[float]:
    """Numbers such as 1,1,0.5."""
    return [float(part) for part in text.split(",")]


def video_options(parser: argparse.ArgumentParser) -> None:
    """A video or images to write."""
    output_option(parser, "a .mp4, .webm, .webp or .gif file, or a folder for PNG images", check_video_or_folder)
    rendering_options(parser)


def check_video_or_folder(path: str) -> None:
    """Refuse a file that is no video or cannot be written. A name without a suffix is a folder, which is made."""
    if Path(path).suffix:
        check_target(check_video_path(path))


def rendering_options(parser: argparse.ArgumentParser) -> None:
    """How frames are rendered and stored."""
    model_options(parser)
    parser.add_argument(
        "--renderer",
        choices=["network", "fast-splat"],
        default="fast-splat",
        help="how frames are rendered: by fast splatting, or by the model's rendering network, which cleans the edges "
        "of large motion in several times the time (default fast-splat)",
    )
    parser.add_argument(
        "--crf", type=int, default=18, help="constant rate factor of the video; smaller is better (default 18)"
    )


def page_options(parser: argparse.ArgumentParser) -> None:
    """What an interactive page shows."""
    output_option(parser, "the .html file to write")
    parser.add_argument("--title", help="title of the page (default: the name of the photo)")
    parser.add_argument("--alt", help="what the photo shows, for those who do not see it")
    parser.add_argument(
        "--autoplay", action="store_true", help="play the loop when the page opens, as its address with ?autoplay does"
    )
    parser.add_argument(
        "--size", type=int, default=1024, help="longest side of the photo in the page, in pixels (default 1024)"
    )
    model_options(parser)


def batch_options(parser: argparse.ArgumentParser) -> None:
    """A folder of photos, and who animates them."""
    add = parser.add_argument
    add("folder", help="the folder of photos; all are animated with the same options")
    output_option(parser, "the folder for the videos; photos whose video is there are skipped", check_folder)
    formats = [suffix.removeprefix(".") for suffix in CODECS]
    add("--format", choices=formats, default="mp4", help="of the videos (default mp4)")
    add(
        "--engine",
        choices=tuple(ENGINES),
        default="local",
        help="local: processes of this machine; ray: a Ray cluster, that of RAY_ADDRESS if it is set (default local)",
    )
    add("--workers", type=int, default=1, help="how many photos at a time, each with its own model (default 1)")
    prediction_options(parser)
    parser.set_defaults(predicted_volume=None)


def check_folder(path: str) -> None:
    """Refuse a file where a folder is needed."""
    if Path(path).exists() and not Path(path).is_dir():
        refuse("--output", "a folder", path)


def model_options(parser: argparse.ArgumentParser) -> None:
    """The model, and the device that computes."""
    parser.add_argument("--model", help="a model (.safetensors; default: the bundled checkpoint)")
    parser.add_argument(
        "--device",
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="torch device (default: cuda if available, else cpu)",
    )
