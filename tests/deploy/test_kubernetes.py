"""The manifests are valid, keep the restricted standard, and what they start answers its probes."""

import base64
import copy
import signal

import pytest
from deploy.manifests import SIDECAR, documents, faults, named, sidecar
from deploy.mounted import free_port, lay, running, swap, terminate, wait_for, without_network

HERE = "deploy/kubernetes"


@pytest.fixture(scope="module")
def plain(root):
    return documents((root / HERE / "plain.yaml").read_text())


@pytest.fixture(scope="module")
def example(root, tool):
    code, said = tool("kubectl", "kustomize", root / HERE / "example")
    assert code == 0, said
    return documents(said)


@pytest.fixture(params=["plain", "example"])
def shipped(request):
    return request.getfixturevalue(request.param)


KUSTOMIZATION = """
resources: [deployment.yaml]
components: [../sidecar]
configMapGenerator: [{ name: rialto-config, files: [rialto.yaml] }]
secretGenerator: [{ name: rialto-secrets, literals: [redis=change-me] }]
"""


def pod(found):
    return named(found, "Deployment")["spec"]["template"]["spec"]


def files(found, volume):
    """What a volume of the Pod holds, by file name."""
    if "configMap" in volume:
        return named(found, "ConfigMap", volume["configMap"]["name"])["data"]
    secret = named(found, "Secret", volume["secret"]["secretName"])
    decoded = {name: base64.b64decode(value).decode() for name, value in secret.get("data", {}).items()}
    return decoded | secret.get("stringData", {})


def mounted(found, directory):
    """Lays the sidecar's mounts below a directory; answers where /etc/rialto then is."""
    places = {}
    volumes = {volume["name"]: volume for volume in pod(found)["volumes"]}
    mounts = sidecar(pod(found))["volumeMounts"]
    for mount in mounts:
        places[mount["mountPath"]] = directory / mount["mountPath"].strip("/")
    for mount in mounts:
        held = dict(files(found, volumes[mount["name"]]))
        for name, text in held.items():
            for inside, outside in places.items():
                text = text.replace(f"{inside}/", f"{outside}/")
            held[name] = text
        lay(places[mount["mountPath"]], held)
    return places


def test_the_manifests_are_valid_restricted_and_complete(shipped):
    assert faults(shipped) == []


def test_the_pod_monitor_finds_the_port_and_the_label_of_the_sidecar(example):
    monitor = named(example, "PodMonitor")["spec"]
    template = named(example, "Deployment")["spec"]["template"]
    assert monitor["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    ports = {port["name"] for port in sidecar(template["spec"])["ports"]}
    assert {endpoint["port"] for endpoint in monitor["podMetricsEndpoints"]} <= ports


def test_the_network_policy_leaves_open_what_the_pod_needs(example):
    policy = named(example, "NetworkPolicy")["spec"]
    template = named(example, "Deployment")["spec"]["template"]
    assert policy["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    opened = {port["port"] for rule in policy["ingress"] for port in rule["ports"]}
    assert sidecar(template["spec"])["ports"][0]["containerPort"] in opened


def test_plain_and_example_are_the_same_pod(plain, example):
    """Names that kustomize makes from the content aside: the sidecar is written twice, and may not drift."""
    one, other = copy.deepcopy(pod(plain)), copy.deepcopy(pod(example))
    for spec in (one, other):
        for volume in spec["volumes"]:
            source = volume.get("configMap") or volume["secret"]
            source.clear()
    assert one == other
    volumes = {volume["name"]: volume for volume in pod(plain)["volumes"]}
    others = {volume["name"]: volume for volume in pod(example)["volumes"]}
    for name, volume in volumes.items():
        assert files(plain, volume) == files(example, others[name])


@pytest.fixture
def overlay(tool, tmp_path, root):
    """Applies the sidecar to what is given instead of the example's Deployment."""
    for name in ("sidecar", "example"):
        (tmp_path / name).mkdir()
        for file in (root / HERE / name).iterdir():
            (tmp_path / name / file.name).write_text(file.read_text())

    def build(text):
        (tmp_path / "example" / "deployment.yaml").write_text(text)
        (tmp_path / "example" / "kustomization.yaml").write_text(KUSTOMIZATION)
        code, said = tool("kubectl", "kustomize", tmp_path / "example")
        assert code == 0, said
        return documents(said)

    return build


def test_the_component_leaves_other_deployments_alone(overlay, root):
    """It goes by the label, and keeps the init containers that are there."""
    deployment = (root / HERE / "example" / "deployment.yaml").read_text()
    unlabelled = deployment.replace("    rialto: sidecar\n", "").replace("name: orders", "name: billing", 1)
    migration = "      initContainers: [{ name: migrate, image: 'registry.example.com/orders:1.0.0' }]\n"
    migrating = deployment.replace("      containers:\n", f"{migration}      containers:\n")
    found = overlay(f"{migrating}---\n{unlabelled}")
    orders, billing = (named(found, "Deployment", name)["spec"]["template"]["spec"] for name in ("orders", "billing"))
    assert {one["name"] for one in orders["initContainers"]} == {"migrate", SIDECAR}
    assert "initContainers" not in billing


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet", "Job"])
def test_the_component_works_for_every_kind_with_pods(overlay, root, kind):
    text = (root / HERE / "example" / "deployment.yaml").read_text().replace("kind: Deployment", f"kind: {kind}")
    text = text.replace("  replicas: 2\n", "  serviceName: orders\n" if kind == "StatefulSet" else "")
    if kind == "Job":
        text = text.replace("apps/v1", "batch/v1").replace("    spec:\n", "    spec:\n      restartPolicy: OnFailure\n")
    found = overlay(text)
    assert SIDECAR in {one["name"] for one in named(found, kind)["spec"]["template"]["spec"]["initContainers"]}
    assert faults(found) == []


def test_check_accepts_the_configuration_as_it_is_mounted(shipped, binary, tool, tmp_path):
    places = mounted(shipped, tmp_path)
    code, said = tool(binary, "check", "--config", places["/etc/rialto"])
    assert (code, "warning" in said) == (0, False), said


def test_the_sidecar_answers_the_probes_and_ends_in_time(shipped, binary, tmp_path):
    """The manifest's own arguments, paths, probes and grace period, with brokers that are away."""
    spec = pod(shipped)
    container = sidecar(spec)
    for volume in spec["volumes"]:
        if "configMap" in volume:
            held = named(shipped, "ConfigMap", volume["configMap"]["name"])
            shipped = [one for one in shipped if one is not held] + [
                held | {"data": {name: without_network(text) for name, text in held["data"].items()}}
            ]
    places = mounted(shipped, tmp_path / "root")
    assert f'"[::]:{container["ports"][0]["containerPort"]}"' in (places["/etc/rialto"] / "rialto.yaml").read_text()
    arguments = [str(places.get(argument, argument)) for argument in container["args"]]
    port, log = free_port(), tmp_path / "log"
    with running([binary, *arguments, "--set", f"telemetry.listen=[::]:{port}"], log) as process:
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            wait_for(f"http://127.0.0.1:{port}{container[probe]['httpGet']['path']}", process, log)
        assert terminate(process, spec["terminationGracePeriodSeconds"]) == 0, log.read_text()


def test_a_config_map_that_the_kubelet_swapped_is_read_at_the_next_reload(binary, tmp_path):
    """What a `subPath` would never show."""
    configuration = """
        name: orders
        brokers: {{ mq: "amqps://127.0.0.1:1" }}
        routes: [{{ from: mq/{queue}, name: {queue}, to: mq/sink, dead_letter: mq/dead }}]
    """
    mount, log, port = tmp_path / "rialto", tmp_path / "log", free_port()
    lay(mount, {"rialto.yaml": configuration.format(queue="before")})
    with running([binary, "run", "--config", mount, "--set", f"telemetry.listen=127.0.0.1:{port}"], log) as process:
        wait_for(f"http://127.0.0.1:{port}/metrics", process, log, 'source="mq/before"')
        swap(mount, {"rialto.yaml": configuration.format(queue="after")})
        process.send_signal(signal.SIGHUP)
        wait_for(f"http://127.0.0.1:{port}/metrics", process, log, 'source="mq/after"')
        assert terminate(process, 30) == 0


@pytest.mark.parametrize(
    ("what", "spoil"),
    [
        ("restartpolicy", lambda container: container.update(restartpolicy=container.pop("restartPolicy"))),
        ("readOnlyRootFilesystem", lambda container: container["securityContext"].pop("readOnlyRootFilesystem")),
        ("runAsUser", lambda container: container["securityContext"].update(runAsUser=0)),
        ("privileged", lambda container: container["securityContext"].update(privileged=True)),
        ("subPath", lambda container: container["volumeMounts"][0].update(subPath="rialto.yaml")),
        ("may be written", lambda container: container["volumeMounts"][1].pop("readOnly")),
        ("no volume is called", lambda container: container["volumeMounts"][0].update(name="settings")),
        ("startupProbe", lambda container: container["startupProbe"]["httpGet"].update(path="/readyz")),
        ("livenessProbe", lambda container: container["livenessProbe"]["httpGet"].update(port="http")),
        ("limit of memory", lambda container: container["resources"].pop("limits")),
        ("is not of type", lambda container: container["ports"][0].update(containerPort="4290")),
    ],
)
def test_a_spoiled_manifest_is_refused(plain, what, spoil):
    spoiled = copy.deepcopy(plain)
    spoil(sidecar(pod(spoiled)))
    assert what in "\n".join(faults(spoiled))
