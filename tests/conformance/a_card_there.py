"""Makes torch answer as beside an H100, for what looks at the card while it is imported."""

from __future__ import annotations

from types import SimpleNamespace

import torch

PROPERTIES = SimpleNamespace(
    name="NVIDIA H100 80GB HBM3", total_memory=80 << 30, major=9, minor=0, multi_processor_count=132, gcnArchName=""
)
torch.cuda.get_device_properties = lambda *_, **__: PROPERTIES
torch.cuda.get_device_capability = lambda *_, **__: (9, 0)
torch.cuda.is_bf16_supported = lambda *_, **__: True
