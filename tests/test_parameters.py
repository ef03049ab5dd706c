"""Values of entry points: all checked before the start, and handed over by a real shell exactly as they are."""

from __future__ import annotations

import ast
import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_ml import run_project
from prefect_ml.errors import ProjectError
from prefect_ml.flows.projects.descriptor import read_project
from prefect_ml.flows.projects.model import EntryPoint, Parameter
from prefect_ml.flows.projects.parameters import check_params, command_of
from prefect_ml.flows.projects.shell import fill
from prefect_ml.flows.projects.template import BadCommand, pieces_of

SAMPLES = Path(__file__).resolve().parent / "projects"
HOSTILE = [
    "plain",
    "",
    " ",
    "two words",
    "it's",
    'say "hi"',
    "$(touch pwned)",
    "`touch pwned`",
    "; touch pwned #",
    "' ; touch pwned ; '",
    '" ; touch pwned ; "',
    "\\",
    "\\\\'\\\"",
    "a\nb\n",
    "\n; touch pwned\n",
    "$HOME ${HOME} $'x'",
    "*.py ? [a-z] ~",
    "{a,b} {x} {{y}}",
    "a,b",
    "A=b",
    "-rf",
    "--",
    "!event",
    "&& touch pwned",
    "|& > pwned",
    "数据 ü 🎲",
    "\t\r\x0b",
    "%s %d",
    "#no comment",
    "x" * 5000,
]


def shell(command: str, cwd: Path) -> list[str]:
    """Run a command in bash, with a program `argv` that gives the words that it gets."""
    program = cwd / "argv"
    if not program.exists():
        program.write_text(f"#!{sys.executable} -IS\nimport sys\nprint(ascii(sys.argv[1:]))\n")
        program.chmod(0o755)
    environ = {"PATH": f"{cwd}:{os.defpath}", "HOME": "/home/of/nobody", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(["bash", "-c", command], cwd=cwd, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (cwd / "pwned").exists()
    return ast.literal_eval(done.stdout)


def formed(command: str, values: Mapping[str, str]) -> str:
    point = EntryPoint("main", command=command, parameters={name: Parameter(name) for name in values})
    return command_of(point, check_params(point, values))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("argv {x}", ["{x}"]),
        ("argv {x} {y}{x} {x}", ["{x}", "{y}{x}", "{x}"]),
        ("argv --a={x} --b {y}", ["--a={x}", "--b", "{y}"]),
        ('argv "{x}" "a {x} b {y}"', ["{x}", "a {x} b {y}"]),
        ("argv '{x}' 'a {x} b {y}'", ["{x}", "a {x} b {y}"]),
        ("argv it\\'s{x} \\\"{y} \\\\ {x}", ["it's{x}", '"{y}', "\\", "{x}"]),
        ('argv "it\'s {x}" \'say "{y}"\' "\\"{x}\\""', ["it's {x}", 'say "{y}"', '"{x}"']),
        ("argv \\\n  {x} \\\n  {y} \\\n", ["{x}", "{y}"]),
        ("argv {x} # it's {y}", ["{x}"]),
        ("# don't {x}\nargv {y}", ["{y}"]),
        ("true {x} # {y}\n argv {x}", ["{x}"]),
        ("argv a#{x} {y}", ["a#{x}", "{y}"]),
        ('argv "$(argv {x} | cat)"', ['["{x}"]']),
        ('argv "$(argv "{x}" \'{y}\')" {x}', ['["{x}", "{y}"]', "{x}"]),
        ("(cd . && argv {x}) | cat", ["{x}"]),
        ('v={x}; w="{y}" ; argv "$v" "$w"', ["{x}", "{y}"]),
        ('for i in {x} {y}; do :; done; argv "$i"', ["{y}"]),
        ("case {x} in a) argv;; *) argv '{y}';; esac", ["{y}"]),
        ("{{ argv {x}; }}", ["{x}"]),
        ("f() {{ argv \"$@\"; }}; f {x} '{y}'", ["{x}", "{y}"]),
        ("cat <<< {x} > /dev/null; argv {y}", ["{y}"]),
        ('bash -c \'argv "$@"\' _ {x} "{y}"', ["{x}", "{y}"]),
        ("test -n a{x} && [ -n b{y} ] && argv {x}", ["{x}"]),
        ("argv $\"{x}\" $'a\\'b' {y}", ["{x}", "a'b", "{y}"]),
        ('argv "${{HOME}}" ${HOME} "${NONE:-its}" {x}', ["/home/of/nobody", "/home/of/nobody", "its", "{x}"]),
        ("argv $(( 1 << 2 )) {x}", ["4", "{x}"]),
        ('argv ${x} "${y}"', ["{x}", "{y}"]),
        ("argv {{z}} '{{' \"}}\" {{{x}}}", ["{z}", "{", "}", "{{x}}"]),
        ("argv $(echo 1 2 | awk '{print $2}') {x}", ["2", "{x}"]),
        ("argv $(echo 1 2 | awk '{ if ($1) { print $2 }}') {x}", ["2", "{x}"]),
        ("argv $(echo 1 2 | awk '{{print $2}}') {x}", ["2", "{x}"]),
        ("argv {1..3} {a,b} {} {x}", ["1", "2", "3", "a", "b", "{}", "{x}"]),
        ('argv \'{"a": {"b": 1}}\' {x}', ['{"a": {"b": 1}}', "{x}"]),
    ],
)
@pytest.mark.parametrize("pair", [HOSTILE[i : i + 6] for i in range(0, len(HOSTILE), 6)], ids=range(5))
def test_a_program_gets_exactly_the_values(tmp_path: Path, command: str, words: list[str], pair: list[str]) -> None:
    """Each round runs several values at once, one shell for each pair."""
    for x, y in zip(pair[::2], pair[1::2], strict=True):
        # A command substitution takes line breaks from the end of what a program prints, not from what it is given.
        wanted = [_expected(word, x, y) for word in words]
        assert shell(formed(command, {"x": x, "y": y}), tmp_path) == wanted


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("argv {x}>out; cat out", ["{x}"]),
        ("argv {x} 2>out", ["{x}"]),
        ("argv a\\ #'{x}'", ["a #{x}"]),
        ("argv a\\\n#'{x}'", ["a#{x}"]),
        ("argv \\\n#'{x}'", []),
        ("argv \\\n  # don't\nargv={x}; true '{x}'", []),
        ("(true);# it's\nargv {x}", ["{x}"]),
    ],
)
@pytest.mark.parametrize("x", ["7", "a b", "'; touch pwned; '"])
def test_the_shell_is_read_as_bash_reads_it(tmp_path: Path, command: str, words: list[str], x: str) -> None:
    assert shell(formed(command, {"x": x}), tmp_path) == [word.replace("{x}", x) for word in words]


def _expected(word: str, x: str, y: str) -> str:
    if word.startswith("["):  # what the inner program prints
        return ascii([part.replace("{x}", x).replace("{y}", y) for part in json.loads(word)])
    parts = word.split("{x}")
    return x.join(part.replace("{y}", y) for part in parts)


@settings(max_examples=60, deadline=None)
@given(x=st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=12))
def test_any_text_arrives(tmp_path_factory: pytest.TempPathFactory, x: str) -> None:
    command = "argv {x} \"{x}\" '{x}' a{x}b # {x}\n"
    folder = tmp_path_factory.getbasetemp()
    assert shell(formed(command, {"x": x}), folder) == [x, x, x, f"a{x}b"]


@pytest.mark.parametrize(
    ("command", "where"),
    [
        ("argv $(( {x} + 1 ))", "arithmetic"),
        ("argv $(( (1) + {x} ))", "arithmetic"),
        ("(( {x} > 1 )); argv", "arithmetic"),
        ("argv $[{x}]", "arithmetic"),
        ("if [[ {x} -gt 1 ]]; then argv; fi", "[[ ]]"),
        ("argv `echo {x}`", "backticks"),
        ("argv \"`echo '{x}'`\"", "backticks"),
        ("argv ${V:-{x}}", "${ }"),
        ('argv "${V:-{x}}"', "${ }"),
        ("argv $'{x}'", "$' '"),
        ("a=(1 {x}); argv", "an array"),
        ('bash -c "argv {x}"', "second shell"),
        ("env A=b /bin/bash -e -o pipefail -c 'argv {x}'", "second shell"),
        ("true && eval argv {x}", "evaluates"),
        ("A=1 eval 'argv {x}'", "evaluates"),
        ("let y={x}; argv", "evaluates"),
    ],
)
def test_where_a_shell_would_evaluate_a_value_it_must_be_plain(tmp_path: Path, command: str, where: str) -> None:
    assert shell(formed(command, {"x": "7"}), tmp_path) in ([], ["7"], ["8"])
    for value in ("", *(value for value in HOSTILE if set(value) & set(" '\"$`\\\n*{!#"))):
        with pytest.raises(ProjectError, match="cannot run: x stands in") as caught:
            formed(command, {"x": value})
        assert where in str(caught.value)


@pytest.mark.parametrize(
    "command",
    [
        "python main.py eval --model {x}",
        "bash run.sh -c {x}",
        "python x.py --ssh {x} let {x}",
        "Rscript -e 'f()' {x}",
        "echo ]] )) {x}",
    ],
)
def test_words_that_only_look_like_a_second_shell_are_none(command: str) -> None:
    assert "'a b'" in formed(command, {"x": "a b"})


@pytest.mark.parametrize(
    "command",
    [
        "cat <<E\n{x}\nE",
        "argv \\{x}",
        'argv "\\{x}"',
        "argv {y}",
        'argv "$(case a in a) argv {x};; esac)"',
        'argv "$( (case a in a) argv {x};; esac) )"',
        'argv "${V:-it\'s}" {x}',
        "argv $(echo a)#'{x}'",
        "argv \"$((echo a) | cat '{x}')\"",
        "argv $[a[1]+{x}]",
        "argv $(( ')' )) {x}",
    ],
)
def test_commands_in_which_no_value_can_stand_are_refused(command: str) -> None:
    with pytest.raises(BadCommand):
        fill(pieces_of(command, ["x"]), {"x": "a"})


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("argv {x}", ["1"]),
        ("argv {x}\n\n", ["1"]),
        ("argv {x} \\\n", ["1"]),
        ("argv {x} \\\n  \\\n", ["1"]),
        ("argv {x} \\", ["1"]),
        ("argv {x} \\\\", ["1", "\\"]),
        ("argv {x} \\ ", ["1", " "]),
        ("true && argv '{x}'", ["1"]),
    ],
)
def test_what_is_not_declared_is_appended(tmp_path: Path, command: str, words: list[str]) -> None:
    point = EntryPoint("main", command=command, parameters={"x": Parameter("x")})
    checked = check_params(point, {"lr": 0.5, "x": 1, "odd name;": "$(touch pwned)"})
    assert checked.extra == ("lr", "odd name;")
    assert checked.warnings == ()
    wanted = [*words, "--lr", "0.5", "--odd name;", "$(touch pwned)"]
    assert shell(command_of(point, checked), tmp_path) == wanted


@pytest.mark.parametrize("command", ["argv # all", "argv 'a", "cat <<E\na\nE"])
def test_nothing_is_appended_where_it_would_be_lost(command: str) -> None:
    with pytest.raises(ProjectError, match="nothing can be appended"):
        check_params(EntryPoint("main", command=command), {"x": "\ntouch pwned"})
    assert (
        command_of(EntryPoint("main", command=command), check_params(EntryPoint("main", command=command), {}))
        == command
    )


def test_a_name_that_looks_like_a_declared_one_is_appended_with_a_warning() -> None:
    point = EntryPoint("train", command="argv", parameters={"alpha": Parameter("alpha", default="1")})
    checked = check_params(point, {"alhpa": 2, "beta": 3})
    assert checked.raw == {"alpha": "1", "alhpa": "2", "beta": "3"}
    assert checked.warnings == (
        "The entry point 'train' declares no parameter 'alhpa' (did you mean 'alpha'?); it is appended as --alhpa.",
    )


def test_every_problem_is_named_in_one_message(tmp_path: Path) -> None:
    types = {"a": "float", "b": "int", "c": "path", "d": "uri", "e": "string", "f": "int", "g": "float"}
    point = EntryPoint("train", command="argv", parameters={n: Parameter(n, t) for n, t in types.items()})  # pyright: ignore[reportArgumentType]
    asked: list[str] = []
    with pytest.raises(ProjectError) as caught:
        check_params(
            point,
            {"a": "many", "b": 1.5, "c": "absent.csv", "d": "here.csv", "f": True, "h": "a\0b", "": 1, "i": b"x"},
            cwd=tmp_path,
            download=lambda uri: Path(asked.append(uri) or uri),
        )
    assert str(caught.value) == (
        "The entry point 'train' cannot run: e has no value; give it with -P e=VALUE; 'f' must be an int, not True;"
        " g has no value; give it with -P g=VALUE; 'h' cannot have a NUL character; no parameter can be called '';"
        " 'i' cannot be bytes; give text; a must be a float, not 'many'; b must be an int, not '1.5';"
        " c must be a path, but there is no 'absent.csv'; d must be a URI such as s3://bucket/key, not 'here.csv'."
    )
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("type_", "value", "raw"),
    [
        ("float", "0.10", "0.10"),
        ("float", 0.1, "0.1"),
        ("float", 3, "3"),
        ("float", "nan", "nan"),
        ("float", float("inf"), "inf"),
        ("float", "-1e-3", "-1e-3"),
        ("int", "007", "007"),
        ("int", 3.0, "3"),
        ("int", "1_000", "1_000"),
        ("int", -5, "-5"),
        ("string", True, "True"),
        ("string", Path("a/b"), "a/b"),
        ("string", [1, "zwei"], '[1, "zwei"]'),
        ("string", {"a": None}, '{"a": null}'),
        ("string", dt.date(2024, 1, 2), "2024-01-02"),
        ("string", "'50 20'", "'50 20'"),
        ("uri", "s3://bucket/a b", "s3://bucket/a b"),
        ("uri", "runs:/1/model", "runs:/1/model"),
    ],
)
def test_values_are_kept_as_they_were_given(type_: str, value: object, raw: str) -> None:
    point = EntryPoint("main", command="argv {x}", parameters={"x": Parameter("x", type_)})  # pyright: ignore[reportArgumentType]
    checked = check_params(point, {"x": value})
    assert checked.raw == checked.values == {"x": raw}


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("float", ""),
        ("float", "1,5"),
        ("float", True),
        ("int", "1.0"),
        ("int", "1e3"),
        ("int", "0o17"),
        ("int", float("nan")),
        ("int", "9" * 5000),
        ("uri", ""),
        ("uri", "bucket/key"),
        ("uri", "s3:"),
        ("uri", "s3://a\nb"),
        ("string", "\ud800"),
        ("path", ""),
        ("path", "x" * 5000),
        ("path", "~nobody-of-this-name/x"),
        ("path", "file:///no/such/file"),
    ],
)
def test_values_that_do_not_fit_are_refused(type_: str, value: object) -> None:
    point = EntryPoint("main", command="argv {x}", parameters={"x": Parameter("x", type_)})  # pyright: ignore[reportArgumentType]
    with pytest.raises(ProjectError, match=r"x'? (must|cannot|has)") as caught:
        check_params(point, {"x": value})
    assert len(str(caught.value)) < 250


def test_none_stands_for_a_value_that_is_not_given() -> None:
    point = EntryPoint("main", command="argv {x}", parameters={"x": Parameter("x", default="1")})
    assert check_params(point, {"x": None, "y": None}).raw == {"x": "1"}


def test_a_default_can_say_none_where_a_value_cannot() -> None:
    point = EntryPoint("main", command="argv {x}", parameters={"x": Parameter("x", "int", "None")})
    assert check_params(point, {}).raw == {"x": "None"}
    with pytest.raises(ProjectError, match="x must be an int, not 'None'"):
        check_params(point, {"x": "None"})
    wrong = EntryPoint("main", command="argv {x}", parameters={"x": Parameter("x", "int", "many")})
    with pytest.raises(ProjectError, match="x must be an int, not 'many'"):
        check_params(wrong, {})
    assert check_params(wrong, {"x": 1}).raw == {"x": "1"}


def test_paths_start_where_the_caller_is_and_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, folder = tmp_path / "here", tmp_path / "project"
    for place in (here, folder):
        place.mkdir()
        (place / "data.csv").touch()
    (folder / "own.csv").touch()
    monkeypatch.chdir(here)
    parameters = {"a": Parameter("a", "path"), "b": Parameter("b", "path", "own.csv"), "c": Parameter("c", "path", ".")}
    point = EntryPoint("main", command="argv {a} {b} {c}", parameters=parameters)
    checked = check_params(point, {"a": "../here/data.csv"}, folder=folder)
    assert checked.raw == {"a": "../here/data.csv", "b": "own.csv", "c": "."}
    assert checked.values == {"a": f"{here}/data.csv", "b": f"{folder}/own.csv", "c": str(folder)}
    assert checked.paths == (here / "data.csv", folder / "own.csv", folder)
    assert check_params(point, {"a": Path("data.csv"), "b": "data.csv"}, cwd=folder).values["b"] == f"{folder}/data.csv"
    with pytest.raises(ProjectError, match=r"a must be a path, but there is no 'own\.csv'; b must be a path"):
        check_params(point, {"a": "own.csv"})
    assert check_params(point, {"a": (here / "data.csv").as_uri(), "b": "."}).values["a"] == f"{here}/data.csv"


@pytest.mark.parametrize(
    "url", ["s3://bucket/key", "https://host/a.csv", "runs:/1/data", "simplecache::gs://bucket/a", "models:/digits/1"]
)
def test_paths_with_a_url_are_downloaded_when_everything_else_fits(tmp_path: Path, url: str) -> None:
    point = EntryPoint("main", command="argv {x}", parameters={"x": Parameter("x", "path"), "n": Parameter("n", "int")})
    asked: list[str] = []

    def download(uri: str) -> Path:
        asked.append(uri)
        return tmp_path / "it's here"

    with pytest.raises(ProjectError, match="n must be an int"):
        check_params(point, {"x": url, "n": "a"}, download=download)
    assert asked == []
    checked = check_params(point, {"x": url, "n": 1}, download=download)
    assert asked == [url]
    assert checked.raw["x"] == url
    assert checked.paths == (tmp_path / "it's here",)
    assert shell(command_of(point, checked), tmp_path) == [f"{tmp_path}/it's here"]
    assert check_params(point, {"x": url, "n": 1}).values["x"] == url


def test_every_download_that_fails_is_named_with_its_parameter(home: Path, tmp_path: Path) -> None:
    (tmp_path / "MLproject").write_text(
        "entry_points:\n  main: {parameters: {x: path, y: path, z: path}, command: 'echo {x} {y} {z}'}\n"
    )
    (tmp_path / "here").touch()
    urls = {"x": "http://127.0.0.1:9/a.csv", "y": "runs:/none/data", "z": str(tmp_path / "here")}
    with pytest.raises(ProjectError) as caught:
        run_project(tmp_path, params=urls, environment="system", report=lambda _: None)
    said = str(caught.value)
    assert said.startswith("The entry point 'main' cannot run: x must be a path, but what its URL leads to cannot be")
    assert "http://127.0.0.1:9/a.csv" in said
    assert "; y must be a path, but" in said
    assert "z must" not in said


def test_a_flow_has_no_command() -> None:
    point = EntryPoint("main", flow="a.py:main")
    with pytest.raises(ProjectError, match="is a flow"):
        command_of(point, check_params(point, {}))


def test_the_samples_run(tmp_path: Path) -> None:
    quirks = read_project(SAMPLES / "quirks")
    ran: dict[str, list[str]] = {}
    data = tmp_path / "it's data.csv"
    data.touch()
    given_params = {
        "main": {"source": "s3://b/k"},
        "short": {"data_file": data, "lr": 1, "word": "", "any": "ü"},
        "shell": {"n": 3},
    }
    for name, params in given_params.items():
        point = quirks.find(name)
        command = command_of(point, check_params(point, params))
        environ = {"PATH": f"{Path(sys.executable).parent}:{os.defpath}", "HOME": "/h"}
        done = subprocess.run(
            ["bash", "-c", command], cwd=quirks.folder, env=environ, capture_output=True, text=True, check=True
        )
        ran[name] = done.stdout.splitlines()
    assert json.loads(ran["main"][0]) == [
        *("--alpha", "1.0", "--rate", "0.10", "--hidden-units", "50 20", "--steps=1_000", "--source", "s3://b/k", "yes")
    ]
    assert json.loads(ran["short"][0]) == [str(data), "1", "", "ü"]
    assert ran["shell"][:2] == ["2", "4"]
    assert json.loads(ran["shell"][2]) == ["3", "a", "b", "/h", "{}"]
