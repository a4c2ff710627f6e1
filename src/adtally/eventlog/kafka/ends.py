"""Where partitions begin and end at this moment, asked in one request for all that may need it."""

import contextlib
from collections.abc import Iterable
from typing import Any, Final

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from adtally.clock import Clock
from adtally.errors import LogError
from adtally.eventlog.kafka.topics import Topics, log_error
from adtally.eventlog.port import Partition

ANSWER_S_MAX: Final = 5.0
LEADERS_S: Final = 1.0
AGE_S_MAX: Final = 0.01
"""A reader that goes from one partition to the next takes what was asked with the first of them for all."""


class Ends:
    """Asks leaders for their offsets. An answer about a partition's end is given once, and only while it is fresh."""

    def __init__(self, client: Any, topics: Topics, clock: Clock) -> None:  # noqa: ANN401 - untyped
        self._client = client
        self._topics = topics
        self._clock = clock
        self._answers: dict[Partition, int | LogError] = {}
        self._asked_s = float("-inf")

    def end(self, partition: Partition, others: Iterable[Partition]) -> int:
        """Give the offset after the last message that readers may see. Raises LogError.

        `others` are asked about in the same request, for they come next.
        """
        fresh = self._clock.monotonic_s() - self._asked_s <= AGE_S_MAX
        answer = self._answers.pop(partition, None) if fresh else None
        if answer is None:
            asked_s = self._clock.monotonic_s()
            self._answers = self._ask({partition, *others}, OffsetSpec.latest())
            self._asked_s = asked_s
            answer = self._answers.pop(partition)
        if isinstance(answer, LogError):
            raise answer
        return answer

    def beginning(self, partition: Partition) -> int:
        """Give the offset of the first message that is held. Raises LogError."""
        answer = self._ask({partition}, OffsetSpec.earliest())[partition]
        if isinstance(answer, LogError):
            raise answer
        return answer

    def _ask(self, partitions: set[Partition], what: Any) -> dict[Partition, int | LogError]:  # noqa: ANN401 - untyped
        places = {TopicPartition(*self._topics.place(each)): each for each in partitions}
        try:
            futures = self._client.list_offsets(dict.fromkeys(places, what), request_timeout=ANSWER_S_MAX)
        except KafkaException as error:
            raise log_error("the brokers do not tell how far partitions reach", error) from error
        answers: dict[Partition, int | LogError] = {}
        for place, answer in futures.items():
            try:
                answers[places[place]] = int(answer.result().offset)
            except KafkaException as error:
                answers[places[place]] = log_error(f"{places[place]}: the brokers do not tell its end", error)
        if any(isinstance(answer, LogError) for answer in answers.values()):
            # Leaders may have changed; the next question is to go to the new ones.
            with contextlib.suppress(KafkaException):
                self._client.list_topics(timeout=LEADERS_S)
        return answers
