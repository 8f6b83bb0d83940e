{{- define "twdiag.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "twdiag.labels" -}}
app.kubernetes.io/name: twdiag
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- /* Which pods are ours: those of the DaemonSet, or those that carry the sidecar. */}}
{{- define "twdiag.selector" -}}
{{- if eq .Values.mode "sidecar" -}}
twdiag: sidecar
{{- else -}}
app.kubernetes.io/name: twdiag
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- end }}
