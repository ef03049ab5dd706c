"""For deployments: the entry point in the environment of the worker, as nothing else is declared."""

from pathlib import Path

from prefect_ml import project_flow

main = project_flow(str(Path(__file__).parent), environment="system")
