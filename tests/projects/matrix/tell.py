"""Tells what it was given and what it runs in, and logs into its run where prefect-ml is at hand."""

import importlib.util
import json
import sys

alpha, word = float(sys.argv[1]), sys.argv[2]
package = importlib.util.find_spec("tabulate")
print(json.dumps({"alpha": alpha, "word": word, "prefix": sys.prefix, "tabulate": package and package.origin}))
if importlib.util.find_spec("prefect_ml"):
    from prefect_ml import log_metric, start_run

    with start_run():
        log_metric("alpha", alpha)
