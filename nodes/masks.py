"""Masks of Load Image: a picture without alpha has none, and Load Image gives a black one of 64 x 64 pixels instead."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import folder_paths
from PIL import Image
from torch import Tensor

NODE_CLASSES = import_module("nodes").NODE_CLASS_MAPPINGS  # of ComfyUI's module, which has the name of this folder
PLACEHOLDER_SIZE = (64, 64)
CARRIERS = {"MASK", "IMAGE", "*"}  # types of outputs that may carry a mask


def optional_mask(mask: Tensor | None, hidden: Any, name: str = "mask") -> Tensor | None:
    """The mask of an input, or None if nothing is connected or the mask stands for none.

    A black mask of 64 x 64 pixels stands for none only where it comes from a node such as Load Image, directly or
    through nodes that change masks. A black mask of any other origin is one: nothing may move.

    Args:
        mask: the value of the input.
        hidden: the node's hidden inputs, with `dynprompt` and `unique_id`.
        name: of the input.
    """
    if mask is None or tuple(mask.shape[-2:]) != PLACEHOLDER_SIZE or bool(mask.any()):
        return mask
    link = hidden.dynprompt.get_node(hidden.unique_id)["inputs"].get(name)
    return None if _is_link(link) and _is_placeholder(hidden.dynprompt, link) else mask


def _is_link(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2


def _output_types(prompt: Any, node_id: str) -> list[Any]:
    return list(NODE_CLASSES[prompt.get_node(node_id)["class_type"]].RETURN_TYPES)


def _is_placeholder(prompt: Any, link: list) -> bool:
    """Whether an output is a mask that Load Image made for a picture without alpha, or was made of such masks only."""
    node_id, output = link
    inputs = prompt.get_node(node_id)["inputs"]
    sources = [value for value in inputs.values() if _is_link(value) and _carries_mask(prompt, value)]
    if sources:
        return all(_is_placeholder(prompt, source) for source in sources)
    types = _output_types(prompt, node_id)
    loads_picture = types[output] == "MASK" and "IMAGE" in types
    return loads_picture and not _has_alpha(inputs.get("image"))


def _carries_mask(prompt: Any, link: list) -> bool:
    kind = _output_types(prompt, link[0])[link[1]]
    return isinstance(kind, str) and not CARRIERS.isdisjoint(kind.split(","))


def _has_alpha(file: Any) -> bool:
    """Whether Load Image's file has alpha: its mask is then real, also if the picture is opaque and 64 x 64."""
    try:
        with Image.open(folder_paths.get_annotated_filepath(file)) as picture:
            return "A" in picture.getbands() or "transparency" in picture.info
    except (OSError, TypeError, AttributeError, ValueError):
        return False  # loaded in another way: what else a black 64 x 64 mask means cannot be known
