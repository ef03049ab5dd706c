"""Spark: fitted pipelines and models of pyspark.ml, which need Java to be saved, loaded and asked."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np

from .base import Loaded, Material, Written, class_at, inside, is_a, name_of_class

__all__ = ["NAME", "executes", "load", "matches", "packages", "save"]

NAME = "spark"
_FOLDER = "sparkml"
_PIPELINE = "pyspark.ml.pipeline.PipelineModel"
_OWN = ("org.apache.spark.ml.", "pyspark.ml.")


def matches(model: Any) -> bool:
    """Whether the model is a fitted one of pyspark.ml, or any other transformer of it."""
    return is_a(model, "pyspark.ml.base.Transformer")


def save(model: Any, folder: Path, material: Material) -> Written:
    """Write the model, as a pipeline of it alone where it is none, for that is what MLflow reads."""
    pipeline = model
    if _class_of(model) != _PIPELINE:
        pipeline = cast("Any", class_at(_PIPELINE, package="pyspark"))([model])
    pipeline.write().save((folder / _FOLDER).absolute().as_uri())
    version = cast("Any", import_module("pyspark")).__version__
    return Written(
        {"pyspark_version": version, "model_data": _FOLDER, "model_class": _class_of(model)},
        loader="mlflow.spark",
        python_function={"data": _FOLDER},
    )


def load(folder: Path, config: Mapping[str, Any]) -> Loaded:
    """Load a model into the active session, or a local one where there is none."""
    path = inside(folder, config.get("model_data"))
    session = _session()
    pipeline = cast("Any", class_at(_PIPELINE, package="pyspark")).load(path.as_uri())
    alone = len(pipeline.stages) == 1 and _class_of(pipeline.stages[0]) == config.get("model_class")
    return Loaded(pipeline.stages[0] if alone else pipeline, lambda data, params: _predict(session, pipeline, data))


def executes(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Classes of others than Spark."""
    path = inside(folder, config.get("model_data"))
    name = path.relative_to(folder.resolve()).as_posix()
    return tuple(f"the class {kind} in {name}" for kind in sorted(set(_classes_in(path))) if not kind.startswith(_OWN))


def packages(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The library, and what tables go through on their way to Java."""
    return ("pyspark", "pandas", "pyarrow", "numpy")


def _class_of(model: Any) -> str:
    return name_of_class(cast("type[Any]", type(model)))


def _session() -> Any:
    sessions: Any = import_module("pyspark.sql").SparkSession
    if active := sessions.getActiveSession():
        return active
    if not (os.environ.get("JAVA_HOME") or shutil.which("java")):
        raise ValueError("Spark needs Java; install a Java runtime, 17 or newer")
    builder = sessions.builder.master("local[1]").appName("model").config("spark.ui.enabled", "false")
    return builder.config("spark.driver.bindAddress", "127.0.0.1").getOrCreate()


def _classes_in(path: Path) -> Iterator[str]:
    for file in path.rglob("metadata/part-*"):
        for line in file.read_text().splitlines():
            try:
                yield str(json.loads(line)["class"])
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"its file {file.name!r} is no metadata of Spark ({error})") from error


def _predict(session: Any, pipeline: Any, data: Any) -> Any:
    answers = pipeline.transform(_frame(session, pipeline, data))
    last = pipeline.stages[-1]
    named = (last.getOrDefault(name) for name in ("predictionCol", "outputCol") if last.hasParam(name))
    values = [row[0] for row in answers.select(next(named, "prediction")).collect()]
    return np.asarray([value.toArray() if hasattr(value, "toArray") else value for value in values])


def _frame(session: Any, pipeline: Any, data: Any) -> Any:
    """Give a table in Spark, whose models take their features as vectors in one column."""
    dense = import_module("pyspark.ml.linalg").Vectors.dense
    stages = [stage for stage in pipeline.stages if stage.hasParam("featuresCol")]
    features = stages[0].getOrDefault("featuresCol") if stages else None
    if not hasattr(data, "columns"):
        if features is None:
            raise ValueError("the model takes a table; give a DataFrame")
        return session.createDataFrame([(dense(row),) for row in np.asarray(data, dtype="float64")], [features])
    if features not in data.columns or not isinstance(data[features].iloc[0], (list, tuple, np.ndarray)):
        return session.createDataFrame(data)
    columns = {name: data[name].tolist() for name in data.columns}
    columns[features] = [dense(row) for row in columns[features]]
    return session.createDataFrame(list(zip(*columns.values(), strict=True)), list(columns))
