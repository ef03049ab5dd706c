"""What projects declare about their environments, read without running any of their code."""

from .conda_file import CONDA_TOOLS, conda_tool
from .model import Declared, Kind
from .pyproject import project_table, requirement_name
from .reading import DECLARING, declared_of, declared_of_lock, project_folder

__all__ = [
    "CONDA_TOOLS",
    "DECLARING",
    "Declared",
    "Kind",
    "conda_tool",
    "declared_of",
    "declared_of_lock",
    "project_folder",
    "project_table",
    "requirement_name",
]
