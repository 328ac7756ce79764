"""Kernels for the CPU that Numba compiles when they are first called, and what happens without Numba.

Numba is optional. PyTorch's operators define what a kernel computes, and compute it wherever the kernel cannot.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

logger = logging.getLogger(__name__)

# Numba's files on disk name the module of each function and import it. Inside ComfyUI a module's own name holds the
# path of the pack, so these files would fail for other programs, and after the folder has moved. This one always has
# the same name. It is empty: compiled code has its constants in itself.
MODULE = ModuleType("gid_splat_kernel")
sys.modules[MODULE.__name__] = MODULE


def compiled(function: Callable, **options: bool) -> Any:
    """The function, compiled when it is first called, and kept on disk if there is a folder that can be written."""
    import numba

    function.__module__ = MODULE.__name__
    # Contraction to fused multiply-adds is the only liberty: infinities and NaN keep their meaning.
    settings = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}, **options}
    try:
        return numba.njit(cache=True, **settings)(function)
    except RuntimeError:  # no such folder
        return numba.njit(**settings)(function)


def inlined(function: Callable) -> Any:
    """The same as a part of the functions that call it."""
    return compiled(function, forceinline=True)


def tried(name: str, load: Callable[[], ModuleType]) -> ModuleType | None:
    """The module of kernels that `load` imports and tries, which compiles them; None if Numba is missing or fails.

    Args:
        name: of what the kernels compute, for one line in the log.
    """
    try:
        import numba

        vectorizes = numba.config.SLP_VECTORIZE
        numba.config.SLP_VECTORIZE = 1  # a pixel's channels become one vector: twice as fast, but off in Numba
        try:
            return load()
        finally:
            numba.config.SLP_VECTORIZE = vectorizes
    except Exception as error:  # whatever fails in Numba or LLVM, PyTorch renders the same
        missing = isinstance(error, ModuleNotFoundError) and error.name == "numba"
        reason = "is not installed" if missing else f"fails ({str(error).strip().partition(chr(10))[0]})"
        logger.info("The %s runs on PyTorch's operators, which takes several times longer: Numba %s.", name, reason)
        return None
