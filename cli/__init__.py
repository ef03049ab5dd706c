"""The command line: the library spelled with spaces.

The group is lazy: listing the commands imports none of them, and running one imports only its own module, so that
`prefect-ml --help` answers at once although Prefect and SQLAlchemy are slow to import.
"""

from __future__ import annotations

import importlib
import os
import sys
from importlib.metadata import version
from typing import NamedTuple

import click
from click.exceptions import NoArgsIsHelpError

from ..errors import PrefectMLError

__all__ = ["cli", "main"]


class _Lazy(NamedTuple):
    """A command that is imported only when it is asked for; `name` is also its name in the module."""

    name: str
    module: str
    help: str


_COMMANDS = (
    _Lazy("up", "services", "Start what a laptop needs: Prefect server, worker, deployments and agent."),
    _Lazy("down", "services", "Stop what `up` started."),
    _Lazy("status", "services", "Show what runs, and where."),
    _Lazy("agent", "services", "Own this host's endpoints; `up` starts it in the background."),
    _Lazy("run", "projects", "Run a project in its declared environment."),
    _Lazy("sweep", "sweeps", "Run a project with many parameters, to find the best."),
    _Lazy("init", "projects", "Write the deployments of a project's entry points."),
    _Lazy("runs", "runs", "List and show tracked runs."),
    _Lazy("experiments", "experiments", "List, create, rename, delete and restore experiments."),
    _Lazy("artifacts", "artifacts", "List and download what runs have logged."),
    _Lazy("models", "models", "List, register and promote models."),
    _Lazy("endpoints", "endpoints", "List, show and stop the served models."),
    _Lazy("environments", "environments", "List the environments that projects run in, and make room."),
    _Lazy("store", "store", "Look after the store that keeps everything."),
)


class _LazyGroup(click.Group):
    """A group whose commands live in modules of this package."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [command.name for command in _COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for lazy in _COMMANDS:
            if lazy.name == cmd_name:
                module = importlib.import_module(f".{lazy.module}", __package__)
                return getattr(module, lazy.name)
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(command.name, command.help) for command in _COMMANDS])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("prefect-ml"), prog_name="prefect-ml")
def cli() -> None:
    """Track, package, register and serve machine-learning models on Prefect."""


def main() -> None:
    """Run the command line and end the process with its exit code.

    0 where all is done, 1 where the work failed, 2 where the input was wrong, 130 where the user interrupted.
    """
    sys.exit(_run())


def _run() -> int:
    try:
        answer: object = cli.main(prog_name="prefect-ml", standalone_mode=False)
    except NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        click.echo(f"Error: {_with_help(error)}", err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return 130
    except BrokenPipeError:  # `prefect-ml runs list | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except PrefectMLError as error:
        click.echo(f"Error: {error}", err=True)
        return error.exit_code
    return answer if isinstance(answer, int) else 0


def _with_help(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = f" See `{context.command_path} --help`." if context else ""
    return " ".join(error.format_message().split()) + hint
