"""Speed of softmax_splat beside the plain scatter_add_ form of the same function and OpenCV's backward remap."""

import numpy as np
import torch

from benchmarks.measure import in_turn, median_ms, median_ratio, report
from gid_core.rendering.softmax_splatting import softmax_splat

FRAMES = 8


def plain_splat(features, flow, importance):
    """The usual formulation: four corners, each a full-size product scattered into the picture."""
    count, _, height, width = flow.shape
    weight = (importance - importance.max()).exp()
    values = torch.cat([features * weight, weight, torch.ones_like(weight)], 1).expand(count, -1, -1, -1)
    x = torch.arange(width, device=flow.device) + flow[:, 0]
    y = torch.arange(height, device=flow.device)[:, None] + flow[:, 1]
    left, top = x.floor(), y.floor()
    sums = torch.zeros(count, values.shape[1], height * width, device=flow.device)
    for step_y in (0, 1):
        for step_x in (0, 1):
            corner_x, corner_y = left + step_x, top + step_y
            bilinear = (1 - (x - corner_x).abs()) * (1 - (y - corner_y).abs())
            inside = (corner_x >= 0) & (corner_x < width) & (corner_y >= 0) & (corner_y < height)
            index = (corner_y.clamp(0, height - 1) * width + corner_x.clamp(0, width - 1)).long()
            index = index.view(count, 1, -1).expand(-1, values.shape[1], -1)
            sums.scatter_add_(2, index, (values * (bilinear * inside)[:, None]).flatten(2))
    sums = sums.view(count, -1, height, width)
    total = sums[:, -2:-1]
    return sums[:, :-2] / torch.where(total > 1e-30, total, 1), sums[:, -1:]


def remap(image, flow):
    """OpenCV's bilinear backward warp with the same flow: faster, but wrong where things cover one another."""
    import cv2

    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return [cv2.remap(image, x - f[0], y - f[1], cv2.INTER_LINEAR) for f in flow]


def main() -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    random = torch.Generator().manual_seed(0)
    rows = []
    for height, width, channels in ((288, 512, 3), (288, 512, 4), (720, 1280, 3)):
        coarse = torch.randn(FRAMES, 2, 9, 16, generator=random) * (4 * width / 512)
        flow = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic").to(device)
        features = torch.rand(1, channels, height, width, generator=random).to(device)
        importance = flow.norm(dim=1, keepdim=True).mean(0, keepdim=True)
        image, flow_array = features[0].permute(1, 2, 0).cpu().numpy().copy(), flow.cpu().numpy()

        def plain_one_by_one(features=features, flow=flow, importance=importance):
            for frame in flow:
                plain_splat(features, frame[None], importance)

        functions = {
            "ours": lambda f=features, w=flow, z=importance: softmax_splat(f, w, z),
            "one": lambda f=features, w=flow, z=importance: softmax_splat(f, w[:1], z),
            "plain_one": lambda f=features, w=flow, z=importance: plain_splat(f, w[:1], z),
            "plain": plain_one_by_one,
            "remap": lambda i=image, w=flow_array: remap(i, w),
        }
        own, rival = softmax_splat(features, flow, importance), plain_splat(features, flow, importance)
        for a, b in zip(own, rival, strict=True):
            torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)
        times = in_turn(functions)
        rows.append(
            [
                f"{width} x {height}, {channels} channels",
                f"{median_ms(times['ours']) / FRAMES:.2f}",
                f"{median_ms(times['plain']) / FRAMES:.2f}",
                f"{median_ms(times['remap']) / FRAMES:.2f}",
                f"**{median_ratio(times['plain'], times['ours']):.2f} x**",
                f"{median_ratio(times['plain_one'], times['one']):.2f} x",
            ]
        )
    report(
        "splatting",
        "Softmax splatting",
        ["picture", "ours, ms a frame", "plain, ms a frame", "remap, ms a frame", "speed-up", "speed-up, one frame"],
        rows,
        f"""
Ours: `gid_core.softmax_splat` on {FRAMES} frames of one photo in a call. Plain: the same result (checked) by four
`scatter_add_` over full-size products, one frame a call, which is faster for it than {FRAMES} together. Remap:
`cv2.remap`, backward, without occlusion. Medians of 15 rounds in turn; speed-up: median of the rounds' ratios.
""",
    )


if __name__ == "__main__":
    main()
