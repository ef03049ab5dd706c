"""Declared environments, realised: one folder per declaration, shared by all who ask."""

from .commands import Command, Facts, Realised
from .declared import Declared, declared_of_lock, project_folder
from .docker import DeclaredImage, DockerEnvironment, declared_image_of_lock
from .environment import Environment
from .guard import require_declared
from .kinds import declared_of, realise
from .wheel import own_wheel

__all__ = [
    "Command",
    "Declared",
    "DeclaredImage",
    "DockerEnvironment",
    "Environment",
    "Facts",
    "Realised",
    "declared_image_of_lock",
    "declared_of",
    "declared_of_lock",
    "own_wheel",
    "project_folder",
    "realise",
    "require_declared",
]
