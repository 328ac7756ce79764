"""The harness that all other tests and the demo stand on: does it notice what goes wrong?"""

import numpy as np
import pytest
from PIL import Image

from comfy_server import NodeFailed, PromptRejected


def save_what_is_loaded(name: str) -> dict:
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": name}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "harness"}},
    }


def test_a_picture_goes_through_the_server_unchanged(server, tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "a name with spaces.png")
    name = server.upload_image(tmp_path / "a name with spaces.png")
    (saved,) = server.outputs(server.run(save_what_is_loaded(name)))
    assert (np.asarray(Image.open(saved)) == picture).all()


def test_an_invalid_prompt_is_rejected_with_the_reason(server):
    with pytest.raises(PromptRejected) as rejection:
        server.queue(save_what_is_loaded("no such picture.png"))
    assert rejection.value.node_errors["1"]["class_type"] == "LoadImage"


def test_a_failing_node_is_named(server, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    name = server.upload_image(tmp_path / "broken.png")
    with pytest.raises(NodeFailed) as failure:
        server.run(save_what_is_loaded(name))
    assert failure.value.node_type == "LoadImage"
    assert "UnidentifiedImageError" in failure.value.exception_type


def test_an_unknown_node_has_no_schema(server):
    with pytest.raises(KeyError):
        server.object_info("GID_NoSuchNode")
