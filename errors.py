"""Every error that prefect-ml raises on purpose, as one tree.

    PrefectMLError
    ├── SettingsError (ValueError)         a setting or an option that cannot be used
    ├── StoreError                         the SQL store: away, locked, too new, too old
    │   └── BadTarget (ValueError)         a place where no store can be copied or backed up to
    ├── TrackingError
    │   ├── BadName (ValueError)           a name that no experiment, or no file of runs, can have
    │   ├── NoActiveRun (RuntimeError)     log_* was called with no run open
    │   ├── RunNotFound (LookupError)
    │   ├── ExperimentNotFound (LookupError)
    │   ├── ExperimentExists (ValueError)  another experiment bears this name
    │   ├── RunClosed (RuntimeError)       a write to a run that has ended
    │   ├── ParamConflict (ValueError)     a param was given a second, different value
    │   ├── Pruned                         a trial of a sweep was told to stop
    │   └── FilterError (ValueError)       a search filter that does not parse or compile
    ├── ArtifactError (OSError)            an artifact that cannot be read or written
    │   └── IntegrityError                 bytes are not those that were recorded
    ├── ModelError
    │   ├── EvaluationError (ValueError)   data or an argument that no model can be evaluated with
    │   ├── SignatureMismatch (ValueError) data that a model does not take
    │   ├── UnknownFlavor (TypeError)      no flavor can save this object
    │   └── UntrustedModel                 loading would run code that the store does not vouch for
    ├── RegistryError
    │   ├── BadReference (ValueError)      a name or URI that no model can have
    │   ├── ModelNotFound (LookupError)
    │   ├── VersionNotFound (LookupError)
    │   ├── UnknownStage (ValueError)
    │   ├── StageConflict                  somebody else moved the stage first
    │   └── GateFailed
    │       └── ApprovalPending            people have to agree first
    ├── ProjectError                       a project that cannot be read or run
    │   ├── ProjectRunFailed               it ran, and its work failed
    │   └── EnvironmentFailed              its environment cannot be built, or is not the declared one
    ├── ServingError
    │   ├── EndpointNotFound (LookupError)
    │   ├── BentoFailed                    the Bento could not be built
    │   └── RolloutFailed                  the new version did not become healthy
    └── ServiceError                       a background service of `prefect-ml up` is missing or did not start

Messages are one sentence that says what happened and what to do. `exit_code` is what the command line ends with:
2 where the input was wrong, 1 where the work failed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar

__all__ = [
    "ApprovalPending",
    "ArtifactError",
    "BadName",
    "BadReference",
    "BadTarget",
    "BentoFailed",
    "EndpointNotFound",
    "EnvironmentFailed",
    "EvaluationError",
    "ExperimentExists",
    "ExperimentNotFound",
    "FilterError",
    "GateFailed",
    "IntegrityError",
    "ModelError",
    "ModelNotFound",
    "NoActiveRun",
    "ParamConflict",
    "PrefectMLError",
    "ProjectError",
    "ProjectRunFailed",
    "Pruned",
    "RegistryError",
    "RolloutFailed",
    "RunClosed",
    "RunNotFound",
    "ServiceError",
    "ServingError",
    "SettingsError",
    "SignatureMismatch",
    "StageConflict",
    "StoreError",
    "TrackingError",
    "UnknownFlavor",
    "UnknownStage",
    "UntrustedModel",
    "VersionNotFound",
]


class PrefectMLError(Exception):
    """Base of every error that prefect-ml raises on purpose."""

    exit_code: ClassVar[int] = 1


class SettingsError(PrefectMLError, ValueError):
    """A setting or an option cannot be used as it is."""

    exit_code = 2


class StoreError(PrefectMLError):
    """The SQL store cannot be reached, read or written."""


class BadTarget(StoreError, ValueError):
    """No store can be copied or backed up to this place."""

    exit_code = 2


class TrackingError(PrefectMLError):
    """Something about runs, experiments, params or metrics."""


class BadName(TrackingError, ValueError):
    """No experiment, or no file of exported runs, can have this name."""

    exit_code = 2


class NoActiveRun(TrackingError, RuntimeError):
    """A `log_*` or `set_*` function was called while no run was open."""

    def __init__(self, function: str) -> None:
        self.function = function
        super().__init__(
            f"{function} needs an open run: wrap the code in `with prefect_ml.start_run(): ...`"
            " or decorate its function with `@prefect_ml.track`."
        )


class RunNotFound(TrackingError, LookupError):
    """No run has this id."""

    exit_code = 2

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(f"There is no run {run_id!r} in this store; `prefect-ml runs list` shows those that exist.")


class Pruned(TrackingError):
    """A trial of a sweep was told to stop, because others do better; its run ends as Completed."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(f"Trial {run_id} was pruned: others do better, so let this error end it.")


class ExperimentNotFound(TrackingError, LookupError):
    """No experiment has this name."""

    exit_code = 2

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"There is no experiment {name!r} in this store; `prefect-ml experiments list` shows those that exist."
        )


class ExperimentExists(TrackingError, ValueError):
    """Another experiment bears this name."""

    exit_code = 2

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"There is an experiment {name!r} already; choose another name, or rename that one first.")


class RunClosed(TrackingError, RuntimeError):
    """A write was refused because the run has ended."""

    def __init__(self, run_id: str, status: str) -> None:
        self.run_id = run_id
        self.status = status
        super().__init__(
            f"Run {run_id} has ended ({status}) and takes no more writes;"
            " start_run(run_id=..., resume=True) goes on with it."
        )


class ParamConflict(TrackingError, ValueError):
    """A param was given a second value that differs from the first within one attempt."""

    def __init__(self, run_id: str, name: str, old: str, new: str) -> None:
        self.run_id = run_id
        self.name = name
        self.old = old
        self.new = new
        super().__init__(
            f"Param {name!r} of run {run_id} is already {old!r} and cannot become {new!r}:"
            " a param is written once; log what changes as a metric or a tag."
        )


class FilterError(TrackingError, ValueError):
    """A search filter is wrong; `column` points at the place (first character is 1)."""

    exit_code = 2

    def __init__(self, message: str, text: str = "", column: int | None = None) -> None:
        self.text = text
        self.column = column
        where = f" (column {column} of {_around(text, column)!r})" if column is not None else ""
        super().__init__(message + where)


class ArtifactError(PrefectMLError, OSError):
    """An artifact is missing, cannot be read, or its path is not allowed."""


class IntegrityError(ArtifactError):
    """Stored bytes are not the bytes that were recorded."""


class ModelError(PrefectMLError):
    """A model cannot be saved, loaded or scored."""


class EvaluationError(ModelError, ValueError):
    """No model can be evaluated with this data or this argument."""

    exit_code = 2


class SignatureMismatch(ModelError, ValueError):
    """Data does not fit the signature of the model; it was not scored.

    Attributes:
        field: The column, tensor or param that does not fit; empty where the data as a whole does not.
        expected: What the signature says of it.
        found: What was given.
    """

    exit_code = 2

    def __init__(self, message: str, field: str = "", expected: str = "", found: str = "") -> None:
        self.field = field
        self.expected = expected
        self.found = found
        super().__init__(message)


class UnknownFlavor(ModelError, TypeError):
    """No flavor knows how to save this object."""

    exit_code = 2


class UntrustedModel(ModelError):
    """Loading this model would run code that the store does not vouch for."""


class RegistryError(PrefectMLError):
    """Something about registered models, versions or stages."""


class BadReference(RegistryError, ValueError):
    """No model can have this name or URI."""

    exit_code = 2


class ModelNotFound(RegistryError, LookupError):
    """No registered model has this name."""

    exit_code = 2

    def __init__(self, name: str, known: Iterable[str] = ()) -> None:
        self.name = name
        super().__init__(
            f"There is no registered model {name!r}{_did_you_mean(name, known)};"
            " `prefect-ml models list` shows those that exist."
        )


class VersionNotFound(RegistryError, LookupError):
    """The registered model has no such version; `known` says which it has, by number, stage and alias."""

    exit_code = 2

    def __init__(self, name: str, version: object, known: str = "") -> None:
        self.name = name
        self.version = version
        wanted = str(version)
        if wanted.startswith("@"):
            what = f"has no alias {wanted[1:]!r}"
        else:
            what = f"has no version {version}" if wanted.isdecimal() else f"has no version in stage {version}"
        rest = f"it has {known}" if known else f"`prefect-ml models show {name}` lists its versions"
        super().__init__(f"Model {name!r} {what}; {rest}.")


class UnknownStage(RegistryError, ValueError):
    """The registry knows no such stage."""

    exit_code = 2

    def __init__(self, stage: str, known: tuple[str, ...], aliases: Iterable[str] = ()) -> None:
        self.stage = stage
        self.known = known
        near = (*known, *(f"@{alias}" for alias in aliases))
        super().__init__(f"There is no stage {stage!r}{_did_you_mean(stage, near)}; the stages are {', '.join(known)}.")


class StageConflict(RegistryError):
    """The stage is held by another version than the caller expected."""

    def __init__(self, name: str, stage: str, expected: int | None, actual: int | None) -> None:
        self.name = name
        self.stage = stage
        self.expected = expected
        self.actual = actual
        super().__init__(
            f"{stage} of model {name!r} is held by {_holder(actual)}, not by {_holder(expected)} as expected:"
            " somebody promoted first; look at `prefect-ml models history` and decide again."
        )


class GateFailed(RegistryError):
    """A promotion gate said no; nothing was changed."""


class ApprovalPending(GateFailed):
    """The stage requires approval; `request` is the id to approve or reject."""

    def __init__(self, request: str) -> None:
        self.request = request
        super().__init__(f"This promotion waits for approval: `prefect-ml models approve {request}`.")


class ProjectError(PrefectMLError):
    """A project cannot be read or run as it is."""

    exit_code = 2


class ProjectRunFailed(ProjectError):
    """The project ran, and its work failed."""

    exit_code = 1


class EnvironmentFailed(ProjectError):
    """A declared environment cannot be built, or the code runs in another one."""

    exit_code = 1


class ServingError(PrefectMLError):
    """Something about Bentos and endpoints."""


class EndpointNotFound(ServingError, LookupError):
    """No endpoint exists for this model and stage."""

    exit_code = 2

    def __init__(self, name: str, stage: str) -> None:
        self.name = name
        self.stage = stage
        super().__init__(
            f"Model {name!r} has no {stage} endpoint; promote a version to {stage}, or see `prefect-ml endpoints list`."
        )


class BentoFailed(ServingError):
    """A Bento could not be built."""


class RolloutFailed(ServingError):
    """The desired version did not become healthy; what answered before still answers."""


class ServiceError(PrefectMLError):
    """A background service is not there, or did not start."""


def _around(text: str, column: int) -> str:
    """Give a text, or of a long one what lies around a column."""
    if len(text) <= 200:
        return text
    start = max(0, column - 40)
    return f"{'…' * (start > 0)}{text[start : column + 40]}{'…' * (column + 40 < len(text))}"


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    """Name what is spelled like a name, however its letters are cased."""
    folded = {one.casefold(): one for one in known}
    close = difflib.get_close_matches(name.casefold(), list(folded), n=3)
    return f" (did you mean {' or '.join(repr(folded[one]) for one in close)}?)" if close else ""


def _holder(version: int | None) -> str:
    return "nobody" if version is None else f"version {version}"
