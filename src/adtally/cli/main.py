"""The `adtally` command: finds the command's file when it is asked for, so that `adtally --help` is instant."""

import importlib
import sys
from typing import Final

import click

from adtally import __version__
from adtally.errors import AdtallyError, UsageError

COMMANDS: Final = {
    "up": "Run the whole system on one folder.",
    "demo": "From nothing to a dashboard with moving numbers.",
    "ads": "Import, list, show, change and export ads.",
    "keys": "Create, list and revoke API keys.",
    "import": "Bring clicks of the past into the log.",
    "deadletters": "List, show and replay what could not be read.",
    "metrics": "Show an ad's numbers.",
    "ledger": "Show what was recounted, and what was found.",
    "status": "Show every part's health, lag and position.",
    "load": "Send open-loop traffic and write down the truth about it.",
    "verify": "Compare what was counted with what was sent.",
    "reconcile": "Recount what is complete, now.",
    "rebuild": "Make the OLAP store anew from the lake.",
    "backup": "Back a data folder up, while it is used or not.",
    "restore": "Make a data folder from a backup.",
    "config": "Show or check the configuration.",
    "doctor": "Find out what is wrong, and what to do.",
    "edge": "Run one edge worker.",
    "stream": "Run the stream.",
    "loader": "Run the loader of Flink's rows.",
    "archiver": "Run the archiver.",
    "reconciler": "Run the reconciler.",
    "serve": "Run the API and the store.",
    "version": "Show the version.",
}

MODULES: Final = {"import": "import_file"}
"""Of commands whose own name cannot be a module's."""


class LazyGroup(click.Group):
    """Loads a command's module when the command is used; the help needs only the table above."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the names in the table's order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Give the command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"adtally.cli.{MODULES.get(cmd_name, cmd_name)}").command
        if not isinstance(command, click.Command):
            raise TypeError(f"adtally.cli.{cmd_name}.command is not a click command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help from the table, importing nothing."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="adtally")
def cli() -> None:
    """Count ad clicks exactly once, durably, and read the numbers."""


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 the answer is no, 2 wrong use."""
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except (click.Abort, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except AdtallyError as error:
        print(f"adtally: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)
