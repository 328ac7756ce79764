"""The page opens in every renderer and frontend, with this pack in it."""


def test_page_is_the_one_asked_for(page):
    newest = page.evaluate("window.__COMFYUI_FRONTEND_VERSION__") != "1.32.9"
    assert newest == (page.frontend == "newest")
    assert bool(page.evaluate("LiteGraph.vueNodesMode")) == (page.renderer == "vue")


def test_webgl2_works(page):
    assert page.evaluate("document.createElement('canvas').getContext('webgl2') !== null")
