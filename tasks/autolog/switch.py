"""Turning autologging on and off: wrapping what is imported, and whatever is imported later."""

from __future__ import annotations

import importlib
import importlib.abc
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from types import FunctionType, ModuleType
from typing import Any

from .fits import wrap
from .libraries import Library, Target, members_of
from .recorder import Options, going_on

__all__ = ["Switch"]


class Watcher(importlib.abc.MetaPathFinder):
    """Tells when a module of some packages has been imported. It finds nothing by itself: the other finders do."""

    def __init__(self, packages: Collection[str], imported: Callable[[ModuleType], None]) -> None:
        self._packages = frozenset(packages)
        self._imported = imported

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        """Give what the next finder finds, with a loader that tells when it is done."""
        if fullname.partition(".")[0] not in self._packages:
            return None
        finders = [finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec")]
        found = (finder.find_spec(fullname, path, target) for finder in finders)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            self._follow(spec.loader)
        return spec

    def _follow(self, loader: Any) -> None:
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            del loader.exec_module  # the loader, which the module keeps, is its own again
            execute(module)
            self._imported(module)

        with suppress(AttributeError):  # a loader that is a class or has slots belongs to none of our libraries
            loader.exec_module = exec_module


@dataclass(frozen=True)
class Patch:
    """A function that was replaced."""

    library: str
    target: Target
    original: Any
    wrapper: Any


class Switch:
    """Which libraries are recorded in this process, and how."""

    def __init__(self, libraries: Sequence[Library]) -> None:
        self._libraries = libraries
        self._lock = threading.Lock()
        self._options: dict[str, Options] = {}
        self._patches: list[Patch] = []
        self._watcher: Watcher | None = None

    def turn_on(self, names: Iterable[str], options: Options) -> None:
        """Record these libraries from now on; those that are not imported yet, as soon as they are."""
        with self._lock:
            self._options |= dict.fromkeys(names, options)
            self._watch()
        # Not under the lock: a module that another thread is importing is waited for, and that thread will want it.
        for name in list(sys.modules):
            if self._libraries_of(name):
                with suppress(ImportError):
                    self._patch_module(importlib.import_module(name))

    def turn_off(self, names: Iterable[str]) -> None:
        """Leave these libraries as they were."""
        names = set(names)
        with self._lock:
            for patch in [patch for patch in self._patches if patch.library in names]:
                if _held(patch.target) is patch.wrapper:
                    setattr(patch.target.owner, patch.target.name, patch.original)
                self._patches.remove(patch)
            self._options = {name: options for name, options in self._options.items() if name not in names}
            self._watch()

    def options_of(self, name: str) -> Options | None:
        """Give how a library is recorded, or None where it is not."""
        return self._options.get(name)

    def _watch(self) -> None:
        if self._watcher in sys.meta_path:
            sys.meta_path.remove(self._watcher)
        packages = [
            package for library in self._libraries if library.NAME in self._options for package in library.PACKAGES
        ]
        self._watcher = Watcher(packages, self._patch_module) if packages else None
        if self._watcher:
            sys.meta_path.insert(0, self._watcher)

    def _libraries_of(self, module: str) -> list[Library]:
        package = module.partition(".")[0]
        return [library for library in self._libraries if package in library.PACKAGES and library.NAME in self._options]

    def _patch_module(self, module: ModuleType) -> None:
        with going_on(f"training with {module.__name__}"), self._lock:
            for library in self._libraries_of(module.__name__):
                for target in library.targets(module):
                    self._patch(library, target)

    def _patch(self, library: Library, target: Target) -> None:
        original = _held(target)
        if not isinstance(original, FunctionType) or any(patch.wrapper is original for patch in self._patches):
            return
        wrapper = wrap(original, library, self.options_of)
        setattr(target.owner, target.name, wrapper)
        self._patches.append(Patch(library.NAME, target, original, wrapper))


def _held(target: Target) -> Any:
    return members_of(target.owner).get(target.name)  # not what a base class has
