"""Searching runs: filters by example, orders, pages, counts, columns, and results as tables."""

from __future__ import annotations

import json
import math

import pytest

from prefect_ml import get_run, log_metrics, log_params, search_runs, set_tag, start_run
from prefect_ml.errors import ExperimentNotFound, FilterError
from prefect_ml.store import Store, as_json, count_runs

both_databases = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def three(store: Store) -> dict[str, str]:
    ids: dict[str, str] = {}
    for name, alpha, rmse in (("a", 0.1, 0.9), ("b", 0.5, 0.7), ("c", "high", math.nan)):
        with start_run(experiment="wine", name=name) as run:
            log_params({"alpha": alpha, "odd name": "x y", "tick`s": 1})
            log_metrics({"rmse": rmse, "x.min": 5})
            set_tag("team", "red" if name == "a" else "blue")
        ids[name] = run.id
    return ids


FILTERS = {
    "": "abc",
    "metrics.rmse < 0.8": "b",
    "metrics.rmse != 0.7": "a",
    "not metrics.rmse < 0.8": "ac",
    "params.alpha >= 0.1": "ab",
    "params.alpha < inf and params.alpha > -Infinity": "ab",
    "params.alpha = 'high'": "c",
    "params.alpha in (0.5, 'high')": "bc",
    "params.alpha not in (0.5, 'high')": "a",
    "tags.team in ('red', 'green') or metrics.rmse = 0.7": "ab",
    "tags.team not in ('red')": "bc",
    "tags.team not like 'r%'": "bc",
    "metrics.rmse between 0.6 and 0.8 and not (name = 'a' or name = 'c')": "b",
    "metrics.rmse not between 0.6 and 0.8": "a",
    "params.\"odd name\" like 'x%'": "abc",
    "params.`odd name` ilike 'X%' and metrics.other is null": "abc",
    "params.`odd name` like 'X%'": "",
    "params.`tick``s` = 1": "abc",
    "metrics.`x.min` = 5 and metrics.`x.min`.max = 5 and metrics.x.min is null": "abc",
    "metrics.rmse.count = 1 and metrics.rmse.last < 0.8": "b",
    "metrics.rmse is not null": "abc",
    "experiment = 'wine' and status = 'Completed' and attempt = 1": "abc",
    "attempt > 3000000000 or attempt = 1.5": "",
    "started_at > '2020-01-01T00:00:00Z'": "abc",
    "parent_id = 'x'": "",
    "not parent_id = 'x'": "abc",
    "superseded = false": "abc",
    "source.commit is null or source.commit is not null": "abc",
    "note is null": "abc",
    "datasets.name = 'x' or datasets.digest is not null": "",
    "name = 'it''s' or name = '\"; DROP TABLE runs; --'": "",
}


@both_databases
def test_filters(three: dict[str, str]) -> None:
    for text, names in FILTERS.items():
        assert {run.name for run in search_runs(text)} == set(names), text
        assert count_runs(text) == len(names), text


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("metrics.rmse >", 15, "ends too early"),
        ("colour = 'red'", 1, "no field 'colour'"),
        ("name = 'a' and (colour = 'red')", 17, "no field 'colour'"),
        ("name = 'a' )", 12, "unexpected"),
        ("name == 'a'", 7, "unexpected"),
        ("metrics.rmse = 'x'", 16, "is a number"),
        ("metrics.rmse like 'x'", 19, "is a number"),
        ("params.alpha.min = 1 and params.`alpha`.min = 1", 26, "Only metrics"),
        ("started_at > 'soon'", 14, "not a time"),
        ("attempt = 'x'", 11, "drop the quotes"),
        ("attempt like 'x'", 14, "drop the quotes"),
        ("name\n=\n5 or colour = 1", 13, "no field 'colour'"),
        ("name like 'a\\'", 11, "single backslash"),
        ("name = 'a\0'", 10, "no text in the store"),
        ("name = 'a\ud800'", 10, "no text in the store"),
        ("source.colour = 'x'", 1, "no field"),
        ("datasets.colour = 'x'", 1, "no field"),
        ("superseded = 'x'", 14, "true or false"),
        ("params.alpha between 1 and 'x'", 22, "two numbers or two texts"),
        ("name = 'a' and metric.loss < 1", 16, "did you mean metrics.loss"),
        ("Param.alpha = 1", 1, "did you mean params.alpha"),
        ("wine.alpha = 1", 1, "names stand behind params, metrics"),
        ("params. = 1", 1, "needs a name"),
        ("loss < 1", 1, "a metric is metrics.loss"),
        ("statu = 'Failed'", 1, "did you mean status"),
        ("params.kind = adam", 15, "stands in quotes: 'adam'"),
        ("params.kind in ('b', it's)", 22, "stands in quotes: 'it''s'"),
        ("params.kind like adam%", 18, "stands in quotes: 'adam%'"),
        ("params.kind = null", 15, "is null"),
        ("status = 'finished'", 10, "Running, Completed, Failed, Crashed, Cancelled"),
        ("status in ('Failed', \"complete\")", 22, "did you mean Completed"),
        ("name = 'a", 8, "is not closed"),
        ("params.`a = 1", 8, "is not closed"),
        ("name = 'a and user = 'b'", 8, "opens here closes before 'b'"),
        ("name = 'it's'", 8, "double one"),
        ("source.comit = 'x'", 1, "did you mean source.commit"),
        ("source.colour = 'x'", 1, "The fields are source.project, .*source.commit, source.branch"),
        ("datasets.colour = 'x'", 1, "datasets.name, datasets.digest, datasets.role"),
        ("name = 'a' && name = 'b'", 12, "write and instead of &&"),
    ],
)
def test_a_wrong_filter_points_at_the_place(store: Store, text: str, column: int, words: str) -> None:
    with pytest.raises(FilterError, match=words) as failure:
        search_runs(text)
    assert failure.value.column == column


@both_databases
def test_what_has_no_value_sorts_last_either_way(three: dict[str, str]) -> None:
    assert [run.name for run in search_runs(order_by=["metrics.rmse"])] == ["b", "a", "c"]
    assert [run.name for run in search_runs(order_by=["metrics.rmse desc"])] == ["a", "b", "c"]
    assert [run.name for run in search_runs(order_by=["params.alpha"])] == ["a", "b", "c"]
    assert [run.name for run in search_runs(order_by=["params.alpha desc"])] == ["b", "a", "c"]
    assert [run.name for run in search_runs(order_by=["tags.team", "name desc"])] == ["c", "b", "a"]
    with pytest.raises(FilterError, match="Cannot order by"):
        search_runs(order_by=["colour"])
    with pytest.raises(FilterError, match="cannot be sorted by"):
        search_runs(order_by=["datasets.name"])
    with pytest.raises(FilterError, match="unexpected"):
        search_runs(order_by=["name down"])


@both_databases
def test_results_show_as_tables(three: dict[str, str]) -> None:
    found = search_runs("metrics.rmse > 0", order_by=["name"])
    assert found.to_pandas()["metrics.rmse"].tolist() == [0.9, 0.7]
    assert "<td>red</td>" in found._repr_html_()
    record = json.loads(json.dumps(as_json(get_run(three["c"])), allow_nan=False))
    assert record["metrics"] == {"rmse": "NaN", "x.min": 5}


@both_databases
def test_only_the_columns_asked_for_are_read(three: dict[str, str]) -> None:
    columns = ["name", "params.`odd name`", "metrics.rmse.max", "metrics.rmse", "started_at", "source.entry_point"]
    found = search_runs(order_by=["name"], columns=columns)
    assert (found[0].params, found[0].tags) == ({"odd name": "x y"}, {})
    assert found[0].metrics == {"rmse.max": 0.9, "rmse": 0.9}
    table = found.to_arrow()
    assert table.column_names == columns
    assert table["metrics.rmse"].to_pylist()[:2] == [0.9, 0.7]
    assert math.isnan(table["metrics.rmse"][2].as_py())
    assert str(found.to_pandas()["started_at"].dtype) == "datetime64[ms, UTC]"
    with pytest.raises(FilterError, match="no column 'colour'"):
        search_runs(columns=["colour"])


def names_by_page(limit: int, *arguments: str, **options: object) -> list[str]:
    found: list[str] = []
    page = search_runs(*arguments, limit=limit, **options)  # type: ignore[arg-type]
    found += [run.name for run in page]
    while page.next_page_token:
        page = search_runs(*arguments, limit=limit, page_token=page.next_page_token, **options)  # type: ignore[arg-type]
        assert page
        found += [run.name for run in page]
    return found


@both_databases
def test_pages_give_each_run_once_in_every_order(three: dict[str, str]) -> None:
    for i in range(8):
        with start_run(name=f"r{i}"):
            log_metrics({"rmse": math.nan if i == 3 else -math.inf if i == 4 else i // 2})
            log_params({"alpha": i if i % 2 else f"text {i // 4}"} if i else {})
    orders = (
        [], ["metrics.rmse"], ["metrics.rmse desc"], ["params.alpha"], ["params.alpha desc", "metrics.rmse"],
        ["tags.team", "params.alpha", "metrics.rmse desc"], ["name"], ["name desc"], ["ended_at"],
        ["parent_id", "name"],
        ["metrics.nothing", "params.alpha desc"], ["experiment desc", "user", "metrics.rmse"], ["status", "attempt"],
    )  # fmt: skip
    for order in orders:
        whole = [run.name for run in search_runs(order_by=order)]
        assert len(whole) == 11
        for limit in (1, 2, 3, 11):
            assert names_by_page(limit, order_by=order) == whole, (order, limit)


@both_databases
def test_a_page_does_not_shift_when_runs_are_added(three: dict[str, str]) -> None:
    first = search_runs(order_by=["metrics.rmse desc"], limit=1)
    with start_run(name="new"):
        log_metrics({"rmse": 5})
    token = first.next_page_token
    assert [run.name for run in search_runs(order_by=["metrics.rmse desc"], page_token=token)] == ["b", "c"]
    with pytest.raises(FilterError, match="another search"):
        search_runs("name = 'a'", order_by=["metrics.rmse desc"], page_token=token)
    with pytest.raises(FilterError, match="another search"):
        search_runs(order_by=["metrics.rmse"], page_token=token)
    for wrong in ("nonsense", "bnVsbA==", "e30="):
        with pytest.raises(FilterError, match="page token"):
            search_runs(page_token=wrong)


@both_databases
def test_experiments_are_named_or_refused(three: dict[str, str]) -> None:
    with start_run(experiment="other", name="d"):
        pass
    assert names_by_page(1, experiments=["wine", "other"], order_by=["name"]) == ["a", "b", "c", "d"]
    assert [run.name for run in search_runs(experiments=["other"])] == ["d"]
    assert search_runs(experiments=[]) == []
    with pytest.raises(ExperimentNotFound, match="nowhere"):
        search_runs(experiments=["wine", "nowhere"])
    with pytest.raises(FilterError, match="list of names"):
        search_runs(experiments="wine")


@both_databases
def test_every_statistic_can_be_a_column(store: Store) -> None:
    with start_run():
        for value in (3.0, 1.0, 2.0):
            log_metrics({"loss": value})
    columns = [f"metrics.loss.{statistic}" for statistic in ("count", "last", "min", "max")]
    (found,) = search_runs(columns=columns)
    assert found.metrics == {"loss.count": 3, "loss.last": 2.0, "loss.min": 1.0, "loss.max": 3.0}


@pytest.mark.parametrize("text", [None, 5, b"name = 'a'"])
def test_a_filter_that_is_no_text_is_refused(store: Store, text: object) -> None:
    with pytest.raises(FilterError, match="is a text"):
        search_runs(text)
