"""Every command that the site's pages show is run as it stands there, and prints what they say."""

from __future__ import annotations

from pathlib import Path

import pytest
from docs_pages import EXCUSED, TRAINING, Reader, follow, pages

PAGES = [name for name in pages() if name not in TRAINING]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_true(page: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    write = bool(request.config.getoption("--write-golden"))
    assert follow(page, Reader(tmp_path / "project"), EXCUSED.get(page, {}), write) == []


PAGE = """\
```yaml title="small.ftc.yaml"
version: 1
```

```console
$ cat small.ftc.yaml; echo one; echo two{code}
{shown}
```
"""


@pytest.mark.parametrize(
    ("code", "shown", "wrong"),
    [
        ("", "version: 1\none\ntwo", None),
        ("", "version: 1\n...\ntwo", None),
        ("", "...", None),
        ("", "ver...: 1\none\nt...", None),
        ("", "version: 1\none", "the page says"),
        ("", "version: 2\n...", "the page says"),
        ("", "version: 1\n... three\ntwo", "the page says"),
        ("; exit 3  # exits 3", "version: 1\none\ntwo", None),
        ("; exit 3  # exits 1", "version: 1\none\ntwo", "ended with 3, not 1"),
        ("; exit 3", "version: 1\none\ntwo", "ended with 3, not 0"),
    ],
)
def test_a_page_that_is_not_true_is_seen(code: str, shown: str, wrong: str | None, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.format(code=code, shown=shown), "utf-8")
    found = follow(str(page), Reader(tmp_path / "project"), {})
    assert len(found) == (wrong is not None)
    assert all(str(wrong) in item for item in found)
