{{- define "dynctl.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "dynctl.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "dynctl.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "dynctl.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "dynctl.selector" -}}
app.kubernetes.io/name: {{ include "dynctl.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: reconciler
{{- end -}}

{{- define "dynctl.labels" -}}
{{ include "dynctl.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: dynctl
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "dynctl.account" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "dynctl.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "dynctl.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{/* The namespace of the RayCluster or RayService. */}}
{{- define "dynctl.rayNamespace" -}}
{{- default .Release.Namespace .Values.ray.namespace -}}
{{- end -}}

{{/* "true" where Kubernetes is asked for the Ray cluster. */}}
{{- define "dynctl.kuberay" -}}
{{- if or .Values.ray.cluster .Values.ray.service -}}true{{- end -}}
{{- end -}}

{{/* "true" where the reconciler's own NATS holds the store. */}}
{{- define "dynctl.embedded" -}}
{{- if not (or .Values.nats.url .Values.nats.urlSecret.name) -}}true{{- end -}}
{{- end -}}

{{- define "dynctl.replicas" -}}
{{- if kindIs "invalid" .Values.replicas -}}
{{- if include "dynctl.embedded" . -}}1{{- else -}}2{{- end -}}
{{- else -}}
{{- .Values.replicas -}}
{{- end -}}
{{- end -}}

{{/* The Secret with Ray's token: as KubeRay names it after the cluster, whose last 50 characters count. */}}
{{- define "dynctl.tokenSecret" -}}
{{- default (regexReplaceAll "^[0-9.-]" (trunc -50 .Values.ray.cluster) "r") .Values.ray.auth.secretName -}}
{{- end -}}

{{/* The Secret with the token of the HTTP port. */}}
{{- define "dynctl.httpSecret" -}}
{{- default (printf "%s-http" (include "dynctl.fullname" .)) .Values.http.tokenSecret.name -}}
{{- end -}}

{{/* How the HTTP port is spoken to, by probes and by Prometheus. */}}
{{- define "dynctl.probed" -}}{{- if .Values.http.tlsSecret.name -}}, scheme: HTTPS{{- end -}}{{- end -}}
{{- define "dynctl.scheme" -}}{{- if .Values.http.tlsSecret.name -}}https{{- else -}}http{{- end -}}{{- end -}}
{{- define "dynctl.trust" -}}
tlsConfig:
  ca:
    secret: {name: {{ .Values.http.tlsSecret.name }}, key: ca.crt}
  serverName: {{ include "dynctl.fullname" . }}.{{ .Release.Namespace }}.svc
{{- end -}}

{{/* What the reconciler's own NATS is called in the pods' network. */}}
{{- define "dynctl.ownNATS" -}}
nats://{{ include "dynctl.fullname" . }}-nats.$(POD_NAMESPACE).svc:4322
{{- end -}}

{{/* The names under which the ops page is asked for. */}}
{{- define "dynctl.hosts" -}}
{{- $name := include "dynctl.fullname" . -}}
{{- $full := printf "%s.$(POD_NAMESPACE)" $name -}}
{{- concat (list $name $full (printf "%s.svc" $full) (printf "%s.svc.cluster.local" $full)) .Values.service.hosts | join "," -}}
{{- end -}}

{{/* What the schema cannot say in words that help. */}}
{{- define "dynctl.check" -}}
{{- $targets := 0 -}}
{{- range list .Values.ray.cluster .Values.ray.service .Values.ray.address -}}{{- if . -}}{{- $targets = add $targets 1 -}}{{- end -}}{{- end -}}
{{- if ne (int $targets) 1 -}}
{{- fail "set one of ray.cluster (a RayCluster), ray.service (a RayService) and ray.address (http://HEAD:8265)" -}}
{{- end -}}
{{- if and .Values.nats.url .Values.nats.urlSecret.name -}}
{{- fail "nats.url and nats.urlSecret.name both name the NATS: set one of them, the Secret where the URL has a password" -}}
{{- end -}}
{{- if and (contains "@" .Values.nats.url) -}}
{{- fail "nats.url has a user or password, which anybody could read in the Deployment: put the URL into a Secret and set nats.urlSecret.name" -}}
{{- end -}}
{{- if and .Values.ray.caSecret.name (not (hasPrefix "https://" .Values.ray.address)) -}}
{{- fail "ray.caSecret is for a dashboard behind https: set ray.address to https://HOST too" -}}
{{- end -}}
{{- if and (include "dynctl.embedded" .) .Values.nats.caSecret.name -}}
{{- fail "nats.caSecret is for an external NATS: set nats.url or nats.urlSecret.name too; the reconciler's own is checked against ca.crt in http.tlsSecret" -}}
{{- end -}}
{{- if and (include "dynctl.embedded" .) (ne (include "dynctl.replicas" .) "1") -}}
{{- fail "several replicas need one NATS for all: set nats.url or nats.urlSecret.name, or replicas to 1 for the reconciler's own" -}}
{{- end -}}
{{- if and (eq .Values.ray.auth.mode "token") (not .Values.ray.cluster) (not .Values.ray.auth.secretName) -}}
{{- fail "ray.auth.mode token without ray.cluster: set ray.auth.secretName to the Secret with the key auth_token (of a RayService: the authOptions.secretName of its rayClusterConfig)" -}}
{{- end -}}
{{- if and (eq .Values.ray.auth.mode "kubernetes") (not .Values.ray.cluster) -}}
{{- fail "ray.auth.mode kubernetes needs ray.cluster: KubeRay has enableK8sTokenAuth for RayClusters alone" -}}
{{- end -}}
{{- if and .Values.ray.address .Values.ray.namespace -}}
{{- fail "ray.namespace belongs to ray.cluster and ray.service; ray.address needs none" -}}
{{- end -}}
{{- end -}}
