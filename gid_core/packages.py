"""The packages that an environment may lack or have too old, and the command that mends it without replacing others.

    from .packages import cv2    # as `import cv2`; what is missing is told in one sentence

ComfyUI brings what requirements.txt lists, but no OpenCV. That has several distributions with the one module cv2, so no
list of requirements can name it without adding a second one; here any that imports serves. This module uses the
standard library only: install.py imports it before anything is installed.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from importlib import import_module, metadata, util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import av as av
    import cv2 as cv2
    import torch as torch


@dataclass(frozen=True)
class Package:
    """A package that may be missing or too old.

    Attributes:
        label: its name in messages.
        distribution: what pip installs; any other distribution of the same module serves as well.
        minimum: the oldest version that works, major and minor; None accepts every version.
    """

    label: str
    distribution: str
    minimum: tuple[int, int] | None = None

    @property
    def requirement(self) -> str:
        """The distribution and its bound, as pip reads it."""
        return self.distribution + (f">={self.minimum[0]}.{self.minimum[1]}" if self.minimum else "")


# Keys are modules. Measured bound: PyAV has no disposition of streams, which tells cover art, before 14.1. torch 2.4 is
# the oldest that ComfyUI supports. The tests ran with these versions, Python 3.10, NumPy 1.26 and OpenCV 4.10;
# tests/vectors/oldest_names.json holds their names.
PACKAGES = {
    "torch": Package("PyTorch", "torch", (2, 4)),
    "av": Package("PyAV (av)", "av", (14, 1)),
    "cv2": Package("OpenCV (cv2)", "opencv-python-headless"),
}
# What ComfyUI does not bring, so that install.py installs it. The extra "standalone" in pyproject.toml is equal.
NOT_IN_COMFYUI = ("cv2",)


def __getattr__(name: str) -> Any:
    """The module of a package: `from .packages import cv2`.

    Raises:
        ImportError: if it is missing, cannot be imported or is too old; the message holds the command that mends it.
    """
    if name not in PACKAGES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = import_module(name)
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == name
        problem = "is not installed" if missing else f"cannot be imported ({error})"
        raise ImportError(_sentence(name, problem), name=name) from None
    outdated = _outdated(name)
    if outdated:
        raise ImportError(_sentence(name, outdated), name=name)
    globals()[name] = module
    return module


def missing_packages() -> dict[str, str]:
    """What is missing or too old, without importing it: {module: one sentence with the command that mends it}."""
    found = {}
    for name in PACKAGES:
        problem = _outdated(name) if sys.modules.get(name) or util.find_spec(name) else "is not installed"
        if problem:
            found[name] = _sentence(name, problem)
    return found


def install_command(name: str) -> list[str]:
    """The command that installs a package for this Python and keeps all that is installed beside it."""
    package = PACKAGES[name]
    numpy = _version("numpy")  # which a new OpenCV could replace
    pins = [f"numpy=={numpy}"] if numpy else []
    if util.find_spec("pip") is None:  # environments that uv made
        return ["uv", "pip", "install", "--python", sys.executable, package.requirement, *pins]
    return [sys.executable, "-m", "pip", "install", package.requirement, *pins]


def _sentence(name: str, problem: str) -> str:
    command = " ".join(f'"{word}"' if re.search(r"[\s<>]", word) else word for word in install_command(name))
    return f"Generative Image Dynamics needs {PACKAGES[name].label}, which {problem}; install it with: {command}"


def _outdated(name: str) -> str | None:
    """What is wrong with an installed package's version; None if nothing is, or if it states none."""
    package = PACKAGES[name]
    version = _version(package.distribution)
    numbers = re.match(r"(\d+)\.(\d+)", version or "")
    if package.minimum is None or numbers is None or tuple(map(int, numbers.groups())) >= package.minimum:
        return None
    return f"is too old here: {version} instead of {package.minimum[0]}.{package.minimum[1]} or newer"


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
