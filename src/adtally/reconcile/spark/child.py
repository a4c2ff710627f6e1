"""The Spark recounter's child: its session is made for the first job, and serves them all."""

from typing import TYPE_CHECKING

import msgspec

from adtally.reconcile.answering import be_nice, serve
from adtally.reconcile.messages import Reply
from adtally.reconcile.spark.engine import Engine
from adtally.reconcile.spark.messages import Request
from adtally.reconcile.spark.session import open_session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_sessions: list["SparkSession"] = []


def answer(line: bytes) -> Reply:
    """Do one job in this process."""
    request = msgspec.json.decode(line, type=Request)
    be_nice(request.cluster.niceness)
    if not _sessions:
        _sessions.append(open_session(request))
    return Engine(_sessions[0], request).run()


if __name__ == "__main__":
    serve(answer)
