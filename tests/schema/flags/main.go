// SPDX-FileCopyrightText: kubestatic.node contributors
// SPDX-License-Identifier: GPL-3.0-or-later

// Command flags prints, as one JSON list, the command-line flags that a kubelet for Linux registers, by reading the Go
// source that registers them.
//
// Usage: flags MODULE=DIRECTORY...
//
// The modules are k8s.io/kubernetes, k8s.io/component-base and cAdvisor's. It begins at NewKubeletCommand in
// cmd/kubelet/app and follows each flag set through the functions that get it. What it does not know how to follow
// ends the run: a flag that is left out would be called unknown later.
package main

import (
	"encoding/json"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	command    = "k8s.io/kubernetes/cmd/kubelet/app"
	options    = "k8s.io/kubernetes/cmd/kubelet/app/options"
	logs       = "k8s.io/component-base/logs"
	klogFlags  = "k8s.io/component-base/logs/klogflags"
	commandSet = "cleanFlagSet"
)

// Where NewKubeletCommand's calls lead; the empty one only reads the flags.
var roots = map[string]string{
	"kubeletFlags.AddFlags":         "KubeletFlags.AddFlags",
	"options.AddKubeletConfigFlags": "AddKubeletConfigFlags",
	"options.AddGlobalFlags":        "AddGlobalFlags",
	"cliflag.PrintFlags":            "",
}

// Methods of a flag set that add no flag.
var silent = map[string]bool{"AddFlagSet": true, "VisitAll": true}

// Helpers of globalflags.go that take a flag over from the program's own flag set.
var takeOver = map[string]bool{"register": true, "registerDeprecated": true, "pflagRegister": true}

type flag struct {
	Name string `json:"name"`
	// The Go field behind the flag, from its struct on: KubeletConfiguration.Authentication.Anonymous.Enabled.
	Target string `json:"target"`
	// The method of the flag set, and the function or type that makes a value of the field: Var, NewMapStringBool.
	Method     string `json:"method"`
	Wrapper    string `json:"wrapper"`
	Boolean    bool   `json:"boolean"`
	Deprecated bool   `json:"deprecated"`
}

type function struct {
	pkg  *source
	file *ast.File
	decl *ast.FuncDecl
}

// source is one parsed package; functions are keyed by name, methods by Type.Name.
type source struct {
	path      string
	files     []*ast.File
	functions map[string]function
}

// value is what a parameter or receiver stands for: the path of Go fields, and the type where it is known.
type value struct {
	path string
	pkg  *source
	kind string
}

type reader struct {
	modules  map[string]string
	packages map[string]*source
	flags    []*flag
	defined  map[string]bool // flags of the program's own flag set: name -> boolean
}

// frame is one function while it is read.
type frame struct {
	*reader
	function
	sets   map[string]bool
	values map[string]value
	locals map[string]ast.Expr
}

func main() {
	log.SetFlags(0)
	r := reader{modules: map[string]string{}, packages: map[string]*source{}, defined: map[string]bool{}}
	for _, argument := range os.Args[1:] {
		module, directory, _ := strings.Cut(argument, "=")
		r.modules[module] = directory
	}
	for module, directory := range r.modules {
		if strings.HasPrefix(module, "github.com/google/cadvisor") {
			r.define(directory)
		}
	}
	r.define(filepath.Join(r.modules["k8s.io/kubernetes"], "pkg", "credentialprovider"))
	r.checkLogs()
	r.command()
	seen := map[string]bool{}
	for _, one := range r.flags {
		if seen[one.Name] {
			log.Fatalf("--%s is there twice", one.Name)
		}
		seen[one.Name] = true
	}
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", " ")
	if err := out.Encode(r.flags); err != nil {
		log.Fatal(err)
	}
}

// command reads NewKubeletCommand, which makes the flag set and hands it on.
func (r *reader) command() {
	f := r.open(r.load(command).function("NewKubeletCommand"), nil)
	f.sets = map[string]bool{commandSet: true}
	ast.Inspect(f.decl.Body, func(node ast.Node) bool {
		call, ok := node.(*ast.CallExpr)
		if !ok {
			return true
		}
		if name := text(call.Fun); strings.HasPrefix(name, commandSet+".Bool") {
			f.register(call, strings.TrimPrefix(name, commandSet+"."))
		} else if f.passesSet(call) {
			root, known := roots[name]
			if !known {
				log.Fatalf("NewKubeletCommand: %s gets the flags; say in roots where that leads", name)
			}
			if root != "" {
				r.read(r.load(options).function(root), nil)
			}
		}
		return true
	})
	if len(r.flags) < 100 {
		log.Fatalf("only %d flags are found", len(r.flags))
	}
}

// read follows one function that gets a flag set. Conditions are passed over: the one around the flags of the JSON
// log format is true in a kubelet.
func (r *reader) read(fn function, arguments []value) {
	f := r.open(fn, arguments)
	first := len(r.flags)
	ast.Inspect(fn.decl.Body, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.AssignStmt:
			if name, ok := node.Lhs[0].(*ast.Ident); ok && len(node.Lhs) == len(node.Rhs) {
				f.locals[name.Name] = node.Rhs[0]
				if made := text(node.Rhs[0]); strings.HasSuffix(made, ".NewFlagSet()") || strings.HasSuffix(made, ".CommandLine") {
					f.sets[name.Name] = true
				}
			}
		case *ast.CallExpr:
			f.call(node)
		}
		return true
	})
	if all, except := deprecatesAll(fn.decl); all {
		for _, one := range r.flags[first:] {
			one.Deprecated = one.Deprecated || !except[one.Name]
		}
	}
}

func (r *reader) open(fn function, arguments []value) *frame {
	f := frame{reader: r, function: fn, sets: map[string]bool{}, values: map[string]value{}, locals: map[string]ast.Expr{}}
	if fn.decl.Recv != nil && len(fn.decl.Recv.List[0].Names) == 1 {
		kind := strings.TrimPrefix(text(fn.decl.Recv.List[0].Type), "*")
		f.values[fn.decl.Recv.List[0].Names[0].Name] = value{path: kind, pkg: fn.pkg, kind: kind}
	}
	index := 0
	for _, field := range fn.decl.Type.Params.List {
		kind := text(field.Type)
		for _, name := range field.Names {
			if strings.HasSuffix(strings.ToLower(kind), "flagset") {
				f.sets[name.Name] = true
			} else if index < len(arguments) && arguments[index].path != "" {
				f.values[name.Name] = arguments[index]
			} else {
				f.values[name.Name] = value{path: kind[strings.LastIndexAny(kind, ".*")+1:]}
			}
			index++
		}
	}
	return &f
}

func (f *frame) call(call *ast.CallExpr) {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if ok && f.isSet(selector.X) {
		f.method(call, selector.Sel.Name)
	} else if f.passesSet(call) {
		f.follow(call)
	}
}

// method reads a call on a flag set.
func (f *frame) method(call *ast.CallExpr, method string) {
	switch {
	case strings.HasSuffix(method, "Var") || strings.HasSuffix(method, "VarP"):
		f.register(call, method)
	case method == "AddFlag":
		lookup, ok := call.Args[0].(*ast.CallExpr)
		if !ok || !strings.HasSuffix(text(lookup.Fun), ".Lookup") {
			log.Fatalf("%s: cannot follow AddFlag(%s)", f.where(), text(call.Args[0]))
		}
		f.add(&flag{Name: f.constant(lookup.Args[0]), Method: method, Boolean: f.pkg.setsNoOptDefVal()})
	case method == "MarkDeprecated":
		f.find(f.constant(call.Args[0])).Deprecated = true
	case !silent[method]:
		log.Fatalf("%s: no reading for %s of a flag set", f.where(), method)
	}
}

// register reads fs.BoolVar(&c.Field, "name", ...) and its like; without Var, as in BoolP, there is no field.
func (f *frame) register(call *ast.CallExpr, method string) {
	one := flag{Method: method, Boolean: strings.HasPrefix(method, "Bool")}
	arguments := call.Args
	if strings.Contains(method, "Var") {
		one.Target, one.Wrapper = f.target(arguments[0])
		arguments = arguments[1:]
	}
	one.Name = f.constant(arguments[0])
	f.add(&one)
}

// follow goes on in a function that gets a flag set.
func (f *frame) follow(call *ast.CallExpr) {
	name := text(call.Fun)
	if takeOver[name] {
		f.takeOver(call, name)
		return
	}
	callee := f.callee(call.Fun)
	if callee.pkg.path == logs {
		if len(call.Args) != 2 || !strings.HasSuffix(text(call.Args[1]), ".SkipLoggingConfigurationFlags()") {
			log.Fatalf("%s: %s adds more than it did", f.where(), name)
		}
		return // checkLogs has seen that nothing is left.
	}
	arguments := make([]value, len(call.Args))
	for index, argument := range call.Args {
		if !f.isSet(argument) {
			arguments[index].path, _ = f.target(argument)
		}
	}
	f.read(callee, arguments)
}

func (f *frame) takeOver(call *ast.CallExpr, helper string) {
	name := f.constant(call.Args[2])
	boolean, known := f.defined[name]
	if !known {
		log.Fatalf("%s: nothing defines %s", f.where(), name)
	}
	name = strings.ReplaceAll(name, "_", "-")
	f.add(&flag{Name: name, Method: helper, Boolean: boolean, Deprecated: helper == "registerDeprecated"})
}

// callee finds the function behind an expression: name, package.Name, value.Name or value.Field.Name.
func (f *frame) callee(expression ast.Expr) function {
	switch expression := expression.(type) {
	case *ast.Ident:
		return f.pkg.function(expression.Name)
	case *ast.SelectorExpr:
		if name, ok := expression.X.(*ast.Ident); ok && f.values[name.Name].path == "" {
			return f.load(f.imported(f.file, name.Name)).function(expression.Sel.Name)
		}
		kind := f.kind(expression.X)
		return kind.pkg.function(kind.kind + "." + expression.Sel.Name)
	}
	log.Fatalf("%s: cannot follow %s", f.where(), text(expression))
	return function{}
}

// kind finds the type of value or value.Field.
func (f *frame) kind(expression ast.Expr) value {
	switch expression := expression.(type) {
	case *ast.Ident:
		if known := f.values[expression.Name]; known.pkg != nil {
			return known
		}
	case *ast.SelectorExpr:
		outer := f.kind(expression.X)
		file, field := outer.pkg.field(outer.kind, expression.Sel.Name)
		if field, ok := field.(*ast.SelectorExpr); ok {
			return value{pkg: f.load(f.imported(file, text(field.X))), kind: field.Sel.Name}
		}
	}
	log.Fatalf("%s: cannot tell the type of %s", f.where(), text(expression))
	return value{}
}

// target names the field that an expression points to, and what stands around it: &c.A.B, (*string)(&c.A),
// NewMapStringBool(&c.A), &IPVar{Val: &c.A}, and a local variable that is made of one of these.
func (f *frame) target(expression ast.Expr) (path, wrapper string) {
	switch expression := expression.(type) {
	case *ast.UnaryExpr:
		return f.target(expression.X)
	case *ast.CallExpr:
		if len(expression.Args) != 1 {
			return "", ""
		}
		path, _ = f.target(expression.Args[0])
		return path, last(expression.Fun)
	case *ast.CompositeLit:
		if len(expression.Elts) == 1 {
			if pair, ok := expression.Elts[0].(*ast.KeyValueExpr); ok {
				path, _ = f.target(pair.Value)
				return path, last(expression.Type)
			}
		}
	case *ast.SelectorExpr:
		if path, _ = f.target(expression.X); path != "" {
			return path + "." + expression.Sel.Name, ""
		}
	case *ast.Ident:
		if local, ok := f.locals[expression.Name]; ok {
			return f.target(local)
		}
		return f.values[expression.Name].path, ""
	}
	return "", ""
}

// constant is the text of a string literal or of a constant, here or in an imported package.
func (f *frame) constant(expression ast.Expr) string {
	switch expression := expression.(type) {
	case *ast.BasicLit:
		return unquoted(expression)
	case *ast.Ident:
		if literal := f.pkg.constant(expression.Name); literal != nil {
			return unquoted(literal)
		}
	case *ast.SelectorExpr:
		if literal := f.load(f.imported(f.file, text(expression.X))).constant(expression.Sel.Name); literal != nil {
			return unquoted(literal)
		}
	}
	log.Fatalf("%s: %s is no constant", f.where(), text(expression))
	return ""
}

func (f *frame) isSet(expression ast.Expr) bool {
	name, ok := expression.(*ast.Ident)
	return ok && f.sets[name.Name]
}

func (f *frame) passesSet(call *ast.CallExpr) bool {
	for _, argument := range call.Args {
		if f.isSet(argument) {
			return true
		}
	}
	return false
}

func (f *frame) where() string {
	return f.pkg.path + "." + f.decl.Name.Name
}

func (r *reader) add(one *flag) {
	r.flags = append(r.flags, one)
}

func (r *reader) find(name string) *flag {
	for _, one := range r.flags {
		if one.Name == strings.ReplaceAll(name, "_", "-") {
			return one
		}
	}
	log.Fatalf("--%s is marked and not there", name)
	return nil
}

// imported is the path of the package that a file calls by this name.
func (r *reader) imported(file *ast.File, name string) string {
	for _, one := range file.Imports {
		path := unquoted(one.Path)
		if one.Name != nil && one.Name.Name == name || one.Name == nil && filepath.Base(path) == name {
			return path
		}
	}
	log.Fatalf("%s is no import", name)
	return ""
}

// load parses the files of a package that belong to a kubelet for Linux.
func (r *reader) load(path string) *source {
	if known, ok := r.packages[path]; ok {
		return known
	}
	directory := ""
	for module, root := range r.modules {
		if path == module || strings.HasPrefix(path, module+"/") {
			directory = filepath.Join(root, strings.TrimPrefix(path, module))
		}
	}
	entries, err := os.ReadDir(directory)
	if err != nil {
		log.Fatalf("%s: %v", path, err)
	}
	linux := build.Context{GOOS: "linux", GOARCH: "amd64", Compiler: "gc", CgoEnabled: true}
	loaded := source{path: path, functions: map[string]function{}}
	for _, entry := range entries {
		name := entry.Name()
		if filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			continue
		}
		if match, err := linux.MatchFile(directory, name); err != nil {
			log.Fatal(err)
		} else if match {
			loaded.parse(filepath.Join(directory, name))
		}
	}
	r.packages[path] = &loaded
	return &loaded
}

func (s *source) parse(path string) {
	file := parse(path)
	s.files = append(s.files, file)
	for _, declaration := range file.Decls {
		if fn, ok := declaration.(*ast.FuncDecl); ok {
			name := fn.Name.Name
			if fn.Recv != nil {
				name = strings.TrimPrefix(text(fn.Recv.List[0].Type), "*") + "." + name
			}
			s.functions[name] = function{s, file, fn}
		}
	}
}

func (s *source) function(name string) function {
	found, ok := s.functions[name]
	if !ok {
		log.Fatalf("%s has no %s", s.path, name)
	}
	return found
}

func (s *source) constant(name string) (found *ast.BasicLit) {
	for _, file := range s.files {
		ast.Inspect(file, func(node ast.Node) bool {
			if spec, ok := node.(*ast.ValueSpec); ok && len(spec.Values) == 1 && spec.Names[0].Name == name {
				found, _ = spec.Values[0].(*ast.BasicLit)
			}
			return found == nil
		})
	}
	return found
}

// field is the type of a struct's field; an embedded one has its type's name.
func (s *source) field(kind, name string) (file *ast.File, found ast.Expr) {
	for _, candidate := range s.files {
		ast.Inspect(candidate, func(node ast.Node) bool {
			spec, ok := node.(*ast.TypeSpec)
			if !ok || spec.Name.Name != kind {
				return true
			}
			record, ok := spec.Type.(*ast.StructType)
			if !ok {
				return false
			}
			for _, field := range record.Fields.List {
				if len(field.Names) == 0 && last(field.Type) == name || len(field.Names) == 1 && field.Names[0].Name == name {
					file, found = candidate, field.Type
				}
			}
			return false
		})
	}
	return file, found
}

// setsNoOptDefVal says whether a package lets its flag stand without a value, as pflag does for booleans.
func (s *source) setsNoOptDefVal() (sets bool) {
	for _, file := range s.files {
		ast.Inspect(file, func(node ast.Node) bool {
			selector, ok := node.(*ast.SelectorExpr)
			sets = sets || ok && selector.Sel.Name == "NoOptDefVal"
			return !sets
		})
	}
	return sets
}

// define notes the flags that a directory's packages put into the program's own flag set.
func (r *reader) define(directory string) {
	err := filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		ast.Inspect(parse(path), func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok || len(call.Args) != 3 {
				return true
			}
			kind, isFlag := strings.CutPrefix(text(call.Fun), "flag.")
			if !isFlag {
				kind, isFlag = strings.CutPrefix(text(call.Fun), "pflag.")
			}
			if name, ok := call.Args[0].(*ast.BasicLit); ok && isFlag && name.Kind == token.STRING {
				r.defined[unquoted(name)] = kind == "Bool"
			}
			return true
		})
		return nil
	})
	if err != nil && !os.IsNotExist(err) {
		log.Fatal(err)
	}
}

// checkLogs sees to it that logs.AddFlags adds nothing when it is told to skip what LoggingConfiguration has.
func (r *reader) checkLogs() {
	adds := r.load(logs).function("AddFlags")
	skipped := map[string]bool{}
	for _, name := range cases(adds.decl) {
		skipped[name] = true
	}
	names := cases(r.load(klogFlags).function("Init").decl)
	ast.Inspect(r.load(logs).function("init").decl, func(node ast.Node) bool {
		if call, ok := node.(*ast.CallExpr); ok && strings.HasSuffix(text(call.Fun), "Var") {
			names = append(names, last(call.Args[1]))
		}
		return true
	})
	for _, name := range names {
		if !skipped[name] {
			log.Fatalf("%s adds %s", logs, name)
		}
	}
	if len(names) < 3 {
		log.Fatalf("%s is not what it was", logs)
	}
}

// cases lists what a function's switches compare with: texts, or names of constants.
func cases(fn *ast.FuncDecl) (names []string) {
	ast.Inspect(fn, func(node ast.Node) bool {
		if clause, ok := node.(*ast.CaseClause); ok {
			for _, one := range clause.List {
				names = append(names, last(one))
			}
		}
		return true
	})
	return names
}

// deprecatesAll tells whether a function marks each flag that it has added, and which ones it spares: the keys of its
// only map of booleans.
func deprecatesAll(fn *ast.FuncDecl) (all bool, except map[string]bool) {
	except = map[string]bool{}
	maps := 0
	ast.Inspect(fn, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.AssignStmt:
			all = all || strings.HasSuffix(text(node.Lhs[0]), ".Deprecated")
		case *ast.CompositeLit:
			if _, ok := node.Type.(*ast.MapType); ok {
				maps++
				for _, pair := range node.Elts {
					except[unquoted(pair.(*ast.KeyValueExpr).Key.(*ast.BasicLit))] = true
				}
			}
		}
		return true
	})
	if all && maps != 1 {
		log.Fatalf("%s: cannot tell which flags it spares", fn.Name.Name)
	}
	return all, except
}

func parse(path string) *ast.File {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		log.Fatal(err)
	}
	return file
}

func unquoted(literal *ast.BasicLit) string {
	value, err := strconv.Unquote(literal.Value)
	if err != nil {
		log.Fatalf("%s: %v", literal.Value, err)
	}
	return value
}

// last is the last name of an expression: Name of package.Name; the text of a literal.
func last(expression ast.Expr) string {
	if literal, ok := expression.(*ast.BasicLit); ok {
		return unquoted(literal)
	}
	name := text(expression)
	return name[strings.LastIndex(name, ".")+1:]
}

// text writes names and what is between them as Go does, a call without its arguments, anything else as nothing.
func text(expression ast.Expr) string {
	switch expression := expression.(type) {
	case *ast.Ident:
		return expression.Name
	case *ast.SelectorExpr:
		return text(expression.X) + "." + expression.Sel.Name
	case *ast.StarExpr:
		return "*" + text(expression.X)
	case *ast.ParenExpr:
		return text(expression.X)
	case *ast.CallExpr:
		return text(expression.Fun) + "()"
	}
	return ""
}
