# pyright: basic
"""What the card can do at most: a large product in bfloat16 on random data, and a copy (bytes read and written)."""

from __future__ import annotations

import json

import torch

SIDE, RUNS, COPIED = 8192, 20, 4 << 30


def milliseconds(work: object) -> float:
    """The median of RUNS, by the device's clock."""
    call, found = work, []
    for turn in range(RUNS + 5):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        call()  # type: ignore[operator]
        end.record()
        end.synchronize()
        if turn >= 5:
            found.append(begin.elapsed_time(end))
    return sorted(found)[len(found) // 2]


def main() -> None:
    left, right = (torch.randn(SIDE, SIDE, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    bytes_ = torch.randint(255, (COPIED,), dtype=torch.uint8, device="cuda")
    there = torch.empty_like(bytes_)
    product = milliseconds(lambda: left @ right)
    copy = milliseconds(lambda: there.copy_(bytes_))
    found = {
        "card": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "product_tflops": round(2 * SIDE**3 / product / 1e9, 1),
        "copy_gb_s": round(2 * COPIED / copy / 1e6, 1),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
