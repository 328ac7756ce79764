"""Write subgraphs/*.json from blueprint_list.py with ComfyUI's page, as it publishes a subgraph that a user makes.

.venv/bin/python scripts/build_blueprints.py [name ...]
"""

import json
import sys
import uuid
from pathlib import Path

from blueprint_list import BLUEPRINTS, OUTSIDE
from build_workflows import BUILD, building_page, write_graph
from comfy_server import ROOT

# Names of the subgraphs and of their slots, the same in every build.
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "generative-image-dynamics/subgraphs")

# After BUILD: makes one node of all nodes but those outside, and puts its controls on it.
CONVERT = """([types, controls]) => {
  const graph = app.rootGraph ?? app.graph, outside = new Set(types);
  const inside = graph.nodes.filter((node) => !outside.has(node.type));
  const { subgraph, node: host } = graph.convertToSubgraph(new Set(inside));
  for (const [name, [type, widget]] of Object.entries(controls)) {
    const node = subgraph.nodes.find((n) => n.type === type);
    const slot = node.inputs.find((input) => input.widget?.name === widget);
    subgraph.addInput(name, String(slot.type)).connect(slot, node);
  }
  for (const node of graph.nodes.filter((n) => n !== host)) graph.remove(node);
  host.pos = [40, 60];
  host.setSize(host.computeSize());
  return JSON.parse(JSON.stringify(graph.serialize()));
}"""


def finished(name: str, graph: dict) -> dict:
    """The serialized graph of one blueprint, with ids that do not differ between builds, and what the page shows."""
    blueprint = BLUEPRINTS[name]
    (subgraph,) = graph["definitions"]["subgraphs"]
    ids = {subgraph["id"]: "subgraph", graph["id"]: "graph"}
    ids |= {slot["id"]: f"{kind} {slot['name']}" for kind in ("inputs", "outputs") for slot in subgraph[kind]}
    text = json.dumps(graph)
    for old, use in ids.items():
        text = text.replace(old, str(uuid.uuid5(NAMESPACE, f"{name}: {use}")))
    graph = json.loads(text)
    (subgraph,), (host,) = graph["definitions"]["subgraphs"], graph["nodes"]
    subgraph["name"] = host["title"] = name
    for slots in (subgraph["outputs"], host["outputs"]):
        slots[0]["name"] = slots[0]["localized_name"] = "video"
    host["properties"]["proxyWidgets"] = [["-1", control] for control in blueprint.controls]  # the page adds others
    subgraph["description"] = blueprint.description
    graph["extra"] = {
        "BlueprintDescription": blueprint.description,
        "BlueprintSearchAliases": list(blueprint.aliases),
    }
    return graph


def main() -> None:
    with building_page() as page:
        for name in sys.argv[1:] or BLUEPRINTS:
            blueprint = BLUEPRINTS[name]
            types = {key: spec[0] for key, spec in blueprint.nodes.items()}
            controls = {key: (types[node], widget) for key, (node, widget) in blueprint.controls.items()}
            page.evaluate(BUILD, [blueprint.nodes, None])
            graph = finished(name, page.evaluate(CONVERT, [[types[key] for key in OUTSIDE], controls]))
            write_graph(Path(ROOT, "subgraphs", f"{name}.json"), graph, graph["definitions"]["subgraphs"][0]["nodes"])


if __name__ == "__main__":
    main()
