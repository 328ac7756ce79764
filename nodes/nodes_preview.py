"""Preview Motion."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..gid_core.rendering.visualization import flow_wheel, motion_map, power_spectrum, xt_slice
from .adapters import CATEGORY, as_motion, motion_or_volume_input, schema

WIDTH = 512


class PreviewMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GID_PreviewMotion",
            display_name="Preview Motion",
            category=CATEGORY,
            description="Pictures of a motion: where it moves, at which frequencies, how one row of the picture runs "
            "over time (with the seam of the loop marked), and in which direction.",
            search_aliases=[
                "motion map",
                "power spectrum",
                "x-t slice",
                "flow wheel",
                "visualize motion",
                "optical flow",
            ],
            inputs=[
                motion_or_volume_input("The motion to look at, or a spectral volume, which is then looped."),
                io.Image.Input("image", optional=True, tooltip="The picture that moves; drawn under the motion."),
            ],
            outputs=[
                io.Image.Output("motion_map", display_name="motion map", tooltip="Mean motion of every pixel."),
                io.Image.Output(
                    "spectrum",
                    display_name="power spectrum",
                    tooltip="Power of every frequency of the volume, at natural speed.",
                ),
                io.Image.Output(
                    "xt_slice", display_name="X-t slice", tooltip="One row over time, the loop drawn twice."
                ),
                io.Image.Output("flow_wheel", display_name="flow wheel", tooltip="Directions, at the largest motion."),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, motion, image=None) -> io.NodeOutput:
        motion = as_motion(motion)
        pictures = [
            motion_map(motion, image, WIDTH),
            power_spectrum(motion.volume),
            xt_slice(motion, image, WIDTH),
            flow_wheel(motion, WIDTH),
        ]
        batches = [picture[None] for picture in pictures]
        images = [saved for batch in batches for saved in ui.PreviewImage(batch, cls=cls).as_dict()["images"]]
        return io.NodeOutput(*batches, ui={"images": images, "animated": (False,)})
