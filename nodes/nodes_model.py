"""Load GID Model, and the motion model as ComfyUI's memory management holds it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path

import comfy.model_management as model_management
import comfy.model_patcher
import folder_paths
import torch
from comfy_api.latest import io
from torch import nn

from ..gid_core.models.checkpoint import SHIPPED, read_header
from .adapters import CATEGORY, ModelType, advanced, logger, schema

FOLDER = "gid"
SUFFIX = ".safetensors"
MARK = " (shipped)"
DTYPES = {"auto": None, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def register_folder() -> None:
    """Make models/gid a folder of ComfyUI's, beside what extra_model_paths.yaml names for it."""
    folder = os.path.join(folder_paths.models_dir, FOLDER)
    folder_paths.add_model_folder_path(FOLDER, folder)
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        logger.warning("No folder for motion models at %s: %s", folder, error)


class LoadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GID_LoadModel",
            display_name="Load GID Model",
            category=CATEGORY,
            description="Loads a model that predicts from a single photo how it would move. One is shipped with this "
            "pack; others go into models/gid.",
            search_aliases=["motion model", "checkpoint", "image to motion", "predict motion"],
            inputs=[
                io.Combo.Input(
                    "model_name",
                    options=_names(),
                    tooltip="A shipped model, or a .safetensors file in ComfyUI's folder models/gid.",
                ),
                advanced(
                    io.Combo.Input(
                        "dtype",
                        options=list(DTYPES),
                        default="auto",
                        optional=True,
                        tooltip="Precision of the denoiser. auto: what ComfyUI chooses for this device, which is "
                        "float32 on a CPU.",
                    )
                ),
            ],
            outputs=[
                ModelType.Output("model", display_name="model", tooltip="The model, for Predict Spectral Volume.")
            ],
        )

    @classmethod
    def validate_inputs(cls, model_name):
        try:
            if model_name is not None:  # else it comes over a link
                read_header(_resolve(model_name))
        except (ValueError, OSError) as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, model_name, dtype="auto"):
        return model_name and _resolve(model_name).stat().st_mtime_ns, dtype

    @classmethod
    def execute(cls, model_name, dtype="auto") -> io.NodeOutput:
        from ..gid_core.models.pipeline import GIDPipeline

        # Built in inference mode, as nodes run, weights could not take part in gradients.
        with torch.inference_mode(False):
            pipeline = GIDPipeline.from_pretrained(_resolve(model_name))
            device = model_management.get_torch_device()
            pipeline.to(dtype=DTYPES[dtype] or _dtype_of_choice(device, pipeline.model))
        return io.NodeOutput(ManagedPipeline(pipeline, device))


class GIDModel(nn.Module):
    """What ComfyUI moves: it writes attributes on a model, such as `device`, which a MotionModel works out."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model


class ManagedPipeline:
    """A GIDPipeline whose networks are loaded and unloaded with ComfyUI's other models: the wire type GID_MODEL.

    Attributes:
        pipeline: use it inside `ready` only.
        patcher: ComfyUI's handle.
    """

    def __init__(self, pipeline, device: torch.device):
        patcher = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)
        self.pipeline = pipeline
        self.patcher = patcher(
            GIDModel(pipeline.model), load_device=device, offload_device=model_management.unet_offload_device()
        )

    @contextmanager
    def ready(self, memory: float):
        """The pipeline with its networks on their device; between their layers a cancel comes through.

        Args:
            memory: bytes that the work will need beside the weights.
        """
        model_management.load_models_gpu([self.patcher], memory_required=memory, force_full_load=True)
        # The networks are no layers of comfy.ops, so none of their weights may stay behind.
        networks = self.pipeline.model.to(self.patcher.load_device)
        leaves = [module for module in networks.modules() if next(module.children(), None) is None]
        hooks = [leaf.register_forward_pre_hook(_stop_if_canceled) for leaf in leaves]
        try:
            yield self.pipeline
        finally:
            for hook in hooks:
                hook.remove()

    def get_ram_usage(self) -> int:
        """Bytes, for ComfyUI's cache."""
        return self.patcher.model_size()


def _stop_if_canceled(*_) -> None:
    model_management.throw_exception_if_processing_interrupted()


def _dtype_of_choice(device: torch.device, model: nn.Module) -> torch.dtype:
    parameters = sum(weight.numel() for weight in model.parameters())
    dtype = model_management.unet_dtype(device, parameters)
    return dtype if dtype in DTYPES.values() else torch.float32


def _shipped() -> dict[str, Path]:
    """The models that come with this pack by their names, the default one first."""
    found = sorted(SHIPPED.parent.glob(f"*{SUFFIX}"), key=lambda path: (path.name != SHIPPED.name, path.name))
    return {path.stem + MARK: path for path in found}


def _names() -> list[str]:
    own = folder_paths.get_filename_list(FOLDER)
    return [*_shipped(), *(name for name in own if name.lower().endswith(SUFFIX))]


def _resolve(name: str) -> Path:
    """The file of a name in the list.

    Raises:
        FileNotFoundError: saying where models are looked for.
    """
    path = _shipped().get(name) or folder_paths.get_full_path(FOLDER, name)
    if path is None:
        folders = " or ".join(folder_paths.get_folder_paths(FOLDER))
        raise FileNotFoundError(
            f"No motion model named {name!r}. Choose another, or put the .safetensors file into {folders}."
        )
    return Path(path)
