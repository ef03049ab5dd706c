"""Projects: a folder or Git repository, run in the environment that it declares."""

from .running import ProjectRun, run_project

__all__ = ["ProjectRun", "run_project"]
