"""The chDB recounter's child."""

import msgspec

from adtally.reconcile.answering import be_nice, die_of_crashes, serve
from adtally.reconcile.chdb.engine import Engine
from adtally.reconcile.chdb.messages import Request
from adtally.reconcile.messages import Reply


def answer(line: bytes) -> Reply:
    """Do one job in this process."""
    request = msgspec.json.decode(line, type=Request)
    be_nice(request.tuning.niceness)
    # Arrow ends the process over some footers. chDB takes the signals when it is imported, and with each connection.
    die_of_crashes()
    engine = Engine(request.job, request.tuning, request.s3)
    die_of_crashes()
    try:
        return engine.run(request.count)
    finally:
        engine.close()


if __name__ == "__main__":
    serve(answer)
