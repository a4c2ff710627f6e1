"""Tells at the end which new seeds were run: each of them replays with --seed."""

import pytest

SHOWN_MAX = 100

seeds_run: list[int] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if seeds_run:
        shown = " ".join(map(str, seeds_run[:SHOWN_MAX]))
        terminalreporter.write_line(f"{len(seeds_run)} new seeds of the simulation: {shown}")
