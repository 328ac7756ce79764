"""Spectral Volume From Video."""

from __future__ import annotations

from comfy_api.latest import InputImpl, io

from ..gid_core.media.video_io import read_video
from ..gid_core.sources.video import MIN_FRAMES, extract_spectral_volume
from ..gid_core.tensors import image_batch
from .adapters import CATEGORY, Progress, SpectralVolumeType, schema, warnings_on_node


class SpectralVolumeFromVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GID_SpectralVolumeFromVideo",
            display_name="Spectral Volume From Video",
            category=CATEGORY,
            description="Measures how every pixel of a clip with a still camera sways, as a spectral volume. "
            "The clip's first frame (or a restyled picture of it) can then be looped, amplified or slowed.",
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
                    tooltip="A video, or its frames as an image batch: 16 frames or more, filmed from a still camera.",
                ),
                io.Float.Input(
                    "fps",
                    default=30.0,
                    min=1.0,
                    max=240.0,
                    step=0.01,
                    tooltip="Frames a second of an image batch. A video brings its own and ignores this.",
                ),
                io.Int.Input(
                    "start_frame",
                    default=0,
                    min=0,
                    max=1_000_000,
                    tooltip="The frame that becomes the reference picture; the window of motion begins here.",
                ),
                io.Float.Input(
                    "window_seconds",
                    default=5.0,
                    min=0.5,
                    max=30.0,
                    step=0.1,
                    tooltip="Length of motion to measure, and so of the natural loop; a shorter clip is used whole. "
                    "The 16 frequencies reach 15 / window Hz: 3 Hz for the 5 seconds of the paper.",
                ),
                io.Combo.Input(
                    "detrend",
                    options=["ramp", "none"],
                    default="ramp",
                    tooltip="ramp: take off the drift from the first to the last frame, so that loops have no jerk. "
                    "none: keep the motion as filmed, as the paper does; a loop then snaps back at its seam.",
                ),
                io.Boolean.Input(
                    "stabilise",
                    default=False,
                    tooltip="Subtract a small shake of the whole camera (shifts, not turns or zoom) before measuring.",
                ),
                io.Int.Input(
                    "max_size",
                    default=512,
                    min=64,
                    max=4096,
                    step=8,
                    tooltip="Motion is measured with the longer side at most this many pixels. Larger is finer and "
                    "slower; the result fits a picture of any size.",
                ),
            ],
            outputs=[
                SpectralVolumeType.Output(
                    "spectral_volume", display_name="spectral volume", tooltip="The clip's motion."
                ),
                io.Image.Output(
                    "reference",
                    display_name="reference frame",
                    tooltip="The frame that the motion belongs to.",
                ),
                io.Float.Output("frame_rate", display_name="fps", tooltip="Frames a second of the clip."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, video, fps, start_frame, window_seconds, detrend, stabilise, max_size) -> io.NodeOutput:
        if hasattr(video, "get_components"):
            video, fps, start_frame = _window(video, start_frame, window_seconds)
        with warnings_on_node(cls.hidden.unique_id):
            volume = extract_spectral_volume(
                video,
                fps,
                detrend=detrend,
                window_seconds=window_seconds,
                start=start_frame,
                stabilize=stabilise,
                max_size=max_size,
                progress=Progress(),
            )
        reference = image_batch(video[start_frame], "video").permute(0, 2, 3, 1)
        return io.NodeOutput(volume, reference, float(fps))


def _window(video, start: int, seconds: float):
    """Frames of a VIDEO, their fps, and where the window begins in them.

    A file is read only as far as the window goes: a long video would not fit in memory. Newer ComfyUIs can hand on a
    trimmed file, whose stream is the whole of it; there the video's own reading is right.
    """
    if isinstance(video, InputImpl.VideoFromFile) and not hasattr(video, "as_trimmed"):
        rate = float(video.get_frame_rate())
        needed = round(max(MIN_FRAMES, seconds * rate)) + 1
        frames, fps = read_video(video.get_stream_source(), start, needed)
        return frames, fps, 0
    components = video.get_components()
    return components.images, float(components.frame_rate), start
