"""`python -m prefect_ml.cli` is `prefect-ml`."""

from . import main

main()
