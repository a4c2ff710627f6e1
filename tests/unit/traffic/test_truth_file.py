from pathlib import Path

import pytest

from adtally.clock import SYSTEM_CLOCK
from adtally.traffic.plan import truth_head
from adtally.traffic.truth import FLUSH_S, EventRef, TruthFile, TruthFileError, TruthLine, TruthWriter

HEAD = truth_head("click", "ad_1", "anna", "i1")


class HandClock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def now_ms(self) -> int:
        return int(self.seconds * 1_000)

    def monotonic_s(self) -> float:
        return self.seconds


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "truth.ndjson"
    with TruthWriter(path, SYSTEM_CLOCK) as writer:
        writer.answered(HEAD, 10, 11, 12, b"302", True, b"e1.7.11")
        writer.answered(HEAD, 20, 21, 22, b"302", False, b"")
        writer.unknown(truth_head("retry", 'ad "2"', "ben", None), 30, 31, 32)
    truth = TruthFile(path)
    assert list(truth) == [
        TruthLine("click", "ad_1", "anna", 10, 11, 12, "i1", 302, True, "e1.7.11"),
        TruthLine("click", "ad_1", "anna", 20, 21, 22, "i1", 302, False, None),
        TruthLine("retry", 'ad "2"', "ben", 30, 31, 32),
    ]
    assert truth.complete


def test_lines_are_on_disk_after_the_flush_interval_and_not_before(tmp_path: Path) -> None:
    path, clock = tmp_path / "truth.ndjson", HandClock()
    with TruthWriter(path, clock) as writer:
        writer.unknown(HEAD, 1, 2, 3)
        writer.flush_if_due()
        assert path.stat().st_size == 0
        clock.seconds += FLUSH_S
        writer.flush_if_due()
        assert len(list(TruthFile(path))) == 1


def test_a_torn_last_line_is_left_out_and_the_file_is_not_complete(tmp_path: Path) -> None:
    path = tmp_path / "truth.ndjson"
    with TruthWriter(path, SYSTEM_CLOCK) as writer:
        writer.unknown(HEAD, 1, 2, 3)
        writer.unknown(HEAD, 4, 5, 6)
    first, second, _end = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second[:-9])
    truth = TruthFile(path)
    assert [line.intended_ms for line in truth] == [1]
    assert not truth.complete


def test_a_load_that_failed_writes_no_closing_line(tmp_path: Path) -> None:
    path = tmp_path / "truth.ndjson"
    with pytest.raises(RuntimeError):
        _fail_while_writing(path)
    truth = TruthFile(path)
    assert len(list(truth)) == 1
    assert not truth.complete


def _fail_while_writing(path: Path) -> None:
    with TruthWriter(path, SYSTEM_CLOCK) as writer:
        writer.unknown(HEAD, 1, 2, 3)
        raise RuntimeError


def test_a_line_that_is_no_attempt_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "truth.ndjson"
    path.write_bytes(HEAD + b'"intended_ms":1,"sent_ms":1,"ended_ms":1,"status":null}\n{"kind":"walk"}\n')
    with pytest.raises(TruthFileError, match="line 2"):
        list(TruthFile(path))


def test_a_missing_truth_file_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(TruthFileError, match="cannot be read"):
        list(TruthFile(tmp_path / "no"))
    with pytest.raises(TruthFileError, match="cannot be written"):
        TruthWriter(tmp_path / "no" / "truth", SYSTEM_CLOCK)


def test_an_event_header_is_read_from_the_right_as_edge_ids_may_have_dots() -> None:
    line = TruthLine("click", "a", "u", 1, 1, 1, None, 302, True, "edge.1.5.99")
    assert line.event_ref() == EventRef("edge.1", 5, 99)


def test_a_malformed_event_header_is_an_error() -> None:
    with pytest.raises(TruthFileError, match=r"edge_id\.seq\.ts_ms"):
        TruthLine("click", "a", "u", 1, 1, 1, None, 302, True, "e1.x.99").event_ref()
