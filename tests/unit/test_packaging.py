"""What people install: metadata, container, conda recipe and the size of the weights."""

import importlib.util
import re
import socket
import threading
import tomllib
import zlib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml

import blood_cell_system

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
RECIPE = yaml.safe_load((ROOT / "recipe" / "meta.yaml").read_text("utf-8"))
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")

CONDA_NAMES = {"opencv-python-headless": "py-opencv"}
"""Packages that conda-forge has under another name."""


def instructions(text):
    """Give a Dockerfile's instructions, as pairs of word and rest, with continued lines joined."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]


def last_stage(text):
    found = instructions(text)
    begin = max(place for place, (word, _) in enumerate(found) if word == "FROM")
    return found[begin:]


def faults_of(text):
    """Name what breaks a rule in a Dockerfile."""
    everything, last = instructions(text), last_stage(text)
    words = [word for word, _ in last]
    users = [rest for word, rest in last if word == "USER"]
    if not users or users[-1] in ("0", "root"):
        yield "runs as root"
    if "HEALTHCHECK" not in words:
        yield "no health check"
    for word, rest in everything:
        if word == "FROM" and not re.fullmatch(r"python:3\.\d+-slim( AS \w+)?", rest):
            yield f"base image {rest}"
        if word in ("ARG", "ENV") and re.search("token|secret|passw|key", rest, re.I):
            yield f"a secret in {word}"
        if word == "ADD":
            yield "ADD fetches and unpacks: COPY"
        if word == "COPY" and re.match(r"(--\S+ )*\. ", rest):
            yield "copies everything"
        if word == "RUN" and "pip install" in rest and "--no-cache-dir" not in rest:
            yield "pip keeps its cache"
        if word == "RUN" and "apt-get install" in rest and "rm -rf /var/lib/apt/lists" not in rest:
            yield "apt keeps its lists"


def test_the_dockerfile_breaks_no_rule():
    assert list(faults_of(DOCKERFILE)) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("USER 10001", "USER root", "runs as root"),
        ("USER 10001\n", "", "runs as root"),
        ("HEALTHCHECK", "LABEL", "no health check"),
        ("FROM python:3.11-slim\n", "FROM python:latest\n", "base image python:latest"),
        ("ENV PATH", "ENV API_TOKEN=abc PATH", "a secret in ENV"),
        ("COPY src src", "COPY . .", "copies everything"),
        ("COPY src src", "ADD src src", "ADD fetches and unpacks: COPY"),
        ("--no-cache-dir ", "", "pip keeps its cache"),
        ("USER", "RUN apt-get install --yes git\nUSER", "apt keeps its lists"),
    ],
)
def test_a_dockerfile_that_breaks_a_rule_is_found(old, new, fault):
    assert old in DOCKERFILE
    assert fault in list(faults_of(DOCKERFILE.replace(old, new)))


def test_all_that_the_dockerfile_copies_reaches_the_builder():
    allowed = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines()
        if line.startswith("!")
    }
    copied = {
        Path(name).parts[0]
        for word, rest in instructions(DOCKERFILE)
        if word == "COPY" and "--from" not in rest
        for name in rest.split()[:-1]
    }
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)


def test_the_container_starts_the_command_of_the_package():
    assert ("ENTRYPOINT", '["bloodcells"]') in last_stage(DOCKERFILE)
    assert "bloodcells" in PROJECT["scripts"]


@pytest.fixture(scope="module")
def health_check():
    path = ROOT / "container" / "health_check.py"
    spec = importlib.util.spec_from_file_location("health_check", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("status", "expected"), [(200, True), (401, True), (500, False)])
def test_a_review_server_is_healthy_when_it_answers(health_check, status, expected):
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        words = ["python", "bloodcells", "review", "results"]
        assert health_check.is_healthy(words, port=server.server_port) is expected
        thread.join()


def test_a_review_server_that_does_not_answer_is_not_healthy(health_check):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert not health_check.is_healthy(["bloodcells", "review"], port=port)


def test_an_analysis_is_healthy_as_long_as_it_runs(health_check):
    assert health_check.is_healthy(["bloodcells", "analyze", "images"], port=1)


def by_name(requirements):
    parts = (re.fullmatch(r"([\w-]+)(?:\[\w+\])? ?(.*)", text) for text in requirements)
    return {CONDA_NAMES.get(part[1].lower(), part[1].lower()): part[2] for part in parts}


def test_the_conda_recipe_has_the_dependencies_of_the_package():
    needed = by_name(PROJECT["dependencies"]) | {"python": PROJECT["requires-python"]}
    assert by_name(RECIPE["requirements"]["run"]) == needed


def test_the_conda_recipe_is_of_this_version_and_builds_with_the_same_tool():
    build = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["build-system"]
    assert RECIPE["package"] == {"name": PROJECT["name"], "version": PROJECT["version"]}
    assert by_name(build["requires"]).items() <= by_name(RECIPE["requirements"]["host"]).items()
    (command,) = RECIPE["build"]["entry_points"]
    assert command == f"bloodcells = {PROJECT['scripts']['bloodcells']}"


def test_every_document_of_the_version_names_the_same():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert PROJECT["version"] == blood_cell_system.__version__ == citation["version"]


def test_the_metadata_name_every_system_and_every_python_that_ci_tries():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
    versions = workflow["jobs"]["wheel"]["strategy"]["matrix"]["python"]
    classifiers = set(PROJECT["classifiers"])
    assert {f"Programming Language :: Python :: {version}" for version in versions} <= classifiers
    assert {
        "Operating System :: MacOS",
        "Operating System :: Microsoft :: Windows",
        "Operating System :: POSIX :: Linux",
    } <= classifiers


def test_ci_builds_the_container():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
    commands = [step.get("run") for step in workflow["jobs"]["container"]["steps"]]
    assert "scripts/container_check.sh" in commands


def test_the_weights_take_at_most_20_mb_of_the_wheel():
    weights = ROOT / "src" / "blood_cell_system" / "weights"
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    left_out = pyproject["tool"]["setuptools"]["exclude-package-data"]["blood_cell_system"]
    packed = {
        path.name: len(zlib.compress(path.read_bytes()))
        for path in weights.iterdir()
        if not any(path.match(pattern) for pattern in left_out)
    }
    assert sum(packed.values()) <= 20_000_000, packed
