"""ComfyUI's page in a real browser: both renderers of both frontends."""

import shutil

import pytest

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_OPTIONS = (
    "--no-sandbox",  # containers and CI run as root
    "--enable-unsafe-swiftshader",  # WebGL without a GPU
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PAGES = [(renderer, frontend) for frontend in ("pinned", "newest") for renderer in ("canvas", "vue")]


@pytest.fixture(scope="session")
def browser(unavailable):
    """A Chromium driven by playwright."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        unavailable("playwright is not installed: pip install -e '.[dev]'")
    executable = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if executable is None:
        unavailable("no Chromium found: install one, as " + " or ".join(CHROMIUM_NAMES))
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_OPTIONS)
        yield chromium
        chromium.close()


@pytest.fixture(params=PAGES, ids="-".join)
def page(request, browser, server_for):
    """ComfyUI's page, ready for use; `page.server`, `page.renderer` and `page.frontend` tell which.

    The test fails if a script of the page raised while it ran; `page.errors` holds what. The console is not looked
    at: ComfyUI's own requests fill it with messages that mean nothing.
    """
    renderer, frontend = request.param
    server = server_for(None if frontend == "pinned" else frontend)
    # A first visit would open a dialog over the page.
    server.post("/settings", {"Comfy.TutorialCompleted": True, "Comfy.VueNodes.Enabled": renderer == "vue"})
    # A context of its own: the page keeps the workflow in the browser's storage.
    context = browser.new_context(viewport={"width": 1400, "height": 850})
    page = context.new_page()
    page.server, page.renderer, page.frontend = server, renderer, frontend
    page.errors = errors = []
    page.on("pageerror", lambda error: errors.append(error.stack or str(error)))
    page.goto(server.url, wait_until="domcontentloaded")
    page.wait_for_function(
        "() => window.app?.extensionManager && app.graph && LiteGraph?.registered_node_types?.SaveImage",
        timeout=120_000,
    )
    yield page
    context.close()
    assert not errors, "\n".join(errors)


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """A small video of a swaying scene: 40 frames of 128 x 72 in 5 seconds, under the name that workflows ask for."""
    import torch

    import gid_core as gid
    from gid_core.training.synthetic import random_scene

    frames = torch.from_numpy(random_scene(3, (72, 128)).frames(40))
    return gid.write_video(tmp_path_factory.mktemp("clips") / "clip.mp4", frames, 8, crf=8)
