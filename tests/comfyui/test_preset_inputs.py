"""Presets name inputs of the nodes, and their values are allowed there."""

from dataclasses import asdict

import pytest

from comfyui.node_schemas import spec_of
from gid_core.presets import SWAY_PRESETS, WIND_PRESETS

NODES = {"GID_Wind": WIND_PRESETS, "GID_VolumeFromMask": SWAY_PRESETS}


@pytest.mark.parametrize("node", sorted(NODES))
def test_presets_fit_the_node_and_one_is_its_default(server, node):
    info = server.object_info(node)
    defaults = []
    for preset in NODES[node].values():
        specs = {name: spec_of(info, name) for name in asdict(preset)}
        for name, value in asdict(preset).items():
            kind, options = specs[name]
            assert value in options["options"] if kind == "COMBO" else options["min"] <= value <= options["max"], name
        defaults.append(asdict(preset) == {name: options["default"] for name, (_, options) in specs.items()})
    assert sum(defaults) == 1
