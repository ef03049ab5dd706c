"""The environment of what talks to Prefect for us. Nothing here imports Prefect."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ...running import api_url
from ...settings import Settings

__all__ = ["prefect_environment"]

_DROPPED = (
    "PYTHONDONTWRITEBYTECODE",  # every start would compile Prefect anew, which takes seconds
    "PREFECT_PROFILE",  # names a profile in the user's own Prefect home, not in ours
    "PREFECT_ML_RUN_ID",  # belongs to the caller's run, and services outlive it
)


def prefect_environment(settings: Settings) -> dict[str, str]:
    """Give the environment for a child process that talks to the same Prefect API and the same store as we do.

    Prefect's home lies inside ours, so that the user's own Prefect is left alone; `uv` and this installation's
    commands are on the path.

    Args:
        settings: Settings that the child gets too, wherever they came from.
    """
    environment = {key: value for key, value in os.environ.items() if key not in _DROPPED}
    environment |= {
        "PATH": os.pathsep.join([*_our_folders(), environment.get("PATH", os.defpath)]),
        "PREFECT_HOME": str(settings.prefect_home),
        "PREFECT_ML_HOME": str(settings.home),
        "PREFECT_ML_STORE_URL": settings.store_url,
        "PREFECT_ML_ARTIFACT_ROOT": settings.artifact_root,
        "PREFECT_ML_JOURNAL": str(settings.journal),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    if settings.storage_options:
        environment["PREFECT_ML_STORAGE_OPTIONS"] = settings.storage_options
    if address := api_url(settings):
        environment["PREFECT_API_URL"] = address
    return environment


def _our_folders() -> list[str]:
    from uv import find_uv_bin

    return [str(Path(sys.executable).parent), str(Path(find_uv_bin()).parent)]
