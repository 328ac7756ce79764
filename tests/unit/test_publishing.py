"""What the ComfyUI registry reads and serves is complete, consistent and small."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

MAX_PACKAGE_BYTES = 30e6


@pytest.fixture(scope="module")
def project(repo):
    return tomllib.loads((repo / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def package_files(repo):
    """The files of the registry's package: those in Git that .comfyignore does not name."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=repo, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this copy is no Git repository")
    patterns = [line for line in (repo / ".comfyignore").read_text().splitlines() if line and line[0] != "#"]
    assert all(pattern.startswith("/") for pattern in patterns)  # then each names one file or one folder of the root
    ignored = tuple(pattern[1:] for pattern in patterns)
    return [Path(name) for name in listed.stdout.split("\0") if name and not name.startswith(ignored)]


def test_metadata_names_the_pack_as_the_registry_wants(project):
    about, comfy = project["project"], project["tool"]["comfy"]
    assert re.fullmatch(r"[a-z][a-z0-9-]{2,}", about["name"]) and "comfyui" not in about["name"]
    assert comfy["PublisherId"] and comfy["DisplayName"] and re.fullmatch(r">=\d+\.\d+\.\d+", comfy["requires-comfyui"])
    assert about["license"] == "Apache-2.0"  # an SPDX expression
    assert {"Repository", "Documentation", "Bug Tracker"} <= set(about["urls"])
    assert all(url.startswith(about["urls"]["Repository"]) for url in about["urls"].values())


@pytest.mark.parametrize(("field", "ratio", "least"), [("Icon", 1, 400), ("Banner", 21 / 9, 1000)])
def test_pictures_have_the_registrys_shape(project, repo, field, ratio, least):
    repository = project["project"]["urls"]["Repository"].removeprefix("https://github.com/")
    base = f"https://raw.githubusercontent.com/{repository}/main/"
    url = project["tool"]["comfy"][field]
    assert url.startswith(base)
    width, height = Image.open(repo / url.removeprefix(base)).size
    assert width / height == pytest.approx(ratio, rel=0.01) and width >= least


def test_the_package_is_small_and_has_what_comfyui_loads(repo, package_files):
    assert sum((repo / file).stat().st_size for file in package_files if (repo / file).exists()) < MAX_PACKAGE_BYTES
    roots = {file.parts[0] for file in package_files}
    needed = {"__init__.py", "install.py", "requirements.txt", "LICENSE", "README.md", "pyproject.toml"}
    assert needed | {"gid_core", "nodes", "js", "locales", "workflows", "subgraphs"} <= roots
    assert not roots & {"tests", "benchmarks", "scripts", "docs", ".github"}


def test_the_public_tests_run_on_every_python_that_is_supported(repo, project):
    workflow = (repo / ".github" / "workflows" / "test.yml").read_text()
    classifiers = [c.rsplit(" ", 1)[1] for c in project["project"]["classifiers"] if re.search(r":: 3\.\d+$", c)]
    assert classifiers == re.findall(r'"(3\.\d+)"', workflow.split("python:")[1].split("]")[0])
    assert f">={classifiers[0]}" == project["project"]["requires-python"]
    assert all(system in workflow for system in ("ubuntu", "windows", "macos"))
