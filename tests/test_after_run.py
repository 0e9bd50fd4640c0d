"""What a run leaves for those who use it: the card, how to serve it, a folder that says itself what it is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from finished_run import dates, finished
from native_base import full, lora, make_tokenizer

from backends.native.serving import RANKS, chat_parts, serving_files
from schemas.method_plan import AdapterPlan, Ia3Plan

TEMPLATES = Path(__file__).parents[1] / "schemas" / "catalog" / "chat_templates"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    return finished(
        folder, dates(folder, training={"max_steps": 3}, data={"system": "Write the date."}, logging={"every": 1})
    )


def test_the_card_has_everything_and_no_path(run: Path) -> None:
    card = (run / "adapter" / "README.md").read_text()
    front = yaml.safe_load(card.split("---\n")[1])
    assert front == {"library_name": "peft", "pipeline_tag": "text-generation", "tags": ["ftc", "lora", "sft"]}
    summary = json.loads((run / "summary.json").read_text())
    assert f"| training loss, first and last | {summary['loss']['first']:.4f} → {summary['loss']['last']:.4f} |" in card
    assert f"torch {summary['versions']['torch']}" in card
    assert re.search(r"`train\.jsonl` sha256 [0-9a-f]{64}", card)
    assert Path(summary["prepared"]).name in card
    assert '{"role": "system", "content": "Write the date."}' in card
    # One evaluation is no course.
    assert f"| validation loss, first and last | {summary['loss']['last_validation']:.4f} |" in card
    recipe = json.loads(card.split("```json\n")[1].split("```")[0])
    plan = json.loads((run / "plan.json").read_text())
    assert recipe["method"] == plan["method"]
    assert recipe["training"] == plan["training"]
    assert recipe["model"]["base"] == "base"
    for folder in (
        str(run),
        str(run.parent),
        plan["model"]["base"],
        str(Path(plan["data"]["train"][0]["path"]).parent),
    ):
        assert folder not in card


def test_what_is_served_may_be_read_by_whoever_may_read_the_folder(run: Path) -> None:
    """safetensors makes its files for their owner alone."""
    allowed = run.joinpath("adapter").stat().st_mode & 0o666
    assert {path.stat().st_mode & 0o666 for path in (run / "adapter").iterdir()} == {allowed}


def test_the_card_is_the_only_one_beside_checkpoints(tmp_path: Path) -> None:
    plan = dates(tmp_path, training={"max_steps": 2}, checkpoint={"every": 1, "keep": 1})
    kept = finished(tmp_path, plan) / "checkpoints"
    assert [path.name for path in kept.iterdir() if path.name[0] != "."] == ["checkpoint-2"]


def test_what_the_card_says_works(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = (run / "adapter" / "README.md").read_text().split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(run)
    exec(compile(program.replace('"…"', '"12 May 2074"').replace("200", "4"), "card", "exec"), {})  # noqa: S102
    assert capsys.readouterr().out


def test_what_the_card_of_loftq_says_loads_the_base_as_it_was_trained_on(run: Path) -> None:
    from backends.native.card import model_card

    plan, summary = plan_of(method=lora("qlora", init="loftq")), json.loads((run / "summary.json").read_text())
    program = model_card(plan, summary, "adapter").split("```python\n")[1].split("```")[0]
    compile(program, "card", "exec")
    packed = ("load_in_4bit=True", 'quant_type="nf4"', "double_quant=True", "compute_dtype=torch.float")
    assert all(said in program for said in packed)
    assert "quantization_config=packed)" in program
    plan["model"]["trust_remote_code"] = True
    assert model_card(plan, summary, "merged").count("trust_remote_code=True)") == 2


def test_the_card_of_a_model_of_the_hub(run: Path) -> None:
    from backends.native.card import model_card

    plan = json.loads((run / "plan.json").read_text())
    plan["model"]["base"] = "meta-llama/Llama-3.2-1B-Instruct"
    plan["data"]["train"][0] |= {"path": 'a/"set"', "local": False}
    front = yaml.safe_load(model_card(plan, json.loads((run / "summary.json").read_text()), "merged").split("---\n")[1])
    assert front["base_model"] == "meta-llama/Llama-3.2-1B-Instruct"
    assert front["library_name"] == "transformers"
    assert front["datasets"] == ['a/"set"']


def test_time_and_speed_of_a_continued_run_are_not_those_of_all_of_it(run: Path) -> None:
    from backends.native.card import model_card
    from backends.native.report import closing_words

    plan, summary = (json.loads((run / name).read_text()) for name in ("plan.json", "summary.json"))
    assert "tokens/s |" in model_card(plan, summary, "adapter")
    assert f"3 steps, {summary['tokens']:,} tokens in " in closing_words(summary)
    summary |= {"resumed_at": 2, "seconds": 1.0}
    card = model_card(plan, summary, "adapter")
    assert "epochs; continued after step 2) |" in card
    assert "tokens/s" not in card
    assert "tokens; since it was continued after step 2, 1 s (" in closing_words(summary)


def plan_of(**sections: Any) -> dict[str, Any]:
    from native_base import FOOTPRINT

    from backends.native import emit

    return json.loads(emit(dates(Path("/runs"), **sections), FOOTPRINT, ()).files["plan.json"])


@pytest.mark.parametrize(("rank", "wanted"), [(1, 1), (2, 8), (16, 16), (65, 128), (257, 320), (512, 512)])
def test_vllm_takes_the_rank_that_is_named(rank: int, wanted: int) -> None:
    page = serving_files(plan_of(method=lora(rank=rank)), make_tokenizer())["SERVING.md"]
    assert f"--enable-lora --max-lora-rank {wanted} --lora-modules cars=./adapter\n" in page
    assert wanted in RANKS


SERVED: dict[str, tuple[Any, str, bool]] = {
    "dora": (lora("dora"), "it takes no dora. Merge it.", True),
    "ia3": (Ia3Plan("ia3", ("k_proj",), ()), "it takes no ia3. Merge it.", True),
    "saved modules": (lora(modules_to_save=("lm_head",)), "it takes none with modules_to_save", True),
    "great rank": (lora(rank=1024), "it takes ranks up to 512", True),
    "pissa": (lora(init="pissa"), "method.init = pissa takes the adapter's beginning out of the base's weights", True),
    "loftq": (lora("qlora", init="loftq"), "method.init = loftq makes up for what the base lost", True),
    "qlora": (lora("qlora"), "It was trained on the base in 4 bit.", True),
    "olora": (lora(init="olora"), "method.init = olora", True),
    "full": (full(), "    vllm serve ./model\n", True),
    "bottlenecks": (AdapterPlan("adapter", 4, "relu", "houlsby"), "No server knows bottleneck adapters", False),
}


@pytest.mark.parametrize("name", SERVED)
def test_how_each_method_is_served(name: str) -> None:
    method, words, ollama = SERVED[name]
    files = serving_files(plan_of(method=method), make_tokenizer())
    assert words in files["SERVING.md"]
    assert ("Modelfile" in files) is ollama


def test_new_tokens_are_not_served_beside_the_base() -> None:
    plan = plan_of(method=lora())
    plan["model"]["tokens"]["add"] = ["<new>"]
    page = serving_files(plan, make_tokenizer())["SERVING.md"]
    assert "it takes none with new tokens. Merge it." in page
    assert "--enable-lora" not in page


def test_a_base_that_is_shipped_quantised_is_not_merged() -> None:
    plan = plan_of(method=lora("qlora"))
    plan["derived"]["prequantized"] = "gptq"
    files = serving_files(plan, make_tokenizer())
    assert list(files) == ["SERVING.md"]
    assert "--enable-lora" in files["SERVING.md"]
    assert "It cannot be merged: the base is shipped quantised (gptq)" in files["SERVING.md"]
    assert "ftc merge" not in files["SERVING.md"]


def commands(modelfile: str) -> list[tuple[str, str]]:
    """What Ollama reads of a Modelfile: names and values, between quotes up to where a line ends with them."""
    found, lines = list[tuple[str, str]](), iter(modelfile.splitlines())
    for line in lines:
        if line.startswith("#") or not line:
            continue
        name, _, value = line.partition(" ")
        if name == "PARAMETER":
            name, _, value = value.partition(" ")
        quotes = next((each for each in ('"""', '"') if value.startswith(each)), "")
        while quotes and not (len(value) >= 2 * len(quotes) and value.rstrip().endswith(quotes)):
            value += "\n" + next(lines)
        found.append((name, value[len(quotes) : len(value) - len(quotes)]))
    return found


WORDS = (
    "C:\\dir\t<tab>",
    'say "hi"',
    '"',
    "a\nb",
    '"""',
    "\uff5cend\u2581",
    "# no comment",
    "{{ .System }}",
    'x """ y\nz',
)


@pytest.mark.parametrize("words", WORDS)
def test_ollama_reads_the_system_message_as_it_is(words: str) -> None:
    modelfile = serving_files(plan_of(data={"system": words}), make_tokenizer())["Modelfile"]
    assert dict(commands(modelfile))["SYSTEM"] == words


def test_what_ollama_could_not_read_is_left_out() -> None:
    modelfile = serving_files(plan_of(data={"system": '"""\nFROM /etc'}), make_tokenizer())["Modelfile"]
    assert [name for name, _ in commands(modelfile)] == ["FROM", "TEMPLATE", "stop", "temperature"]
    assert "# The system message cannot be told" in modelfile


def test_stops_are_the_tokens_themselves() -> None:
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"eos_token": "<\uff5cend\u2581of\u2581sentence\uff5c>"})
    assert ("stop", tokenizer.eos_token) in commands(serving_files(plan_of(), tokenizer)["Modelfile"])


def rendered(template: str, turns: list[dict[str, str]]) -> str:
    """What Ollama makes of a template of ours: the parts in braces, once for each question."""
    said = ""
    system, waiting = "", ""
    for turn in turns:
        if turn["role"] == "system":
            system = turn["content"]
        elif turn["role"] == "user":
            waiting = turn["content"]
        if turn["role"] == "assistant" or turn is turns[-1]:
            answer = turn["content"] if turn["role"] == "assistant" else ""
            said += _go(template, {"System": system, "Prompt": waiting, "Response": answer})
            system = ""
    return said


def _go(template: str, values: dict[str, str]) -> str:
    def kept(found: re.Match[str]) -> str:
        return found[2] if values[found[1]] else ""

    text = re.sub(r"\{\{ if \.(\w+) \}\}(.*?)\{\{ end \}\}", kept, template, flags=re.DOTALL)
    if not values["Response"]:
        text = text.partition("{{ .Response }}")[0]
    return re.sub(r"\{\{ \.(\w+) \}\}", lambda found: values[found[1]], text)


UNTOLD = {"gemma", "mistral"}
"""They write a system message into the first question."""


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.jinja")), ids=lambda path: path.stem)
def test_ollamas_template_writes_what_ours_writes(path: Path) -> None:
    """Or it is left out, as for a template that is more than a frame around each turn."""
    tokenizer = make_tokenizer()
    tokenizer.chat_template = path.read_text("utf-8")
    tokenizer.add_tokens(["<|im_end|>", "<|end|>", "<end_of_turn>"], special_tokens=True)
    modelfile = serving_files(plan_of(), tokenizer)["Modelfile"]
    if chat_parts(tokenizer) is None:
        assert path.stem in UNTOLD
        assert 'TEMPLATE "' not in modelfile
        return
    template = dict(commands(modelfile))["TEMPLATE"]
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "Two."},
        {"role": "user", "content": "Three?"},
    ]
    for told in (turns, turns[:2], turns[1:]):
        wanted = tokenizer.apply_chat_template(told, tokenize=False, add_generation_prompt=True)
        found = rendered(template, told)
        standing = dict(commands(modelfile)).get("SYSTEM")
        if told[0]["role"] != "system" and standing:
            found = rendered(template, [{"role": "system", "content": standing}, *told])
        assert found == wanted.removeprefix(tokenizer.bos_token)
