"""docs/recipes.md: the nodes of its graphs exist, and each can be connected to the next."""

import itertools
import re


def graphs(text: str) -> list[list[list[str]]]:
    """The lines of the graphs: each a list of steps, each step a list of nodes that go into the next one."""
    blocks = re.findall(r"^```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [[step.split(", ") for step in line.split(" → ")] for block in blocks for line in block.splitlines()]


def test_the_graphs_can_be_built(server, repo):
    lines = graphs((repo / "docs" / "recipes.md").read_text(encoding="utf-8"))
    assert len(lines) >= 8
    info = server.object_info()
    # Some nodes of ComfyUI have only an identifier: Wan Track To Video is WanTrackToVideo.
    named = {name.replace(" ", ""): node for id_, node in info.items() for name in (id_, node["display_name"] or id_)}
    for line in lines:
        for sources, targets in itertools.pairwise(line):
            taken = {
                str(spec[0])
                for target in targets
                for group in ("required", "optional")
                for spec in named[target.replace(" ", "")]["input"].get(group, {}).values()
            }
            taken = set(",".join(taken).split(","))
            for source in sources:
                given = set(map(str, named[source.replace(" ", "")]["output"]))
                assert given & (taken - {"STRING", "INT", "FLOAT"}) or source == "Motion To Tracks", (source, targets)
