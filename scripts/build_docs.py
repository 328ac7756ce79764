"""The documentation as a static site: guides, commands, nodes, and the reference of the library from its docstrings.

    make docs    # or python scripts/build_docs.py --out out/docs, with the extra "docs" installed

The pages are copied as the repository has them, so that their links to each other hold, and MkDocs makes the site.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

import gid_core
from gid_core.cli import command_parsers

ROOT = Path(__file__).resolve().parents[1]
GUIDES = {
    "Recipes": "docs/recipes.md",
    "Training": "docs/training.md",
    "Experiments": "docs/checkpoint.md",
    "Measured figures": "docs/benchmarks.md",
    "Contributing": "CONTRIBUTING.md",
    "Checklist": "docs/comfyui-checklist.md",
    "Changelog": "CHANGELOG.md",
}
# These pages, and what they show or lead to, at the same places.
COPIED = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "assets", "docs", "js/docs", "workflows")
COPIED += ("benchmarks/results", "gid_core/models/weights/MODEL_CARD.md", "gid_core/spectral_volume.py")
NODES, COMMANDS, REFERENCE = "js/docs", "commands.md", "reference"
CONFIG = {
    "site_name": "Generative Image Dynamics",
    "theme": {"name": "readthedocs", "highlightjs": False},
    "not_in_nav": "/benchmarks/\n/gid_core/",  # which other pages lead to
    "hooks": [str(ROOT / "scripts" / "docs_hook.py")],
    "use_directory_urls": False,  # pages open by a double click, too
    "plugins": [
        "search",
        {
            "mkdocstrings": {
                "handlers": {
                    "python": {
                        "paths": [str(ROOT)],
                        "options": {
                            "docstring_style": "google",
                            # "start, count: see `render`" describes two parameters.
                            "docstring_options": {"warn_unknown_params": False, "warn_missing_types": False},
                            "heading_level": 2,
                            "show_source": False,
                            "show_root_heading": True,
                            "show_root_full_path": False,
                            "members_order": "source",
                            "filters": ["!^_"],
                        },
                    }
                }
            }
        },
    ],
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "docs", help="folder of the site (default out/docs)")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        pages = Path(folder) / "pages"
        config = CONFIG | {"nav": write_pages(pages), "docs_dir": str(pages), "site_dir": str(options.out.resolve())}
        file = Path(folder) / "mkdocs.yml"
        file.write_text(json.dumps(config), encoding="utf-8")  # which is YAML as well
        status = subprocess.run([sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(file)]).returncode
    if status == 0:
        print(options.out / "index.html")
    return status


def write_pages(folder: Path) -> list[dict]:
    """Write all pages into a folder; returns MkDocs' navigation: titles and paths in the folder.

    The help pages in other languages stay out: their images are where the page of ComfyUI looks for them.
    """
    english = shutil.ignore_patterns("zh.md")
    for name in COPIED:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target, ignore=english) if source.is_dir() else shutil.copy(source, target)
    (folder / COMMANDS).write_text(command_page(), encoding="utf-8")
    reference = reference_pages()
    (folder / REFERENCE).mkdir()
    for name, text in reference.items():
        (folder / REFERENCE / f"{name}.md").write_text(text, encoding="utf-8")
    return [
        {"Start": "README.md"},
        {"Guides": [{title: name} for title, name in GUIDES.items()]},
        {"Commands": COMMANDS},
        {"Nodes": node_navigation()},
        {"Library": [{name: f"{REFERENCE}/{name}.md"} for name in reference]},
    ]


def command_page() -> str:
    """The help of all commands."""
    helps = {name: parser.format_help() for name, parser in command_parsers().items()}
    return "# Commands\n" + "".join(f"\n## gid {name}\n\n```text\n{text}```\n" for name, text in helps.items())


def node_navigation() -> list[dict[str, str]]:
    """The help pages of the nodes, sorted by title."""
    titles = {path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# "): path.name
              for path in (ROOT / NODES).glob("*.md")}  # fmt: skip
    return [{title: f"{NODES}/{titles[title]}"} for title in sorted(titles)]


def reference_pages() -> dict[str, str]:
    """One page for each folder or module that defines public names; mkdocstrings fills in their docstrings."""
    names = defaultdict(list)
    for name in gid_core.__all__:
        module = getattr(gid_core, name).__module__
        names[module.split(".")[1]].append(f"{module}.{name}")
    return {
        home: f"# {home.replace('_', ' ')}\n" + "".join(f"\n::: {name}\n" for name in sorted(names[home]))
        for home in sorted(names)
    }


if __name__ == "__main__":
    raise SystemExit(main())
