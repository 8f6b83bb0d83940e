{{- /*
twdiag beside a backend, for that backend's own chart, which depends on this one with `mode: sidecar`. In its pod:

    metadata:
      labels: { twdiag: sidecar }
    spec:
      securityContext: { fsGroup: 65532 }
      initContainers: {{ include "twdiag.sidecar.container" .Subcharts.twdiag | nindent 8 }}
      volumes: {{ include "twdiag.sidecar.volumes" .Subcharts.twdiag | nindent 8 }}

The backend mounts the volume `logs` at /var/log/voice and writes its log files there.
*/}}
{{- define "twdiag.sidecar.container" -}}
- name: twdiag
  image: {{ include "twdiag.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  restartPolicy: Always
  args: [--config, /etc/twdiag/twdiag.toml]
  ports:
    - { name: twdiag, containerPort: 9853 }
  startupProbe:
    httpGet: { path: /healthz, port: twdiag }
    periodSeconds: 1
    failureThreshold: 30
  livenessProbe:
    httpGet: { path: /healthz, port: twdiag }
    periodSeconds: 30
    timeoutSeconds: 5
  resources: {{- toYaml .Values.resources | nindent 4 }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities: { drop: [ALL] }
    seccompProfile: { type: RuntimeDefault }
  volumeMounts:
    - { name: logs, mountPath: /var/log/voice, readOnly: true }
    - { name: twdiag, mountPath: /etc/twdiag, readOnly: true }
    - { name: twdiag-state, mountPath: /var/lib/twdiag }
{{- end }}

{{- define "twdiag.sidecar.volumes" -}}
- name: logs
  emptyDir: { sizeLimit: 1Gi }
- name: twdiag
  configMap: { name: {{ .Release.Name }}-twdiag }
- name: twdiag-state
  emptyDir: { sizeLimit: 16Mi }
{{- end }}
