"""Turns in rotation: nobody waits for all the work of another."""

from __future__ import annotations

import threading
import time

import pytest

from ser_engine.errors import Busy
from ser_engine.fair_queue import FairQueue, Turn


def served(queue: FairQueue, turns: list[Turn]) -> list[object]:
    """Let all turns pass, one after the other; return their items in the order in which they began."""
    order: list[object] = []
    while len(order) < len(turns):
        (under_way,) = [turn for turn in turns if turn.wait(0)]
        order.append(under_way.item)
        under_way.leave()
    assert queue.running == queue.waiting == 0
    return order


def test_owners_take_turns_and_their_own_work_stays_in_order() -> None:
    queue = FairQueue(1)
    turns = [queue.join("a", item=f"a{number}") for number in range(4)]
    turns += [queue.join("b", item=f"b{number}") for number in range(2)] + [queue.join("c", item="c0")]
    # The first is under way; of those that wait, the one that comes latest is not the last to be served.
    assert [turn.place for turn in turns] == [0, 3, 5, 6, 1, 4, 2]
    assert served(queue, turns) == ["a0", "b0", "c0", "a1", "b1", "a2", "a3"]


def test_several_places_go_to_different_owners_first_and_an_owner_has_only_so_many() -> None:
    queue = FairQueue(3, each=2)
    mine = [queue.join("a") for _ in range(4)]
    assert [turn.wait(0) for turn in mine] == [True, True, False, False]
    other = queue.join("b")
    assert other.wait(0) and queue.running == 3
    third = queue.join("c")
    mine[0].leave()
    assert third.wait(0) and not mine[2].wait(0)
    other.leave()
    assert mine[2].wait(0)
    for turn in (*mine, third):
        turn.leave()
    assert queue.running == queue.waiting == 0


def test_a_full_queue_refuses_and_one_who_leaves_makes_room() -> None:
    queue = FairQueue(1, longest=1)
    first, second = queue.join("a"), queue.join("b")
    assert queue.full
    with pytest.raises(Busy, match="try again"):
        queue.join("c")
    second.leave()
    second.leave()
    with queue.join("c") as third:
        assert third.place == 1
        first.leave()
        assert third.place == 0
    assert queue.running == queue.waiting == 0


def test_long_work_lets_others_go_first_and_goes_on() -> None:
    queue = FairQueue(1, quantum_s=0.05)
    long = queue.join("a")
    long.pass_on()
    other = queue.join("b")
    long.pass_on()  # too early
    assert long.wait(0)
    time.sleep(0.06)
    long.pass_on()
    assert other.wait(0) and not long.wait(0) and long.place == 1
    other.leave()
    assert long.wait(0)
    time.sleep(0.06)
    long.pass_on()  # nobody waits
    assert long.wait(0)
    long.leave()


def test_work_taken_along_fits_and_counts() -> None:
    queue = FairQueue(1)
    queue.join("a")
    turns = [queue.join(owner, item=item) for owner, item in (("a", 1), ("b", 2), ("a", 3), ("c", 4))]
    taken = queue.take_along(lambda turn: turn.item != 2, most=2)
    assert [turn.item for turn in taken] == [4, 1] and queue.running == 3 and queue.waiting == 2
    assert turns[1].place == 1 and turns[2].place == 2


def test_many_threads_are_all_served_one_at_a_time() -> None:
    queue, at_once, most, done = FairQueue(2, quantum_s=0.0), [0], [0], []
    lock = threading.Lock()

    def work(number: int) -> None:
        with queue.join(number % 5) as turn:
            for _ in range(3):
                assert turn.wait(20)
                with lock:
                    at_once[0] += 1
                    most[0] = max(most[0], at_once[0])
                time.sleep(0.0005)
                with lock:
                    at_once[0] -= 1
                turn.pass_on()
            done.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(done) == list(range(40)) and most[0] == 2
    assert queue.running == queue.waiting == 0


def test_turns_that_are_taken_along_need_no_place() -> None:
    queue = FairQueue(2)
    first = queue.join("a")
    second = queue.join("a")
    waiting = [queue.join("a", item=number) for number in range(5)]
    along = queue.take_along(lambda _: True, most=3)
    assert [turn.item for turn in along] == [0, 1, 2] and queue.running == 5
    second.leave()
    assert [turn.place for turn in waiting[3:]] == [0, 1]  # the place of the second is free for another
    for turn in (first, *along, waiting[3]):
        turn.leave()
    assert waiting[4].place == 0 and queue.running == 1
