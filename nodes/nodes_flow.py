"""Motion To Flow."""

from __future__ import annotations

from comfy_api.latest import io
from torch import Tensor

from ..gid_core.media.flow_files import FLOW_SUFFIXES, write_flow
from ..gid_core.motion import Motion
from ..gid_core.rendering.motion_flow import FLOW_KINDS, FROM_PHOTO, motion_flow
from ..gid_core.rendering.visualization import flows_to_images
from ..gid_core.spectral_volume import SpectralVolume
from ..gid_core.tensors import image_batch
from ..gid_core.validation import check_choice
from .adapters import CATEGORY, Progress, as_image, as_motion, motion_or_volume_input, schema
from .files import check_prefix, next_output_file, prefix_error
from .input_checks import checks_inputs

NO_FILES = "none"
FILE_FORMATS = (NO_FILES, *(suffix[1:] for suffix in FLOW_SUFFIXES))


class MotionToFlow(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="GID_MotionToFlow",
            display_name="Motion To Flow",
            category=CATEGORY,
            description="The optical flow of a motion for each frame: as numbers in pixels, as colors, and as .flo or "
            "EXR files for other programs.",
            search_aliases=["optical flow", "motion vectors", "flo", "EXR", "color wheel", "vector pass"],
            inputs=[
                motion_or_volume_input("The motion. A spectral volume is played as a loop."),
                io.Combo.Input(
                    "kind",
                    options=list(FLOW_KINDS),
                    default=FROM_PHOTO,
                    tooltip="photo to frame: where each pixel of the image is in each frame. frame to frame: where "
                    "what is seen at each pixel of a frame is in the next one.",
                ),
                io.Int.Input(
                    "start_frame",
                    default=0,
                    min=0,
                    max=100_000,
                    tooltip="The first frame.",
                ),
                io.Int.Input(
                    "num_frames",
                    default=0,
                    min=0,
                    max=100_000,
                    tooltip="Number of flows; 0 goes to the end. A loop may continue past its end.",
                ),
                io.Combo.Input(
                    "file_format",
                    options=list(FILE_FORMATS),
                    default=NO_FILES,
                    tooltip="Also write a file for each flow to the output folder. flo: Middlebury's. exr: 32-bit "
                    "OpenEXR, red = dx, green = dy.",
                ),
                io.String.Input(
                    "filename_prefix",
                    default="flow/motion",
                    tooltip="Folder inside the output folder, and beginning of the file names.",
                ),
                io.Image.Input(
                    "image", optional=True, tooltip="Its size is the flow's. Without it, that of the spectral volume."
                ),
            ],
            outputs=[
                io.Image.Output(
                    "flow",
                    display_name="flow",
                    tooltip="Red = dx, green = dy in pixels, +x right and +y down, blue 0; floats, not limited to "
                    "0..1. Of several motions, one after the other.",
                ),
                io.Image.Output(
                    "colors",
                    display_name="colors",
                    tooltip="The flow as colors: the hue is the direction, white does not move; one scale for all "
                    "frames.",
                ),
                io.String.Output(
                    "files",
                    display_name="files",
                    tooltip="Path of the written files with %05d for their numbers from 0; empty without files.",
                ),
                io.Float.Output("frame_rate", display_name="fps", tooltip="Frames per second, for Create Video."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, filename_prefix: str | None) -> bool | str:
        return check_prefix(filename_prefix)

    @classmethod
    @checks_inputs
    def execute(
        cls,
        motion: Motion | SpectralVolume,
        kind: str,
        start_frame: int,
        num_frames: int,
        file_format: str,
        filename_prefix: str,
        image: Tensor | None = None,
    ) -> io.NodeOutput:
        check_choice("file_format", file_format, FILE_FORMATS)
        if error := prefix_error(filename_prefix):
            raise ValueError(error)
        motion = as_motion(motion)
        size = None if image is None else tuple(image_batch(image).shape[-2:])
        flows = motion_flow(motion, kind, size=size, start=start_frame, count=num_frames or None).flatten(0, 1)
        files = ""
        if file_format != NO_FILES:
            files = _write_flows(flows, filename_prefix, f".{file_format}", Progress(cls.hidden.unique_id))
        # Not in the intermediate dtype, which may be too coarse for pixels.
        numbers = flows.new_zeros(len(flows), *flows.shape[-2:], 3, device="cpu")
        numbers[..., :2] = flows.permute(0, 2, 3, 1)
        return io.NodeOutput(numbers, as_image(flows_to_images(flows)), files, motion.fps)


def _write_flows(flows: Tensor, prefix: str, suffix: str, progress: Progress) -> str:
    """Write flows [N, 2, H, W] to numbered files in the output folder; their path with %05d for the number.

    Other percent signs of the path are doubled, as in every pattern of this kind.
    """
    start = next_output_file(prefix, "", flows.shape[-2:])
    for index, flow in enumerate(flows):
        write_flow(f"{start}{index:05}{suffix}", flow)
        progress(index + 1, len(flows))
    return f"{str(start).replace('%', '%%')}%05d{suffix}"
