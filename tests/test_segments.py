"""Reserved memory of a sequence of allocations, as PyTorch's CUDA caching allocator would have it."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.memory.segments import OutOfMemoryError, replay, round_size

MIB = 1 << 20
Events = list[tuple[int, int]]


def churn(seed: int, count: int, largest: int, room: int) -> Events:
    """A random sequence whose live sizes stay under `room`. Small sizes are the commonest.
    Only `Random.random`, which gives the same numbers in every version of Python."""
    draw = Random(seed).random  # noqa: S311
    events: Events = []
    live: list[tuple[int, int]] = []
    for key in range(count):
        size = 1 + int(largest * draw() * draw() * draw() * draw())
        while live and (sum(held for _, held in live) + size > room or draw() < 0.3):
            events.append((live.pop(int(draw() * len(live)))[0], 0))
        events.append((key, size))
        live.append((key, size))
    return events


# Figures of the compiled allocator: libc10_cuda.so of the torch 2.13.0 wheel for CUDA 13.0, called with the events
# of `churn` over a stand-in for the CUDA driver that counts bytes up to the capacity. Seed, count, largest, room and
# capacity in MiB (0: no end), divisions; then for each kind of segment max_memory_reserved, max_memory_allocated and
# num_alloc_retries, or the index of the event that ran out of memory.
RECORDED: list[tuple[tuple[int, int, int, int, int, int], tuple[int, ...], tuple[int, ...]]] = [
    ((0, 40, 64, 200, 0, 0), (171966464, 165809152, 0), (174063616, 161684480, 0)),
    ((1, 200, 64, 400, 0, 0), (528482304, 428958720, 0), (515899392, 419042816, 0)),
    ((2, 200, 64, 400, 0, 16), (526385152, 434366464, 0), (517996544, 425781248, 0)),
    ((3, 600, 256, 2000, 0, 0), (2782920704, 2116385280, 0), (2680160256, 2096933888, 0)),
    ((4, 600, 256, 2000, 0, 16), (2812280832, 2163731456, 0), (2699034624, 2145354752, 0)),
    ((5, 600, 2, 30, 0, 0), (56623104, 31521280, 0), (56623104, 31521280, 0)),
    ((6, 600, 2, 30, 0, 4), (60817408, 34668544, 0), (60817408, 34668544, 0)),
    ((7, 300, 20, 200, 0, 8), (251658240, 231171584, 0), (249561088, 218719744, 0)),
    ((8, 400, 64, 400, 600, 0), (576716800, 436587520, 0), (547356672, 419405312, 0)),
    ((9, 400, 64, 400, 520, 0), (536,), (330,)),
    ((10, 400, 64, 400, 600, 16), (614465536, 443480576, 1), (612368384, 429223424, 0)),
    ((11, 400, 64, 400, 440, 0), (179,), (187,)),
    ((12, 600, 256, 2000, 2600, 0), (953,), (2696937472, 2097148416, 1)),
    ((13, 600, 256, 2000, 2900, 0), (3015704576, 2115834880, 1), (2535456768, 2097042944, 0)),
    ((14, 600, 256, 2000, 2700, 16), (2776629248, 2171527168, 2), (2740977664, 2154553344, 0)),
    ((15, 600, 16, 100, 136, 0), (387,), (501,)),
    ((16, 600, 16, 100, 140, 0), (385,), (385,)),
    ((17, 600, 2, 30, 46, 0), (48234496, 31518208, 1), (48234496, 31518208, 1)),
    ((73, 600, 256, 2000, 2300, 0), (533,), (2388656128, 2097072128, 7)),
]


@pytest.mark.parametrize(("shape", "segments", "expandable"), RECORDED)
def test_peaks_are_those_of_the_compiled_allocator(
    shape: tuple[int, int, int, int, int, int], segments: tuple[int, ...], expandable: tuple[int, ...]
) -> None:
    seed, count, largest, room, capacity, divisions = shape
    events = churn(seed, count, largest * MIB, room * MIB)
    for kind, expected in ((False, segments), (True, expandable)):
        assert outcome(events, kind, capacity * MIB or None, divisions) == expected


def outcome(events: Events, expandable: bool, capacity: int | None, divisions: int) -> tuple[int, ...]:
    try:
        found = replay(events, expandable=expandable, capacity=capacity, roundup_divisions=divisions)
    except OutOfMemoryError as error:
        return (error.event,)
    return found.reserved, found.allocated, found.retries


def cloned(size: int) -> Events:
    """b = a.clone(), then five times b = b.clone() + 1: three tensors at the most, one at the end."""
    events: Events = [(0, size)]
    for step in range(5):
        clone, total = 2 * step + 1, 2 * step + 2
        events += [(clone, size), (total, size), (clone, 0), (total - 2, 0)]
    return events


@pytest.mark.parametrize(
    ("size", "segments", "expandable"),
    [
        (512, 2 * MIB, 2 * MIB),
        (MIB, 4 * MIB, 4 * MIB),
        (MIB + 512, 20 * MIB, 20 * MIB),
        (10 * MIB - 512, 40 * MIB, 40 * MIB),
        (10 * MIB + 512, 36 * MIB, 40 * MIB),
    ],
)
def test_segments_are_those_that_pytorch_expects_of_a_chain_of_clones(
    size: int, segments: int, expandable: int
) -> None:
    """The table in PyTorch's test/test_cuda.py, test_graph_memory_stats_and_use_result_after_destroy_graph."""
    assert replay(cloned(size)).reserved == segments
    assert replay(cloned(size), expandable=True).reserved == expandable


@pytest.mark.parametrize(
    ("size", "divisions", "rounded"),
    [(84 * MIB, 0, 84 * MIB), (84 * MIB, 4, 96 * MIB), (84 * MIB, 8, 88 * MIB), (400 * MIB, 2, 512 * MIB)],
)
def test_sizes_are_rounded_to_divisions_of_powers_of_two(size: int, divisions: int, rounded: int) -> None:
    """The sizes in PyTorch's test/test_cuda.py, test_allocator_settings."""
    assert replay([(1, size)], roundup_divisions=divisions).allocated == rounded


def test_half_the_card_fits_again_after_it_was_freed() -> None:
    """PyTorch's test/test_cuda.py, test_out_of_memory_retry: two halves do not fit beside what else is on the card."""
    half, capacity = 512 * MIB, 1023 * MIB
    with pytest.raises(OutOfMemoryError, match="raise the capacity") as caught:
        replay([(1, half), (2, half)], capacity=capacity)
    assert caught.value.event == 1
    assert replay([(1, half), (1, 0), (2, half)], capacity=capacity).reserved == half


def test_cached_segments_are_given_back_before_memory_runs_out() -> None:
    events = [(1, 60 * MIB), (1, 0), (2, 80 * MIB)]
    assert replay(events).reserved == 140 * MIB
    limited = replay(events, capacity=100 * MIB)
    assert (limited.reserved, limited.retries) == (80 * MIB, 1)


def test_a_segment_in_use_is_not_given_back() -> None:
    """5 MiB that live keep their 20 MiB beside the 70 MiB asked; the expandable segment puts both into 80 MiB."""
    events = [(1, 5 * MIB), (2, 40 * MIB), (1, 0), (3, 5 * MIB), (2, 0), (4, 70 * MIB)]
    with pytest.raises(OutOfMemoryError):
        replay(events, capacity=89 * MIB)
    assert replay(events, capacity=90 * MIB).retries == 1
    assert replay(events, capacity=80 * MIB, expandable=True).retries == 0


def test_a_tensor_of_eleven_mib_and_a_half_takes_all_of_its_segment() -> None:
    """A rest of at most 1 MiB is not split off, and the block counts whole; an expandable one is split at any rest."""
    size = 11 * MIB + MIB // 2
    assert replay([(1, size)]).allocated == 12 * MIB
    assert replay([(1, size)], expandable=True).allocated == size


def test_a_second_identical_step_can_reserve_more() -> None:
    """The first step's segments were made in the order of its sizes; the second finds all of them free, and 5 MiB takes
    part of the block that 15 MiB had. An expandable segment repeats the step where it was."""
    step = [(1, 5 * MIB), (2, 22 * MIB), (3, 16 * MIB), (4, 14 * MIB), (1, 0), (2, 0), (3, 0), (4, 0)]
    assert [replay(step * times).reserved for times in (1, 2, 3)] == [58 * MIB, 72 * MIB, 72 * MIB]
    assert replay(step * 3, expandable=True).reserved == replay(step, expandable=True).reserved


def test_expandable_segments_can_reserve_more() -> None:
    """A freed segment of 30 MiB takes the next 30 MiB, though less was asked for it at first. The freed range of an
    expandable segment is a little too small, and what is left at its end needs 24 MiB more, so two pages."""
    events = [(1, 29 * MIB + 1), (2, 5 * MIB), (1, 0), (3, 30 * MIB)]
    assert replay(events).reserved == 50 * MIB
    assert replay(events, expandable=True).reserved == 80 * MIB


def test_inactive_is_what_the_peak_holds_unused() -> None:
    events = [(1, 30 * MIB), (1, 0), (2, 32 * MIB), (3, 10 * MIB)]
    assert replay(events).inactive == 30 * MIB


@pytest.mark.parametrize("divisions", [-1, 3, 12])
def test_divisions_that_torch_refuses_are_refused(divisions: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        replay([], roundup_divisions=divisions)


@pytest.mark.parametrize(("events", "which"), [([(1, 512), (1, 512)], "is live"), ([(1, 0)], "is not live")])
def test_a_sequence_that_no_program_could_make_is_refused(events: Events, which: str) -> None:
    with pytest.raises(ValueError, match=which):
        replay(events)


def test_nothing_needs_nothing() -> None:
    assert replay([]).reserved == replay([]).allocated == 0


@st.composite
def any_events(draw: st.DrawFn) -> Events:
    """Allocations of up to 64 MiB in any order with frees; all are freed at the end."""
    sizes = st.integers(1, 2 * MIB) | st.integers(1, 64 * MIB) | st.sampled_from((512, MIB, MIB + 1, 10 * MIB))
    events: Events = []
    live: list[int] = []
    for key in range(draw(st.integers(1, 30))):
        for _ in range(draw(st.integers(0, min(2, len(live))))):
            events.append((live.pop(draw(st.integers(0, len(live) - 1))), 0))
        events.append((key, draw(sizes)))
        live.append(key)
    return events + [(key, -1) for key in live]


def peak(events: Sequence[tuple[int, int]], divisions: int = 0) -> int:
    """Peak of rounded live sizes."""
    live: dict[int, int] = {}
    most = 0
    for key, size in events:
        if size > 0:
            live[key] = round_size(size, divisions)
        else:
            del live[key]
        most = max(most, sum(live.values()))
    return most


DIVISIONS = st.sampled_from((0, 1, 2, 4, 16))


@given(any_events(), st.booleans(), DIVISIONS)
def test_reserved_is_never_under_allocated(events: Events, expandable: bool, divisions: int) -> None:
    found = replay(events, expandable=expandable, roundup_divisions=divisions)
    assert found.reserved >= found.allocated >= peak(events, divisions) > 0
    assert 0 <= found.inactive < found.reserved
    assert found.reserved % (2 * MIB) == 0


@given(any_events(), DIVISIONS)
def test_expandable_blocks_are_as_large_as_their_rounded_sizes(events: Events, divisions: int) -> None:
    found = replay(events, expandable=True, roundup_divisions=divisions)
    assert found.allocated == peak(events, divisions)


@given(any_events(), st.booleans())
def test_the_names_of_tensors_do_not_matter(events: Events, expandable: bool) -> None:
    renamed = [(1000 - 7 * key, size) for key, size in events]
    assert replay(renamed, expandable=expandable) == replay(events, expandable=expandable)


@given(any_events(), st.integers(2, 4))
def test_an_expandable_segment_repeats_a_step_in_the_same_place(events: Events, times: int) -> None:
    assert replay(events * times, expandable=True) == replay(events, expandable=True)


@given(any_events(), st.booleans())
def test_more_steps_never_reserve_less(events: Events, expandable: bool) -> None:
    half = events[: len(events) // 2]
    assert replay(half, expandable=expandable).reserved <= replay(events, expandable=expandable).reserved


@given(any_events(), st.booleans())
def test_a_capacity_that_is_never_reached_changes_nothing(events: Events, expandable: bool) -> None:
    free = replay(events, expandable=expandable)
    assert replay(events, expandable=expandable, capacity=free.reserved) == free


@given(any_events(), st.booleans(), st.floats(0.3, 1))
def test_a_capacity_is_never_exceeded(events: Events, expandable: bool, share: float) -> None:
    capacity = int(replay(events, expandable=expandable).reserved * share)
    try:
        found = replay(events, expandable=expandable, capacity=capacity)
    except OutOfMemoryError as error:
        assert error.reserved <= capacity
        assert error.size == events[error.event][1] > 0
    else:
        assert found.allocated <= found.reserved <= capacity


@given(st.lists(st.integers(1, 64 * MIB), min_size=1, max_size=40))
def test_a_stack_leaves_no_hole_in_an_expandable_segment(sizes: list[int]) -> None:
    """Freed in the opposite order, each pool holds its peak in whole pages, of 2 MiB (small) and 20 MiB (large)."""
    events = [(key, size) for key, size in enumerate(sizes)] + [(key, 0) for key in reversed(range(len(sizes)))]
    rounded = [round_size(size) for size in sizes]
    small, large = sum(size for size in rounded if size <= MIB), sum(size for size in rounded if size > MIB)
    pages = -(-small // (2 * MIB)) * 2 * MIB + -(-large // (20 * MIB)) * 20 * MIB
    assert replay(events, expandable=True).reserved == pages
