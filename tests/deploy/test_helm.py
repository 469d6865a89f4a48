"""The charts are read by Helm's own engine; what they render is the sidecar of deploy/kubernetes, or the same by itself."""

import os
import shutil

import helm_python
import pytest
import yaml
from deploy.manifests import container_faults, documents, faults, named, schema_faults, sidecar

CONFIG = {
    "name": "orders",
    "brokers": {"mq": "amqps://127.0.0.1:1", "live": "rediss://127.0.0.1:1"},
    "routes": [{"from": "mq/orders.events", "to": "live/app:{message_type}:{message_id}", "dead_letter": "mq/orders.dead"}],
}
# Made by the cluster's tool for secrets, and by no chart.
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "orders-brokers"}}


@pytest.fixture(scope="module")
def charts(root, tmp_path_factory):
    """The charts with their dependencies beside them, as `helm dependency update` lays them."""
    home = tmp_path_factory.mktemp("charts")
    places = {"rialto": "deploy/helm/rialto", "sidecar": "deploy/helm/sidecar", "application": "tests/deploy/application"}
    for place in places.values():
        shutil.copytree(root / place, home / place)
    for name in ("rialto", "application"):
        helm_python.dependency_update(home / places[name], skip_refresh=True)
    return {name: home / place for name, place in places.items()}


def rendered(chart, values=None):
    with helm_python.Chart.load(chart) as loaded:
        loaded.validate_schema(values)
        manifests = loaded.render(values, name="orders", namespace="orders")
    return [document for text in manifests.values() for document in documents(text)]


def pod(found):
    return named(found, "Deployment")["spec"]["template"]["spec"]


def alone(found):
    """Without the key by which Helm and kustomize differ: the policy that a tag has by default."""
    return {key: value for key, value in found.items() if key != "imagePullPolicy"}


@pytest.mark.parametrize(("name", "values"), [("rialto", {"config": CONFIG}), ("sidecar", None), ("application", None)])
def test_helm_lints_the_chart_and_finds_nothing(charts, name, values):
    report = helm_python.lint(charts[name], values, strict=True)
    assert [one for one in report["messages"] if one["severity"] > 1] + report["errors"] == []


def test_the_library_renders_the_sidecar_of_the_plain_manifest(charts, root):
    found = rendered(charts["application"])
    assert faults([*found, SECRET]) == []
    plain = documents((root / "deploy/kubernetes/plain.yaml").read_text())
    assert alone(sidecar(pod(found))) == sidecar(pod(plain))


def test_the_standalone_chart_renders_the_same_container(charts, root):
    found = rendered(charts["rialto"], {"config": CONFIG, "secret": "orders-brokers", "podMonitor": {"enabled": True}})
    container = pod(found)["containers"][0]
    assert schema_faults(found) + container_faults(pod(found), container, [*found, SECRET]) == []
    plain = documents((root / "deploy/kubernetes/plain.yaml").read_text())
    assert alone(container) | {"restartPolicy": "Always"} == sidecar(pod(plain))
    monitor, template = named(found, "PodMonitor")["spec"], named(found, "Deployment")["spec"]["template"]
    assert monitor["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()


@pytest.mark.parametrize(("name", "values"), [("rialto", {"config": CONFIG}), ("application", None)])
def test_check_accepts_the_configuration_that_is_rendered(charts, binary, tool, tmp_path, name, values):
    text = named(rendered(charts[name], values), "ConfigMap")["data"]["rialto.yaml"]
    assert yaml.safe_load(text)["telemetry"] == {"listen": "[::]:4290"}
    for secret in ("rabbitmq", "redis"):
        (tmp_path / secret).write_text("a secret\n")
    (tmp_path / "rialto.yaml").write_text(text.replace("/run/secrets/rialto", str(tmp_path)))
    code, said = tool(binary, "check", "--config", tmp_path / "rialto.yaml", env=os.environ)
    assert (code, "warning" in said) == (0, False), said


def test_a_change_of_the_configuration_is_a_rollout(charts):
    def annotations(values):
        return named(rendered(charts["rialto"], values), "Deployment")["spec"]["template"]["metadata"]["annotations"]

    assert annotations({"config": CONFIG}) == annotations({"config": CONFIG, "replicas": 2})
    assert annotations({"config": CONFIG}) != annotations({"config": CONFIG | {"strict": True}})


def test_a_config_map_of_ones_own_is_mounted_and_none_is_made(charts):
    found = rendered(charts["rialto"], {"existingConfigMap": "mine"})
    assert [one["kind"] for one in found] == ["Deployment"]
    assert pod(found)["volumes"] == [{"name": "rialto-config", "configMap": {"name": "mine"}}]


@pytest.mark.parametrize(
    ("what", "values"),
    [
        ("config", {}),
        ("replica", {"config": CONFIG, "replica": 2}),
        ("tag", {"config": CONFIG, "image": {"repository": "rialto", "tag": "latest"}}),
        ("terminationGracePeriodSeconds", {"config": CONFIG, "terminationGracePeriodSeconds": 10}),
    ],
)
def test_wrong_values_are_refused_by_name(charts, what, values):
    with pytest.raises(helm_python.HelmValuesError, match=what):
        rendered(charts["rialto"], values)
    assert helm_python.lint(charts["rialto"], values, strict=True)["errors"] != []


def test_a_spoiled_template_is_refused(charts, tmp_path):
    spoiled = tmp_path / "rialto"
    shutil.copytree(charts["rialto"], spoiled)
    template = spoiled / "templates" / "rialto.yaml"
    template.write_text(template.read_text().replace("apiVersion: apps/v1", "apiVersion apps/v1"))
    assert helm_python.lint(spoiled, {"config": CONFIG}, strict=True)["errors"] != []
