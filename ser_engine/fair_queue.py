"""A queue at a few places that serves owners in rotation, so that nobody waits for all the work of another."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable
from types import TracebackType

from ser_engine.errors import Busy

QUANTUM_S = 10.0
"""How long a turn lasts before it is passed on where others wait: most recordings take less, so they end first."""


class _Lines:
    """Who waits, by owner, how many turns each has under way, and when each had the latest."""

    def __init__(self) -> None:
        self.waiting: dict[Hashable, deque[Turn]] = {}
        self.running: Counter[Hashable] = Counter()
        self._latest: dict[Hashable, int] = {}
        self._count = 0

    def copy(self) -> _Lines:
        """Return a copy, to look ahead with."""
        other = _Lines()
        other.waiting = {owner: deque(line) for owner, line in self.waiting.items()}
        other.running, other._latest, other._count = self.running.copy(), dict(self._latest), self._count
        return other

    def add(self, turn: Turn) -> None:
        """Add a turn to the line of its owner."""
        self.waiting.setdefault(turn.owner, deque()).append(turn)

    def next(self, each: int | None) -> Turn | None:
        """Return the next turn, which is under way from now on; None where nobody may begin."""
        owners = [owner for owner in self.waiting if each is None or self.running[owner] < each]
        if not owners:
            return None
        turn = self.waiting[min(owners, key=lambda owner: (self.running[owner], self._latest.get(owner, 0)))][0]
        self.start(turn)
        return turn

    def start(self, turn: Turn) -> None:
        """Take a turn out of its line, and count it as under way."""
        self.drop(turn)
        self.running[turn.owner] += 1
        self._count += 1
        self._latest[turn.owner] = self._count

    def drop(self, turn: Turn) -> bool:
        """Take a turn out of its line; return whether it was there."""
        line = self.waiting.get(turn.owner, deque())
        if turn not in line:
            return False
        line.remove(turn)
        if not line:
            del self.waiting[turn.owner]
        return True

    def end(self, turn: Turn) -> None:
        """Count a turn as under way no more."""
        self.running[turn.owner] -= 1
        if not self.running[turn.owner]:
            del self.running[turn.owner]
            if turn.owner not in self.waiting:
                self._latest.pop(turn.owner, None)


class FairQueue:
    """Turns at `places`, for threads and event loops alike.

    The next turn is that of the owner with the fewest turns under way; among equals, of the one whose latest turn was
    the longest ago. An owner's own turns are in the order in which they joined.

    Parameters
    ----------
    places : turns at a time
    longest : turns that may wait; any number by default
    each : turns of one owner at a time; any number by default
    quantum_s : seconds after which `Turn.pass_on` takes effect
    """

    def __init__(
        self, places: int, longest: int | None = None, each: int | None = None, quantum_s: float = QUANTUM_S
    ) -> None:
        self.places, self.longest, self.each, self.quantum_s = places, longest, each, quantum_s
        self._lock = threading.Lock()
        self._lines = _Lines()
        self._taken = 0
        """Places that are taken; turns that were taken along have none."""

    @property
    def running(self) -> int:
        """The number of turns under way."""
        return self._lines.running.total()

    @property
    def waiting(self) -> int:
        """The number of turns that wait."""
        with self._lock:
            return self._waiting()

    @property
    def full(self) -> bool:
        """Whether another turn could not even wait."""
        with self._lock:
            return self._full()

    def join(self, owner: Hashable, on_turn: Callable[[Turn], object] = lambda _: None, item: object = None) -> Turn:
        """Return a turn for `owner`, to be left in the end; raise Busy if too many wait.

        `on_turn` is called with the turn, in any thread, whenever it begins; `item` is what the turn is for.
        """
        with self._lock:
            if self._full():
                raise Busy("Too many recordings are waiting; try again later.")
            turn = Turn(self, owner, on_turn, item)
            self._lines.add(turn)
        self._admit()
        return turn

    def _waiting(self) -> int:
        return sum(map(len, self._lines.waiting.values()))

    def _full(self) -> bool:
        return self.longest is not None and self._taken >= self.places and self._waiting() >= self.longest

    def _admit(self) -> None:
        admitted: list[Turn] = []
        with self._lock:
            while self._taken < self.places and (turn := self._lines.next(self.each)):
                self._taken += 1
                turn.begin()
                admitted.append(turn)
        for turn in admitted:
            turn.on_turn(turn)

    def place_of(self, turn: Turn) -> int:
        """Return a turn's place in the queue, from 1; 0 if it is under way or was left."""
        with self._lock:
            if turn not in self._lines.waiting.get(turn.owner, ()):
                return 0
            ahead, place = self._lines.copy(), 1
            while ahead.next(None) is not turn:
                place += 1
            return place

    def leave(self, turn: Turn) -> None:
        """End a turn, or stop waiting for it."""
        with self._lock:
            self._remove(turn)
        self._admit()

    def pass_on(self, turn: Turn) -> None:
        """Put a turn that lasts for long to the end of the queue where others wait."""
        with self._lock:
            if not turn.lasts_longer_than(self.quantum_s) or not self._lines.waiting:
                return
            self._remove(turn)
            self._lines.add(turn)
        self._admit()

    def take_along(self, fits: Callable[[Turn], bool], most: int) -> list[Turn]:
        """Let up to `most` of the next turns that fit begin, although no place is free; `on_turn` is not called.

        For work that is done together with that of a turn under way.
        """
        with self._lock:
            ahead, taken = self._lines.copy(), list[Turn]()
            while len(taken) < most and (turn := ahead.next(self.each)):
                if fits(turn):
                    self._lines.start(turn)
                    turn.begin(place=False)
                    taken.append(turn)
        return taken

    def _remove(self, turn: Turn) -> None:
        if not self._lines.drop(turn) and turn.end():
            self._lines.end(turn)
            self._taken -= turn.has_place


class Turn:
    """A turn of `owner` in a `FairQueue`; as a context, it is left in the end."""

    def __init__(self, queue: FairQueue, owner: Hashable, on_turn: Callable[[Turn], object], item: object) -> None:
        self.owner, self.on_turn, self.item = owner, on_turn, item
        self._queue = queue
        self._begun = threading.Event()
        self._since = 0.0
        self.has_place = False

    def __enter__(self) -> Turn:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    @property
    def place(self) -> int:
        """The place in the queue, from 1; 0 while the turn is under way."""
        return self._queue.place_of(self)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the turn at most so long; return whether it is under way."""
        return self._begun.wait(seconds)

    def pass_on(self) -> None:
        """Let those who wait go first if this turn has lasted for long; then `wait` until it goes on."""
        self._queue.pass_on(self)

    def leave(self) -> None:
        """End the turn, or stop waiting for it; may be called again."""
        self._queue.leave(self)

    def begin(self, place: bool = True) -> None:
        """Begin, at a place or along with another turn; called by the queue."""
        self._since, self.has_place = time.monotonic(), place
        self._begun.set()

    def end(self) -> bool:
        """End; called by the queue. Return whether the turn was under way."""
        was = self._begun.is_set()
        self._begun.clear()
        return was

    def lasts_longer_than(self, seconds: float) -> bool:
        """Return whether the turn has been under way for longer."""
        return self._begun.is_set() and time.monotonic() - self._since > seconds
