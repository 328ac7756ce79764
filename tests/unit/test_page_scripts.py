"""What the scripts in ComfyUI's page must leave alone, because it breaks with another frontend, pack or renderer."""

import re

import pytest

# What is forbidden, and what finds it in a script.
FORBIDDEN = {
    "drawing on the canvas, which Nodes 2.0 does not show": r"\bonDraw\w*",
    "a patched prototype": r"\.prototype\b|__proto__|setPrototypeOf",
    "elements beside the nodes": r"document\.body\b",
    "something from another host": r"https?://(?!www\.w3\.org/2000/svg\b|github\.com/generative-image-dynamics/)",
    "a widget type without our prefix": r"addDOMWidget\([^,]+,(?!\s*[\"`]GID_)",
}


def faults(script: str) -> list[str]:
    return [fault for fault, pattern in FORBIDDEN.items() if re.search(pattern, script)]


def test_scripts_keep_to_what_lasts(repo):
    found = {path.name: faults(path.read_text(encoding="utf-8")) for path in (repo / "js").glob("*.js")}
    assert len(found) > 20 and not {name: faults for name, faults in found.items() if faults}


@pytest.mark.parametrize(
    "script",
    [
        "node.onDrawForeground = (context) => {};",
        "LGraphCanvas.prototype.draw = draw;",
        "document.body.append(menu);",
        'import three from "https://example.org/three.js";',
        'node.addDOMWidget("live", "customtext", element, {});',
    ],
)
def test_each_fault_is_found(script):
    assert len(faults(script)) == 1


def test_every_imported_name_is_exported(repo):
    """A name that is missing stops the whole script, and with it all that it adds to nodes."""
    scripts = {path.name: path.read_text(encoding="utf-8") for path in (repo / "js").glob("*.js")}
    exported = {
        name: set(re.findall(r"^export (?:async )?(?:function\*?|const|let|class) (\w+)", text, re.MULTILINE))
        for name, text in scripts.items()
    }
    for importer, text in scripts.items():
        for names, module in re.findall(r'^import \{([^}]*)\} from "\./(\w+\.js)"', text, re.MULTILINE):
            wanted = {name.split(" as ")[0].strip() for name in names.split(",") if name.strip()}
            assert wanted <= exported[module], f"{importer} imports {wanted - exported[module]} of {module}"
