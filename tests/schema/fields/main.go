// SPDX-FileCopyrightText: kubestatic.node contributors
// SPDX-License-Identifier: GPL-3.0-or-later

// Command fields prints, as one JSON object, every struct that v1 Pod and KubeletConfiguration reach, with the JSON
// names and types of its fields, and the values of the string types that k8s.io/api marks with +enum.
//
// Usage: fields DIRECTORY-OF-K8S.IO/API/CORE/V1
//
// tests/schema/generate.py builds it once for each Kubernetes minor and describes the types' notation.
package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log"
	"os"
	"path"
	"reflect"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	kubeletv1beta1 "k8s.io/kubelet/config/v1beta1"
)

// Types that read their own JSON; what they take is written in the notation's letters.
var leaves = map[string]string{
	"k8s.io/apimachinery/pkg/api/resource.Quantity":        "q",
	"k8s.io/apimachinery/pkg/apis/meta/v1.Time":            "t",
	"k8s.io/apimachinery/pkg/apis/meta/v1.MicroTime":       "t",
	"k8s.io/apimachinery/pkg/apis/meta/v1.Duration":        "d",
	"k8s.io/apimachinery/pkg/apis/meta/v1.FieldsV1":        "any",
	"k8s.io/apimachinery/pkg/util/intstr.IntOrString":      "x",
	"k8s.io/apimachinery/pkg/api/resource.QuantityValue":   "q",
	"k8s.io/component-base/logs/api/v1.TimeOrMetaDuration": "n",
}

// String types with a closed set of values that lack the marker; pkg/apis/core/validation refuses others.
var closed = map[string]bool{
	"ContainerRestartPolicy":                  true,
	"ContainerRestartRuleAction":              true,
	"ContainerRestartRuleOnExitCodesOperator": true,
	"OSName":                      true,
	"PodSELinuxChangePolicy":      true,
	"RecursiveReadOnlyMode":       true,
	"ResourceResizeRestartPolicy": true,
}

var unmarshaler = reflect.TypeOf((*json.Unmarshaler)(nil)).Elem()

type walker struct {
	types map[string]map[string]string
	names map[string]reflect.Type
	enums map[string][]string
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: fields DIRECTORY-OF-K8S.IO/API/CORE/V1")
	}
	enums, err := readEnums(path.Join(os.Args[1], "types.go"))
	if err != nil {
		log.Fatal(err)
	}
	w := walker{types: map[string]map[string]string{}, names: map[string]reflect.Type{}, enums: enums}
	w.code(reflect.TypeOf(corev1.Pod{}))
	w.code(reflect.TypeOf(kubeletv1beta1.KubeletConfiguration{}))
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", " ")
	if err := out.Encode(map[string]any{"types": w.types, "enums": enums}); err != nil {
		log.Fatal(err)
	}
}

// code names a type in the table's notation and, for a struct, records its fields.
func (w *walker) code(t reflect.Type) string {
	name := t.PkgPath() + "." + t.Name()
	if leaf, ok := leaves[name]; ok {
		return leaf
	}
	if t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(unmarshaler) {
		log.Fatalf("%s reads its own JSON; say in leaves what it takes", name)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return "*" + w.code(t.Elem())
	case reflect.String:
		if _, ok := w.enums[t.Name()]; ok && t.PkgPath() == "k8s.io/api/core/v1" {
			return "s=" + t.Name()
		}
		return "s"
	case reflect.Bool:
		return "b"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "i" + strconv.Itoa(t.Bits())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "u" + strconv.Itoa(t.Bits())
	case reflect.Float32, reflect.Float64:
		return "f"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "B"
		}
		return "[]" + w.code(t.Elem())
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			log.Fatalf("%s: keys of kind %s", name, t.Key().Kind())
		}
		return "{}" + w.code(t.Elem())
	case reflect.Struct:
		return w.record(t)
	}
	log.Fatalf("%s: no notation for kind %s", name, t.Kind())
	return ""
}

func (w *walker) record(t reflect.Type) string {
	if seen, ok := w.names[t.Name()]; ok {
		if seen != t {
			log.Fatalf("two types named %s: %s and %s", t.Name(), seen.PkgPath(), t.PkgPath())
		}
		return t.Name()
	}
	w.names[t.Name()] = t
	fields := map[string]string{}
	w.types[t.Name()] = fields
	w.fields(t, fields)
	return t.Name()
}

func (w *walker) fields(t reflect.Type, into map[string]string) {
	for i := 0; i < t.NumField(); i++ {
		field := t.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case name == "-" || !field.IsExported():
		case name != "":
			into[name] = w.code(field.Type)
		case field.Anonymous || strings.Contains(options, "inline"):
			inner := field.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			w.fields(inner, into)
		default:
			into[field.Name] = w.code(field.Type)
		}
	}
}

// readEnums finds the string types that are closed sets, and the constants of those types.
func readEnums(file string) (map[string][]string, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	enums := map[string][]string{}
	for _, declaration := range parsed.Decls {
		if group, ok := declaration.(*ast.GenDecl); ok && group.Tok == token.TYPE {
			name := group.Specs[0].(*ast.TypeSpec).Name.Name
			if closed[name] || strings.Contains(group.Doc.Text(), "+enum") {
				enums[name] = []string{}
			}
		}
	}
	for _, declaration := range parsed.Decls {
		if group, ok := declaration.(*ast.GenDecl); ok && group.Tok == token.CONST {
			for _, spec := range group.Specs {
				if err := addValue(enums, spec.(*ast.ValueSpec)); err != nil {
					return nil, err
				}
			}
		}
	}
	return enums, nil
}

func addValue(enums map[string][]string, spec *ast.ValueSpec) error {
	kind, ok := spec.Type.(*ast.Ident)
	if !ok || enums[kind.Name] == nil {
		return nil
	}
	for _, value := range spec.Values {
		literal, ok := value.(*ast.BasicLit)
		if !ok {
			return fmt.Errorf("a value of %s is not a literal", kind.Name)
		}
		text, err := strconv.Unquote(literal.Value)
		if err != nil {
			return err
		}
		enums[kind.Name] = append(enums[kind.Name], text)
	}
	return nil
}
