"""Modal Force, Wind Force and Audio Force."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..gid_core.dynamics.audio import from_audio
from ..gid_core.dynamics.oscillators import INTEGRATORS, Damping
from ..gid_core.dynamics.poke import poke
from ..gid_core.dynamics.poke_list import parse_pokes
from ..gid_core.dynamics.wind import MAX_SEED, wind
from ..gid_core.motion import Motion
from ..gid_core.spectral_volume import SpectralVolume
from .adapters import (
    CATEGORY,
    advanced,
    as_volume,
    duration_text,
    fps_input,
    motion_outputs,
    schema,
    seed_input,
    speed_input,
    volume_input,
    warnings_on_node,
)
from .input_checks import checks_inputs
from .live_preview import save_live_packet

# Schema fields of nodes with a live view. ComfyUI sends cached results to a new page only for output nodes.
LIVE_VIEW_FLAGS = {"has_intermediate_output": True, "is_output_node": True}
MOTION_TOOLTIP, COUNT_TOOLTIP = "The motion, for Softmax Splat Render.", "Number of frames of the motion."
SPEED_TOOLTIP = "How fast things swing: 1 is natural, 0.5 is half as fast, as if they were larger and heavier."


class ModalForce(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="GID_ModalForce",
            display_name="Modal Force",
            category=CATEGORY,
            description="Pulls points of the photo and releases them; the objects swing and come to rest. Run the "
            "workflow once, then drag in the node's live view. Each drag becomes a poke.",
            search_aliases=["poke", "pull", "interactive dynamics", "drag", "spring", "pluck", "simulate", "wobble"],
            inputs=[
                volume_input("How the photo can move. It must hold one photo's motion."),
                advanced(
                    io.String.Input(
                        "pokes",
                        default="[]",
                        multiline=True,
                        tooltip="The pokes as a JSON list; dragging in the live view writes it. x, y: the point. dx, "
                        "dy: how far it is pulled. All four are fractions of width and height. time: when the pull "
                        "starts, in seconds. hold: seconds until the release.",
                    )
                ),
                _num_frames_input(120),
                advanced(fps_input("Frames per second.")),
                _strength_input("Factor for every pull: 0 gives no motion, 1 pulls as far as drawn, 2 twice as far."),
                _damping_input(),
                speed_input(SPEED_TOOLTIP),
                _image_input(),
                *_physics_inputs(),
                _integrator_input(),
            ],
            outputs=motion_outputs(MOTION_TOOLTIP, COUNT_TOOLTIP),
            hidden=[io.Hidden.unique_id],
            **LIVE_VIEW_FLAGS,
        )

    @classmethod
    def validate_inputs(cls, pokes: str | None) -> bool | str:
        try:
            parse_pokes(pokes or "")  # None if the value comes through a link
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    @checks_inputs
    def execute(
        cls,
        spectral_volume: SpectralVolume,
        pokes: str,
        num_frames: int,
        fps: float,
        strength: float,
        damping: float,
        speed: float,
        image: Tensor | None = None,
        alpha: float = 0.4,
        beta: float = 0.08,
        damping_ratio: float = 0.0,
        max_displacement: float = 25.0,
        integrator: str = "exact",
    ) -> io.NodeOutput:
        with warnings_on_node(cls.hidden.unique_id) as lines:
            motion = poke(
                as_volume(spectral_volume),
                parse_pokes(pokes),
                num_frames=num_frames,
                fps=fps,
                strength=strength,
                speed=speed,
                integrator=integrator,
                **_physics_arguments(damping, alpha, beta, damping_ratio, max_displacement),
            )
            lines.append(duration_text(motion))
        return _node_output(motion, spectral_volume, image)


class Wind(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="GID_Wind",
            display_name="Wind Force",
            category=CATEGORY,
            description="Moves the photo with wind: a breeze with gusts and lulls in any direction, without an end or "
            "as a seamless loop. Run the workflow once, then drag in the node's live view to set the wind.",
            search_aliases=["breeze", "gust", "sway", "storm", "turbulence", "blow", "living photo", "animate photo"],
            inputs=[
                volume_input("How the photo can move."),
                advanced(
                    _direction_input(
                        "Direction that the wind blows to, in degrees: 0 is right, 90 down, 180 left, -90 up."
                    )
                ),
                _strength_input("How far things sway: 0 gives no motion, 1 as far as Loop Motion, 2 twice as far."),
                advanced(
                    io.Float.Input(
                        "gustiness",
                        default=0.5,
                        min=0.0,
                        max=1.0,
                        step=0.05,
                        tooltip="0 is a steady breeze, 1 has strong gusts and lulls.",
                    )
                ),
                _num_frames_input(300),
                advanced(fps_input("Frames per second.")),
                advanced(seed_input("Each seed gives a different wind; the same seed gives the same wind.", MAX_SEED)),
                io.Boolean.Input(
                    "loop",
                    default=False,
                    tooltip="Off: the motion starts with the photo at rest, then the wind rises. On: a seamless loop, "
                    "whose first frame is already in motion.",
                ),
                advanced(_damping_input(optional=True)),
                advanced(speed_input(SPEED_TOOLTIP, optional=True)),
                _image_input(),
                *_physics_inputs(),
                _integrator_input(),
            ],
            outputs=motion_outputs(MOTION_TOOLTIP, COUNT_TOOLTIP),
            hidden=[io.Hidden.unique_id],
            **LIVE_VIEW_FLAGS,
        )

    @classmethod
    @checks_inputs
    def execute(
        cls,
        spectral_volume: SpectralVolume,
        direction: float,
        strength: float,
        gustiness: float,
        num_frames: int,
        fps: float,
        seed: int,
        loop: bool,
        damping: float = 1.0,
        speed: float = 1.0,
        image: Tensor | None = None,
        alpha: float = 0.4,
        beta: float = 0.08,
        damping_ratio: float = 0.0,
        max_displacement: float = 25.0,
        integrator: str = "exact",
    ) -> io.NodeOutput:
        with warnings_on_node(cls.hidden.unique_id) as lines:
            motion = wind(
                as_volume(spectral_volume),
                direction_degrees=direction,
                strength=strength,
                gustiness=gustiness,
                num_frames=num_frames,
                fps=fps,
                seed=seed,
                loops=loop,
                speed=speed,
                integrator=integrator,
                **_physics_arguments(damping, alpha, beta, damping_ratio, max_displacement),
            )
            lines.append(duration_text(motion))
        return _node_output(motion, spectral_volume, image)


class AudioForce(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        def seconds_input(name: str, default: float, tooltip: str) -> io.Input:
            return advanced(io.Float.Input(name, default=default, min=0.0, max=10.0, step=0.01, tooltip=tooltip))

        return schema(
            node_id="GID_AudioForce",
            display_name="Audio Force",
            category=CATEGORY,
            description="Moves the photo to audio: low notes drive slow motion, high notes drive fast motion, and the "
            "motion rings on after each beat.",
            search_aliases=["sound reactive", "audio reactive", "music", "beat", "dance", "visualizer", "voice"],
            inputs=[
                volume_input("How the photo can move."),
                io.Audio.Input(
                    "audio", tooltip="The audio. Its overall volume does not matter, only how loudness changes."
                ),
                _direction_input(
                    "Direction in which loud moments push, in degrees: 0 is right, 90 down, 180 left, -90 up."
                ),
                _strength_input(
                    "How far the loudest moment moves things: 0 gives no motion, 1 about as far as Loop Motion, 2 "
                    "twice as far."
                ),
                seconds_input("attack", 0.02, "Seconds that the force takes to rise when the audio gets louder."),
                seconds_input("release", 0.25, "Seconds that the force takes to fall when the audio gets softer."),
                advanced(fps_input("Frames per second.")),
                io.Int.Input(
                    "num_frames",
                    default=0,
                    min=0,
                    max=100_000,
                    tooltip="Number of frames; 0 covers the whole audio. After the end of the audio the motion fades.",
                ),
                _damping_input(),
                advanced(speed_input(SPEED_TOOLTIP, optional=True)),
                *_physics_inputs(),
                _integrator_input(),
            ],
            outputs=motion_outputs(MOTION_TOOLTIP, COUNT_TOOLTIP),
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @checks_inputs
    def execute(
        cls,
        spectral_volume: SpectralVolume,
        audio: Mapping[str, Any],
        direction: float,
        strength: float,
        attack: float,
        release: float,
        fps: float,
        num_frames: int,
        damping: float,
        speed: float = 1.0,
        alpha: float = 0.4,
        beta: float = 0.08,
        damping_ratio: float = 0.0,
        max_displacement: float = 25.0,
        integrator: str = "exact",
    ) -> io.NodeOutput:
        sound: dict[str, Any] = {"waveform": None, "sample_rate": None, **audio}
        with warnings_on_node(cls.hidden.unique_id) as lines:
            motion = from_audio(
                as_volume(spectral_volume),
                sound["waveform"],
                sound["sample_rate"],
                num_frames=num_frames or None,
                fps=fps,
                direction_degrees=direction,
                strength=strength,
                attack=attack,
                release=release,
                speed=speed,
                integrator=integrator,
                **_physics_arguments(damping, alpha, beta, damping_ratio, max_displacement),
            )
            lines.append(duration_text(motion))
        return _node_output(motion)


# -- shared inputs and outputs -----------------------------------------------------------------------------------------


def _direction_input(tooltip: str) -> io.Input:
    return io.Float.Input("direction", default=0.0, min=-360.0, max=360.0, step=1.0, tooltip=tooltip)


def _num_frames_input(default: int) -> io.Input:
    return io.Int.Input("num_frames", default=default, min=1, max=100_000, tooltip="Number of frames.")


def _strength_input(tooltip: str) -> io.Input:
    return io.Float.Input("strength", default=1.0, min=0.0, max=10.0, step=0.05, tooltip=tooltip)


def _damping_input(**options: Any) -> io.Input:
    return io.Float.Input(
        "damping",
        default=1.0,
        min=0.0,
        max=20.0,
        step=0.05,
        tooltip="How fast swings die out; a factor for alpha and beta. 1 is natural, 0.3 swings long, 5 moves like "
        "honey.",
        **options,
    )


def _image_input() -> io.Input:
    return io.Image.Input("image", optional=True, tooltip="The photo, only for the live view in this node.")


def _physics_inputs() -> list[io.Input]:
    """Advanced inputs for `_physics_arguments`."""

    def number_input(name: str, default: float, low: float, high: float, step: float, tooltip: str) -> io.Input:
        return advanced(
            io.Float.Input(name, default=default, min=low, max=high, step=step, optional=True, tooltip=tooltip)
        )

    return [
        number_input("alpha", 0.4, 0, 100, 0.01, "Damping of all frequencies equally, in 1/s; 0.4 in the paper."),
        number_input(
            "beta", 0.08, 0, 10, 0.001, "Damping that grows with the frequency squared, in s; 0.08 in the paper."
        ),
        number_input(
            "damping_ratio",
            0.0,
            0,
            10,
            0.01,
            "One damping ratio for all frequencies; it replaces damping, alpha and beta. 0.05 swings long, 1 returns "
            "without swinging. 0 uses those three inputs.",
        ),
        number_input(
            "max_displacement",
            25.0,
            0.1,
            100,
            0.1,
            "Soft limit of the displacement of any pixel, in percent of the image's width.",
        ),
    ]


def _integrator_input() -> io.Input:
    return advanced(
        io.Combo.Input(
            "integrator",
            options=list(INTEGRATORS),
            default="exact",
            optional=True,
            tooltip="exact does not depend on the frame rate. The two Euler methods are for comparison (explicit_euler "
            "is the paper's); the node refuses them if they would diverge.",
        )
    )


def _physics_arguments(
    damping: float, alpha: float, beta: float, damping_ratio: float, max_displacement: float
) -> dict[str, Any]:
    """Convert the values of `_physics_inputs` and `damping` to arguments of the library."""
    return {
        "damping": Damping(damping * alpha, damping * beta, damping_ratio or None),
        "max_displacement": max_displacement / 100,
    }


def _node_output(motion: Motion, volume: SpectralVolume | None = None, image: Tensor | None = None) -> io.NodeOutput:
    """The outputs of a force; with a volume, also the packet for the live widget in the page."""
    ui = None if volume is None else {"gid_live": [{"digest": save_live_packet(volume, image, motion)}]}
    return io.NodeOutput(motion, motion.fps, len(motion), ui=ui)
