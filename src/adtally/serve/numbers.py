"""The addresses that answer with numbers of clicks: their part of the table of endpoints."""

from typing import Any, Final

from adtally.serve import compare, live, metrics, quality, series, top
from adtally.serve.caller import Call
from adtally.serve.endpoint import Endpoint, NoBody
from adtally.serve.problems import FORBIDDEN, NO_LONGER_KEPT, NOT_FOUND
from adtally.serve.ranges import Range, asked_range


def _asked_range(call: Call[Any, Any]) -> Range:
    return asked_range(call.params)


NUMBERS: Final[tuple[Endpoint[Any, Any], ...]] = (
    Endpoint(
        method="GET",
        path="/metrics",
        summary="An ad's clicks and unique users, bucket by bucket",
        description="At most 10,000 buckets; those without clicks are there, with 0, up to now. A file if format=csv.",
        params=metrics.MetricsParams,
        body=NoBody,
        answer=metrics.Metrics,
        refusals=(NOT_FOUND, NO_LONGER_KEPT),
        reads=_asked_range,
        handler=metrics.get_metrics,
    ),
    Endpoint(
        method="GET",
        path="/v1/quality",
        summary="What became of every event: counted, duplicate, or invalid and why",
        description="Of everything that the key sees, or what the filters leave of it.",
        params=quality.QualityParams,
        body=NoBody,
        answer=quality.Quality,
        refusals=(NOT_FOUND, NO_LONGER_KEPT),
        reads=_asked_range,
        handler=quality.get_quality,
    ),
    Endpoint(
        method="GET",
        path="/v1/series",
        summary="Clicks by bucket and group, and those of the whole range",
        description="At most 1,000,000 rows and 10,000 buckets; a file has no limit: format=csv or parquet.",
        params=series.SeriesParams,
        body=NoBody,
        answer=series.Series,
        refusals=(NOT_FOUND, NO_LONGER_KEPT),
        reads=_asked_range,
        handler=series.get_series,
    ),
    Endpoint(
        method="GET",
        path="/v1/top",
        summary="The ads, campaigns, devices or advertisers with the most clicks or users",
        params=top.TopParams,
        body=NoBody,
        answer=top.Top,
        refusals=(FORBIDDEN, NOT_FOUND, NO_LONGER_KEPT),
        reads=_asked_range,
        handler=top.get_top,
    ),
    Endpoint(
        method="GET",
        path="/v1/compare",
        summary="A period beside the one before it, with equally elapsed time",
        description="Whole days or months of the time zone are compared with as many before them, other ranges with "
        "the adjoining span. A range that has not ended, as far as it is counted, with the same part of the other.",
        params=compare.CompareParams,
        body=NoBody,
        answer=compare.Comparison,
        refusals=(NOT_FOUND, NO_LONGER_KEPT),
        reads=compare.compared_range,
        handler=compare.get_compare,
    ),
    Endpoint(
        method="GET",
        path="/v1/live",
        summary="The last 15 minutes, and what changes in them, as server-sent events",
        description="Events are called minutes, and come at most once a second; comments keep the connection open. "
        "Of an ad, an advertiser, or all that the key sees. Last-Event-ID resumes.",
        params=live.LiveParams,
        body=NoBody,
        answer=live.LiveMinutes,
        media_type="text/event-stream",
        refusals=(NOT_FOUND,),
        handler=live.get_live,
    ),
)
