"""Save Interactive Photo: the file, its name, and what ComfyUI's page gets to show."""

import urllib.parse
import urllib.request

import numpy as np
import pytest
import torch

import gid_core as gid
from comfy_server import NodeFailed, PromptRejected


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """Random noise, float32 [72, 128, 3] in steps of 1/255."""
    return (np.random.default_rng(0).integers(0, 256, (72, 128, 3)) / 255).astype(np.float32)


def test_each_run_saves_the_page_of_the_library_under_a_new_name(server, graph, photo, volume):
    widgets = dict(title="Stems & <leaves>", alt_text="A bush", autoplay=True, filename_prefix="pages/a%width%")
    save = graph.add(
        "GID_SaveInteractivePhoto", image=graph.image(photo), spectral_volume=graph.volume(volume), **widgets
    )
    name = graph.show(save)
    _, sent = graph.run_and_listen()
    assert graph.text(name) == "pages/a128_00001_.html"
    assert sent[save.id]["gid_page"] == [{"filename": "a128_00001_.html", "subfolder": "pages", "type": "output"}]
    expected = gid.interactive_page(
        torch.from_numpy(photo), volume, title="Stems & <leaves>", alt="A bush", autoplay=True
    )
    assert (server.base / "output" / "pages" / "a128_00001_.html").read_text("utf-8") == expected
    assert "GID_SaveInteractivePhoto" not in expected  # a page is published: it does not tell the workflow
    # The address from which ComfyUI's page loads it.
    query = urllib.parse.urlencode(sent[save.id]["gid_page"][0])
    with urllib.request.urlopen(f"{server.url}/view?{query}") as answer:
        assert answer.read().decode() == expected
    assert graph.run().text(name) == "pages/a128_00002_.html"


def test_without_a_text_the_title_describes_the_photo(server, graph, photo, volume):
    image, loaded = graph.image(photo), graph.volume(volume)
    inputs = dict(image=image, spectral_volume=loaded, title="A bush", filename_prefix="top", max_size=64)
    name = graph.show(graph.add("GID_SaveInteractivePhoto", **inputs))
    graph.run()
    expected = gid.interactive_page(torch.from_numpy(photo), volume, title="A bush", alt="A bush", max_size=64)
    assert graph.text(name) == "top_00001_.html"
    assert (server.base / "output" / "top_00001_.html").read_text("utf-8") == expected


@pytest.mark.parametrize("prefix", ["", "../outside"])
def test_prefixes_that_lead_out_of_the_folder_are_refused(server, graph, photo, volume, prefix):
    inputs = dict(image=graph.image(photo), spectral_volume=graph.volume(volume))
    graph.add("GID_SaveInteractivePhoto", **inputs, filename_prefix=prefix)
    with pytest.raises((PromptRejected, NodeFailed)) as raised:
        graph.run()
    assert "inside the output folder" in str(getattr(raised.value, "node_errors", raised.value))
    assert not (server.base / "outside_00001_.html").exists()
