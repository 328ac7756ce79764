"""Softmax Splat Render."""

from __future__ import annotations

from contextlib import ExitStack
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import comfy.model_management as model_management
import torch
from comfy_api.latest import io
from torch import Tensor

from ..gid_core.motion import Motion
from ..gid_core.rendering.render import default_chunk, render
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
    logger,
    motion_or_volume_input,
    optional_mask,
    save_looping_preview,
    schema,
    show_text,
)

if TYPE_CHECKING:
    from ..gid_core.models.rendering_network import RenderingNetwork
    from .nodes_model import ManagedPipeline

NETWORK, FAST_SPLAT = "network", "fast splat"
# Working memory of the rendering network per pixel of a frame, without its weights. Measured: 525 bytes.
NETWORK_BYTES_PER_PIXEL = 700


class SoftmaxSplatRender(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="GID_SoftmaxSplatRender",
            display_name="Softmax Splat Render",
            category=CATEGORY,
            description="Moves an image's pixels along a motion and renders the frames. Pixels that move more pass in "
            "front. Holes that open are filled from their surroundings and returned as a mask.",
            search_aliases=[
                "animate image",
                "warp",
                "living photo",
                "cinemagraph",
                "forward warp",
                "displace",
            ],
            inputs=[
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
                    tooltip="First frame to render. A loop may start at any frame. Clips rendered in parts join "
                    "exactly.",
                ),
                io.Int.Input(
                    "num_frames",
                    default=0,
                    min=0,
                    max=100_000,
                    tooltip="Number of frames to render; 0 renders to the end of the motion. A loop may run past its "
                    "end.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="White may move; black keeps the image's pixels exactly. Any size.",
                ),
                ModelType.Input(
                    "model",
                    optional=True,
                    tooltip="A model whose rendering network draws the frames: moving objects get cleaner edges, in "
                    "about four times the time. Any model fits any motion.",
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
                        tooltip="Number of frames to compute together; 0 chooses by the image's size. It is halved if "
                        "memory runs out.",
                    )
                ),
            ],
            outputs=[
                io.Image.Output("frames", display_name="frames", tooltip="The animated image, for Create Video."),
                io.Mask.Output(
                    "holes", display_name="holes", tooltip="White where no pixel landed and the fill shows."
                ),
                io.Float.Output("frame_rate", display_name="fps", tooltip="Frames per second, for Create Video."),
            ],
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
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
        options = dict(
            start=start_frame,
            count=num_frames or None,
            mask=optional_mask(mask, (height, width)),
            chunk=frames_at_once or None,
            output_device=model_management.intermediate_device(),
            dtype=intermediate_dtype(),
            return_holes=True,
            progress=Progress(cls.hidden.unique_id),
        )
        notes = []
        with ExitStack() as stack:
            network = None
            if model is not None and mode == NETWORK:
                pixels = (frames_at_once or default_chunk(channels, height, width)) * height * width
                network = stack.enter_context(model.loaded(NETWORK_BYTES_PER_PIXEL * pixels)).model.renderer
                if network is None:
                    notes.append("This model has no rendering network, so the fast splat was used.")
            frames, holes = _render(image, motion, network, options)
        if height % 2 or width % 2:
            notes.append(
                f"{width} x {height} has an odd side, which Save Video's H.264 refuses: crop or resize the image."
            )
        if channels == 4:
            notes.append(
                "The frames have alpha, which Save Video refuses: split it off (Split Image with Alpha) or save images."
            )
        if notes:
            show_text("\n".join(notes), cls.hidden.unique_id)
        preview = save_looping_preview(frames, motion.fps)
        return io.NodeOutput(frames, holes, motion.fps, ui={"gid_loop": [preview]})


def _render(
    image: Tensor, motion: Motion, network: RenderingNetwork | None, options: dict[str, Any]
) -> tuple[Tensor, Tensor]:
    """Render on ComfyUI's device, or on the CPU if the device lacks an operation."""
    device = model_management.get_torch_device()
    try:
        frames, holes = render(image, motion, renderer=network and network.prepare, device=device, **options)
    except RuntimeError as error:  # Metal raises it; other devices raise its subclass NotImplementedError
        if not isinstance(error, NotImplementedError) and device.type != "mps":
            raise
        logger.warning("Rendering on the CPU: %s cannot (%s).", device, error)
        network = network and deepcopy(network).to("cpu", torch.float32)
        frames, holes = render(image, motion, renderer=network and network.prepare, device="cpu", **options)
    return frames, holes
