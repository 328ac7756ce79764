"""The command line, `gid COMMAND` or `python -m gid_core COMMAND`.

Commands: animate, poke, wind, page, batch, extract, loop, render, animate-clip, evaluate, train.
"""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from collections.abc import Callable

from .commands import command_options as groups
from .commands.batch_command import batch
from .commands.photo_commands import animate, page, poke_command, wind_command
from .commands.volume_commands import animate_clip, extract, loop_command, render_command
from .evaluation.evaluate_command import evaluate_command as evaluate
from .evaluation.evaluate_command import evaluation_options
from .media.atomic import check_target
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
        print(f"gid {options.name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _check_outputs(options: argparse.Namespace) -> None:
    """Refuse files that could not be written before anything is computed for them."""
    if hasattr(options, "check_output"):
        options.check_output(options.output)
    for name in ("reference", "predicted_volume"):
        if path := getattr(options, name, None):
            check_target(path)


def command_parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of every command by its name, for its help."""
    parser = _parser()
    return next(action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction))


def _parser() -> argparse.ArgumentParser:
    description = "Animate a still photo, or the first frame of a clip. `gid COMMAND --help` tells more of a command."
    parser = argparse.ArgumentParser(prog="gid", description=description)
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")

    def command(
        name: str, function: Callable[[argparse.Namespace], None], *option_groups: OptionAdder
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=function.__doc__, description=function.__doc__)
        for add_options in option_groups:
            add_options(sub)
        sub.set_defaults(command=function)
        return sub

    photo, motion = groups.photo_options, groups.stored_motion_option
    loops = (groups.motion_options, groups.loop_options)
    command("animate", animate, photo, *loops, groups.video_options)
    command("poke", poke_command, photo, motion, groups.poke_options, groups.video_options)
    command("wind", wind_command, photo, motion, groups.wind_options, groups.video_options)
    command("page", page, photo, motion, groups.motion_options, groups.page_options)
    command("batch", batch, groups.batch_options, *loops, groups.rendering_options)
    sub = command("extract", extract, groups.clip_options)
    groups.output_option(sub, "the .safetensors file to write")
    sub.add_argument("--reference", help="also write the reference frame to this image file")
    command("loop", loop_command, groups.volume_options, *loops, groups.video_options)
    sub = command("render", render_command, groups.volume_options, groups.motion_options, groups.video_options)
    sub.add_argument("--start", type=int, default=0, help="first frame (default 0)")
    sub.add_argument("--count", type=int, help="number of frames (default: to the end)")
    command("animate-clip", animate_clip, groups.clip_options, *loops, groups.video_options)
    command("evaluate", evaluate, evaluation_options)
    command("train", train, training_options)
    return parser
