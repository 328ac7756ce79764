"""The ES modules of js/ joined into one script, for a page that is a single file: such a page can import nothing.

Each module keeps its text and becomes a function of its own, so that names never meet; only its lines of import and
export change. No tool is needed where the page is made or read.
"""

from __future__ import annotations

import re
from pathlib import Path

# The forms that the modules use; another one is refused.
IMPORT = re.compile(r'^import \{(\s*\w+(?:\s*,\s*\w+)*,?\s*)\} from "\./(\w+)\.js";$', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:const|class|function|async function) ([\w$]+))", re.MULTILINE)
# Comments may name types by import(...).
UNKNOWN_FORM = re.compile(r"^\s*(?:import|export)\b.*|^(?!\s*(?:\*|/\*|//)).*\bimport\s*\(.*", re.MULTILINE)
# What would end the script element, or make the HTML parser read on beyond its end.
FORBIDDEN = re.compile(r"</script|<script|<!--", re.IGNORECASE)


def scripts_folder() -> Path:
    """The folder js/ of this repository; where the library is installed, its copy beside the library's modules."""
    library = Path(__file__).resolve().parents[1]
    installed = library / "viewer"  # see package-dir in pyproject.toml
    return installed if installed.is_dir() else library.parent / "js"


def bundle(entry: str, folder: Path | None = None) -> str:
    """A module and all that it imports as the text of one script.

    Args:
        entry: name of the module without its suffix. The script knows what it exports as `$entry`.
        folder: where the modules lie; None is `scripts_folder()`.

    Raises:
        ValueError: if a module has another form of import or export than `import { a, b } from "./module.js";` and
            `export const|class|function`, if modules import each other, or if one cannot stand in an HTML page.
        FileNotFoundError: if a module does not exist.
    """
    folder = folder or scripts_folder()
    done: dict[str, str] = {}

    def add(name: str, importers: tuple[str, ...]) -> None:
        if name in importers:
            raise ValueError(f"Modules import each other: {' -> '.join([*importers, name])}.")
        if name in done:
            return
        source = (folder / f"{name}.js").read_text(encoding="utf-8")
        for _, imported in IMPORT.findall(source):
            add(imported, (*importers, name))
        done[name] = _as_function(name, source)

    add(entry, ())
    return "\n".join(done.values())


def _as_function(name: str, source: str) -> str:
    """A module as a function that is called at once and returns what the module exports."""
    if forbidden := FORBIDDEN.search(source):
        raise ValueError(f"{name}.js holds {forbidden[0]!r}, which a script in an HTML page must not.")
    exported = EXPORT.findall(source)
    body = EXPORT.sub("", IMPORT.sub(r"const {\1} = $\2;", source))
    if unknown := UNKNOWN_FORM.search(body):
        raise ValueError(f"{name}.js has an import or export that cannot be joined: {unknown[0].strip()!r}.")
    return f"const ${name} = (() => {{\n{body}return {{ {', '.join(exported)} }};\n}})();"
