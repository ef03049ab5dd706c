"""Declared environments, realised: one folder per declaration, shared by all who ask."""

from .declaration import Declaration, declaration_of, project_folder
from .guard import require_declared
from .realise import Environment, realise
from .wheel import own_wheel

__all__ = [
    "Declaration",
    "Environment",
    "declaration_of",
    "own_wheel",
    "project_folder",
    "realise",
    "require_declared",
]
