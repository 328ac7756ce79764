"""Loop Motion and Amplify Motion."""

from __future__ import annotations

from comfy_api.latest import io

from ..gid_core.motion import limit_displacement, loop
from .adapters import CATEGORY, MotionType, SpectralVolumeType, optional_mask, schema, show_text


class LoopMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GID_LoopMotion",
            display_name="Loop Motion",
            category=CATEGORY,
            description="Plays a spectral volume as a seamless loop: the frame after the last is the first. "
            "Slow or speed it up, and choose how many frames the loop has.",
            search_aliases=["seamless loop", "cinemagraph", "living photo", "slow motion", "sway", "endless"],
            inputs=[
                SpectralVolumeType.Input("spectral_volume", tooltip="The motion to loop."),
                io.Int.Input(
                    "num_frames",
                    default=0,
                    min=0,
                    max=100_000,
                    tooltip="Frames of the loop; 0 takes one natural period at this speed. Another number plays the "
                    "nearest whole number of periods in exactly that many frames.",
                ),
                io.Float.Input(
                    "speed",
                    default=1.0,
                    min=0.05,
                    max=8.0,
                    step=0.05,
                    tooltip="1 is natural speed, 0.5 is slow motion at half speed, 2 is double speed.",
                ),
                io.Float.Input(
                    "fps",
                    default=30.0,
                    min=1.0,
                    max=240.0,
                    step=0.01,
                    tooltip="Frames a second of the loop. It need not be the clip's: motion is smooth in time.",
                ),
            ],
            outputs=[
                MotionType.Output(
                    "motion", display_name="motion", tooltip="The looping motion, for Softmax Splat Render."
                ),
                io.Float.Output("frame_rate", display_name="fps", tooltip="Frames a second, for Create Video."),
                io.Int.Output("frame_count", display_name="frames", tooltip="Frames of the loop."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, spectral_volume, num_frames, speed, fps) -> io.NodeOutput:
        motion = loop(spectral_volume, num_frames or None, speed, fps)
        seconds = len(motion) / motion.fps
        cycles = max(1, round(seconds * speed / spectral_volume.duration))
        actual = cycles * spectral_volume.duration / seconds
        text = f"{len(motion)} frames, {seconds:.2f} s at {motion.fps:g} fps"
        if abs(actual / speed - 1) > 0.02:
            text += f"\nplays at {actual:.2f}x so that {cycles} period{'s' * (cycles > 1)} fit"
        show_text(text, cls.hidden.unique_id)
        return io.NodeOutput(motion, motion.fps, len(motion))


class AmplifyMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        def gain(name: str, tooltip: str):
            return io.Float.Input(name, default=1.0, min=-20.0, max=20.0, step=0.05, tooltip=tooltip)

        return schema(
            node_id="GID_AmplifyMotion",
            display_name="Amplify Motion",
            category=CATEGORY,
            description="Makes motion larger or smaller, as a whole, by frequency, and only where a mask is white.",
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
                gain(
                    "gain",
                    "Factor for all motion: 0 is still, 1 as it is, 2 twice as large, negative mirrored.",
                ),
                gain(
                    "slow_gain",
                    "Multiplies gain for the slowest motion; between the three, gains blend.",
                ),
                gain("middle_gain", "Multiplies gain for the middle frequencies."),
                gain("fast_gain", "Multiplies gain for the fastest motion; 0 calms flutter."),
                io.Float.Input(
                    "limit",
                    default=0.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    tooltip="Largest displacement of any pixel over the loop, in percent of the picture's width; "
                    "motion approaches it smoothly. 0 is no limit.",
                ),
                io.Float.Input(
                    "feather",
                    default=16.0,
                    min=0.0,
                    max=1024.0,
                    step=1.0,
                    tooltip="Width in mask pixels over which motion fades in, inside the white area from its edge.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="White moves, black stays still. Any size. For edges exact to the pixel, give the mask to "
                    "Softmax Splat Render.",
                ),
            ],
            outputs=[
                SpectralVolumeType.Output("changed", display_name="spectral volume", tooltip="The changed motion.")
            ],
        )

    @classmethod
    def execute(
        cls, spectral_volume, gain, slow_gain, middle_gain, fast_gain, limit, feather, mask=None
    ) -> io.NodeOutput:
        volume = spectral_volume.amplify(gain, (slow_gain, middle_gain, fast_gain))
        mask = optional_mask(mask, volume.size)
        if mask is not None:
            volume = volume.mask(mask, feather)
        if limit > 0:
            volume = limit_displacement(volume, limit / 100)
        return io.NodeOutput(volume)
