"""Install a trained model as the bundled checkpoint.

    python scripts/ship_model.py runs/frequency-attention/model.safetensors

Weights are rounded to fp16. The part of EfficientNet that only classification needs is not in a model's file. Update
the model card as well.
"""

from __future__ import annotations

import sys

from gid_core.models.checkpoint import BUNDLED_CHECKPOINT, load_model, read_header, save_model


def main() -> None:
    source = sys.argv[1]
    model = load_model(source)
    BUNDLED_CHECKPOINT.parent.mkdir(exist_ok=True)
    save_model(BUNDLED_CHECKPOINT, model, steps=read_header(source).get("steps", ""), license="Apache-2.0")
    parameters = {name: sum(p.numel() for p in part.parameters()) / 1e6 for name, part in model.named_children()}
    megabytes = BUNDLED_CHECKPOINT.stat().st_size / 1e6
    print(f"{BUNDLED_CHECKPOINT}: {megabytes:.1f} MB")
    print("Million parameters:", {name: round(count, 2) for name, count in parameters.items()})


if __name__ == "__main__":
    main()
