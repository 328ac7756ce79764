"""Imports of the pack and the library: by ComfyUI, by Python and by pytest, and in which direction."""

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import comfy_server

HEAVY = ("torch", "numpy", "cv2", "av", "PIL", "safetensors", "diffusers", "kornia")

# Like ComfyUI's nodes.load_custom_node: the module's name is its path with the dots replaced.
LOAD_AS_COMFYUI_DOES = """
import asyncio, importlib.util, socket, sys, types
folder, comfyui = sys.argv[1:]

def refuse(*_):
    raise AssertionError("the import asked the network")

socket.socket.connect = socket.getaddrinfo = refuse
sys.modules["nodes"] = core = types.ModuleType("nodes")  # ComfyUI's own module of this name
core.NODE_CLASS_MAPPINGS = {}
if comfyui:
    sys.path.insert(0, comfyui)
    import comfy.cli_args
    comfy.cli_args.args.cpu = True
name = folder.replace(".", "_x_")
spec = importlib.util.spec_from_file_location(name, folder + "/__init__.py")
module = sys.modules[name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
assert sys.modules["nodes"] is core and not core.NODE_CLASS_MAPPINGS
assert not hasattr(module, "NODE_CLASS_MAPPINGS")  # with it ComfyUI would ignore comfy_entrypoint
assert module.WEB_DIRECTORY == "./js"
if comfyui:
    nodes = asyncio.run(asyncio.run(module.comfy_entrypoint()).get_node_list())
    assert {node.__module__.rpartition(".")[0] for node in nodes} == {name + ".nodes"}
    sys.stdout.write(" ".join(node.define_schema().node_id for node in nodes))
    assert "diffusers" not in sys.modules  # its import takes seconds and waits for the first model
else:
    assert module.comfy_entrypoint is None
"""

# Prints the fields that ComfyUI's older versions lack, by node, as a version that has them would get them.
NEWER_FIELDS = """
import asyncio, dataclasses, importlib.util, json, sys
folder, comfyui = sys.argv[1:]
sys.path.insert(0, comfyui)
import comfy.cli_args
comfy.cli_args.args.cpu = True
spec = importlib.util.spec_from_file_location("pack", folder + "/__init__.py")
sys.modules["pack"] = pack = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pack)
from comfy_api.latest import io
fields = [("search_aliases", list, None), ("has_intermediate_output", bool, False)]
io.Schema = dataclasses.make_dataclass("Schema", fields, bases=(io.Schema,))
nodes = asyncio.run(asyncio.run(pack.comfy_entrypoint()).get_node_list())
schemas = [node.define_schema() for node in nodes]
sys.stdout.write(json.dumps({s.node_id: [s.search_aliases, s.has_intermediate_output] for s in schemas}))
"""
# What their runs show on the node comes back with the page.
SHOWING = {"GID_ModalForce", "GID_PredictSpectralVolume", "GID_RenderLoopToVideo"}
SHOWING |= {"GID_SoftmaxSplatRender", "GID_VolumeFromMask", "GID_Wind"}


def python(code: str, *arguments, **options) -> str:
    """Run code in a new Python process outside the checkout; returns its output."""
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_pack_loads_although_comfyui_has_a_module_named_nodes(server_for, repo, tmp_path):
    folder = tmp_path / "custom_nodes" / "generative-image-dynamics.v0.1"  # dots and hyphens in its path
    folder.parent.mkdir()
    folder.symlink_to(repo)
    ids = python(LOAD_AS_COMFYUI_DOES, folder, comfy_server.COMFYUI, cwd=tmp_path).split()
    assert len(ids) == len(set(ids)) >= 10
    assert all(node_id.startswith("GID_") for node_id in ids)


def test_pack_loads_without_comfyui(repo, tmp_path):
    python(LOAD_AS_COMFYUI_DOES, repo, "", cwd=tmp_path)


def test_newer_versions_get_search_words_and_shown_results(server_for, repo, tmp_path):
    fields = json.loads(python(NEWER_FIELDS, repo, comfy_server.COMFYUI, cwd=tmp_path))
    assert not [node_id for node_id, (aliases, _) in fields.items() if not aliases or len(set(aliases)) < len(aliases)]
    assert {node_id for node_id, (_, shows) in fields.items() if shows} == SHOWING


def test_importing_the_library_imports_nothing_heavy(tmp_path):
    code = "import sys, gid_core; sys.stdout.write(' '.join(sys.modules))"
    assert not {name.partition(".")[0] for name in python(code, cwd=tmp_path).split()} & set(HEAVY)


def imported(path: Path):
    """(line, dots, module) of every import in a file, at any depth of the code."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, 0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, node.level, node.module or node.names[0].name


def test_the_library_imports_neither_comfyui_nor_the_nodes(repo):
    forbidden = {"comfy", "comfy_api", "comfy_execution", "folder_paths", "server", "nodes", "execution"}
    for path in (repo / "gid_core").rglob("*.py"):
        depth = len(path.relative_to(repo).parts) - 1
        for line, dots, module in imported(path):
            where = f"{path.relative_to(repo)}:{line}"
            assert dots <= depth, f"{where} leaves gid_core"
            assert dots or module.partition(".")[0] not in forbidden, f"{where} imports {module}"


def test_the_nodes_import_the_library_relatively(repo):
    # `import gid_core` would find another copy of the library or none, because custom_nodes is not on Python's path.
    for path in (repo / "nodes").rglob("*.py"):
        for line, dots, module in imported(path):
            absolute = not dots and module.partition(".")[0] in ("gid_core", "nodes")
            assert not absolute, f"{path.relative_to(repo)}:{line} imports {module}"


def test_no_file_defines_node_class_mappings(repo):
    for path in [repo / "__init__.py", *(repo / "nodes").rglob("*.py")]:
        assert not re.search(r"^\s*NODE_CLASS_MAPPINGS\b", path.read_text(), re.MULTILINE), path


@pytest.mark.parametrize("name", ["generative-image-dynamics", "generative_image_dynamics"])
def test_tests_are_collected_in_a_checkout_of_any_name(repo, tmp_path, name):
    # If the name is a valid package name, pytest could treat the repository's __init__.py as a package.
    checkout = tmp_path / name
    shutil.copytree(
        repo, checkout, ignore=shutil.ignore_patterns(".*", "out", "runs", "benchmarks", "training", "__pycache__")
    )
    quick = ["tests/unit/test_motion.py", "tests/comfyui/test_import.py", "tests/browser/test_page_opens.py"]
    command = [sys.executable, "-m", "pytest", "-c", "tests/pytest.ini", "--collect-only", "-q", *quick]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "--rootdir", checkout], capture_output=True, text=True, cwd=checkout
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for path in quick:
        assert path.removeprefix("tests/") in done.stdout
