"""A node pack for the tests' server: Any Value outputs what a Python expression says, on a wire that fits everywhere.

Nodes of other packs have such wires; through them, values reach this pack's nodes that ComfyUI does not check.
"""

import math
import types

import torch
from comfy.comfy_types import IO


class AnyValue:
    """Evaluates `expression`, which may use torch, math and types."""

    RETURN_TYPES, FUNCTION, CATEGORY = (IO.ANY,), "evaluate", "testing"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"expression": ("STRING", {})}}

    def evaluate(self, expression):
        return (eval(expression, {"torch": torch, "math": math, "types": types}),)  # noqa: S307


NODE_CLASS_MAPPINGS = {"TestAnyValue": AnyValue}
