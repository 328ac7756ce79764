"""Preview Motion."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from comfy_api.latest import io, ui
from torch import Tensor

from ..gid_core.motion import Motion
from ..gid_core.rendering.visualization import flow_wheel, motion_map, power_spectrum, xt_slice
from ..gid_core.spectral_volume import SpectralVolume
from .adapters import CATEGORY, as_motion, motion_or_volume_input, schema
from .input_checks import checks_inputs

PREVIEW_WIDTH = 512  # pixels
SHEET_GAP, SHEET_GRAY = 8, 0.1  # pixels between the images of the node's picture, and the gray there


class PreviewMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="GID_PreviewMotion",
            display_name="Preview Motion",
            category=CATEGORY,
            description="Shows a motion as images: where it moves, at which frequencies, how one row of the image "
            "changes over time (with the loop's seam marked), and in which direction it moves.",
            search_aliases=[
                "motion map",
                "power spectrum",
                "x-t slice",
                "flow wheel",
                "visualize motion",
                "optical flow",
            ],
            inputs=[
                motion_or_volume_input("The motion to show. A spectral volume is played as a loop."),
                io.Image.Input("image", optional=True, tooltip="The image that moves. It is drawn under the motion."),
            ],
            outputs=[
                io.Image.Output("motion_map", display_name="motion map", tooltip="Mean displacement of each pixel."),
                io.Image.Output(
                    "spectrum",
                    display_name="power spectrum",
                    tooltip="Power of each frequency of the volume, at natural speed.",
                ),
                io.Image.Output(
                    "xt_slice", display_name="X-t slice", tooltip="One row of pixels over time. A loop is drawn twice."
                ),
                io.Image.Output(
                    "flow_wheel",
                    display_name="flow wheel",
                    tooltip="Direction of the motion in the frame with the largest motion.",
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    @checks_inputs
    def execute(cls, motion: Motion | SpectralVolume, image: Tensor | None = None) -> io.NodeOutput:
        motion = as_motion(motion)
        images = [
            motion_map(motion, image, PREVIEW_WIDTH),
            power_spectrum(motion.volume),
            xt_slice(motion, image, PREVIEW_WIDTH),
            flow_wheel(motion, PREVIEW_WIDTH),
        ]
        # In one picture, because Nodes 2.0 shows only one at a time.
        shown = ui.PreviewImage(_sheet(images)[None], cls=cls).as_dict()["images"]
        return io.NodeOutput(*(image[None] for image in images), ui={"images": shown, "animated": (False,)})


def _sheet(images: Sequence[Tensor]) -> Tensor:
    """Four images [H, W, 3] in two rows, [H', W', 3]."""
    height = [max(images[i].shape[0], images[i + 1].shape[0]) for i in (0, 2)]
    width = [max(images[i].shape[1], images[i + 2].shape[1]) for i in (0, 1)]
    sheet = torch.full((sum(height) + SHEET_GAP, sum(width) + SHEET_GAP, 3), SHEET_GRAY)
    for index, image in enumerate(images):
        top, left = index // 2 * (height[0] + SHEET_GAP), index % 2 * (width[0] + SHEET_GAP)
        sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
    return sheet
