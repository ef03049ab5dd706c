"""A declared environment, in words that say everything that it depends on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from ..wheel import own_digest

__all__ = ["KINDS", "Declared", "Kind"]

Kind = Literal["uv", "conda", "system"]
KINDS: tuple[Kind, ...] = ("uv", "conda", "system")


@dataclass(frozen=True, kw_only=True)
class Declared:
    """An environment in words.

    Attributes:
        kind: What builds it: uv, a conda tool, or nothing (the interpreter at hand).
        origin: Where this was declared; for messages only.
        requirements: Text of a requirements file that refers to no other file.
        python: Version or range (`"3.11"`, `">=3.11,<3.14"`), or None for any.
        hashes: Every package must match a hash in `requirements`.
        with_prefect_ml: prefect-ml is installed too, from the running installation: alone after hash-locked
            requirements, which must hold what it needs, otherwise resolved together with them.
        constraints: Text of a constraints file.
        first: Text of a requirements file that is installed before the rest: the build dependencies.
        lock: A uv.lock and what its pyproject says about packages; the requirements then come from it.
        conda: Text of an environment file for a conda tool.
        interpreter: Which interpreter is at hand; for the kind `system` only.
        folder: The project, where its uv.lock lies.
        notes: What whoever asks should be told: files that are not used, packages that come from elsewhere.
    """

    kind: Kind = "uv"
    origin: str
    requirements: str = ""
    python: str | None = None
    hashes: bool = False
    with_prefect_ml: bool = False
    constraints: str = ""
    first: str = ""
    lock: str = ""
    conda: str = ""
    interpreter: str = ""
    folder: Path | None = field(default=None, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    @cached_property
    def digest(self) -> str:
        """Name of this environment: equal for equal contents, wherever they were declared."""
        parts = [self.kind, self.interpreter]
        if self.kind != "system":
            own = own_digest() if self.with_prefect_ml else None
            texts = [self.requirements, self.constraints, self.first, self.lock, self.conda]
            parts += [self.python, self.hashes, own, *texts]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
