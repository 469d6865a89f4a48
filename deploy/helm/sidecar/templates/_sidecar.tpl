{{- /*
What a chart of an application includes. Its values stand under `rialto`:

  rialto:
    image: { repository, tag, pullPolicy }
    config: {}               # the configuration, as in docs/configuration.md
    existingConfigMap: ""    # instead of `config`: one with a file rialto.yaml
    secret: ""               # a Secret whose keys are files in /run/secrets/rialto
    resources: {}

  rialto.sidecar     an entry of the Pod's initContainers
  rialto.volumes     entries of its volumes
  rialto.labels      a label of the Pod, by which a PodMonitor finds it
  rialto.annotations an annotation of the Pod, which makes a rollout of every change of `config`
  rialto.configmap   the ConfigMap, a document of its own
*/ -}}

{{- define "rialto.defaults" -}}
image:
  repository: registry.example.com/rialto
  tag: 0.1.0
  pullPolicy: IfNotPresent
existingConfigMap: ""
secret: ""
resources:
  requests:
    cpu: 100m # 12,000 messages a second of 1 KiB at 8 CPU-seconds a million (docs/benchmarks.md)
    memory: 64Mi # 25 MiB under load; 128Mi to read Kafka (100 MiB)
  limits:
    memory: 256Mi # and `window_bytes` (64 MiB) for each source, when its destination is away
{{- end -}}

{{- define "rialto.values" -}}
{{- mergeOverwrite (include "rialto.defaults" . | fromYaml) (.Values.rialto | default dict | deepCopy) | toYaml -}}
{{- end -}}

{{- define "rialto.config" -}}
{{- $values := include "rialto.values" . | fromYaml -}}
{{- $config := required "rialto.config, or rialto.existingConfigMap, must be given" $values.config -}}
{{- /* Probes come from outside the container. */ -}}
{{- merge (deepCopy $config) (dict "telemetry" (dict "listen" "[::]:4290")) | toYaml -}}
{{- end -}}

{{- define "rialto.configMapName" -}}
{{- $values := include "rialto.values" . | fromYaml -}}
{{- $values.existingConfigMap | default (printf "%s-rialto" .Release.Name | trunc 63 | trimSuffix "-") -}}
{{- end -}}

{{- define "rialto.labels" -}}
rialto: sidecar
{{- end -}}

{{- define "rialto.annotations" -}}
{{- $values := include "rialto.values" . | fromYaml -}}
{{- if $values.existingConfigMap -}}
{}
{{- else -}}
checksum/rialto: {{ include "rialto.config" . | sha256sum }}
{{- end -}}
{{- end -}}

{{- define "rialto.configmap" -}}
{{- $values := include "rialto.values" . | fromYaml -}}
{{- if not $values.existingConfigMap -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "rialto.configMapName" . }}
  labels:
    app.kubernetes.io/instance: {{ .Release.Name }}
    app.kubernetes.io/managed-by: {{ .Release.Service }}
data:
  rialto.yaml: |
    {{- include "rialto.config" . | nindent 4 }}
{{- end -}}
{{- end -}}

{{- define "rialto.volumes" -}}
{{- $values := include "rialto.values" . | fromYaml -}}
- name: rialto-config
  configMap:
    name: {{ include "rialto.configMapName" . }}
{{- with $values.secret }}
- name: rialto-secrets
  secret:
    secretName: {{ . }}
{{- end }}
{{- end -}}

{{- define "rialto.sidecar" -}}
- name: rialto
  restartPolicy: Always
  {{- include "rialto.container" . | nindent 2 }}
{{- end -}}

{{- define "rialto.container" -}}
{{- $values := include "rialto.values" . | fromYaml -}}
image: {{ printf "%s:%s" $values.image.repository $values.image.tag }}
imagePullPolicy: {{ $values.image.pullPolicy }}
args: [run, --config, /etc/rialto]
ports:
  - name: rialto
    containerPort: 4290
startupProbe:
  httpGet: { path: /startupz, port: rialto }
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: 30
livenessProbe:
  httpGet: { path: /livez, port: rialto }
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 3
readinessProbe:
  httpGet: { path: /readyz, port: rialto }
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
resources:
  {{- toYaml $values.resources | nindent 2 }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
  seccompProfile: { type: RuntimeDefault }
volumeMounts:
  - name: rialto-config
    mountPath: /etc/rialto
    readOnly: true
  {{- if $values.secret }}
  - name: rialto-secrets
    mountPath: /run/secrets/rialto
    readOnly: true
  {{- end }}
{{- end -}}
