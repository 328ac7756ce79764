"""Missing and outdated packages: one sentence with the command that mends it; installing replaces nothing."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest

from gid_core import packages

PIP = ["-m", "pip", "--disable-pip-version-check", "--no-input"]


@pytest.fixture
def without(tmp_path):
    """without(module, *arguments): runs Python with these arguments where the import of that module fails."""

    def run(module: str, *arguments: str, error: str = "ModuleNotFoundError") -> subprocess.CompletedProcess:
        (tmp_path / f"{module}.py").write_text(f'raise {error}("It is not here", name="{module}")')
        path = os.pathsep.join([str(tmp_path), str(Path(packages.__file__).parents[1])])
        command = [sys.executable, *arguments]
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})

    return run


@pytest.mark.parametrize(
    ("module", "call"),
    [
        ("cv2", "gid.volume_from_mask(torch.ones(40, 40), torch.ones(40, 40))"),
        ("av", "from gid_core.packages import av"),
    ],
)
def test_a_missing_package_is_one_sentence_with_its_command(without, module, call):
    done = without(module, "-c", f"import torch, gid_core as gid; {call}")
    sentence = done.stderr.strip().splitlines()[-1]
    assert "is not installed; install it with: " in sentence and " -m pip install " in sentence
    assert packages.PACKAGES[module].distribution in sentence
    assert f"numpy=={metadata.version('numpy')}" in sentence  # which an OpenCV of another time would replace


def test_frames_are_rendered_without_opencv(without):
    code = "import torch, gid_core as gid; motion = gid.loop(gid.SpectralVolume(torch.ones(1, 2, 4, 8, 9)), 3)"
    done = without("cv2", "-c", f"{code}; print(tuple(gid.render(torch.rand(8, 9, 3), motion).shape))")
    assert done.stdout.strip() == "(3, 8, 9, 3)", done.stderr


def test_the_command_line_tells_it_without_a_traceback(without):
    done = without("cv2", "-m", "gid_core", "animate", "photo.jpg", "-o", "loop.mp4")
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "OpenCV" in done.stderr


def test_a_package_that_is_there_but_fails_says_why(without):
    done = without("cv2", "-c", "from gid_core.packages import cv2", error="ImportError")
    assert "OpenCV (cv2), which cannot be imported (It is not here)" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("version", "fits"), [("14.0.1", False), ("14.1.0", True), ("18.1.0", True), ("19.0.dev0", True), (None, True)]
)
def test_a_package_that_is_too_old(monkeypatch, version, fits):
    real = packages._version
    monkeypatch.setattr(packages, "_version", lambda name: version if name == "av" else real(name))
    packages.__dict__.pop("av", None)  # found before
    sentence = packages.missing_packages().get("av")
    if fits:
        assert sentence is None and packages.av
        return
    assert "is too old here: 14.0.1 instead of 14.1 or newer" in sentence and '"av>=14.1"' in sentence
    with pytest.raises(ImportError, match="too old"):
        packages.__getattr__("av")


def test_nothing_is_missing_here():
    assert packages.missing_packages() == {}
    with pytest.raises(AttributeError):
        packages.pandas  # noqa: B018


def test_the_lists_agree(repo):
    """requirements.txt, the extra of pyproject.toml and the bounds that are checked."""
    pyproject = (repo / "pyproject.toml").read_text(encoding="utf-8")
    extra = json.loads(re.search(r"^standalone = (\[.*\])$", pyproject, re.MULTILINE)[1])
    assert sorted(extra) == sorted(packages.PACKAGES[name].requirement for name in packages.NOT_IN_COMFYUI)
    lines = (repo / "requirements.txt").read_text(encoding="utf-8").splitlines()
    listed = {re.split("[<>=]", line)[0]: line for line in lines if line and not line.startswith("#")}
    assert listed["torch"] == "torch" and listed["numpy"] == "numpy"  # a bound could replace what is there
    assert listed["av"] == packages.PACKAGES["av"].requirement
    assert not [name for name in listed if "opencv" in name]


def test_the_readme_states_the_bounds(repo):
    readme = " ".join((repo / "README.md").read_text(encoding="utf-8").split())
    python = re.search(r'requires-python = ">=(.+)"', (repo / "pyproject.toml").read_text(encoding="utf-8"))[1]
    oldest = {name: ".".join(map(str, p.minimum)) for name, p in packages.PACKAGES.items() if p.minimum}
    rest = f"PyTorch {oldest['torch']} and PyAV {oldest['av']}, or newer"
    assert f"It needs Python {python}, {rest}" in readme


OLD_TORCH = """
import sys
from gid_core import packages
real = packages._version
packages._version = lambda name: "2.3.1" if name == "torch" else real(name)
"""


@pytest.mark.parametrize(
    "code",
    [
        "import gid_core; gid_core.loop",
        "from gid_core.__main__ import main; sys.argv = ['gid', '--help']; sys.exit(main())",
    ],
)
def test_an_old_torch_is_told_before_anything_needs_a_newer_one(repo, code):
    done = subprocess.run([sys.executable, "-c", OLD_TORCH + code], capture_output=True, text=True, cwd=repo)
    assert done.returncode == 1
    assert "needs PyTorch, which is too old here: 2.3.1 instead of 2.4 or newer" in done.stderr.splitlines()[-1]


# ---- installing into an environment ----

LOOK = """
import cv2, numpy
image = numpy.arange(768, dtype=numpy.uint8).reshape(16, 16, 3)
filtered = cv2.ximgproc.guidedFilter(image, image, 2, 9.0)  # which only opencv-contrib has
print(cv2.__version__, numpy.__version__, filtered.sum())
"""


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def would_install(python: str | Path, requirements: str | Path) -> set[str]:
    """The distributions that pip would install or replace for a file of requirements."""
    report = run(python, *PIP, "install", "-q", "--dry-run", "--report", "-", "-r", requirements)
    return {item["metadata"]["name"].lower() for item in json.loads(report)["install"]}


@pytest.fixture
def old_environment(tmp_path, unavailable) -> Path:
    """The Python of an environment with numpy 1.26, opencv-contrib 4.10."""
    import pip

    folder = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    site_packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    shutil.copytree(Path(pip.__file__).parent, site_packages / "pip")
    command = [python, *PIP, "install", "-q", "--no-compile", "numpy==1.26.4", "opencv-contrib-python==4.10.0.84"]
    filled = subprocess.run(command, capture_output=True, text=True)
    if filled.returncode:
        unavailable(f"numpy 1.26 and opencv-contrib 4.10 cannot be installed here: {filled.stderr[-300:]}")
    return python


def test_an_environment_with_old_numpy_and_another_opencv_is_left_as_it_is(repo, tmp_path, old_environment):
    frozen, looked = run(old_environment, *PIP, "freeze"), run(old_environment, "-c", LOOK)
    lines = (repo / "requirements.txt").read_text(encoding="utf-8").splitlines()
    requirements = tmp_path / "requirements.txt"  # torch is large, and never replaced, since it has no bound
    requirements.write_text("\n".join(line for line in lines if line != "torch"))
    added = would_install(old_environment, requirements)
    assert added >= {"av", "scipy"} and not [name for name in added if name == "numpy" or "opencv" in name]
    assert run(old_environment, repo / "install.py") == ""
    assert run(old_environment, *PIP, "freeze") == frozen and "opencv-contrib-python==4.10.0.84" in frozen
    assert run(old_environment, "-c", LOOK) == looked


def test_an_environment_with_the_newest_packages_is_left_as_it_is(repo):
    # The one that runs this test: `make setup` takes the newest of what it does not pin.
    assert would_install(sys.executable, repo / "requirements.txt") == set()
    assert packages.missing_packages() == {}


@pytest.mark.parametrize("status", [0, 3])
def test_install_installs_what_cannot_be_imported(monkeypatch, repo, status):
    spec = importlib.util.spec_from_file_location("install", repo / "install.py")
    install = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(install)
    commands = []
    monkeypatch.setattr(install.subprocess, "call", lambda command: commands.append(command) or status)
    assert install.main() == 0 and not commands
    monkeypatch.delattr(packages, "cv2")  # which the run above found
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert install.main() == status
    assert commands == [packages.install_command("cv2")]
    assert commands[0][3:] == ["install", "opencv-python-headless", f"numpy=={metadata.version('numpy')}"]


@pytest.mark.parametrize(("stub", "missing"), [(ModuleType("cv2"), False), (None, True)])
def test_a_module_that_another_pack_put_in_its_place_ends_nothing(monkeypatch, stub, missing):
    monkeypatch.setitem(sys.modules, "cv2", stub)  # it has no spec, for which importlib raises
    assert ("cv2" in packages.missing_packages()) == missing
