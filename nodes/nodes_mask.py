"""Sway From Mask."""

from __future__ import annotations

from comfy_api.latest import io
from torch import Tensor

from ..gid_core.sources.mask import volume_from_mask
from ..gid_core.validation import check_choice
from .adapters import CATEGORY, SpectralVolumeType, advanced, schema, warnings_on_node
from .input_checks import checks_inputs
from .masks import optional_mask

GRAVITY_DEGREES = {"down": 90.0, "up": -90.0, "left": 180.0, "right": 0.0}


class VolumeFromMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="GID_VolumeFromMask",
            display_name="Sway From Mask",
            category=CATEGORY,
            description="Makes the masked regions sway like elastic objects that are fixed at their roots: hair, "
            "cloth, a sign, a drawn tree. It needs no model and no clip, and works on any image.",
            search_aliases=["elastic", "mask to motion", "hair", "cloth", "flag", "rooted", "jelly", "animate drawing"],
            inputs=[
                io.Mask.Input(
                    "mask",
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
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=2**64 - 1,
                    control_after_generate=True,
                    tooltip="Each seed gives a different motion; the same seed gives the same motion.",
                ),
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
            ],
            outputs=[
                SpectralVolumeType.Output(
                    "swaying",
                    display_name="spectral volume",
                    tooltip="The motion, for Wind Force, Modal Force, Audio Force, Loop Motion or Amplify Motion.",
                )
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
        )

    @classmethod
    @checks_inputs
    def execute(
        cls,
        mask: Tensor,
        gravity: str,
        amplitude: float,
        base_frequency: float,
        seed: int,
        roots: Tensor | None = None,
        grid: int = 128,
    ) -> io.NodeOutput:
        check_choice("gravity", gravity, tuple(GRAVITY_DEGREES))
        with warnings_on_node(cls.hidden.unique_id) as lines:
            volume = volume_from_mask(
                mask,
                roots=optional_mask(roots, cls.hidden, "roots"),
                gravity_degrees=GRAVITY_DEGREES[gravity],
                amplitude=amplitude / 100,
                base_frequency=base_frequency,
                seed=seed,
                grid=grid,
            )
            moving = volume.coefficients.abs().amax((1, 2)) > 0
            lines.append(f"{100 * moving.float().mean():.0f} % of the image moves")
        return io.NodeOutput(volume)
