"""The topics of an event log on Kafka, and how they are made.

- `<log.topic>`, of N partitions: one message for each event, its value the event's JSON as the edge encoded it, without
  key and headers. Its partition is `counting.partition_of(ad_id, user_id, N)`. Towards the port: `clicks-0` and so on.
- `<log.topic>.control`, of one partition: one message for each control record of all edges. `control-0`.
- `<log.topic>.imports`, of one partition: imported events and mended dead letters, and the control records of those who
  wrote them; the key of a control record is `control`. `import-0`.

All stamp messages with the time of their append (LogAppendTime), never elect a leader that lacks messages, and take an
append when all but one of the replicas have it. A position is an offset; readers commit theirs as offsets of the
consumer group `<log.topic>.<reader>`, which brokers forget a week after the last commit (`offsets.retention.minutes`).
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from adtally.errors import LogError
from adtally.eventlog.port import IMPORT_PREFIX, SHARED_PREFIX, Partition
from adtally.utc import DAY_MS

CONTROL_PREFIX: Final = "control-"
CONTROL_KEY: Final = b"control"
ASK_S: Final = 10.0
"""How long brokers may take to answer a question that nobody's click waits for."""
_EXISTS: Final = "TOPIC_ALREADY_EXISTS"


class Topics(msgspec.Struct, frozen=True):
    """The names of a log's topics; `clicks` is the setting `log.topic`."""

    clicks: str

    @property
    def control(self) -> str:
        """Give the topic of control records."""
        return f"{self.clicks}.control"

    @property
    def imports(self) -> str:
        """Give the topic of imported events."""
        return f"{self.clicks}.imports"

    def prefixes(self) -> Mapping[str, str]:
        """Give by topic how the names of its partitions begin."""
        return {self.clicks: SHARED_PREFIX, self.control: CONTROL_PREFIX, self.imports: IMPORT_PREFIX}

    def place(self, partition: Partition) -> tuple[str, int]:
        """Give the topic and the number of a partition. Raises LogError for what this log does not have."""
        for topic, prefix in self.prefixes().items():
            number = partition.removeprefix(prefix)
            if number != partition and number.isdecimal():
                return topic, int(number)
        raise LogError(f"{partition!r} is no partition of a log on Kafka")


class TopicSettings(msgspec.Struct, frozen=True):
    """How topics are made where they are absent; one that is there stays as it is."""

    partitions: int
    """Of the clicks."""
    replicas: int
    retention_days: int


def client_settings(brokers: tuple[str, ...]) -> dict[str, Any]:
    """Give what every client of the brokers has in common."""
    return {
        "bootstrap.servers": ",".join(brokers),
        # A broker that comes back is noticed within a second.
        "reconnect.backoff.max.ms": 1_000,
        "socket.connection.setup.timeout.ms": 5_000,
        # What goes wrong is raised where it matters; on standard error nobody could tell whose it is.
        "log_level": 0,
    }


def list_partitions(client: Any, topics: Topics, wait_s: float = ASK_S) -> list[Partition]:  # noqa: ANN401 - untyped
    """Give the log's partitions that exist, sorted; `client` is any client of the brokers. Raises LogError."""
    try:
        found = client.list_topics(timeout=wait_s).topics
    except KafkaException as error:
        raise log_error("the brokers do not tell their topics", error) from error
    prefixes = topics.prefixes()
    return sorted(
        Partition(f"{prefixes[topic]}{number}")
        for topic in prefixes.keys() & found.keys()
        for number in found[topic].partitions
    )


def make_topics(brokers: tuple[str, ...], topics: Topics, settings: TopicSettings, wait_s: float = ASK_S) -> None:
    """Make the topics that are absent. Raises LogError."""
    client = AdminClient(client_settings(brokers))
    try:
        there = client.list_topics(timeout=wait_s).topics
        absent = [
            _new_topic(name, settings.partitions if name == topics.clicks else 1, settings)
            for name in topics.prefixes()
            if name not in there
        ]
        if not absent:
            return
        for made in client.create_topics(absent, operation_timeout=wait_s).values():
            _done(made, wait_s)
    except KafkaException as error:
        raise log_error("the log's topics cannot be made", error) from error


def _done(made: Any, wait_s: float) -> None:  # noqa: ANN401 - untyped
    try:
        made.result(wait_s)
    except KafkaException as error:
        if error.args[0].name() != _EXISTS:
            raise


def _new_topic(name: str, partitions: int, settings: TopicSettings) -> NewTopic:
    return NewTopic(
        name,
        num_partitions=partitions,
        replication_factor=settings.replicas,
        config={
            "message.timestamp.type": "LogAppendTime",
            "min.insync.replicas": str(max(1, settings.replicas - 1)),
            "unclean.leader.election.enable": "false",
            "retention.ms": str(settings.retention_days * DAY_MS),
            "cleanup.policy": "delete",
        },
    )


def log_error(what: str, error: KafkaException) -> LogError:
    """Give the log's own error for one of the client library."""
    return LogError(f"{what}: {error.args[0].str()}")
