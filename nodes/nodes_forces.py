"""Modal Force, Wind Force and Audio Force."""

from __future__ import annotations

from collections.abc import Mapping

from comfy_api.latest import io

from ..gid_core.dynamics.audio import from_audio
from ..gid_core.dynamics.oscillators import INTEGRATORS, Damping
from ..gid_core.dynamics.poke import parse_pokes, poke
from ..gid_core.dynamics.wind import MAX_SEED, wind
from ..gid_core.motion import Motion
from .adapters import CATEGORY, MotionType, SpectralVolumeType, advanced, schema, warnings_on_node
from .live_preview import publish

# Of nodes with a live picture. Only of output nodes does ComfyUI send again, to a new page, what it has cached.
LIVE = {"has_intermediate_output": True, "is_output_node": True}


class ModalForce(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GID_ModalForce",
            display_name="Modal Force",
            category=CATEGORY,
            description="Pulls points of the photo and lets go, and what it shows swings and comes to rest. Run the "
            "workflow once, then drag in the node's live picture; every drag is kept as a poke.",
            search_aliases=["poke", "pull", "interactive dynamics", "drag", "spring", "pluck", "simulate", "wobble"],
            inputs=[
                SpectralVolumeType.Input("spectral_volume", tooltip="How the photo can move. Of one photo."),
                io.String.Input(
                    "pokes",
                    default="[]",
                    multiline=True,
                    tooltip="The pokes as a JSON list, which dragging in the live picture writes. x, y: the point; dx, "
                    "dy: how far it is pulled, all in fractions of width and height; time: when, in seconds; hold: "
                    "seconds until it is let go.",
                ),
                _num_frames(120),
                _fps(),
                _strength("Factor of every pull: 0 is still, 1 as it was drawn, 2 twice as far."),
                _damping(),
                _speed(),
                _image(),
                *_physics(),
                _integrator(),
            ],
            outputs=_outputs(),
            hidden=[io.Hidden.unique_id],
            **LIVE,
        )

    @classmethod
    def validate_inputs(cls, pokes):
        try:
            parse_pokes(pokes or "")  # None: it comes over a link
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def execute(
        cls, spectral_volume, pokes, num_frames, fps, strength, damping, speed, image=None, alpha=0.4, beta=0.08,
        damping_ratio=0.0, max_displacement=25.0, integrator="exact",
    ) -> io.NodeOutput:  # fmt: skip
        with warnings_on_node(cls.hidden.unique_id) as lines:
            motion = poke(
                spectral_volume,
                parse_pokes(pokes),
                num_frames,
                fps,
                strength=strength,
                speed=speed,
                integrator=integrator,
                **_library_physics(damping, alpha, beta, damping_ratio, max_displacement),
            )
            lines.append(_length(motion))
        return _result(motion, spectral_volume, image)


class Wind(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GID_Wind",
            display_name="Wind Force",
            category=CATEGORY,
            description="Blows on the photo: a breeze with gusts and lulls from any direction, endless or as a "
            "seamless loop. Run the workflow once, then drag in the node's live picture to turn the wind.",
            search_aliases=["breeze", "gust", "sway", "storm", "turbulence", "blow", "living photo", "animate photo"],
            inputs=[
                SpectralVolumeType.Input("spectral_volume", tooltip="How the photo can move."),
                _direction("Where the wind blows to, in degrees: 0 is to the right, 90 down, 180 to the left, -90 up."),
                _strength("How far it sways: 0 is still, 1 as far as Loop Motion, 2 twice as far."),
                io.Float.Input(
                    "gustiness",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="0 is an even breeze, 1 has strong gusts and lulls.",
                ),
                _num_frames(300),
                _fps(),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=MAX_SEED - 1,
                    control_after_generate=True,
                    tooltip="Another seed, another wind. The same seed gives the same wind again.",
                ),
                io.Boolean.Input(
                    "loop",
                    default=False,
                    tooltip="Off: begins with the photo at rest, and the wind rises. On: a seamless loop, whose first "
                    "frame is already in motion.",
                ),
                advanced(_damping(optional=True)),
                advanced(_speed(optional=True)),
                _image(),
                *_physics(),
                _integrator(),
            ],
            outputs=_outputs(),
            hidden=[io.Hidden.unique_id],
            **LIVE,
        )

    @classmethod
    def execute(
        cls, spectral_volume, direction, strength, gustiness, num_frames, fps, seed, loop, damping=1.0, speed=1.0,
        image=None, alpha=0.4, beta=0.08, damping_ratio=0.0, max_displacement=25.0, integrator="exact",
    ) -> io.NodeOutput:  # fmt: skip
        with warnings_on_node(cls.hidden.unique_id) as lines:
            motion = wind(
                spectral_volume,
                direction,
                strength,
                gustiness,
                num_frames,
                fps,
                seed,
                loop,
                speed=speed,
                integrator=integrator,
                **_library_physics(damping, alpha, beta, damping_ratio, max_displacement),
            )
            lines.append(_length(motion))
        return _result(motion, spectral_volume, image)


class AudioForce(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        def seconds(name: str, default: float, tooltip: str):
            return io.Float.Input(name, default=default, min=0.0, max=10.0, step=0.01, tooltip=tooltip)

        return schema(
            node_id="GID_AudioForce",
            display_name="Audio Force",
            category=CATEGORY,
            description="Moves the photo to a sound: low notes drive slow motion, high notes fast motion, and every "
            "beat rings on for a while.",
            search_aliases=["sound reactive", "audio reactive", "music", "beat", "dance", "visualizer", "voice"],
            inputs=[
                SpectralVolumeType.Input("spectral_volume", tooltip="How the photo can move."),
                io.Audio.Input(
                    "audio", tooltip="The sound. How loud it is does not matter, only how loudness changes."
                ),
                _direction("Where a loud moment pushes, in degrees: 0 is to the right, 90 down, 180 left, -90 up."),
                _strength("How far the loudest moment moves it: 0 is still, 1 about as far as Loop Motion, 2 twice."),
                seconds("attack", 0.02, "Seconds in which the motion follows when it gets louder."),
                seconds("release", 0.25, "Seconds in which the push lets go when it gets softer."),
                _fps(),
                io.Int.Input(
                    "num_frames",
                    default=0,
                    min=0,
                    max=100_000,
                    tooltip="Frames to make; 0 takes the whole sound. After its end the motion rings down.",
                ),
                _damping(),
                advanced(_speed(optional=True)),
                *_physics(),
                _integrator(),
            ],
            outputs=_outputs(),
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls, spectral_volume, audio, direction, strength, attack, release, fps, num_frames, damping, speed=1.0,
        alpha=0.4, beta=0.08, damping_ratio=0.0, max_displacement=25.0, integrator="exact",
    ) -> io.NodeOutput:  # fmt: skip
        if not isinstance(audio, Mapping) or audio.get("waveform") is None:
            raise ValueError("The audio input brings no sound: a video without a sound track, for example.")
        with warnings_on_node(cls.hidden.unique_id) as lines:
            motion = from_audio(
                spectral_volume,
                audio["waveform"],
                audio["sample_rate"],
                num_frames or None,
                fps,
                direction,
                strength,
                attack,
                release,
                speed=speed,
                integrator=integrator,
                **_library_physics(damping, alpha, beta, damping_ratio, max_displacement),
            )
            lines.append(_length(motion))
        return _result(motion)


# -- what the three have in common -------------------------------------------------------------------------------------


def _direction(tooltip: str):
    return io.Float.Input("direction", default=0.0, min=-360.0, max=360.0, step=1.0, tooltip=tooltip)


def _num_frames(default: int):
    return io.Int.Input("num_frames", default=default, min=1, max=100_000, tooltip="Frames to make.")


def _fps():
    return io.Float.Input("fps", default=30.0, min=1.0, max=240.0, step=0.01, tooltip="Frames a second.")


def _strength(tooltip: str):
    return io.Float.Input("strength", default=1.0, min=0.0, max=10.0, step=0.05, tooltip=tooltip)


def _damping(**options):
    return io.Float.Input(
        "damping",
        default=1.0,
        min=0.0,
        max=20.0,
        step=0.05,
        tooltip="How soon it comes to rest; a factor of alpha and beta. 1 is natural, 0.3 swings long, 5 is honey.",
        **options,
    )


def _speed(**options):
    return io.Float.Input(
        "speed",
        default=1.0,
        min=0.05,
        max=8.0,
        step=0.05,
        tooltip="How fast it swings: 1 is natural, 0.5 half as fast, as if it were larger and heavier.",
        **options,
    )


def _image():
    return io.Image.Input("image", optional=True, tooltip="The photo, for the live picture in this node only.")


def _physics() -> list:
    """Advanced inputs that `_library_physics` takes."""

    def number(name: str, default: float, low: float, high: float, step: float, tooltip: str):
        return advanced(
            io.Float.Input(name, default=default, min=low, max=high, step=step, optional=True, tooltip=tooltip)
        )

    return [
        number("alpha", 0.4, 0, 100, 0.01, "Damping of all frequencies alike, in 1/s; 0.4 in the paper."),
        number("beta", 0.08, 0, 10, 0.001, "Damping that grows with frequency squared, in s; 0.08 in the paper."),
        number(
            "damping_ratio",
            0.0,
            0,
            10,
            0.01,
            "One damping ratio for every frequency, in place of damping, alpha and beta: 0.05 swings long, 1 returns "
            "without swinging. 0: use those three.",
        ),
        number(
            "max_displacement",
            25.0,
            0.1,
            100,
            0.1,
            "Softly limits how far any pixel is moved, in percent of the picture's width.",
        ),
    ]


def _integrator():
    return advanced(
        io.Combo.Input(
            "integrator",
            options=list(INTEGRATORS),
            default="exact",
            optional=True,
            tooltip="exact does not depend on the frame rate. The two Euler methods, explicit_euler as in the paper, "
            "are for comparison: they are refused where they would blow up.",
        )
    )


def _outputs() -> list:
    return [
        MotionType.Output("motion", display_name="motion", tooltip="The motion, for Softmax Splat Render."),
        io.Float.Output("frame_rate", display_name="fps", tooltip="Frames a second, for Create Video."),
        io.Int.Output("frame_count", display_name="frames", tooltip="Frames of the motion."),
    ]


def _library_physics(damping, alpha, beta, damping_ratio, max_displacement) -> dict:
    """Arguments of the library for the widgets of `_physics` and damping."""
    return {
        "damping": Damping(damping * alpha, damping * beta, damping_ratio or None),
        "max_displacement": max_displacement / 100,
    }


def _length(motion: Motion) -> str:
    return f"{len(motion)} frames, {len(motion) / motion.fps:.2f} s at {motion.fps:g} fps"


def _result(motion: Motion, volume=None, image=None) -> io.NodeOutput:
    """The outputs; with a volume, also what the live widget in the page shows."""
    live = None if volume is None else {"gid_live": [{"digest": publish(volume, image)}]}
    return io.NodeOutput(motion, motion.fps, len(motion), ui=live)
