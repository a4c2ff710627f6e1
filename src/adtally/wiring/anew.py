"""Live numbers counted anew: on servers when somebody says so, in a data folder when the rules have changed."""

from collections.abc import Callable

import msgspec

from adtally.config import Config
from adtally.folder import DataFolder, replace_file
from adtally.ledger.port import Rules
from adtally.telemetry import log
from adtally.utc import FOREVER_MS
from adtally.wiring.logs import open_reader
from adtally.wiring.store import rules_of
from adtally.wiring.stores import open_ledger_database, open_store


def follow_rules(folder: DataFolder, config: Config) -> bool:
    """Where a data folder's live rows were counted by other rules than today's, make the stream count them again.

    Hours that are final stay. Gives whether there were other rules. Only right while nothing runs on the folder;
    whoever dies here repeats it. Raises LogError and StoreUnavailableError.
    """
    rules = rules_of(config)
    known = _live_rules(folder)
    if known == rules:
        return False
    if known is not None:
        log.warning("the rules of counting have changed: hours that are not final are counted again from the log")
        # The stream's place goes first: a store without live minutes would otherwise keep their place.
        reader = open_reader(folder, config, "stream")
        reader.forget()
        reader.close()
        store = open_store(folder, config)
        store.drop_live_before(FOREVER_MS)
        store.close()
    replace_file(folder.live_rules, msgspec.json.encode(rules))
    return known is not None


def _live_rules(folder: DataFolder) -> Rules | None:
    """Give the rules that live rows were counted by, None for a folder that does not tell."""
    try:
        return msgspec.json.decode(folder.live_rules.read_bytes(), type=Rules)
    except FileNotFoundError:
        return None


def count_live_anew(folder: DataFolder, config: Config) -> None:
    """Make the stream count the hours that are not final again, from the log; final numbers stay as they are.

    Only right while neither stream nor loader runs. Whoever dies here repeats it. Raises LogError, FlinkError and
    StoreUnavailableError.
    """
    from adtally.ledger.board import SqlReportBoard
    from adtally.stream.partitioned import start_anew

    database, store = open_ledger_database(config), open_store(folder, config)
    start_anew(SqlReportBoard(database), _forgetting(folder, config), store)
    store.close()
    database.close()


def _forgetting(folder: DataFolder, config: Config) -> Callable[[], None]:
    """Give what makes the stream forget where it would restart."""
    if config.stream.engine == "flink":
        from adtally.stream.flink.anew import forget_job

        return lambda: forget_job(config)

    def forget() -> None:
        reader = open_reader(folder, config, "stream")
        reader.forget()
        reader.close()

    return forget
