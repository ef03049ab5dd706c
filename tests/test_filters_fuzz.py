"""The filter language against a model of it in Python, on both databases, and against texts that nobody expected."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from prefect_ml import log_metrics, log_params, set_tags, start_run
from prefect_ml.errors import FilterError
from prefect_ml.settings import load_settings
from prefect_ml.store import Store, count_runs, open_store, search_runs
from prefect_ml.store.writers import flush_pending

LONG = "x" * 63
TEXTS = (
    "a",
    "A",
    "b%",
    "b_",
    "é",
    "É",
    "\U0001f600",
    "\uffff",
    "",
    "0.5",
    "x y",
    "it's",
    LONG,
    LONG + "y",
    LONG + "yz",
    LONG + "Z",
)
NUMBERS = (0.0, -1.5, 0.1, 3.0, 1e300, math.inf, -math.inf)
RUNS = (
    {"params": {"p": "0.1", "q": "a"}, "metrics": {"m": 0.1, "m.min": 3.0}, "tags": {"t": "A"}},
    {"params": {"p": "3", "q": "É"}, "metrics": {"m": math.nan}, "tags": {"t": LONG + "y"}},
    {"params": {"p": "nan"}, "metrics": {"m": math.inf}, "tags": {"t": "b%", "o d`d": "\U0001f600"}},
    {"params": {"p": LONG + "yz", "q": "-1.5"}, "metrics": {"m": -math.inf, "n": 0.0}, "tags": {"t": "\uffff"}},
    {"params": {"q": "1e300"}, "metrics": {}, "tags": {}},
    {"params": {"p": "b_", "q": "inf"}, "metrics": {"m": 3.0, "n": math.nan}, "tags": {"t": ""}},
)  # fmt: skip
FIELDS = ("params.p", "params.q", "params.none", "metrics.m", "metrics.`m.min`", "metrics.n", "metrics.none",
          "tags.t", "tags.`o d``d`", "tags.none", "name", "parent_id")  # fmt: skip
Run = dict[str, dict[str, object]]


@dataclass(frozen=True)
class Model:
    """A filter as text, and what it means."""

    text: str
    holds: Callable[[Run, str], bool]


def value_of(run: Run, name: str, field: str) -> object:
    if field == "name":
        return name
    group, _, key = field.partition(".")
    return run.get(group, {}).get(key.replace("``", "\0").replace("`", "").replace("\0", "`"))


def number_of(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return None if math.isnan(number) else number


def as_kind(value: object, field: str, literal: object) -> object:
    """Give the value as it is compared with a literal; None where it is not."""
    if value is None:
        return None
    if field.startswith("metrics") or (field.startswith("params") and isinstance(literal, float)):
        return number_of(value)
    return value


def quoted(literal: object) -> str:
    if isinstance(literal, float):
        return repr(literal)
    return "'" + str(literal).replace("'", "''") + "'"


def literals_for(field: str) -> st.SearchStrategy[object]:
    numbers, texts = st.sampled_from(NUMBERS), st.sampled_from(TEXTS)
    if field.startswith("metrics"):
        return numbers
    return st.one_of(numbers, texts) if field.startswith("params") else texts


OPERATORS: dict[str, Callable[[object, object], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,  # type: ignore[operator]
    "<=": lambda a, b: a <= b,  # type: ignore[operator]
    ">": lambda a, b: a > b,  # type: ignore[operator]
    ">=": lambda a, b: a >= b,  # type: ignore[operator]
}


@st.composite
def comparisons(draw: st.DrawFn) -> Model:
    field, operator = draw(st.sampled_from(FIELDS)), draw(st.sampled_from(sorted(OPERATORS)))
    literal = draw(literals_for(field))
    compare = OPERATORS[operator]

    def holds(run: Run, name: str) -> bool:
        value = as_kind(value_of(run, name, field), field, literal)
        return value is not None and compare(value, literal)

    return Model(f"{field} {operator} {quoted(literal)}", holds)


@st.composite
def memberships(draw: st.DrawFn) -> Model:
    field, negated = draw(st.sampled_from(FIELDS)), draw(st.booleans())
    literals = draw(st.lists(literals_for(field), min_size=1, max_size=3))
    kinds = {isinstance(literal, float) for literal in literals}

    def holds(run: Run, name: str) -> bool:
        value = value_of(run, name, field)
        if value is None or (len(kinds) == 1 and as_kind(value, field, literals[0]) is None):
            return False
        return any(as_kind(value, field, literal) == literal for literal in literals) is not negated

    return Model(f"{field} {'not ' * negated}in ({', '.join(map(quoted, literals))})", holds)


@st.composite
def patterns(draw: st.DrawFn) -> Model:
    field = draw(st.sampled_from([field for field in FIELDS if not field.startswith("metrics")]))
    pattern = draw(
        st.sampled_from(("%", "a%", "_", "b\\%", "%y%", LONG + "%", LONG + "y_", "É", "\uffff%", "", "0.%", "x_y"))
    )
    operator = draw(st.sampled_from(("like", "ilike")))
    flags = re.DOTALL | (re.IGNORECASE | re.ASCII if operator == "ilike" else 0)
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    expression = "".join(".*" if p == "%" else "." if p == "_" else re.escape(p[-1]) for p in parts)

    def holds(run: Run, name: str) -> bool:
        value = value_of(run, name, field)
        return value is not None and re.fullmatch(expression, fold(str(value))) is not None

    def fold(text: str) -> str:
        return re.sub("[A-Z]", lambda m: m[0].lower(), text) if operator == "ilike" else text

    expression = fold(expression) if flags & re.IGNORECASE else expression
    return Model(f"{field} {operator} {quoted(pattern)}", holds)


@st.composite
def absences(draw: st.DrawFn) -> Model:
    field, negated = draw(st.sampled_from(FIELDS)), draw(st.booleans())
    return Model(
        f"{field} is {'not ' * negated}null", lambda run, name: (value_of(run, name, field) is not None) is negated
    )


@st.composite
def joined(draw: st.DrawFn, inner: st.SearchStrategy[Model]) -> Model:
    operator = draw(st.sampled_from(("and", "or", "not")))
    first = draw(inner)
    if operator == "not":
        return Model(f"not ({first.text})", lambda run, name: not first.holds(run, name))
    second = draw(inner)
    both = all if operator == "and" else any
    return Model(
        f"({first.text}) {operator} ({second.text})",
        lambda run, name: both((first.holds(run, name), second.holds(run, name))),
    )


models = st.recursive(st.one_of(comparisons(), memberships(), patterns(), absences()), joined, max_leaves=6)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory, postgresql: Callable[[], str]) -> Iterator[list[Store]]:
    found: list[Store] = []
    with pytest.MonkeyPatch.context() as patch:
        for url in (None, postgresql()):
            home: Path = tmp_path_factory.mktemp("home")
            patch.setenv("PREFECT_ML_HOME", str(home))
            if url:
                patch.setenv("PREFECT_ML_STORE_URL", url)
            store = open_store(load_settings(home=str(home), store_url=url))
            for i, run in enumerate(RUNS):
                with start_run(name=TEXTS[i]):
                    log_params(run["params"])
                    log_metrics(run["metrics"])
                    set_tags(run["tags"])
            flush_pending(store)
            found.append(store)
        yield found
    for store in found:
        store.engine.dispose()


quick = settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(model=models)
def test_both_databases_agree_with_the_model(stores: list[Store], model: Model) -> None:
    expected = sorted(TEXTS[i] for i, run in enumerate(RUNS) if model.holds(run, TEXTS[i]))
    for store in stores:
        assert sorted(run.name for run in search_runs(model.text, store=store)) == expected, model.text


@quick
@given(
    model=st.one_of(st.just(Model("", lambda *_: True)), comparisons()),
    order=st.lists(st.tuples(st.sampled_from(FIELDS), st.booleans()), min_size=1, max_size=3),
    limit=st.integers(1, 4),
)
def test_both_databases_sort_alike_page_by_page(
    stores: list[Store], model: Model, order: list[tuple[str, bool]], limit: int
) -> None:
    def rank(i: int) -> list[object]:
        keys: list[object] = []
        for field, descending in order:
            value = value_of(RUNS[i], TEXTS[i], field)
            number = number_of(value) if not field.startswith(("tags", "name")) else None
            if number is not None:
                keys += [0, -number if descending else number]
            elif value is None or field.startswith("metrics"):
                keys += [2, 0]
            else:
                codes = [ord(char) for char in str(value)[:64]]
                keys += [1, [-code for code in codes] + [1] if descending else codes]
        return [*keys, -i if order[0][1] else i]

    chosen = [i for i, run in enumerate(RUNS) if model.holds(run, TEXTS[i])]
    expected = [TEXTS[i] for i in sorted(chosen, key=rank)]
    terms = [f"{field}{' desc' * descending}" for field, descending in order]
    for store in stores:
        found: list[str] = []
        token = None
        while token or not found:
            page = search_runs(model.text, order_by=terms, limit=limit, page_token=token, store=store)
            found += [run.name for run in page]
            token = page.next_page_token
            if not page:
                break
        assert found == expected, (model.text, terms)


WORDS = st.sampled_from(
    ["params.p", "metrics.m", "tags.t", "metrics.m.min", "datasets.name", "status", "started_at", "attempt", "and",
     "or", "not", "(", ")", "=", "!=", "<", ">=", "in", "between", "like", "ilike", "is", "null", "0.1", "1e999", "-5",
     "'a'", '"b"', "'2026-01-01'", "'0001-01-01'", "true", ",", "`", "'", ";", "--", "note", "superseded", "inf", "'%'",
     "'\\'", "'; DROP TABLE runs; --'", "99999999999999999999"]
)  # fmt: skip


@quick
@given(text=st.one_of(st.text(max_size=30), st.lists(WORDS, max_size=14).map(" ".join)))
@example(text="not " * 5000 + "name = 'a'")
@example(text="(" * 5000 + "name = 'a'" + ")" * 5000)
@example(text="(name = 'a' and not " * 300 + "name = 'b'" + ")" * 300)
@example(text=" or ".join(["params.p = 1"] * 3000))
@example(text=" and ".join(["params.p = 1 and tags.t like 'a%' and metrics.m < 2 and name = 'x'"] * 50))
@example(text="(tags.t like 'a%' and not (metrics.m > 2 or " * 6 + "params.p in (1, 'c')" + "))" * 6)
@example(text="not " * 18 + "params.p in (1, 'c')")
@example(text=f"params.p in ({', '.join(['1'] * 10_000)})")
@example(text=f"name in ({', '.join(['1'] * 10_001)})")
@example(text=f"name like '{'%a' * 4000}'")
@example(text="started_at > '9999-12-31T23:59:59+00:00' and attempt = 1e30 and started_at < 1.5 and ended_at > inf")
@example(text="name = '\ud800'")
def test_any_text_is_refused_or_runs_on_both_databases(stores: list[Store], text: str) -> None:
    answers: list[object] = []
    for store in stores:
        try:
            answers.append((count_runs(text, store=store), len(search_runs(text, store=store))))
        except FilterError as error:
            answers.append(str(error))
    assert answers[0] == answers[1]
