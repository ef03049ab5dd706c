"""The steps one after the other: each runs when what it depends on has changed, and is reused otherwise."""

import sys

from prefect import flow

from prefect_ml import step


@flow
def workflow(alpha: float = 0.1) -> str:
    # The steps need nothing that is not there where this runs; without `environment` each gets what is declared.
    raw = step("load_raw", code=["load_raw.py"], outputs=["raw.csv"], environment="system")
    rows = step("etl", {"raw": raw.output("raw.csv")}, code=["etl.py"], outputs=["clean"], environment="system")
    given = {"rows": rows.output("clean"), "alpha": alpha}
    trained = step("train", given, code=["train.py"], outputs=["model.txt"], environment="system")
    return trained.run_id


if __name__ == "__main__":
    print(workflow(float(sys.argv[1])))
