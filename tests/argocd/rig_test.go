package argocd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	strongToken = "strong-password"
	// requestTimeoutS is what the ConfigMap says, longer than any deadline of the hub under test.
	requestTimeoutS = "6"
	suffixGo        = "-go"
	suffixFast      = "-fast"
)

// mode is one ApplicationSet of a rig: each rig has one for each template mode.
type mode struct {
	set    string
	suffix string
	goTmpl bool
}

func modes(set string) []mode {
	return []mode{{set + suffixGo, suffixGo, true}, {set + suffixFast, suffixFast, false}}
}

// rig is a cluster whose plugin is a hub with backends, or the sample plugin of the documentation.
type rig struct {
	t       testing.TB
	dir     string
	cluster *cluster
	modes   []mode

	hub    *hub
	sample *sample

	// ordered holds the parameter sets that the script ordered last, or those that it may not lose.
	ordered []params

	// files and intruder are what a fault has to put back.
	files    uint64
	intruder func()
}

// order makes sets the whole answer: what is missing in it is to be deleted.
func (r *rig) order(sets []params) {
	r.t.Helper()
	r.ordered = sets
	r.restore()
}

// restore makes every author answer what was ordered.
func (r *rig) restore() {
	r.t.Helper()
	scripts := r.scripts()
	if len(scripts) == 1 {
		scripts[0].order(answers(r.ordered))
		return
	}
	half := len(r.ordered) / 2
	if r.hub.options.merged {
		scripts[0].order(answers(r.ordered))
		scripts[1].order(answers(only(r.ordered, "name")))
		return
	}
	scripts[0].order(answers(r.ordered[:half]))
	scripts[1].order(answers(r.ordered[half:]))
}

func only(sets []params, key string) []params {
	made := []params{}
	for _, one := range sets {
		made = append(made, params{key: one[key], "owner": "team-a"})
	}
	return made
}

func (r *rig) scripts() []*script {
	if r.sample != nil {
		return []*script{r.sample.script}
	}
	scripts := []*script{}
	for _, one := range r.hub.backends {
		scripts = append(scripts, one.script)
	}
	return scripts
}

// names returns the Applications that were ordered of one ApplicationSet.
func (r *rig) names(m mode) []string {
	names := []string{}
	for _, one := range r.ordered {
		names = append(names, fmt.Sprint(one["name"])+m.suffix)
	}
	slices.Sort(names)
	return names
}

// observed is what one reconcile left behind.
type observed struct {
	condition condition
	// wronglyDeleted are Applications that the script did not order away.
	wronglyDeleted []string
	// wronglyPresent and wronglyAbsent are the difference between what is there and what was ordered.
	wronglyPresent []string
	wronglyAbsent  []string
	deleted        []string
}

func (o observed) right() bool {
	return len(o.wronglyDeleted)+len(o.wronglyPresent)+len(o.wronglyAbsent) == 0
}

func (o observed) String() string {
	return fmt.Sprintf("failed=%v text=%q wrongly deleted=%v wrongly present=%v wrongly absent=%v",
		o.condition.failed, o.condition.text, o.wronglyDeleted, o.wronglyPresent, o.wronglyAbsent)
}

// reconcile runs the controller once for one ApplicationSet and holds the Applications against the order.
func (r *rig) reconcile(m mode) observed {
	r.t.Helper()
	r.cluster.takeDeleted()
	r.cluster.reconcile(m.set)
	wanted, there := r.names(m), r.cluster.applications(m.set)
	deleted := r.cluster.takeDeleted()
	return observed{
		condition:      r.cluster.condition(m.set),
		deleted:        deleted,
		wronglyDeleted: both(deleted, wanted),
		wronglyPresent: without(there, wanted),
		wronglyAbsent:  without(wanted, there),
	}
}

// settle reconciles until the controller has done what was ordered, as its requeues would.
// It returns the names of the Applications that were deleted against the order on the way.
func (r *rig) settle(m mode, within time.Duration) (last observed, wrong []string) {
	r.t.Helper()
	end := time.Now().Add(within)
	for {
		last = r.reconcile(m)
		wrong = append(wrong, last.wronglyDeleted...)
		if (last.right() && !last.condition.failed) || time.Now().After(end) {
			return last, wrong
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func both(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(one string) bool { return !slices.Contains(b, one) })
}

func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(one string) bool { return slices.Contains(b, one) })
}

// applicationSet is the plain ApplicationSet of a rig: one plugin generator, one Application for each set.
func applicationSet(m mode, generators string) string {
	name, digest := "{{name}}", "{{digest}}"
	if m.goTmpl {
		name, digest = "{{.name}}", "{{.digest}}"
	}
	return fmt.Sprintf(`
metadata: {name: %s}
spec:
  goTemplate: %v
  generators:
%s
  template:
    metadata:
      name: '%s%s'
      annotations: {digest: '%s'}
    spec:
      project: default
      source: {repoURL: https://git.example.com/org/repo.git, targetRevision: HEAD, path: chart}
      destination: {server: https://kubernetes.default.svc, namespace: previews}
`, m.set, m.goTmpl, generators, name, m.suffix, digest)
}

const onePlugin = `
  - plugin:
      configMapRef: {name: my-plugin}
      requeueAfterSeconds: 30
`

// hubOptions say how a hub under test is configured and what it is made of.
type hubOptions struct {
	// route is YAML inside the one configured route, each line as deep as its name.
	route string
	// top is YAML at the top of the configuration.
	top string
	// claims: no configured route; the backends say what they serve.
	claims bool
	// raw: the first backend is on the bare stubs.
	raw bool
	// members is how many backends the route has; 0 means one.
	members int
	// merged: the second backend adds keys to the sets of the first.
	merged bool
	// schema is what the backends declare of their input.
	schema string
	// expectStore: the store must be initialised, and is, once.
	expectStore bool
	// command is put in front of the hub's.
	command []string
	// deadline is the hub's, short unless it says so.
	deadline string
	// requestTimeout replaces the ConfigMap's.
	requestTimeout string
	// path is added to baseUrl.
	path string
	// set is the base name of the ApplicationSets.
	set string
}

// hub is a hub under test, and its backends.
type hub struct {
	t        testing.TB
	dir      string
	options  hubOptions
	http     int
	grpc     int
	admin    int
	backends []*backend
	process  *process
}

// backend is one scripted backend of a hub.
type backend struct {
	name    string
	script  *script
	raw     bool
	process *process
}

var backendNames = []string{"images", "owners", "thirds"}

func hubCommand() []string { return shellWords("APPSET_HUB", "../../.venv/bin/appset-hub") }
func python3() []string    { return shellWords("APPSET_HUB_PYTHON", "../../.venv/bin/python") }

// newHub writes the configuration and starts the hub and its backends.
func newHub(t testing.TB, options hubOptions) *hub {
	t.Helper()
	h := &hub{t: t, dir: t.TempDir(), options: options, http: freePort(t), grpc: freePort(t), admin: freePort(t)}
	for index := range max(1, options.members) {
		name := backendNames[index]
		h.backends = append(h.backends, &backend{
			name: name, script: newScript(t, h.dir, name), raw: options.raw && index == 0,
		})
		h.write(name+".token", "token-of-"+name+"\n")
	}
	h.write("client.token", strongToken+"\n")
	h.write("hub.yaml", h.config())
	_ = os.Mkdir(filepath.Join(h.dir, "store"), 0o700)
	if options.expectStore {
		h.initialiseStore("--offline")
	}
	return h
}

func (h *hub) expected() string {
	if h.options.expectStore {
		return "initialised"
	}
	return "any"
}

// initialiseStore says, as an operator, that an empty store is right.
func (h *hub) initialiseStore(arguments ...string) {
	h.t.Helper()
	if said, err := h.cli(append([]string{"store", "init"}, arguments...)...); err != nil {
		h.t.Fatalf("appset-hub store init: %v: %s", err, said)
	}
}

func (h *hub) file(name string) string { return filepath.Join(h.dir, name) }

func (h *hub) write(name, text string) {
	h.t.Helper()
	if err := os.WriteFile(h.file(name+".new"), []byte(text), 0o600); err != nil {
		h.t.Fatalf("write %s: %v", name, err)
	}
	if err := os.Rename(h.file(name+".new"), h.file(name)); err != nil {
		h.t.Fatalf("write %s: %v", name, err)
	}
}

func (h *hub) config() string {
	var text strings.Builder
	fmt.Fprintf(&text, "listen: {http: %q, grpc: %q, admin: %q}\n", loopback(h.http), loopback(h.grpc), loopback(h.admin))
	fmt.Fprintf(&text, "store: {url: %q, expect: %s}\n", "sqlite:"+h.file("store/hub.db"), h.expected())
	deadline := h.options.deadline
	if deadline == "" {
		deadline = "3s"
	}
	fmt.Fprintf(&text, "deadline: %s\nwait_for_absent: 800ms\ndrain: {delay: 500ms, timeout: 5s}\n", deadline)
	fmt.Fprintf(&text, "clients:\n- {name: argocd, tokens: [{file: %q}], application_sets: [\"*\"], routes: [\"*\"]}\n", h.file("client.token"))
	text.WriteString("backends:\n")
	names := []string{}
	for _, one := range h.backends {
		names = append(names, one.name)
		fmt.Fprintf(&text, "- {name: %s, tokens: [{file: %q}], application_sets: [\"*\"]}\n", one.name, h.file(one.name+".token"))
	}
	if !h.options.claims {
		fmt.Fprintf(&text, "routes:\n- name: previews\n  application_sets: [\"faults-*\"]\n  backends: [%s]\n", strings.Join(names, ", "))
		if h.options.merged {
			text.WriteString("  combine: {merge: {on: [name]}}\n")
		}
		text.WriteString(indent(h.options.route, "  "))
	}
	text.WriteString(h.options.top)
	return text.String()
}

func indent(text, by string) string {
	if text == "" {
		return ""
	}
	return by + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n"+by) + "\n"
}

// startHub starts the hub's process and waits until it is ready.
func (h *hub) startHub() {
	h.t.Helper()
	h.launch()
	eventually(h.t, "the hub is ready", func() bool {
		if !h.process.alive() {
			h.t.Fatalf("the hub ended: %s", h.process.output(1500))
		}
		return status("http://"+loopback(h.admin)+"/readyz") == 200
	})
}

// launch starts the hub's process, whatever becomes of it.
func (h *hub) launch(front ...string) {
	h.t.Helper()
	command := append(slices.Clone(front), h.options.command...)
	command = append(command, hubCommand()...)
	h.process = start(h.t, h.dir, "hub", append(command, "serve", "--config", h.file("hub.yaml")))
}

func (h *hub) startBackends() {
	h.t.Helper()
	for _, one := range h.backends {
		h.startBackend(one)
	}
}

func (h *hub) startBackend(one *backend) {
	h.t.Helper()
	program := "scripted.py"
	if one.raw {
		program = "raw.py"
	}
	command := append(python3(), filepath.Join("backend", program),
		"--name", one.name, "--hub", loopback(h.grpc), "--token-file", h.file(one.name+".token"), "--script", one.script.path)
	if h.options.claims {
		command = append(command, "--application-sets", "faults-*")
	}
	if h.options.schema != "" {
		command = append(command, "--schema", h.options.schema)
	}
	one.process = start(h.t, h.dir, one.name, command)
}

func (h *hub) url() string { return "http://" + loopback(h.http) + h.options.path }

// cli runs a command that speaks to the running hub.
func (h *hub) cli(arguments ...string) (string, error) {
	command := append(hubCommand(), append(arguments, "--config", h.file("hub.yaml"))...)
	output, err := exec.Command(command[0], command[1:]...).CombinedOutput()
	return string(output), err
}

// guarded says whether this hub has a guard whose held answers an operator can accept.
var guarded = sync.OnceValue(func() bool {
	command := append(hubCommand(), "accept", "--help")
	return exec.Command(command[0], command[1:]...).Run() == nil
})

// newHubRig starts a hub with its backends, and a cluster that asks it.
func newHubRig(t testing.TB, options hubOptions) *rig {
	t.Helper()
	if options.set == "" {
		options.set = "faults"
	}
	h := newHub(t, options)
	r := &rig{t: t, dir: h.dir, hub: h, modes: modes(options.set)}
	r.order(numbered(1, 12))
	h.startHub()
	h.startBackends()
	r.connect(h.url(), options.requestTimeout)
	return r
}

// connect makes the cluster, with an ApplicationSet for each template mode.
func (r *rig) connect(url, requestTimeout string) {
	r.t.Helper()
	if requestTimeout == "" {
		requestTimeout = requestTimeoutS
	}
	r.cluster = newPluginCluster(r.t, url, strongToken)
	r.cluster.setConfigMap(map[string]string{
		"baseUrl": url, "token": "$" + tokenKey, "requestTimeout": requestTimeout,
	})
	for _, m := range r.modes {
		r.cluster.apply(applicationSet(m, onePlugin))
	}
}

// The faults below mean the same to a hub and to the sample plugin: what the author wrote dies, stops or comes back.

func (r *rig) script(a act) { r.scripts()[0].order(a) }

func (r *rig) authorProcess() *process {
	if r.sample != nil {
		return r.sample.process
	}
	return r.hub.backends[0].process
}

func (r *rig) startAuthor() {
	if r.sample != nil {
		r.sample.start()
		return
	}
	r.hub.startBackend(r.hub.backends[0])
}

func (r *rig) killAuthor()      { r.authorProcess().kill() }
func (r *rig) terminateAuthor() { r.authorProcess().terminate() }
func (r *rig) stopAuthor()      { r.authorProcess().signal(syscall.SIGSTOP) }
func (r *rig) continueAuthor()  { r.authorProcess().signal(syscall.SIGCONT) }

// reviveAuthor starts the author's process again if it is gone.
func (r *rig) reviveAuthor() {
	if r.authorProcess().alive() {
		return
	}
	r.startAuthor()
	r.awaitAuthor()
}

// awaitAuthor waits until the author can be asked.
func (r *rig) awaitAuthor() {
	r.t.Helper()
	if r.sample != nil {
		r.sample.await()
		return
	}
	r.hub.awaitBackends()
}

// serverProcess is what answers Argo CD: the hub, or the sample plugin.
func (r *rig) serverProcess() *process {
	if r.sample != nil {
		return r.sample.process
	}
	return r.hub.process
}

func (r *rig) startServer() {
	if r.sample != nil {
		r.sample.start()
		r.sample.await()
		return
	}
	r.hub.startHub()
}

func (r *rig) port() int {
	if r.sample != nil {
		return r.sample.port
	}
	return r.hub.http
}

func (r *rig) url() string { return "http://" + loopback(r.port()) }
