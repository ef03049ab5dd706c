"""Making a declared image real: found, pulled or built, once per digest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..realise import realise
from ..uv import Report
from .client import connected
from .containers import DockerEnvironment
from .context import packed_context
from .declared import BASE_ADVICE, DeclaredImage
from .images import build_once, have_image, image_here
from .probe import contents_of
from .python_image import check_fits, packed_python, python_on

__all__ = ["realise_image"]


def realise_image(declared: DeclaredImage, *, root: Path, report: Report | None = None) -> DockerEnvironment:
    """Give the environment of a declared image; pull or build the image where this machine has none.

    Args:
        declared: What it must be.
        root: Folder of all environments; what is known about images is kept there.
        report: Called with each of the declaration's notes, and with one line of text per step of a build.

    Raises:
        EnvironmentFailed: No Docker daemon answers, or the image cannot be had.
    """
    report = report or _silent
    for note in declared.notes:
        report(note)
    with connected(f"Docker refuses the image of {declared.origin}") as client:
        image = _image(client, declared, root.absolute(), report)
        contents = contents_of(client, image, root=root.absolute())
        set_by_image: list[str] = image.attrs["Config"].get("Env") or []
        defaults = dict(line.split("=", 1) for line in set_by_image if "=" in line)
    return DockerEnvironment(image.id, declared, contents, defaults)


def _image(client: Any, declared: DeclaredImage, root: Path, report: Report) -> Any:
    if declared.image:
        return have_image(client, declared.image, origin=declared.origin, report=report)
    if (context := declared.context) is not None:
        tag = f"prefect-ml/project:{declared.digest}"
        packed = lambda: packed_context(context)  # noqa: E731
        return build_once(client, tag, root=root, packed=packed, origin=declared.origin, report=report)
    return _python_image(client, declared, root, report)


def _python_image(client: Any, declared: DeclaredImage, root: Path, report: Report) -> Any:
    origin = f"The Docker image of {declared.origin}"
    base = have_image(client, declared.base, origin=origin, report=report, advice=BASE_ADVICE)
    # A base that was pulled anew under the same name gives another image.
    tag = f"prefect-ml/python:{declared.digest}-{base.id.removeprefix('sha256:')[:12]}"
    if (found := image_here(client, tag)) is not None:
        return found
    holds = contents_of(client, base, root=root)
    environment = realise(python_on(declared, holds), root=root, report=report)
    check_fits(environment, holds, image=declared.base)
    packed = lambda: packed_python(environment, holds, image=base.id)  # noqa: E731
    return build_once(client, tag, root=root, packed=packed, origin=declared.origin, report=report)


def _silent(_: str) -> None:
    """Report nothing."""
