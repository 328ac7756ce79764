"""ComfyUI's page in a real browser: both renderers of both frontends."""

from contextlib import ExitStack
from functools import cache
from types import SimpleNamespace

import pytest

from browser.live_page import chromium, clear, comfy_page, provide_inputs

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


@pytest.fixture(scope="session")
def browser_server(server_for, tmp_path_factory):
    """browser_server(frontend): the server with this frontend, with the files that graphs load."""

    @cache
    def get(frontend):
        server = server_for(None if frontend == "pinned" else frontend)
        provide_inputs(server, tmp_path_factory.mktemp("inputs"))
        return server

    return get


@pytest.fixture(scope="session")
def kept_page():
    """The page that the last test has left, for the next one of the same kind: opening one takes 9 seconds of CPU."""
    kept = SimpleNamespace(kind=None, page=None, stack=ExitStack())
    yield kept
    kept.stack.close()


@pytest.fixture(params=PAGES, ids="-".join)
def page(request, browser, browser_server, kept_page):
    """ComfyUI's page with an empty workflow, and with `page.server`, `page.renderer` and `page.frontend`.

    It is new, or that of an earlier test that passed and did not load the page again. The test fails if a script of
    the page raises an error; `page.errors` holds the errors. The console is ignored, because ComfyUI's requests fill it
    with unrelated messages.
    """
    renderer, frontend = request.param
    if kept_page.kind != request.param:
        kept_page.stack.close()
        kept_page.page = kept_page.stack.enter_context(comfy_page(browser, browser_server(frontend), renderer))
        kept_page.kind = request.param
    page = kept_page.page
    page.frontend = frontend
    loads, failed = [], request.session.testsfailed

    def on_load(loaded_page):
        loads.append(loaded_page)

    page.on("domcontentloaded", on_load)
    kept_page.kind = None
    yield page
    page.remove_listener("domcontentloaded", on_load)
    errors = list(page.errors)
    if errors or loads or request.session.testsfailed > failed:
        kept_page.stack.close()
    else:
        clear(page)
        kept_page.kind = request.param
    assert not errors, "\n".join(errors)
