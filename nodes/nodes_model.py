"""Load GID Model, and the wrapper that puts the motion model under ComfyUI's memory management."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import comfy.model_management as model_management
import comfy.model_patcher
import folder_paths
import torch
from comfy_api.latest import io
from torch import nn

from ..gid_core.models.checkpoint import BUNDLED_CHECKPOINT, read_header
from ..gid_core.tensors import default_weights_dtype
from ..gid_core.validation import check_choice, check_path
from .adapters import CATEGORY, ModelType, advanced, logger, schema
from .input_checks import checks_inputs

if TYPE_CHECKING:
    from ..gid_core.models.motion_model import MotionModel
    from ..gid_core.models.pipeline import GIDPipeline

FOLDER = "gid"
SUFFIX = ".safetensors"
BUNDLED_LABEL = " (shipped)"  # saved workflows contain it
DTYPES = {"auto": None, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def register_folder() -> None:
    """Register models/gid as a model folder of ComfyUI, in addition to those that extra_model_paths.yaml lists."""
    folder = os.path.join(folder_paths.models_dir, FOLDER)
    folder_paths.add_model_folder_path(FOLDER, folder)
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        logger.warning("The folder for motion models cannot be created at %s: %s", folder, error)


class LoadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="GID_LoadModel",
            display_name="Load GID Model",
            category=CATEGORY,
            description="Loads a model that predicts motion from a single photo. One model comes with this pack; put "
            "others into models/gid.",
            search_aliases=["motion model", "checkpoint", "image to motion", "predict motion"],
            inputs=[
                io.Combo.Input(
                    "model_name",
                    options=_model_names(),
                    tooltip="The bundled model, or a .safetensors file in ComfyUI's folder models/gid.",
                ),
                advanced(
                    io.Combo.Input(
                        "dtype",
                        options=list(DTYPES),
                        default="auto",
                        optional=True,
                        tooltip="Precision of the networks. auto uses ComfyUI's choice for a GPU; on a CPU it uses "
                        "bfloat16 if the CPU computes in it fast, otherwise float32.",
                    )
                ),
            ],
            outputs=[
                ModelType.Output(
                    "model",
                    display_name="model",
                    tooltip="The model, for Predict Spectral Volume and Softmax Splat Render.",
                )
            ],
        )

    @classmethod
    def validate_inputs(cls, model_name: str | None) -> bool | str:
        try:
            if model_name is not None:  # None if the value comes through a link
                read_header(_model_path(model_name))
        except (ValueError, OSError) as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, model_name: str | None, dtype: str = "auto") -> tuple[str | int | None, str]:
        return model_name and _model_path(model_name).stat().st_mtime_ns, dtype

    @classmethod
    @checks_inputs
    def execute(cls, model_name: str, dtype: str = "auto") -> io.NodeOutput:
        from ..gid_core.models.pipeline import GIDPipeline

        check_choice("dtype", dtype, tuple(DTYPES))
        # ComfyUI runs nodes in inference mode; weights created in it could not take part in gradients.
        with torch.inference_mode(False):
            pipeline = GIDPipeline.from_pretrained(_model_path(model_name))
            device = model_management.get_torch_device()
            pipeline.to(dtype=DTYPES[dtype] or _default_dtype(device, pipeline.model))
        return io.NodeOutput(ManagedPipeline(pipeline, device))


class GIDModel(nn.Module):
    """Wrapper for ComfyUI's patcher, which sets attributes that MotionModel has as properties, such as `device`."""

    def __init__(self, model: MotionModel) -> None:
        super().__init__()
        self.model = model


class ManagedPipeline:
    """A GIDPipeline whose networks ComfyUI loads and unloads with its other models; the value of the wire GID_MODEL.

    Attributes:
        pipeline: the pipeline; use it only inside `loaded`.
        patcher: ComfyUI's model patcher.
    """

    def __init__(self, pipeline: GIDPipeline, device: torch.device) -> None:
        patcher_class = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)
        self.pipeline = pipeline
        self.patcher = patcher_class(
            GIDModel(pipeline.model), load_device=device, offload_device=model_management.unet_offload_device()
        )

    @contextmanager
    def loaded(self, memory_required: float) -> Iterator[GIDPipeline]:
        """Load the networks on their device; inside, each layer raises if the user has canceled.

        Args:
            memory_required: bytes that the computation needs in addition to the weights.

        Yields:
            The pipeline.
        """
        model_management.load_models_gpu([self.patcher], memory_required=memory_required, force_full_load=True)
        # The layers do not come from comfy.ops, which moves weights on use: all weights must be on the device.
        networks = self.pipeline.model.to(self.patcher.load_device)
        leaf_modules = [module for module in networks.modules() if next(module.children(), None) is None]
        hooks = [module.register_forward_pre_hook(_raise_if_interrupted) for module in leaf_modules]
        try:
            yield self.pipeline
        finally:
            for hook in hooks:
                hook.remove()

    def get_ram_usage(self) -> int:
        """Size in bytes, for ComfyUI's cache."""
        return self.patcher.model_size()


def _raise_if_interrupted(*_: object) -> None:
    """Forward pre-hook: raise ComfyUI's exception if the user has canceled."""
    model_management.throw_exception_if_processing_interrupted()


def _default_dtype(device: torch.device, model: nn.Module) -> torch.dtype:
    """ComfyUI's choice for an accelerator, or float32 if the choice is none of DTYPES; the library's for a CPU."""
    if device.type == "cpu":
        return default_weights_dtype(device)
    parameters = sum(weight.numel() for weight in model.parameters())
    dtype = model_management.unet_dtype(device, parameters)
    return dtype if dtype in DTYPES.values() else torch.float32


def _bundled_models() -> dict[str, Path]:
    """The models that come with this pack, by name; the default model comes first."""
    paths = sorted(
        BUNDLED_CHECKPOINT.parent.glob(f"*{SUFFIX}"), key=lambda path: (path.name != BUNDLED_CHECKPOINT.name, path.name)
    )
    return {path.stem + BUNDLED_LABEL: path for path in paths}


def _model_names() -> list[str]:
    """Options of the widget: the bundled models, then the user's files."""
    user_files = folder_paths.get_filename_list(FOLDER)
    return [*_bundled_models(), *(name for name in user_files if name.lower().endswith(SUFFIX))]


def _model_path(name: str) -> Path:
    """The file of a name from `_model_names`.

    Raises:
        FileNotFoundError: if there is none; the message lists the folders.
        ValueError: if it is no name of a file.
    """
    check_path("model_name", name)
    path = _bundled_models().get(name) or folder_paths.get_full_path(FOLDER, name)
    if path is None:
        folders = " or ".join(folder_paths.get_folder_paths(FOLDER))
        raise FileNotFoundError(
            f"No motion model named {name!r}. Choose another, or put the .safetensors file into {folders}."
        )
    return Path(path)
