"""Count how many rows a model answers exactly, with or without an adapter.

Needs transformers and peft, nothing of ftc.

    python evaluate.py --base base --data data/heldout.jsonl                    # before
    python evaluate.py --base base --data data/heldout.jsonl --adapter FOLDER   # after
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from logging import ERROR, getLogger
from pathlib import Path
from typing import Any

# Of libraries to one another: what the next version calls otherwise, a faster kernel for 4 bits.
warnings.filterwarnings("ignore", category=FutureWarning)
getLogger("bitsandbytes").setLevel(ERROR)

import torch  # noqa: E402
from peft import PeftModel  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer, logging  # noqa: E402

HERE = Path(__file__).resolve().parent
FORMATTER = argparse.RawDescriptionHelpFormatter
Chat = list[dict[str, str]]


def read_chats(path: Path, limit: int | None) -> list[Chat]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["messages"] for line in lines[:limit]]


def load(base: Path, adapter: Path | None) -> tuple[Any, Any]:
    logging.disable_progress_bar()  # it is loaded in a blink
    tokenizer: Any = AutoTokenizer.from_pretrained(base, padding_side="left")
    # Stored in 16 bits, but a CPU computes in 32: its 16-bit arithmetic is many times slower.
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, str(adapter))
    return model.eval(), tokenizer


@torch.no_grad()
def answer(model: Any, tokenizer: Any, prompts: list[Chat], max_new_tokens: int) -> list[str]:
    """The most likely answers, token by token; prompts are padded on the left so that all end together."""
    inputs = tokenizer.apply_chat_template(
        prompts, add_generation_prompt=True, padding=True, return_dict=True, return_tensors="pt"
    )
    output = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
    return tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def show_progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        bar = "#" * (30 * done // total)
        print(f"\r[{bar:30}] {done}/{total}", end="\n" if done == total else "", file=sys.stderr, flush=True)


def answer_all(model: Any, tokenizer: Any, chats: list[Chat], batch: int, max_new_tokens: int) -> list[str]:
    answers: list[str] = []
    for start in range(0, len(chats), batch):
        prompts = [chat[:-1] for chat in chats[start : start + batch]]
        answers += answer(model, tokenizer, prompts, max_new_tokens)
        show_progress(len(answers), len(chats))
    return answers


def compare(chats: list[Chat], answers: list[str]) -> list[dict[str, Any]]:
    return [
        {
            "input": chat[-2]["content"],
            "expected": chat[-1]["content"],
            "answer": text,
            "correct": text.strip() == chat[-1]["content"].strip(),
        }
        for chat, text in zip(chats, answers, strict=True)
    ]


def describe(row: dict[str, Any]) -> str:
    verdict = "" if row["correct"] else f", not {row['expected']!r}"
    return f"{row['input']!r} -> {row['answer']!r}{verdict}"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=FORMATTER)
    parser.add_argument("--base", type=Path, default=HERE / "base", help="folder of the base model")
    parser.add_argument("--adapter", type=Path, help="folder of a trained adapter; left out: the base alone")
    parser.add_argument("--data", type=Path, default=HERE / "data" / "heldout.jsonl", help="rows to answer")
    parser.add_argument("--limit", type=int, help="only the first rows")
    parser.add_argument("--show", type=int, default=3, help="how many answers to print")
    parser.add_argument("--json", type=Path, help="write the result here as well")
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--max-new-tokens", type=int, default=16)
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    start = time.perf_counter()
    model, tokenizer = load(args.base, args.adapter)
    chats = read_chats(args.data, args.limit)
    rows = compare(chats, answer_all(model, tokenizer, chats, args.batch_size, args.max_new_tokens))
    correct = sum(row["correct"] for row in rows)
    seconds = time.perf_counter() - start
    for row in rows[: args.show]:
        print(describe(row))
    print(f"{correct} of {len(rows)} exactly right: {correct / len(rows):.1%} ({seconds:.0f} s)")
    if args.json:
        score = {"correct": correct, "total": len(rows), "accuracy": correct / len(rows)}
        result = {**score, "seconds": round(seconds, 1), "rows": rows}
        args.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
