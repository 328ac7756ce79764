"""ComfyUI's page in a real browser: both renderers of both frontends."""

from contextlib import ExitStack

import pytest

from browser.live_page import chromium, comfy_page, provide_inputs

PAGES = [(renderer, frontend) for frontend in ("pinned", "newest") for renderer in ("canvas", "vue")]


@pytest.fixture(scope="session")
def browser(unavailable):
    """A Chromium driven by playwright."""
    with ExitStack() as stack:
        try:
            chromium_browser = stack.enter_context(chromium())
        except RuntimeError as missing:
            unavailable(str(missing))
        yield chromium_browser


@pytest.fixture(params=PAGES, ids="-".join)
def page(request, browser, server_for):
    """ComfyUI's page, ready for use, with `page.server`, `page.renderer` and `page.frontend`.

    The test fails if a script of the page raises an error; `page.errors` holds the errors. The console is ignored,
    because ComfyUI's requests fill it with unrelated messages.
    """
    renderer, frontend = request.param
    with comfy_page(browser, server_for(None if frontend == "pinned" else frontend), renderer) as page:
        page.frontend = frontend
        yield page
    assert not page.errors, "\n".join(page.errors)


@pytest.fixture
def force_inputs(request, server_for, tmp_path_factory):
    """Upload the input files of a live widget's graph before the test's page opens."""
    frontend = request.node.callspec.params["page"][1]
    provide_inputs(server_for(None if frontend == "pinned" else frontend), tmp_path_factory.mktemp("photo"))


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """A small video of a swaying scene: 40 frames of 128 x 72 in 5 seconds, under the name that workflows load."""
    import torch

    import gid_core as gid
    from gid_core.synthetic.random_scene import random_scene

    frames = torch.from_numpy(random_scene(3, (72, 128)).frames(40))
    return gid.write_video(tmp_path_factory.mktemp("clips") / "clip.mp4", frames, 8, crf=8)
