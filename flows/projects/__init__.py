"""Projects: a folder or Git repository, run in the environment that it declares."""

from .descriptor import read_project
from .initialising import initialise
from .native import project_flow
from .ready import ProjectRun
from .rerunning import MetricDifference, Verdict, rerun
from .running import run_project
from .steps import StepRun, step, submit_step

__all__ = [
    "MetricDifference",
    "ProjectRun",
    "StepRun",
    "Verdict",
    "initialise",
    "project_flow",
    "read_project",
    "rerun",
    "run_project",
    "step",
    "submit_step",
]
