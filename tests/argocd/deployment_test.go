package argocd

import (
	"crypto/rand"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// way is a way to deploy the hub that docs/install.md has, and what its reader does on it.
type way struct {
	name string
	// lay writes the kustomization that a reader would have, and returns its folder.
	lay func(t testing.TB, dir string) string
	// edits are what he puts into its files: his registry, his plugin.
	edits func(d *deployment) []edit
	// connect are his changes to deploy/argocd.
	connect []edit
	// baseURL is what he tells `appset-hub argocd manifests`; empty: nothing.
	baseURL string
	// plugin: one backend is a plugin of old, behind `http-plugin`.
	plugin bool
}

// whole are the ways with everything in it that the hub has.
var whole = []way{
	{
		name: "standalone", lay: func(t testing.TB, dir string) string { return layOverlay(t, dir, "production") },
		edits: func(d *deployment) []edit {
			return []edit{{"oci.yaml", "https://registry.example.com", d.registry.url()}}
		},
	},
	{
		name: "sidecar", lay: layWholeSidecar, plugin: true,
		edits: func(d *deployment) []edit {
			return []edit{
				{"oci.yaml", "https://registry.example.com", d.registry.url()},
				{"http-plugin.yaml", "http://myplugin.plugin-ns.svc.cluster.local", "http://" + loopback(d.plugin.port)},
				{"hub.yaml", "backends:\n", "backends:\n  - name: http-plugin\n    tokens: [{file: /run/secrets/appset-hub/http-plugin}]\n"},
				{"hub.yaml", "    application_sets: [myplugin]\n    backends: [static]", "    application_sets: [myplugin]\n    backends: [http-plugin]"},
			}
		},
		// The two addresses that the comment in 10-configmap.yaml proposes: one for each ConfigMap.
		connect: []edit{
			{"10-configmap.yaml", `baseUrl: "http://appset-hub.appset-hub.svc.cluster.local:4355"`, `baseUrl: "http://localhost:4355"`},
			{"11-configmap-route.yaml", "http://appset-hub.appset-hub.svc.cluster.local:4355/", "http://appset-hub.argocd.svc.cluster.local:4355/"},
		},
		baseURL: "http://localhost:4355",
	},
}

// least are the ways to try it: what docs/install.md begins with, and what the comments of the components propose.
var least = []way{
	{name: "standalone", lay: func(t testing.TB, dir string) string { return layOverlay(t, dir, "dev") }},
	{
		name: "sidecar", lay: layLeastSidecar, baseURL: "http://localhost:4355",
		edits: func(*deployment) []edit {
			const client = "    tokens: [{file: /run/secrets/appset-hub/argocd}]\n"
			return []edit{{"hub.yaml", client, client + "backends:\n  - name: static\n" +
				"    tokens: [{file: /run/secrets/appset-hub/static}]\n    application_sets: [fake-appset]\n"}}
		},
	},
}

// layOverlay lays out an overlay of the hub.
func layOverlay(t testing.TB, dir, overlay string) string {
	t.Helper()
	copyFolder(t, filepath.Join(deployFolder, "kustomize"), filepath.Join(dir, "kustomize"))
	return filepath.Join(dir, "kustomize", "overlays", overlay)
}

// layWholeSidecar lays out the production overlay's files, and a plugin of old beside them.
func layWholeSidecar(t testing.TB, dir string) string {
	t.Helper()
	for _, file := range []string{"hub.yaml", "oci.yaml", "static.yaml"} {
		production := filepath.Join(deployFolder, "kustomize", "overlays", "production")
		writeFile(t, filepath.Join(dir, file), readText(t, filepath.Join(production, file)))
	}
	propose(t, dir, "backends/http-plugin", "http-plugin.yaml")
	return laySidecar(t, dir, `
components:
  - kustomize/components/sidecar
  - kustomize/components/backends/oci
  - kustomize/components/backends/static
  - kustomize/components/backends/http-plugin
  - kustomize/components/tls
configMapGenerator:
  - {name: appset-hub-config, files: [hub.yaml], options: {disableNameSuffixHash: true}}
  - {name: appset-hub-oci, files: [oci.yaml]}
  - {name: appset-hub-static, files: [static.yaml], options: {disableNameSuffixHash: true}}
  - {name: appset-hub-http-plugin, files: [http-plugin.yaml]}
`)
}

// layLeastSidecar lays out what the comments of two components propose.
func layLeastSidecar(t testing.TB, dir string) string {
	t.Helper()
	propose(t, dir, "sidecar", "hub.yaml")
	propose(t, dir, "backends/static", "static.yaml")
	return laySidecar(t, dir, `
components: [kustomize/components/sidecar, kustomize/components/backends/static]
configMapGenerator:
  - {name: appset-hub-config, files: [hub.yaml], options: {disableNameSuffixHash: true}}
  - {name: appset-hub-static, files: [static.yaml], options: {disableNameSuffixHash: true}}
`)
}

// laySidecar lays out the ApplicationSet controller of this release of Argo CD, and what a reader adds to it.
func laySidecar(t testing.TB, dir, added string) string {
	t.Helper()
	copyFolder(t, filepath.Join(deployFolder, "kustomize"), filepath.Join(dir, "kustomize"))
	copyFolder(t, filepath.Join(argoDir(), "manifests", "base", "applicationset-controller"), filepath.Join(dir, "argo-cd"))
	writeFile(t, filepath.Join(dir, "kustomization.yaml"), "namespace: argocd\nresources: [argo-cd]"+added)
	return dir
}

// propose writes the file that the comment at the head of a component proposes.
func propose(t testing.TB, dir, component, file string) {
	t.Helper()
	head := readText(t, filepath.Join(deployFolder, "kustomize", "components", component, "kustomization.yaml"))
	_, text, there := strings.Cut(head, "#   # "+file+"\n")
	if !there {
		t.Fatalf("%s proposes no %s", component, file)
	}
	made := []string{}
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#   ") {
			break
		}
		made = append(made, strings.TrimPrefix(line, "#   "))
	}
	writeFile(t, filepath.Join(dir, file), strings.Join(made, ""))
}

// deployment is a hub with its backends, started as it is rendered.
type deployment struct {
	t        testing.TB
	way      way
	dir      string
	registry *registry
	plugin   *sample
	// tokens are the keys of the Secret that docs/install.md has the reader make.
	tokens map[string]string
	pods   []*pod
	hub    *hub
	// config is the hub's configuration in its pod.
	config string
}

func newDeployment(t testing.TB, w way, r *registry) *deployment {
	t.Helper()
	d := &deployment{t: t, way: w, dir: t.TempDir(), registry: r, tokens: map[string]string{}}
	for _, name := range []string{"argocd", "admin", "oci", "static", "http-plugin"} {
		d.tokens[name] = rand.Text()
	}
	if w.plugin {
		d.startPlugin()
	}
	folder := w.lay(t, d.dir)
	if w.edits != nil {
		for _, one := range w.edits(d) {
			one.make(t, folder)
		}
	}
	objects := kustomize(t, folder)
	d.pods = newPods(t, filepath.Join(d.dir, "pods"), objects, map[string]map[string]string{
		"appset-hub-tokens":      d.tokens,
		"appset-hub-tls":         newCertificate(t, "appset-hub-backends"),
		"appset-hub-http-plugin": {"token": strongToken},
	})
	leadServices(t, objects, d.pods)
	d.start(objects)
	return d
}

// startPlugin starts the sample plugin of Argo CD's documentation.
func (d *deployment) startPlugin() {
	d.t.Helper()
	dir := d.t.TempDir()
	d.plugin = &sample{t: d.t, dir: dir, script: newScript(d.t, dir, "author"), port: freePort(d.t)}
	writeFile(d.t, filepath.Join(dir, "token"), strongToken+"\n")
	d.plugin.script.order(answers([]params{{"name": "shop"}, {"name": "checkout"}}))
	d.plugin.start()
	d.plugin.await()
}

// start starts every container with the hub's image, and waits until all backends can be asked.
func (d *deployment) start(objects []client.Object) {
	d.t.Helper()
	backends := []string{}
	for _, p := range d.pods {
		for _, container := range p.ours() {
			if container.Command[0] == "appset-hub" {
				d.startHub(p, container)
				continue
			}
			d.startBackend(p, container)
			backends = append(backends, container.Command[1])
		}
	}
	if d.hub == nil {
		d.t.Fatalf("none of %d objects starts a hub", len(objects))
	}
	eventually(d.t, "the hub is ready", func() bool {
		return status("http://"+loopback(d.hub.admin)+"/readyz") == 200
	})
	for _, name := range backends {
		d.hub.awaitBackend(name, true)
	}
}

// startHub starts the hub of a pod, on the pod's ports.
func (d *deployment) startHub(p *pod, container corev1.Container) {
	d.t.Helper()
	d.hub = &hub{t: d.t, dir: p.root, http: p.ports[4355], grpc: p.ports[4356], admin: p.ports[4357]}
	d.config = p.at("/etc/appset-hub/hub.yaml")
	command := slices.Concat(hubCommand(), p.command(container)[1:], []string{
		"--http", loopback(d.hub.http), "--grpc", loopback(d.hub.grpc), "--admin", loopback(d.hub.admin),
	})
	d.initialiseStore()
	d.hub.process = start(d.t, d.dir, p.name, command)
	if len(p.ours()) < len(p.containers()) {
		// Argo CD's controller is in the same pod.
		for port, to := range p.ports {
			names.lead(d.t, "localhost", port, to)
		}
	}
}

// initialiseStore does what docs/install.md has the reader do once, for a hub that expects it.
func (d *deployment) initialiseStore() {
	d.t.Helper()
	if !strings.Contains(readText(d.t, d.config), "expect: initialised") {
		return
	}
	words := append(hubCommand(), "store", "init", "--offline", "--config", d.config)
	if said, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		d.t.Fatalf("appset-hub store init: %v: %s", err, said)
	}
}

// startBackend starts a backend of a pod, which finds the hub by the name of its Service.
func (d *deployment) startBackend(p *pod, container corev1.Container) {
	d.t.Helper()
	command := slices.Concat(backendCommand(), p.command(container)[1:])
	for i, part := range command {
		if service, found := strings.CutPrefix(part, "--hub="); found {
			command[i] = "--hub=" + names.find(d.t, service, p.namespace)
		}
		if port, found := strings.CutPrefix(part, "--admin=:"); found {
			number, _ := strconv.Atoi(port)
			command[i] = "--admin=" + loopback(p.ports[int32(number)])
		}
	}
	start(d.t, d.dir, p.name, command)
}

func backendCommand() []string {
	return shellWords("APPSET_HUB_BACKEND", "../../.venv/bin/appset-hub-backend")
}

// argocdManifests returns what `appset-hub argocd manifests` prints for the hub's configuration.
func (d *deployment) argocdManifests(t testing.TB, arguments ...string) string {
	t.Helper()
	if d.way.baseURL != "" {
		arguments = append(arguments, "--base-url", d.way.baseURL)
	}
	return d.argocd(t, "manifests", arguments...)
}

// argocd returns what a command of `appset-hub argocd` prints for the hub's configuration.
func (d *deployment) argocd(t testing.TB, command string, arguments ...string) string {
	t.Helper()
	words := slices.Concat(hubCommand(), []string{"argocd", command, "--config", d.config}, arguments)
	text, err := exec.Command(words[0], words[1:]...).Output()
	if err != nil {
		t.Fatalf("appset-hub argocd %s %s: %v", command, join(arguments), err)
	}
	return string(text)
}
