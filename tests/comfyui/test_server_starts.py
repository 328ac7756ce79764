"""The pack loads in a real ComfyUI."""

import pytest


def test_server_answers_with_its_nodes(server):
    assert "KSampler" in server.object_info()
    assert server.object_info("SaveImage")["output_node"]


def test_pack_is_loaded(server):
    # If the log shows a failed import, the server fixture has failed already.
    assert "generative-image-dynamics" in server.log_text()


def test_scripts_are_served(server, repo):
    scripts = {path.relative_to(repo / "js").as_posix() for path in (repo / "js").rglob("*.js")}
    if not scripts:
        pytest.skip("the pack has no scripts yet")
    prefix = "/extensions/generative-image-dynamics/"
    served = server.get("/extensions")
    assert {path.removeprefix(prefix) for path in served if path.startswith(prefix)} == scripts
    assert len(served) == len(set(served)), "a script is served twice"
