"""Figures and images as artifacts of a run."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from ...errors import TrackingError
from ...store.artifacts import check_relative, join, put_file
from ..active import ActiveRun
from ..files import write_artifact
from ..scope import require_run
from .frames import is_of
from .png import as_pixels, png_of

__all__ = ["log_figure", "log_image"]


def log_figure(figure: Any, to: str = "figure.png", *, run: ActiveRun | None = None) -> str:
    """Keep a figure as an artifact.

    Args:
        figure: A figure of matplotlib (or axes, or what seaborn gives), or one of plotly.
        to: Its path below the artifacts. The suffix says the format: `.png`, `.svg`, `.pdf` and what else matplotlib
            knows; of plotly `.html`, a page that needs no network, or `.json`.
        run: The run; the current one by default.

    Returns:
        Where it lies.

    Raises:
        NoActiveRun: No run is open.
        TrackingError: This is no figure, or cannot be written in this format.
        ArtifactError: `to` leads out of the run's artifacts.
    """
    run = require_run("log_figure", run)
    return write_artifact(run, to, lambda file: _draw(figure, to, file))


def log_image(image: Any, to: str = "image.png", *, step: int | None = None, run: ActiveRun | None = None) -> str:
    """Keep an image as an artifact.

    Args:
        image: An array (numpy, torch, nested lists) of uint8, bool, or float from 0 to 1, of shape height x width, or
            height x width x 1, 3 or 4; an image of Pillow; or the path of an image file.
        to: Its path below the artifacts. `.png` needs nothing more; other formats need Pillow.
        step: Position in a series of images: `samples.png` at step 3 becomes `samples/00000003.png`.
        run: The run; the current one by default.

    Returns:
        Where it lies.

    Raises:
        NoActiveRun: No run is open.
        TrackingError: This is no image, or cannot be written in this format.
        ArtifactError: There is no such file, or `to` leads out of the run's artifacts.
    """
    run = require_run("log_image", run)
    place = to if step is None else _at_step(to, step)
    if isinstance(image, (str, Path)):
        uri = join(run.artifact_uri, check_relative(place))
        put_file(Path(image), uri)
        return uri
    return write_artifact(run, place, lambda file: _paint(image, file))


def _draw(figure: Any, to: str, file: Path) -> None:
    if is_of(figure, "plotly") and hasattr(figure, "to_plotly_json"):
        _draw_plotly(figure, to, file)
        return
    drawn: Any = figure if hasattr(figure, "savefig") else getattr(figure, "figure", None)
    if not hasattr(drawn, "savefig"):
        raise TrackingError(f"log_figure takes a figure of matplotlib or plotly, not {type(figure).__name__}.")
    known = sorted(drawn.canvas.get_supported_filetypes())
    if file.suffix.lower().removeprefix(".") not in known:  # matplotlib would choose another name
        raise TrackingError(f"The figure cannot be written as {to!r}: let its name end in .{', .'.join(known)}.")
    drawn.savefig(file)


def _draw_plotly(figure: Any, to: str, file: Path) -> None:
    kind = file.suffix.lower()
    if kind == ".html":
        figure.write_html(file, include_plotlyjs=True)
    elif kind == ".json":
        figure.write_json(file)
    else:
        try:
            figure.write_image(file)
        except (ValueError, RuntimeError, ImportError) as error:  # a browser or kaleido is missing, or the format
            raise TrackingError(
                f"The plotly figure cannot be written as {to!r}; let its name end in .html or .json, or, with kaleido"
                " installed, in .png, .jpg, .webp, .svg or .pdf."
            ) from error


def _paint(image: Any, file: Path) -> None:
    if is_of(image, "PIL"):
        _save(image, file)
        return
    pixels = as_pixels(image)
    if file.suffix.lower() == ".png":
        file.write_bytes(png_of(pixels))
        return
    try:
        from PIL import Image
    except ImportError as error:
        raise TrackingError(f"Writing {file.name!r} needs Pillow; install pillow, or name the image .png.") from error
    _save(Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels), file)


def _save(image: Any, file: Path) -> None:
    try:
        image.save(file)
    except (ValueError, OSError, KeyError) as error:
        raise TrackingError(f"The image cannot be written as {file.name!r} ({error}).") from error


def _at_step(to: str, step: int) -> str:
    if step < 0:
        raise TrackingError(f"The step of an image counts from 0; {step} does not.")
    path = PurePosixPath(to)
    return str(path.with_suffix("") / f"{step:08d}{path.suffix}")
