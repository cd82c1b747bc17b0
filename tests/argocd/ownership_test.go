package argocd

import (
	"maps"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http/httpproxy"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubeyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// foreign is what Argo CD and its user have in the namespace: nothing of the hub's may remove a key of it.
func foreign() []client.Object {
	named := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{
			Name: name, Namespace: controllerNamespace, Labels: map[string]string{"app.kubernetes.io/part-of": "argocd"},
		}
	}
	made := []client.Object{}
	// The hub's tokens and certificates are the user's, too; with a sidecar they are in this namespace.
	for _, name := range []string{"argocd-secret", "my-secret", "appset-hub", "appset-hub-tokens", "appset-hub-tls", "appset-hub-oci"} {
		made = append(made, &corev1.Secret{
			ObjectMeta: named(name),
			Data:       map[string][]byte{"admin.password": []byte("theirs"), "server.secretkey": []byte("theirs"), "argocd": []byte("theirs")},
		})
	}
	for _, name := range []string{"argocd-cm", "argocd-cmd-params-cm", "my-plugin", "appset-hub-config", "appset-hub-static", "appset-hub-oci", "appset-hub-http-plugin"} {
		made = append(made, &corev1.ConfigMap{
			ObjectMeta: named(name), Data: map[string]string{"url": "theirs", "hub.yaml": "theirs"},
		})
	}
	return made
}

// newNamespace returns a namespace in which the foreign objects were written in one way.
func newNamespace(t testing.TB, written writing) *kubectl {
	t.Helper()
	k := newKubectl(t)
	for _, object := range foreign() {
		if err := written.do(k, object); err != nil {
			t.Fatalf("%s of %s: %v", written.name, object.GetName(), err)
		}
	}
	return k
}

// lost returns the keys that are gone or have another value.
func lost(before, after map[string]string) []string {
	gone := []string{}
	for key, value := range before {
		if now, there := after[key]; !there || now != value {
			gone = append(gone, key)
		}
	}
	slices.Sort(gone)
	return gone
}

var (
	ways    = []writing{byCreate, byClientSide, byServerSide}
	applies = []writing{byClientSide, byServerSide, byForce, byOwnManager}
)

// TestApplyRemovesTheKeysOfAnother shows what the tests below would miss if the libraries did not do as kubectl does:
// why a manifest of a Secret with one key is nothing to be applied.
func TestApplyRemovesTheKeysOfAnother(t *testing.T) {
	one := pluginSecret("argocd-secret", map[string]string{tokenKey: "ours"})
	for _, apply := range applies {
		t.Run(apply.name, func(t *testing.T) {
			k := newNamespace(t, byClientSide)
			before := k.held()
			if err := apply.do(k, one); err != nil {
				t.Fatalf("%v", err)
			}
			wanted := []string{"Secret argocd-secret admin.password", "Secret argocd-secret argocd", "Secret argocd-secret server.secretkey"}
			if gone := lost(before, k.held()); !slices.Equal(gone, wanted) {
				t.Errorf("lost %q, not %q", gone, wanted)
			}
		})
	}
}

const twoClients = `
clients:
  - {name: argocd, tokens: [{file: argocd.token}]}
  - {name: team-b, tokens: [{file: team-b.token}]}
backends: [{name: one, tokens: [{file: one.token}], application_sets: ["*"]}]
routes:
  - {name: previews, application_sets: ["fb-*"], backends: [one], unique_by: [name], echo: [branch]}
  - {name: config, application_sets: [config], backends: [one]}
  - {name: static, application_sets: [static], backends: [one]}
`

// options returns every combination of the options that choose names.
func options() [][]string {
	made := [][]string{}
	for _, client := range [][]string{nil, {"--client", "argocd"}, {"--client", "team-b"}} {
		for _, secret := range []string{"", "argocd-secret", "my-secret", "appset-hub", "appset-hub-tokens"} {
			chosen := slices.Clone(client)
			if secret != "" {
				chosen = append(chosen, "--secret", secret)
			}
			made = append(made, chosen)
		}
	}
	return made
}

// prints is what the two commands print for one combination of options.
type prints struct {
	options   []string
	manifests []client.Object
	// secret is set for the hub's own, patch for any other.
	secret []client.Object
	name   string
	patch  []byte
}

// printAll runs the commands with every combination of options; a combination may be refused, but says nothing then.
func printAll(t *testing.T) []prints {
	t.Helper()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "hub.yaml"), twoClients)
	for _, name := range []string{"argocd", "team-b", "one"} {
		writeFile(t, filepath.Join(dir, name+".token"), name+"-token\n")
	}
	run := func(command string, arguments ...string) []byte {
		words := slices.Concat(hubCommand(), []string{"argocd", command, "--config", filepath.Join(dir, "hub.yaml")}, arguments)
		text, err := exec.Command(words[0], words[1:]...).Output()
		if err != nil && len(text) > 0 {
			t.Errorf("%s fails, and prints: %s", join(words), text)
		}
		return text
	}
	made := []prints{}
	for _, chosen := range options() {
		for _, more := range [][]string{nil, {"--show-token"}, {"--route", "previews"}, {"--route", "config"}} {
			arguments := slices.Concat(chosen, more)
			made = append(made, prints{options: arguments, manifests: decode(t, run("manifests", arguments...))})
		}
		one := prints{options: chosen}
		if text := run("secret", chosen...); strings.HasPrefix(string(text), "{") {
			one.patch, one.name = text, chosen[len(chosen)-1]
		} else {
			one.secret = decode(t, text)
		}
		if len(one.patch) == 0 && len(one.secret) == 0 {
			t.Errorf("secret %s prints nothing", join(chosen))
		}
		made = append(made, one)
	}
	return made
}

func TestNothingPrintedRemovesTheKeysOfAnother(t *testing.T) {
	needHub(t)
	printed := printAll(t)
	for _, written := range ways {
		for _, apply := range applies {
			t.Run(written.name+", then "+apply.name, func(t *testing.T) {
				// One after the other in one namespace: what is printed for one client takes nothing from another.
				k := newNamespace(t, written)
				for _, one := range printed {
					before := k.held()
					for _, object := range slices.Concat(one.manifests, one.secret) {
						if err := apply.do(k, object); err != nil {
							t.Fatalf("%s: %v", join(one.options), err)
						}
					}
					if one.patch != nil {
						if err := k.patchSecret(one.name, one.patch); err != nil {
							t.Fatalf("%s: %v", join(one.options), err)
						}
					}
					notTheirs(before)
					if gone := lost(before, k.held()); len(gone) > 0 {
						t.Errorf("%s: lost %q", join(one.options), gone)
					}
				}
				tokens(t, k)
			})
		}
	}
}

// notTheirs leaves out what the options themselves change: to which Secret a ConfigMap of the hub refers.
func notTheirs(held map[string]string) {
	maps.DeleteFunc(held, func(_, value string) bool { return strings.HasPrefix(value, "$") })
}

// tokens holds that each client has its own token, in the hub's Secrets and in the others.
func tokens(t *testing.T, k *kubectl) {
	t.Helper()
	held := k.held()
	wanted := map[string]string{
		"Secret appset-hub-plugin token": "argocd-token", "Secret appset-hub-plugin.argocd token": "argocd-token",
		"Secret appset-hub-plugin.team-b token": "team-b-token",
	}
	for _, name := range []string{"argocd-secret", "my-secret", "appset-hub", "appset-hub-tokens"} {
		wanted["Secret "+name+" plugin.appset-hub.token"] = "argocd-token"
		wanted["Secret "+name+" plugin.appset-hub.team-b.token"] = "team-b-token"
	}
	for key, value := range wanted {
		if held[key] != value {
			t.Errorf("%s is %q, not %q", key, held[key], value)
		}
	}
}

func TestNothingShippedRemovesTheKeysOfAnother(t *testing.T) {
	shipped := map[string][]client.Object{
		"argocd":     decodeFolder(t, filepath.Join(deployFolder, "argocd")),
		"dev":        kustomize(t, filepath.Join(deployFolder, "kustomize", "overlays", "dev")),
		"production": kustomize(t, filepath.Join(deployFolder, "kustomize", "overlays", "production")),
	}
	for name, objects := range shipped {
		for _, written := range ways {
			for _, apply := range applies {
				t.Run(name+", "+written.name+", then "+apply.name, func(t *testing.T) {
					k := newNamespace(t, written)
					before := k.held()
					if name != "argocd" {
						// The ConfigMaps of an overlay are its own; the Secrets in its namespace are the reader's.
						maps.DeleteFunc(before, func(key, _ string) bool { return !strings.HasPrefix(key, "Secret ") })
					}
					for _, object := range objects {
						object = object.DeepCopyObject().(client.Object)
						object.SetNamespace(controllerNamespace)
						if _, isMap := object.(*corev1.ConfigMap); isMap && name != "argocd" {
							continue
						}
						if err := apply.do(k, object); err != nil {
							t.Fatalf("%s: %v", object.GetName(), err)
						}
					}
					if gone := lost(before, k.held()); len(gone) > 0 {
						t.Errorf("lost %q", gone)
					}
				})
			}
		}
	}
}

// TestAPatchOfNothingIsRefused: if the command that prints the patch fails, kubectl reads nothing, and sends "null".
func TestAPatchOfNothingIsRefused(t *testing.T) {
	k := newNamespace(t, byClientSide)
	before := k.held()
	sent, err := kubeyaml.ToJSON(nil)
	if err != nil {
		t.Fatalf("what kubectl sends: %v", err)
	}
	if err := k.patchSecret("argocd-secret", sent); err == nil {
		t.Errorf("the patch %q is taken", sent)
	}
	if gone := lost(before, k.held()); len(gone) > 0 {
		t.Errorf("lost %q", gone)
	}
}

// TestNoProxyCoversTheHub holds what docs/connect-argocd.md says of proxies, with the rules of Go's own client.
func TestNoProxyCoversTheHub(t *testing.T) {
	sent := func(address, noProxy string) bool {
		where, err := url.Parse(address)
		if err != nil {
			t.Fatalf("%s: %v", address, err)
		}
		proxy, err := (&httpproxy.Config{HTTPProxy: "http://proxy.example.com:3128", NoProxy: noProxy}).ProxyFunc()(where)
		if err != nil {
			t.Fatalf("%s: %v", address, err)
		}
		return proxy != nil
	}
	configMaps := all[*corev1.ConfigMap](decodeFolder(t, filepath.Join(deployFolder, "argocd")))
	for _, one := range configMaps {
		address := one.Data["baseUrl"]
		for noProxy, wanted := range map[string]bool{
			".svc.cluster.local": false, ".cluster.local": false, ".svc,.cluster.local": false, ".svc": true, "": true,
		} {
			if sent(address, noProxy) != wanted {
				t.Errorf("NO_PROXY=%s: %s goes to the proxy: %v", noProxy, address, !wanted)
			}
		}
		dotted := strings.Replace(address, ".local:", ".local.:", 1)
		if !sent(dotted, ".svc,.cluster.local") {
			t.Errorf("%s is covered: a dot at the end would do no harm", dotted)
		}
	}
	if len(configMaps) == 0 || sent("http://localhost:4355", "") {
		t.Errorf("%d ConfigMaps; localhost goes to the proxy", len(configMaps))
	}
}
