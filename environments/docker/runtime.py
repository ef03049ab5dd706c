"""What a work pool's container needs to run projects: prefect-ml, on the versions of packages that run here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from ...errors import EnvironmentFailed
from ..declared import Declared

__all__ = ["runtime_declared"]

_OWN = "prefect-ml"


def runtime_declared(packages: Sequence[str] = ()) -> Declared:
    """Declare the environment that Prefect starts in an image.

    Args:
        packages: Requirements beside prefect-ml's own: a database driver, a file system.

    Raises:
        EnvironmentFailed: One of them is no requirement.
    """
    versions = _installed([_OWN, *packages])
    python = distribution(_OWN).metadata["Requires-Python"]
    return Declared(
        origin="prefect-ml in an image",
        requirements="".join(f"{line}\n" for line in packages),
        constraints="".join(f"{name}=={version}\n" for name, version in sorted(versions.items()) if name != _OWN),
        python=python,
        with_prefect_ml=True,
    )


def _installed(lines: Iterable[str]) -> dict[str, str]:
    """Give the versions at hand of some packages and all that they need, as far as they are installed."""
    found: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = [_requirement(line) for line in lines]
    while todo:
        wanted = todo.pop()
        name, extras = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            continue
        found[name] = installed.version
        needed = [Requirement(line) for line in installed.requires or ()]
        todo += [one for one in needed if _applies(one, extras)]
    return found


def _applies(needed: Requirement, extras: frozenset[str]) -> bool:
    return needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras or {""})


def _requirement(line: str) -> Requirement:
    try:
        return Requirement(line)
    except InvalidRequirement as error:
        raise EnvironmentFailed(f"{line!r} is no requirement of a Python package ({error}).") from error
