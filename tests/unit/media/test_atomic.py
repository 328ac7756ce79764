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


@pytest.mark.parametrize("name", ["a" * 250 + ".vol", "\N{CHERRY BLOSSOM}" * 60 + ".vol", "a" * 255, "." + "a" * 254])
def test_every_name_that_the_file_system_takes_can_be_written(tmp_path, name):
    with atomic_write(tmp_path / name) as temporary:
        temporary.write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == [name] and (tmp_path / name).read_text() == "new"


@pytest.mark.parametrize("path", [".", "", "/"])
def test_a_folder_is_no_file(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="path must be the name of a file"):
        with atomic_write(path):
            pass
