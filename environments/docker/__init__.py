"""Environments in containers: an image that is named, built from a `Dockerfile`, or made of a declared Python."""

from .containers import DockerEnvironment
from .declared import DeclaredImage, declared_image, declared_image_of_lock, declares_only_dockerfile
from .kept import kept_images, remove_image
from .leftovers import remove_leftovers
from .project_image import DIRECTORY, FACTS, ProjectImage, build_project_image
from .realise import realise_image
from .runtime import runtime_declared

__all__ = [
    "DIRECTORY",
    "FACTS",
    "DeclaredImage",
    "DockerEnvironment",
    "ProjectImage",
    "build_project_image",
    "declared_image",
    "declared_image_of_lock",
    "declares_only_dockerfile",
    "kept_images",
    "realise_image",
    "remove_image",
    "remove_leftovers",
    "runtime_declared",
]
