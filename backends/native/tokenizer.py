# pyright: basic
# Strict typing stops at transformers, whose arguments are untyped.
"""The tokenizer of a run.

Copied as it stands into every native artifact, so it imports nothing of the compiler and no torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

Plan = dict[str, Any]


class TokenizerError(Exception):
    """Why there is no tokenizer, in words for its owner."""


class TokenError(TokenizerError):
    """A token that the tokenizer does not know."""


def load_tokenizer(plan: Plan, folder: Path) -> Any:
    """The tokenizer with the plan's chat template and special tokens. `folder` holds the template's file."""
    from transformers import AutoTokenizer  # seconds

    model = plan["model"]
    name, tokens, template = model["tokenizer"] or model["base"], model["tokens"], model["chat_template"]
    revision = None if model["tokenizer"] else model["revision"]
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision, trust_remote_code=model["trust_remote_code"])
    except (OSError, ValueError) as error:
        # What follows the first line is advice for other cases.
        why = str(error).partition("\n")[0]
        raise TokenizerError(f'tokenizer "{name}" cannot be loaded: {why}') from error
    # Of a token that is new, as what it was written before: what its row begins with.
    new = [token for token in tokens["add"] if token not in tokenizer.get_vocab()]
    tokenizer.written_before = {token: tokenizer(token, add_special_tokens=False)["input_ids"] for token in new}
    tokenizer.add_tokens(list(tokens["add"]))
    named = {f"{kind}_token": tokens[kind] for kind in ("pad", "eos", "bos") if tokens[kind]}
    unknown = [token for token in named.values() if token not in tokenizer.get_vocab()]
    if unknown:
        raise TokenError(f"the tokenizer does not know {', '.join(unknown)} of model.tokens")
    tokenizer.add_special_tokens(named)
    if template not in (None, "tokenizer"):
        tokenizer.chat_template = (folder / template).read_text("utf-8")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def end_of_turn(tokenizer: Any) -> str | None:
    """The special token that the chat template writes after an answer; None where it writes none, or there is none."""
    if not tokenizer.chat_template:
        return None
    said = [{"role": "user", "content": "ftcquestion"}, {"role": "assistant", "content": "ftcanswer"}]
    try:
        text = tokenizer.apply_chat_template(said, tokenize=False)
    except Exception:  # a template may raise whatever it likes
        return None
    rest = text.rpartition("ftcanswer")[2].lstrip()
    longest_first = sorted(map(str, tokenizer.get_added_vocab()), key=len, reverse=True)
    return next((token for token in longest_first if token and rest.startswith(token)), None)
