"""The commands that move one photo: animate, poke, wind, page."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from torch import Tensor

from ..dynamics.oscillators import Damping
from ..dynamics.poke import poke
from ..dynamics.poke_list import Poke, parse_pokes
from ..dynamics.wind import wind
from ..media.image_io import read_image
from ..spectral_volume import SpectralVolume
from .command_steps import (
    Bar,
    LoadedModel,
    adjust_motion,
    loop_motion,
    predict,
    progress_bar,
    read_mask,
    render_output,
)


def animate(options: argparse.Namespace) -> None:
    """Predict the motion of a photo and render it as a seamless loop."""
    print(animate_photo(options, LoadedModel(options)))


def animate_photo(options: argparse.Namespace, model: LoadedModel, bar: Bar = progress_bar) -> str:
    """What `animate` does, with a model that may have been loaded before; returns what was written."""
    photo = read_image(options.photo)
    motion = loop_motion(predict(options, photo, model, bar), options)
    return render_output(options, photo, motion, model, bar=bar)


def poke_command(options: argparse.Namespace) -> None:
    """Pull points of a photo and release them: what is there swings and comes to rest."""
    pokes = _pokes(options)
    photo, model = read_image(options.photo), LoadedModel(options)
    motion = poke(_volume(options, photo, model), pokes, **_force_settings(options))
    print(render_output(options, photo, motion, model))


def wind_command(options: argparse.Namespace) -> None:
    """Blow on a photo: wind with gusts and lulls, endless or as a seamless loop."""
    photo, model = read_image(options.photo), LoadedModel(options)
    motion = wind(
        _volume(options, photo, model),
        direction_degrees=options.direction,
        gustiness=options.gustiness,
        seed=options.seed,
        loops=options.loop,
        **_force_settings(options),
    )
    print(render_output(options, photo, motion, model))


def page(options: argparse.Namespace) -> None:
    """Write a photo as an interactive web page in one file: drag it to poke it."""
    from ..rendering.interactive_page import save_interactive_page

    photo = read_image(options.photo)
    volume = adjust_motion(_volume(options, photo, LoadedModel(options)), options)
    mask = read_mask(options)
    if mask is not None:
        volume = volume.mask(mask, options.feather)
    name = os.fsencode(Path(options.photo).stem).decode(errors="replace")  # file systems allow bytes that are no text
    title = name if options.title is None else options.title
    texts = {"title": title} | ({} if options.alt is None else {"alt": options.alt})
    path = save_interactive_page(
        options.output, photo, volume, **texts, autoplay=options.autoplay, max_size=options.size
    )
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB; open it by a double click")


def _volume(options: argparse.Namespace, photo: Tensor, model: LoadedModel) -> SpectralVolume:
    """The stored motion that the options name, or that which the model predicts."""
    return SpectralVolume.load(options.motion) if options.motion else predict(options, photo, model)


def _pokes(options: argparse.Namespace) -> list[Poke]:
    """The pokes of the options, those of the file first."""
    pokes = parse_pokes(Path(options.pokes).read_text(encoding="utf-8")) if options.pokes else []
    for numbers in options.poke or []:
        if not 4 <= len(numbers) <= 6:
            raise ValueError(f"--poke must be X,Y,DX,DY[,TIME[,HOLD]]; got {len(numbers)} numbers.")
        pokes.append(Poke(*numbers))
    if not pokes:
        raise ValueError("There is no poke: give --poke X,Y,DX,DY, or --pokes with a file of pokes.")
    return pokes


def _force_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments that `poke` and `wind` share."""
    default = Damping()
    return {
        "num_frames": options.frames,
        "fps": options.fps,
        "speed": options.speed,
        "strength": options.strength,
        "damping": Damping(options.damping * default.alpha, options.damping * default.beta),
        "max_displacement": options.limit,
    }
