"""Live numbers counted anew, where log and store are on servers."""

from collections.abc import Callable

from adtally.config import Config
from adtally.folder import DataFolder
from adtally.wiring.logs import open_reader
from adtally.wiring.stores import open_ledger_database, open_store


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
