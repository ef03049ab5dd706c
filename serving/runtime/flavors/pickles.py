"""Pickles that load where the training code is not: what is defined in the user's own modules travels by value."""

from __future__ import annotations

import functools
import hashlib
import io
import pickle
import pickletools
import sys
import sysconfig
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
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
    try:
        path.write_bytes(_with_users_own(model, outside))
    except Exception as error:  # any object's own code runs here
        raise ValueError(
            f"this {type(model).__name__} cannot be pickled ({error}); leave out what belongs to this process,"
            " such as open files, locks and connections"
        ) from error


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


def _with_users_own(model: Any, outside: Callable[[Any], Any] | None) -> memoryview | bytes:
    """Pickle a model, and again by value what it then still names of the user's own modules, as steps of a pipeline."""
    by_value = _users_own([getattr(model, "__module__", None) or type(model).__module__])
    data = _dumped(model, outside, by_value)
    while more := _users_own(_texts_in(data)) - by_value:
        by_value |= more
        try:
            data = _dumped(model, outside, by_value)
        except Exception:  # noqa: BLE001 - any module's own content; such a module has to be given as a file
            break
    return _steady(data)


def _dumped(model: Any, outside: Callable[[Any], Any] | None, by_value: set[str]) -> memoryview:
    import cloudpickle  # pyright: ignore[reportMissingTypeStubs]

    buffer = io.BytesIO()
    pickler: Any = cloudpickle.Pickler(buffer)
    if outside is not None:
        pickler.persistent_id = outside
    with _registered(by_value):
        pickler.dump(model)
    return buffer.getbuffer()


def _steady(data: memoryview) -> memoryview | bytes:
    """Give the classes in a pickle names by their content, where cloudpickle draws lots.

    By these names a process knows classes that it has met, and reading one again changes it: in the process that saves,
    that would be the user's own class.
    """
    from cloudpickle import cloudpickle  # pyright: ignore[reportMissingTypeStubs]

    drawn: Mapping[Any, str] = getattr(cloudpickle, "_DYNAMIC_CLASS_TRACKER_BY_CLASS", {})
    if not drawn:
        return data
    plain = bytes(data)
    lots: list[bytes] = sorted((lot for name in drawn.values() if (lot := name.encode()) in plain), key=plain.find)
    for number, lot in enumerate(lots):
        plain = plain.replace(lot, b"%032x" % number)
    digest = hashlib.sha256(plain).hexdigest()
    for number in range(len(lots)):
        name = hashlib.sha256(f"{digest} {number}".encode()).hexdigest()[:32]
        plain = plain.replace(b"%032x" % number, name.encode())
    return plain


def _texts_in(data: memoryview) -> Iterator[str]:
    # Names of modules and of what is in them stand in a pickle as text.
    for _, argument, _ in pickletools.genops(io.BytesIO(data)):
        if isinstance(argument, str) and len(argument) < 200:
            yield from argument.split(" ")[:1]


def _users_own(names: Iterable[str]) -> set[str]:
    return {name for name in names if (module := sys.modules.get(name)) and _is_users_own(module)}


@contextmanager
def _registered(names: set[str]) -> Generator[None]:
    import cloudpickle  # pyright: ignore[reportMissingTypeStubs]

    register: Any = cloudpickle
    with _REGISTRY:
        new = names - set(register.list_registry_pickle_by_value())
        for name in new:
            register.register_pickle_by_value(sys.modules[name])
        try:
            yield
        finally:
            for name in new:
                register.unregister_pickle_by_value(sys.modules[name])


def _is_users_own(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    if file is None or module.__name__ in ("__main__", "builtins"):
        return False  # __main__ goes by value anyway
    return not any(Path(file).resolve().is_relative_to(folder) for folder in _installed(tuple(sys.path)))


@functools.lru_cache(maxsize=4)
def _installed(path: tuple[str, ...]) -> tuple[Path, ...]:
    """Give the folders of installed packages: the interpreter's own, and those on the path that hold distributions."""
    own = {sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")}
    others = {entry for entry in path if entry and any(Path(entry).glob("*.dist-info"))}
    return tuple(Path(folder).resolve() for folder in own | others)
