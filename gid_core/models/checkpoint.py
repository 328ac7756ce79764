"""A motion model in one safetensors file, with the config as JSON in its header."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..media.atomic import atomic_write
from ..tensors import check_weights_dtype
from ..validation import check_instance, check_path
from .checkpoint_v1 import convert_config, convert_tensors
from .config import ModelConfig
from .motion_model import MotionModel

FORMAT = "gid.motion_model"
FORMAT_VERSION = "2"
READABLE_VERSIONS = ("1", FORMAT_VERSION)
PICKLE_SUFFIXES = (".ckpt", ".pt", ".pth", ".bin", ".pkl")
BUNDLED_CHECKPOINT = Path(__file__).parent / "weights" / "gid-small.safetensors"

logger = logging.getLogger(__name__)


def save_model(path: str | os.PathLike, model: MotionModel, dtype: torch.dtype = torch.float16, **notes: str) -> Path:
    """Write a model to a file. The file is complete or does not exist (`atomic_write`).

    Args:
        dtype: of the networks' weights in the file. Statistics (frequency scales, mean and standard deviation of the
            latents) stay float32.
        notes: more strings for the header, such as how the model was trained.

    Raises:
        FileNotFoundError: if the folder does not exist.
        ValueError: for another model, dtype or path, or notes that are not strings.
    """
    from safetensors.torch import save

    path = check_path("path", path)
    check_instance("model", model, MotionModel, "a MotionModel, see load_model")
    check_weights_dtype(dtype)
    for name, text in notes.items():
        check_instance(name, text, str, "a string, as all notes in a file's header")
    statistics = {name for name, _ in model.named_buffers() if name.startswith(("normalizer.", "autoencoder."))}
    tensors = {}
    for name, value in model.state_dict().items():
        keep_dtype = name in statistics or not value.is_floating_point()
        tensors[name] = value.detach().cpu().to(value.dtype if keep_dtype else dtype).contiguous()
    header = {**notes, "format": FORMAT, "version": FORMAT_VERSION, "config": json.dumps(model.config.to_dict())}
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(tensors, metadata=header))
    return path


def read_header(path: str | os.PathLike) -> dict[str, str]:
    """Read and check the header of a model's file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is not safetensors, is truncated, is no motion model, or has another version.
    """
    from safetensors import SafetensorError, safe_open

    path = check_path("path", path)
    if not path.is_file():
        raise FileNotFoundError(f"No motion model at {path}.")
    if path.suffix.lower() in PICKLE_SUFFIXES:
        raise ValueError(f"{path.name} is a pickle, which can run code when it is loaded. Use a .safetensors file.")
    try:
        with safe_open(path, framework="pt") as file:
            header, keys = dict(file.metadata() or {}), sorted(file.keys())
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path.name} cannot be read as safetensors; it is truncated or of another format ({error})."
        ) from None
    if header.get("format") != FORMAT:
        raise ValueError(
            f"{path.name} is not a motion model of this software but {_describe_file(keys, header)}. Choose a file "
            "that `gid train` (or save_model) wrote; the bundled model is gid-small."
        )
    if header.get("version") not in READABLE_VERSIONS:
        raise ValueError(
            f"{path.name} is a motion model of version {header.get('version')}; this software reads versions "
            f"{' and '.join(READABLE_VERSIONS)}. Update it."
        )
    return header


def load_model(path: str | os.PathLike | None = None) -> MotionModel:
    """Load a model on the CPU in float32, frozen and in evaluation mode.

    A file of version 1 is converted (see `checkpoint_v1`) and logged at level INFO.

    Args:
        path: of the file. None loads the bundled checkpoint.

    Raises:
        FileNotFoundError, ValueError: as `read_header`; also if tensors are missing or have another shape.
    """
    from safetensors.torch import load_file

    path = BUNDLED_CHECKPOINT if path is None else check_path("path", path)
    header = read_header(path)
    outdated = header["version"] != FORMAT_VERSION
    if outdated:
        logger.info("%s is a motion model of version %s; its names are converted.", path.name, header["version"])
    try:
        values = json.loads(header["config"])
        config = ModelConfig.from_dict(convert_config(values) if outdated else values)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path.name} has no usable config: {error}") from None
    # ComfyUI runs nodes in inference mode. Tensors that are created in it can never take part in gradients.
    with torch.inference_mode(False):
        with torch.device("meta"):  # no memory and no random numbers for weights that the file replaces
            model = MotionModel(config)
        tensors = load_file(path)
        load_tensors(model, convert_tensors(tensors) if outdated else tensors, path.name)
    return model.requires_grad_(False).eval()


def load_tensors(model: MotionModel, tensors: Mapping[str, Tensor], source: str) -> None:
    """Replace all tensors of a model by copies of these; an error leaves the model unchanged.

    Args:
        source: what to call the tensors' origin in an error.

    Raises:
        ValueError: naming tensors that are missing, unknown, or of another shape.
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
    copies = {name: tensors[name].to(value.dtype, copy=True) for name, value in state.items()}
    model.load_state_dict(copies, assign=True)


def _describe_file(keys: list[str], header: dict[str, str]) -> str:
    """What another software's file seems to be, for the error."""
    if header.get("format", "").startswith("gid."):
        return f"a file of kind {header['format']!r}"
    if any("lora" in key.lower() for key in keys):
        return "a LoRA"
    if any(key.startswith(("model.diffusion_model.", "cond_stage_model.", "first_stage_model.")) for key in keys):
        return "a Stable Diffusion checkpoint"
    return f"something that holds {', '.join(keys[:3]) or 'nothing'}{' and more' if len(keys) > 3 else ''}"
