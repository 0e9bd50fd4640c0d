"""Regular expressions over module names, as `target_modules` takes them after `re:`."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from math import factorial
from typing import Final

from schemas.diagnostic import Finding
from schemas.facts import ModelFacts, Room

BLOCKS: Final[dict[Room, tuple[str, ...]]] = {
    "attention": ("self_attn", "linear_attn"),
    "mlp": ("mlp", "feed_forward", "mlp.shared_expert", "mlp.shared_experts"),
    "experts": ("mlp.experts", "feed_forward.experts", "experts"),
}
"""What stands between the layer and the module in families of transformers."""

STEMS: Final = ("model.layers", "model.language_model.layers")
LONGEST_NAME: Final = 70
MOST_STEPS: Final = 58_000
MOST_CHOICES: Final = 64
"""How many steps and choices one name may take in the worst case; an expression that could take more is not tried."""


def expression_findings(path: str, expression: str, facts: ModelFacts) -> Iterator[Finding]:
    """PEFT matches the whole name of a module (`model.layers.0.self_attn.q_proj`), and one expression, not a list."""
    if path.endswith("]"):
        message = "a regular expression stands alone, not in a list"
        yield Finding("FTC212", path, message, 'join several with |, as in target_modules: "re:.*(q|v)_proj"')
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compiled = re.compile(expression)
    except (re.error, RecursionError, OverflowError) as error:
        yield Finding("FTC212", path, f"not a regular expression: {error}", "see the syntax of Python's re module")
        return
    if _quick(expression) and not any(compiled.fullmatch(name) for name in _full_names(facts)):
        message = f"no module of {facts.name} matches this expression"
        yield Finding("FTC206", path, message, "the whole name must match, as in re:.*\\.[qv]_proj")


def _quick(expression: str) -> bool:
    """Whether no name can take long: repeats multiply the places to try, options and alternatives the ways."""
    plain = re.sub(r"\\D|\[\^?\]?[^\]]*\]", "x", expression)
    if re.search(r"\)[*+{]|\(\?(?!:)|\\\d", plain) or len(plain) > 300:
        return False
    plain = re.sub(r"([*+}?])\?", r"\1", plain).replace("(?:", "(")
    repeats = len(re.findall(r"[*+{]", plain))
    choices = 2.0 ** plain.count("?") * _alternatives(plain)
    return choices <= MOST_CHOICES and choices * LONGEST_NAME**repeats / factorial(repeats) <= MOST_STEPS


def _alternatives(plain: str) -> int:
    """The product over all groups of how many alternatives each has."""
    product, found = 1, 1
    while found:
        for group in re.findall(r"\(([^()]*)\)", plain):
            product *= 1 + group.count("|")
        plain, found = re.subn(r"\([^()]*\)", "x", plain)
    return product * (1 + plain.count("|"))


def _full_names(facts: ModelFacts) -> Iterator[str]:
    """Names as families of transformers have them; where these differ, all are tried."""
    for stem in STEMS:
        for layer in range(facts.layers):
            for linear in facts.linears:
                for block in BLOCKS[linear.room]:
                    yield f"{stem}.{layer}.{block}.{linear.name}"
