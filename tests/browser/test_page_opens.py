"""The page opens with this pack in each renderer and frontend."""


def test_page_has_the_requested_renderer_and_frontend(page):
    newest = page.evaluate("window.__COMFYUI_FRONTEND_VERSION__") != "1.32.9"
    assert newest == (page.frontend == "newest")
    assert bool(page.evaluate("LiteGraph.vueNodesMode")) == (page.renderer == "vue")


def test_webgl2_works(page):
    assert page.evaluate("document.createElement('canvas').getContext('webgl2') !== null")
