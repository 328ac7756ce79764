"""Loop Guidance."""

from __future__ import annotations

from comfy_api.latest import io

from ..gid_core.models import loop_guidance as library
from .adapters import CATEGORY, GuidanceType, advanced, schema


class LoopGuidance(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GID_LoopGuidance",
            display_name="Loop Guidance",
            category=CATEGORY,
            description="How Predict Spectral Volume makes motion that closes its loop without a jerk. The shipped "
            "model's motion mostly does so by itself and comes out nearly unchanged.",
            search_aliases=["seamless loop", "motion self-guidance", "crossfade", "loop closure"],
            inputs=[
                io.Combo.Input(
                    "mode",
                    options=list(library.MODES),
                    default="projection",
                    tooltip="projection: the least change that takes the jerk away, at once. crossfade: the end fades "
                    "into the beginning; the loop gets shorter. gradient: the paper's, in every step, and slow.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=4.0,
                    step=0.05,
                    tooltip="0 changes nothing, 1 is right for nearly everything.",
                ),
                io.Int.Input(
                    "frames",
                    default=20,
                    min=1,
                    max=75,
                    tooltip="crossfade only: frames of the period that fade, and that the loop gets shorter by.",
                ),
                io.Float.Input(
                    "weight",
                    default=200.0,
                    min=0.0,
                    max=10_000.0,
                    step=10.0,
                    tooltip="gradient only: how hard every step is pulled; 200 in the paper.",
                ),
                advanced(
                    io.Boolean.Input(
                        "during_sampling",
                        default=False,
                        optional=True,
                        tooltip="projection only: also in the last fifth of the steps, so that the model can settle "
                        "what the projection upsets. These steps take longer.",
                    )
                ),
                advanced(
                    io.Combo.Input(
                        "constraint",
                        options=list(library.CONSTRAINTS),
                        default="natural",
                        optional=True,
                        tooltip="gradient only: a seam as wide as a natural step, or the paper's, with a frame of "
                        "standstill.",
                    )
                ),
                advanced(
                    io.Int.Input(
                        "recurrences",
                        default=2,
                        min=1,
                        max=8,
                        optional=True,
                        tooltip="gradient only: times that every step is taken; 2 in the paper. Time grows with it.",
                    )
                ),
                advanced(
                    io.Boolean.Input(
                        "through_network",
                        default=False,
                        optional=True,
                        tooltip="gradient only: take gradients through the denoiser too, as published. Several times "
                        "as slow, and needs more memory.",
                    )
                ),
            ],
            outputs=[
                GuidanceType.Output(
                    "loop_guidance", display_name="loop guidance", tooltip="For Predict Spectral Volume."
                )
            ],
        )

    @classmethod
    def execute(
        cls, mode, strength, frames, weight, during_sampling=False, constraint="natural", recurrences=2,
        through_network=False,
    ) -> io.NodeOutput:  # fmt: skip
        # The library refuses what is meant for another mode; a node has all its widgets in every mode.
        own = {
            "projection": dict(during_sampling=during_sampling),
            "crossfade": dict(frames=frames),
            "gradient": dict(
                weight=weight, constraint=constraint, recurrences=recurrences, through_network=through_network
            ),
        }
        return io.NodeOutput(library.LoopGuidance(mode, strength, **own.get(mode, {})))
