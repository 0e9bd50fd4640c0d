"""`ftc data` for programs. Fields may be added, never renamed."""

from __future__ import annotations

from dataclasses import asdict

from compiler.build import Compiled
from compiler.data.showing import Shown
from compiler.data.tokenizer import Tokenizer
from compiler.data.verdict import Figures, RowFinding, Verdict
from compiler.report.data_words import listed
from compiler.report.machine import FORMAT_VERSION, as_data, as_json, diagnostic_data


def data_json(name: str, compiled: Compiled, found: tuple[Verdict, Tokenizer] | None) -> str:
    """Findings and figures; of a recipe with errors the findings alone."""
    verdict = found[0] if found else None
    levels = [item.level for item in (*compiled.diagnostics, *(verdict.findings if verdict else ()))]
    data: dict[str, object] = {
        "format_version": FORMAT_VERSION,
        "recipe": name,
        "valid": "error" not in levels,
        "error_count": levels.count("error"),
        "warning_count": levels.count("warning"),
        "diagnostics": [diagnostic_data(item) for item in compiled.diagnostics],
    }
    return as_json({**data, **(_found(compiled, *found) if found else {})})


def _found(compiled: Compiled, verdict: Verdict, tokenizer: Tokenizer) -> dict[str, object]:
    plan = compiled.plan
    return {
        "tokenizer": {"found": tokenizer.tokenizer is not None, "why": tokenizer.why or None},
        "sources": as_data(listed(plan, verdict)) if plan else [],
        "findings": [_finding(item) for item in verdict.findings],
        "parts": {part: _figures(figures, tokenizer) for part, figures in verdict.figures.items()},
        "epoch": as_data(verdict.epoch),
        "near_duplicates": _alike(verdict),
        "rows": [_row(row) for row in verdict.shown],
    }


def _finding(item: RowFinding) -> dict[str, object]:
    return {
        "code": item.code,
        "level": item.level,
        "part": item.part,
        "message": item.message,
        "file": item.file,
        "line": None if item.counted else item.line or None,
        "row": item.line if item.counted else None,
        "rows": item.rows,
        "more": list(item.more),
    }


def _figures(figures: Figures, tokenizer: Tokenizer) -> dict[str, object]:
    data: dict[str, object] = dict(asdict(figures.counts))
    if tokenizer.tokenizer is None:
        return {name: data[name] for name in ("read", "bad")}
    return {
        **data,
        "trained_share": round(figures.trained_share, 6),
        "lengths": as_data(figures.lengths),
        "histogram": as_data(figures.bars),
        "over_max_length": figures.over,
        "ends": [{"token": end.token, "stops": end.stops, "rows": count} for end, count in figures.ends],
    }


def _alike(verdict: Verdict) -> dict[str, object] | None:
    if verdict.alike is None:
        return None
    count, looked_at, pairs = verdict.alike
    return {"rows": count, "looked_at": looked_at, "pairs": [list(pair) for pair in pairs], "method": "estimate"}


def _row(row: Shown) -> dict[str, object]:
    stretches = [
        {"text": item.text, "trained": item.trained, "special": item.special, "cut": item.cut} for item in row.stretches
    ]
    return {
        "place": row.place,
        "part": row.part,
        "about": row.about or None,
        "problem": row.problem or None,
        "notes": [{"code": code, "message": what} for code, what in row.notes],
        "tokens": row.tokens,
        "trained": row.trained,
        "stretches": stretches,
    }
