"""Sway From Mask."""

from __future__ import annotations

from comfy_api.latest import io

from ..gid_core.sources.mask import volume_from_mask
from .adapters import CATEGORY, SpectralVolumeType, advanced, optional_mask, schema, warnings_on_node

GRAVITY = {"down": 90.0, "up": -90.0, "left": 180.0, "right": 0.0}  # degrees


class VolumeFromMask(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GID_VolumeFromMask",
            display_name="Sway From Mask",
            category=CATEGORY,
            description="Makes what a mask shows sway like something elastic that is held at its roots: hair, cloth, a "
            "sign, a drawn tree. No model and no clip are needed; it works on any picture.",
            search_aliases=["elastic", "mask to motion", "hair", "cloth", "flag", "rooted", "jelly", "animate drawing"],
            inputs=[
                io.Mask.Input(
                    "mask",
                    tooltip="White sways, black stays still. Each connected white region sways by itself. Load Image's "
                    "mask, painted in its mask editor, will do.",
                ),
                io.Combo.Input(
                    "gravity",
                    options=list(GRAVITY),
                    default="down",
                    tooltip="Which end is rooted: down for what stands, up for what hangs, left or right for what is "
                    "held at its side. Without effect when roots are given.",
                ),
                io.Float.Input(
                    "amplitude",
                    default=1.0,
                    min=0.0,
                    max=20.0,
                    step=0.1,
                    tooltip="How far it sways, in percent of the picture's width.",
                ),
                io.Float.Input(
                    "base_frequency",
                    default=0.5,
                    min=0.2,
                    max=3.0,
                    step=0.05,
                    tooltip="Swings a second of the longest region: 0.3 for a tree, 0.5 for a flower, 1 for grass. "
                    "Shorter regions are faster.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=2**64 - 1,
                    control_after_generate=True,
                    tooltip="Another seed, another sway. The same seed gives the same motion again.",
                ),
                io.Mask.Input(
                    "roots",
                    optional=True,
                    tooltip="White where the regions are held. A region that it does not touch stays still. Any size.",
                ),
                advanced(
                    io.Int.Input(
                        "grid",
                        default=128,
                        min=8,
                        max=256,
                        optional=True,
                        tooltip="Cells of the elastic mesh along the picture's longest side. More bends thin parts "
                        "more finely and takes longer.",
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
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, mask, gravity, amplitude, base_frequency, seed, roots=None, grid=128) -> io.NodeOutput:
        if gravity not in GRAVITY:
            raise ValueError(f"gravity is one of {', '.join(GRAVITY)}; got {gravity!r}.")
        with warnings_on_node(cls.hidden.unique_id) as lines:
            volume = volume_from_mask(
                mask,
                optional_mask(roots, tuple(mask.shape[-2:])),
                GRAVITY[gravity],
                amplitude=amplitude / 100,
                base_frequency=base_frequency,
                seed=seed,
                grid=grid,
            )
            moving = volume.coefficients.abs().amax((1, 2)) > 0
            lines.append(f"{100 * moving.float().mean():.0f} % of the picture moves")
        return io.NodeOutput(volume)
