"""Loop Motion, Long Loop and Amplify Motion."""

from __future__ import annotations

from comfy_api.latest import io
from torch import Tensor

from ..gid_core.dynamics.long_loop import long_loop
from ..gid_core.dynamics.wind import MAX_SEED
from ..gid_core.motion import limit_displacement, loop
from ..gid_core.spectral_volume import SpectralVolume
from .adapters import (
    CATEGORY,
    SpectralVolumeType,
    as_volume,
    duration_text,
    fps_input,
    motion_outputs,
    schema,
    seed_input,
    show_text,
    speed_input,
    volume_input,
)
from .input_checks import checks_inputs
from .masks import optional_mask

SPEED_TOOLTIP = "1 is natural speed, 0.5 is half speed (slow motion), 2 is double speed."
FPS_TOOLTIP = "Frames per second of the loop. It may differ from the clip's, because motion is continuous in time."
COUNT_TOOLTIP = "Number of frames of the loop."


class LoopMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="GID_LoopMotion",
            display_name="Loop Motion",
            category=CATEGORY,
            description="Plays a spectral volume as a seamless loop, as a cinemagraph needs it: the first frame "
            "follows the last. Set the speed and the number of frames of the loop.",
            search_aliases=["seamless loop", "cinemagraph", "living photo", "slow motion", "sway", "endless"],
            inputs=[
                volume_input("The motion to loop."),
                io.Int.Input(
                    "num_frames",
                    default=0,
                    min=0,
                    max=100_000,
                    tooltip="Number of frames of the loop. 0 plays one natural period at this speed. Any other number "
                    "plays the nearest whole number of periods in exactly that many frames.",
                ),
                speed_input(SPEED_TOOLTIP),
                fps_input(FPS_TOOLTIP),
            ],
            outputs=motion_outputs("The looping motion, for Softmax Splat Render.", COUNT_TOOLTIP),
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @checks_inputs
    def execute(cls, spectral_volume: SpectralVolume, num_frames: int, speed: float, fps: float) -> io.NodeOutput:
        spectral_volume = as_volume(spectral_volume)
        motion = loop(spectral_volume, num_frames=num_frames or None, speed=speed, fps=fps)
        seconds = len(motion) / motion.fps
        periods = max(1, round(seconds * speed / spectral_volume.duration))
        actual_speed = periods * spectral_volume.duration / seconds
        text = duration_text(motion)
        if abs(actual_speed / speed - 1) > 0.02:
            text += f"\nplays at {actual_speed:.2f}x so that {periods} period{'s' * (periods > 1)} fit"
        show_text(text, cls.hidden.unique_id)
        return io.NodeOutput(motion, motion.fps, len(motion))


class LongLoop(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="GID_LongLoop",
            display_name="Long Loop",
            category=CATEGORY,
            description="Plays a spectral volume as a seamless loop of any length, in which the motion does not repeat "
            "before the end. Render it with Render Loop To Video, whose memory does not grow with the length.",
            search_aliases=["endless", "background video", "never repeats", "ambient", "wallpaper", "minutes", "sway"],
            inputs=[
                volume_input("The motion to play."),
                io.Float.Input(
                    "seconds",
                    default=30.0,
                    min=0.1,
                    max=3600.0,
                    step=0.1,
                    tooltip="Length of the loop in seconds: at least one period of the spectral volume, usually 5.",
                ),
                io.Float.Input(
                    "variation",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How much the swings vary in speed and size: 0 is even, 1 swells and calms down most.",
                ),
                speed_input(SPEED_TOOLTIP),
                fps_input(FPS_TOOLTIP),
                seed_input("Each seed gives a different sway; the same seed gives the same sway.", MAX_SEED),
            ],
            outputs=motion_outputs("The looping motion, for Render Loop To Video.", COUNT_TOOLTIP),
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @checks_inputs
    def execute(
        cls, spectral_volume: SpectralVolume, seconds: float, variation: float, speed: float, fps: float, seed: int
    ) -> io.NodeOutput:
        spectral_volume = as_volume(spectral_volume)
        motion = long_loop(spectral_volume, seconds=seconds, variation=variation, speed=speed, fps=fps, seed=seed)
        show_text(duration_text(motion), cls.hidden.unique_id)
        return io.NodeOutput(motion, motion.fps, len(motion))


class AmplifyMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        def gain_input(name: str, tooltip: str) -> io.Input:
            return io.Float.Input(name, default=1.0, min=-20.0, max=20.0, step=0.05, tooltip=tooltip)

        return schema(
            node_id="GID_AmplifyMotion",
            display_name="Amplify Motion",
            category=CATEGORY,
            description="Makes motion larger or smaller: all of it, by frequency, or only where a mask is white.",
            search_aliases=[
                "motion magnification",
                "strength",
                "minify",
                "exaggerate",
                "motion mask",
                "equalizer",
            ],
            inputs=[
                SpectralVolumeType.Input("spectral_volume", tooltip="The motion to change."),
                gain_input(
                    "gain",
                    "Factor for all motion: 0 gives no motion, 1 no change, 2 twice the motion; negative values "
                    "mirror it.",
                ),
                gain_input(
                    "slow_gain",
                    "Additional factor for the slowest motion. Between the three frequency ranges the factors blend.",
                ),
                gain_input("middle_gain", "Additional factor for the middle frequencies."),
                gain_input("fast_gain", "Additional factor for the fastest motion; 0 removes flutter."),
                io.Float.Input(
                    "limit",
                    default=0.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    tooltip="Soft limit of the displacement of any pixel over the loop, in percent of the image's "
                    "width. 0 sets no limit.",
                ),
                io.Float.Input(
                    "feather",
                    default=16.0,
                    min=0.0,
                    max=1024.0,
                    step=1.0,
                    tooltip="Width in mask pixels over which motion fades in, from the edge of the white area inward.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="White moves, black does not. Any size. For edges that are exact to the pixel, connect the "
                    "mask to Softmax Splat Render.",
                ),
            ],
            outputs=[
                SpectralVolumeType.Output("changed", display_name="spectral volume", tooltip="The changed motion.")
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
        )

    @classmethod
    @checks_inputs
    def execute(
        cls,
        spectral_volume: SpectralVolume,
        gain: float,
        slow_gain: float,
        middle_gain: float,
        fast_gain: float,
        limit: float,
        feather: float,
        mask: Tensor | None = None,
    ) -> io.NodeOutput:
        volume = spectral_volume.amplify(gain, (slow_gain, middle_gain, fast_gain))
        mask = optional_mask(mask, cls.hidden)
        if mask is not None:
            volume = volume.mask(mask, feather)
        if limit > 0:
            volume = limit_displacement(volume, limit / 100)
        return io.NodeOutput(volume)
