"""Builds a Bento from a prepared folder and exports it: run inside the model's own environment, by `-m`.

The one argument is JSON: `context` is the folder, `out` where the export goes; `name`, `version`, `description` and
`labels` are the Bento's own.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import distributions
from typing import Any

import bentoml as _bentoml  # pyright: ignore[reportMissingImports]

__all__ = ["main"]

bentoml: Any = _bentoml  # it carries types only in part


def main(order: dict[str, Any]) -> None:
    """Build and export."""
    bento = bentoml.build(
        "prefect_ml_scoring.service:Service",
        name=order["name"],
        version=order["version"],
        labels=order["labels"],
        description=order["description"],
        build_ctx=order["context"],
        include=["prefect_ml_scoring/**", "model/**", "serving.json"],
        # Everything that is installed is pinned, so nothing is resolved: the Bento says what was tested.
        python={"packages": _installed(), "lock_packages": False, "pack_git_packages": False},
    )
    bentoml.export_bento(str(bento.tag), order["out"], output_format="folder")


def _installed() -> list[str]:
    return sorted({f"{found.metadata['Name']}=={found.version}" for found in distributions()}, key=str.lower)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
