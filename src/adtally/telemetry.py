"""Logs of the processes: one line of JSON each on a pipe, readable lines on a terminal."""

import logging
import sys
from typing import Final

import structlog

Logger = structlog.typing.FilteringBoundLogger


def configure_logging(role: str) -> None:
    """Set the process up to log to standard error, each line naming the role."""
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if sys.stderr.isatty()
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            # Not by context variables: threads, and what they call in the loop, would not have them.
            lambda _, __, line: {**line, "role": role},
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


log: Final[Logger] = structlog.get_logger()
"""The process's logger; silent configuration is the caller's matter."""
