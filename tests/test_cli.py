"""The command line: the library spelled with spaces, its records as JSON, its errors as one line."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import sqlalchemy as sa
from click.testing import CliRunner

import prefect_ml
from prefect_ml import cli as commands
from prefect_ml import (
    get_run,
    log_metric,
    log_model,
    log_params,
    metric_history,
    promote,
    search_runs,
    set_tag,
    start_run,
)
from prefect_ml.registry import get_model, get_model_version, model_history, search_model_versions, search_models
from prefect_ml.serving import get_endpoint, list_endpoints, set_desired
from prefect_ml.store import Store, as_json, schema

_PROGRAM = Path(sys.executable).with_name("prefect-ml")
_ROOT = Path(__file__).parent.parent
_DOCS = _ROOT / "docs" / "cli.md"
_GROUPS = ("runs", "artifacts", "models", "endpoints", "store")
Invoke = Callable[..., Any]


def _commands() -> Iterator[tuple[str, click.Command]]:
    """Every command with its words, groups included."""
    waiting: list[tuple[str, click.Command]] = [("", commands.cli)]
    while waiting:
        words, command = waiting.pop()
        yield words, command
        if isinstance(command, click.Group):
            context = click.Context(command)
            names = command.list_commands(context)
            waiting += [(f"{words} {name}".strip(), command.get_command(context, name) or command) for name in names]


def _child(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([_PROGRAM, *words], capture_output=True, text=True, timeout=120, check=False)


def _model() -> Callable[[Any], Any]:
    return lambda rows: rows  # pickled by value, as no other process can import a test module


@pytest.fixture
def invoke() -> Invoke:
    """Run a command in this process; give its answer, parsed where `--json` was asked for."""

    def call(*words: str) -> Any:
        result = CliRunner().invoke(commands.cli, words, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout) if "--json" in words else result.stdout

    return call


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with two runs and a model of two versions, of which the second is in Production."""
    home = tmp_path_factory.mktemp("filled")
    with pytest.MonkeyPatch.context() as patch:
        for key in [key for key in os.environ if key.startswith(("PREFECT_ML_", "PREFECT_API"))]:
            patch.delenv(key)
        patch.setenv("PREFECT_ML_HOME", str(home))
        for alpha in (0.1, 0.2):
            with start_run(experiment="wine", name=f"alpha {alpha}"):
                log_params({"alpha": alpha, "note": "[bold]no markup[/bold]"})
                log_metric("rmse", alpha * 2)
                log_metric("broken", float("nan"))
                set_tag("team", "red")
                log_model(_model(), "model", example=[[1.0, 2.0]], requirements=[], register_as="wine")
        promote("wine", 1, to="Production", reason="the first")
        promote("wine", 2, to="Production", reason="better", expect=1)
        yield home


@pytest.fixture
def wine(filled: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The filled home as the one that the settings name."""
    monkeypatch.setenv("PREFECT_ML_HOME", str(filled))
    return filled


@pytest.mark.parametrize("words", [words for words, _ in _commands()])
def test_every_command_has_help(words: str) -> None:
    result = CliRunner().invoke(commands.cli, [*words.split(), "--help"], catch_exceptions=False)
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: cli {words}".rstrip())
    assert len(result.output.splitlines()) > 4


@pytest.mark.parametrize("words", [words for words, command in _commands() if not isinstance(command, click.Group)])
def test_every_command_and_option_is_in_the_docs(words: str) -> None:
    command = dict(_commands())[words]
    documented = _DOCS.read_text().splitlines()
    lines = [line for line in documented if line.startswith((f"| `prefect-ml {words}` |", f"| `prefect-ml {words} "))]
    assert len(lines) == 1, f"docs/cli.md has no line for `prefect-ml {words}`, or several"
    spelling = lines[0].split("` |")[0].replace("\\|", "|")
    for parameter in command.params:
        spellings = (
            parameter.opts if isinstance(parameter, click.Option) else [parameter.make_metavar(click.Context(command))]
        )
        assert any(one.strip("[]") in spelling for one in spellings), f"{spellings} of `{words}` is not in docs/cli.md"


def test_messages_and_docs_name_only_commands_that_exist() -> None:
    # Nothing asks for approval yet; the error that will is drawn in the tree already.
    known = {words for words, _ in _commands()} | {"models approve"}
    files = [file for kind in ("*.py", "*.md", "*/*.py", "*/*.md", "*/*/*.py") for file in _ROOT.glob(kind)]
    for file in files:
        if file.relative_to(_ROOT).parts[0].startswith(".") or file == Path(__file__):
            continue
        for named in re.findall(r"`prefect-ml ([a-z]+(?: [a-z]+)?)", file.read_text()):
            first = named.partition(" ")[0]
            assert named in known or (first in known and first not in _GROUPS), f"{file} names `prefect-ml {named}`"


@pytest.mark.parametrize("words", [words for words, _ in _commands() if words.split()[-1:] in (["list"], ["show"])])
def test_whatever_lists_or_shows_takes_json(words: str) -> None:
    assert "--json" in [option for parameter in dict(_commands())[words].params for option in parameter.opts]


def test_json_is_the_librarys_own_records(wine: Path, invoke: Invoke) -> None:
    runs = search_runs("")
    assert invoke("runs", "list", "--json") == [as_json(run) for run in runs]
    assert invoke("runs", "show", runs[0].id, "--json") == as_json(get_run(runs[0].id))
    assert invoke("models", "list", "--json") == [as_json(model) for model in search_models()]
    assert invoke("models", "show", "wine", "--json") == as_json(get_model("wine"))
    assert invoke("models", "show", "wine", "Production", "--json") == as_json(get_model_version("wine", 2))
    assert invoke("models", "versions", "wine", "--json") == [as_json(one) for one in search_model_versions()]
    assert invoke("models", "history", "wine", "--json") == [as_json(event) for event in model_history("wine")]


def test_endpoints_are_listed_shown_and_stopped(wine: Path, invoke: Invoke) -> None:
    set_desired("wine", "Production", 2, event_id="0")
    assert invoke("endpoints", "list", "--json") == [as_json(one) for one in list_endpoints()]
    assert invoke("endpoints", "show", "wine", "--json") == as_json(get_endpoint("wine", "Production"))
    assert "Deploying" in invoke("endpoints", "list")
    assert "Desired version  2" in invoke("endpoints", "show", "wine", "--stage", "Production")
    stopped = invoke("endpoints", "stop", "wine", "--json")
    assert stopped == as_json(get_endpoint("wine"))
    assert stopped["status"] == "Stopped"


def test_lists_take_the_librarys_options(wine: Path, invoke: Invoke) -> None:
    def names(*words: str) -> list[str]:
        return [run["name"] for run in invoke("runs", "list", "--json", *words)]

    assert names("metrics.rmse < 0.3") == ["alpha 0.1"]
    assert names("--order-by", "metrics.rmse") == ["alpha 0.1", "alpha 0.2"]
    assert names("--order-by", "metrics.rmse desc", "--limit", "1") == ["alpha 0.2"]
    assert len(names("-e", "wine", "--experiment", "wine")) == 2
    assert [one["version"] for one in invoke("models", "versions", "--filter", "stage = 'Production'", "--json")] == [2]
    assert invoke("models", "list", "name = 'beer'", "--json") == []


def test_json_writes_nan_as_text(wine: Path, invoke: Invoke) -> None:
    assert invoke("runs", "list", "--json")[0]["metrics"]["broken"] == "NaN"


def test_tables_show_whole_values_as_they_are(wine: Path, invoke: Invoke) -> None:
    run = search_runs("metrics.rmse < 0.3")[0]
    listed, shown = invoke("runs", "list"), invoke("runs", "show", run.id)
    assert any(run.id in line and "rmse 0.2" in line and "Completed" in line for line in listed.splitlines())
    assert "note = [bold]no markup[/bold]" in shown
    assert run.artifact_uri in shown
    assert "Production 2" in invoke("models", "list")
    assert "runs:/" in invoke("models", "show", "wine", "1")
    assert "better" in invoke("models", "history", "wine")


def test_the_beginning_of_an_id_is_enough(wine: Path, invoke: Invoke) -> None:
    first, second = (run.id for run in search_runs(""))
    unlike = next(position for position in range(len(first)) if first[position] != second[position])
    assert invoke("runs", "show", first[: unlike + 1], "--json")["id"] == first
    assert "More than one run" in _child("runs", "show", first[:unlike]).stderr


def test_register_and_promote(home: Path, invoke: Invoke) -> None:
    with start_run() as run:
        log_model(_model(), "model", example=[[1.0]], requirements=[])
    uri = f"runs:/{run.id}/model"
    version = invoke("models", "register", "wine", uri, "--description", "d", "--tag", "a=b=c", "--tag", "e=", "--json")
    assert version == as_json(get_model_version("wine", 1))
    assert version["tags"] == {"a": "b=c", "e": ""}
    assert "Registered version 2 of model 'wine'." in invoke("models", "register", "wine", uri)
    event = invoke("models", "promote", "wine", "1", "--to", "production", "--expect", "nobody", "--json")
    assert event == as_json(model_history("wine")[-1])
    assert event["to_stage"] == "Production"
    words = ("models", "promote", "wine", "2", "--to", "Production")
    refused = _child(*words, "--expect", "nobody")
    assert refused.returncode == 1
    assert "held by version 1" in refused.stderr
    assert get_model_version("wine", "Production").version == 1
    assert "Version 2 of model 'wine' is now Production" in invoke(*words, "--expect", "1", "--reason", "better")


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ("runs show nope", 2, "There is no run 'nope'"),
        ("runs show %", 2, "There is no run '%'"),
        ("store copy sqlite:////nope/x.db sqlite:////tmp/y.db", 2, "There is no store to copy FROM"),
        ("store gc --older-than -1", 2, "age in days"),
        ("store backup pyproject.toml", 2, "pyproject.toml exists"),
        ("store backup nowhere/x.db", 2, "There is no folder nowhere"),
        ("experiments create ''", 2, "'' cannot be the name of an experiment"),
        ("experiments rename new ''", 2, "'' cannot be the name of an experiment"),
        ("runs export x.xlsx", 2, ".parquet or .csv"),
        ("runs list -e nope", 2, "There is no experiment 'nope'"),
        ("runs list metrics.rmse<", 2, "The filter"),
        ("runs list --order-by nothing", 2, "Cannot order by 'nothing'"),
        ("runs list --limit 0", 2, "0 is not in the range"),
        ("models show nope", 2, "There is no registered model 'nope'"),
        ("models versions nope", 2, "There is no registered model 'nope'"),
        ("models history nope", 2, "There is no registered model 'nope'"),
        ("models promote nope 1 --to Production", 2, "There is no registered model 'nope'"),
        ("models promote nope 1 --to Nowhere", 2, "There is no stage 'Nowhere'"),
        ("models promote nope one --to Production", 2, "'one' is not a valid integer"),
        ("models promote nope 1", 2, "Missing option '--to'"),
        ("models promote nope 1 --to Production --expect some", 2, "'some' is neither"),
        ("models register wine runs:/nope/model", 2, "There is no run 'nope'"),
        ("models register wine runs:/nope/model --tag x", 2, "'x' is not of the form key=value"),
        ("endpoints show nope", 2, "no Production endpoint"),
        ("endpoints stop nope", 2, "no Production endpoint"),
        ("run nowhere", 2, "There is no project folder 'nowhere'"),
        ("run . -P alpha", 2, "'alpha' is not of the form key=value"),
        ("run . -P a=1 -P a=2", 2, "'a' is given twice"),
        ("nothing", 2, "No such command 'nothing'"),
    ],
)
def test_errors_are_sentences(home: Path, words: str, code: int, sentence: str) -> None:
    ended = _child(*shlex.split(words))
    assert ended.returncode == code
    assert sentence in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


def test_an_empty_store_says_so(home: Path, invoke: Invoke) -> None:
    assert invoke("runs", "list") == "No runs yet.\n"
    assert invoke("runs", "list", "name = 'x'") == "No runs match.\n"
    assert invoke("models", "list") == "No models are registered yet.\n"
    assert "No endpoints yet" in invoke("endpoints", "list")
    for words in (("runs", "list"), ("models", "list"), ("models", "versions"), ("endpoints", "list")):
        assert invoke(*words, "--json") == []


def test_a_store_that_cannot_be_opened(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_ML_STORE_URL", "sqlite:////proc/nowhere/store.db")
    ended = _child("runs", "list")
    assert ended.returncode == 1
    assert "cannot be made" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_store_upgrade_is_done_once_and_for_all(home: Path, invoke: Invoke) -> None:
    first = invoke("store", "upgrade")
    assert "is at revision" in first
    assert invoke("store", "upgrade") == first


def test_store_recover_brings_back_what_a_killed_process_logged(home: Path, invoke: Invoke) -> None:
    script = """
import os, signal
from prefect_ml import log_metric, start_run
with start_run(name="killed") as run:
    print(run.id, flush=True)
    for step in range(1000):
        log_metric("loss", step, step=step)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert killed.returncode == -9
    recovered = invoke("store", "recover")
    assert recovered.startswith("Recovered ")
    assert len(metric_history(killed.stdout.strip(), "loss")) == 1000
    assert invoke("store", "recover") == "Recovered 0 points.\n"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from prefect_ml.cli import cli; cli(['--help'], standalone_mode=False); print(sorted(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    modules = ended.stdout.splitlines()[-1]
    assert not [name for name in ("prefect", "sqlalchemy", "rich", "numpy") if f"'{name}'" in modules]


def test_version_is_the_packages(home: Path) -> None:
    from importlib.metadata import version

    assert version("prefect-ml") in _child("--version").stdout
    assert prefect_ml.__name__ == "prefect_ml"


def test_a_name_cannot_colour_or_move_what_others_see(home: Path) -> None:
    with start_run(name="a\nb\x1b[31mred") as run:
        set_tag("team", "x\x1b[2Jy")
    for words in (("runs", "list"), ("runs", "show", run.id)):
        answer = _child(*words)
        assert answer.returncode == 0
        assert "\x1b" not in answer.stdout
        assert "red" in answer.stdout
    assert len(_child("runs", "list").stdout.strip().splitlines()) == 2


def test_deleted_runs_come_back_by_what_deleting_says(home: Path) -> None:
    with start_run() as run:
        pass
    said = _child("runs", "delete", run.id[:13]).stdout
    assert run.id in said
    shown = _child("runs", "show", run.id).stdout
    assert f"`prefect-ml runs restore {run.id}`" in shown
    assert _child("runs", "restore", run.id[:13]).stdout.strip() == "Restored 1 run."
    assert "Deleted" not in _child("runs", "show", run.id).stdout


def test_deleted_runs_are_listed_where_asked_for(home: Path, invoke: Invoke) -> None:
    assert invoke("runs", "list", "--deleted") == "No deleted runs.\n"
    with start_run(experiment="red wine") as gone, start_run(experiment="beer") as kept:
        pass
    invoke("experiments", "delete", "red wine")
    assert [run["id"] for run in invoke("runs", "list", "--deleted", "--json")] == [gone.id]
    assert kept.id not in invoke("runs", "list", "--deleted")
    assert "`prefect-ml experiments restore 'red wine'`" in invoke("runs", "show", gone.id)


def test_a_store_is_not_copied_into_itself(home: Path) -> None:
    with start_run():
        pass
    url = f"sqlite:///{home / 'store.db'}"
    ended = _child("store", "copy", url, url)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "into itself" in ended.stderr


def test_what_is_not_deleted_is_not_restored(home: Path, invoke: Invoke) -> None:
    invoke("experiments", "create", "wine")
    ended = _child("experiments", "restore", "wine")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "Error: Experiment 'wine' is not deleted, so that there is nothing to restore.\n"


def test_a_check_says_what_it_does_to_people_only(home: Path) -> None:
    with start_run():
        log_metric("loss", 1)
    assert _child("store", "check").stderr == ""
    control, terminal = pty.openpty()
    try:
        ended = subprocess.run(
            [_PROGRAM, "store", "check"], stdout=subprocess.PIPE, stderr=terminal, timeout=120, check=True
        )
        assert b"Looking through the rows" in os.read(control, 4096)
        assert ended.stdout.startswith(b"Everything fits")
    finally:
        os.close(terminal)
        os.close(control)


def test_what_a_copy_counts_adds_up(home: Path, tmp_path: Path, store: Store) -> None:
    words = ("store", "copy", f"sqlite:///{home / 'store.db'}", f"sqlite:///{tmp_path / 'copy.db'}")
    with start_run() as lost:
        pass
    with store.write() as connection:  # as a host leaves it that is lost with all that it has
        silent = sa.update(schema.runs).where(schema.runs.c.id == lost.id)
        connection.execute(silent.values(status="Running", ended_at=None, heartbeat_at=0))
    assert get_run(lost.id).status == "Crashed"
    with start_run():
        assert len(search_runs()) == 2
        said = _child(*words).stdout.splitlines()
    assert re.fullmatch(r"Copied 2 runs and \d files; 0 runs were there already\.", said[0])
    assert said[1] == "Still running: 1 of these runs; copy again when they have ended."
    assert said[2].startswith("Compared but for those that run: both sides have 1 runs, 1 attempts")
    said = _child(*words).stdout.splitlines()
    assert said[0].startswith("Copied 1 runs and ")
    assert said[1].startswith("Compared: both sides have 2 runs, 2 attempts")
