"""Claim: softmax_splat is faster than its usual PyTorch formulation. Also timed: OpenCV's backward remap.

python -m benchmarks splatting
"""

import numpy as np
import torch
from torch import Tensor

from benchmarks.measure import interleaved_times, median_ms, median_ratio, write_results
from gid_core.rendering.softmax_splatting import softmax_splat

FRAMES = 8
SIZES = ((288, 512, 3), (288, 512, 4), (720, 1280, 3))  # height, width, channels
FLOW_STD = 4  # standard deviation of displacements, px at 512 wide


def scatter_splat(features: Tensor, flow: Tensor, importance: Tensor) -> tuple[Tensor, Tensor]:
    """The usual formulation: four corners, each a full-size product added with scatter_add_."""
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


def remap(image: np.ndarray, flow: np.ndarray) -> list[np.ndarray]:
    """OpenCV's bilinear backward warp with the same flow: faster, but wrong at occlusions."""
    import cv2

    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return [cv2.remap(image, x - f[0], y - f[1], cv2.INTER_LINEAR) for f in flow]


def measure(height: int, width: int, channels: int, rng: torch.Generator, device: str) -> list[str]:
    """A row of the table, for one image size."""
    coarse = torch.randn(FRAMES, 2, 9, 16, generator=rng) * (FLOW_STD * width / 512)
    flow = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic").to(device)
    features = torch.rand(1, channels, height, width, generator=rng).to(device)
    importance = flow.norm(dim=1, keepdim=True).mean(0, keepdim=True)
    image, flow_array = features[0].permute(1, 2, 0).cpu().numpy().copy(), flow.cpu().numpy()

    def scatter_frame_by_frame() -> None:
        for frame_flow in flow:
            scatter_splat(features, frame_flow[None], importance)

    results = softmax_splat(features, flow, importance), scatter_splat(features, flow, importance)
    for ours, usual in zip(*results, strict=True):
        torch.testing.assert_close(ours, usual, atol=1e-3, rtol=1e-3)
    times = interleaved_times(
        {
            "ours": lambda: softmax_splat(features, flow, importance),
            "ours, one frame": lambda: softmax_splat(features, flow[:1], importance),
            "plain, one frame": lambda: scatter_splat(features, flow[:1], importance),
            "plain": scatter_frame_by_frame,
            "remap": lambda: remap(image, flow_array),
        }
    )
    return [
        f"{width} x {height}, {channels} channels",
        f"{median_ms(times['ours']) / FRAMES:.2f}",
        f"{median_ms(times['plain']) / FRAMES:.2f}",
        f"{median_ms(times['remap']) / FRAMES:.2f}",
        f"**{median_ratio(times['plain'], times['ours']):.2f} x**",
        f"{median_ratio(times['plain, one frame'], times['ours, one frame']):.2f} x",
    ]


def main() -> None:
    """Write results/splatting.md."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rng = torch.Generator().manual_seed(0)
    rows = [measure(*size, rng, device) for size in SIZES]
    write_results(
        "splatting",
        "Softmax splatting",
        [
            "image",
            "ours, ms per frame",
            "plain, ms per frame",
            "remap, ms per frame",
            "speed-up",
            "speed-up, one frame",
        ],
        rows,
        f"""
Ours: `gid_core.softmax_splat` on {FRAMES} frames of one photo per call. Plain: the same result (checked) by four
`scatter_add_` of full-size products, one frame per call, which is faster for it than {FRAMES} together. Remap:
`cv2.remap`, backward, without occlusion. Medians of 15 interleaved rounds; speed-up: median of the rounds' ratios.
""",
    )


if __name__ == "__main__":
    main()
