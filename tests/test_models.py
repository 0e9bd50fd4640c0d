"""Base models: where facts come from, in which order, what a bad config.json is told, and that the counts are right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from plans import a_plan

from compiler.checkpoint.chat_format import chat_format, template_of_tokenizer
from compiler.checkpoint.facts import Label, facts_from_config
from compiler.model_catalog import FILE
from compiler.models import ModelNotFound, all_models, find_model
from compiler.offline import go_offline
from schemas.facts import ModelFacts

CATALOG = json.loads(FILE.read_text())["models"]
IDS = [(name, hub_id) for name, entry in CATALOG.items() for hub_id in entry["ids"]]
TINY = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
    "vocab_size": 100,
    "max_position_embeddings": 128,
    "tie_word_embeddings": True,
}
MIXTURE = {**TINY, "model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2}
SHA = "0123456789abcdef0123456789abcdef01234567"
CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}"


class Hub(ThreadingHTTPServer):
    """A hub on this machine: answers by path, and remembers what it was asked and with which token."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, str]] = {}
        self.asked: list[str] = []
        self.tokens: list[str | None] = []
        super().__init__(("127.0.0.1", 0), _Answer)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def publish(self, hub_id: str, files: dict[str, str], revision: str = "main") -> None:
        self.answers |= {f"/{hub_id}/resolve/{revision}/{name}": (200, text) for name, text in files.items()}


class _Answer(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.tokens.append(self.headers.get("Authorization"))
        code, text = self.server.answers.get(self.path, (404, "not found"))
        self.send_response(code)
        if code in (302, 307):
            self.send_header("Location", text)
            text = ""
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name http.server calls
        """Says nothing on the terminal."""


@pytest.fixture
def hubs() -> Iterator[list[Hub]]:
    servers = [Hub(), Hub()]
    for server in servers:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield servers
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def hub(hubs: list[Hub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """No test sees the real hub, nor the cache or the token of whoever runs it."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN", "HF_HUB_CACHE", "no_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_ENDPOINT", hubs[0].address)
    return hubs[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "recipe"
    place.mkdir()
    return place


def known(found: ModelFacts | ModelNotFound | str) -> ModelFacts:
    assert isinstance(found, ModelFacts), found
    return found


def missing(found: ModelFacts | ModelNotFound) -> ModelNotFound:
    assert isinstance(found, ModelNotFound), found
    return found


def counted(config: dict[str, object]) -> ModelFacts | str:
    return facts_from_config(config, Label("m", None, "folder", "here", None))


def write_model(place: Path, config: dict[str, object] | str, **others: str) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    (place / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    for name, text in others.items():
        (place / name.replace("__", ".")).write_text(text)
    return place


def write_cache(tmp_path: Path, hub_id: str, config: dict[str, object] | str, **others: str) -> None:
    repository = tmp_path / "hf" / "hub" / f"models--{hub_id.replace('/', '--')}"
    write_model(repository / "snapshots" / SHA, config, **others)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(SHA)


# The catalog


@pytest.mark.parametrize(("name", "hub_id"), IDS)
def test_every_id_of_the_catalog_is_found_without_the_network(name: str, hub_id: str, folder: Path, hub: Hub) -> None:
    for written in (hub_id, hub_id.lower(), hub_id.upper()):
        facts = known(find_model(written, folder))
        assert facts.hub_id == hub_id
        assert facts.origin == "catalog"
        assert facts.chat_format == CATALOG[name]["ids"][hub_id]["chat_format"]
    assert hub.asked == []


def test_every_name_of_the_catalog_is_found_and_is_its_own(folder: Path, hub: Hub) -> None:
    names = [facts.name for facts in all_models()]
    assert len(names) == len(set(names))
    for name in names:
        assert known(find_model(name, folder)).name == name
        assert known(find_model(name.upper(), folder)).name == name
    for name, entry in CATALOG.items():
        assert known(find_model(name, folder)).hub_id == next(iter(entry["ids"]))
    assert hub.asked == []


def test_the_families_of_the_field_are_there() -> None:
    families = {facts.family for facts in all_models()}
    assert families >= {"llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe", "gemma2", "gemma3", "phi3"}
    assert families >= {"gpt_oss", "gemma", "qwen2_moe", "deepseek_v2", "qwen3_5_moe", "llama4", "gemma4"}
    names = {facts.name for facts in all_models()}
    assert names >= {"qwen2-0.5b", "qwen2-1.5b", "qwen2-7b", "qwen2-72b", "llama-2-7b", "gpt-oss-20b", "tinyllama-1.1b"}


@pytest.mark.parametrize(("name", "entry"), CATALOG.items(), ids=list(CATALOG))
def test_the_count_equals_the_published_one(name: str, entry: dict, folder: Path) -> None:
    facts = known(find_model(name, folder))
    assert entry["sources"]
    assert entry["params_source"]
    if entry["published_params"] is not None:
        assert facts.params == entry["published_params"]
    assert 0 < facts.active_params <= facts.params
    assert facts.other_params >= 0
    assert facts.matmul_params > 0


@pytest.mark.parametrize(
    ("base", "template"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", "llama3"),
        ("meta-llama/Llama-3.1-8B", None),
        ("NousResearch/Meta-Llama-3-8B", None),
        ("unsloth/Llama-3.2-1B", None),
        ("unsloth/Llama-3.2-1B-Instruct", "llama3"),
        ("Qwen/Qwen2.5-0.5B-Instruct", "qwen2.5"),
        ("Qwen/Qwen3-8B", "qwen3"),
        ("google/gemma-2-9b-it", "gemma"),
        ("google/gemma-2-9b", None),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistral"),
        ("microsoft/Phi-3-mini-4k-instruct", "phi3"),
        ("microsoft/phi-4", "phi4"),
        ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "zephyr"),
        ("meta-llama/Llama-2-7b-chat-hf", "llama2"),
        ("openai/gpt-oss-20b", "gpt-oss"),
    ],
)
def test_an_instruct_model_has_a_chat_format_and_a_bare_base_none(
    base: str, template: str | None, folder: Path
) -> None:
    assert known(find_model(base, folder)).chat_format == template


def test_what_differs_between_ids_of_one_model_is_kept_apart(folder: Path) -> None:
    assert known(find_model("Qwen/Qwen2.5-7B", folder)).context == 131072
    assert known(find_model("Qwen/Qwen2.5-7B-Instruct", folder)).context == 32768
    assert known(find_model("unsloth/Llama-3.2-1B-bnb-4bit", folder)).prequantized == "bnb-4bit"
    assert known(find_model("unsloth/Llama-3.2-1B", folder)).prequantized is None
    assert known(find_model("openai/gpt-oss-20b", folder)).prequantized == "mxfp4"
    assert known(find_model("unsloth/gpt-oss-20b-BF16", folder)).prequantized is None


def test_the_experts_of_a_mixture_are_fused_and_its_router_is_no_target(folder: Path) -> None:
    facts = known(find_model("mixtral-8x7b-v0.1", folder))
    experts = {each.name: each for each in facts.linears if each.room == "experts"}
    assert set(experts) == {"gate_up_proj", "down_proj"}
    assert all(each.fused and each.copies == 8 and each.layers == 32 for each in experts.values())
    assert facts.modules == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_up_proj", "down_proj"}
    assert facts.other_params == 32 * 8 * 4096
    assert (facts.experts, facts.experts_per_token) == (8, 2)
    assert facts.active_params == 12_879_925_248


def test_a_dense_model_has_no_experts_and_all_of_it_is_active(folder: Path) -> None:
    facts = known(find_model("qwen3-0.6b", folder))
    assert (facts.experts, facts.experts_per_token) == (0, 0)
    assert facts.active_params == facts.params
    assert not any(each.room == "experts" for each in facts.linears)


def test_facts_that_decide_between_kernels_are_told(folder: Path) -> None:
    gemma, qwen = known(find_model("gemma-2-2b", folder)), known(find_model("qwen2.5-7b", folder))
    assert gemma.softcap
    assert gemma.sliding_window == 4096
    assert gemma.tied
    assert not qwen.softcap
    assert qwen.sliding_window is None
    assert [each.name for each in qwen.linears if each.bias] == ["q_proj", "k_proj", "v_proj"]


def test_another_revision_is_told_that_the_catalog_describes_main(folder: Path) -> None:
    facts = known(find_model("Qwen/Qwen3-8B", folder, revision="v2"))
    assert "it describes main, not v2" in facts.source


# The order of places


def test_a_local_folder_beats_the_catalog(folder: Path) -> None:
    write_model(folder / "Qwen" / "Qwen2.5-0.5B", TINY)
    facts = known(find_model("Qwen/Qwen2.5-0.5B", folder))
    assert (facts.origin, facts.hidden, facts.hub_id) == ("folder", 64, None)


def test_a_path_is_relative_to_the_recipe_absolute_or_at_home(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(folder / "base", TINY)
    write_model(tmp_path / "home" / "base", TINY)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for base in ("./base", "base", "../recipe/base", "~/base", str(folder / "base")):
        assert known(find_model(base, folder)).origin == "folder"


def test_a_path_that_is_not_there_is_not_looked_for_elsewhere(folder: Path, hub: Hub) -> None:
    for base in ("./Qwen/Qwen2.5-0.5B", "~/no-such-folder", "/no/such/folder"):
        found = missing(find_model(base, folder))
        assert found.tried == (f"folder {base}: there is no such folder",)
    assert hub.asked == []


def test_a_folder_without_a_config_says_so_and_the_search_goes_on(folder: Path) -> None:
    (folder / "Qwen" / "Qwen2.5-0.5B").mkdir(parents=True)
    assert known(find_model("Qwen/Qwen2.5-0.5B", folder)).origin == "catalog"
    (folder / "mine" / "model").mkdir(parents=True)
    assert missing(find_model("mine/model", folder)).tried[0] == "folder mine/model: it has no config.json"


def test_an_adapter_is_not_taken_for_a_base(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "adapter_config.json").write_text("{}")
    assert "an adapter, not a base model" in missing(find_model("./out", folder)).tried[0]


def test_the_hub_cache_beats_the_catalog(folder: Path, tmp_path: Path, hub: Hub) -> None:
    write_cache(tmp_path, "Qwen/Qwen2.5-0.5B", TINY)
    for base in ("Qwen/Qwen2.5-0.5B", "qwen2.5-0.5b"):
        facts = known(find_model(base, folder))
        assert (facts.origin, facts.hidden, facts.name) == ("cache", 64, "qwen2.5-0.5b")
        assert facts.source == "config.json in the hub cache, snapshot 0123456789ab"
    assert hub.asked == []


def test_the_hub_cache_is_found_where_it_is_said_to_be(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cache(tmp_path, "org/model", TINY)
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    assert known(find_model("org/model", folder)).origin == "cache"
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    (tmp_path / "xdg").mkdir()
    (tmp_path / "hf").rename(tmp_path / "xdg" / "huggingface")
    assert known(find_model("org/model", folder)).origin == "cache"


def test_a_cached_commit_is_found_by_its_name_and_a_missing_revision_is_not(folder: Path, tmp_path: Path) -> None:
    write_cache(tmp_path, "org/model", TINY)
    assert known(find_model("org/model", folder, revision=SHA)).origin == "cache"
    found = missing(find_model("org/model", folder, revision="v9", online=False))
    assert '"org/model" at revision v9' in found.tried[0]
    missing(find_model("org/model", folder, revision="../snapshots/" + SHA, online=False))


def test_a_cached_config_without_a_tokenizer_takes_the_catalogs_word_on_the_template(
    folder: Path, tmp_path: Path
) -> None:
    write_cache(tmp_path, "Qwen/Qwen2.5-0.5B-Instruct", TINY)
    assert known(find_model("Qwen/Qwen2.5-0.5B-Instruct", folder)).chat_format == "qwen2.5"
    write_cache(tmp_path, "Qwen/Qwen3-8B", TINY, tokenizer_config__json="{}")
    assert known(find_model("Qwen/Qwen3-8B", folder)).chat_format is None


def test_a_broken_cache_is_passed_over(folder: Path, tmp_path: Path) -> None:
    write_cache(tmp_path, "Qwen/Qwen3-8B", "{")
    assert known(find_model("Qwen/Qwen3-8B", folder)).origin == "catalog"


# The hub


def test_an_unlisted_model_is_read_from_the_hub(folder: Path, hub: Hub) -> None:
    hub.publish("org/model", {"config.json": json.dumps(TINY), "chat_template.jinja": CHATML}, revision="v1")
    facts = known(find_model("org/model", folder, revision="v1"))
    assert (facts.origin, facts.name, facts.hub_id, facts.hidden) == ("hub", "org/model", "org/model", 64)
    assert facts.chat_format == "chatml"
    assert hub.asked[0] == "/org/model/resolve/v1/config.json"


def test_the_hubs_template_may_stand_in_the_tokenizers_config(folder: Path, hub: Hub) -> None:
    settings_ = json.dumps({"chat_template": CHATML})
    hub.publish("org/model", {"config.json": json.dumps(TINY), "tokenizer_config.json": settings_})
    assert known(find_model("org/model", folder)).chat_format == "chatml"
    hub.publish("org/bare", {"config.json": json.dumps(TINY), "tokenizer_config.json": "{}"})
    assert known(find_model("org/bare", folder)).chat_format is None


@pytest.mark.parametrize(
    ("code", "body", "reason"),
    [
        (401, "", "hub: it is gated, private or not there: accept its licence on the hub and set HF_TOKEN"),
        (403, "", "hub: it is gated or private: accept its licence on the hub and set HF_TOKEN"),
        (404, "", "hub: it has no such model, revision or file"),
        (500, "", "hub: it answered with 500"),
        (200, "<html>", "hub: config.json is not JSON"),
        (200, "[]", "hub: config.json is not an object"),
        (200, "{}", 'hub: config.json: "hidden_size" is missing'),
    ],
)
def test_a_hub_that_does_not_help_is_quoted(code: int, body: str, reason: str, folder: Path, hub: Hub) -> None:
    hub.answers["/org/model/resolve/main/config.json"] = (code, body)
    assert missing(find_model("org/model", folder)).tried[-1].startswith(reason)


def test_a_hub_that_cannot_be_reached_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for endpoint in ("http://127.0.0.1:1", "ftp://example.org", "http://[broken"):
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        assert missing(find_model("org/model", folder)).tried[-1].startswith("hub: ")


def test_the_hubs_libraries_are_told_where_it_is_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would ask a dozen times, for a minute, and say so each time."""
    named = a_plan()
    monkeypatch.setenv("HF_HUB_OFFLINE", "")
    assert go_offline(named) == "", "it answers, though with no"
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    here = replace(named, model=replace(named.model, base="/base"))
    assert go_offline(here) == "", "nothing of the hub is needed"
    assert os.environ["HF_HUB_OFFLINE"] == ""
    assert go_offline(named).startswith("http://127.0.0.1:1 cannot be reached: only what is in the hub's cache")
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert go_offline(named) == "", "it is told already"


def test_the_token_goes_to_the_hub_and_to_no_other_host_and_into_no_message(
    folder: Path, hubs: list[Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    path = "/org/model/resolve/main/config.json"
    hubs[0].answers[path] = (307, "/moved")
    hubs[0].answers["/moved"] = (302, f"{hubs[1].address}/elsewhere")
    hubs[1].answers["/elsewhere"] = (200, json.dumps(TINY))
    facts = known(find_model("org/model", folder))
    assert hubs[0].tokens[:2] == ["Bearer hf_secret"] * 2
    assert hubs[1].tokens == [None]
    hubs[0].answers[path] = (401, "")
    assert "hf_secret" not in repr((facts, find_model("org/model", folder)))


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_offline_means_that_nothing_is_asked(
    variable: str, folder: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.publish("org/model", {"config.json": json.dumps(TINY)})
    monkeypatch.setenv(variable, "1")
    assert missing(find_model("org/model", folder)).tried[-1] == "hub: not asked, this is offline"
    missing(find_model("org/model", folder, online=False))
    assert hub.asked == []
    assert known(find_model("org/model", folder, online=True)).origin == "hub"


def test_not_found_lists_what_was_tried_in_order_and_the_nearest_name(folder: Path, tmp_path: Path) -> None:
    found = missing(find_model("Qwen/Qwen2.5-0.5B-Instrukt", folder))
    assert found.tried == (
        f'hub cache {tmp_path / "hf" / "hub"}: no "Qwen/Qwen2.5-0.5B-Instrukt" at revision main',
        'catalog: no name or id "Qwen/Qwen2.5-0.5B-Instrukt"',
        "hub: it has no such model, revision or file",
    )
    assert found.suggestion == "Qwen/Qwen2.5-0.5B-Instruct"


def test_a_name_that_is_no_id_does_not_reach_the_hub(folder: Path, hub: Hub) -> None:
    found = missing(find_model("llama-3.1-9b", folder))
    assert found.tried[-1] == 'hub: not asked, "llama-3.1-9b" is not an id (owner/name)'
    assert found.suggestion == "llama-3.1-8b"
    assert missing(find_model("../../etc", folder)).suggestion is None
    assert hub.asked == []


def test_a_listed_model_is_found_without_importing_what_the_network_needs() -> None:
    code = (
        "import sys, pathlib; from compiler.models import find_model; find_model('llama-3-8b', pathlib.Path('.'));"
        "print(sorted({'urllib.request', 'ssl', 'torch', 'transformers', 'pydantic'} & set(sys.modules)))"
    )
    root = Path(__file__).parent.parent
    answer = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


# What a config.json may say


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"hidden_size": None}, '"hidden_size" is missing'),
        ({"hidden_size": "64"}, "\"hidden_size\" is '64', not an integer"),
        ({"hidden_size": 64.0}, '"hidden_size" is 64.0, not an integer'),
        ({"hidden_size": True}, '"hidden_size" is True, not an integer'),
        ({"num_hidden_layers": 0}, '"num_hidden_layers" is 0, not a positive integer'),
        ({"num_hidden_layers": -3}, '"num_hidden_layers" is -3, not a positive integer'),
        ({"num_key_value_heads": 3}, '"num_key_value_heads" is 3, which does not divide 4 heads'),
        ({"intermediate_size": None}, '"intermediate_size" is missing'),
        ({"vocab_size": []}, '"vocab_size" is [], not an integer'),
        ({"max_position_embeddings": None}, '"max_position_embeddings" is missing'),
        ({"tie_word_embeddings": "yes"}, "\"tie_word_embeddings\" is 'yes', not true or false"),
        ({"model_type": 7}, '"model_type" is 7, not a string'),
        ({"text_config": "x"}, "\"text_config\" is 'x', not an object"),
        (
            {"quantization_config": {"quant_method": "hqq"}},
            'its weights are quantised by "hqq", which ftc does not know',
        ),
        ({"model_type": "bamba", "mamba_d_state": 16}, 'model type "bamba" is not a plain decoder'),
        (
            {"model_type": "newmoe", "num_experts": 8},
            'model type "newmoe" is a mixture of experts that ftc does not know',
        ),
        ({"model_type": "mixtral", "num_local_experts": 2, "num_experts_per_tok": 3}, "it says 3 experts a token of 2"),
        ({"model_type": "gemma4"}, "it has per-layer embeddings or shared keys"),
    ],
)
def test_a_config_that_cannot_be_counted_is_told_why(change: dict[str, object], reason: str, folder: Path) -> None:
    write_model(folder / "base", {key: value for key, value in {**TINY, **change}.items() if value is not None})
    found = missing(find_model("./base", folder))
    assert found.tried[0].startswith(f"folder ./base: config.json: {reason}")
    assert len(found.tried) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "config.json is not JSON"),
        ("{", "config.json is not JSON"),
        ("[1]", "config.json is not an object"),
        ("[" * 100_000, "config.json is not JSON"),
    ],
)
def test_a_file_that_is_no_config_is_told_why(text: str, reason: str, folder: Path) -> None:
    write_model(folder / "base", text)
    assert missing(find_model("./base", folder)).tried[0].startswith(f"folder ./base: {reason}")


def test_a_file_of_bytes_is_told_why(folder: Path) -> None:
    write_model(folder / "base", "{}")
    (folder / "base" / "config.json").write_bytes(b"\xff\xfe\x00")
    assert "config.json cannot be read" in missing(find_model("./base", folder)).tried[0]


def test_of_a_multimodal_model_the_text_part_is_counted_and_that_is_said() -> None:
    text = {key: value for key, value in TINY.items() if key != "tie_word_embeddings"}
    whole = {"model_type": "mistral3", "text_config": {**text, "model_type": "mistral"}, "tie_word_embeddings": False}
    facts = known(counted({**whole, "vision_config": {"hidden_size": 1024}, "torch_dtype": "bfloat16"}))
    assert facts.params == known(counted({**TINY, "tie_word_embeddings": False})).params
    assert (facts.family, facts.dtype, facts.tied) == ("mistral", "bfloat16", False)
    assert facts.source == "here; of the text part; other parts are not counted"


def test_a_gemma_3_file_may_leave_out_what_its_class_knows() -> None:
    sparse = {"model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34}
    facts = known(counted({"model_type": "gemma3", "text_config": {**sparse, "sliding_window": 1024}}))
    assert facts.params == CATALOG["gemma-3-4b"]["published_params"]
    assert facts.tied
    assert facts.sliding_window == 1024


def test_an_unknown_family_is_counted_as_a_llama_and_that_is_said() -> None:
    facts = known(counted({**TINY, "model_type": "newllama"}))
    assert facts.params == known(counted(TINY)).params
    assert facts.source == 'here; layout assumed to be a Llama\'s: unknown model type "newllama"'
    assert "assumed" not in known(counted(TINY)).source


@pytest.mark.parametrize(
    ("section", "kind"),
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bnb-4bit"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bnb-8bit"),
        ({"quant_method": "gptq", "bits": 4}, "gptq"),
        ({"quant_method": "awq"}, "awq"),
        ({"quant_method": "mxfp4"}, "mxfp4"),
        ({"quant_method": "fp8"}, "fp8"),
        ({}, None),
    ],
)
def test_weights_that_are_quantised_already_are_seen(section: dict[str, object], kind: str | None) -> None:
    assert known(counted({**TINY, "quantization_config": section})).prequantized == kind
    assert known(counted({"model_type": "x", "text_config": TINY, "quantization_config": section})).prequantized == kind


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
CONFIGS = [{**entry["config"], "layer_types": [], "quantization_config": None} for entry in CATALOG.values()]


@settings(max_examples=300)
@given(data=st.data(), config=st.sampled_from(CONFIGS))
def test_no_config_ends_in_a_traceback(data: st.DataObject, config: dict[str, object]) -> None:
    changed = {key: data.draw(JSON) for key in data.draw(st.sets(st.sampled_from(sorted(config)), max_size=3))}
    assert isinstance(counted({**config, **changed}), ModelFacts | str)


# Chat templates


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{{ '<|start_header_id|>' + role + '<|end_header_id|>' }}", "llama3"),
        (CHATML, "chatml"),
        ("<|im_start|>system\nYou are Qwen, created by Alibaba Cloud.<|im_end|>", "qwen2.5"),
        ("{{ '[INST] ' + content + ' [/INST]' }}", "mistral"),
        ("{{ '[INST] <<SYS>>' + content }}", "llama2"),
        ("{{ '<start_of_turn>' + role }}", "gemma"),
        ("<|im_start|>user<|im_sep|>", "phi4"),
        ("{{ '<|user|>\n' + content + eos_token }}", "zephyr"),
        ("### Instruction: {{ content }}", "custom"),
        ("", None),
    ],
)
def test_a_template_is_named_by_its_marks(template: str, name: str | None, folder: Path) -> None:
    assert chat_format(template) == name
    write_model(folder / "a", TINY, chat_template__jinja=template)
    assert known(find_model("./a", folder)).chat_format == name
    write_model(folder / "b", TINY, tokenizer_config__json=json.dumps({"chat_template": template}))
    assert known(find_model("./b", folder)).chat_format == name


def test_a_folder_without_a_tokenizer_has_no_chat_format(folder: Path) -> None:
    write_model(folder / "base", TINY)
    assert known(find_model("./base", folder)).chat_format is None


def test_of_several_templates_the_default_counts() -> None:
    several = [{"name": "rag", "template": "x"}, {"name": "default", "template": CHATML}]
    assert template_of_tokenizer(json.dumps({"chat_template": several})) == CHATML
    for broken in ("{", "[]", '{"chat_template": 3}', '{"chat_template": []}', '{"chat_template": [1]}'):
        assert template_of_tokenizer(broken) is None


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("llama3", "llama3"),
        ("llama3_1", "llama3"),
        ("qwen2_5", "qwen2.5"),
        ("qwen3", "qwen3"),
        ("qwen3_instruct_2507", "chatml"),
        ("qwen3_5_think", "qwen3.5"),
        ("gemma", "gemma"),
        ("gemma3", "gemma3"),
        ("phi3", "phi3"),
        ("phi3_5", "phi3"),
        ("gptoss", "gpt-oss"),
        ("deepseekv3", "deepseek3"),
        ("glm4moe", "glm4"),
        ("cohere", "custom"),
    ],
)
def test_the_templates_that_models_ship_are_named(file: str, name: str) -> None:
    import trl

    shipped = Path(trl.__file__).parent / "chat_templates" / f"{file}.jinja"
    assert chat_format(shipped.read_text()) == name


# The classes of transformers


@pytest.mark.parametrize("name", CATALOG)
def test_the_matrices_are_those_of_the_real_class(name: str) -> None:
    """Names, sizes and the sum, on the meta device: no weights. Twelve layers stand for all."""
    config = {**CATALOG[name]["config"], "num_hidden_layers": 12}
    model = _on_meta(config)
    facts = known(counted(config))
    assert sum(each.numel() for each in model.parameters()) == facts.params
    ours: Counter[tuple[str, bool]] = Counter()
    for each in facts.linears:
        ours[each.name, each.fused] += each.weights
    assert ours == _matrices(model)


def _on_meta(config: dict[str, object]):
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    rest = {key: value for key, value in config.items() if key not in ("model_type", "dtype")}
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(CONFIG_MAPPING[config["model_type"]].from_dict(rest))


def _matrices(model) -> Counter[tuple[str, bool]]:
    """Elements by last name: of nn.Linear modules but the head, and of 3-D parameters."""
    import torch

    found: Counter[tuple[str, bool]] = Counter()
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            found[name.rpartition(".")[2], False] += module.weight.numel()
    for name, each in model.named_parameters():
        if "experts." in name and each.dim() == 3:
            found[name.rpartition(".")[2], True] += each.numel()
    return found
