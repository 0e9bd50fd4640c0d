"""Every way of adapting a base, for real: trained on a CPU, saved, loaded by a plain script, merged where it can be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from native_base import chats, full, lora, make_base, make_plan, source, write_rows
from peft import PeftModel
from peft.optimizers import create_loraplus_optimizer as create
from test_train import metrics_of, summary_of, train_here, validation_loss

from backends.native import emit
from schemas.method_plan import AdapterPlan, Ia3Plan, PrefixPlan, PromptPlan, PTuningPlan
from schemas.plan import Plan

QUICKSTART = Path(__file__).parents[1] / "recipes" / "quickstart"
ROWS = QUICKSTART / "data" / "train.jsonl"
METHODS: dict[str, tuple[Any, float]] = {
    "ia3": (Ia3Plan("ia3", ("k_proj", "v_proj", "down_proj"), ("down_proj",)), 0.1),
    "prefix tuning": (PrefixPlan("prefix_tuning", 8, None, False), 0.1),
    "prefix tuning from a text": (PrefixPlan("prefix_tuning", 8, "The car is red.", False), 0.1),
    "prefix tuning by a network": (PrefixPlan("prefix_tuning", 8, None, True), 3e-2),
    "prompt tuning": (PromptPlan("prompt_tuning", 8, None), 0.1),
    "prompt tuning from a text": (PromptPlan("prompt_tuning", 8, "The car is red."), 0.1),
    "p-tuning": (PTuningPlan("p_tuning", 8, None, 32), 3e-2),
    "pfeiffer": (AdapterPlan("adapter", 16, "relu", "pfeiffer"), 1e-2),
    "houlsby": (AdapterPlan("adapter", 16, "gelu", "houlsby"), 1e-2),
}


@pytest.fixture
def plan(tmp_path: Path) -> Callable[..., Plan]:
    def make(name: str, **sections: Any) -> Plan:
        method, rate = METHODS[name]
        training = {"max_steps": 30, "learning_rate": rate, **sections.pop("training", {})}
        plain = {"data": {"max_length": 128}, "logging": {"every": 1}, "evaluation": {"every": 30}}
        sections = {**plain, "method": method, **sections, "training": training}
        return make_plan(QUICKSTART / "base", source(ROWS), tmp_path / "out", **sections)

    return make


def reloaded(plan: Plan) -> Any:
    """What a plain script loads; bottleneck adapters by the file that stands beside `train.py`."""
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM

    from backends.native.bottlenecks import load_bottlenecks

    folder = Path(plan.output.dir) / "adapter"
    if isinstance(plan.method, AdapterPlan):
        return load_bottlenecks(AutoModelForCausalLM.from_pretrained(plan.model.base), folder).eval()
    return AutoPeftModelForCausalLM.from_pretrained(folder).eval()


@pytest.mark.parametrize("name", METHODS)
def test_methods_learn_and_are_loaded_as_they_were_trained(
    name: str, plan: Callable[..., Plan], tmp_path: Path
) -> None:
    made = plan(name, training={"loss": "full"})
    assert train_here(made, tmp_path / "artifact") == 0
    summary = summary_of(made)
    losses = [line["loss"] for line in metrics_of(made) if "loss" in line]
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])
    found = validation_loss(reloaded(made), tmp_path / "artifact")
    assert found == pytest.approx(summary["loss"]["last_validation"], abs=2e-3)


@pytest.mark.parametrize("name", ["prompt tuning", "prefix tuning", "p-tuning", "houlsby"])
def test_both_losses_are_the_same(name: str, plan: Callable[..., Plan], tmp_path: Path) -> None:
    """Virtual tokens stand before a row's own, and none of them is an answer."""
    found: dict[str, list[float]] = {}
    for loss in ("full", "chunked"):
        made = plan(name, training={"loss": loss, "max_steps": 3}, output={"dir": str(tmp_path / loss)})
        assert train_here(made, tmp_path / f"artifact-{loss}") == 0
        found[loss] = [line["loss"] for line in metrics_of(made) if "loss" in line]
    assert found["full"] == pytest.approx(found["chunked"], abs=1e-4)


@pytest.mark.parametrize("name", ["ia3", "prefix tuning", "prefix tuning by a network", "p-tuning", "houlsby"])
def test_a_checkpoint_holds_what_is_trained_alone_and_is_gone_on_from(
    name: str, plan: Callable[..., Plan], tmp_path: Path
) -> None:
    made = plan(name, training={"max_steps": 6}, checkpoint={"every": 3, "keep": 2})
    assert train_here(made, tmp_path / "artifact") == 0
    whole, out = metrics_of(made), Path(made.output.dir)
    size = sum(file.stat().st_size for file in (QUICKSTART / "base").glob("*.safetensors"))
    for weights in out.glob("checkpoints/*/*.safetensors"):
        assert weights.stat().st_size < size / 2
    shutil.rmtree(out / "checkpoints" / "checkpoint-6")
    shutil.rmtree(out / "adapter")
    assert train_here(made, tmp_path / "artifact") == 0
    assert summary_of(made)["resumed_at"] == 3
    again = metrics_of(made)
    assert [line.get("loss") for line in again] == [line.get("loss") for line in whole]


@pytest.mark.parametrize("name", ["prefix tuning by a network", "houlsby"])
def test_the_best_checkpoint_is_what_is_saved(name: str, plan: Callable[..., Plan], tmp_path: Path) -> None:
    made = plan(
        name,
        # Few rows, often: what is learnt of them by heart makes all others worse.
        data={"train": (source(ROWS, limit=36),), "validation": 32, "max_length": 128},
        training={"max_steps": 24},
        evaluation={"every": 2},
        checkpoint={"every": 2, "keep": 20, "best": True},
    )
    assert train_here(made, tmp_path / "artifact") == 0
    watched = [line["eval_loss"] for line in metrics_of(made) if "eval_loss" in line]
    found = validation_loss(reloaded(made), tmp_path / "artifact")
    assert min(watched) < watched[-1]
    assert found == pytest.approx(min(watched), abs=2e-3)


def test_ia3_is_merged(plan: Callable[..., Plan], tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    made = plan("ia3", output={"merge": True})
    assert train_here(made, tmp_path / "artifact") == 0
    merged = AutoModelForCausalLM.from_pretrained(Path(made.output.dir) / "merged").eval()
    ids = torch.arange(5, 40)[None]
    with torch.no_grad():
        assert torch.allclose(merged(input_ids=ids).logits, reloaded(made)(input_ids=ids).logits, atol=1e-4)


def test_loftq_starts_nearer_to_the_base_and_is_merged(
    plan: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Than the quantised base alone; the adapter belongs to that, is merged into what is left of it, and loaded onto it
    by what its card says."""
    from transformers import AutoModelForCausalLM

    from backends.native.methods import choose_trained
    from backends.native.model import load_base

    made = plan("ia3", method=lora("qlora", init="loftq"), training={"max_steps": 2}, output={"merge": True})
    assert train_here(made, tmp_path / "artifact") == 0
    config = json.loads((tmp_path / "artifact" / "plan.json").read_text())
    ids = torch.arange(5, 60)[None]
    whole = AutoModelForCausalLM.from_pretrained(QUICKSTART / "base").eval()
    with torch.no_grad():
        wanted = whole(input_ids=ids).logits
        lost = (load_base(config, "cpu").eval()(input_ids=ids).logits - wanted).abs().mean()
        # Before it has computed anything: then bitsandbytes lays its weights out anew for the CPU.
        started = choose_trained(load_base(config, "cpu"), config, whole=lambda: whole).eval()
        assert (started(input_ids=ids).logits - wanted).abs().mean() < 0.9 * lost
        merged = AutoModelForCausalLM.from_pretrained(Path(made.output.dir) / "merged").eval()
        trained = PeftModel.from_pretrained(load_base(config, "cpu"), Path(made.output.dir) / "adapter").eval()
        # Products of 4-bit weights are a little rough; merged into the whole base it would be off by all that was lost.
        assert (merged(input_ids=ids).logits - trained(input_ids=ids).logits).abs().mean() < 0.25 * lost
        monkeypatch.chdir(made.output.dir)
        carded: dict[str, Any] = {}
        program = Path("adapter/README.md").read_text().split("```python\n")[1].split("\nmessages")[0]
        exec(program, carded)  # noqa: S102 - what a reader would run
        said = carded["model"].eval()(input_ids=ids).logits
        assert (said - trained(input_ids=ids).logits).abs().mean() < 0.25 * lost


def test_loftq_leaves_alone_what_is_not_quantised() -> None:
    from transformers import AutoModelForCausalLM

    from backends.native.methods import choose_trained
    from backends.native.model import load_base

    method = lora("qlora", init="loftq", target_modules=("q_proj", "lm_head"))
    plan = json.loads(
        emit(make_plan(QUICKSTART / "base", source(ROWS), Path("out"), method=method), None, ()).files["plan.json"]
    )
    model = choose_trained(
        load_base(plan, "cpu"), plan, whole=lambda: AutoModelForCausalLM.from_pretrained(QUICKSTART / "base")
    )
    started = {name: item.abs().sum() > 0 for name, item in model.named_parameters() if "lora_B" in name}
    assert [name for name, learnt in started.items() if not learnt] == [
        "base_model.model.lm_head.lora_B.default.weight"
    ]


def test_lora_plus_trains_an_adapter_of_the_embedding_at_the_rate_of_the_plan(
    plan: Callable[..., Plan], tmp_path: Path
) -> None:
    """PEFT would take a millionth, whatever is said."""
    from backends.native import trainer as native

    method = lora(lora_plus_ratio=4.0, target_modules=("q_proj", "embed_tokens"))
    made = plan("ia3", method=method, training={"max_steps": 1, "learning_rate": 1e-3}, evaluation={"every": None})
    seen: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "create_loraplus_optimizer", lambda *a, **k: seen.append(create(*a, **k)) or seen[-1])
        assert train_here(made, tmp_path / "artifact") == 0
    assert {group["initial_lr"] for group in seen[0].param_groups if group["params"]} == {1e-3, 4e-3}


def test_bottlenecks_start_as_the_base_and_refuse_another(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    from backends.native.bottlenecks import BottleneckError, add_bottlenecks, load_bottlenecks, save_bottlenecks

    base = QUICKSTART / "base"
    ids = torch.arange(5, 40)[None]
    plain = AutoModelForCausalLM.from_pretrained(base).eval()
    with torch.no_grad():
        before = plain(input_ids=ids).logits
        model = add_bottlenecks(plain, 16, "tanh", "houlsby").eval()
        assert torch.equal(model(input_ids=ids).logits, before)
    save_bottlenecks(model, tmp_path / "adapter")
    other = AutoModelForCausalLM.from_pretrained(base)
    about = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert about["base_model_name_or_path"] == str(base)
    load_bottlenecks(other, tmp_path / "adapter")
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps({**about, "bottleneck": 8}))
    with pytest.raises(BottleneckError, match="another model"):
        load_bottlenecks(AutoModelForCausalLM.from_pretrained(base), tmp_path / "adapter")


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base that could look at pictures as well: Gemma 3's class, as AutoModelForCausalLM loads it."""
    from transformers import AutoConfig, AutoModelForCausalLM

    folder = make_base(tmp_path_factory.mktemp("seeing") / "base")
    text = json.loads((folder / "config.json").read_text())
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    vision = {"model_type": "siglip_vision_model", **sizes, "image_size": 28, "patch_size": 14}
    kept = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    of_text = {name: text[name] for name in kept} | {"num_key_value_heads": 2, "head_dim": 16}
    config = AutoConfig.for_model("gemma3", text_config=of_text, vision_config=vision, mm_tokens_per_image=4)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def test_of_a_model_that_sees_the_language_alone_is_trained(seeing: Path, tmp_path: Path) -> None:
    """Its eyes have modules of the same names, which no text goes through."""
    from backends.native.methods import choose_trained
    from backends.native.model import load_base

    rows = write_rows(tmp_path / "rows.jsonl", chats(0, 48))
    for method in (lora(), METHODS["ia3"][0], full()):
        made = make_plan(seeing, source(rows), tmp_path / "out", method=method)
        plan = json.loads(emit(made, None, ()).files["plan.json"])
        model = choose_trained(load_base(plan, "cpu"), plan)
        trained = [name for name, item in model.named_parameters() if item.requires_grad]
        assert trained and all("language_model" in name or "lm_head" in name for name in trained)
    made = make_plan(seeing, source(rows), tmp_path / "out", training={"max_steps": 2}, output={"merge": True})
    assert train_here(made, tmp_path / "artifact") == 0


def test_dora_reads_a_quantised_base_as_it_is(tmp_path: Path) -> None:
    """In evaluation too, for which bitsandbytes packs 4-bit weights anew on some CPUs."""
    from backends.native.methods import choose_trained
    from backends.native.model import load_base

    made = make_plan(QUICKSTART / "base", source(ROWS), tmp_path / "out", method=lora("qdora"))
    plan = json.loads(emit(made, None, ()).files["plan.json"])
    ids = torch.arange(5, 60)[None]
    torch.manual_seed(0)
    model = choose_trained(load_base(plan, "cpu"), plan).eval()
    answers = []
    with torch.no_grad():
        for name, item in model.named_parameters():
            if "lora_B" in name:
                item.normal_(std=0.02)
        answers.append(model(ids).logits)
        model.get_base_model().dequantize()
        answers.append(model(ids).logits)
    assert torch.equal(*answers)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_computes_under_autocast(name: str, plan: Callable[..., Plan]) -> None:
    """As on a GPU, where adapters need not cast what they are given."""
    from backends.native.methods import choose_trained, inputs_as_they_are
    from backends.native.model import load_base
    from backends.native.tokenizer import load_tokenizer

    made = json.loads(emit(plan(name, model={"dtype": "bfloat16"}), None, ()).files["plan.json"])
    tokenizer = load_tokenizer(made, QUICKSTART)
    model = choose_trained(load_base(made, "cpu"), made, tokenizer).train()
    with inputs_as_they_are(model, active=True), torch.autocast("cpu", torch.bfloat16):
        loss = model(input_ids=torch.arange(5, 25)[None], labels=torch.arange(5, 25)[None], use_cache=False).loss
    loss.backward()
    assert torch.isfinite(loss)
