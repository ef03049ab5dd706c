"""The loader that travels with a model whose files no loader of MLflow's reads.

It is a package in the model's `code` folder: the flavor's own module, what it shares with others, and `_load_pyfunc`,
which MLflow calls. Its name carries a digest of its text, so that two models in one process each find theirs.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..runtime import flavors
from ..runtime.flavors import Flavor
from ..runtime.sources import COMPANION

__all__ = ["write_companion"]

_HOME = Path(flavors.__file__).parent
_SHARED = ("base.py", "pickles.py", "skopses.py")
_DOOR = '''"""Loads the model in the folder above, for tools that know MLflow's format and not prefect-ml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from .{module} import NAME, load


class _Model:
    def __init__(self, path: str) -> None:
        folder = Path(path)
        flavors = yaml.safe_load((folder / "MLmodel").read_text())["flavors"]
        self._loaded = load(folder, flavors[NAME])

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> Any:
        return self._loaded.predict(data, params)


def _load_pyfunc(path: str, model_config: dict[str, Any] | None = None) -> _Model:
    return _Model(path)
'''


def write_companion(flavor: Flavor, code: Path) -> str:
    """Write the package for a flavor into a model's code folder, and give its name.

    The flavor is one of ours: others install with the packages that the model requires.
    """
    source = Path(str(vars(flavor)["__file__"]))
    texts = {name: (_HOME / name).read_text() for name in _SHARED}
    texts[source.name] = source.read_text()
    texts["__init__.py"] = _DOOR.format(module=source.stem)
    digest = hashlib.sha256("".join(texts[name] for name in sorted(texts)).encode()).hexdigest()
    package = code / f"{COMPANION}{digest[:12]}"
    package.mkdir(parents=True)
    for name, text in texts.items():
        (package / name).write_text(text)
    return package.name
