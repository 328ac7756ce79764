"""Types of what nodes get. ComfyUI checks no value of a custom wire, and none that comes through a link."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from comfy_api.latest import Input, io
from torch import Tensor

from ..gid_core.models.loop_guidance import LoopGuidance
from ..gid_core.motion import Motion
from ..gid_core.spectral_volume import SpectralVolume
from ..gid_core.validation import check_flag, check_instance, check_integer, check_number

WIDGET_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "INT": check_integer,
    "FLOAT": check_number,
    "BOOLEAN": check_flag,
    "STRING": lambda name, value: check_instance(name, value, str, "text"),
    "COMBO": lambda name, value: check_instance(name, value, str, "one of the input's options, as text"),
}


def checks_inputs(execute: Callable[..., io.NodeOutput]) -> Callable[..., io.NodeOutput]:
    """Decorator of a node's `execute`: values of another type than the schema's inputs are refused.

    Ranges are left to the library, since a link may bring more than a widget allows.

    Raises:
        ValueError: with the input's name, what it takes, and what it got.
    """

    @wraps(execute)
    def checked(cls: type[io.ComfyNode], **values: Any) -> io.NodeOutput:
        inputs = {each.id: each for each in cls.define_schema().inputs}
        return execute(cls, **{name: _checked(inputs[name], value) for name, value in values.items()})

    return checked


def _checked(node_input: io.Input, value: Any) -> Any:
    kinds = node_input.get_io_type().split(",")
    if kinds[0] in WIDGET_CHECKS:
        return WIDGET_CHECKS[kinds[0]](node_input.id, value)
    if value is None and node_input.optional:
        return None
    wires = _wires()
    types, meanings = zip(*(wires[kind] for kind in kinds), strict=True)
    return check_instance(node_input.id, value, types, " or ".join(meanings))


def _wires() -> dict[str, tuple[type, str]]:
    """The class of the values on each wire, and what to call them, by the wire's type."""
    from .nodes_model import ManagedPipeline  # it imports this module

    return {
        "IMAGE": (Tensor, "an image"),
        "MASK": (Tensor, "a mask"),
        "VIDEO": (Input.Video, "a video"),
        "AUDIO": (Mapping, "audio (a video without a sound track holds no audio)"),
        "GID_SPECTRAL_VOLUME": (SpectralVolume, "a spectral volume"),
        "GID_MOTION": (Motion, "a motion"),
        "GID_MODEL": (ManagedPipeline, "a model from Load GID Model"),
        "GID_GUIDANCE": (LoopGuidance, "the settings of Loop Guidance"),
    }
