"""The nodes in the page: created, displayed and removed in both renderers of both frontends."""

from browser.live_page import wait_equal

WIDGET_TYPES = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}

# Creates a node of each type, side by side. Returns the properties of each node in the page.
MAKE_ALL = """(types) => {
  const graph = app.rootGraph ?? app.graph;
  graph.clear();
  return types.map((type, index) => {
    const node = LiteGraph.createNode(type);
    node.pos = [(index % 4) * 420 + 40, Math.floor(index / 4) * 360 + 60];
    graph.add(node);
    return {
      type: node.type,
      title: node.title,
      widgets: (node.widgets ?? []).filter((w) => !w.hidden).map((w) => w.name),
      values: Object.fromEntries((node.widgets ?? []).map((w) => [w.name, w.value])),
      inputs: node.inputs.map((i) => i.name),
      outputs: node.outputs.map((o) => o.localized_name ?? o.label ?? o.name),
      size: [...node.size],
    };
  });
}"""


JOIN = """() => {
          const graph = app.rootGraph ?? app.graph;
          graph.clear();
          const make = (type) => { const n = LiteGraph.createNode(type); graph.add(n); return n; };
          const join = (from, out, to, name) => {
            from.connect(out, to, to.inputs.findIndex((i) => i.name === name));
            return to.inputs.find((i) => i.name === name).link != null;
          };
          const load = make("GID_LoadSpectralVolume"), loop = make("GID_LoopMotion");
          const render = make("GID_SoftmaxSplatRender"), preview = make("GID_PreviewMotion");
          const model = make("GID_LoadModel"), predict = make("GID_PredictSpectralVolume");
          const guidance = make("GID_LoopGuidance"), poke = make("GID_ModalForce");
          const measure = make("GID_SpectralVolumeFromVideo"), image = make("LoadImage"), video = make("LoadVideo");
          return {
            volume_into_render: join(load, 0, render, "motion"),
            motion_into_render: join(loop, 0, render, "motion"),
            volume_into_preview: join(load, 0, preview, "motion"),
            volume_into_loop: join(load, 0, loop, "spectral_volume"),
            images_into_measure: join(image, 0, measure, "video"),
            video_into_measure: join(video, 0, measure, "video"),
            model_into_predict: join(model, 0, predict, "model"),
            image_into_predict: join(image, 0, predict, "image"),
            mask_into_predict: join(image, 1, predict, "mask"),
            guidance_into_predict: join(guidance, 0, predict, "loop_guidance"),
            prediction_into_loop: join(predict, 0, loop, "spectral_volume"),
            prediction_into_render: join(predict, 0, render, "motion"),
            photos_into_render: join(predict, 1, render, "image"),
            prediction_into_force: join(predict, 0, poke, "spectral_volume"),
            photos_into_force: join(predict, 1, poke, "image"),
            force_into_render: join(poke, 0, render, "motion"),
            force_into_preview: join(poke, 0, preview, "motion"),
            no_volume_into_model: !join(load, 0, make("GID_PredictSpectralVolume"), "model"),
            no_image_into_motion: !join(image, 0, make("GID_SoftmaxSplatRender"), "motion"),
            no_motion_into_volume: !join(loop, 0, make("GID_AmplifyMotion"), "spectral_volume"),
          };
        }"""


def ours(server) -> dict:
    return {name: info for name, info in server.object_info().items() if name.startswith("GID_")}


def inputs_of(info: dict) -> dict:
    return {**info["input"].get("required", {}), **info["input"].get("optional", {})}


def test_each_node_shows_its_widgets_and_connects_to_matching_types(page, tmp_path):
    nodes = ours(page.server)
    made = page.evaluate(MAKE_ALL, list(nodes))
    if page.renderer == "vue":
        wait_equal(page.locator(".lg-node").count, len(nodes))
    for node, (node_id, info) in zip(made, nodes.items(), strict=True):
        assert node["type"] == node_id
        assert node["title"] == info["display_name"]
        specs = inputs_of(info)
        widgets = [name for name, (kind, *_) in specs.items() if kind in WIDGET_TYPES]
        # Added by the page: our previews, and ComfyUI's control widget of a seed.
        added = ("loop_preview", "page_preview", "live", "control_after_generate", "more_options", "preset")
        shown = [name for name in node["widgets"] if name not in added]
        assert sorted(shown) == sorted(widgets), node_id
        assert set(node["inputs"]) == set(specs), node_id  # each widget has a socket too
        assert node["outputs"] == info["output_name"], node_id
        for name in widgets:
            options = specs[name][1]
            if "default" in options:
                assert node["values"][name] == options["default"], (node_id, name)
    page.screenshot(path=tmp_path / f"nodes_{page.renderer}_{page.frontend}.png")

    # The types that each socket accepts and refuses.
    joined = page.evaluate(JOIN)
    assert all(joined.values()), joined
