"""A motion model in one file: safetensors, with the config as JSON in its header."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from torch import Tensor

from ..media.atomic import atomic_write
from .config import ModelConfig
from .motion_model import MotionModel

FORMAT = "gid.motion_model"
FORMAT_VERSION = "1"
SHIPPED = Path(__file__).parent / "weights" / "gid-small.safetensors"


def save_model(path: str | os.PathLike, model: MotionModel, dtype: torch.dtype = torch.float16, **notes: str) -> Path:
    """Write a model; the file appears whole or not at all.

    Args:
        dtype: of the networks' weights in the file. Statistics (scales, latents' mean and deviation) stay float32.
        notes: further strings for the header, such as how it was trained.
    """
    from safetensors.torch import save

    path = Path(path)
    statistics = {name for name, _ in model.named_buffers() if name.startswith(("normalizer.", "autoencoder."))}
    tensors = {}
    for name, value in model.state_dict().items():
        keep = name in statistics or not value.is_floating_point()
        tensors[name] = value.detach().cpu().to(value.dtype if keep else dtype).contiguous()
    header = {**notes, "format": FORMAT, "version": FORMAT_VERSION, "config": json.dumps(model.config.to_dict())}
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(tensors, metadata=header))
    return path


def read_header(path: str | os.PathLike) -> dict[str, str]:
    """The header of a model's file, checked.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not safetensors, is cut short, holds something else, or is of a later version.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No motion model at {path}.")
    if path.suffix.lower() in (".ckpt", ".pt", ".pth", ".bin", ".pkl"):
        raise ValueError(f"{path.name} is a pickle, which can run code when it is read; give a .safetensors file.")
    try:
        with safe_open(path, framework="pt") as file:
            header, keys = dict(file.metadata() or {}), sorted(file.keys())
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path.name} cannot be read as safetensors; it is cut short or no such file ({error})."
        ) from None
    if header.get("format") != FORMAT:
        raise ValueError(
            f"{path.name} is not a motion model of this software but {_guess(keys, header)}. Choose a file that "
            "`gid train` (or save_model) wrote; the one that ships is gid-small."
        )
    if header.get("version") != FORMAT_VERSION:
        raise ValueError(
            f"{path.name} is a motion model of version {header.get('version')}; this software reads version "
            f"{FORMAT_VERSION}. Update it."
        )
    return header


def load_model(path: str | os.PathLike | None = None) -> MotionModel:
    """Read a model on the CPU in float32, frozen and in evaluation mode.

    Args:
        path: of the file. None: the checkpoint that ships.

    Raises:
        FileNotFoundError, ValueError: as `read_header`; also if tensors are missing or of another shape.
    """
    from safetensors.torch import load_file

    path = SHIPPED if path is None else Path(path)
    header = read_header(path)
    try:
        config = ModelConfig.from_dict(json.loads(header["config"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path.name} has no usable config: {error}") from None
    # Tensors made in inference mode, in which ComfyUI runs nodes, can never take part in gradients.
    with torch.inference_mode(False):
        model = MotionModel(config)
        fill_model(model, load_file(path), path.name)
    return model.requires_grad_(False).eval()


def fill_model(model: MotionModel, tensors: dict[str, Tensor], source: str) -> None:
    """Put all tensors into a model.

    Raises:
        ValueError: naming what is missing, left over, or of another shape.
    """
    state = model.state_dict()
    problems = [f"{name} is missing" for name in state if name not in tensors]
    problems += [f"{name} is unknown" for name in tensors if name not in state]
    problems += [
        f"{name} is {list(tensors[name].shape)} instead of {list(value.shape)}"
        for name, value in state.items()
        if name in tensors and tensors[name].shape != value.shape
    ]
    if problems:
        raise ValueError(f"{source} does not hold the networks of its config: {'; '.join(problems[:3])}.")
    model.load_state_dict({name: tensors[name].to(value.dtype) for name, value in state.items()})


def _guess(keys: list[str], header: dict[str, str]) -> str:
    """What a foreign file seems to be, for the error."""
    if header.get("format", "").startswith("gid."):
        return f"a file of kind {header['format']!r}"
    if any("lora" in key.lower() for key in keys):
        return "a LoRA"
    if any(key.startswith(("model.diffusion_model.", "cond_stage_model.", "first_stage_model.")) for key in keys):
        return "a Stable Diffusion checkpoint"
    return f"something that holds {', '.join(keys[:3]) or 'nothing'}{' and more' if len(keys) > 3 else ''}"
