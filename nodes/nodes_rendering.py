"""Softmax Splat Render and Render Loop To Video."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from copy import deepcopy
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

import comfy.model_management as model_management
import torch
from comfy_api.latest import InputImpl, io
from torch import Tensor

from ..gid_core.motion import Motion
from ..gid_core.rendering.frame_range import count_frames
from ..gid_core.rendering.render import fast_splat, render, working_memory
from ..gid_core.rendering.renderer import FrameRenderer, Renderer
from ..gid_core.rendering.video_output import render_to_video
from ..gid_core.spectral_volume import SpectralVolume
from ..gid_core.tensors import image_batch
from ..gid_core.validation import check_choice
from .adapters import (
    CATEGORY,
    ModelType,
    Progress,
    advanced,
    as_motion,
    intermediate_dtype,
    motion_or_volume_input,
    nodes_with_output,
    preview_step,
    save_looping_preview,
    schema,
    show_text,
    thumbnail,
    warn_once,
)
from .files import temporary_file
from .input_checks import checks_inputs
from .masks import optional_mask
from .video_saving import goes_to_save_video, problems_of_save_video

if TYPE_CHECKING:
    from .nodes_model import ManagedPipeline

NETWORK, FAST_SPLAT = "network", "fast splat"
HOLES_OUTPUT = 1  # of Softmax Splat Render

Result = TypeVar("Result")


class SoftmaxSplatRender(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="GID_SoftmaxSplatRender",
            display_name="Softmax Splat Render",
            category=CATEGORY,
            description="Animates an image: moves its pixels along a motion and renders the frames. Pixels that "
            "move more pass in front. Holes that open are filled from their surroundings and returned as a mask.",
            search_aliases=[
                "animate image",
                "warp",
                "living photo",
                "cinemagraph",
                "forward warp",
                "displace",
            ],
            inputs=_rendering_inputs(),
            outputs=[
                io.Image.Output("frames", display_name="frames", tooltip="The animated image, for Create Video."),
                io.Mask.Output(
                    "holes", display_name="holes", tooltip="White where no pixel landed and the fill shows."
                ),
                io.Float.Output("frame_rate", display_name="fps", tooltip="Frames per second, for Create Video."),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
            has_intermediate_output=True,
        )

    @classmethod
    def fingerprint_inputs(cls, **_: Any) -> list[str]:
        """Holes are rendered only where they are connected: after a change of that, cached results are not reused."""
        return nodes_with_output("GID_SoftmaxSplatRender", HOLES_OUTPUT)

    @classmethod
    @checks_inputs
    def execute(
        cls,
        image: Tensor,
        motion: Motion | SpectralVolume,
        start_frame: int,
        num_frames: int,
        mask: Tensor | None = None,
        model: ManagedPipeline | None = None,
        mode: str = NETWORK,
        frames_at_once: int = 0,
    ) -> io.NodeOutput:
        check_choice("mode", mode, (NETWORK, FAST_SPLAT))
        motion = as_motion(motion)
        channels, height, width = image_batch(image).shape[1:]
        notes = problems_of_save_video(channels, height, width)
        if notes and goes_to_save_video(cls.hidden):
            raise ValueError(" ".join(notes))
        show_text("\n".join(notes), cls.hidden.unique_id)
        options = dict(
            start=start_frame,
            count=num_frames or None,
            mask=optional_mask(mask, cls.hidden),
            chunk=frames_at_once or None,
            output_device=model_management.intermediate_device(),
            dtype=intermediate_dtype(),
            progress=Progress(cls.hidden.unique_id),
        )
        with_holes = _holes_are_connected(cls.hidden.unique_id)

        def render_on(device: torch.device, renderer: Renderer) -> tuple[Tensor, Tensor | None]:
            settings: dict[str, Any] = dict(options, device=device, renderer=renderer)
            if with_holes:
                return render(image, motion, **settings, return_holes=True)
            return render(image, motion, **settings), None

        count = count_frames(image, motion, start_frame, num_frames or None)
        kept = count * height * width * (channels + with_holes) * intermediate_dtype().itemsize
        frames, holes = _on_a_device(render_on, image, motion, model, mode, frames_at_once, notes, kept_bytes=kept)
        show_text("\n".join(notes), cls.hidden.unique_id)
        step = preview_step(len(frames))
        preview = save_looping_preview([thumbnail(frame) for frame in frames[::step]], motion.fps / step)
        return io.NodeOutput(frames, holes, motion.fps, ui={"gid_loop": [preview]})


class _CachedVideos:
    """The files of the videos that ComfyUI caches. It may empty its temp folder and keep a video that lies there."""

    def __init__(self) -> None:
        self.files: WeakKeyDictionary[InputImpl.VideoFromFile, Path] = WeakKeyDictionary()
        self.losses = 0

    def add(self, file: Path) -> InputImpl.VideoFromFile:
        video = InputImpl.VideoFromFile(str(file))
        self.files[video] = file
        return video

    def count_losses(self) -> int:
        """How often a file was found missing."""
        lost = [video for video, file in self.files.items() if not file.is_file()]
        for video in lost:
            del self.files[video]
        self.losses += bool(lost)
        return self.losses


_cached_videos = _CachedVideos()


class RenderLoopToVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="GID_RenderLoopToVideo",
            display_name="Render Loop To Video",
            category=CATEGORY,
            description="Image to video: moves an image's pixels along a motion like Softmax Splat Render, and writes "
            "each frame to a video as soon as it is made. Memory does not grow with the number of frames: use it for "
            "large images and long clips.",
            search_aliases=["render video", "animate image", "low memory", "large image", "stream", "cinemagraph"],
            inputs=[
                *_rendering_inputs(),
                advanced(
                    io.Int.Input(
                        "crf",
                        default=18,
                        min=0,
                        max=51,
                        optional=True,
                        tooltip="Constant rate factor of the H.264 video. Smaller is better and larger: 18 looks like "
                        "the frames, 23 is half the size.",
                    )
                ),
            ],
            outputs=[
                io.Video.Output(
                    "video", display_name="video", tooltip="The animated image as a video file, for Save Video."
                ),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
            has_intermediate_output=True,
        )

    @classmethod
    def fingerprint_inputs(cls, **_: Any) -> int:
        """A cached video whose file is gone is rendered again."""
        return _cached_videos.count_losses()

    @classmethod
    @checks_inputs
    def execute(
        cls,
        image: Tensor,
        motion: Motion | SpectralVolume,
        start_frame: int,
        num_frames: int,
        mask: Tensor | None = None,
        model: ManagedPipeline | None = None,
        mode: str = NETWORK,
        frames_at_once: int = 0,
        crf: int = 18,
    ) -> io.NodeOutput:
        check_choice("mode", mode, (NETWORK, FAST_SPLAT))
        motion = as_motion(motion)
        notes: list[str] = []
        if image_batch(image).shape[1] == 4:
            notes.append("H.264 has no alpha: the video shows the image's colors without it.")
        file = temporary_file("gid_video", ".mp4")
        report, thumbnails = Progress(cls.hidden.unique_id), []
        step = preview_step(count_frames(image, motion, start_frame, num_frames or None))

        def progress(done: int, total: int, frame: Tensor) -> None:
            report(done, total, frame)
            if (done - 1) % step == 0:
                thumbnails.append(thumbnail(frame))

        def render_on(device: torch.device, renderer: Renderer) -> Path:
            thumbnails.clear()
            return render_to_video(
                file,
                image,
                motion,
                start=start_frame,
                count=num_frames or None,
                mask=optional_mask(mask, cls.hidden),
                renderer=renderer,
                chunk=frames_at_once or None,
                device=device,
                crf=crf,
                progress=progress,
            )

        _on_a_device(render_on, image, motion, model, mode, frames_at_once, notes)
        show_text("\n".join(notes), cls.hidden.unique_id)
        preview = save_looping_preview(thumbnails, motion.fps / step)
        return io.NodeOutput(_cached_videos.add(file), ui={"gid_loop": [preview]})


def _rendering_inputs() -> list[io.Input]:
    """The inputs of both nodes."""
    return [
        io.Image.Input(
            "image",
            tooltip="The image to move, of any size, with or without alpha. It may be another version of the "
            "image that the motion belongs to: upscaled, restyled, painted over.",
        ),
        motion_or_volume_input("The motion. A spectral volume is played as a loop."),
        io.Int.Input(
            "start_frame",
            default=0,
            min=0,
            max=1_000_000,
            tooltip="First frame to render. A loop may start at any frame. Clips rendered in parts join exactly.",
        ),
        io.Int.Input(
            "num_frames",
            default=0,
            min=0,
            max=100_000,
            tooltip="Number of frames to render; 0 renders to the end of the motion. A loop may run past its end.",
        ),
        io.Mask.Input(
            "mask",
            optional=True,
            tooltip="White may move; black keeps the image's pixels exactly. Any size.",
        ),
        ModelType.Input(
            "model",
            optional=True,
            tooltip="A model whose rendering network draws the frames: large motion gets cleaner edges, in "
            "several times the time. Any model fits any motion.",
        ),
        io.Combo.Input(
            "mode",
            options=[NETWORK, FAST_SPLAT],
            default=NETWORK,
            optional=True,
            tooltip="network: uses the rendering network of the connected model. fast splat: does not use it.",
        ),
        advanced(
            io.Int.Input(
                "frames_at_once",
                default=0,
                min=0,
                max=512,
                optional=True,
                tooltip="Number of frames to compute together; 0 chooses by the image's size and the GPU's free "
                "memory. It is halved if memory runs out.",
            )
        ),
    ]


def _holes_are_connected(node_id: str) -> bool:
    """Whether a node of the running prompt must render its holes. Nodes that other nodes made may need them."""
    return not node_id.isdecimal() or node_id in nodes_with_output("GID_SoftmaxSplatRender", HOLES_OUTPUT)


def _on_a_device(
    render_on: Callable[[torch.device, Renderer], Result],
    image: Tensor,
    motion: Motion,
    model: ManagedPipeline | None,
    mode: str,
    frames_at_once: int,
    notes: list[str],
    *,
    kept_bytes: int = 0,
) -> Result:
    """Render on ComfyUI's device, or on the CPU if the device lacks an operation.

    Args:
        render_on: renders on a device with a renderer.
        image, motion, model, mode, frames_at_once: of the node; `mode` is checked.
        notes: gets a line if the model has no rendering network.
        kept_bytes: size of a result that stays on ComfyUI's device for results.
    """
    device, network = model_management.get_torch_device(), None
    with ExitStack() as stack:
        if model is not None and mode == NETWORK:
            network = model.pipeline.model.renderer
            if network is None:
                notes.append("This model has no rendering network, so the fast splat was used.")
        need: float = kept_bytes if model_management.intermediate_device() == device else 0
        need += working_memory(image, motion, network and network.prepare, frames_at_once or None, device)
        if model is not None and network is not None:
            stack.enter_context(model.loaded(need))
        elif device.type != "cpu":
            model_management.free_memory(need, device)  # other models make room, before the library looks for it
        try:
            return render_on(device, network.prepare if network else _interruptible_fast_splat)
        except RuntimeError as error:  # Metal raises it; other devices raise its subclass NotImplementedError
            if not isinstance(error, NotImplementedError) and device.type != "mps":
                raise
            warn_once(f"Rendering on the CPU: {device} cannot ({error}).")
            network = network and deepcopy(network).to("cpu", torch.float32)
            return render_on(torch.device("cpu"), network.prepare if network else _interruptible_fast_splat)


@wraps(fast_splat)
def _interruptible_fast_splat(photo: Tensor, importance: Tensor) -> FrameRenderer:
    """The fast renderer; raises between the tiles of a large image if the user has canceled."""
    model_management.throw_exception_if_processing_interrupted()
    return fast_splat(photo, importance)
