# pyright: basic
"""One run on the card, in a process of its own: imports everything, says `ready`, and waits for the run's name.

    python bench/gpu/worker.py SCRIPTS RUNS OUT     (started by `bench/gpu/measure.py`)

SCRIPTS: the folder of a native artifact. A line `memory NAME` measures the memory of two steps, by the artifact's own
`measure.py`; `speed NAME STEP ROWS` trains with that kind of step (`speed.py`) on `full` rows of one document, or
`chat` rows of many. What came of it is written to OUT as a line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

SCRIPTS, RUNS, OUT = (Path(word).resolve() for word in sys.argv[1:4])
sys.path[:0] = [str(SCRIPTS), str(Path(__file__).resolve().parent)]
os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def planned(kind: str, name: str) -> tuple[dict[str, Any], str]:
    """The plan, with its base in a folder that is here; and what the base is called."""
    plan = json.loads((RUNS / kind / f"{name}.json").read_text("utf-8"))
    base = plan["model"]["base"]
    plan["model"]["base"] = str(RUNS / "models" / base)
    return plan, base


def memory(name: str) -> dict[str, Any]:
    """A calibration, as `ftc run --measure --random-weights` writes it."""
    from measure import measure  # pyright: ignore[reportMissingImports] (of the artifact)

    plan, base = planned("memory", name)
    found = measure(plan, SCRIPTS, DEVICE, random=True)
    found["settings"]["model"] = {**found["settings"]["model"], "base": base}
    for source in found["settings"]["data"]["train"]:  # where it lay says nothing: the rows are made up
        source["path"] = Path(source["path"]).name
    return {"case": name, "calibration": found}


def speed(name: str, step: str, rows: str) -> dict[str, Any]:
    from speed import run

    return {"case": name, "step": step, "rows": rows, **run(planned("speed", name)[0], step, rows, DEVICE)}


def main() -> None:
    import datasets
    import measure  # noqa: F401 - everything is imported before the card is touched
    import transformers

    datasets.disable_progress_bars()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    print("ready", flush=True)
    words = sys.stdin.readline().split()
    if not words:
        return
    begun = time.perf_counter()
    try:
        found = memory(*words[1:]) if words[0] == "memory" else speed(*words[1:])
    except Exception as error:  # the next run goes on
        found = {"case": " ".join(words), "error": f"{type(error).__name__}: {error}"[:600]}
        found["story"] = traceback.format_exc()[-1500:]
    found["seconds"] = round(time.perf_counter() - begun, 1)
    with OUT.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"kind": words[0], **found}) + "\n")


DEVICE = os.environ.get("FTC_DEVICE", "cuda:0")

if __name__ == "__main__":
    main()
