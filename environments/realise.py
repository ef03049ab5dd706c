"""Making declared environments real: one folder per digest, built once, whoever asks and how many at once."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path

from ..errors import EnvironmentFailed
from .conda import build_with_conda
from .declared import Declared
from .environment import MARKER, PIXI, Environment, marker_of
from .locks import alone
from .pythons import require_python
from .uv import Report
from .uv_build import build_with_uv

__all__ = ["realise", "remember_use"]

_HOUR = 3600


def realise(declared: Declared, *, root: Path, report: Report | None = None) -> Environment:
    """Give the environment that a declaration describes; build it if this host has none yet.

    Args:
        declared: What it must hold.
        root: Folder of all environments, one sub-folder per digest.
        report: Called with each of the declaration's notes, and with one line of text per step of a build, so that no
            wait is silent.

    Raises:
        EnvironmentFailed: It cannot be built; the message names what could not be had, and nothing is left behind.
    """
    report = report or _silent
    for note in declared.notes:
        report(note)
    if declared.kind == "system":
        require_python(declared.python, origin=declared.origin)
        return Environment(Path(sys.prefix), declared.digest, "system")
    home = root.absolute() / declared.digest
    if not _is_whole(home):
        with alone(
            home, waiting=lambda: report(f"Waiting for environment {home.name}, which another process is building")
        ):
            if not _is_whole(home):
                _build(declared, home, report)
    remember_use(home / MARKER)
    return Environment(_prefix(home), declared.digest, declared.kind)


def _prefix(home: Path) -> Path:
    inner = home.joinpath(*PIXI)
    return inner if inner.is_dir() else home


def _is_whole(home: Path) -> bool:
    marker = marker_of(home)
    # The interpreter is a link: it dangles when the Python that it was made from has been removed.
    return marker is not None and (marker.get("kind") == "conda" or (home / "bin" / "python").exists())


def remember_use(marker: Path) -> None:
    """Date a file, at most once an hour: what it stands for may be collected when nobody has asked for it in long."""
    try:
        if time.time() - marker.stat().st_mtime > _HOUR:
            os.utime(marker)
    except OSError:  # another user's folder, or one just removed: the run says so if it matters
        return


def _build(declared: Declared, home: Path, report: Report) -> None:
    report(f"Building environment {home.name} for {declared.origin}")
    shutil.rmtree(home, ignore_errors=True)  # what a killed build left
    try:
        if declared.kind == "conda":
            build_with_conda(declared, home, report)
        else:
            build_with_uv(declared, home, report)
        _mark(declared, home)
    except EnvironmentFailed as error:
        shutil.rmtree(home, ignore_errors=True)
        raise EnvironmentFailed(f"The environment of {declared.origin} cannot be built: {error}") from error
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        raise


def _mark(declared: Declared, home: Path) -> None:
    said = {"digest": home.name, "kind": declared.kind, "origin": declared.origin}
    unfinished = home / f"{MARKER}.{os.getpid()}"
    unfinished.write_text(json.dumps(said, indent=2) + "\n")
    unfinished.replace(home / MARKER)


def _silent(_: str) -> None:
    """Report nothing."""
