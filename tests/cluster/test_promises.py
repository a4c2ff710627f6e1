"""How far the stream says that it has come, on a real Kafka."""

import time

import pytest
from deploy.local.kafka import Kafka1

from adtally.clock import SYSTEM_CLOCK
from adtally.config import StreamConfig
from adtally.event import Event, Heartbeat, encode_event
from adtally.eventlog.kafka.topics import TopicSettings
from adtally.eventlog.kafka.writer import KafkaLogWriter
from adtally.eventlog.port import CONTROLS, is_shared
from adtally.stream.partitioned import PartitionedStream
from support.counts import InstantPump, MemoryLive
from support.kafka_logs import PatientReader, made_log
from support.memory_log import MemoryDeadLetters
from support.servers import Servers

pytestmark = pytest.mark.servers


WAIT_S_MAX = 120.0


def test_numbers_reach_to_what_edges_promised_after_a_restart_too(servers: Servers) -> None:
    brokers, topic = servers.running(Kafka1).addresses, f"promises-{time.time_ns()}"
    settings = TopicSettings(4, 1, 1)
    made_log(brokers, topic, settings)
    writer = KafkaLogWriter(brokers, topic, settings, 10_000)
    writer.warm_up("e", SYSTEM_CLOCK.now_ms())
    for turn in range(2):
        reader = PatientReader(brokers, topic, "stream", lambda each: each == CONTROLS or is_shared(each))
        pump = InstantPump(MemoryLive())
        stream = PartitionedStream(reader, MemoryDeadLetters(), pump, StreamConfig(flush_ms=1, commit_ms=1))
        clicked_ms = SYSTEM_CLOCK.now_ms()
        event = Event("e", turn + 1, clicked_ms, "ad", "c", "adv", f"u{turn}", "mobile", "ok", "", "")
        writer.append([encode_event(event)], clicked_ms)
        deadline_s = time.monotonic() + WAIT_S_MAX
        while pump.as_of_ms <= clicked_ms:
            assert time.monotonic() < deadline_s, "the numbers do not reach the click"
            now_ms = SYSTEM_CLOCK.now_ms()
            writer.append_control(Heartbeat("e", turn + 1, now_ms), now_ms)
            stream.step(now_ms)
        assert sum(clicks for clicks, _ in pump.live.counts().values()) == turn + 1
        reader.close()
    writer.close(None, SYSTEM_CLOCK.now_ms())
