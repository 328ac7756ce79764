"""Free memory of this computer and of a container, and how what does not fit is refused."""

import psutil
import pytest
import torch

from gid_core import memory

CPU = torch.device("cpu")


@pytest.fixture
def control_groups(monkeypatch, tmp_path):
    """control_groups(lines, folder, **files) states the groups of this process, and writes files of one."""
    monkeypatch.setattr(memory, "CONTROL_GROUP_ROOT", tmp_path)
    monkeypatch.setattr(memory, "OWN_CONTROL_GROUPS", tmp_path / "own")

    def write(lines, folder, files):
        (tmp_path / "own").write_text(lines)
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (tmp_path / folder / name).write_text(text)

    return write


def test_free_memory_is_that_of_the_computer(control_groups):
    assert memory.free_memory(CPU) == pytest.approx(psutil.virtual_memory().available, rel=0.2)


VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
VERSION_2 = ("memory.max", "memory.current", "inactive_file")


@pytest.mark.parametrize(
    ("lines", "folder", "names"),
    [
        ("0::/\n", ".", VERSION_2),
        ("0::/system.slice/comfy.service\n", "system.slice/comfy.service", VERSION_2),
        ("0::/outside/of/the/container\n", ".", VERSION_2),
        ("9:cpu:/\n4:memory:/docker/a1\n0::/\n", "memory/docker/a1", VERSION_1),
        ("4:memory:/docker/a1\n", "memory", VERSION_1),
    ],
)
def test_a_container_has_less_and_cached_files_do_not_count(control_groups, lines, folder, names):
    limit, usage, cache = names
    files = {limit: "5000000\n", usage: "2000000\n", "memory.stat": f"anon 7\n{cache} 500000\n"}
    control_groups(lines, folder, files)
    assert memory.free_memory(CPU) == 3_500_000
    control_groups(lines, folder, {limit: "max\n"})
    assert memory.free_memory(CPU) > 3_500_000


def test_a_refusal_says_need_free_and_remedies(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda device: 2.04e9)
    memory.check_fits("Frames", 2e9, CPU, ("a", "b", "c"))
    with pytest.raises(ValueError, match="^9 frames need 3.0 GB of memory, and 2.0 GB are free: a, b, or c.$"):
        memory.check_fits("9 frames", 3e9, CPU, ("a", "b", "c"))
