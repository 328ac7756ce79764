"""Loop Guidance."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..gid_core.models import loop_guidance as library
from ..gid_core.validation import check_choice
from .adapters import CATEGORY, GuidanceType, advanced, schema
from .input_checks import checks_inputs


class LoopGuidance(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="GID_LoopGuidance",
            display_name="Loop Guidance",
            category=CATEGORY,
            description="Sets how Predict Spectral Volume makes motion that loops without a jump at the seam. The "
            "bundled model's motion mostly loops by itself and stays nearly unchanged.",
            search_aliases=["seamless loop", "motion self-guidance", "crossfade", "loop closure"],
            inputs=[
                io.Combo.Input(
                    "mode",
                    options=list(library.MODES),
                    default="projection",
                    tooltip="projection: removes the jump with the smallest change; takes almost no time. crossfade: "
                    "blends the end into the beginning; the loop gets shorter. gradient: the paper's guidance in every "
                    "step; slow.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=4.0,
                    step=0.05,
                    tooltip="0 changes nothing; 1 suits nearly all motion.",
                ),
                advanced(
                    io.Int.Input(
                        "frames",
                        default=20,
                        min=1,
                        max=75,
                        tooltip="crossfade only: number of frames to blend. The loop gets shorter by as many frames.",
                    )
                ),
                advanced(
                    io.Float.Input(
                        "weight",
                        default=200.0,
                        min=0.0,
                        max=10_000.0,
                        step=10.0,
                        tooltip="gradient only: weight of the guidance in every step; 200 in the paper.",
                    )
                ),
                advanced(
                    io.Boolean.Input(
                        "during_sampling",
                        default=False,
                        optional=True,
                        tooltip="projection only: also project in the last fifth of the steps, so that the model can "
                        "correct side effects of the projection. These steps take longer.",
                    )
                ),
                advanced(
                    io.Combo.Input(
                        "constraint",
                        options=list(library.CONSTRAINTS),
                        default="natural",
                        optional=True,
                        tooltip="gradient only: natural makes the seam as large as a usual step between frames; "
                        "published is the paper's constraint, which leaves one frame without motion.",
                    )
                ),
                advanced(
                    io.Int.Input(
                        "recurrences",
                        default=2,
                        min=1,
                        max=8,
                        optional=True,
                        tooltip="gradient only: how often each step is repeated; 2 in the paper. The time grows with "
                        "it.",
                    )
                ),
                advanced(
                    io.Boolean.Input(
                        "through_network",
                        default=False,
                        optional=True,
                        tooltip="gradient only: compute gradients through the denoiser too, as in the paper. Several "
                        "times slower, and needs more memory.",
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
    @checks_inputs
    def execute(
        cls,
        mode: str,
        strength: float,
        frames: int,
        weight: float,
        during_sampling: bool = False,
        constraint: str = "natural",
        recurrences: int = 2,
        through_network: bool = False,
    ) -> io.NodeOutput:
        check_choice("constraint", constraint, library.CONSTRAINTS)  # also if the mode does not use it
        # The node always has all widgets; the library refuses settings of another mode.
        mode_settings: dict[str, dict[str, Any]] = {
            "projection": dict(during_sampling=during_sampling),
            "crossfade": dict(frames=frames),
            "gradient": dict(
                weight=weight, constraint=constraint, recurrences=recurrences, through_network=through_network
            ),
        }
        return io.NodeOutput(library.LoopGuidance(mode, strength, **mode_settings.get(mode, {})))
