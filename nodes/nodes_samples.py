"""Load Sample and Fit Image: how pictures, clips and sounds enter a workflow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from comfy_api.latest import Input, InputImpl, io
from torch import Tensor

from ..gid_core.media.audio_io import read_audio
from ..gid_core.media.image_io import read_image
from ..gid_core.rendering.fitting import fit_image
from ..gid_core.validation import check_choice
from .adapters import CATEGORY, as_image, nodes_with_output, schema
from .input_checks import checks_inputs
from .masks import optional_mask

ASSETS = Path(__file__).resolve().parents[1] / "assets"
# Pictures with alpha, by the names in saved workflows. As in Load Image, the mask is white where they are transparent.
PICTURES = {"flowers": "flowers_painted.png", "sticker": "sticker.png", "dandelions": "dandelions_painted.webp"}
CLIP, TUNE = "pots.mp4", "tune.mp3"
MASK_OUTPUT = 1


class LoadSample(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="GID_LoadSample",
            display_name="Load Sample",
            category=CATEGORY,
            description="Gives a picture, its mask, a clip and a tune that come with this pack, so that a workflow "
            "runs at once. What you connect takes the place of the sample.",
            search_aliases=["example", "demo", "test image", "sample photo", "sample video"],
            inputs=[
                io.Combo.Input(
                    "sample",
                    options=list(PICTURES),
                    default="dandelions",
                    tooltip="dandelions: a photo, with a mask painted over the largest one. flowers: a rendered "
                    "picture, with a mask painted over two flowers. sticker: a drawing on a transparent background.",
                ),
                io.Image.Input("image", optional=True, tooltip="Your picture, from Load Image, instead of the sample."),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Your mask, from Load Image, instead of the sample's. Needed with a picture of your own if "
                    "the mask is used.",
                ),
                io.Video.Input("video", optional=True, tooltip="Your clip, from Load Video, instead of the sample."),
                io.Audio.Input("audio", optional=True, tooltip="Your sound, from Load Audio, instead of the sample."),
            ],
            outputs=[
                io.Image.Output("picture", display_name="image", tooltip="The picture, without alpha."),
                io.Mask.Output(
                    "painted",
                    display_name="mask",
                    tooltip="The mask of the picture as Load Image gives it: white where it is painted or transparent.",
                ),
                io.Video.Output("clip", display_name="video", tooltip="The clip: hanging pots in a light wind."),
                io.Audio.Output("tune", display_name="audio", tooltip="The sound: a music box over a slow drum."),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
        )

    @classmethod
    @checks_inputs
    def execute(
        cls,
        sample: str,
        image: Tensor | None = None,
        mask: Tensor | None = None,
        video: Input.Video | None = None,
        audio: Mapping[str, Any] | None = None,
    ) -> io.NodeOutput:
        check_choice("sample", sample, tuple(PICTURES))
        picture = read_image(ASSETS / PICTURES[sample])[None]
        own_mask = optional_mask(mask, cls.hidden)
        if own_mask is None and image is None:
            own_mask = 1 - picture[..., 3]
        elif own_mask is None and cls.hidden.unique_id in nodes_with_output("GID_LoadSample", MASK_OUTPUT):
            raise ValueError(
                "This workflow uses the mask of your picture, and there is none. Connect the MASK of Load Image to "
                "mask, and paint one (right-click Load Image, Open in MaskEditor), or use a picture with transparency."
            )
        return io.NodeOutput(
            as_image(picture[..., :3]) if image is None else image,
            own_mask,
            InputImpl.VideoFromFile(str(ASSETS / CLIP)) if video is None else video,
            _tune() if audio is None else audio,
        )


def _tune() -> dict[str, Any]:
    """The sample of a sound, as ComfyUI passes it between nodes."""
    waveform, sample_rate = read_audio(ASSETS / TUNE)
    return {"waveform": waveform[None], "sample_rate": sample_rate}


class FitImage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="GID_FitImage",
            display_name="Fit Image",
            category=CATEGORY,
            description="Shrinks a large image so that it is animated in minutes, and makes its sides even, as videos "
            "need. Smaller images keep their size.",
            search_aliases=["resize", "scale", "shrink", "max size", "longest side", "even size", "downscale"],
            inputs=[
                io.Image.Input("image", tooltip="The image, of any size, with or without alpha."),
                io.Int.Input(
                    "longest_side",
                    default=1280,
                    min=2,
                    max=16384,
                    step=2,
                    tooltip="Pixels of the longer side, at most. Twice as many take four times as long.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "fitted",
                    display_name="image",
                    tooltip="The image in a size with even sides and the same proportions, to within a pixel.",
                )
            ],
        )

    @classmethod
    @checks_inputs
    def execute(cls, image: Tensor, longest_side: int) -> io.NodeOutput:
        return io.NodeOutput(as_image(fit_image(image, longest_side)))
