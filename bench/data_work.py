"""One contender at work in a process of its own: what it takes to prepare a file, as JSON on standard output.

    python bench/data_work.py ours rows.jsonl folder

Seconds are counted from when everything is imported and the tokenizer is loaded, to when rows can be asked for.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest.mock import patch

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # as train.py does: processes, not threads

ROOT = Path(__file__).resolve().parents[1]
BASE = ROOT / "recipes" / "quickstart" / "base"
WORKERS = 2
MAX_LENGTH = 2048


def _cpu() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@dataclass(frozen=True)
class Found:
    """`cpu`: seconds of all processes together. `check`: seconds of reading and checking alone, where that can be told
    apart. `resting`: bytes of memory before it starts."""

    seconds: float
    cpu: float
    rows: int
    tokens: int
    trained_tokens: int
    bins: int
    resting: int
    check: float | None = None


@dataclass(frozen=True)
class Clock:
    """Begins when it is made."""

    wall: float = field(default_factory=perf_counter)
    cpu: float = field(default_factory=_cpu)
    resting: int = field(default_factory=_resident)

    def told(self) -> dict[str, Any]:
        """What it took until now."""
        return {"seconds": perf_counter() - self.wall, "cpu": _cpu() - self.cpu, "resting": self.resting}


def ours(path: Path, folder: Path) -> Found:
    """Read, checked, rendered, masked, truncated, packed, and written so that later runs find it."""
    from backends.native import prepared as native
    from backends.native.data import Rules
    from backends.native.examine import Examiner, Job
    from backends.native.parallel import in_order
    from backends.native.rows import stretches
    from schemas.recipe import Fields

    tokenizer = _tokenizer()
    source = {"path": str(path), "local": True, "format": "messages", "split": "train", "subset": None}
    source |= {"revision": None, "weight": 1.0, "limit": None, "fields": Fields().model_dump()}
    job = Job((source,), None, None, True, Rules("assistant", MAX_LENGTH, "truncate"), False, 0)
    clock = Clock()
    with patch.object(native, "workers", lambda _: WORKERS):  # whatever the machine has
        found = native.prepared(job, native.Packing(MAX_LENGTH, None), tokenizer, folder)
    told = clock.told()
    start = perf_counter()
    examiner = Examiner(job, job.train, None)
    for _ in in_order(lambda stretch: len(examiner.examine(stretch)), stretches(job.train), WORKERS):
        pass
    check = perf_counter() - start
    counts = {name: found.counts["train"][name] for name in ("tokens", "trained_tokens")}
    return Found(**told, **counts, rows=found.counts["train"]["read"], bins=len(found.train), check=check)


def trl(path: Path, folder: Path) -> Found:
    """What SFTTrainer does to its data set before it trains."""
    from datasets import load_dataset
    from trl import SFTConfig, SFTTrainer

    tokenizer = _tokenizer()
    # As its constructor leaves them, but without a model, which preparing does not ask for.
    trainer = SFTTrainer.__new__(SFTTrainer)
    trainer._tokenizer, trainer.chat_template, trainer.completion_only_loss = tokenizer, tokenizer.chat_template, False
    options: dict[str, Any] = {"assistant_only_loss": True, "packing": True, "packing_strategy": "bfd"}
    options |= {"max_length": MAX_LENGTH, "dataset_num_proc": WORKERS, "use_cpu": True, "bf16": False}
    config = SFTConfig(output_dir=str(folder), report_to=[], **options)
    clock = Clock()
    rows = load_dataset("json", data_files=str(path), split="train")
    packed = trainer._prepare_dataset(rows, tokenizer, config, True, None, "train")
    return _counted(clock, len(rows), packed)


def plain(path: Path, _: Path) -> Found:
    """What one writes by hand: one `map` over batches, without checks and without packing."""
    import numpy as np
    from datasets import load_dataset

    tokenizer = _tokenizer()

    def work(batch: dict[str, Any]) -> dict[str, Any]:
        coded = tokenizer.apply_chat_template(
            batch["messages"], tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )
        ids = [np.array(each[:MAX_LENGTH], np.int32) for each in coded["input_ids"]]
        masks = [np.array(each[:MAX_LENGTH], bool) for each in coded["assistant_masks"]]
        return {"input_ids": ids, "labels": [np.where(mask, each, -100) for mask, each in zip(masks, ids, strict=True)]}

    clock = Clock()
    rows = load_dataset("json", data_files=str(path), split="train")
    mapped = rows.map(work, batched=True, num_proc=WORKERS, remove_columns=rows.column_names)
    return _counted(clock, len(rows), mapped)


def _counted(clock: Clock, rows: int, found: Any) -> Found:
    import numpy as np

    told = clock.told()
    tokens = trained = 0
    for batch in found.with_format("arrow").iter(1000):
        labels = batch["labels"].combine_chunks().flatten().to_numpy()
        tokens += len(labels)
        trained += int(np.count_nonzero(labels != -100))
    return Found(**told, rows=rows, tokens=tokens, trained_tokens=trained, bins=len(found))


def _tokenizer() -> Any:
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.logging.set_verbosity_error()
    return transformers.AutoTokenizer.from_pretrained(BASE)


CONTENDERS: dict[str, Callable[[Path, Path], Found]] = {"ours": ours, "trl": trl, "datasets.map": plain}

if __name__ == "__main__":
    name, path, folder = sys.argv[1:]
    print(json.dumps(asdict(CONTENDERS[name](Path(path), Path(folder)))))
