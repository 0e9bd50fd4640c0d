"""How a plain value is written inside of a YAML line: as a person would, and so that YAML 1.1 and 1.2 agree on it."""

from __future__ import annotations

import json
import re
from typing import Final, cast

from compiler.yaml_reader import scalar

_PLAIN: Final = re.compile(r"[A-Za-z0-9_./~+-][\w./~+*@%^=|\\ -]*", re.ASCII)
"""Text that is safe without quotes anywhere: no `: `, no ` #`, nothing that opens a list or a mapping."""
_OLD_WORDS: Final = re.compile(r"y|n|yes|no|on|off|true|false|null|~|[-+.0-9].*", re.IGNORECASE | re.ASCII)
"""What YAML 1.1 takes for a truth value, or may take for a number or a time."""
_NUMBERISH: Final = re.compile(r"[-+]?\.?[0-9][0-9_.,:eExXobOB+-]*")


def spell(value: object) -> str:
    """A value on one line; what is written so reads the same within brackets."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(spell(item) for item in cast('list[object]', value))}]"
    if isinstance(value, dict):
        items = cast("dict[str, object]", value).items()
        return f"{{{', '.join(f'{spell(str(key))}: {spell(item)}' for key, item in items)}}}"
    if isinstance(value, float):
        return _number(value)
    constant = value is None or isinstance(value, bool | int)
    return json.dumps(value) if constant else _text(str(value))


def _number(value: float) -> str:
    """With a point before an exponent: YAML 1.1 reads `2e-4` as text."""
    if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124 - nan
        return ".nan" if value != value else ".inf" if value > 0 else "-.inf"  # noqa: PLR0124 - nan
    text = repr(value)
    head, exponent, power = text.partition("e")
    if exponent and "." not in head:
        head += ".0"
    return f"{head}{exponent}{power}" if not exponent or power[0] in "+-" else f"{head}e+{power}"


def _text(text: str) -> str:
    plain = _PLAIN.fullmatch(text) and not text.endswith((" ", ":")) and " #" not in text and not text.startswith("- ")
    if plain and text not in ("-", "~") and not _ambiguous(text):
        return text
    return _quoted(text)


def _ambiguous(text: str) -> bool:
    """Whether some reader takes it for something else than text."""
    if not isinstance(scalar(text), str):
        return True
    return bool(_OLD_WORDS.fullmatch(text)) and (text[0] not in "-+.0123456789" or bool(_NUMBERISH.match(text)))


def _quoted(text: str) -> str:
    """Between double quotes, what is no printable character of YAML as an escape."""
    odd = re.compile(r"[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
    quoted = json.dumps(text, ensure_ascii=False)
    return odd.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)
