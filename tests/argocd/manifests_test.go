package argocd

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// shown is what an Application deploys, as far as an ApplicationSet of deploy/argocd says it with what the hub gave.
type shown struct {
	Revision, Path, Values, Cluster, Namespace, Info string
}

func shownOf(app v1alpha1.Application) shown {
	s := shown{
		Revision: app.Spec.Source.TargetRevision, Path: app.Spec.Source.Path,
		Cluster: app.Spec.Destination.Server + app.Spec.Destination.Name, Namespace: app.Spec.Destination.Namespace,
	}
	if app.Spec.Source.Helm != nil {
		s.Values = string(app.Spec.Source.Helm.ValuesObject.Raw)
	}
	for _, info := range app.Spec.Info {
		s.Info += info.Value
	}
	return s
}

const thisCluster = "https://kubernetes.default.svc"

// preview is an Application of 21-applicationset-matrix.yaml.
func preview(branch string, d digests) shown {
	return shown{
		Revision: headOf(branch), Path: "charts/my-chart", Cluster: thisCluster, Namespace: branch,
		Values: `{"back":{"image":"back@` + d.back + `"},"front":{"image":"front@` + d.front + `"}}`,
		Info:   "https://git.example.com/org/repo/tree/" + branch,
	}
}

// merged is an Application of 22-applicationset-merge.yaml.
func merged(branch, owner string) shown {
	return shown{
		Revision: branch, Path: "charts/my-chart", Cluster: thisCluster, Namespace: branch,
		Values: `{"owner":"` + owner + `"}`,
	}
}

// ofTeam is an Application of 20-applicationset-plain.yaml.
func ofTeam(name string) shown {
	return shown{Revision: "HEAD", Path: "apps/" + name, Cluster: "in-cluster", Namespace: name, Info: "web"}
}

// printed is an Application of the example that `appset-hub argocd manifests` prints.
func printed(namespace string) shown {
	return shown{Revision: "HEAD", Path: "chart", Cluster: thisCluster, Namespace: namespace}
}

// applied holds the Applications of one ApplicationSet against what is wanted, after one run of the reconciler.
func applied(t *testing.T, c *cluster, set string, wanted map[string]shown) {
	t.Helper()
	c.reconcile(set)
	if seen := c.condition(set); seen.failed {
		t.Errorf("%s: %s", set, seen.text)
	}
	unchanged(t, c, set, wanted)
}

// unchanged holds the Applications of one ApplicationSet against what is wanted.
func unchanged(t *testing.T, c *cluster, set string, wanted map[string]shown) {
	t.Helper()
	found := map[string]shown{}
	for _, app := range c.applicationsOf(set) {
		found[app.Name] = shownOf(app)
	}
	if !maps.Equal(found, wanted) {
		t.Errorf("%s made\n%s\nnot\n%s", set, jsonOf(found), jsonOf(wanted))
	}
}

// refused holds that the controller shows the hub's own words, and that nothing else happened.
func refused(t *testing.T, c *cluster, set string, wanted map[string]shown, says ...string) {
	t.Helper()
	c.takeDeleted()
	c.reconcile(set)
	first := c.condition(set)
	c.reconcile(set)
	second := c.condition(set)
	for _, part := range says {
		if !first.failed || !strings.Contains(first.text, part) {
			t.Errorf("%s does not say %q: %q", set, part, first.text)
		}
	}
	if first != second {
		t.Errorf("%s: the same fault wrote twice:\n%+v\n%+v", set, first, second)
	}
	if deleted := c.takeDeleted(); len(deleted) > 0 {
		t.Errorf("%s: deleted %s", set, join(deleted))
	}
	unchanged(t, c, set, wanted)
}

// newArgoCD is a cluster with what Argo CD and its user have before the hub comes.
func newArgoCD(t testing.TB) *cluster {
	t.Helper()
	return newCluster(t,
		pluginSecret("argocd-secret", map[string]string{"server.secretkey": "argo-cd's own"}),
		pluginSecret("github-token", map[string]string{"key": "unused", "token": forgeToken}),
	)
}

// deployArgoCD returns the hub's own Secret and deploy/argocd, in the order of docs/connect-argocd.md.
func (d *deployment) deployArgoCD() []client.Object {
	d.t.Helper()
	folder := filepath.Join(d.dir, "argocd")
	copyFolder(d.t, filepath.Join(deployFolder, "argocd"), folder)
	for _, one := range d.way.connect {
		one.make(d.t, folder)
	}
	secret := decode(d.t, []byte(d.argocd(d.t, "secret")))
	return slices.Concat(secret, decodeFolder(d.t, folder))
}

func TestTheManifestsDriveTheReconciler(t *testing.T) {
	needHub(t)
	needRegistry(t)
	for _, w := range whole {
		t.Run(w.name, func(t *testing.T) {
			d := newDeployment(t, w, newRegistry(t))
			one, two := d.registry.pushBoth("feature-branch-1"), d.registry.pushBoth("feature-branch-2")
			d.connectAsPrinted(t)
			d.connectAsDocumented(t, one, two)
		})
	}
}

func TestTheLeastOfADeploymentDrivesTheReconciler(t *testing.T) {
	needHub(t)
	wanted := map[string]map[string]shown{
		"standalone": {"fake-appset-val1": printed("val1"), "fake-appset-val2": printed("val2")},
		"sidecar":    {"fake-appset-val1": printed("val1")},
	}
	for _, w := range least {
		t.Run(w.name, func(t *testing.T) {
			d := newDeployment(t, w, nil)
			c := newArgoCD(t)
			text := d.argocdManifests(t, "--show-token")
			// As the comment above it says: the keys are those of one's own parameter sets.
			c.install(decode(t, []byte(strings.ReplaceAll(text, "{{.name}}", "{{.key1}}")))...)
			applied(t, c, "fake-appset", wanted[w.name])
		})
	}
}

// connectAsDocumented creates what is in deploy/argocd, with the images of two branches in the registry.
func (d *deployment) connectAsDocumented(t *testing.T, one, two digests) {
	c := newArgoCD(t)
	manifests := d.deployArgoCD()
	c.install(manifests...)
	holdsArgoCDsOwn(t, c)
	if count := len(all[*v1alpha1.ApplicationSet](manifests)); count != 4 {
		t.Errorf("deploy/argocd has %d ApplicationSets; this test knows 4", count)
	}
	applied(t, c, "myplugin", map[string]shown{"myplugin-shop": ofTeam("shop"), "myplugin-checkout": ofTeam("checkout")})
	applied(t, c, "fb-merge", map[string]shown{
		"fb-merge-main":             merged("main", "release-managers"),
		"fb-merge-feature-branch-1": merged("feature-branch-1", "web"),
		"fb-merge-feature-branch-2": merged("feature-branch-2", "checkout"),
	})
	applied(t, c, "preview-of-one-branch", map[string]shown{"preview-feature-branch-1": {
		Revision: "feature-branch-1", Path: "charts/my-chart", Cluster: thisCluster, Namespace: "feature-branch-1",
		Values: `{"image":"front@` + one.front + `","owner":"web"}`,
	}})
	d.followPullRequests(t, c, one, two)
}

// followPullRequests lets images, pull requests and the registry come and go under 21-applicationset-matrix.yaml.
func (d *deployment) followPullRequests(t *testing.T, c *cluster, one, two digests) {
	f := newForge(t, "myorg/myrepo", "feature-branch-1", "feature-branch-2")
	previews := map[string]shown{
		"fb-matrix-feature-branch-1": preview("feature-branch-1", one),
		"fb-matrix-feature-branch-2": preview("feature-branch-2", two),
	}
	applied(t, c, "fb-matrix", previews)

	one.front = d.registry.push("myorg/front:feature-branch-1", "newer front")
	previews["fb-matrix-feature-branch-1"] = preview("feature-branch-1", one)
	applied(t, c, "fb-matrix", previews)

	f.open("feature-branch-1", "feature-branch-2", "not-built")
	refused(t, c, "fb-matrix", previews, "status code 400", `backend "oci"`, `"not-built"`)

	f.open("feature-branch-1", "feature-branch-2")
	d.registry.process.kill()
	refused(t, c, "fb-matrix", previews, "status code 502", `backend "oci"`)
	d.registry.start()
	applied(t, c, "fb-matrix", previews)

	if deleted := c.takeDeleted(); len(deleted) > 0 {
		t.Errorf("deleted %s, though nobody closed a pull request", join(deleted))
	}
	f.open("feature-branch-2")
	delete(previews, "fb-matrix-feature-branch-1")
	applied(t, c, "fb-matrix", previews)
	if deleted := c.takeDeleted(); !slices.Equal(deleted, []string{"fb-matrix-feature-branch-1"}) {
		t.Errorf("with the pull request went %q", deleted)
	}
}

// holdsArgoCDsOwn holds that argocd-secret has all that Argo CD put into it.
func holdsArgoCDsOwn(t *testing.T, c *cluster) {
	t.Helper()
	secret := &corev1.Secret{}
	if err := c.api.Get(t.Context(), client.ObjectKey{Namespace: controllerNamespace, Name: "argocd-secret"}, secret); err != nil {
		t.Fatalf("argocd-secret: %v", err)
	}
	if string(secret.Data["server.secretkey"]) != "argo-cd's own" {
		t.Errorf("argocd-secret lost what Argo CD had in it: %v", slices.Collect(maps.Keys(secret.Data)))
	}
}

// connectAsPrinted creates what the command prints, for each way to give the token.
func (d *deployment) connectAsPrinted(t *testing.T) {
	cases := []struct {
		arguments []string
		// without is what Argo CD says before the token is set; empty: the token is printed, too.
		without string
		set     string
		wanted  map[string]shown
	}{
		{
			[]string{"-p", "team=web"}, `secrets "appset-hub-plugin" not found`, "myplugin",
			map[string]shown{"myplugin-shop": printed("shop"), "myplugin-checkout": printed("checkout")},
		},
		{
			[]string{"--route", "owners", "--secret", "argocd-secret"}, "the Secret lacks the key", "fb-merge",
			map[string]shown{
				"fb-merge-main":             printed("main"),
				"fb-merge-feature-branch-1": printed("feature-branch-1"), "fb-merge-feature-branch-2": printed("feature-branch-2"),
			},
		},
		{
			[]string{"--route", "previews", "--client", "argocd", "-p", "branch=feature-branch-2", "--show-token"}, "", "fb-example",
			map[string]shown{"fb-example-feature-branch-2": printed("feature-branch-2")},
		},
	}
	for _, one := range cases {
		t.Run(join(one.arguments), func(t *testing.T) {
			c := newArgoCD(t)
			text := d.argocdManifests(t, one.arguments...)
			c.install(decode(t, []byte(text))...)
			if one.without != "" {
				refused(t, c, one.set, map[string]shown{}, one.without)
				c.setTokenAsPrinted(text)
			}
			holdsArgoCDsOwn(t, c)
			applied(t, c, one.set, one.wanted)
		})
	}
}

// setTokenAsPrinted runs the command in the comment above the ConfigMap, with a kubectl that writes to this cluster.
func (c *cluster) setTokenAsPrinted(manifests string) {
	c.t.Helper()
	dir := c.t.TempDir()
	programs := map[string]string{
		"appset-hub": "exec " + shellQuoted(absolute(c.t, hubCommand())) + ` "$@"`,
		"kubectl":    `printf '%s\n' "$*" >` + filepath.Join(dir, "arguments") + "; cat >" + filepath.Join(dir, "input"),
	}
	for name, line := range programs {
		path := filepath.Join(dir, "bin", name)
		writeFile(c.t, path, "#!/bin/sh\n"+line+"\n")
		if err := os.Chmod(path, 0o755); err != nil {
			c.t.Fatalf("%s: %v", name, err)
		}
	}
	script := []string{}
	for line := range strings.Lines(manifests) {
		if command, found := strings.CutPrefix(line, "#   "); found {
			script = append(script, strings.TrimSuffix(command, "\n"))
		}
	}
	command := exec.Command("sh", "-euc", strings.Join(script, "\n"))
	command.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
	if said, err := command.CombinedOutput(); err != nil {
		c.t.Fatalf("%s: %v: %s", strings.Join(script, "\n"), err, said)
	}
	c.write(strings.TrimSpace(readText(c.t, filepath.Join(dir, "arguments"))), readText(c.t, filepath.Join(dir, "input")))
}

// write does what kubectl does with these arguments and this input.
func (c *cluster) write(arguments, input string) {
	c.t.Helper()
	switch arguments {
	case "apply --filename -":
		c.install(decode(c.t, []byte(input))...)
	case "--namespace " + controllerNamespace + " patch secret argocd-secret --type merge --patch-file /dev/stdin":
		secret := pluginSecret("argocd-secret", nil)
		if err := c.api.Patch(c.t.Context(), secret, client.RawPatch(types.MergePatchType, []byte(input))); err != nil {
			c.t.Fatalf("the patch: %v", err)
		}
	default:
		c.t.Fatalf("kubectl %s: this is not what sets a token", arguments)
	}
}

// absolute returns a command that can be started from any folder.
func absolute(t testing.TB, command []string) []string {
	t.Helper()
	path, err := exec.LookPath(command[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		t.Fatalf("%s: %v", command[0], err)
	}
	return append([]string{path}, command[1:]...)
}

func shellQuoted(words []string) string {
	quoted := []string{}
	for _, word := range words {
		quoted = append(quoted, "'"+strings.ReplaceAll(word, "'", `'\''`)+"'")
	}
	return strings.Join(quoted, " ")
}
