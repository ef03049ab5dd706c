"""Environments in containers: an image that is named, built from a `Dockerfile`, or made of a declared Python."""

from .containers import DockerEnvironment
from .declared import DeclaredImage, declared_image, declared_image_of_lock, declares_only_dockerfile
from .leftovers import remove_leftovers
from .realise import realise_image

__all__ = [
    "DeclaredImage",
    "DockerEnvironment",
    "declared_image",
    "declared_image_of_lock",
    "declares_only_dockerfile",
    "realise_image",
    "remove_leftovers",
]
