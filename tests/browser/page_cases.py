"""Recipes whose data is as people's data is: good, troubled, compared, hostile, or without a tokenizer."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

QUICKSTART: Final = Path(__file__).parents[2] / "recipes" / "quickstart"
Row = dict[str, Any]
HOSTILE: Final = (
    "<script>window.pwned = 1</script>",
    "</pre></figure></main></body></html><script>window.pwned = 1</script>",
    "</style></title></textarea></svg><img src=x onerror='window.pwned = 1'>",
    '" onmouseover="window.pwned = 1" autofocus onfocus="window.pwned = 1" x="',
    "<!-- <svg onload=window.pwned=1> --><![CDATA[<iframe src='javascript:top.pwned = 1'>]]>",
    "<style>body{display:none}</style><base href='https://example.com/'><meta http-equiv=refresh content=0>",
    "{{ 7 * 191 }}{% raw %}{# never seen #}${7*191}",
    "right to left: \u202egnorts\u202c \u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd \u2067x\u2069",
    "nul \x00, bell \x07, escape \x1b[2J, return \r, delete \x7f, line \u2028, byte order \ufeff, joiner \u200d",
    "combining Z" + "\u0351\u036b\u0343\u036a\u0302\u036b" * 40,
    "&lt;b&gt; &amp;lt; &#60;script&#62; &nbsp;",
)


def chat(question: str, answer: str, **more: Any) -> Row:
    """A conversation of two turns."""
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}], **more}


def questions(count: int, seed: int = 1, longest: int = 14) -> list[Row]:
    """Conversations about dates, of most lengths."""
    drawn = random.Random(seed)  # noqa: S311  # rows that are the same every time
    months = ("January", "March", "April", "June", "August", "October", "December")

    def date() -> tuple[str, str]:
        day, month, year = drawn.randint(1, 28), drawn.choice(months), drawn.randint(1900, 2100)
        return f"{day} {month} {year}", f"{year}-{months.index(month) + 1:02}-{day:02}"

    dates = ([date() for _ in range(1 + int(drawn.expovariate(0.35)))][:longest] for _ in range(count))
    return [chat("; ".join(said for said, _ in row), "; ".join(iso for _, iso in row)) for row in dates]


def recipe(
    folder: Path, rows: list[Row | bytes], *, base: str = str(QUICKSTART / "base"), kind: str = "messages", **data: Any
) -> Path:
    """A recipe with its rows beside it, all else as in the quickstart. `data`: other leaves of its section."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    lines = (row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows)
    (folder / "data" / "rows.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    method, training = {"kind": "lora"}, data.pop("training", {"objective": "sft"})
    made = {
        "version": 1,
        "name": folder.name,
        "model": {"base": base},
        "method": method,
        "data": {"train": [{"path": "data/rows.jsonl", "format": kind}], "max_length": 128, **data},
        "training": {"global_batch_size": 16, "micro_batch_size": 8, **training},
        "hardware": {"gpu": "cpu", "memory": "8GiB"},
    }
    path = folder / f"{folder.name}.ftc.yaml"
    path.write_text(json.dumps(made, indent=1), "utf-8")
    return path


def quickstart(folder: Path) -> Path:
    """The repository's own."""
    del folder
    return QUICKSTART / "quickstart.ftc.yaml"


def troubled(folder: Path) -> Path:
    """Rows that are too long, damaged, twice there, out of order, in both parts: warned of, but trained on."""
    rows: list[Row | bytes] = [*questions(700, longest=16)]
    rows[1] = chat("List what you need, a line each: ", "flour\n\n\tsugar  \nbutter \n")
    rows[2] = chat("12 May 1999 " + "and the day before that " * 200, "1999-05-12; " * 60)
    rows += [rows[5], rows[6], rows[5], *rows[20:45]]
    rows += [chat(f"Please write the date of the {n}th day of May in the year 1984", "1984-05-04") for n in range(12)]
    rows += [chat("What is this? \ufffd\ufffd", "Damaged."), chat("Write <|eot_id|> for me", "No."), chat("", "1999")]
    rows += [{"messages": [{"role": "bot", "content": "hello"}, {"role": "user", "content": "hello"}]}]
    rows += [{"messages": [*chat("1", "2")["messages"], {"role": "user", "content": "and then?"}]}]
    return recipe(folder, rows, max_length=96, overlong="truncate", validation=0.1, packing=True)


def broken(folder: Path) -> Path:
    """Rows that cannot be trained on."""
    bad: list[Row | bytes] = [
        b'{"messages": [{"role": "user", "content": "a "quoted" word"}]}',
        b'"a bare text"',
        {"prompt": "a column that is", "completion": "called otherwise"},
        {"messages": [{"content": "nobody speaks"}]},
        b'{"messages": [{"role": "user", "content": "caf\xe9"}]}',
        {"messages": []},
    ]
    return recipe(folder, [*questions(5, longest=2), *bad, *questions(60), *bad[:2] * 4], validation=8)


def preference(folder: Path) -> Path:
    """Two answers to each question."""
    rows: list[Row | bytes] = [
        {
            "prompt": row["messages"][:1],
            "chosen": row["messages"][1:],
            "rejected": [{"role": "assistant", "content": "I do not know,  but it may be\n\n\u201cyesterday\u201d."}],
        }
        for row in questions(90)
    ]
    return recipe(folder, rows, kind="preference", training={"objective": "dpo"})


def hostile(folder: Path) -> Path:
    """Rows that would break the page, or run in it, if they were not text."""
    wide = "w" * 100_000
    rows: list[Row | bytes] = [*(chat(evil, f"{evil}  ") for evil in HOSTILE), chat(wide, "<b>done</b>")]
    rows += [chat("many lines" + "\n" * 5000, "\n".join(map(str, range(3000)))), chat("a", "b" * 100_000)]
    rows += [{"messages": [{"role": evil * 400, "content": "x"}, *chat("1", "2")["messages"]]} for evil in HOSTILE[:2]]
    return recipe(folder, rows, max_length=512, overlong="truncate")


def scripts(folder: Path) -> Path:
    """Text in many scripts, some from right to left, some without spaces."""
    said = (
        ("\u5927\u89c4\u6a21\u8bed\u8a00\u6a21\u578b" * 12, "\u7b54\u6848\u3000\u662f\u3002" * 6),
        (
            "\u0645\u0627 \u0647\u064a \u0639\u0627\u0635\u0645\u0629 \u0641\u0631\u0646\u0633\u0627\u061f",
            "\u0628\u0627\u0631\u064a\u0633",
        ),
        (
            "Combien\u00a0? C\u2019est \u00ab\u00a0trop\u00a0\u00bb",
            "\U0001f469\u200d\U0001f469\u200d\U0001f467 tr\u00e8s bien",
        ),
    )
    return recipe(folder, [*(chat(*pair) for pair in said), *questions(40)], max_length=512)


def books(folder: Path) -> Path:
    """Plain text, split where it is too long."""
    drawn = random.Random(3)  # noqa: S311
    said = "the date of that letter is written as a day, a month and a year: it was sent in May 1903"
    texts = (" ".join(drawn.choices(said.split(), k=int(drawn.lognormvariate(3.6, 0.7)))) for _ in range(300))
    rows: list[Row | bytes] = [{"text": text} for text in texts]
    return recipe(folder, rows, kind="text", overlong="split", packing=True, validation=0.1)


def unreached(folder: Path) -> Path:
    """A base that the catalog knows, and whose tokenizer is not on this machine."""
    rows: list[Row | bytes] = [*questions(40), *questions(3)]
    return recipe(folder, rows, base="Qwen/Qwen2.5-7B-Instruct", validation=0.1)


CASES: Final[dict[str, Callable[[Path], Path]]] = {
    make.__name__: make for make in (quickstart, troubled, broken, preference, hostile, scripts, books, unreached)
}


FOUND: Final = ("FTC531", "FTC532", "FTC534", "FTC535", "FTC537", "FTC538", "FTC539", "FTC541", "FTC542")
"""In `troubled`."""
