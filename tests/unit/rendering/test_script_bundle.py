"""The modules of js/ joined into one script."""

import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata

import pytest

from gid_core.rendering.script_bundle import EXPORT, IMPORT, bundle, scripts_folder


@pytest.fixture
def modules(tmp_path):
    """modules(a="...") writes a.js into a folder, which it returns."""

    def write(**sources: str):
        for name, source in sources.items():
            (tmp_path / f"{name}.js").write_text(source)
        return tmp_path

    return write


def test_each_module_comes_once_after_what_it_imports(modules):
    folder = modules(
        a='import { b } from "./b.js";\nimport {\n  c, C,\n} from "./c.js";\nexport function a() {}\n',
        b='import { c } from "./c.js";\nconst own = 1;\nexport const b = c + own;\n',
        c="export const c = 1;\nexport class C {}\nexport async function d() {}\n",
    )
    assert bundle("a", folder) == (
        "const $c = (() => {\nconst c = 1;\nclass C {}\nasync function d() {}\nreturn { c, C, d };\n})();\n"
        "const $b = (() => {\nconst { c } = $c;\nconst own = 1;\nconst b = c + own;\nreturn { b };\n})();\n"
        "const $a = (() => {\nconst { b } = $b;\nconst {\n  c, C,\n} = $c;\nfunction a() {}\nreturn { a };\n})();"
    )


@pytest.mark.parametrize(
    "source",
    [
        'import x from "./b.js";\n',
        'import * as x from "./b.js";\n',
        'import { x as y } from "./b.js";\n',
        'import { x } from "https://example.org/b.js";\n',
        'import "./b.js";\n',
        "export default 1;\n",
        "export let x = 1;\n",
        "export { x };\n",
        'export * from "./b.js";\n',
        'const x = await import("./b.js");\n',
    ],
)
def test_other_forms_of_import_and_export_are_refused(modules, source):
    with pytest.raises(ValueError, match=r"a\.js has an import or export that cannot be joined: '(im|ex)|const x"):
        bundle("a", modules(a=source, b="export const x = 1;\n"))


def test_what_looks_like_an_import_in_a_comment_is_kept(modules):
    source = '/**\n * @param {import("./b.js").B} b\n */\nexport const a = 1; // important, exported\n'
    assert '{import("./b.js").B}' in bundle("a", modules(a=source))


@pytest.mark.parametrize("text", ["</script>", "</SCRIPT >", "<script", "<!--"])
def test_what_would_end_the_script_is_refused(modules, text):
    with pytest.raises(ValueError, match="must not"):
        bundle("a", modules(a=f'export const a = "{text}";\n'))


def test_a_cycle_and_a_missing_module_are_errors(modules):
    folder = modules(a='import { b } from "./b.js";\n', b='import { a } from "./a.js";\n')
    with pytest.raises(ValueError, match="a -> b -> a"):
        bundle("a", folder)
    with pytest.raises(FileNotFoundError):
        bundle("nothing", folder)


def test_the_page_has_the_modules_of_the_node_unchanged(repo):
    """Every line of each module is there, but for the words of import and export."""
    assert scripts_folder() == repo / "js"
    script = bundle("interactive_page")
    parts = dict(
        re.findall(r"^const \$(\w+) = \(\(\) => \{\n(.*?)^return \{[^\n]*\};\n\}\)\(\);$", script, re.M | re.S)
    )
    assert {"webgl_view", "modes", "oscillators", "poke", "poke_list", "wind", "live_packet", "constants"} < set(parts)
    for name, body in parts.items():
        source = (repo / "js" / f"{name}.js").read_text()
        assert EXPORT.sub("", IMPORT.sub("", source)) == re.sub(r"^const \{[^}]*\} = \$\w+;$", "", body, flags=re.M)


def test_an_installed_library_has_the_scripts(repo, tmp_path):
    """A wheel holds every module of the library and of js/, and makes a page without the repository."""
    # Not imported here: setuptools fails in a process in which another test has imported Python's distutils.
    if int(metadata.version("setuptools").partition(".")[0]) < 77:
        pytest.skip("setuptools is older than 77")
    for name in ("gid_core", "js", "pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        source, target = repo / name, tmp_path / "source" / name  # a copy, because building writes beside the sources
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors", "docs"))
        else:
            shutil.copy(source, target)
    build = "import setuptools.build_meta as b, sys; print(b.build_wheel(sys.argv[1]))"
    command = [sys.executable, "-c", build, str(tmp_path)]
    subprocess.run(command, cwd=tmp_path / "source", check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
        archive.extractall(tmp_path / "site")
    library = {path.relative_to(repo).as_posix() for path in (repo / "gid_core").rglob("*.py")}
    library |= {f"gid_core/viewer/{path.name}" for path in (repo / "js").glob("*.js")}
    assert library <= packed
    code = "from gid_core.rendering import script_bundle as s; print(s.scripts_folder()); print(s.bundle(sys.argv[1]))"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, '.'); {code}", "interactive_page"]
    result = subprocess.run(command, cwd=tmp_path / "site", check=True, capture_output=True, text=True).stdout
    folder, _, script = result.partition("\n")
    assert folder == str((tmp_path / "site" / "gid_core" / "viewer").resolve())
    assert script == bundle("interactive_page") + "\n"
