// Package check renders the Helm chart beside it as Helm does, and holds what comes out
// against the contracts of two versions of Kubernetes. It is a module of its own: Helm is
// of no use to the product.
package check

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	"sigs.k8s.io/yaml"
)

//go:generate go run generate.go v1.32.13 v1.37.2

// least is what has to be set.
const least = `
temporal: {address: "temporal.example:7233"}
ordersDB: {url: "postgres://app@db1,db2/orders", passwordSecret: {name: orders}}
setup: {url: "postgres://owner@db1,db2/orders", passwordSecret: {name: orders-owner}}
auth: {insecureNoAuth: true}
`

// most is everything at once.
const most = `
imagePullSecrets: [{name: registry}]
temporal: {address: "temporal.example:7233", namespace: shop, tlsSecret: temporal-tls, serverCA: true, apiKeySecret: {name: temporal}}
ordersDB:
  url: postgres://app@db1,db2/orders?sslmode=verify-full
  passwordSecret: {name: orders}
  schema: ltp
  sql: |
    INSERT INTO shop.orders (number) VALUES (@id);
  rejectOn: ["constraint:stock_units_check", "sqlstate:LT001"]
components: [orders-db, payments]
payloadKeys: {secret: payload, kms: "hashivault://ltp"}
webhooks: {secret: webhooks}
extraEnv: [{name: VAULT_SERVER_URL, value: "https://vault.example"}]
auth: {keysSecret: {name: api-keys}, oidc: {issuer: "https://id.example", audience: ltp}, proxy: {cidrs: [10.2.0.0/16], header: "tenant=X-Tenant,role=X-Role"}}
tls: {secret: ltp-tls}
setup: {url: "postgres://owner@db1,db2/orders", passwordSecret: {name: orders-owner}}
api: {orderSchema: '{"type": "object"}', service: {type: LoadBalancer, port: 443, annotations: {a: b}}, extraArgs: [--pprof]}
worker: {replicas: 4, extraArgs: [--backstop=1m]}
codec: {enabled: true, tokenSecret: {name: codec}, origins: ["https://temporal.example"]}
serviceMonitor: {enabled: true, labels: {release: prometheus}, keySecret: {name: prometheus}}
networkPolicy:
  customers: [{ipBlock: {cidr: 10.0.0.0/8}}]
  temporal: {to: [{namespaceSelector: {matchLabels: {name: temporal}}}]}
  extraEgress: [{ports: [{port: 443}]}]
  ordersDB: {to: [{ipBlock: {cidr: 10.1.0.0/16}}]}
nodeSelector: {disk: ssd}
tolerations: [{key: shop, operator: Exists}]
podAnnotations: {team: shop}
`

func load(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.LoadDir("..")
	require.NoError(t, err)
	for _, f := range c.Raw {
		assert.False(t, strings.HasPrefix(f.Name, "check/"), "%s is in the package", f.Name)
	}
	return c
}

// object is one object of Kubernetes.
type object map[string]any

func (o object) kind() string { return fmt.Sprint(o["kind"]) }

func (o object) name() string { return fmt.Sprint(o.at("metadata", "name")) }

// at is what stands at a path; nil where nothing does.
func (o object) at(path ...string) any {
	var v any = map[string]any(o)
	for _, p := range path {
		m, _ := v.(map[string]any)
		v = m[p]
	}
	return v
}

// render is what `helm template shop` makes of values.
func render(t *testing.T, values string) ([]object, error) {
	t.Helper()
	c := load(t)
	var given map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(values), &given))
	v, err := chartutil.ToRenderValues(c, given, chartutil.ReleaseOptions{Name: "shop", Namespace: "shop", Revision: 1, IsInstall: true}, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(c, v)
	if err != nil {
		return nil, err
	}
	var all []object
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, ".txt") {
			continue
		}
		for _, text := range strings.Split(files[name], "\n---") {
			var o object
			require.NoError(t, yaml.UnmarshalStrict([]byte(text), &o), "%s:\n%s", name, text)
			if len(o) > 0 {
				all = append(all, o)
			}
		}
	}
	return all, nil
}

// mustRender renders what has to work.
func mustRender(t *testing.T, values string) []object {
	t.Helper()
	all, err := render(t, values)
	require.NoError(t, err)
	return all
}

// one is the object of a kind and name.
func one(t *testing.T, all []object, kind, name string) object {
	t.Helper()
	for _, o := range all {
		if o.kind() == kind && o.name() == name {
			return o
		}
	}
	t.Fatalf("no %s %s", kind, name)
	return nil
}

func TestTheChartPassesHelmsOwnLint(t *testing.T) {
	for name, values := range map[string]string{"least": least, "most": most} {
		var given map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(values), &given))
		for _, m := range lint.All("..", given, "shop", true).Messages {
			if m.Severity >= support.WarningSev {
				t.Errorf("%s: %s", name, m)
			}
		}
	}
}

func TestWhatIsRenderedIsValidInTwoVersionsOfKubernetes(t *testing.T) {
	contracts, err := filepath.Glob("schemas/*.json")
	require.NoError(t, err)
	require.Len(t, contracts, 2)
	for _, contract := range contracts {
		compiler := jsonschema.NewCompiler()
		compiler.DefaultDraft(jsonschema.Draft4)
		data, err := os.ReadFile(contract)
		require.NoError(t, err)
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		require.NoError(t, err)
		require.NoError(t, compiler.AddResource("kubernetes.json", document))
		for name, values := range map[string]string{"least": least, "most": most} {
			t.Run(filepath.Base(contract)+" "+name, func(t *testing.T) {
				for _, o := range mustRender(t, values) {
					definition, known := definitions[fmt.Sprint(o["apiVersion"], " ", o["kind"])]
					if !known {
						assert.Equal(t, "ServiceMonitor", o.kind(), "an object without a contract")
						continue
					}
					schema, err := compiler.Compile("kubernetes.json#/definitions/" + definition)
					require.NoError(t, err)
					text, err := yaml.Marshal(o)
					require.NoError(t, err)
					asJSON, err := yaml.YAMLToJSON(text)
					require.NoError(t, err)
					value, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
					require.NoError(t, err)
					assert.NoError(t, schema.Validate(value), "%s %s", o.kind(), o.name())
				}
			})
		}
	}
}

var definitions = map[string]string{
	"apps/v1 Deployment":                 "io.k8s.api.apps.v1.Deployment",
	"batch/v1 Job":                       "io.k8s.api.batch.v1.Job",
	"v1 ConfigMap":                       "io.k8s.api.core.v1.ConfigMap",
	"v1 Service":                         "io.k8s.api.core.v1.Service",
	"networking.k8s.io/v1 NetworkPolicy": "io.k8s.api.networking.v1.NetworkPolicy",
	"policy/v1 PodDisruptionBudget":      "io.k8s.api.policy.v1.PodDisruptionBudget",
}

// TestNothingIsInstalledThatAsksNobody, and what is missing is said in a sentence.
func TestNothingIsInstalledThatAsksNobody(t *testing.T) {
	for change, says := range map[string]string{
		`auth: {insecureNoAuth: false}`:                                                     "nobody would be asked who they are",
		`auth: {insecureNoAuth: true, keysSecret: {name: k}}`:                               "unset one",
		`auth: {insecureNoAuth: false, keysSecret: {name: k}}`:                              "plain text",
		`tls: {clientCA: true}`:                                                             "needs tls.secret",
		`temporal: {address: ""}`:                                                           "set temporal.address",
		`ordersDB: {url: ""}`:                                                               "set ordersDB.url",
		`setup: {url: ""}`:                                                                  "set setup.url",
		`codec: {enabled: true}`:                                                            "needs payloadKeys.secret",
		`{payloadKeys: {secret: p}, codec: {enabled: true}}`:                                "codec.tokenSecret.name",
		`worker: {replicas: many}`:                                                          "replicas",
		`api: {minAvailble: 2}`:                                                             "minAvailble",
		`ordersDB: {url: "postgres://app:secret@db1/orders"}`:                               "url",
		`setup: {url: "postgres://owner:secret@db1/orders"}`:                                "url",
		`networkPolicy: {temporal: {port: 7233}}`:                                           "port",
		`ordersDB: {url: "postgres://app@db/orders?a=b&password=s"}`:                        "url",
		`auth: {insecureNoAuth: false, oidc: {issuer: "https://i", audience: a}}`:           "set auth.keysSecret.name besides",
		`auth: {insecureNoAuth: false, keysSecret: {name: k}, oidc: {issuer: "https://i"}}`: "needs auth.oidc.audience",
		`auth: {insecureNoAuth: true, proxy: {cidrs: [10.0.0.0/8]}}`:                        "unset one",
		`serviceMonitor: {enabled: true, interval: often}`:                                  "interval",
		`{ordersDB: {url: "mysql://x/y"}, setup: {url: "mysql://x/y"}}`:                     "url",
	} {
		var given, more map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(least), &given))
		require.NoError(t, yaml.Unmarshal([]byte(change), &more))
		values, err := yaml.Marshal(chartutil.CoalesceTables(more, given))
		require.NoError(t, err)
		_, err = render(t, string(values))
		assert.ErrorContains(t, err, says, change)
	}
}

// TestNoPodMayMoreThanItNeeds: no root, no shell's worth of privileges, no token of
// Kubernetes, a bound of memory.
func TestNoPodMayMoreThanItNeeds(t *testing.T) {
	pods := 0
	for _, o := range mustRender(t, most) {
		spec, is := o.at("spec", "template", "spec").(map[string]any)
		if !is {
			continue
		}
		pods++
		pod := object(spec)
		assert.Equal(t, false, pod["automountServiceAccountToken"], o.name())
		assert.Equal(t, true, pod.at("securityContext", "runAsNonRoot"), o.name())
		assert.Equal(t, "RuntimeDefault", pod.at("securityContext", "seccompProfile", "type"), o.name())
		all, _ := pod["containers"].([]any)
		first, _ := pod["initContainers"].([]any)
		for _, c := range append(all, first...) {
			container := object(c.(map[string]any))
			assert.Equal(t, true, container.at("securityContext", "readOnlyRootFilesystem"), o.name())
			assert.Equal(t, false, container.at("securityContext", "allowPrivilegeEscalation"), o.name())
			assert.Equal(t, []any{"ALL"}, container.at("securityContext", "capabilities", "drop"), o.name())
			assert.NotEmpty(t, container.at("resources", "limits", "memory"), o.name())
		}
	}
	assert.Equal(t, 5, pods, "api, worker, observer, codec and setup")
}

// TestTheAPIReachesNoOrderDatabase: what accepts orders has no business there, by its
// environment, its arguments and the network.
func TestTheAPIReachesNoOrderDatabase(t *testing.T) {
	all := mustRender(t, most)
	text, err := yaml.Marshal(one(t, all, "Deployment", "shop-api"))
	require.NoError(t, err)
	assert.NotContains(t, string(text), "orders-db=")
	assert.NotContains(t, string(text), "PGPASSWORD")
	ports := func(part string) string {
		egress, err := yaml.Marshal(one(t, all, "NetworkPolicy", "shop-"+part).at("spec", "egress"))
		require.NoError(t, err)
		return string(egress)
	}
	assert.NotContains(t, ports("api"), "5432")
	assert.Contains(t, ports("worker"), "5432")
	assert.Contains(t, ports("observer"), "5432")
	assert.Contains(t, ports("api"), "7233")
	assert.NotContains(t, ports("codec"), "7233")
	assert.Contains(t, ports("codec"), "443")
}

// TestPortsAreThoseOfTheAddresses: a policy with another one would cut everything off.
func TestPortsAreThoseOfTheAddresses(t *testing.T) {
	all := mustRender(t, `
temporal: {address: "temporal.example:7999"}
ordersDB: {url: "postgres://app@pooler:6432,other:6432/orders?sslmode=require"}
setup: {url: "postgres://owner@db1/orders"}
auth: {insecureNoAuth: true}
`)
	for part, want := range map[string][]string{"api": {"7999"}, "worker": {"7999", "6432"}, "setup": {"7999", "5432"}} {
		egress, err := yaml.Marshal(one(t, all, "NetworkPolicy", "shop-"+part).at("spec", "egress"))
		require.NoError(t, err)
		for _, port := range want {
			assert.Contains(t, string(egress), "port: "+port+"\n", part)
		}
	}
}

// TestPrometheusFindsTheJobsThatTheAlertsName, and no pod without metrics.
func TestPrometheusFindsTheJobsThatTheAlertsName(t *testing.T) {
	all := mustRender(t, most)
	selected, _ := one(t, all, "Service", "shop-admin").at("spec", "selector").(map[string]any)
	for part, want := range map[string]bool{"api": true, "worker": true, "observer": true, "codec": false} {
		labels, _ := one(t, all, "Deployment", "shop-"+part).at("spec", "template", "metadata", "labels").(map[string]any)
		matches := true
		for k, v := range selected {
			matches = matches && labels[k] == v
		}
		assert.Equal(t, want, matches, part)
	}
	setup, _ := one(t, all, "Job", "shop-setup").at("spec", "template", "metadata", "labels").(map[string]any)
	assert.NotContains(t, setup, "ltp/admin")
	monitor, err := yaml.Marshal(one(t, all, "ServiceMonitor", "shop-admin"))
	require.NoError(t, err)
	assert.Contains(t, string(monitor), "replacement: ltp-$1")
}

// TestSetupNeedsNothingThatTheReleaseMakes: it runs before the release is there.
func TestSetupNeedsNothingThatTheReleaseMakes(t *testing.T) {
	setup := one(t, mustRender(t, most), "Job", "shop-setup")
	assert.Contains(t, setup.at("metadata", "annotations", "helm.sh/hook"), "pre-install")
	volumes, _ := setup.at("spec", "template", "spec", "volumes").([]any)
	require.NotEmpty(t, volumes)
	for _, v := range volumes {
		assert.NotContains(t, v, "configMap")
	}
}

// TestEverySelectorMeansOnePart: services and budgets select the pods that they are named
// after, and no others.
func TestEverySelectorMeansOnePart(t *testing.T) {
	all := mustRender(t, most)
	for _, part := range []string{"api", "worker", "observer"} {
		labels, _ := one(t, all, "Deployment", "shop-"+part).at("spec", "template", "metadata", "labels").(map[string]any)
		selected, _ := one(t, all, "PodDisruptionBudget", "shop-"+part).at("spec", "selector", "matchLabels").(map[string]any)
		require.NotEmpty(t, selected)
		for k, v := range selected {
			assert.Equal(t, v, labels[k], part)
		}
		assert.Equal(t, part, selected["app.kubernetes.io/component"])
	}
}

// TestFlagsAreThoseOfTheBinary: every argument that the chart gives is a flag that the
// documents of the command name. The commands themselves are in the other module.
func TestFlagsAreThoseOfTheBinary(t *testing.T) {
	var source bytes.Buffer
	require.NoError(t, filepath.WalkDir("../../../cmd/ltp", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		_, err = io.Copy(&source, f)
		return errors.Join(err, f.Close())
	}))
	checked := 0
	for _, o := range mustRender(t, most) {
		containers, _ := o.at("spec", "template", "spec", "containers").([]any)
		for _, c := range containers {
			args, _ := object(c.(map[string]any))["args"].([]any)
			for _, arg := range args[1:] {
				flag, _, _ := strings.Cut(strings.TrimPrefix(fmt.Sprint(arg), "--"), "=")
				assert.Contains(t, source.String(), `"`+flag+`"`, "%s %s", o.name(), arg)
				checked++
			}
		}
	}
	assert.Greater(t, checked, 20)
}
