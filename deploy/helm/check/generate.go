//go:build ignore

// This program takes the schemas of the objects that the chart makes out of the contract
// of a version of Kubernetes (Apache License 2.0), which the module k8s.io/kubernetes
// holds, and closes them: a field that is not in them is an error.
package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

var kinds = []string{
	"io.k8s.api.apps.v1.Deployment", "io.k8s.api.batch.v1.Job", "io.k8s.api.core.v1.ConfigMap", "io.k8s.api.core.v1.Service",
	"io.k8s.api.networking.v1.NetworkPolicy", "io.k8s.api.policy.v1.PodDisruptionBudget",
}

func main() {
	for _, version := range os.Args[1:] {
		out, err := exec.Command("go", "mod", "download", "-json", "k8s.io/kubernetes@"+version).Output()
		must(err)
		var module struct{ Dir string }
		must(json.Unmarshal(out, &module))
		data, err := os.ReadFile(filepath.Join(module.Dir, "api", "openapi-spec", "swagger.json"))
		must(err)
		var contract struct{ Definitions map[string]map[string]any }
		must(json.Unmarshal(data, &contract))
		kept := map[string]any{}
		for _, kind := range kinds {
			keep(contract.Definitions, kept, kind)
		}
		data, err = json.MarshalIndent(map[string]any{"definitions": kept}, "", " ")
		must(err)
		must(os.WriteFile("schemas/"+version+".json", append(data, '\n'), 0o644))
	}
}

// keep keeps a definition and all that it refers to.
func keep(all map[string]map[string]any, kept map[string]any, name string) {
	if kept[name] != nil {
		return
	}
	d := all[name]
	if d["format"] == "int-or-string" {
		d["type"] = []string{"integer", "string"}
	}
	if d["properties"] != nil {
		d["additionalProperties"] = false
	}
	kept[name] = d
	plain(d)
	refer(d, func(ref string) { keep(all, kept, ref) })
}

// plain removes what no check needs.
func plain(v any) {
	if m, ok := v.(map[string]any); ok {
		for k, inner := range m {
			if _, word := inner.(string); k == "format" || k == "description" && word || strings.HasPrefix(k, "x-kubernetes-") {
				delete(m, k)
				continue
			}
			plain(inner)
		}
	}
}

func refer(v any, each func(string)) {
	switch v := v.(type) {
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok {
			each(strings.TrimPrefix(ref, "#/definitions/"))
		}
		for _, inner := range v {
			refer(inner, each)
		}
	case []any:
		for _, inner := range v {
			refer(inner, each)
		}
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
