"""How what was trained is served: `SERVING.md` for vLLM and Ollama, and Ollama's `Modelfile`.

Copied as it stands into every native artifact, so it imports nothing of the compiler and no torch. All paths are
relative to the run's folder, so that it can be copied elsewhere.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.native.tokenizer import end_of_turn

Plan = dict[str, Any]

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes for --max-lora-rank (vllm/config/lora.py of 0.27.1)."""
LORA_KINDS = ("lora", "qlora")
CHANGING = {
    **dict.fromkeys(("pissa", "olora"), "takes the adapter's beginning out of the base's weights"),
    "loftq": "makes up for what the base lost by quantisation",
}
"""What an adapter that does not begin at nothing is beside."""
MERGED_KINDS = (*LORA_KINDS, "dora", "qdora", "ia3")
UNTOLD = "# The chat template cannot be told in Ollama's words: it looks for one by itself, or write TEMPLATE."
SAID = {name: f"ftc{name}said" for name in ("system", "user", "assistant", "again")}
"""Words that no chat template writes by itself."""


def unmergeable(plan: Plan) -> str | None:
    """Why the result of this plan cannot be merged, with the code that `ftc explain` knows; None where it can."""
    kind, shipped = plan["method"]["kind"], plan["derived"]["prequantized"]
    if kind == "full":
        return "there is no adapter: the model itself was saved (FTC216)"
    if kind == "adapter":
        return "bottleneck adapters have an activation between their matrices, which no weight of the base has (FTC216)"
    if kind not in MERGED_KINDS:
        return f"{kind} has no weights to merge: its virtual tokens stand before the text (FTC216)"
    if shipped and shipped != "mxfp4":
        return f"the base is shipped quantised ({shipped}), and an adapter merged into it loses precision (FTC204)"
    return None


def serving_files(plan: Plan, tokenizer: Any) -> dict[str, str]:
    """File name → text, for the run's folder."""
    full = plan["method"]["kind"] == "full"
    if not full and (why := unmergeable(plan)):
        return {"SERVING.md": _unmerged(plan, why)}
    model = "model" if full else "merged"
    return {"SERVING.md": _page(plan, model), "Modelfile": _modelfile(plan, tokenizer, model)}


def _unmerged(plan: Plan, why: str) -> str:
    """Of a result that cannot be merged."""
    kind = plan["method"]["kind"]
    if kind in MERGED_KINDS:
        return f"{_head(plan)}{_adapter(plan)}It cannot be merged: {why}.\n"
    return _PLAIN.format(name=plan["name"], why=_WHY.get(kind, _VIRTUAL.format(kind=kind)))


def _head(plan: Plan) -> str:
    system = plan["data"]["system"] and plan["model"]["chat_template"]
    asked = "It was trained with a system message, which vLLM's clients have to send (`data.system` in plan.json).\n\n"
    return f"# Serving {plan['name']}\n\nCommands are for this folder.\n\n{asked if system else ''}"


def _page(plan: Plan, model: str) -> str:
    kind = plan["method"]["kind"]
    merging = "" if kind == "full" else "First `ftc merge .` in this folder: it writes `merged`.\n\n"
    tag = shlex.quote(plan["name"].lower())
    return (
        f"{_head(plan)}{_adapter(plan)}"
        f"## vLLM, {'the model' if kind == 'full' else 'merged'}\n\n{merging}    {_command(plan, f'./{model}')}\n\n"
        f"## Ollama\n\n{merging}    ollama create {tag} -f Modelfile\n    ollama run {tag}\n\n"
        "Ollama reads safetensors of the families that it knows (Llama, Mistral, Gemma, Phi, Qwen); of others\n"
        "llama.cpp's `convert_hf_to_gguf.py` makes a GGUF file first, which `FROM` then names.\n"
    )


_PLAIN = """\
# Serving {name}

{why} Load it by transformers as `adapter/README.md` says, or ask it by `ftc chat .` in this folder.
"""
_WHY = {"adapter": "No server knows bottleneck adapters, and they cannot be merged."}
_VIRTUAL = "vLLM and Ollama do not serve {kind}, and it cannot be merged."


def _adapter(plan: Plan) -> str:
    """vLLM with the adapter beside its base, where it takes such adapters."""
    method = plan["method"]
    if method["kind"] not in MERGED_KINDS:
        return ""
    if why := _refused(plan):
        merging = "" if unmergeable(plan) else " Merge it."
        return f"vLLM does not serve this adapter beside its base: {why}.{merging}\n\n"
    rank = next(rank for rank in RANKS if rank >= method["rank"])
    further = ["--enable-lora", "--max-lora-rank", str(rank), "--lora-modules", f"{plan['name']}=./adapter"]
    if plan["model"]["chat_template"] not in (None, "tokenizer"):
        further += ["--chat-template", "./adapter/chat_template.jinja"]
    also = ""
    if method["quantization"]:
        bits = method["quantization"]["bits"]
        also = (
            f"It was trained on the base in {bits} bit. The command loads that in 16 bit, as merging does; "
            "`--quantization bitsandbytes` has vLLM quantise it to 4 bit, for less memory.\n\n"
        )
    command = _command(plan, plan["model"]["base"], *further)
    return f"## vLLM, the adapter beside its base\n\n    {command}\n\nAsk for the model `{plan['name']}`.\n\n{also}"


def _refused(plan: Plan) -> str | None:
    """Why vLLM does not take the adapter, or would take it for another: it knows two matrices for each layer, and the
    base as it is."""
    method = plan["method"]
    if method["kind"] not in LORA_KINDS:
        return f"it takes no {method['kind']}"
    if method["modules_to_save"]:
        return "it takes none with modules_to_save"
    if plan["model"]["tokens"]["add"]:
        return "it takes none with new tokens"
    if method["init"] in CHANGING:
        return f"method.init = {method['init']} {CHANGING[method['init']]}, which it does not know"
    return f"it takes ranks up to {RANKS[-1]}" if method["rank"] > RANKS[-1] else None


def _command(plan: Plan, model: str, *further: str) -> str:
    known = plan["model"]
    words = ["vllm", "serve", model, *further]
    if model == known["base"] and not Path(model).is_absolute() and known["revision"] != "main":
        words += ["--revision", known["revision"]]
    if known["trust_remote_code"]:
        words.append("--trust-remote-code")
    if not model.startswith("./") and known["tokenizer"]:
        words += ["--tokenizer", "./adapter"]
    return shlex.join(words)


# --- Ollama, whose templates are Go's


@dataclass(frozen=True, slots=True)
class Parts:
    """What a chat template writes around what is said. `standing`: the system message that it has of its own."""

    system: tuple[str, str]
    user: str
    assistant: str
    end: str
    standing: str


def _modelfile(plan: Plan, tokenizer: Any, model: str) -> str:
    lines = [f"FROM ./{model}"]
    parts = chat_parts(tokenizer) if plan["model"]["chat_template"] else None
    if plan["model"]["chat_template"] is None:
        lines.append('TEMPLATE """{{ .Prompt }}"""')
    elif parts is None:
        lines.append(UNTOLD)
    else:
        lines.append(_told("TEMPLATE", _go(parts)) or UNTOLD)
    system = plan["data"]["system"] or (parts.standing if parts else "")
    if system:
        lines.append(_told("SYSTEM", system) or "# The system message cannot be told: a line of it ends with quotes.")
    stops = dict.fromkeys(filter(None, (end_of_turn(tokenizer), tokenizer.eos_token)))
    told = filter(None, (_told("PARAMETER stop", token) for token in stops))
    return "\n".join([*lines, *told, "PARAMETER temperature 0", ""])


def _told(name: str, text: str) -> str | None:
    """A line of a Modelfile. Ollama takes what stands between quotes as it is, up to quotes at the end of a line
    (its parser/parser.go): nothing can be escaped."""
    if '"' not in text and "\n" not in text:
        return f'{name} "{text}"'
    return None if re.search(r'"""[ \t]*\n', text) else f'{name} """{text}"""'


def _go(parts: Parts) -> str:
    before, after = parts.system
    system = f"{{{{ if .System }}}}{before}{{{{ .System }}}}{after}{{{{ end }}}}" if before or after else ""
    user = f"{{{{ if .Prompt }}}}{parts.user}{{{{ .Prompt }}}}{{{{ end }}}}"
    return f"{system}{user}{parts.assistant}{{{{ .Response }}}}{parts.end}"


def chat_parts(tokenizer: Any) -> Parts | None:
    """The chat template as what stands before and after each turn; None where it is more than that."""
    try:
        alone = _drawn(tokenizer, "user")
        longer = _drawn(tokenizer, "user", "assistant", "again")
        led = _drawn(tokenizer, "system", "user")
        whole = _drawn(tokenizer, "system", "user", "assistant", "again")
    except Exception:  # a template may raise whatever it likes: here, that it takes no system message
        return None
    start, _, assistant = alone.partition(SAID["user"])
    between = longer.removeprefix(alone).removeprefix(SAID["assistant"]).partition(SAID["again"])[0]
    end = _end(between, end_of_turn(tokenizer))
    user = between.removeprefix(end)
    # Ollama writes the token that begins a text by itself; some models begin every turn with it.
    begin = "" if user.startswith(tokenizer.bos_token or user) else tokenizer.bos_token
    own = start.removesuffix(user).removeprefix(begin)
    before, _, after = led.partition(SAID["system"])
    before, after = before.removeprefix(begin), after.partition(SAID["user"])[0].removesuffix(user)
    standing = own.removeprefix(before).removesuffix(after) if own.startswith(before) and own.endswith(after) else ""
    found = Parts((before, after), user, assistant, end, standing)
    spoken = [_spoken(found, SAID["system"], "user", "assistant"), _spoken(found, "", "again", "")]
    told = own == (before + standing + after if standing else "")
    return found if told and "".join(spoken) == whole.removeprefix(begin) else None


def _spoken(parts: Parts, system: str, asked: str, answered: str) -> str:
    """A question and its answer as Ollama would write them."""
    head = parts.system[0] + system + parts.system[1] if system else ""
    tail = SAID[answered] + parts.end if answered else ""
    return head + parts.user + SAID[asked] + parts.assistant + tail


def _drawn(tokenizer: Any, *who: str) -> str:
    turns = [{"role": "user" if name == "again" else name, "content": SAID[name]} for name in who]
    return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)


def _end(between: str, token: str | None) -> str:
    """What ends an answer, of what stands between it and the next question: its token, and white space behind that."""
    if not token or not between.startswith(token):
        return ""
    rest = between.removeprefix(token)
    return between[: len(between) - len(rest.lstrip())]
