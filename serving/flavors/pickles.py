"""Pickles that load where the training code is not: what is defined in the user's own modules travels by value."""

from __future__ import annotations

import platform
import sys
import sysconfig
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle  # pyright: ignore[reportMissingTypeStubs]

from ...errors import ModelError

__all__ = ["python_function", "write_pickle"]

_REGISTRY = threading.Lock()  # cloudpickle keeps one list of modules per process


def write_pickle(model: Any, path: Path) -> None:
    """Pickle a model to a file.

    Raises:
        ModelError: It holds something that cannot be pickled.
    """
    try:
        with _by_value(model):
            data: bytes = cloudpickle.dumps(model)  # pyright: ignore[reportUnknownMemberType]
    except Exception as error:  # any object's own code runs here
        raise ModelError(
            f"This {type(model).__name__} cannot be pickled ({error}); leave out what belongs to this process,"
            " such as open files, locks and connections."
        ) from error
    path.write_bytes(data)


def python_function(loader: str) -> dict[str, Any]:
    """Give the entries that every `python_function` flavor has."""
    return {
        "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
        "loader_module": loader,
        "python_version": platform.python_version(),
    }


@contextmanager
def _by_value(model: Any) -> Generator[None]:
    module = sys.modules.get(getattr(model, "__module__", None) or type(model).__module__)
    if module is None or not _is_users_own(module):
        yield
        return
    with _REGISTRY:
        cloudpickle.register_pickle_by_value(module)  # pyright: ignore[reportUnknownMemberType]
        try:
            yield
        finally:
            cloudpickle.unregister_pickle_by_value(module)  # pyright: ignore[reportUnknownMemberType]


def _is_users_own(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    if file is None or module.__name__ in ("__main__", "builtins"):
        return False  # __main__ goes by value anyway
    installed = {sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")}
    return not any(Path(file).resolve().is_relative_to(Path(folder).resolve()) for folder in installed)
