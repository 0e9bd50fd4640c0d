"""Train the quickstart's base model from nothing; `python train_base.py` writes `base/`.

About 7 minutes on 2 quiet cores. The base reads `corpus.txt` and does the exercises of `exercises.py`; it never
sees the quickstart's task.
The same seed gives the same weights only with the same torch, processor and number of threads.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from base_tokenizer import train_tokenizer
from evaluate import answer
from exercises import SEED, Exercise, Maker, common_words
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import OneCycleLR
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

HERE = Path(__file__).resolve().parent

CONTEXT = 512
ROW = 128  # tokens
EXERCISE_ROWS, PROSE_ROWS = 14, 2  # of each step
TOKENIZER_EXERCISES = 20_000
NO_LOSS = -100

Model = Any  # LlamaForCausalLM and PreTrainedTokenizerFast: the types that
Tokenizer = Any  # transformers gives their methods are too vague to check
Row = tuple[list[int], list[int], list[int]]  # tokens, positions, labels
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # the same


def read_corpus() -> str:
    return (HERE / "corpus.txt").read_text(encoding="utf-8")


def make_tokenizer(corpus: str) -> Tokenizer:
    exercises = islice(Maker(SEED, common_words(corpus)), TOKENIZER_EXERCISES)
    chats = (f"user\n\n{exercise.question}\nassistant\n\n{exercise.answer}" for exercise in exercises)
    return train_tokenizer([corpus, *chats], CONTEXT)


def make_model(tokenizer: Tokenizer) -> Model:
    torch.manual_seed(SEED)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=192,
            intermediate_size=512,
            num_hidden_layers=4,
            num_attention_heads=6,
            num_key_value_heads=6,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def prompt_of(exercise: Exercise) -> list[dict[str, str]]:
    return [{"role": "user", "content": exercise.question}]


class Rows:
    """Endless rows of ROW tokens: prose from anywhere in the corpus, or as many exercises as fit."""

    def __init__(self, tokenizer: Tokenizer, corpus: str) -> None:
        self.tokenizer = tokenizer
        self.prose = tokenizer.encode(corpus, add_special_tokens=False)
        self.exercises = iter(Maker(SEED, common_words(corpus)))
        self.generator = torch.Generator().manual_seed(SEED)
        self.drawn = 0
        self.left_over = self.next_exercise()

    def next_exercise(self) -> tuple[list[int], list[int]]:
        """Tokens and labels of one conversation; the loss is on the answer and the end of its turn."""
        exercise = next(self.exercises)
        self.drawn += 1
        prompt = self.tokenizer.apply_chat_template(prompt_of(exercise), add_generation_prompt=True, tokenize=False)
        ends = f"{exercise.answer}{self.tokenizer.eos_token}"
        start, end = (self.tokenizer.encode(text, add_special_tokens=False) for text in (prompt, ends))
        return start + end, [NO_LOSS] * len(start) + end

    def prose_row(self) -> Row:
        first = int(torch.randint(len(self.prose) - ROW, (), generator=self.generator))
        tokens = [self.tokenizer.bos_token_id, *self.prose[first : first + ROW - 1]]
        return tokens, list(range(ROW)), tokens

    def exercise_row(self) -> Row:
        tokens: list[int] = []
        positions: list[int] = []
        labels: list[int] = []
        while len(tokens) + len(self.left_over[0]) <= ROW:
            positions += range(len(self.left_over[0]))  # each conversation starts at 0 and sees itself only
            tokens += self.left_over[0]
            labels += self.left_over[1]
            self.left_over = self.next_exercise()
        rest = ROW - len(tokens)
        return (
            tokens + [self.tokenizer.pad_token_id] * rest,
            positions + [0] * rest,
            labels + [NO_LOSS] * rest,
        )

    def batches(self) -> Iterator[Batch]:
        while True:
            rows = [self.exercise_row() for _ in range(EXERCISE_ROWS)]
            rows += [self.prose_row() for _ in range(PROSE_ROWS)]
            tokens, positions, labels = (torch.tensor(column) for column in zip(*rows, strict=True))
            yield tokens, positions, labels


def next_token_loss(model: Model, batch: Batch) -> torch.Tensor:
    """Logits are made only where there is a loss: half of the tokens have none."""
    tokens, positions, labels = batch
    hidden = model.model(input_ids=tokens, position_ids=positions, use_cache=False).last_hidden_state[:, :-1]
    wanted = labels[:, 1:] != NO_LOSS
    return cross_entropy(model.lm_head(hidden[wanted]), labels[:, 1:][wanted])


def train(model: Model, rows: Rows, steps: int, learning_rate: float) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.95), weight_decay=0.1)
    schedule = OneCycleLR(optimizer, learning_rate, total_steps=steps, pct_start=0.05)
    start = time.time()
    losses: list[float] = []
    for step, batch in enumerate(islice(rows.batches(), steps), 1):
        loss = next_token_loss(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if step % 50 == 0:
            recent = sum(losses[-50:]) / 50
            print(f"step {step}/{steps}  loss {recent:.3f}  {time.time() - start:.0f} s", flush=True)


def exercise_scores(model: Model, tokenizer: Tokenizer, corpus: str) -> dict[str, float]:
    """Greedy exact match by kind of exercise, on exercises of another seed."""
    tokenizer.padding_side = "left"
    right, seen = Counter[str](), Counter[str]()
    exercises = list(islice(Maker(SEED + 1, common_words(corpus)), 1000))
    for start in range(0, len(exercises), 100):
        chunk = exercises[start : start + 100]
        answers = answer(model, tokenizer, [prompt_of(exercise) for exercise in chunk], max_new_tokens=48)
        seen.update(exercise.kind for exercise in chunk)
        right.update(each.kind for each, text in zip(chunk, answers, strict=True) if text == each.answer)
    return {kind: right[kind] / seen[kind] for kind in sorted(seen)}


def save(model: Model, tokenizer: Tokenizer, folder: Path) -> None:
    tokenizer.padding_side = "right"
    tokenizer.backend_tokenizer.no_padding()  # or the left padding of `exercise_scores` would be written
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model.half().save_pretrained(folder)
    # Kept small on disk, but loaded in float32, which is what a CPU computes in: some tools take the type from here.
    model.config.dtype = "float32"
    model.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    name_tokenizer_class(folder / "tokenizer_config.json")


def name_tokenizer_class(path: Path) -> None:
    """Write the class's name that every release of transformers knows, where release 5 writes a new one."""
    config = json.loads(path.read_text(encoding="utf-8"))
    config.pop("backend", None)
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE / "base")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    corpus = read_corpus()
    tokenizer = make_tokenizer(corpus)
    model = make_model(tokenizer)
    rows = Rows(tokenizer, corpus)
    print(f"{model.num_parameters():,} parameters, {len(rows.prose):,} tokens of prose")
    train(model, rows, args.steps, args.learning_rate)
    print(f"{rows.drawn:,} exercises seen")
    for kind, score in exercise_scores(model, tokenizer, corpus).items():
        print(f"{kind:15} {score:6.1%}")
    save(model, tokenizer, args.out)


if __name__ == "__main__":
    main()
