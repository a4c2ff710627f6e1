"""Every error that adtally raises on purpose, in one tree.

A message says what was wrong, which value, and what to do next. `cli/main.py` turns the tree into exit codes and
`serve/problems.py` into HTTP statuses; nothing else does.
"""


class AdtallyError(Exception):
    """Root of the tree: the message is meant for a person."""


class UsageError(AdtallyError):
    """The caller asked for something that cannot be: exit code 2."""


class ConfigError(UsageError):
    """A configuration value is unknown, of the wrong type, or contradicts another one."""


class DataFolderError(AdtallyError):
    """The data folder is locked by another process, of another version, or not a data folder."""


class BackupError(AdtallyError):
    """A backup could not be made, is damaged, or cannot be restored there."""


class InvalidValueError(AdtallyError):
    """One value breaks a rule of the contract.

    `field` names it as the user wrote it (a query parameter, a CSV column).
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class NoLongerKeptError(InvalidValueError):
    """Retention has removed what the answer would need; `field` names the parameter that asks for it."""


class NotFoundError(AdtallyError):
    """No such thing, or not one that this caller may see: the two must look the same."""


class ConflictError(AdtallyError):
    """The change contradicts what is stored."""


class StillRunningError(AdtallyError):
    """The same request is being carried out at this moment."""


class KeyReusedError(AdtallyError):
    """An idempotency key came with another request than before."""


class LogError(AdtallyError):
    """The event log could not take or give a batch; nothing may be claimed about the batch."""


class LogClosedError(LogError):
    """The log writer was closed, or its place was taken by a successor."""


class PositionGoneError(LogError):
    """A reader's position was removed by retention: it must stop, a person must decide."""


class StoreUnavailableError(AdtallyError):
    """The OLAP store did not answer: try again later."""


class StoreQueryError(AdtallyError):
    """The OLAP store refused a statement: a defect of ours, never the caller's."""


class FlinkError(AdtallyError):
    """Flink did not answer, or refused a statement: try again later."""


class FlinkRefusedError(FlinkError):
    """Flink answered that it will not do this, or could not."""


class LakeError(AdtallyError):
    """The lake could not take or give files now: try again later."""


class LakeFileGoneError(LakeError):
    """A file of the lake was replaced or removed since it was listed: list again."""


class LakeDamagedError(LakeError):
    """A file of the lake cannot be read as what it was written as."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(f"{file} is damaged ({reason}): restore it from a backup")
        self.file = file
        self.reason = reason


class CacheError(AdtallyError):
    """The cache did not answer: go on without it."""


class RecountError(AdtallyError):
    """A recount did not come to its end; nothing was published."""


class RecountDiedError(RecountError):
    """The process that counted ended in the middle of it."""
