"""What several commands do: load the model, predict, loop, render, and show their progress."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor
from tqdm import tqdm

from ..dynamics.long_loop import long_loop
from ..media.image_io import read_image, write_image
from ..motion import Motion, limit_displacement, loop
from ..rendering.host_copies import to_host
from ..rendering.render import render_chunks
from ..rendering.render_plan import compute_device
from ..rendering.renderer import Renderer
from ..rendering.video_output import render_to_video
from ..spectral_volume import SpectralVolume
from ..tensors import check_device, feather_mask

if TYPE_CHECKING:
    from ..models.pipeline import GIDPipeline

# Called as advance(done, total, ...) after each step; may raise to cancel.
Advance = Callable[..., None]
# bar(description, unit) is entered for the time of the work and gives its Advance.
Bar = Callable[[str, str], AbstractContextManager[Advance]]


@contextmanager
def progress_bar(description: str, unit: str) -> Iterator[Advance]:
    """A progress bar on the terminal; none where the output goes elsewhere."""
    with tqdm(desc=description, unit=unit, disable=None) as bar:

        def advance(done: int, total: int, *_: Any) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield advance


class LoadedModel:
    """The model that the options name, loaded when it is first needed and then kept."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options

    @cached_property
    def pipeline(self) -> GIDPipeline:
        from ..models.pipeline import GIDPipeline

        return GIDPipeline.from_pretrained(self.options.model, check_device(self.options.device, "--device"))

    @property
    def renderer(self) -> Renderer | None:
        """The renderer that the options ask for; None is the fast splat."""
        return self.pipeline.renderer if self.options.renderer == "network" else None


def predict(options: argparse.Namespace, photo: Tensor, model: LoadedModel, bar: Bar = progress_bar) -> SpectralVolume:
    """The motion that the model predicts for a photo [H, W, C]; stored if the options say where."""
    from ..models.loop_guidance import LoopGuidance

    mask = read_mask(options)
    guidance = None if options.loop_mode == "none" else LoopGuidance(options.loop_mode)
    pipeline = model.pipeline
    with bar("motion", "step") as advance:
        volume = pipeline(
            photo,
            num_inference_steps=options.steps,
            guidance_scale=options.guidance,
            loop_guidance=guidance,
            seed=options.seed,
            mask=mask,
            amplitude=options.amplitude,
            callback=advance,
        )
    if options.predicted_volume:
        volume.save(options.predicted_volume)
    return volume


def read_mask(options: argparse.Namespace) -> Tensor | None:
    """The mask of the options, [H, W] in 0..1; None without one."""
    return read_image(options.mask)[..., :3].mean(-1) if options.mask else None


def adjust_motion(volume: SpectralVolume, options: argparse.Namespace) -> SpectralVolume:
    """The volume with the gains and the limit of the options."""
    volume = volume.amplify(options.gain, options.band_gains)
    return limit_displacement(volume, options.limit) if options.limit else volume


def loop_motion(volume: SpectralVolume, options: argparse.Namespace) -> Motion:
    """The loop that the options ask for."""
    volume, time = adjust_motion(volume, options), {"speed": options.speed, "fps": options.fps}
    if options.long_loop is None:
        return loop(volume, options.frames, **time)
    if options.frames is not None:
        raise ValueError("--frames and --long-loop both give a length; leave one out.")
    return long_loop(volume, seconds=options.long_loop, variation=options.variation, **time)


def render_output(
    options: argparse.Namespace,
    photo: Tensor,
    motion: Motion,
    model: LoadedModel | None = None,
    *,
    start: int = 0,
    count: int | None = None,
    bar: Bar = progress_bar,
) -> str:
    """Render to a video file, or to numbered images if the output is a folder.

    Args:
        photo: [H, W, C] in 0..1.
        model: of the rendering network; None loads it if the options ask for it.
        start, count: frames of the motion, all by default.

    Returns:
        A sentence for the user: what was written.
    """
    mask = read_mask(options)
    if mask is not None:
        mask = feather_mask(mask[None], options.feather)
    total = len(motion) - start if count is None else count
    check_device(options.device, "--device")
    renderer = (model or LoadedModel(options)).renderer
    settings = dict(start=start, count=count, mask=mask, renderer=renderer, device=options.device)
    output = Path(options.output)
    with bar("frames", "frame") as advance:
        if output.suffix:
            render_to_video(output, photo, motion, **settings, crf=options.crf, progress=advance)
        else:
            chunks = to_host(render_chunks(photo, motion, **settings), compute_device(motion, options.device))
            output.mkdir(parents=True, exist_ok=True)
            for index, frame in enumerate(frame for frames, *_ in chunks for frame in frames):
                write_image(output / f"{start + index:05d}.png", frame)
                advance(index + 1, total)
    return f"{output}: {total} frames at {motion.fps:g} fps{', a seamless loop' if motion.loops else ''}"
