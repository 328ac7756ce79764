"""The server harness of the other tests and of the demo reports errors."""

import numpy as np
import pytest
from PIL import Image

from comfy_server import NodeFailed, PromptRejected


def load_and_save(name: str) -> dict:
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": name}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "harness"}},
    }


def test_an_image_passes_through_the_server_unchanged(server, tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "a name with spaces.png")
    name = server.upload_image(tmp_path / "a name with spaces.png")
    (saved,) = server.outputs(server.run(load_and_save(name)))
    assert (np.asarray(Image.open(saved)) == image).all()


def test_an_invalid_prompt_is_rejected_with_the_reason(server):
    with pytest.raises(PromptRejected) as rejection:
        server.queue(load_and_save("no such image.png"))
    assert rejection.value.node_errors["1"]["class_type"] == "LoadImage"


def test_a_failing_node_is_named(server, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"not an image")
    name = server.upload_image(tmp_path / "broken.png")
    with pytest.raises(NodeFailed) as failure:
        server.run(load_and_save(name))
    assert failure.value.node_type == "LoadImage"
    assert "UnidentifiedImageError" in failure.value.exception_type


def test_an_unknown_node_has_no_schema(server):
    with pytest.raises(KeyError):
        server.object_info("GID_NoSuchNode")
