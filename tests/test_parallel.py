"""Work spread over processes: results in order, errors in their turn, and no process left whatever happens."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from multiprocessing import active_children
from multiprocessing.connection import Connection

import pytest

from backends.native.findings import DataError, Place, RowError
from backends.native.parallel import AHEAD, in_order

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")

HERE = os.getpid()


def negative(item: int) -> tuple[int, bool]:
    """And whether another process found out."""
    return -item, os.getpid() != HERE


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
@pytest.mark.parametrize("items", [0, 1, 2, 50])
def test_results_are_in_order(workers: int, items: int) -> None:
    found = list(in_order(negative, range(items), workers))
    assert found == [(-item, workers > 1 and items > 1) for item in range(items)]
    assert not active_children()


def test_items_are_drawn_as_they_are_needed() -> None:
    drawn: list[int] = []
    results = in_order(negative, (drawn.append(item) or item for item in range(1000)), 2)
    for number in range(20):
        assert next(results)[0] == -number
        assert len(drawn) <= number + 2 * AHEAD + 2
    results.close()  # type: ignore[attr-defined] (a generator)
    assert not active_children()


class OddError(Exception):
    """An error that cannot be made again from its words alone."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} and {two}")


ERRORS = {
    "any": (ValueError("seven"), ValueError, "^seven$"),
    "of a row": (RowError("FTC510", Place("rows.jsonl", 7), "odd"), RowError, r"^rows\.jsonl:7: odd \(FTC510\)$"),
    "that does not travel": (OddError("one", "two"), RuntimeError, "^OddError: one and two$"),
}


@pytest.mark.parametrize("what", ERRORS)
def test_errors_are_raised_in_their_turn(what: str) -> None:
    error, kind, words = ERRORS[what]

    def work(item: int) -> int:
        if item == 7:
            raise error
        return item

    results = in_order(work, range(50), 3)
    assert [next(results) for _ in range(7)] == list(range(7))
    with pytest.raises(kind, match=words) as caught:
        next(results)
    assert "in work\n    raise error" in str(caught.value.__cause__)
    assert not active_children()


def test_result_that_does_not_travel_is_an_error() -> None:
    with pytest.raises(Exception, match="pickle"):
        list(in_order(lambda item: lambda: item, range(5), 2))
    assert not active_children()


def test_error_of_the_items_ends_the_workers() -> None:
    def items() -> Iterator[int]:
        yield from range(9)
        raise DataError("no more")

    with pytest.raises(DataError, match="no more"):
        list(in_order(negative, items(), 3))
    assert not active_children()


@pytest.mark.parametrize("item", [0, 7, 49])
def test_worker_killed_at_work_is_told(item: int) -> None:
    def work(given: int) -> int:
        if given == item:
            os.kill(os.getpid(), signal.SIGKILL)
        return given

    with pytest.raises(DataError, match="was killed"):
        list(in_order(work, range(50), 3))
    assert not active_children()


def test_worker_killed_amid_its_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    send = Connection._send

    def half(self: Connection, data: bytes) -> None:
        if os.getpid() == HERE:
            send(self, data)
        else:
            os.write(self.fileno(), bytes(data)[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(Connection, "_send", half)
    with pytest.raises(DataError, match="was killed"):
        list(in_order(negative, range(5), 2))
    assert not active_children()


def test_worker_killed_while_it_waits_is_told() -> None:
    def items() -> Iterator[int]:
        yield from range(9)
        for process in active_children():
            process.kill()
            process.join()
        yield from range(9)

    with pytest.raises(DataError, match="was killed"):
        list(in_order(negative, items(), 3))
    assert not active_children()


def test_workers_do_not_hear_of_an_interruption() -> None:
    """Ctrl-C reaches all of a terminal's processes; only the one that asked decides what comes of it."""

    def work(item: int) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        return item

    assert list(in_order(work, range(9), 3)) == list(range(9))


@pytest.mark.parametrize("elsewhere", [False, True])
def test_interruption_as_workers_are_started_leaves_none(elsewhere: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever thread the system gives it to: those of libraries hear everything."""
    fork = os.fork
    forked: list[int] = []
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()

    def interrupted() -> int:
        pid = fork()
        if pid:
            forked.append(pid)
            signal.pthread_kill(thread.ident if elsewhere else threading.get_ident(), signal.SIGINT)
            for _ in range(1_000_000):  # time for the other thread to hear it
                pass
        return pid

    monkeypatch.setattr(os, "fork", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(in_order(negative, range(9), 3))
    done.set()
    thread.join()
    assert forked
    for pid in forked:
        with pytest.raises(ChildProcessError):  # it is gone, and was waited for
            os.waitpid(pid, os.WNOHANG)
