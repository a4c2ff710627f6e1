"""`python -m bench`: measures what docs/benchmarks.md tells."""

import sys
from collections.abc import Callable

import click

from bench import (
    appends,
    clickhouse,
    edge,
    edge_kafka,
    end_to_end,
    engine,
    flink,
    flink_restart,
    lake,
    load,
    metrics,
    partitions,
    recount,
    spark,
    visible,
)
from bench.results import Machine, Row, write

MEASUREMENTS: dict[str, Callable[[bool], list[Row]]] = {
    "edge": edge.measure,
    "engine": engine.measure,
    "end-to-end": end_to_end.measure,
    "visible": visible.measure,
    "load": load.measure,
    "recount": recount.measure,
    "metrics": metrics.measure,
    "clickhouse": clickhouse.measure,
    "partitions": partitions.measure,
    "flink": flink.measure,
    "flink-restart": flink_restart.measure,
    "spark": spark.measure,
    "lake": lake.measure,
    "edge-kafka": edge_kafka.measure,
    "appends": appends.measure,
}


@click.command(help="Measure adtally on this machine.")
@click.option("--quick", is_flag=True, help="Short runs, to see that everything works.")
@click.option("--only", type=click.Choice(list(MEASUREMENTS)), multiple=True, help="These measurements only.")
@click.option("--write", "keep", is_flag=True, help="Put the table into docs/benchmarks.md.")
@click.option("--recount-clicks", type=click.IntRange(1), default=10_000_000, help="How many clicks to recount.")
@click.option("--metrics-folder", help="Make the data of `metrics` there, or use what is there from before.")
def main(quick: bool, only: tuple[str, ...], keep: bool, recount_clicks: int, metrics_folder: str | None) -> None:
    """Measure, print each row as soon as it is there."""
    machine = Machine.here()
    print(machine.sentence())
    rows: list[Row] = []
    measurements = MEASUREMENTS | {
        "recount": lambda quick: recount.measure(quick, recount_clicks),
        "metrics": lambda quick: metrics.measure(quick, metrics_folder),
    }
    for name in only or MEASUREMENTS:
        for row in measurements[name](quick):
            rows.append(row)
            wanted = f"  (must {row.must}, aim {row.aim})" if row.must else ""
            print(f"\n{row.what}\n  {row.result}{wanted}\n  {row.runs}")
            sys.stdout.flush()
    if keep:
        write(rows, machine)


if __name__ == "__main__":
    main()
