"""Spectral Volume From Video."""

from __future__ import annotations

from comfy_api.latest import Input, InputImpl, io
from torch import Tensor

from ..gid_core.sources.video import extract_spectral_volume, read_window
from ..gid_core.tensors import image_batch
from .adapters import CATEGORY, Progress, SpectralVolumeType, schema, warnings_on_node
from .input_checks import checks_inputs


class SpectralVolumeFromVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="GID_SpectralVolumeFromVideo",
            display_name="Spectral Volume From Video",
            category=CATEGORY,
            description="Measures the motion of each pixel of a clip from a static camera, as a spectral volume. With "
            "it, the clip's first frame, or a restyled version of it, can be looped, amplified or slowed down.",
            search_aliases=[
                "optical flow",
                "motion from video",
                "extract motion",
                "cinemagraph",
                "motion transfer",
            ],
            inputs=[
                io.MultiType.Input(
                    "video",
                    [io.Video, io.Image],
                    tooltip="A video, or its frames as an image batch: 16 frames or more from a static camera.",
                ),
                io.Float.Input(
                    "fps",
                    default=30.0,
                    min=1.0,
                    max=240.0,
                    step=0.01,
                    tooltip="Frames per second of an image batch. Ignored for a video, which has its own frame rate.",
                ),
                io.Int.Input(
                    "start_frame",
                    default=0,
                    min=0,
                    max=1_000_000,
                    tooltip="The reference frame. The measured window of motion starts here.",
                ),
                io.Float.Input(
                    "window_seconds",
                    default=5.0,
                    min=0.5,
                    max=30.0,
                    step=0.1,
                    tooltip="Seconds of motion to measure, which is also the length of the natural loop. A shorter "
                    "clip is used completely. The 16 frequencies reach 15 / window Hz: 3 Hz for the paper's 5 seconds.",
                ),
                io.Combo.Input(
                    "detrend",
                    options=["ramp", "none"],
                    default="ramp",
                    tooltip="ramp: subtracts the drift from the first to the last frame, so that loops have no jump. "
                    "none: keeps the motion as filmed, like the paper; a loop then jumps back at its seam.",
                ),
                io.Boolean.Input(
                    "stabilise",
                    default=False,
                    tooltip="Subtracts a small camera shake (translation, not rotation or zoom) before measuring.",
                ),
                io.Int.Input(
                    "max_size",
                    default=512,
                    min=64,
                    max=4096,
                    step=8,
                    tooltip="Motion is measured at this size at most: pixels of the longer side. Larger is finer and "
                    "slower. The result fits an image of any size.",
                ),
            ],
            outputs=[
                SpectralVolumeType.Output(
                    "spectral_volume", display_name="spectral volume", tooltip="The clip's motion."
                ),
                io.Image.Output(
                    "reference",
                    display_name="reference frame",
                    tooltip="The reference frame, to which the motion belongs.",
                ),
                io.Float.Output("frame_rate", display_name="fps", tooltip="Frames per second of the clip."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @checks_inputs
    def execute(
        cls,
        video: Input.Video | Tensor,
        fps: float,
        start_frame: int,
        window_seconds: float,
        detrend: str,
        stabilise: bool,
        max_size: int,
    ) -> io.NodeOutput:
        with warnings_on_node(cls.hidden.unique_id):
            if isinstance(video, Tensor):
                frames, first_frame, reference = video, 0, video[start_frame : start_frame + 1]
            else:
                frames, fps, first_frame, reference = _read_window(video, start_frame, window_seconds, max_size)
            volume = extract_spectral_volume(
                frames,
                fps,
                detrend=detrend,
                window_seconds=window_seconds,
                start=start_frame - first_frame,
                first_frame=first_frame,
                stabilize=stabilise,
                max_size=max_size,
                progress=Progress(),
            )
        return io.NodeOutput(volume, image_batch(reference, "video").permute(0, 2, 3, 1), float(fps))


def _read_window(video: Input.Video, start: int, seconds: float, max_size: int) -> tuple[Tensor, float, int, Tensor]:
    """Read the measured window of a VIDEO.

    Only the window of a file is read, at the size at which it is measured, since a long video would not fit in memory.
    Newer ComfyUI versions can pass a trimmed file, but its stream source is the untrimmed one; of that the video's own
    method reads all frames.

    Returns:
        frames [T, H, W, 3], frames per second, the number of frames[0] in the video, and the frame `start` in the full
        size, [1, H', W', 3] in 0..1.
    """
    if isinstance(video, InputImpl.VideoFromFile) and not _may_be_trimmed(video):
        frames, fps, reference = read_window(video.get_stream_source(), start, seconds, max_size)
        return frames, fps, start, reference[None]
    components = video.get_components()
    images = components.images
    return images, float(components.frame_rate), 0, images[start : start + 1]


def _may_be_trimmed(video: Input.Video) -> bool:
    """Whether a VIDEO of a file leaves out a part of it. Some ComfyUI versions can trim, but do not tell."""
    if hasattr(video, "get_active_trim_window"):  # (start, duration) in seconds; (0, 0) is the whole file
        return any(video.get_active_trim_window())
    return hasattr(video, "as_trimmed")
