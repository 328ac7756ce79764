"""Convert a workflow file to the prompt that the server runs, without ComfyUI's page.

The page has a complete converter. This one covers what this pack's workflows use: links, widgets by position, muted
nodes and notes. It refuses nodes that are bypassed or inside subgraphs.
"""

ALWAYS, MUTED = 0, 2  # modes of nodes

WIDGET_TYPES = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
NOTES = {"Note", "MarkdownNote"}
# By the input of Load Sample that takes the place of a sample: the node that loads such a file, and its widget.
LOADERS = {"image": ("LoadImage", "image"), "video": ("LoadVideo", "file")}


def to_prompt(workflow: dict, object_info: dict) -> dict:
    """Convert a workflow to a prompt.

    Args:
        workflow: the parsed JSON of a saved graph.
        object_info: the server's response to /object_info.

    Raises:
        ValueError: if the server has no such node, or if this converter does not cover it.
    """
    links = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    prompt = {}
    for node in workflow["nodes"]:
        if node["type"] in NOTES or node.get("mode") == MUTED:
            continue
        if node["type"] not in object_info:
            raise ValueError(f"The server has no node {node['type']!r}.")
        if node.get("mode", ALWAYS) != ALWAYS:
            raise ValueError(f"Node {node['id']} ({node['type']}) is bypassed.")
        inputs = _widget_values(node, object_info[node["type"]])
        for slot in node.get("inputs", []):
            if slot.get("link") is not None:
                inputs[slot["name"]] = links[slot["link"]]
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    muted = {str(node["id"]) for node in workflow["nodes"] if node.get("mode") == MUTED}
    for node in prompt.values():
        node["inputs"] = {name: value for name, value in node["inputs"].items() if not _comes_from(value, muted)}
    return prompt


def _comes_from(value, nodes: set[str]) -> bool:
    """Whether the value of an input is a link from one of these nodes."""
    return isinstance(value, list) and len(value) == 2 and value[0] in nodes


def use_own_file(prompt: dict, kind: str, file: str) -> None:
    """Let a workflow's Load Sample give a file of the input folder instead of its sample.

    Args:
        prompt: gets the node that loads the file.
        kind: "image", with its mask, or "video".
        file: its name in the input folder.
    """
    loader, widget = LOADERS[kind]
    prompt[f"own {kind}"] = {"class_type": loader, "inputs": {widget: file}}
    for node in prompt.values():
        if node["class_type"] == "GID_LoadSample":
            node["inputs"][kind] = [f"own {kind}", 0]
            if kind == "image":
                node["inputs"]["mask"] = [f"own {kind}", 1]


def _widget_values(node: dict, info: dict) -> dict:
    """The values of a node's widgets by name. The file stores them by position."""
    values = iter(node.get("widgets_values") or [])
    values_by_name = {}
    for group in ("required", "optional"):
        for name, spec in info["input"].get(group, {}).items():
            widget_type, options = spec[0], spec[1] if len(spec) > 1 else {}
            is_widget = isinstance(widget_type, list) or widget_type in WIDGET_TYPES
            if not is_widget or options.get("forceInput"):
                continue
            try:
                values_by_name[name] = next(values)
            except StopIteration:
                return values_by_name
            if options.get("control_after_generate") or (widget_type == "INT" and name in ("seed", "noise_seed")):
                next(values, None)
    return values_by_name
