"""Motion To Tracks and Tracks To Motion: points for video models and spline editors, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from comfy_api.latest import io
from torch import Tensor

from ..gid_core.motion import Motion
from ..gid_core.spectral_volume import SpectralVolume
from ..gid_core.tensors import image_batch
from ..gid_core.tracks.following import WAN_FPS, WAN_POINTS, follow_points
from ..gid_core.tracks.point_choice import GRID, POINT_KINDS, choose_points
from ..gid_core.tracks.spreading import motion_from_tracks
from ..gid_core.tracks.track_list import format_tracks, parse_tracks
from ..gid_core.tracks.track_picture import draw_tracks
from .adapters import (
    CATEGORY,
    ModelType,
    MotionType,
    SpectralVolumeType,
    advanced,
    as_image,
    as_motion,
    fps_input,
    motion_or_volume_input,
    schema,
    show_text,
    warnings_on_node,
)
from .input_checks import checks_inputs
from .masks import optional_mask

if TYPE_CHECKING:
    from .nodes_model import ManagedPipeline

# What the encoder and the affinity network may take beside their weights, in bytes: a generous guess.
OUTLINES_MEMORY = 0.5e9


class MotionToTracks(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="GID_MotionToTracks",
            display_name="Motion To Tracks",
            category=CATEGORY,
            description="Follows points of an image along a motion and writes their tracks as the JSON that Wan Track "
            "To Video and spline editors read: a video model then moves the image in the same way.",
            search_aliases=[
                "trajectory",
                "spline",
                "ATI",
                "WanTrackToVideo",
                "WanMove",
                "point tracking",
                "coordinates",
            ],
            inputs=[
                motion_or_volume_input("The motion to follow. A spectral volume is played as a loop."),
                io.Combo.Input(
                    "points",
                    options=list(POINT_KINDS),
                    default=GRID,
                    tooltip="grid: evenly spaced points. weighted: more points where the mask is brighter or, without "
                    "a mask, where more moves. picked: the points in picked.",
                ),
                io.Int.Input(
                    "count",
                    default=64,
                    min=1,
                    max=1024,
                    tooltip="Number of points of a grid, about, or of weighted points.",
                ),
                *_size_inputs("Width of the tracks' picture in pixels: that of the video in Wan Track To Video."),
                advanced(
                    io.Int.Input(
                        "num_points",
                        default=WAN_POINTS,
                        min=0,
                        max=100_000,
                        tooltip="Points in time of each track. Wan Track To Video reads 121, for a video of any "
                        "length. Other nodes want one for each frame. 0 ends with the motion.",
                    )
                ),
                advanced(
                    fps_input(
                        "Points in time per second: 24 for Wan Track To Video, whose 121 points are 5 seconds. "
                        "Elsewhere the frame rate of the video.",
                        WAN_FPS,
                    )
                ),
                io.Image.Input("image", optional=True, tooltip="The image that moves. The tracks are drawn over it."),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="White is followed: grid points in black are left out, and weighted points are denser "
                    "where it is brighter. Any size.",
                ),
                io.String.Input(
                    "picked",
                    default="",
                    multiline=True,
                    optional=True,
                    tooltip='picked only: JSON such as [{"x": 100, "y": 80}], in pixels of width x height, from a '
                    "point editor. Of tracks, the first points are taken.",
                ),
            ],
            outputs=[
                io.String.Output(
                    "tracks",
                    display_name="tracks",
                    tooltip="The tracks as JSON, for the input tracks of Wan Track To Video or a spline editor.",
                ),
                io.Image.Output(
                    "picture",
                    display_name="picture",
                    tooltip="The tracks drawn over the darkened image; dots are their beginnings.",
                ),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
        )

    @classmethod
    @checks_inputs
    def execute(
        cls,
        motion: Motion | SpectralVolume,
        points: str,
        count: int,
        width: int,
        height: int,
        num_points: int,
        fps: float,
        image: Tensor | None = None,
        mask: Tensor | None = None,
        picked: str = "",
    ) -> io.NodeOutput:
        motion = as_motion(motion)
        photo_size = motion.volume.size if image is None else tuple(image_batch(image).shape[-2:])
        size = _picture_size(width, height, photo_size)
        start = choose_points(
            motion,
            points,
            count,
            size=size,
            photo_size=photo_size,
            mask=optional_mask(mask, cls.hidden),
            picked=picked,
        )
        tracks = follow_points(motion, start, size=size, photo_size=photo_size, num_points=num_points or None, fps=fps)
        largest = float(torch.hypot(*tracks.displacement.unbind(-1)).max())
        text = f"{len(start)} tracks of {len(tracks)} points, {(len(tracks) - 1) / fps:.2f} s; up to {largest:.1f} px"
        show_text(text, cls.hidden.unique_id)
        picture = draw_tracks(tracks, image)
        return io.NodeOutput(format_tracks(tracks), as_image(picture))


class TracksToMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="GID_TracksToMotion",
            display_name="Tracks To Motion",
            category=CATEGORY,
            description="Moves a whole image by the tracks of a few points, drawn in a spline editor or followed by "
            "another pack: motion spreads along objects and ends at their outlines.",
            search_aliases=["spline", "trajectory", "drag", "point tracking", "CoTracker", "animate path", "puppet"],
            inputs=[
                io.String.Input(
                    "tracks",
                    default="",
                    multiline=True,
                    tooltip='JSON such as [[{"x": 100, "y": 80}, {"x": 104, "y": 81}]]: lists of points, one for each '
                    "track. A track that stays in its place holds what is around it still.",
                ),
                io.Image.Input("image", tooltip="The image that will move. Its colors tell where objects end."),
                *_size_inputs("Width of the picture in which the tracks were drawn, in pixels."),
                fps_input("Points of a track per second.", WAN_FPS),
                io.Float.Input(
                    "spread",
                    default=10.0,
                    min=0.0,
                    max=100.0,
                    step=0.5,
                    tooltip="How far motion reaches from a track inside an object, in percent of the image's longer "
                    "side.",
                ),
                io.Mask.Input("mask", optional=True, tooltip="White moves, black does not. Any size."),
                ModelType.Input(
                    "model",
                    optional=True,
                    tooltip="Tells which edges are outlines, from Load GID Model: patterns inside an object stop the "
                    "motion less.",
                ),
                advanced(
                    io.Int.Input(
                        "num_bins",
                        default=16,
                        min=1,
                        max=100,
                        optional=True,
                        tooltip="Frequencies to keep. More follow sudden turns of the tracks more exactly, and need "
                        "more memory.",
                    )
                ),
                advanced(
                    io.Int.Input(
                        "resolution",
                        default=384,
                        min=8,
                        max=4096,
                        optional=True,
                        tooltip="Longer side of the spectral volume in pixels, at most the image's.",
                    )
                ),
            ],
            outputs=[
                MotionType.Output(
                    "motion",
                    display_name="motion",
                    tooltip="The tracks played once, for Softmax Splat Render. If they end where they began, a loop.",
                ),
                SpectralVolumeType.Output(
                    "spectral_volume",
                    display_name="spectral volume",
                    tooltip="For Loop Motion and forces. Tracks that do not end where they began go forth and back in "
                    "it.",
                ),
                io.Float.Output("frame_rate", display_name="fps", tooltip="Frames per second, for Create Video."),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
        )

    @classmethod
    @checks_inputs
    def execute(
        cls,
        tracks: str,
        image: Tensor,
        width: int,
        height: int,
        fps: float,
        spread: float,
        mask: Tensor | None = None,
        model: ManagedPipeline | None = None,
        num_bins: int = 16,
        resolution: int = 384,
    ) -> io.NodeOutput:
        photo_size = image_batch(image).shape[-2:]
        parsed = parse_tracks(tracks, _picture_size(width, height, photo_size), fps)
        outlines = None
        if model is not None:
            with model.loaded(OUTLINES_MEMORY) as pipeline:
                outlines = pipeline.outlines(image)
        with warnings_on_node(cls.hidden.unique_id) as lines:
            motion = motion_from_tracks(
                parsed,
                image,
                num_bins=num_bins,
                spread=spread / 100,
                max_size=resolution,
                mask=optional_mask(mask, cls.hidden),
                outlines=outlines,
            )
            ends = "a loop" if motion.loops else "played once; the spectral volume goes forth and back"
            lines.append(f"{parsed.positions.shape[1]} tracks, {len(motion)} frames, {len(motion) / fps:.2f} s, {ends}")
        return io.NodeOutput(motion, motion.volume, motion.fps)


def _size_inputs(width_tooltip: str) -> list[io.Input]:
    """The widgets width and height of the tracks' picture, with the defaults of Wan Track To Video."""

    def side(name: str, default: int, tooltip: str) -> io.Input:
        return io.Int.Input(name, default=default, min=0, max=16384, tooltip=tooltip)

    return [
        side("width", 832, f"{width_tooltip} If the proportions differ from the image's, its middle is shown."),
        side("height", 480, "Height of the same picture. 0 keeps the image's proportions; both 0: the image's size."),
    ]


def _picture_size(width: int, height: int, photo_size: Sequence[int]) -> tuple[int, int]:
    """(H, W) of the tracks' picture; a side of 0 follows from the other one, or from the photo."""
    if not width and not height:
        return photo_size[0], photo_size[1]
    return (
        height or max(1, round(width * photo_size[0] / photo_size[1])),
        width or max(1, round(height * photo_size[1] / photo_size[0])),
    )
