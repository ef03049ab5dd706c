"""prefect-ml: track, package, register and serve machine-learning models, natively on Prefect.

Every name is imported on first use, so that `import prefect_ml` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .flows.projects import project_flow, rerun, run_project, step, submit_step
    from .flows.sweeps import space, sweep
    from .registry import (
        delete_alias,
        get_model_version,
        model_history,
        search_model_versions,
        search_models,
        set_alias,
    )
    from .reports import diff_runs
    from .serving import (
        build_bento,
        deploy_endpoint,
        get_endpoint,
        infer_signature,
        inspect_model,
        list_endpoints,
        load_model,
        rollback_endpoint,
        save_model,
    )
    from .store import count_runs, get_run, metric_history, search_runs
    from .store.deletion import delete_run, restore_run
    from .store.experiments import (
        create_experiment,
        delete_experiment,
        list_experiments,
        move_runs,
        rename_experiment,
        restore_experiment,
    )
    from .store.exporting import export_runs
    from .store.run_artifacts import download_artifacts, list_artifacts
    from .tasks.active import current_run
    from .tasks.autolog import autolog
    from .tasks.compare import compare_runs
    from .tasks.data.datasets import log_dataset
    from .tasks.data.media import log_figure, log_image
    from .tasks.data.tables import load_table, log_table
    from .tasks.evaluation import evaluate
    from .tasks.log import (
        log_artifact,
        log_artifacts,
        log_dict,
        log_metric,
        log_metrics,
        log_param,
        log_params,
        log_series,
        log_text,
        set_note,
        set_tag,
        set_tags,
    )
    from .tasks.models import log_model
    from .tasks.promotion import promote, register_model
    from .tasks.pruning import should_prune
    from .tasks.scope import start_run
    from .tasks.threads import with_current_run
    from .tasks.track import track

_MODULES = {
    ".flows.projects": ("project_flow", "rerun", "run_project", "step", "submit_step"),
    ".flows.sweeps": ("space", "sweep"),
    ".registry": (
        "delete_alias",
        "get_model_version",
        "model_history",
        "search_model_versions",
        "search_models",
        "set_alias",
    ),
    ".reports": ("diff_runs",),
    ".serving": (
        "build_bento",
        "deploy_endpoint",
        "get_endpoint",
        "infer_signature",
        "inspect_model",
        "list_endpoints",
        "load_model",
        "rollback_endpoint",
        "save_model",
    ),
    ".store": ("count_runs", "get_run", "metric_history", "search_runs"),
    ".store.deletion": ("delete_run", "restore_run"),
    ".store.experiments": (
        "create_experiment",
        "delete_experiment",
        "list_experiments",
        "move_runs",
        "rename_experiment",
        "restore_experiment",
    ),
    ".store.exporting": ("export_runs",),
    ".store.run_artifacts": ("download_artifacts", "list_artifacts"),
    ".tasks.active": ("current_run",),
    ".tasks.autolog": ("autolog",),
    ".tasks.compare": ("compare_runs",),
    ".tasks.data.datasets": ("log_dataset",),
    ".tasks.evaluation": ("evaluate",),
    ".tasks.log": (
        "log_artifact",
        "log_artifacts",
        "log_dict",
        "log_metric",
        "log_metrics",
        "log_param",
        "log_params",
        "log_series",
        "log_text",
        "set_note",
        "set_tag",
        "set_tags",
    ),
    ".tasks.data.media": ("log_figure", "log_image"),
    ".tasks.models": ("log_model",),
    ".tasks.promotion": ("promote", "register_model"),
    ".tasks.pruning": ("should_prune",),
    ".tasks.scope": ("start_run",),
    ".tasks.data.tables": ("load_table", "log_table"),
    ".tasks.threads": ("with_current_run",),
    ".tasks.track": ("track",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "autolog",
    "build_bento",
    "compare_runs",
    "count_runs",
    "create_experiment",
    "current_run",
    "delete_alias",
    "delete_experiment",
    "delete_run",
    "deploy_endpoint",
    "diff_runs",
    "download_artifacts",
    "evaluate",
    "export_runs",
    "get_endpoint",
    "get_model_version",
    "get_run",
    "infer_signature",
    "inspect_model",
    "list_artifacts",
    "list_endpoints",
    "list_experiments",
    "load_model",
    "load_table",
    "log_artifact",
    "log_artifacts",
    "log_dataset",
    "log_dict",
    "log_figure",
    "log_image",
    "log_metric",
    "log_metrics",
    "log_model",
    "log_param",
    "log_params",
    "log_series",
    "log_table",
    "log_text",
    "metric_history",
    "model_history",
    "move_runs",
    "project_flow",
    "promote",
    "register_model",
    "rename_experiment",
    "rerun",
    "restore_experiment",
    "restore_run",
    "rollback_endpoint",
    "run_project",
    "save_model",
    "search_model_versions",
    "search_models",
    "search_runs",
    "set_alias",
    "set_note",
    "set_tag",
    "set_tags",
    "should_prune",
    "space",
    "start_run",
    "step",
    "submit_step",
    "sweep",
    "track",
    "with_current_run",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
