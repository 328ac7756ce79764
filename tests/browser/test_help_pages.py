"""The help of the nodes in the language of the page: its texts, images and tables as a reader sees them."""

import pytest

from browser.live_page import OPEN, wait_equal, wait_for

HELP = ".node-help-content"
SELECT = """(type) => {
  const graph = app.rootGraph ?? app.graph, node = LiteGraph.createNode(type);
  graph.clear();
  graph.add(node);
  node.pos = [600, 300];  // its buttons are clear of the panels on both sides
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset[0] = app.canvas.ds.offset[1] = 0;
  app.canvas.selectItems([node]);
}"""
LOADED = f"() => [...document.querySelectorAll('{HELP} img')].every((image) => image.complete)"
# What a reader would miss: images that did not load or are cut off, and tables that are wider than the help where
# nothing scrolls.
UNSEEN = f"""() => {{
  const edge = document.querySelector("{HELP}").getBoundingClientRect().right + 1;
  const wide = (element) => element.getBoundingClientRect().right > edge;
  const scrolls = (element) => element
    && (getComputedStyle(element).overflowX === "auto" || scrolls(element.parentElement));
  return [...document.querySelectorAll("{HELP} img, {HELP} table")]
    .filter((e) => (e.matches("img") && !e.naturalWidth) || (wide(e) && !scrolls(e)))
    .map((e) => e.src ?? e.innerText.slice(0, 40));
}}"""


def open_help(page, node_id):
    """Select a new node and open its help."""
    page.evaluate(SELECT, node_id)
    page.locator('[data-testid="info-button"]').click()
    page.locator(f"{HELP} h1").wait_for(state="visible")


@pytest.fixture
def chinese_page(page):
    page.server.post("/settings", {"Comfy.Locale": "zh"})
    page.goto(page.server.url)
    wait_for(page, OPEN, progress="performance.getEntriesByType('resource').length")
    yield page
    page.server.post("/settings", {"Comfy.Locale": "en"})


@pytest.mark.parametrize("page", [("canvas", "pinned"), ("vue", "newest")], ids="-".join, indirect=True)
def test_a_chinese_page_shows_chinese_help(chinese_page, repo, tmp_path):
    page = chinese_page
    for path in sorted((repo / "js" / "docs").glob("*/zh.md")):
        title = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        open_help(page, path.parent.name)
        wait_equal(page.locator(f"{HELP} h1").inner_text, title)
        wait_for(page, LOADED)
        page.screenshot(path=tmp_path / f"{path.parent.name}_{page.frontend}.png")
        assert page.evaluate(UNSEEN) == [], path
        assert "**" not in page.locator(HELP).inner_text(), f"{path} has marks that Markdown does not read"
