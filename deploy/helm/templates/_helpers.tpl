{{/* The name of an object: that of the release, and the part. */}}
{{- define "ltp.name" -}}
{{- printf "%s-%s" (.root.Release.Name | trunc 50 | trimSuffix "-") .part -}}
{{- end }}

{{- define "ltp.selector" -}}
app.kubernetes.io/name: ltp
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "ltp.labels" -}}
{{ include "ltp.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "ltp.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* What is missing, in one sentence each. */}}
{{- define "ltp.check" -}}
{{- if not .Values.temporal.address }}{{ fail "set temporal.address: host:port of Temporal's frontend" }}{{ end }}
{{- if not .Values.ordersDB.url }}{{ fail "set ordersDB.url: postgres://app@host/orders, without a password" }}{{ end }}
{{- if and .Values.setup.enabled (not .Values.setup.url) }}{{ fail "set setup.url, the order database with the role that owns its tables, or setup.enabled=false and run ltp setup yourself" }}{{ end }}
{{- $asks := or .Values.auth.keysSecret.name .Values.auth.oidc.issuer .Values.auth.proxy.cidrs }}
{{- if and (not $asks) (not .Values.auth.insecureNoAuth) (not .Values.tls.clientCA) }}{{ fail "nobody would be asked who they are: set auth.keysSecret.name, auth.oidc, auth.proxy, tls.clientCA, or auth.insecureNoAuth=true where something before the node authenticates everybody" }}{{ end }}
{{- if and $asks .Values.auth.insecureNoAuth }}{{ fail "auth.keysSecret, auth.oidc and auth.proxy say who asks, and auth.insecureNoAuth asks nobody: unset one" }}{{ end }}
{{- if and (not .Values.auth.keysSecret.name) (not .Values.auth.insecureNoAuth) (not .Values.tls.clientCA) }}{{ fail "set auth.keysSecret.name besides: tokens and proxies are of the order API, and the operators' addresses of workers and observers ask for a key" }}{{ end }}
{{- if and .Values.auth.oidc.issuer (not .Values.auth.oidc.audience) }}{{ fail "auth.oidc.issuer needs auth.oidc.audience: a token for somebody else is not for this API" }}{{ end }}
{{- if and .Values.auth.proxy.cidrs (not .Values.auth.proxy.header) }}{{ fail "auth.proxy.cidrs needs auth.proxy.header, such as tenant=X-Tenant,role=X-Role" }}{{ end }}
{{- if and $asks (not .Values.tls.secret) (not .Values.tls.insecureNoTLS) }}{{ fail "keys and tokens would cross the network in plain text: set tls.secret, or tls.insecureNoTLS=true where a proxy or a mesh speaks TLS" }}{{ end }}
{{- if and .Values.tls.clientCA (not .Values.tls.secret) }}{{ fail "tls.clientCA needs tls.secret, with tls.crt, tls.key and ca.crt" }}{{ end }}
{{- if and .Values.codec.enabled (not .Values.payloadKeys.secret) }}{{ fail "codec.enabled needs payloadKeys.secret: there is nothing to decrypt" }}{{ end }}
{{- if and .Values.codec.enabled (not .Values.codec.tokenSecret.name) }}{{ fail "codec.enabled needs codec.tokenSecret.name: whoever asks shows that token" }}{{ end }}
{{- end }}

{{/* The environment of every part. */}}
{{- define "ltp.env" -}}
- {name: TEMPORAL_ADDRESS, value: {{ .Values.temporal.address | quote }}}
- {name: TEMPORAL_NAMESPACE, value: {{ .Values.temporal.namespace | quote }}}
{{- with .Values.temporal.apiKeySecret }}{{ if .name }}
- name: TEMPORAL_API_KEY
  valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ .key }}}}
{{- end }}{{ end }}
{{- if .Values.temporal.tlsSecret }}
- {name: TEMPORAL_TLS, value: "true"}
- {name: TEMPORAL_TLS_CLIENT_CERT_PATH, value: /etc/ltp/temporal/tls.crt}
- {name: TEMPORAL_TLS_CLIENT_KEY_PATH, value: /etc/ltp/temporal/tls.key}
{{- if .Values.temporal.serverCA }}
- {name: TEMPORAL_TLS_SERVER_CA_CERT_PATH, value: /etc/ltp/temporal/ca.crt}
{{- end }}
{{- end }}
{{- if .Values.payloadKeys.secret }}
- {name: LTP_PAYLOAD_KEY, value: {{ printf "/etc/ltp/payload/%s" .Values.payloadKeys.key }}}
{{- with .Values.payloadKeys.kms }}
- {name: LTP_PAYLOAD_KMS, value: {{ . | quote }}}
{{- end }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "ltp.password" -}}
{{- if .name }}
- name: PGPASSWORD
  valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ .key }}}}
{{- end }}
{{- end }}

{{/* Arguments of listeners. */}}
{{- define "ltp.listen" -}}
{{- if .Values.auth.keysSecret.name }}
- --keys=/etc/ltp/keys/{{ .Values.auth.keysSecret.key }}
{{- end }}
{{- if .Values.auth.insecureNoAuth }}
- --insecure-no-auth
{{- end }}
{{- if .Values.tls.secret }}
- --tls-cert=/etc/ltp/tls/tls.crt
- --tls-key=/etc/ltp/tls/tls.key
{{- end }}
{{- if .Values.tls.clientCA }}
- --tls-client-ca=/etc/ltp/tls/ca.crt
{{- end }}
{{- if and .Values.auth.keysSecret.name .Values.tls.insecureNoTLS }}
- --insecure-no-tls
{{- end }}
{{- end }}

{{/* The port of host:port, or of the first host of a URL; the default where none is named. */}}
{{- define "ltp.port" -}}
{{- $host := regexReplaceAll "^[a-z]+://([^@/]*@)?" .of "" | splitList "/" | first | splitList "," | first }}
{{- regexFind ":[0-9]+$" $host | trimPrefix ":" | default .default }}
{{- end }}

{{/* The argument of parts that mark orders, or send webhooks. */}}
{{- define "ltp.webhooks" -}}
{{- if .Values.webhooks.secret }}
- --webhooks=/etc/ltp/webhooks/{{ .Values.webhooks.key }}
{{- end }}
{{- end }}

{{/* Arguments about the order database. */}}
{{- define "ltp.orders" -}}
- --orders-db={{ .Values.ordersDB.url }}
- --orders-schema={{ .Values.ordersDB.schema }}
{{- if .Values.ordersDB.sql }}
- --orders-sql=/etc/ltp/config/orders.sql
{{- end }}
{{- with .Values.ordersDB.rejectOn }}
- --reject-on={{ join "," . }}
{{- end }}
{{- end }}

{{/* Files that every command reads, and a scratch directory. A file of keys that root owns may be read by the group alone. */}}
{{- define "ltp.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if .Values.temporal.tlsSecret }}
- {name: temporal-tls, mountPath: /etc/ltp/temporal, readOnly: true}
{{- end }}
{{- if .Values.payloadKeys.secret }}
- {name: payload-keys, mountPath: /etc/ltp/payload, readOnly: true}
{{- end }}
{{- end }}

{{- define "ltp.volumes" -}}
- {name: tmp, emptyDir: {sizeLimit: 16Mi}}
{{- if .Values.temporal.tlsSecret }}
- {name: temporal-tls, secret: {secretName: {{ .Values.temporal.tlsSecret }}, defaultMode: 0440}}
{{- end }}
{{- if .Values.payloadKeys.secret }}
- {name: payload-keys, secret: {secretName: {{ .Values.payloadKeys.secret }}, defaultMode: 0440}}
{{- end }}
{{- end }}

{{/* Files of parts that listen. The setup job has none of them: it runs before there is a ConfigMap. */}}
{{- define "ltp.partMounts" -}}
{{- if .Values.webhooks.secret }}
- {name: webhooks, mountPath: /etc/ltp/webhooks, readOnly: true}
{{- end }}
{{- if .Values.auth.keysSecret.name }}
- {name: api-keys, mountPath: /etc/ltp/keys, readOnly: true}
{{- end }}
{{- if .Values.tls.secret }}
- {name: tls, mountPath: /etc/ltp/tls, readOnly: true}
{{- end }}
{{- if or .Values.ordersDB.sql .Values.api.orderSchema }}
- {name: config, mountPath: /etc/ltp/config, readOnly: true}
{{- end }}
{{- end }}

{{- define "ltp.partVolumes" -}}
{{- if .Values.webhooks.secret }}
- {name: webhooks, secret: {secretName: {{ .Values.webhooks.secret }}, defaultMode: 0440}}
{{- end }}
{{- if .Values.auth.keysSecret.name }}
- {name: api-keys, secret: {secretName: {{ .Values.auth.keysSecret.name }}, defaultMode: 0440}}
{{- end }}
{{- if .Values.tls.secret }}
- {name: tls, secret: {secretName: {{ .Values.tls.secret }}, defaultMode: 0440}}
{{- end }}
{{- if or .Values.ordersDB.sql .Values.api.orderSchema }}
- {name: config, configMap: {name: {{ include "ltp.name" (dict "root" . "part" "config") }}}}
{{- end }}
{{- end }}

{{- define "ltp.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "ltp.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Probes of a port; of another one, live, whether the process is alive: customers may fill the first. A kubelet has no certificate to show. */}}
{{- define "ltp.probes" -}}
{{- $scheme := ternary "HTTPS" "HTTP" (ne .root.Values.tls.secret "") }}
{{- if .root.Values.tls.clientCA }}
readinessProbe: {tcpSocket: {port: {{ .port }}}, periodSeconds: 2}
livenessProbe: {tcpSocket: {port: {{ .live | default .port }}}, periodSeconds: 10, failureThreshold: 6}
{{- else }}
readinessProbe: {httpGet: {path: {{ .ready }}, port: {{ .port }}, scheme: {{ $scheme }}}, periodSeconds: 2, timeoutSeconds: 5}
livenessProbe: {httpGet: {path: /healthz, port: {{ .live | default .port }}, scheme: {{ $scheme }}}, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6}
{{- end }}
{{- end }}

{{/* A Deployment of a part: root, part, args, port (of probes), ready (its path), ports, password. */}}
{{- define "ltp.deployment" -}}
{{- $v := index .root.Values .part }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "ltp.name" . }}
  labels:
    {{- include "ltp.labels" . | nindent 4 }}
spec:
  replicas: {{ .replicas | default $v.replicas }}
  strategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}
  selector:
    matchLabels:
      {{- include "ltp.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "ltp.labels" . | nindent 8 }}
        {{- if ne .part "codec" }}
        ltp/admin: "true"
        {{- end }}
      annotations:
        checksum/config: {{ printf "%s%s" .root.Values.ordersDB.sql .root.Values.api.orderSchema | sha256sum }}
        {{- with .root.Values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: 60
      {{- with .root.Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        {{- include "ltp.podSecurity" . | nindent 8 }}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "ltp.selector" . | nindent 14 }}
      containers:
        - name: {{ .part }}
          image: {{ include "ltp.image" .root }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          args:
            {{- .args | nindent 12 }}
          env:
            {{- include "ltp.env" .root | nindent 12 }}
            {{- with .password }}
            {{- include "ltp.password" . | nindent 12 }}
            {{- end }}
          ports:
            {{- toYaml .ports | nindent 12 }}
          {{- include "ltp.probes" . | nindent 10 }}
          resources:
            {{- toYaml $v.resources | nindent 12 }}
          securityContext:
            {{- include "ltp.security" . | nindent 12 }}
          volumeMounts:
            {{- include "ltp.mounts" .root | nindent 12 }}
            {{- include "ltp.partMounts" .root | nindent 12 }}
            {{- with .mounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      volumes:
        {{- include "ltp.volumes" .root | nindent 8 }}
        {{- include "ltp.partVolumes" .root | nindent 8 }}
        {{- with .volumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with .root.Values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .root.Values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .root.Values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end }}
