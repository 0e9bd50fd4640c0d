"""Run by itself in a child process, which may crash: what torch sees, and whether bitsandbytes computes on the card."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

MARK = "ftc-doctor:"


def look() -> dict[str, Any]:
    """What can be seen; each part only where the one before it worked."""
    torch: Any = import_module("torch")
    found: dict[str, Any] = {
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "hip": torch.version.hip,
        "sees": bool(torch.cuda.is_available()),
    }
    if found["sees"]:
        found["arches"] = torch.cuda.get_arch_list()
        found["capability"] = list(torch.cuda.get_device_capability(0))
        found["adds"] = adds(torch)
        found["bitsandbytes"] = quantises(torch)
    return found


def adds(torch: Any) -> str:
    """ "works", or what goes wrong: a card may be full, or of a kind that this torch has no code for."""
    try:
        return "works" if float((torch.ones(2, device="cuda") + 1).sum()) == 4.0 else "1 and 1 is not 2"
    except Exception as error:
        return _said(error)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def quantises(torch: Any) -> str:
    """ "works", or what goes wrong; a value is taken to 4 bit and back."""
    try:
        functional: Any = import_module("bitsandbytes.functional")
        packed, state = functional.quantize_4bit(torch.ones(64, 64, device="cuda", dtype=torch.float16))
        back = functional.dequantize_4bit(packed, state)
        return "works" if bool((back == 1).all()) else "gives wrong numbers"
    except Exception as error:
        return _said(error)


if __name__ == "__main__":
    print(MARK + json.dumps(look()))  # noqa: T201 - its answer
