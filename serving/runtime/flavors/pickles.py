"""Pickles that load where the training code is not: what is defined in the user's own modules travels by value."""

from __future__ import annotations

import io
import pickle
import sys
import sysconfig
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from .base import inside

__all__ = ["read_pickle", "write_pickle"]

_REGISTRY = threading.Lock()  # cloudpickle keeps one list of modules per process


def write_pickle(model: Any, path: Path, *, outside: Callable[[Any], Any] | None = None) -> None:
    """Pickle a model to a file.

    Args:
        model: The model.
        path: The file.
        outside: Gives what stands in the pickle for an object that is kept elsewhere, such as an array in a file of
            its own, and None for all others.

    Raises:
        ValueError: It holds something that cannot be pickled.
    """
    import cloudpickle  # pyright: ignore[reportMissingTypeStubs]

    buffer = io.BytesIO()
    pickler: Any = cloudpickle.Pickler(buffer)
    if outside is not None:
        pickler.persistent_id = outside
    try:
        with _by_value(model):
            pickler.dump(model)
    except Exception as error:  # any object's own code runs here
        raise ValueError(
            f"this {type(model).__name__} cannot be pickled ({error}); leave out what belongs to this process,"
            " such as open files, locks and connections"
        ) from error
    path.write_bytes(buffer.getbuffer())


def read_pickle(folder: Path, name: Any, *, outside: Callable[[Any], Any] | None = None) -> Any:
    """Read a pickle of a model folder; this runs whatever it holds, so the caller has made sure of it.

    `outside` gives the objects that are kept elsewhere, for what `write_pickle` had from its own.

    Raises:
        ValueError: It needs MLflow, which is not installed.
    """
    with inside(folder, name).open("rb") as file:
        unpickler: Any = pickle.Unpickler(file)  # noqa: S301 - the caller has seen to the digest, and that it is trusted
        if outside is not None:
            unpickler.persistent_load = outside
        try:
            return unpickler.load()
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "mlflow":
                raise
            raise ValueError(
                "it was written as a class of MLflow's, which is not installed; install mlflow to load it"
            ) from error


@contextmanager
def _by_value(model: Any) -> Generator[None]:
    import cloudpickle  # pyright: ignore[reportMissingTypeStubs]

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
