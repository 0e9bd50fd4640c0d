"""New tokens on the native target: their rows are made, trained, saved, loaded by others and merged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec.structs import replace
from native_base import COLORS, Ground, full, lora, make_base, make_plan, source, write_rows
from test_train import metrics_of, reloaded, summary_of, train_here
from trace_models import LLAMA, a_folder, a_small_plan

from backends.native import losses
from compiler.memory import weigh
from compiler.trace.exact import weigh_exact
from schemas.method_plan import PromptPlan
from schemas.plan import Plan, PreferencePlan, TokensPlan

TOKENS = tuple(f"<{color}>" for color in COLORS)


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same base, its head being its embedding."""
    from transformers import AutoConfig, AutoModelForCausalLM

    folder = make_base(tmp_path_factory.mktemp("tied") / "base")
    config = AutoConfig.from_pretrained(folder, tie_word_embeddings=True)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


@pytest.fixture
def learning(ground: Ground, tmp_path: Path) -> Callable[..., Plan]:
    """Plans whose answers are new tokens, each of which was many before."""

    def make(base: Path | None = None, **sections: Any) -> Plan:
        rows = [{"messages": [_turn("user", f"car {at}?"), _turn("assistant", TOKENS[at % 8])]} for at in range(96)]
        made = make_plan(base or ground.base, source(write_rows(tmp_path / "rows.jsonl", rows)), tmp_path / "out")
        tokens = TokensPlan(None, None, None, TOKENS)
        made = replace(made, model=replace(made.model, tokens=tokens))
        for name, change in sections.items():
            value = replace(getattr(made, name), **change) if isinstance(change, dict) else change
            made = replace(made, **{name: value})
        return made

    return make


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def said(model: Any, tokenizer: Any) -> torch.Tensor:
    ids = tokenizer("car 1? <red> <blue>", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        return model.eval()(input_ids=ids).logits


METHODS = {
    "lora": {},
    "dora": {"method": lora("dora")},
    "qlora": {"method": lora("qlora")},
    "lora, the head whole": {"method": lora(modules_to_save=("lm_head",))},
    "full": {"method": full()},
}
TIED = {"lora": {}, "full": {"method": full()}}
CASES = [(name, said, False) for name, said in METHODS.items()] + [(name, said, True) for name, said in TIED.items()]


def trained_model(plan: Plan, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The model of a run as it was when it was saved."""
    from backends.native import result

    seen: list[Any] = []
    save = result.save

    def saving(plan: Any, model: Any, *rest: Any, **named: Any) -> None:
        seen.append(model)
        save(plan, model, *rest, **named)

    monkeypatch.setattr(result, "save", saving)
    assert train_here(plan, folder) == 0
    return seen[0]


@pytest.mark.parametrize(("method", "sections", "shared"), CASES, ids=lambda value: str(value)[:24])
def test_new_tokens_are_trained_and_reload_and_merge(
    method: str, sections: dict[str, Any], *, shared: bool, learning: Any, tied: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    made = learning(tied if shared else None, **sections)
    if method != "full":
        made = replace(made, output=replace(made.output, merge=True))
    model = trained_model(made, tmp_path / "artifact", monkeypatch)
    out = Path(made.output.dir)
    kept = out / ("model" if method == "full" else "adapter")
    tokenizer = AutoTokenizer.from_pretrained(kept)
    assert tokenizer("<red>", add_special_tokens=False)["input_ids"] == [tokenizer.convert_tokens_to_ids("<red>")]
    trained = said(model, tokenizer)
    near = 0.05 if method == "qlora" else 1e-5  # of the largest logit; a plain script does not quantise the base
    assert (said(reloaded(made), tokenizer) - trained).abs().max() <= near * trained.abs().max()
    if method == "full":
        return
    assert (kept / "adapter_model.safetensors").stat().st_size < 300_000  # rows of new tokens, not the embedding
    merged = AutoModelForCausalLM.from_pretrained(out / "merged")
    assert (said(merged, tokenizer) - trained).abs().max() <= near * trained.abs().max()
    _only_new_rows_moved(made, merged, tokenizer)


def _only_new_rows_moved(plan: Plan, merged: Any, tokenizer: Any) -> None:
    from transformers import AutoModelForCausalLM

    before = AutoModelForCausalLM.from_pretrained(plan.model.base)
    whole = plan.lora.modules_to_save if plan.lora else ()
    for name in ("embed_tokens", "lm_head"):
        get = "get_input_embeddings" if name == "embed_tokens" else "get_output_embeddings"
        old, new = (getattr(each, get)().weight for each in (before, merged))
        assert len(new) == len(tokenizer) > len(old)
        if name not in whole:
            assert torch.equal(new[: len(old)], old)
        for token in TOKENS:
            pieces = torch.tensor(_plain_tokenizer(plan)(token, add_special_tokens=False)["input_ids"])
            moved = new[tokenizer.convert_tokens_to_ids(token)] - old[pieces].mean(0)
            assert 1e-3 < moved.abs().max() < 0.5


def _plain_tokenizer(plan: Plan) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(plan.model.base)


def test_both_losses_learn_the_same_of_new_tokens(
    learning: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRL's chunked loss takes the head's weights as they are trained."""
    from backends.native import trainer

    monkeypatch.setattr(trainer, "FEW_LOGITS", 0)
    found = []
    for loss in ("full", "chunked"):
        made = learning(training={"loss": loss, "max_steps": 4}, output={"dir": str(tmp_path / loss)})
        assert train_here(made, tmp_path / f"{loss}-artifact") == 0
        found.append(summary_of(made)["loss"]["last_validation"])
    assert found[0] == pytest.approx(found[1], abs=1e-4)


def test_a_stopped_run_goes_on_with_the_rows_of_its_checkpoint(learning: Callable[..., Plan], tmp_path: Path) -> None:
    whole = learning(checkpoint={"every": 2}, training={"max_steps": 8})
    assert train_here(whole, tmp_path / "artifact") == 0
    checkpoints = Path(whole.output.dir) / "checkpoints"
    assert max(file.stat().st_size for file in checkpoints.glob("*/adapter_model.safetensors")) < 300_000
    lines = [line["loss"] for line in metrics_of(whole) if "loss" in line]
    for gone in ("summary.json", "checkpoints/checkpoint-8/complete.json"):
        (Path(whole.output.dir) / gone).unlink()
    assert train_here(whole, tmp_path / "artifact") == 0
    assert summary_of(whole)["resumed_at"] == 6
    assert [line["loss"] for line in metrics_of(whole) if "loss" in line] == lines


@pytest.mark.parametrize("objective", ["dpo", "orpo", "kto"])
def test_new_tokens_in_answers_that_are_compared(objective: str, learning: Callable[..., Plan], tmp_path: Path) -> None:
    pairs = [{"prompt": f"car {n}?", "chosen": TOKENS[n % 8], "rejected": TOKENS[(n + 1) % 8]} for n in range(96)]
    judged = [{"prompt": f"car {n}?", "completion": TOKENS[n % 8], "label": n % 16 < 8} for n in range(96)]
    kind = "kto" if objective == "kto" else "preference"
    rows = source(write_rows(tmp_path / "pairs.jsonl", judged if objective == "kto" else pairs), kind)
    preference = PreferencePlan(0.1, "sigmoid" if objective == "dpo" else None)
    training = {"objective": objective, "preference": preference, "max_steps": 16}
    made = learning(data={"train": (rows,), "validation": None}, training=training, evaluation={"every": None})
    assert train_here(made, tmp_path / "artifact") == 0
    assert summary_of(made)["loss"]["last"] < summary_of(made)["loss"]["first"]


def test_new_tokens_train_in_16_bit(learning: Callable[..., Plan], tmp_path: Path) -> None:
    """Where PEFT is kept from casting what goes into adapters."""
    made = learning(training={"max_steps": 2}, evaluation={"every": None})
    made = replace(made, model=replace(made.model, dtype="bfloat16"))
    assert train_here(made, tmp_path / "artifact") == 0


@pytest.mark.parametrize("loss", ["full", "chunked"])
@pytest.mark.parametrize("shared", [False, True])
def test_memory_of_single_rows_is_that_of_copies(loss: str, *, shared: bool, tmp_path: Path, monkeypatch: Any) -> None:
    """PEFT multiplies by copies of embedding and head: the formula counts what the trace sees."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    config = {**LLAMA, "vocab_size": 64_000, "tie_word_embeddings": shared}
    plain = a_small_plan(a_folder(tmp_path / "model", config), "lora", loss=loss, length=128)
    more = replace(plain, model=replace(plain.model, tokens=TokensPlan(None, None, None, ("<a>", "<b>"))))
    formula, trace = weigh(more, "native"), weigh_exact(more, "native", lambda _: None)
    assert formula.allocated == pytest.approx(trace.allocated, rel=2e-3)
    assert trace.allocated - weigh_exact(plain, "native", lambda _: None).allocated > 64_000 * 256 * 2 * 0.9


REFUSED = {
    "frozen": (
        {"method": full(freeze=("*embed_tokens*",))},
        "model.tokens.add",
        "their rows in embed_tokens are frozen",
    ),
    "all but a layer": (
        {"method": full(train_only=("model.layers.1*",))},
        "model.tokens.add",
        "embed_tokens and lm_head",
    ),
    "prompt": ({"method": PromptPlan("prompt_tuning", 4, None)}, "model.tokens.add", "prompt_tuning trains nothing of"),
    "an adapter on the head": (
        {"method": lora(target_modules=("q_proj", "lm_head"))},
        "method.target_modules",
        "lm_head",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_rows_that_would_stay_as_they_begin_are_refused(case: str, learning: Callable[..., Plan]) -> None:
    sections, path, words = REFUSED[case]
    found = [item for item in losses(learning(**sections)) if item.code == "FTC404"]
    assert [item.path for item in found] == [path]
    assert words in found[0].message
    assert not losses(learning())
