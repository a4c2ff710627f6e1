"""One timer for all connections: they lie in buckets by their next deadline, and an idle tick touches none of them."""

from typing import Final, Generic, Protocol, TypeVar

BUCKET_S: Final = 0.25
"""A deadline is met at most this much late, plus the time between two ticks."""


class Watched(Protocol):
    """Something with a deadline."""

    bucket: int

    def check(self, now_s: float) -> float | None:
        """Act if the deadline has passed; give the next one in seconds, None if there is none any more."""
        ...


T = TypeVar("T", bound=Watched)


class Deadlines(Generic[T]):
    """Asks each thing about its deadline when it may have come.

    A deadline that moves back costs nothing: when the bucket is due, the thing gives the later one.
    """

    def __init__(self, now_s: float) -> None:
        self._buckets: dict[int, set[T]] = {}
        self._next = int(now_s / BUCKET_S)

    def watch(self, thing: T, deadline_s: float) -> None:
        """See to it that `thing` is checked soon after `deadline_s`, or earlier."""
        bucket = max(int(deadline_s / BUCKET_S) + 1, self._next)
        if thing.bucket >= 0:
            if thing.bucket <= bucket:
                return
            self.forget(thing)
        thing.bucket = bucket
        self._buckets.setdefault(bucket, set()).add(thing)

    def forget(self, thing: T) -> None:
        """Stop watching; harmless where it was not watched."""
        if thing.bucket >= 0:
            bucket = self._buckets.get(thing.bucket)
            if bucket is not None:
                bucket.discard(thing)
            thing.bucket = -1

    def tick(self, now_s: float) -> None:
        """Check everything whose bucket has come."""
        current = int(now_s / BUCKET_S)
        if current < self._next:
            return
        due = [bucket for bucket in self._buckets if bucket <= current]
        self._next = current + 1
        for bucket in due:
            for thing in self._buckets.pop(bucket):
                thing.bucket = -1
                next_s = thing.check(now_s)
                if next_s is not None:
                    self.watch(thing, next_s)
