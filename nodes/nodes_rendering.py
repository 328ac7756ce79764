"""Softmax Splat Render."""

from __future__ import annotations

from contextlib import ExitStack
from copy import deepcopy

import comfy.model_management as model_management
import torch
from comfy_api.latest import io

from ..gid_core.rendering.render import default_chunk, render
from ..gid_core.tensors import image_batch
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

NETWORK, FAST = "network", "fast splat"
# Working memory of the rendering network for one frame, beside its weights; measured: 525.
NETWORK_BYTES_PER_PIXEL = 700


class SoftmaxSplatRender(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GID_SoftmaxSplatRender",
            display_name="Softmax Splat Render",
            category=CATEGORY,
            description="Moves a picture's pixels along a motion and renders the frames. What moves more passes in "
            "front; holes that open show the picture's surroundings and are reported as a mask.",
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
                    tooltip="The picture to move, of any size, with or without alpha. It may be another version of "
                    "the picture that the motion belongs to: upscaled, restyled, painted over.",
                ),
                motion_or_volume_input("How it moves: a motion, or a spectral volume, which is then looped."),
                io.Int.Input(
                    "start_frame",
                    default=0,
                    min=0,
                    max=1_000_000,
                    tooltip="First frame to render. A loop may start anywhere; parts of a clip fit together exactly.",
                ),
                io.Int.Input(
                    "num_frames",
                    default=0,
                    min=0,
                    max=100_000,
                    tooltip="Frames to render; 0 renders to the end of the motion. A loop may go on past its end.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="White may move; black stays the picture's own pixels, to the last bit. Any size.",
                ),
                ModelType.Input(
                    "model",
                    optional=True,
                    tooltip="A model whose rendering network draws the frames: cleaner edges of what moves, in about "
                    "four times the time. Any model fits any motion.",
                ),
                io.Combo.Input(
                    "mode",
                    options=[NETWORK, FAST],
                    default=NETWORK,
                    optional=True,
                    tooltip="network: the model's rendering network, if a model is connected. fast splat: never.",
                ),
                advanced(
                    io.Int.Input(
                        "frames_at_once",
                        default=0,
                        min=0,
                        max=512,
                        optional=True,
                        tooltip="Frames computed together; 0 chooses by the picture's size. Halved by itself when "
                        "memory runs out.",
                    )
                ),
            ],
            outputs=[
                io.Image.Output("frames", display_name="frames", tooltip="The animated picture, for Create Video."),
                io.Mask.Output("holes", display_name="holes", tooltip="White where nothing landed and the fill shows."),
                io.Float.Output("frame_rate", display_name="fps", tooltip="Frames a second, for Create Video."),
            ],
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls, image, motion, start_frame, num_frames, mask=None, model=None, mode=NETWORK, frames_at_once=0
    ) -> io.NodeOutput:
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
        texts = []
        with ExitStack() as stack:
            network = None
            if model is not None and mode == NETWORK:
                pixels = (frames_at_once or default_chunk(channels, height, width)) * height * width
                network = stack.enter_context(model.ready(NETWORK_BYTES_PER_PIXEL * pixels)).model.renderer
                if network is None:
                    texts.append("This model has no rendering network, so the fast splat was used.")
            frames, holes = _render(image, motion, network, options)
        if height % 2 or width % 2:
            texts.append(
                f"{width} x {height} has an odd side, which Save Video's H.264 refuses: crop or resize the image."
            )
        if texts:
            show_text("\n".join(texts), cls.hidden.unique_id)
        preview = save_looping_preview(frames, motion.fps)
        return io.NodeOutput(frames, holes, motion.fps, ui={"gid_loop": [preview]})


def _render(image, motion, network, options: dict):
    """`render` on ComfyUI's device, or on the CPU if that lacks an operation."""
    device = model_management.get_torch_device()
    try:
        return render(image, motion, renderer=network and network.painter, device=device, **options)
    except RuntimeError as error:  # Metal raises just this where others raise NotImplementedError, which is one
        if not isinstance(error, NotImplementedError) and device.type != "mps":
            raise
        logger.warning("Rendering on the CPU: %s cannot (%s).", device, error)
        network = network and deepcopy(network).to("cpu", torch.float32)
        return render(image, motion, renderer=network and network.painter, device="cpu", **options)
