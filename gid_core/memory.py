"""Free memory of a device, refusals of what does not fit, and the errors by which devices say that memory ran out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import torch

Result = TypeVar("Result")

# Words of a plain RuntimeError, in lower case: torch's allocators on the CPU (Linux, Windows), CUDA's libraries, MPS
# (for a buffer beyond its limit), XPU, and the C++ runtime.
OUT_OF_MEMORY_WORDS = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "alloc_failed",
    "invalid buffer size",
    "out_of_device_memory",
    "out_of_host_memory",
    "out_of_resources",
    "bad_alloc",
)
# Where Linux states the memory limit of a container or service, its use, and how much of that caches files. Version 2
# of control groups, then version 1; keys are how /proc/self/cgroup names them.
CONTROL_GROUPS = {
    "": ("", "memory.max", "memory.current", "inactive_file"),
    "memory": ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
CONTROL_GROUP_ROOT, OWN_CONTROL_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on any device."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in OUT_OF_MEMORY_WORDS)


def attempt(function: Callable[..., Result], *arguments: object) -> tuple[Result | None, str]:
    """Call a function that may run out of memory.

    Returns:
        Its result; or None and the allocator's first line. The tensors of a failed call are free by then, because the
        error, whose traceback holds them, is gone.
    """
    try:
        return function(*arguments), ""
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None, str(error).partition("\n")[0]


def free_memory(device: torch.device) -> float:
    """Bytes that this process can still allocate on a device; infinite if the device does not say."""
    if device.type in ("cuda", "xpu"):
        backend = getattr(torch, device.type)
        try:
            cached = backend.memory_reserved(device) - backend.memory_allocated(device)
            return backend.mem_get_info(device)[0] + cached
        except (AttributeError, RuntimeError):  # older versions for XPU, and drivers that do not tell
            return math.inf
    if device.type not in ("cpu", "mps"):
        return math.inf
    import psutil

    return min(psutil.virtual_memory().available, _free_in_control_group())


def empty_cache(device: torch.device) -> None:
    """Return the memory that torch caches to the device."""
    if device.type in ("cuda", "mps", "xpu"):
        getattr(torch, device.type).empty_cache()


def check_fits(what: str, need: float, device: torch.device, remedies: Sequence[str]) -> None:
    """Refuse work that does not fit into a device's free memory.

    Args:
        what: the work and its size, in the plural, such as "150 frames of 4000 x 3000 pixels".
        need: bytes.
        remedies: what the user can do, each as a command.

    Raises:
        ValueError: with what is needed, what is free, and the remedies.
    """
    free = free_memory(device)
    if need > free:
        place = "memory" if device.type == "cpu" else f"memory of {device}"
        advice = ", ".join(remedies[:-1]) + f", or {remedies[-1]}"
        raise ValueError(f"{what} need {need / 1e9:.1f} GB of {place}, and {free / 1e9:.1f} GB are free: {advice}.")


def _free_in_control_group() -> float:
    """Bytes below the limit of this process's container or service; infinite without a limit."""
    free = math.inf
    try:
        groups = [line.split(":", 2)[1:] for line in OWN_CONTROL_GROUPS.read_text().splitlines()]
    except OSError:  # another system
        return free
    for controller, path in groups:
        if controller not in CONTROL_GROUPS:
            continue
        folder, limit_file, usage_file, cache = CONTROL_GROUPS[controller]
        root = CONTROL_GROUP_ROOT / folder
        for group in (root / path.lstrip("/"), root):  # inside a container, only the second one is there
            try:
                limit, usage = (int((group / name).read_text()) for name in (limit_file, usage_file))
                statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
                free = min(free, limit - usage + int(statistics.get(cache, 0)))
            except (OSError, ValueError):  # not there, or no limit ("max")
                continue
    return free
