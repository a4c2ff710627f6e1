"""What a recount means for what was said before."""

import msgspec

from adtally.ledger.port import EdgeEvents, HourLine, HourState, Manifest, Rules
from adtally.reconcile.port import HourCount
from adtally.reconcile.verdict import judge

RULES = Rules(300_000, 120_000, ("ok",), 1)
MANIFEST = Manifest(10, "aa", 3, "bb")
EDGES = (EdgeEvents("e1", 1, 6, 6, "11"), EdgeEvents("e2", 1, 4, 4, "22"))
COUNT = HourCount(MANIFEST, {"counted": 10}, 0, EDGES)


def line(state: HourState = "final", revision: int = 1, missing: int = 0) -> HourLine:
    return HourLine(
        hour_ms=0,
        state=state,
        revision=revision,
        manifest=MANIFEST,
        files="f",
        previous={},
        final={"counted": 10},
        keys_differed=0,
        difference=0,
        missing=missing,
        late=0,
        rules=RULES,
        engine="x",
        started_ms=0,
        finished_ms=0,
    )


def kind(count: HourCount, before: HourLine | None, missing: dict[str, int] | None = None, accept: bool = False) -> str:
    return judge(count, missing or {}, before, EDGES if before else (), RULES, accept).kind


def test_a_first_recount_without_gaps_is_published() -> None:
    assert kind(COUNT, None) == "publish"


def test_the_same_events_under_the_same_rules_are_the_same() -> None:
    assert kind(COUNT, line()) == "same"


def test_other_rules_publish_anew() -> None:
    other = msgspec.structs.replace(line(), rules=msgspec.structs.replace(RULES, counting_version=2))
    assert kind(COUNT, other) == "publish"


def test_more_events_are_a_correction() -> None:
    more = msgspec.structs.replace(
        COUNT, manifest=Manifest(11, "cc", 3, "bb"), edges=(*EDGES, EdgeEvents("import-1", 1, 1, 1, "33"))
    )
    assert kind(more, line()) == "publish"


def test_fewer_events_of_any_edge_are_damage_even_if_others_came() -> None:
    fewer = msgspec.structs.replace(EDGES[0], events=5)
    instead = msgspec.structs.replace(COUNT, edges=(fewer, EDGES[1], EdgeEvents("new", 1, 9, 9, "33")))
    verdict = judge(instead, {}, line(), EDGES, RULES, False)
    assert verdict.kind == "damaged"
    assert "1 of edge e1" in verdict.note


def test_an_edge_that_is_gone_and_one_whose_events_are_others_are_damage() -> None:
    assert kind(msgspec.structs.replace(COUNT, edges=EDGES[:1]), line()) == "damaged"
    others = msgspec.structs.replace(EDGES[1], hash="99")
    assert kind(msgspec.structs.replace(COUNT, edges=(EDGES[0], others)), line()) == "damaged"


def test_a_look_back_that_lost_events_is_damage() -> None:
    assert kind(msgspec.structs.replace(COUNT, manifest=Manifest(10, "aa", 2, "dd")), line()) == "damaged"


def test_missing_numbers_are_damage_unless_a_person_accepted_so_many() -> None:
    assert kind(COUNT, None, {"e1": 2}) == "damaged"
    assert kind(COUNT, None, {"e1": 2}, accept=True) == "publish"
    assert kind(COUNT, line(missing=2), {"e1": 2}) == "same"
    assert kind(COUNT, line(missing=2), {"e1": 3}) == "damaged"


def test_an_hour_that_was_damaged_before_its_first_count_is_published_once_nothing_is_missing() -> None:
    assert kind(COUNT, line("damaged", revision=0, missing=4)) == "publish"


def test_a_damaged_hour_that_is_whole_again_is_published() -> None:
    assert kind(COUNT, line("damaged")) == "publish"
