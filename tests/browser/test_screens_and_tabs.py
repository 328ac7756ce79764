"""The live view on a dense screen, and after another workflow was open in between."""

from contextlib import contextmanager

import pytest

from browser.live_page import VIEW, build, drag, pokes, run, settle, steady, view, wait_equal, wait_pokes, wait_ready

COMMAND = "(name) => app.extensionManager.command.execute(name)"


@contextmanager
def dense_screen(page, density):
    """A page whose screen has more pixels than CSS counts."""
    session = page.context.new_cdp_session(page)
    size = page.viewport_size
    session.send("Emulation.setDeviceMetricsOverride", {**size, "deviceScaleFactor": density, "mobile": False})
    try:
        yield
    finally:
        session.send("Emulation.clearDeviceMetricsOverride")
        session.detach()
        page.set_viewport_size(size)


def poke_the_middle(page, count):
    drag(page, (0.45, 0.5), (0.6, 0.55))
    page.mouse.up()
    wait_pokes(page, count)
    assert pokes(page)[-1]["x"] == pytest.approx(0.45, abs=0.01)
    assert pokes(page)[-1]["dx"] == pytest.approx(0.15, abs=0.01)


def test_a_dense_screen_gets_all_its_pixels_and_pokes_land_where_they_are_made(page):
    with dense_screen(page, 2):
        selector = build(page)
        run(page)
        settle(page, selector)
        pixels, shown = page.locator(selector).evaluate(
            "(canvas) => [canvas.width, canvas.getBoundingClientRect().width / app.canvas.ds.scale]"
        )
        assert pixels == pytest.approx(2 * shown, rel=0.02)
        poke_the_middle(page, 1)


@pytest.mark.parametrize("page", [("canvas", "newest"), ("vue", "newest")], ids="-".join, indirect=True)
def test_the_live_view_comes_back_with_its_workflow(page):
    selector = build(page)
    run(page)
    settle(page, selector)
    poke_the_middle(page, 1)
    before = pokes(page)
    page.evaluate(COMMAND, "Comfy.NewBlankWorkflow")
    wait_equal(page.locator(VIEW).count, 0)
    page.evaluate(COMMAND, "Workspace.PreviousOpenedWorkflow")
    page.locator(selector).wait_for(state="visible")
    wait_ready(page)
    settle(page, selector)
    assert pokes(page) == before
    steady(lambda: view(page, "objects"))
    poke_the_middle(page, 2)
