"""Each subgraph blueprint is served, fits the nodes, and has a photo or clip, three controls and a video."""

import json

import pytest

from blueprint_list import BLUEPRINTS, OUTSIDE
from comfy_server import ROOT
from comfyui.node_schemas import check_node, spec_of

PACK = "custom_nodes.generative-image-dynamics"
INPUT_NODE, OUTPUT_NODE = -10, -20  # ids that ComfyUI gives to the ends of a subgraph


@pytest.fixture(params=sorted(BLUEPRINTS))
def name(request):
    return request.param


@pytest.fixture
def blueprint(name):
    return json.loads((ROOT / "subgraphs" / f"{name}.json").read_text())


def test_each_file_has_an_entry_in_the_list():
    assert {path.stem for path in (ROOT / "subgraphs").glob("*.json")} == set(BLUEPRINTS)


def test_the_server_offers_the_blueprint(server, name, blueprint):
    ours = {e["name"]: key for key, e in server.get("/global_subgraphs").items() if e["info"]["node_pack"] == PACK}
    assert json.loads(server.get(f"/global_subgraphs/{ours[name]}")["data"]) == blueprint


def test_one_node_with_one_source_three_controls_and_a_video(name, blueprint):
    (host,), (subgraph,) = blueprint["nodes"], blueprint["definitions"]["subgraphs"]
    assert host["type"] == subgraph["id"] and host["title"] == subgraph["name"] == name and not blueprint["links"]
    source, *controls = host["inputs"]
    assert source["type"] in ("IMAGE", "VIDEO,IMAGE") and "widget" not in source
    assert [slot["widget"]["name"] for slot in controls] == list(BLUEPRINTS[name].controls) and len(controls) == 3
    assert [(slot["name"], slot["type"]) for slot in host["outputs"]] == [("video", "VIDEO")]
    assert [slot["name"] for slot in subgraph["inputs"]] == [slot["name"] for slot in host["inputs"]]
    description = blueprint["extra"]["BlueprintDescription"]
    assert description == subgraph["description"] == BLUEPRINTS[name].description and description.endswith(".")


def test_the_nodes_inside_fit_their_schemas(server, name, blueprint):
    object_info = server.object_info()
    (subgraph,) = blueprint["definitions"]["subgraphs"]
    nodes = {node["id"]: node for node in subgraph["nodes"]}
    inside = [spec[0] for key, spec in BLUEPRINTS[name].nodes.items() if key not in OUTSIDE]
    assert sorted(node["type"] for node in nodes.values()) == sorted(inside)
    for node in nodes.values():
        check_node(node, object_info)
        if node["type"].startswith("GID_"):
            assert node["properties"]["cnr_id"] == "generative-image-dynamics" and node["properties"]["ver"]

    def given(link):
        if link["origin_id"] == INPUT_NODE:
            return subgraph["inputs"][link["origin_slot"]]["type"]
        return object_info[nodes[link["origin_id"]]["type"]]["output"][link["origin_slot"]]

    def taken(link):
        if link["target_id"] == OUTPUT_NODE:
            return subgraph["outputs"][link["target_slot"]]["type"]
        slot = nodes[link["target_id"]]["inputs"][link["target_slot"]]
        assert slot["link"] == link["id"]
        return spec_of(object_info[nodes[link["target_id"]]["type"]], slot["name"])[0]

    for link in subgraph["links"]:
        assert set(given(link).split(",")) & set(taken(link).split(",")), link


def test_the_outer_values_are_those_inside(name, blueprint):
    (host,), (subgraph,) = blueprint["nodes"], blueprint["definitions"]["subgraphs"]
    nodes = {spec[0]: BLUEPRINTS[name].nodes[key] for key, spec in BLUEPRINTS[name].nodes.items()}
    for value, (node, widget) in zip(host["widgets_values"], BLUEPRINTS[name].controls.values(), strict=True):
        type_ = BLUEPRINTS[name].nodes[node][0]
        (inner,) = (n for n in subgraph["nodes"] if n["type"] == type_)
        assert value in inner["widgets_values"], widget
        assert value == nodes[type_][3].get(widget, value)
