"""The library and the nodes use no name of torch, NumPy, SciPy, PyAV, OpenCV or diffusers that the oldest ones lack.

vectors/oldest_names.json holds what the modules of those versions offer. To write it anew after a bound has changed,
run this file with GID_UPDATE_VECTORS=1 in an environment with exactly the oldest versions.
"""

import ast
import importlib
import json
import os
import sys
import types
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import pytest

from gid_core import packages

NAMES = Path(__file__).parents[1] / "vectors" / "oldest_names.json"
# Keys are modules. Bounds of those without one in packages.py: what the tests ran with.
DISTRIBUTIONS = {"torch": "torch", "numpy": "numpy", "scipy": "scipy", "av": "av", "diffusers": "diffusers",
                 "cv2": "opencv-contrib-python-headless", "einops": "einops", "safetensors": "safetensors"}  # fmt: skip


def used_names(code: str) -> Iterator[str]:
    """Full names, such as torch.nn.functional.pad, of what a module takes from the packages of DISTRIBUTIONS."""
    tree = ast.parse(code)
    aliases = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                aliases[alias.asname or first] = alias.name if alias.asname else first
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            home = "" if node.level and node.module == "packages" else f"{node.module}."
            if home and node.level:
                continue
            for alias in node.names:
                aliases[alias.asname or alias.name] = home + alias.name
                yield home + alias.name
    for node in ast.walk(tree):
        parts, value = [], node
        while isinstance(value, ast.Attribute):
            parts.insert(0, value.attr)
            value = value.value
        if parts and isinstance(value, ast.Name) and value.id in aliases:
            yield ".".join([aliases[value.id], *parts])


def lacking(code: str, names: dict[str, list[str]]) -> set[str]:
    """The names that a module uses and `names`, {module: what it offers}, does not have."""
    found = set()
    for name in used_names(code):
        module, *parts = name.split(".")
        if module not in DISTRIBUTIONS:
            continue
        while parts and f"{module}.{parts[0]}" in names:
            module = f"{module}.{parts.pop(0)}"
        if parts and parts[0] not in names[module]:
            found.add(f"{module}.{parts[0]}")
    return found


def modules(repo: Path) -> dict[str, str]:
    """{path: code} of the library and the nodes."""
    paths = [path for folder in ("gid_core", "nodes") for path in sorted((repo / folder).rglob("*.py"))]
    return {str(path.relative_to(repo)): path.read_text(encoding="utf-8") for path in paths}


def public_names(module: types.ModuleType) -> list[str]:
    return sorted({name for name in dir(module) if not name.startswith("_")})


def offered_names(repo: Path) -> dict[str, list[str]]:
    """{module: its public names} of this environment, for the modules that are used; of OpenCV only used names."""
    used = {name for code in modules(repo).values() for name in used_names(code)}
    names = {}
    for name in sorted(used):
        parts = name.split(".")
        if parts[0] not in DISTRIBUTIONS:
            continue
        for end in range(1, len(parts) + 1):
            path = ".".join(parts[:end])
            if path in names:
                continue
            owner = sys.modules.get(".".join(parts[: end - 1]))
            module = getattr(owner, parts[end - 1], None)
            if module is None:
                with suppress(ImportError):
                    module = importlib.import_module(path)
            if not isinstance(module, types.ModuleType):
                break
            names[path] = public_names(module)
    for home in ("torch", "torch.nn", "numpy"):  # so that a submodule that nobody uses yet is known as well
        for entry in names[home]:
            module = getattr(sys.modules[home], entry)
            if isinstance(module, types.ModuleType) and module.__name__ == f"{home}.{entry}":
                names[module.__name__] = public_names(module)
    mine = {name.split(".")[1] for name in used if name.startswith("cv2.")}
    return names | {"cv2": sorted(mine & set(names["cv2"]))}  # OpenCV has thousands, other ones in each distribution


def test_no_name_is_used_that_the_oldest_versions_lack(repo):
    if os.environ.get("GID_UPDATE_VECTORS"):
        versions = {module: metadata.version(name) for module, name in DISTRIBUTIONS.items()}
        lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in offered_names(repo).items()]
        text = ",\n".join([f'"versions": {json.dumps(versions)}', *lines])
        NAMES.write_text(f"{{\n{text}\n}}\n", encoding="utf-8")
    names = json.loads(NAMES.read_text(encoding="utf-8"))
    versions = names.pop("versions")
    for name, package in packages.PACKAGES.items():
        if package.minimum:
            assert tuple(map(int, versions[name].split(".")[:2])) == package.minimum, f"the names of {name} are others"
    found = {path: missing for path, code in modules(repo).items() if (missing := lacking(code, names))}
    assert not found, "write this with older names, or raise the bound in gid_core/packages.py"


@pytest.mark.parametrize(
    ("code", "missing"),
    [
        ("import torch\ntorch.accelerator.is_available()", "torch.accelerator"),
        ("from torch.nn import functional as F\nF.pad(F.scaled_mm(x))", "torch.nn.functional.scaled_mm"),
        ("import numpy as np\nnp.trapezoid(y)", "numpy.trapezoid"),
        ("def f():\n    from diffusers import Newer", "diffusers.Newer"),
        ("def f():\n    from ..packages import cv2\n    cv2.newer(x)", "cv2.newer"),
        ("import torch.nn.attention.flex_attention", "torch.nn.attention.flex_attention"),
        ("from torch.compiler import set_stance", "torch.compiler.set_stance"),
        ("import torch\ntorch.zeros(3).newer(); torch.OutOfMemoryError", None),
        ("from ..tensors import newer\nfrom einops import rearrange", None),
    ],
)
def test_newer_names_are_found(code, missing):
    names = json.loads(NAMES.read_text(encoding="utf-8"))
    assert lacking(code, names) == ({missing} if missing else set())
