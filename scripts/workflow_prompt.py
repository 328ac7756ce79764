"""A workflow file as the page saves it, turned into the prompt that the server runs, without a page.

The page's own converter is exact; this one covers what the shipped workflows use: links, widgets by position,
and notes. Nodes that are muted, bypassed or inside subgraphs are refused rather than guessed at.
"""

WIDGET_TYPES = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
NOTES = {"Note", "MarkdownNote"}


def to_prompt(workflow: dict, object_info: dict) -> dict:
    """The prompt of a workflow.

    Args:
        workflow: the parsed .json of a saved graph.
        object_info: the server's /object_info.

    Raises:
        ValueError: for a node that the server does not have, or one that this converter does not cover.
    """
    links = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    prompt = {}
    for node in workflow["nodes"]:
        if node["type"] in NOTES:
            continue
        if node["type"] not in object_info:
            raise ValueError(f"The server has no node {node['type']!r}.")
        if node.get("mode", 0) != 0:
            raise ValueError(f"Node {node['id']} ({node['type']}) is muted or bypassed.")
        inputs = _widget_values(node, object_info[node["type"]])
        for slot in node.get("inputs", []):
            if slot.get("link") is not None:
                inputs[slot["name"]] = links[slot["link"]]
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return prompt


def _widget_values(node: dict, info: dict) -> dict:
    """Values of a node's widgets by name; the file stores them by position."""
    values = iter(node.get("widgets_values") or [])
    named = {}
    for group in ("required", "optional"):
        for name, spec in info["input"].get(group, {}).items():
            kind, options = spec[0], spec[1] if len(spec) > 1 else {}
            is_widget = isinstance(kind, list) or kind in WIDGET_TYPES
            if not is_widget or options.get("forceInput"):
                continue
            try:
                named[name] = next(values)
            except StopIteration:
                return named
            if options.get("control_after_generate") or (kind == "INT" and name in ("seed", "noise_seed")):
                next(values, None)
    return named
