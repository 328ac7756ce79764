"""Sway From Mask."""

from __future__ import annotations

from comfy_api.latest import io
from torch import Tensor

from ..gid_core.sources.stroke_list import parse_strokes
from ..gid_core.tensors import image_batch
from .adapters import CATEGORY, SpectralVolumeType, advanced, schema, seed_input, warnings_on_node
from .brush_preview import GRAVITY_DEGREES, keep_masks, sway_volume
from .input_checks import checks_inputs
from .live_preview import save_live_packet
from .masks import optional_mask


def strokes_input(tooltip: str) -> io.Input:
    """The strokes of the motion brush, for `parse_strokes`."""
    return advanced(io.String.Input("strokes", default="", optional=True, tooltip=tooltip))


def strokes_problem(strokes: str | None) -> bool | str:
    """What is wrong with strokes, or True: a node's `validate_inputs`."""
    try:
        parse_strokes(strokes or "")  # None if the value comes through a link, or if there is none
    except ValueError as error:
        return str(error)
    return True


class VolumeFromMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="GID_VolumeFromMask",
            display_name="Sway From Mask",
            category=CATEGORY,
            description="Makes painted regions sway or wiggle like elastic objects that are fixed at their roots: "
            "hair, cloth, a sign, a drawn tree. Paint in the node's live picture, or connect a mask. It needs no model "
            "and no clip, and works on any image.",
            search_aliases=[
                "elastic",
                "mask to motion",
                "hair",
                "cloth",
                "flag",
                "rooted",
                "jelly",
                "animate drawing",
                "motion brush",
                "paint motion",
            ],
            inputs=[
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="White sways, black does not move. Each connected white region sways separately. You can "
                    "paint the mask in Load Image's mask editor.",
                ),
                io.Combo.Input(
                    "gravity",
                    options=list(GRAVITY_DEGREES),
                    default="down",
                    tooltip="Which end is fixed: down for standing objects, up for hanging ones, left or right for "
                    "objects fixed at one side. It has no effect if roots are given.",
                ),
                io.Float.Input(
                    "amplitude",
                    default=1.0,
                    min=0.0,
                    max=20.0,
                    step=0.1,
                    tooltip="How far the regions sway, in percent of the image's width.",
                ),
                io.Float.Input(
                    "base_frequency",
                    default=0.5,
                    min=0.2,
                    max=3.0,
                    step=0.05,
                    tooltip="Swings per second of the longest region: 0.3 for a tree, 0.5 for a flower, 1 for grass. "
                    "Shorter regions swing faster.",
                ),
                seed_input("Each seed gives a different motion; the same seed gives the same motion."),
                io.Mask.Input(
                    "roots",
                    optional=True,
                    tooltip="White where the regions are fixed. A region without roots does not move. Any size.",
                ),
                advanced(
                    io.Int.Input(
                        "grid",
                        default=128,
                        min=8,
                        max=256,
                        optional=True,
                        tooltip="Cells of the elastic mesh along the image's longer side. More cells bend thin parts "
                        "more smoothly and take longer.",
                    )
                ),
                strokes_input(
                    "The strokes of the motion brush as a JSON list; painting in the live picture writes it. kind: "
                    "move, pin, erase or arrow. points: [x, y] in fractions of the image. radius: a fraction of the "
                    "longer side. softness and stiffness belong to a stroke."
                ),
                io.Image.Input(
                    "image", optional=True, tooltip="The image to paint on. Strokes without a mask need it."
                ),
            ],
            outputs=[
                SpectralVolumeType.Output(
                    "swaying",
                    display_name="spectral volume",
                    tooltip="The motion, for Wind Force, Modal Force, Audio Force, Loop Motion or Amplify Motion.",
                )
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
            has_intermediate_output=True,
        )

    @classmethod
    def validate_inputs(cls, strokes: str | None = None) -> bool | str:
        return strokes_problem(strokes)

    @classmethod
    @checks_inputs
    def execute(
        cls,
        gravity: str,
        amplitude: float,
        base_frequency: float,
        seed: int,
        mask: Tensor | None = None,
        roots: Tensor | None = None,
        grid: int = 128,
        strokes: str = "",
        image: Tensor | None = None,
    ) -> io.NodeOutput:
        masks = [
            optional_mask(mask, cls.hidden) if strokes.strip() else mask,
            optional_mask(roots, cls.hidden, "roots"),
        ]
        with warnings_on_node(cls.hidden.unique_id) as lines:
            volume = sway_volume(
                *masks,
                strokes=strokes,
                size=None if image is None else image_batch(image).shape[-2:],
                gravity=gravity,
                amplitude=amplitude,
                base_frequency=base_frequency,
                seed=seed,
                grid=grid,
            )
            moving = volume.coefficients.abs().amax((1, 2)) > 0
            lines.append(f"{100 * moving.float().mean():.0f} % of the image moves")
        if image is None:
            return io.NodeOutput(volume)
        digest = save_live_packet(volume, image, volume)
        keep_masks(digest, *masks)
        return io.NodeOutput(volume, ui={"gid_live": [{"digest": digest}]})
