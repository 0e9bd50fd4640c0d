"""An artifact comes to disk whole or not at all, and never over what a person wrote."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest

from compiler.errors import FtcError
from compiler.prepare import prepare
from compiler.write import LOCK, write_artifact
from schemas.artifact import Artifact, Preparation
from schemas.plan import SourcePlan
from schemas.recipe import Fields

FILES = {"config.yaml": "rank: 16\n", "data/info.json": "{}\n"}


def artifact(files: dict[str, str] | None = None, rows: Preparation | None = None) -> Artifact:
    return Artifact("axolotl", "config.yaml", files or FILES, ("sh", "run.sh"), rows)


def write(folder: Path, made: Artifact | None = None, *, force: bool = False) -> None:
    write_artifact(made or artifact(), folder, {"target": "axolotl"}, lambda _: None, force=force)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def source(path: Path, limit: int | float | None = None) -> SourcePlan:
    return SourcePlan(str(path), True, "text", "train", None, None, 1.0, limit, Fields())


def rows(path: Path, count: int) -> Path:
    path.write_text("".join(json.dumps({"text": f"row {n}"}) + "\n" for n in range(count)))
    return path


def preparation(sources: tuple[SourcePlan, ...], share: float | int, seed: int) -> Preparation:
    return Preparation(sources, share, seed, None, True, "train.jsonl", "validation.jsonl")


def part(tmp_path: Path, share: float | int, *sources: SourcePlan, seed: int = 42) -> tuple[list[str], list[str]]:
    out = tmp_path / "parts"
    prepare(preparation(sources, share, seed), out, lambda _: None)
    train, validation = (
        [json.loads(line)["text"] for line in (out / name).read_text(encoding="utf-8").splitlines()]
        for name in ("train.jsonl", "validation.jsonl")
    )
    return train, validation


def test_files_and_their_hashes(tmp_path: Path) -> None:
    write(tmp_path / "out")
    found = tree(tmp_path / "out")
    lock = json.loads(found.pop(LOCK))
    assert found == {name: text.encode() for name, text in FILES.items()}
    assert lock["files"] == {name: hashlib.sha256(text.encode()).hexdigest() for name, text in FILES.items()}
    assert lock["target"] == "axolotl"


def test_the_same_bytes_twice_and_nothing_beside(tmp_path: Path) -> None:
    write(tmp_path / "a")
    write(tmp_path / "b")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_rebuild_replaces_removes_and_leaves_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out)
    (out / "notes.txt").write_text("mine")
    write(out, artifact({"config.yaml": "rank: 8\n"}))
    assert (out / "config.yaml").read_text() == "rank: 8\n"
    assert not (out / "data" / "info.json").exists()
    assert (out / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("locked", [True, False])
def test_foreign_and_edited_files_stay(tmp_path: Path, locked: bool) -> None:
    out = tmp_path / "out"
    if locked:
        write(out)
    out.mkdir(exist_ok=True)
    (out / "config.yaml").write_text("rank: 99  # by hand\n")
    before = tree(out)
    with pytest.raises(FtcError, match=r"config\.yaml") as stopped:
        write(out)
    assert stopped.value.exit_code == 2
    assert "--force" in str(stopped.value.hint)
    assert tree(out) == before
    write(out, force=True)
    assert (out / "config.yaml").read_text() == FILES["config.yaml"]


def test_an_edited_file_that_is_no_longer_made_stays(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out)
    (out / "data" / "info.json").write_text('{"by": "hand"}')
    write(out, artifact({"config.yaml": "rank: 8\n"}))
    assert (out / "data" / "info.json").exists()


def test_an_interrupted_rebuild_can_be_finished(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out)
    new = {"config.yaml": "rank: 8\n", "data/info.json": "[]\n"}
    (out / "config.yaml").write_text(new["config.yaml"])
    write(out, artifact(new))
    assert (out / "data" / "info.json").read_text() == "[]\n"


def test_nothing_is_left_of_a_failed_build(tmp_path: Path) -> None:
    bad = tmp_path / "rows.jsonl"
    bad.write_text('{"text": "x"}\nno json\n')
    with pytest.raises(FtcError, match=r"rows\.jsonl:2"):
        write(tmp_path / "out", artifact(rows=preparation((source(bad),), 0.5, 1)))
    assert list(tmp_path.iterdir()) == [bad]


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "C:/x", "a\\b", "", LOCK, "a\0b"])
def test_no_path_leaves_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(FtcError, match="no path inside"):
        write(tmp_path / "out", artifact({name: "x"}))
    assert not list(tmp_path.iterdir())


def test_a_link_does_not_lead_out(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "data").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FtcError, match="leads out"):
        write(tmp_path / "out", force=True)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_lock_from_elsewhere_removes_nothing_outside(tmp_path: Path) -> None:
    """A folder may come from a stranger: what its lock says is not to be believed."""
    folder, outside = tmp_path / "out", tmp_path / "outside.txt"
    write(folder)
    outside.write_text("mine")
    (folder / "linked").symlink_to(tmp_path)
    digest = hashlib.sha256(b"mine").hexdigest()
    lock = json.loads((folder / LOCK).read_text())
    lock["files"] |= dict.fromkeys(("../outside.txt", str(outside), "linked/outside.txt"), digest)
    (folder / LOCK).write_text(json.dumps(lock))
    write(folder)
    assert outside.read_text() == "mine"


def test_a_lock_that_is_not_ours_stays(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / LOCK).write_text("mine")
    with pytest.raises(FtcError, match="was not written by ftc"):
        write(folder)
    assert (folder / LOCK).read_text() == "mine"
    write(folder, force=True)


def test_a_file_in_the_folders_place(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(FtcError, match="is a file"):
        write(tmp_path / "out")


def test_rows_are_parted_by_hash(tmp_path: Path) -> None:
    train, validation = part(tmp_path, 0.1, source(rows(tmp_path / "rows.jsonl", 1000)))
    digests = [hashlib.sha256(f"42:{n}".encode()).digest()[:8] for n in range(1000)]
    expected = [f"row {n}" for n, digest in enumerate(digests) if int.from_bytes(digest, "big") < 0.1 * 2**64]
    assert validation == expected
    assert sorted([*train, *validation]) == sorted(f"row {n}" for n in range(1000))
    assert 70 < len(validation) < 130


def test_a_number_of_rows_is_exact_and_the_smallest_hashes(tmp_path: Path) -> None:
    file = source(rows(tmp_path / "rows.jsonl", 200))
    _, seven = part(tmp_path, 7, file)
    _, eight = part(tmp_path, 8, file)
    _, other = part(tmp_path, 7, file, seed=43)
    assert (len(seven), len(eight)) == (7, 8)
    assert set(seven) < set(eight)
    assert seven != other


def test_rows_are_counted_over_all_sources_after_their_limits(tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    first, second = rows(tmp_path / "a.jsonl", 30), rows(tmp_path / "second" / "b.jsonl", 40)
    whole = rows(tmp_path / "whole.jsonl", 10)
    whole.write_text(whole.read_text() + "".join(second.read_text().splitlines(keepends=True)[:20]))
    assert part(tmp_path, 0.3, source(first, 10), source(second, 0.5)) == part(tmp_path, 0.3, source(whole))


def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path) -> None:
    texts = ["plain", 'with "quotes", and commas', "ünïcode 漢字", "007"]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts) + "\n\n")
    (tmp_path / "a.json").write_text(json.dumps([{"text": text} for text in texts], indent=1))
    (tmp_path / "a.csv").write_text("\ufefftext\n" + "".join('"' + text.replace('"', '""') + '"\r\n' for text in texts))
    (tmp_path / "a.txt").write_text("\n".join(texts))
    with gzip.open(tmp_path / "b.jsonl.gz", "wt", encoding="utf-8") as packed:
        packed.write((tmp_path / "a.jsonl").read_text())
    for name in ("a.jsonl", "a.json", "a.csv", "a.txt", "b.jsonl.gz"):
        train, validation = part(tmp_path, 1, source(tmp_path / name))
        assert sorted([*train, *validation]) == sorted(texts), name


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b'{"text": "x"}\n[1]\n', "a.jsonl:2: a row must be a mapping"),
        ("a.jsonl", b"\xff\xfe", "UTF-16"),
        ("a.csv", b"text,b\n1,2\n1\n", "1 values for 2 columns"),
        ("a.jsonl.gz", b"no gzip", "cannot be read"),
        ("a.json", b'[{"text": "x"}', "is damaged"),
        ("a.parquet", b"PAR1", "cannot be read"),
        ("a.jsonl", b'{"text": "x"}\n', "0 to train on"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FtcError, match=said):
        part(tmp_path, 1, source(tmp_path / name))


def test_half_a_surrogate_pair_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"text": "\\ud83d"}, {"text": "b"}]')
    with pytest.raises(FtcError, match=r"a.json, row 1: a text holds half of a surrogate pair"):
        part(tmp_path, 1, source(tmp_path / "a.json"))
