"""What a manifest of Kubernetes must be besides valid: the sidecar as docs/deployment.md promises it."""

import kubernetes_validate
import yaml

SIDECAR = "rialto"
CLUSTERS = ("1.29", "1.33", "1.37")  # native sidecars by default; stable; the newest schema there is
WITH_PODS = ("Deployment", "StatefulSet", "DaemonSet", "Job")
OTHERS = ("PodMonitor",)  # of an operator, without a schema in Kubernetes
DRAIN = 25  # seconds of `shutdown.timeout`


def documents(text):
    return [document for document in yaml.safe_load_all(text) if document is not None]


def named(found, kind, name=None):
    return next(one for one in found if one["kind"] == kind and name in (None, one["metadata"]["name"]))


def sidecar(pod):
    return next(one for one in pod["initContainers"] if one["name"] == SIDECAR)


def faults(found):
    """Everything that is wrong with these documents, in words."""
    return schema_faults(found) + [
        fault for one in found if one["kind"] in WITH_PODS for fault in sidecar_faults(one["spec"]["template"]["spec"], found)
    ]


def schema_faults(found):
    said = []
    for document in found:
        if document["kind"] in OTHERS:
            continue
        for version in CLUSTERS:
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                said.append(f"{document['kind']} for {version}: {error.message}")
    return said


def sidecar_faults(pod, found):
    container = sidecar(pod)
    said = container_faults(pod, container, found)
    if container.get("restartPolicy") != "Always":
        said.append("no native sidecar: restartPolicy is not Always")
    return said


def container_faults(pod, container, found):
    said = restricted_faults(pod, container) + mount_faults(pod, container, found) + probe_faults(container)
    if not container["resources"].get("requests") or "memory" not in container["resources"].get("limits", {}):
        said.append("no requests, or no limit of memory")
    if pod.get("terminationGracePeriodSeconds", 30) <= DRAIN:
        said.append("the Pod is killed before a drain may end")
    return said


def restricted_faults(pod, container):
    """The restricted Pod Security Standard, and a root file system that nobody writes."""
    said = []
    context = pod.get("securityContext", {}) | container.get("securityContext", {})
    expected = {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "seccompProfile": {"type": "RuntimeDefault"},
        "capabilities": {"drop": ["ALL"]},
    }
    for key, value in expected.items():
        if context.get(key) != value:
            said.append(f"securityContext.{key} is {context.get(key)!r}, not {value!r}")
    if context.get("privileged"):
        said.append("privileged")
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(key):
            said.append(key)
    for volume in pod.get("volumes", []):
        if not volume.keys() & {"configMap", "secret", "emptyDir", "projected", "csi", "persistentVolumeClaim"}:
            said.append(f"the volume {volume['name']} is of no kind that the standard allows")
    return said


def mount_faults(pod, container, found):
    """Each mount is a whole directory, read only, of something that is shipped."""
    said = []
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    for mount in container["volumeMounts"]:
        if "subPath" in mount or "subPathExpr" in mount:
            said.append(f"{mount['mountPath']} is a subPath, which is never updated")
        if not mount.get("readOnly"):
            said.append(f"{mount['mountPath']} may be written")
        volume = volumes.get(mount["name"])
        if volume is None:
            said.append(f"no volume is called {mount['name']}")
            continue
        if "configMap" in volume:
            kind, name = "ConfigMap", volume["configMap"]["name"]
        else:
            kind, name = "Secret", volume["secret"]["secretName"]
        if not any(one["kind"] == kind and one["metadata"]["name"] == name for one in found):
            said.append(f"no {kind} is called {name}")
    return said


def probe_faults(container):
    said = []
    ports = {port["name"] for port in container["ports"]}
    for probe, path in (("startupProbe", "/startupz"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
        asked = container.get(probe, {}).get("httpGet", {})
        if asked.get("path") != path or asked.get("port") not in ports:
            said.append(f"{probe} does not ask {path} at a port of the container")
    return said
