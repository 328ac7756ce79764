"""Nodes of saved graphs against the schemas that the server describes."""

from gid_core.models import checkpoint

WIDGET_TYPES = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
# Weights are large, so not every checkout contains them.
BUNDLED = {f"{path.stem} (shipped)" for path in checkpoint.BUNDLED_CHECKPOINT.parent.glob("*.safetensors")}


def spec_of(info: dict, name: str):
    """(type, options) of an input, or None."""
    for group in ("required", "optional"):
        if name in info["input"].get(group, {}):
            spec = info["input"][group][name]
            options = spec[1] if len(spec) > 1 else {}
            return ("COMBO", {**options, "options": spec[0]}) if isinstance(spec[0], list) else (spec[0], options)
    return None


def is_upload(options: dict) -> bool:
    """Whether an input lists the user's files and has a button that uploads one, which is a widget, too."""
    return any(options.get(f"{kind}_upload") for kind in ("image", "video", "audio"))


def widgets_of(info: dict) -> list[str]:
    """The names of a node's widgets, in the order of their values in a file."""
    names = []
    for group in ("required", "optional"):
        for name in info["input"].get(group, {}):
            kind, options = spec_of(info, name)
            if kind in WIDGET_TYPES and not options.get("forceInput"):
                names.append(name)
                names += ["control_after_generate"] * bool(options.get("control_after_generate"))
                names += ["upload"] * is_upload(options)
    return names


def check_node(node: dict, object_info: dict) -> None:
    """Check that a saved node has the widgets, inputs and outputs of its schema, and that its values are allowed."""
    info = object_info[node["type"]]  # KeyError: no such node
    where = f"{node['type']} ({node['id']})"
    widgets = widgets_of(info)
    values = node.get("widgets_values") or []
    assert len(values) == len(widgets), f"{where}: {values} for {widgets}"
    for name, value in zip(widgets, values, strict=True):
        kind, options = spec_of(info, name) or ("", {})
        if kind in ("INT", "FLOAT"):
            assert options["min"] <= value <= options["max"], f"{where}: {name} = {value}"
        own_files = name == "ckpt_name" or is_upload(options) or (name == "model_name" and value not in BUNDLED)
        if kind == "COMBO" and not own_files:
            assert value in options["options"], f"{where}: {name} = {value}"
    for slot in node["inputs"]:
        assert slot["name"] in widgets or spec_of(info, slot["name"]), f"{where} has no input {slot['name']}"
    assert [slot["type"] for slot in node["outputs"]] == info["output"], where
