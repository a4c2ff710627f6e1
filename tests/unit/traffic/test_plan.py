from collections import Counter

import crawleruseragents
import pytest

from adtally.traffic.agents import BOTS, PEOPLE
from adtally.traffic.plan import PERSONAL, Attempt, Plan, PlanSettings, numbered_ads


def attempts_of(number: int = 40_000, **settings: float) -> list[Attempt]:
    seed = int(settings.pop("seed", 7))
    plan = Plan(PlanSettings(seed=seed, **settings), numbered_ads(1_000), "127.0.0.1:8080")  # type: ignore[arg-type]
    return plan.take(number)


def test_a_seed_gives_the_same_traffic_again_in_chunks_of_any_size() -> None:
    whole = Plan(PlanSettings(seed=3), numbered_ads(100), "h").take(500)
    again = Plan(PlanSettings(seed=3), numbered_ads(100), "h").take(500)
    other = Plan(PlanSettings(seed=4), numbered_ads(100), "h").take(500)
    assert whole == again
    assert whole != other


def test_another_seed_is_other_people_and_other_impressions() -> None:
    one, two = attempts_of(5_000, seed=1), attempts_of(5_000, seed=2)
    assert not {attempt.user_id for attempt in one} & {attempt.user_id for attempt in two}
    shown = [{attempt.impression_id for attempt in attempts} - {None} for attempts in (one, two)]
    assert shown[0]
    assert not shown[0] & shown[1]


def test_kinds_come_in_their_shares() -> None:
    attempts = attempts_of()
    shares = {kind: number / len(attempts) for kind, number in Counter(a.kind for a in attempts).items()}
    assert shares["double"] == pytest.approx(0.05, rel=0.15)
    assert shares["bot"] == pytest.approx(0.02, rel=0.15)
    for kind in ("retry", "prefetch", "head"):
        assert shares[kind] == pytest.approx(0.005, rel=0.4)
    first = [a for a in attempts if a.kind == "click"]
    assert sum(a.impression_id is not None for a in first) / len(first) == pytest.approx(0.3, rel=0.05)


def test_a_double_click_follows_its_click_within_a_second_and_half_repeat_the_impression() -> None:
    rate = 500.0
    attempts = attempts_of(rate=rate)
    clicks: dict[tuple[str, str], tuple[int, Attempt]] = {}
    repeated = Counter[bool]()
    for place, attempt in enumerate(attempts):
        if attempt.kind == "click":
            clicks[attempt.ad_id, attempt.user_id] = (place, attempt)
        if attempt.kind != "double":
            continue
        before, click = clicks[attempt.ad_id, attempt.user_id]
        assert 0 < (place - before) / rate < 1
        if click.impression_id is not None:
            assert attempt.impression_id in {click.impression_id, None}
            repeated[attempt.impression_id is not None] += 1
    assert repeated[True] / repeated.total() == pytest.approx(0.5, abs=0.1)


def test_a_retry_is_the_same_request_as_its_click() -> None:
    attempts = attempts_of(rate=100.0)
    requests = {a.request for a in attempts if a.kind == "click"}
    retries = [a for a in attempts if a.kind == "retry"]
    assert retries
    assert all(a.request in requests for a in retries)


def test_popular_ads_follow_zipf() -> None:
    counts = Counter(a.ad_id for a in attempts_of(200_000, zipf=1.2))
    assert counts["ad_000001"] / counts["ad_000010"] == pytest.approx(10**1.2, rel=0.1)


def test_bots_are_known_crawlers_and_people_are_not() -> None:
    assert sum(percent for _, percent in PEOPLE) == 100
    assert all(crawleruseragents.is_crawler(agent) for agent in BOTS)
    assert not any(crawleruseragents.is_crawler(agent) for agent, _ in PEOPLE)


def test_only_machines_send_what_is_no_click() -> None:
    for attempt in attempts_of():
        assert attempt.request.startswith(b"HEAD ") == (attempt.kind == "head")
        assert (b"\r\nSec-Purpose: prefetch\r\n" in attempt.request) == (attempt.kind == "prefetch")
        assert any(agent.encode() in attempt.request for agent in BOTS) == (attempt.kind == "bot")
        assert attempt.request.endswith(b"\r\n\r\n")
        assert attempt.request.count(b"\r\n\r\n") == 1
        if attempt.kind in PERSONAL:
            assert attempt.request.startswith(b"GET /click?ad_id=ad_")


def test_an_ad_id_with_special_characters_is_percent_encoded_in_the_request_and_plain_in_the_truth() -> None:
    (attempt,) = Plan(PlanSettings(), ['a b&c="é'], "h").take(1)
    assert b"ad_id=a%20b%26c%3D%22%C3%A9&user_id=" in attempt.request
    assert b'"ad_id":"a b&c=\\"\xc3\xa9"' in attempt.truth
