"""Projects as they are written: what a folder offers, or in which file, line and column it is wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prefect_ml.errors import ProjectError
from prefect_ml.flows.projects.descriptor import read_project
from prefect_ml.flows.projects.model import DeclaredEnvironment, EntryPoint, Parameter, Project

SAMPLES = Path(__file__).resolve().parent / "projects"


def described(folder: Path, content: str | bytes, name: str = "MLproject") -> Project:
    """Read a project that is nothing but a descriptor."""
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return read_project(folder)


def main(command: str, *parameters: str) -> str:
    """Write a descriptor with one entry point."""
    listed = "".join(f"      {parameter}\n" for parameter in parameters)
    return f"entry_points:\n  main:\n    parameters:\n{listed}    command: {command}\n"


def test_the_shapes_that_people_write_are_understood() -> None:
    project = read_project(SAMPLES / "quirks")
    assert project.name == "quirks"
    assert project.descriptor == SAMPLES / "quirks" / "MLproject"
    assert project.environment is None
    assert list(project.entry_points) == ["main", "as_written", "short", "shell", "été"]
    assert list(project.find().parameters.values()) == [
        Parameter("alpha", "float", "1.0"),
        Parameter("rate", "float", "0.10"),
        Parameter("hidden-units", "string", "50 20"),
        Parameter("steps", "int", "1_000"),
        Parameter("source", "uri"),
        Parameter("note", "string", "yes", "What to write beside the result"),
    ]
    short = project.find("short").parameters
    assert {name: (one.type, one.default) for name, one in short.items()} == {
        "data_file": ("path", None),
        "lr": ("float", None),
        "word": ("string", None),
        "any": ("string", None),
    }
    assert project.find("été").command == 'python report.py "naïve, 数据"'


def test_defaults_are_kept_as_they_were_written() -> None:
    declared = read_project(SAMPLES / "quirks").find("as_written").parameters
    assert {name: one.default for name, one in declared.items()} == {
        "exponent": "1e-3",
        "zeros": "0.10",
        "word": "yes",
        "grouped": "1_000",
        "octal": "0o17",
        "day": "2024-01-02",
        "nothing": "null",
        "empty": "",
        "quoted": "a\tb",
        "listed": "[1, 'two', 3.0]",
        "needed": None,
        "block": "two\nlines\n",
    }


@pytest.mark.parametrize(
    ("written", "type_", "default"),
    [
        ("{type:float, default: 1.0}", "float", "1.0"),
        ("{type float, default: 0.1}", "float", "0.1"),
        ("{type:int, default:7}", "int", "7"),
        ("{type: str}", "string", None),
        ("{type: STRING}", "string", None),
        ("{type: number, default: 1}", "float", "1"),
        ("{type: double}", "float", None),
        ("{type: bool, default: True}", "string", "True"),
        ("{type: file}", "string", None),
        ("{type: uri}", "uri", None),
        ("{default: x}", "string", "x"),
        ("{type: , default: x}", "string", "x"),
        ("{}", "string", None),
        ("'path'", "path", None),
        ("!!str int", "int", None),
        ('{"type": "float", "default": "1.50"}', "float", "1.50"),
    ],
)
def test_a_parameter_is_declared_in_many_ways(tmp_path: Path, written: str, type_: str, default: str | None) -> None:
    project = described(tmp_path, main("echo {x}", f"x: {written}"))
    assert project.find().parameters["x"] == Parameter("x", type_, default)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "encoded",
    [
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.encode("utf-16"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.replace("\n", "\t\n").encode(),
        lambda text: text.replace("\n", "\t# a comment\n\t\n \t# another\n").encode(),
        lambda text: ("---\n" + text + "...\n").encode(),
    ],
)
def test_a_descriptor_is_text_of_any_editor(tmp_path: Path, encoded: object) -> None:
    text = main("echo {x}", "x: {type: float, default: 0.10}")
    content = encoded(text)  # pyright: ignore[reportCallIssue]
    assert described(tmp_path, content).entry_points == described(tmp_path, text).entry_points


def test_parameters_can_be_shared_with_anchors(tmp_path: Path) -> None:
    text = (
        "entry_points:\n  a:\n    parameters: &shared\n      x: &x {type: int, default: 1}\n    command: echo {x}\n"
        "  b:\n    parameters:\n      <<: *shared\n      y: *x\n    command: echo {x} {y}\n"
    )
    declared = described(tmp_path, text).find("b").parameters
    assert {name: (one.type, one.default) for name, one in declared.items()} == {"y": ("int", "1"), "x": ("int", "1")}


@pytest.mark.parametrize("name", ["MLproject", "MLProject", "mlproject", "MLPROJECT"])
def test_the_descriptor_is_found_in_any_case(tmp_path: Path, name: str) -> None:
    assert described(tmp_path, "name: p\n", name).descriptor == tmp_path / name


def test_environments_are_declared_in_the_descriptor() -> None:
    conda = read_project(SAMPLES / "conda")
    assert conda.environment == DeclaredEnvironment("conda_env", file=SAMPLES / "conda" / "conda.yaml")
    assert conda.name == "conda", "a project without a name is called like its folder"
    assert read_project(SAMPLES / "docker").environment == DeclaredEnvironment(
        "docker_env",
        image="registry.example.com:5000/team/base:1.2",
        volumes=("./data:/data", "/tmp/cache:/cache:ro"),
        environment=(("TOKEN", None), ("MODE", "fast"), ("EMPTY", ""), ("LEVEL", "010")),
    )


BOMB = "a: &a [x]\n" + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{f'*{chr(97 + i)},' * 30}]\n" for i in range(9))


@pytest.mark.parametrize(
    ("content", "place", "said"),
    [
        ("entrypoints: {}\n", "1:1", "no field 'entrypoints'; did you mean 'entry_points'"),
        ("name: a\nname: b\n", "2:1", "'name' is there twice"),
        ("- a\n", "1:1", "must be a mapping"),
        ("name: [a]\n", "1:7", "must be text"),
        ("entry_points: main\n", "1:15", "must be a mapping"),
        ("entry_points:\n  main:\n", "2:3", "'main' has no command"),
        ("entry_points:\n  main: {command: }\n", "2:3", "no command"),
        ("entry_points:\n  main: {command: ''}\n", "2:19", "empty command"),
        ("entry_points:\n  main: {command: [a]}\n", "2:19", "must be text"),
        ("entry_points:\n  main:\n    comand: a\n", "3:5", "did you mean 'command'"),
        ("entry_points:\n  a: {command: x}\n  a: {command: y}\n", "3:3", "'a' is there twice"),
        ("entry_points:\n  ? [a]\n  : {command: x}\n", "2:5", "must be text"),
        (main("echo {x}", "x: flaot"), "4:10", "'flaot', which is none; did you mean 'float'"),
        (main("echo {x}", "x: {type: epochs}"), "4:17", "'epochs', which is none"),
        (main("echo {x}", "x: {type:flaot}"), "4:11", "'flaot'"),
        (main("echo {x}", "x: {typ: int}"), "4:11", "no field 'typ'; did you mean 'type'"),
        (main("echo {x}", "x: {type: int, type: float}"), "4:22", "twice"),
        (main("echo {x}", "x: {type:int, type: float}"), "4:21", "twice"),
        (main("echo {x}", "x: {default: 1, default:2}"), "4:23", "twice"),
        (main("echo {x}", "x: int", "x: float"), "5:7", "'x' is there twice"),
        (main("echo {x}", "- x: int"), "4:7", "must be a mapping"),
        (main("echo {x}", "x: [int]"), "4:10", "must be a mapping"),
        (main("echo {x}", "x: {default: {a: b}}").replace("{a: b}", "\n        - a"), "5:9", "not YAML"),
        (main("echo {x} {alhpa}", "alpha: int", "x: int"), "6:23", "did you mean 'alpha'"),
        (main("echo {alpha:.2f}", "alpha: float"), "5:19", "write `{alpha}`"),
        (main("echo { alpha }", "alpha: float"), "5:19", "write `{alpha}`"),
        (main("'cat <<E {x}'", "x: int"), "5:23", "here-document"),
        ("python_env: a\nconda_env: b\n", "2:1", "python_env and conda_env"),
        ("conda_env: conda.yml\n", "1:12", "'conda.yml', which the project does not have"),
        ("python_env: .\n", "1:13", "does not have"),
        ("python_env:\n", "1:12", "does not have"),
        ("docker_env: {volumes: []}\n", "1:1", "no image"),
        ("docker_env: {image: a, volume: []}\n", "1:24", "did you mean 'volumes'"),
        ("docker_env: {image: a, volumes: a:b}\n", "1:33", "must be a list"),
        ("docker_env: {image: a, volumes: [a]}\n", "1:34", "HOST:CONTAINER"),
        ("docker_env: {image: a, environment: [A=b]}\n", "1:38", "[A, b]"),
        ("docker_env: {image: a, environment: [[A, b, c]]}\n", "1:38", "[NAME, value]"),
        ("databricks_spark_job: {python_file: a.py}\n", "1:1", "Databricks"),
        ("name: 'a\n", "2:1", "not YAML"),
        ("name: a\n\tdescription: b\n", "2:1", "not YAML"),
        ("name: {{ cookiecutter.name }}\n", "1:7", "must be text"),
        ("a: 1\n---\nb: 2\n", "2:1", "not YAML"),
        (b"name: caf\xe9\n", "1:10", "save it as UTF-8"),
        (b"name: a\nb: \0\n", "2:4", "not YAML"),
        (b"\xff\xfea", "1:3", "save it as UTF-8"),
        ("name: *nothing\n", "1:7", "not YAML"),
        ("[" * 5000, "1:41", "nested too deeply"),
        (BOMB, "8", "too many aliases"),
        ("name: " + "x" * 300_000, "1:1", "256 kB"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(tmp_path: Path, content: str | bytes, place: str, said: str) -> None:
    with pytest.raises(ProjectError) as caught:
        described(tmp_path, content)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'MLproject'}:{place}:")
    assert said in message
    assert "\n" not in message
    assert caught.value.exit_code == 2


WRONG = """\
nam: p
docker_env: {image: a, volumes: [a, 'b:c', d], environment: [A=b]}
entry_points:
  a:
    parameters: {x: flaot, y: {typ: int, defalt: 1}, z: {type: int, type: float}}
    command: echo {x} {w}
  b: {comand: echo}
  c: {parameters: {x: int}}
  d: {command: [a]}
  e: {command: echo}
"""


def test_all_that_is_wrong_is_named_at_once_each_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ProjectError) as caught:
        described(tmp_path, WRONG)
    place, _, said = str(caught.value).partition("MLproject:")
    assert place == f"{tmp_path}/"
    mistakes = said.split(f" {place}MLproject:")
    places = ["1:1", "2:34", "2:44", "2:62", "5:21", "5:32", "5:42", "5:69", "6:23", "7:7"]
    assert [mistake.partition(": ")[0] for mistake in mistakes] == places
    assert "no field 'nam'; did you mean 'name'; it has name, " in mistakes[0]
    assert mistakes[-1].endswith(" 2 more mistakes follow.")
    with pytest.raises(ProjectError) as caught:
        described(tmp_path, WRONG.replace("nam: p", "name: p").replace("d: {command: [a]}", "d: {command: a}"))
    assert str(caught.value).endswith(f"{place}MLproject:8:3: the entry point 'c' has no command; give it one.")


def test_folders_that_are_no_projects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="no project folder"):
        read_project(tmp_path / "elsewhere")
    (tmp_path / "file").touch()
    with pytest.raises(ProjectError, match="is a file, not a project"):
        read_project(tmp_path / "file")
    (tmp_path / "MLproject").mkdir()
    with pytest.raises(ProjectError, match=r"MLproject:1:1: this must be a file"):
        read_project(tmp_path)
    (tmp_path / "mlproject").touch()
    with pytest.raises(ProjectError, match="MLproject and mlproject; keep one"):
        read_project(tmp_path)


def test_an_empty_folder_is_a_project_that_offers_nothing(tmp_path: Path) -> None:
    project = read_project(tmp_path)
    assert project == Project(tmp_path, tmp_path.name, {})
    with pytest.raises(ProjectError, match="has nothing to run"):
        project.find()


def test_scripts_are_entry_points_by_convention() -> None:
    project = read_project(SAMPLES / "scripts")
    assert list(project.entry_points) == ["clean.sh", "plot.R", "train.py"]
    commands = {name: project.find(name).command for name in ("train.py", "train", "clean", "plot.R", "tools/both.py")}
    assert commands == {
        "train.py": "python train.py",
        "train": "python train.py",
        "clean": "bash clean.sh",
        "plot.R": "Rscript plot.R",
        "tools/both.py": "python tools/both.py",
    }
    assert project.find("tools/{odd} name").command == "python 'tools/{{odd}} name.py'"
    with pytest.raises(ProjectError, match=r"can be tools/both\.py or tools/both\.sh"):
        project.find("tools/both")
    for outside in ("main", "../conda/train.py", str(SAMPLES / "conda" / "train.py"), "train.txt", "", ".", "a\0b"):
        with pytest.raises(ProjectError, match="no entry point"):
            project.find(outside)
    with pytest.raises(ProjectError, match=r"did you mean 'train\.py'"):
        project.find("trian.py")


def test_scripts_run_by_their_name_beside_a_descriptor() -> None:
    project = read_project(SAMPLES / "conda")
    assert list(project.entry_points) == ["train"]
    assert project.find() == project.find("train")
    assert project.find("train.py") == EntryPoint("train.py", command="python train.py")


def test_a_main_script_is_main(tmp_path: Path) -> None:
    for name in ("main.py", "other.py", "-x.py"):
        (tmp_path / name).touch()
    assert read_project(tmp_path).find().command == "python main.py"
    assert read_project(tmp_path).find("-x.py").command == "python ./-x.py"


def test_flows_are_entry_points(tmp_path: Path) -> None:
    project = read_project(SAMPLES / "native")
    nightly = EntryPoint("every-night", flow="flows.py:nightly", given={"n": 3})
    assert list(project.entry_points) == ["every-night", "nightly", "other"]
    assert project.find("every-night") == project.find("flows.py:nightly") == nightly
    assert project.find("nightly").given == {}
    assert project.find("flows.py").command == "python flows.py"
    assert list(read_project(SAMPLES / "native", deployments=False).entry_points) == ["nightly", "other"]
    with pytest.raises(ProjectError, match="no entry point 'main'; it has every-night, nightly, other"):
        project.find()


NAMED = """\
from prefect import flow
@flow(name="Wine training", retries=1)
async def fit(): ...
@flow
def load_data(): ...
"""


def test_a_flow_is_found_by_its_name_in_prefect_too(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(NAMED)
    project = read_project(tmp_path)
    assert project.find("Wine training") == project.find("fit") == project.find("train.py:fit")
    assert project.find("load-data") == project.find("load_data")
    with pytest.raises(ProjectError, match=r"no entry point 'Wine trainin' \(did you mean 'Wine training'\?\); it has"):
        project.find("Wine trainin")


def test_a_name_that_several_flows_go_by_is_refused_with_the_choices(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(NAMED)
    (tmp_path / "other.py").write_text("from prefect import flow\n@flow(name='fit')\ndef load_data(): ...\n")
    project = read_project(tmp_path)
    assert list(project.entry_points) == ["other.py:load_data", "train.py:fit", "train.py:load_data"]
    for name, choices in {
        "fit": r"other\.py:load_data or train\.py:fit",
        "load_data": r"other.* or train\.py:load",
    }.items():
        with pytest.raises(ProjectError, match=f"^'{name}' can be {choices}.* in {tmp_path}; name one of them"):
            project.find(name)
    for path in project.entry_points:
        assert project.find(path).flow == project.find(path).name == path
    assert project.find("Wine training").flow == "train.py:fit"
    assert described(tmp_path, "entry_points: {fit: {command: echo}}\n").find("fit").command == "echo"


def test_a_flow_in_a_sub_folder_is_found_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "train.py").write_text("@flow\ndef train(): ...\n")
    assert read_project(tmp_path).find("jobs/train.py:train").flow == "jobs/train.py:train"
    for name in ("jobs/none.py:train", "jobs/../jobs/train.py:train", f"{tmp_path}/jobs/train.py:train"):
        with pytest.raises(ProjectError, match=r"has no entry point|nothing to run"):
            read_project(tmp_path).find(name)


def test_the_only_flow_is_main_under_all_of_its_names(tmp_path: Path) -> None:
    (tmp_path / "flows.py").write_text("from prefect import flow\n@flow\ndef digits(): ...\n")
    (tmp_path / "prefect.yaml").write_text("deployments:\n- {name: nightly, entrypoint: 'flows.py:digits'}\n")
    assert read_project(tmp_path).find().name == "nightly"


def test_a_descriptor_goes_before_flows_and_deployments(tmp_path: Path) -> None:
    shutil.copytree(SAMPLES / "native", tmp_path, dirs_exist_ok=True)
    project = described(tmp_path, "entry_points: {nightly: {command: echo}}\n")
    assert list(project.entry_points) == ["nightly", "every-night", "other"]
    assert project.find("nightly").command == "echo"


def test_files_that_python_cannot_read_hold_no_flows(tmp_path: Path) -> None:
    (tmp_path / "old.py").write_text("print 'of another Python'\n")
    (tmp_path / "latin.py").write_bytes(b"# -*- coding: latin-1 -*-\n# caf\xe9\n@flow\ndef a(): ...\n")
    (tmp_path / "nul.py").write_bytes(b"\0")
    (tmp_path / "deep.py").write_text("(" * 5000)
    (tmp_path / "folder.py").mkdir()
    assert list(read_project(tmp_path).entry_points) == ["a"]


@pytest.mark.parametrize(
    "content",
    [
        "a: [",
        "- a\n",
        "deployments: {a: 1}\n",
        "deployments: [1]\n",
        "deployments: [{entrypoint: a, parameters: [1]}]\n",
    ],
)
def test_a_prefect_yaml_that_is_wrong_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "prefect.yaml").write_text(content)
    with pytest.raises(ProjectError, match=r"prefect\.yaml"):
        read_project(tmp_path)


PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.dates())
NAMES = st.sampled_from(
    [
        "name",
        "conda_env",
        "python_env",
        "docker_env",
        "entry_points",
        "image",
        "volumes",
        "environment",
        "main",
        "parameters",
        "command",
        "type",
        "default",
        "description",
        "x",
        "type:float",
        "<<",
        "{x}",
        "${y}",
    ]
)
TREES = st.recursive(
    PLAIN | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | PLAIN, inner, max_size=4),
    max_leaves=20,
)
LINES = st.lists(
    st.sampled_from(main("echo {x} '{{' ${y}", "x: {type:float, default: *a}", "&a b: [uri]").splitlines())
    | st.text("ab:{}[]#&*!|>-'\"\t \n,%@`?~", max_size=12),
    max_size=12,
).map("\n".join)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=80) | LINES.map(str.encode) | TREES.map(lambda tree: yaml.safe_dump(tree).encode()))
def test_whatever_a_descriptor_contains_it_is_a_project_or_an_error(tmp_path: Path, content: bytes) -> None:
    said = None
    try:
        points = described(tmp_path, content).entry_points
    except ProjectError as error:
        points, said = {}, str(error)
    assert all(point.command for point in points.values())
    assert said is None or (said.startswith(f"{tmp_path / 'MLproject'}:") and "\n" not in said)
