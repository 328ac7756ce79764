"""Files appear completely or not at all, also if the process is killed; what a killed one leaves is not listed."""

import multiprocessing

import pytest

from benchmarks.bench_kills import FILES, kill_writers
from gid_core.media.atomic import atomic_write, finished_files


@pytest.mark.parametrize("kind", FILES)
def test_a_killed_process_leaves_no_half_file_and_loses_none(kind, tmp_path, repo, monkeypatch):
    if "forkserver" not in multiprocessing.get_all_start_methods():
        pytest.skip("needs a system that forks")
    monkeypatch.setenv("PYTHONPATH", str(repo))  # of the server that starts the writers
    result = kill_writers(kind, tmp_path, kills=3)
    assert (result.kills, result.damaged, result.lost) == (3, 0, 0)


def test_files_in_writing_are_not_listed(tmp_path):
    for name in ("b.png", "a.PNG", "c.txt"):
        (tmp_path / name).touch()
    with atomic_write(tmp_path / "d.png") as temporary:
        temporary.touch()
        assert [path.name for path in finished_files(tmp_path, (".png",))] == ["a.PNG", "b.png"]
    assert [path.name for path in finished_files(tmp_path, (".png",))] == ["a.PNG", "b.png", "d.png"]
