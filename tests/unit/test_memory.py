"""Free memory of this computer and of a container, and how what does not fit is refused."""

import psutil
import pytest
import torch

from gid_core import memory

CPU = torch.device("cpu")


def test_free_memory_is_that_of_the_computer(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "CONTROL_GROUP_FOLDER", tmp_path)
    assert memory.free_memory(CPU) == pytest.approx(psutil.virtual_memory().available, rel=0.2)


@pytest.mark.parametrize("version", [1, 2])
def test_a_container_has_less_and_cached_files_do_not_count(monkeypatch, tmp_path, version):
    limit, usage, statistics, cache = memory.CONTROL_GROUPS[2 - version]
    (tmp_path / "memory").mkdir()
    for name, text in ((limit, "5000000\n"), (usage, "2000000\n"), (statistics, f"anon 7\n{cache} 500000\n")):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(memory, "CONTROL_GROUP_FOLDER", tmp_path)
    assert memory.free_memory(CPU) == 3_500_000
    (tmp_path / limit).write_text("max\n")
    assert memory.free_memory(CPU) > 3_500_000


def test_a_refusal_says_need_free_and_remedies(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda device: 2.04e9)
    memory.check_fits("Frames", 2e9, CPU, ("a", "b", "c"))
    with pytest.raises(ValueError, match="^9 frames need 3.0 GB of memory, and 2.0 GB are free: a, b, or c.$"):
        memory.check_fits("9 frames", 3e9, CPU, ("a", "b", "c"))
