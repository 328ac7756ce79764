"""A written video looks in Chromium as its frames do."""

import base64
import shutil

import pytest
import torch

import gid_core as gid
from browser.live_page import ACTION_TIMEOUT, CHROMIUM_NAMES, CHROMIUM_OPTIONS

COLORS = [(200, 60, 30), (255, 255, 255), (0, 0, 0), (128, 128, 128), (10, 200, 250), (30, 90, 20), (60, 60, 200)]
READ_PIXEL = """async ([type, data]) => {
    const video = document.createElement("video");
    document.body.append(video);
    video.muted = true;
    video.src = `data:${type};base64,${data}`;
    await new Promise((shown, failed) => {
        video.onerror = () => failed(video.error.message);
        video.requestVideoFrameCallback(shown);
        video.play();
    });
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    const context = canvas.getContext("2d");
    context.drawImage(video, 0, 0);
    video.remove();
    return [...context.getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data];
}"""


@pytest.fixture(scope="module")
def page_with_gpu(browser):
    """An empty page of a Chromium that draws as with a graphics card.

    Without one it converts colors by libyuv, whose factor from U to blue is clipped from 2.11 to 2 for any BT.709
    video: blue is then wrong by up to 8 of 255.
    """
    options = (*CHROMIUM_OPTIONS, "--use-angle=swiftshader", "--ignore-gpu-blocklist", "--enable-gpu-rasterization")
    executable = next(filter(None, map(shutil.which, CHROMIUM_NAMES)))
    drawing_browser = browser.browser_type.launch(executable_path=executable, args=options, timeout=ACTION_TIMEOUT)
    yield drawing_browser.new_page()
    drawing_browser.close()


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
@pytest.mark.parametrize("size", [(96, 128), (720, 1280), (95, 127)])
def test_flat_colors_are_shown_within_2_of_255(page_with_gpu, tmp_path, size, suffix):
    for color in COLORS[::5] if size[0] > 500 else COLORS:
        path = gid.write_video(tmp_path / f"a{suffix}", (torch.tensor(color) / 255).expand(2, *size, 3), 10)
        data = base64.b64encode(path.read_bytes()).decode()
        shown = page_with_gpu.evaluate(READ_PIXEL, [f"video/{suffix[1:]}", data])
        assert max(abs(value - expected) for value, expected in zip(shown, color, strict=False)) <= 2, (color, shown)
