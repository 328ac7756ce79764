"""Loading a model and predicting import no package whose import takes seconds."""

import os
import subprocess
import sys

SLOW = ("diffusers", "transformers", "torch._dynamo", "sympy")
CODE = """
import sys
import torch
from gid_core.models.checkpoint import load_model
from gid_core.models.sampling import Condition, sample_latents
before = set(sys.modules)
model = load_model()
condition = Condition(torch.zeros(1, 16, 4, 4), torch.ones(1, 16, 2, 4, 4))
latents = sample_latents(model, condition, torch.ones(1, 16, 4, 4, 4), steps=2)
with torch.inference_mode():
    model.to_coefficients(latents, condition.prior)
print(*(set(sys.modules) - before))
"""


def test_loading_and_sampling_import_nothing_slow(repo):
    environment = {**os.environ, "PYTHONPATH": str(repo)}
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert not set(done.stdout.split()) & set(SLOW)
    assert len(done.stdout.split()) < 150
