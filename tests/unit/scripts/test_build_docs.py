"""The documentation site: every page of its navigation exists, and none that should be there is missing."""

import re

import pytest

import build_docs
import gid_core as gid


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the pages, and the paths that the navigation names."""
    folder = tmp_path_factory.mktemp("docs") / "pages"

    def paths(items):
        for item in items:
            for target in item.values():
                yield from [target] if isinstance(target, str) else paths(target)

    return folder, list(paths(build_docs.write_pages(folder)))


def test_the_navigation_names_files_that_exist(site):
    folder, paths = site
    assert len(paths) == len(set(paths)) > 30
    assert [path for path in paths if not (folder / path).is_file()] == []


def test_all_nodes_commands_and_public_names_have_a_page(site, repo):
    folder, paths = site
    assert {path.name for path in (repo / "js" / "docs").glob("*.md")} <= {path.split("/")[-1] for path in paths}
    documented = "".join(path.read_text() for path in (folder / "reference").iterdir())
    assert sorted(re.findall(r"^::: gid_core\.[\w.]+\.(\w+)$", documented, re.MULTILINE)) == gid.__all__
    commands = re.findall(r"^## gid ([\w-]+)$", (folder / "commands.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert {"animate", "poke", "wind", "loop", "batch", "train"} <= set(commands)


def test_pages_in_other_languages_stay_out(site):
    assert list(site[0].rglob("zh.md")) == []


def test_links_between_the_pages_hold(site):
    folder, paths = site
    broken = []
    for path in paths:
        text = (folder / path).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)\s#]+)", text):
            if "://" not in target and not (folder / path).parent.joinpath(target).exists():
                broken.append(f"{path}: {target}")
    assert broken == []
