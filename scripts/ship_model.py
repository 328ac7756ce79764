"""Put a trained model into the pack: python scripts/ship_model.py runs/coordinate/model.safetensors

Weights become fp16; the encoder's share that only classification needs is not among them. Write the model card too.
"""

from __future__ import annotations

import sys

from gid_core.models.checkpoint import SHIPPED, load_model, read_header, save_model


def main() -> None:
    source = sys.argv[1]
    model = load_model(source)
    SHIPPED.parent.mkdir(exist_ok=True)
    save_model(SHIPPED, model, steps=read_header(source).get("steps", ""), license="Apache-2.0")
    parts = {name: sum(p.numel() for p in part.parameters()) / 1e6 for name, part in model.named_children()}
    print(SHIPPED, f"{SHIPPED.stat().st_size / 1e6:.1f} MB", {name: round(count, 2) for name, count in parts.items()})


if __name__ == "__main__":
    main()
