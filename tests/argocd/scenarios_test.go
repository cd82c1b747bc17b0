package argocd

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"sigs.k8s.io/yaml"
)

// scenario is one way in which people use a plugin. It runs once in each template mode.
type scenario struct {
	name    string
	options hubOptions
	// config replaces the hub's routes.
	routes string
	// scripts are what the backends answer.
	scripts []act
	// setup changes the cluster before the ApplicationSet is there.
	setup func(r *rig)
	// generators is the ApplicationSet's list; GO{{x}} stands for {{.x}} or {{x}}, as the mode wants it.
	generators string
	// template holds the name, and annotations in YAML flow style.
	appName     string
	annotations string
	// want is the annotations of each Application by name.
	want map[string]map[string]string
	// count is how many Applications there are where want would be too long.
	count int
	// says are parts of the text of the error that is wanted instead.
	says []string
	// fastSays is Argo CD's own refusal where only goTemplate can do it.
	fastSays string
}

const twoRoutes = `
- {name: branches, application_sets: ["none"], backends: [images]}
- {name: digests, application_sets: ["none"], backends: [owners]}
`

const listOfBranches = `
      - list:
          elements:
          - {branch: feature-1}
          - {branch: feature-2}
`

func digestsByBranch() act {
	return act{"do": "answer", "by": "branch", "table": map[string]any{
		"feature-1": []params{{"digestFront": "sha256:f1", "digestBack": "sha256:b1"}},
		"feature-2": []params{{"digestFront": "sha256:f2", "digestBack": "sha256:b2"}},
	}}
}

func matrixOf(first, configMap string) string {
	return `
  - matrix:
      generators:` + first + `
      - plugin:
          configMapRef: {name: ` + configMap + `}
          input: {parameters: {branch: "GO{{branch}}"}}
          values: {link: "https://git.example.com/tree/GO{{branch}}"}
`
}

func previews() map[string]map[string]string {
	return map[string]map[string]string{
		"app-feature-1": {"front": "sha256:f1", "back": "sha256:b1", "link": "https://git.example.com/tree/feature-1"},
		"app-feature-2": {"front": "sha256:f2", "back": "sha256:b2", "link": "https://git.example.com/tree/feature-2"},
	}
}

const previewAnnotations = `{front: "GO{{digestFront}}", back: "GO{{digestBack}}", link: "GO{{values.link}}"}`

func scenarios() []scenario {
	echoed := `{"boolean": true, "key1": "value1", "key2": "value2", "list": ["list", "of", "values"], ` +
		`"map": {"key1": "value1", "key2": "value2", "key3": "value3"}}`
	return []scenario{
		{
			name: "the input of the documentation reaches the backend", scripts: []act{{"do": "echo"}},
			generators: `
  - plugin:
      configMapRef: {name: my-plugin}
      input:
        parameters:
          key1: value1
          key2: value2
          list: [list, of, values]
          boolean: true
          map: {key1: value1, key2: value2, key3: value3}
      values: {value1: something}
      requeueAfterSeconds: 30
`,
			appName: "GO{{name}}", annotations: `{got: 'GO{{got}}', value: "GO{{values.value1}}"}`,
			want: map[string]map[string]string{"echo": {"got": echoed, "value": "something"}},
		},
		{
			name: "the token is in another Secret", scripts: []act{answers([]params{{"name": "one"}})},
			setup: func(r *rig) {
				r.cluster.setSecret("argocd-secret", map[string]string{"unused": "x"})
				r.cluster.setSecret("another-secret", map[string]string{tokenKey: strongToken})
				r.plugin(configMapName, "", "$another-secret:"+tokenKey)
			},
			generators: onePlugin, appName: "GO{{name}}", want: map[string]map[string]string{"one": {}},
		},
		{
			name: "the token is missing in the other Secret", scripts: []act{answers([]params{{"name": "one"}})},
			setup: func(r *rig) {
				r.cluster.setSecret("another-secret", map[string]string{"unused": "x"})
				r.plugin(configMapName, "", "$another-secret:"+tokenKey)
			},
			generators: onePlugin, appName: "GO{{name}}", says: []string{"403", "Secret lacks the key"},
		},
		{
			name: "the token has white space around it", scripts: []act{answers([]params{{"name": "one"}})},
			setup: func(r *rig) {
				r.cluster.setSecret("argocd-secret", map[string]string{tokenKey: " " + strongToken + "\n"})
			},
			generators: onePlugin, appName: "GO{{name}}", want: map[string]map[string]string{"one": {}},
		},
		{
			name: "matrix of a list and the plugin", scripts: []act{digestsByBranch()},
			generators: matrixOf(listOfBranches, configMapName), appName: "app-GO{{branch}}",
			annotations: previewAnnotations, want: previews(),
		},
		{
			name: "matrix of a list and the plugin, which fails for the second branch",
			scripts: []act{{"do": "answer", "by": "branch", "table": map[string]any{
				"feature-1": []params{{"digestFront": "sha256:f1", "digestBack": "sha256:b1"}}, "feature-2": "raise",
			}}},
			generators: matrixOf(listOfBranches, configMapName), appName: "app-GO{{branch}}",
			annotations: previewAnnotations, says: []string{"502", `"images"`},
		},
		{
			name: "matrix of plugin and plugin, each on its route", options: hubOptions{members: 2}, routes: twoRoutes,
			scripts: []act{answers([]params{{"branch": "feature-1"}, {"branch": "feature-2"}}), digestsByBranch()},
			setup: func(r *rig) {
				r.plugin("branches", "/branches", "$"+tokenKey)
				r.plugin("digests", "/digests", "$"+tokenKey)
			},
			generators: matrixOf(`
      - plugin:
          configMapRef: {name: branches}`, "digests"),
			appName: "app-GO{{branch}}", annotations: previewAnnotations, want: previews(),
			// Both sets hold their generator's input, and a matrix of fasttemplates allows no key to differ.
			fastSays: "found duplicate key generator",
		},
		{
			name: "merge of a list and the plugin", scripts: []act{answers([]params{{"name": "one", "digest": "sha256:1"}})},
			generators: `
  - merge:
      mergeKeys: [name]
      generators:
      - list:
          elements:
          - {name: one, digest: none}
          - {name: two, digest: none}
      - plugin:
          configMapRef: {name: my-plugin}
`,
			appName: "GO{{name}}", annotations: `{digest: "GO{{digest}}"}`,
			want: map[string]map[string]string{"one": {"digest": "sha256:1"}, "two": {"digest": "none"}},
		},
		{
			name: "values with templates in them", scripts: []act{answers([]params{{"name": "one", "team": "red"}})},
			generators: `
  - plugin:
      configMapRef: {name: my-plugin}
      values: {owner: "team-GO{{team}}", plain: text}
`,
			appName: "GO{{name}}", annotations: `{owner: "GO{{values.owner}}", plain: "GO{{values.plain}}"}`,
			want: map[string]map[string]string{"one": {"owner": "team-red", "plain": "text"}},
		},
		{
			name: "nested values",
			scripts: []act{answers([]params{{
				"name": "one", "image": params{"repository": "registry/app", "digest": params{"sha256": "abc"}}, "enabled": true,
			}})},
			generators: onePlugin, appName: "GO{{name}}",
			annotations: `{image: "GO{{image.repository}}@GO{{image.digest.sha256}}", enabled: "GO{{enabled}}"}`,
			want:        map[string]map[string]string{"one": {"image": "registry/app@abc", "enabled": "true"}},
		},
		{
			name: "baseUrl with a route in it", options: hubOptions{members: 2}, routes: twoRoutes,
			scripts:    []act{answers([]params{{"name": "of-images"}}), answers([]params{{"name": "of-owners"}})},
			setup:      func(r *rig) { r.plugin(configMapName, "/digests", "$"+tokenKey) },
			generators: onePlugin, appName: "GO{{name}}", want: map[string]map[string]string{"of-owners": {}},
		},
		{
			name: "baseUrl with a route and a slash at its end", options: hubOptions{members: 2}, routes: twoRoutes,
			scripts:    []act{answers([]params{{"name": "of-images"}}), answers([]params{{"name": "of-owners"}})},
			setup:      func(r *rig) { r.plugin(configMapName, "/branches/", "$"+tokenKey) },
			generators: onePlugin, appName: "GO{{name}}", want: map[string]map[string]string{"of-images": {}},
		},
		{
			name: "two backends in a row", options: hubOptions{members: 2},
			scripts:    []act{answers([]params{{"name": "one"}}), answers([]params{{"name": "two"}})},
			generators: onePlugin, appName: "GO{{name}}", want: map[string]map[string]string{"one": {}, "two": {}},
		},
		{
			name: "two backends merged", options: hubOptions{members: 2, merged: true},
			scripts:    []act{answers([]params{{"name": "one"}, {"name": "two"}}), answers([]params{{"name": "one", "owner": "red"}, {"name": "two", "owner": "blue"}})},
			generators: onePlugin, appName: "GO{{name}}", annotations: `{owner: "GO{{owner}}"}`,
			want: map[string]map[string]string{"one": {"owner": "red"}, "two": {"owner": "blue"}},
		},
		{
			name: "the backend claims the name", options: hubOptions{claims: true},
			scripts:    []act{answers([]params{{"name": "one"}})},
			generators: onePlugin, appName: "GO{{name}}", want: map[string]map[string]string{"one": {}},
		},
		{
			name: "nobody serves the name", routes: "\n- {name: other, application_sets: [\"other-*\"], backends: [images]}\n",
			scripts:    []act{answers([]params{{"name": "one"}})},
			generators: onePlugin, appName: "GO{{name}}", says: []string{"404", "faults-"},
		},
		{
			name: "the backend refuses the input", scripts: []act{{"do": "refuse", "path": "replicas", "text": "must be a number"}},
			generators: `
  - plugin:
      configMapRef: {name: my-plugin}
      input: {parameters: {replicas: many}}
`,
			appName: "GO{{name}}", says: []string{"400", "replicas: must be a number"},
		},
		{
			name: "the input does not fit the backend's schema", scripts: []act{answers([]params{{"name": "one"}})},
			options: hubOptions{schema: `{"type": "object", "properties": {"replicas": {"type": "integer"}}}`},
			generators: `
  - plugin:
      configMapRef: {name: my-plugin}
      input: {parameters: {replicas: many}}
`,
			appName: "GO{{name}}", says: []string{"400", "replicas"},
		},
		{
			name: "requestTimeout is negative: no timeout", options: hubOptions{requestTimeout: "-1"},
			scripts:    []act{{"do": "answer", "sets": []params{{"name": "one"}}, "after_s": 1}},
			generators: onePlugin, appName: "GO{{name}}", want: map[string]map[string]string{"one": {}},
		},
		{
			name: "numbers, and how they are written today", scripts: []act{answers([]params{{"name": "one", "small": 123456, "float": 1.5}})},
			generators: onePlugin, appName: "GO{{name}}", annotations: `{small: "GO{{small}}", float: "GO{{float}}"}`,
			want: map[string]map[string]string{"one": {"small": "123456", "float": "1.5"}},
		},
		{
			name: "numbers as text", options: hubOptions{route: "numbers: text"},
			scripts:    []act{answers([]params{{"name": "one", "big": 1234567, "bigger": json.Number("123456789012345678901234567890"), "in": params{"n": 2000000}}})},
			generators: onePlugin, appName: "GO{{name}}", annotations: `{big: "GO{{big}}", bigger: "GO{{bigger}}", inner: "GO{{in.n}}"}`,
			want: map[string]map[string]string{"one": {"big": "1234567", "bigger": "123456789012345678901234567890", "inner": "2000000"}},
		},
		{
			name: "inputs that are echoed into each set", options: hubOptions{route: "echo: [branch]"},
			scripts: []act{answers([]params{{"name": "one"}})},
			generators: `
  - plugin:
      configMapRef: {name: my-plugin}
      input: {parameters: {branch: main}}
`,
			appName: "GO{{name}}-GO{{branch}}", want: map[string]map[string]string{"one-main": {}},
		},
		{name: "none", scripts: []act{answers([]params{})}, generators: onePlugin, appName: "GO{{name}}", count: 0, want: map[string]map[string]string{}},
		{name: "1,000 sets", scripts: []act{answers(many(1000))}, generators: onePlugin, appName: "GO{{name}}", count: 1000},
		{name: "5,000 sets", scripts: []act{answers(many(5000))}, generators: onePlugin, appName: "GO{{name}}", count: 5000},
	}
}

func many(count int) []params {
	made := []params{}
	for n := range count {
		made = append(made, params{"name": fmt.Sprintf("app-%05d", n), "digest": fmt.Sprintf("sha256:%064d", n)})
	}
	return made
}

// plugin makes a ConfigMap that names a path of the hub.
func (r *rig) plugin(configMap, path, token string) {
	r.t.Helper()
	object := pluginConfigMap(configMap, r.url()+path, token)
	object.Data["requestTimeout"] = requestTimeoutS
	r.cluster.replace(object, false)
}

var goField = regexp.MustCompile(`GO\{\{([^}]+)\}\}`)

func (s scenario) applicationSet(m mode) string {
	annotations := s.annotations
	if annotations == "" {
		annotations = "{}"
	}
	text := fmt.Sprintf(`
metadata: {name: %s}
spec:
  goTemplate: %v
  generators:
%s
  template:
    metadata: {name: '%s', annotations: %s}
    spec:
      project: default
      source: {repoURL: https://git.example.com/org/repo.git, targetRevision: HEAD, path: chart}
      destination: {server: https://kubernetes.default.svc, namespace: previews}
`, m.set, m.goTmpl, strings.TrimPrefix(s.generators, "\n"), s.appName, annotations)
	if m.goTmpl {
		return goField.ReplaceAllString(text, "{{.$1}}")
	}
	return goField.ReplaceAllString(text, "{{$1}}")
}

func TestScenarios(t *testing.T) {
	needHub(t)
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.run(t)
		})
	}
}

func (s scenario) run(t *testing.T) {
	r := newScenarioRig(t, s)
	for _, m := range r.modes {
		// Each mode has a cluster of its own: both make Applications of the same names.
		r.cluster = newPluginCluster(t, r.url(), strongToken)
		timeout := s.options.requestTimeout
		if timeout == "" {
			timeout = "30"
		}
		r.cluster.setConfigMap(map[string]string{"baseUrl": r.url(), "token": "$" + tokenKey, "requestTimeout": timeout})
		if s.setup != nil {
			s.setup(r)
		}
		r.cluster.apply(s.applicationSet(m))
		r.cluster.reconcile(m.set)
		s.check(t, r, m)
	}
}

func newScenarioRig(t *testing.T, s scenario) *rig {
	t.Helper()
	options := s.options
	options.set = "faults"
	options.deadline = "25s"
	h := newHub(t, options)
	if s.routes != "" {
		before, _, _ := strings.Cut(h.config(), "routes:\n")
		h.write("hub.yaml", before+"routes:"+s.routes)
	}
	for i, a := range s.scripts {
		h.backends[i].script.order(a)
	}
	h.startHub()
	h.startBackends()
	h.awaitBackends()
	return &rig{t: t, dir: h.dir, hub: h, modes: modes(options.set)}
}

func (s scenario) check(t *testing.T, r *rig, m mode) {
	t.Helper()
	seen := r.cluster.condition(m.set)
	if !m.goTmpl && s.fastSays != "" {
		s.says, s.want = []string{s.fastSays}, map[string]map[string]string{}
	}
	if seen.failed != (s.says != nil) {
		t.Fatalf("%s: failed=%v: %q", m.set, seen.failed, seen.text)
	}
	for _, part := range s.says {
		if !strings.Contains(seen.text, part) {
			t.Errorf("%s: the text does not say %q: %q", m.set, part, seen.text)
		}
	}
	apps := r.cluster.applicationsOf(m.set)
	if s.want == nil || s.says != nil {
		if len(apps) != s.count {
			t.Errorf("%s: %d Applications, not %d", m.set, len(apps), s.count)
		}
		return
	}
	s.compare(t, m, apps)
}

func (s scenario) compare(t *testing.T, m mode, apps []v1alpha1.Application) {
	t.Helper()
	names := []string{}
	for _, app := range apps {
		names = append(names, app.Name)
		for key, text := range s.want[app.Name] {
			if app.Annotations[key] != text {
				t.Errorf("%s: %s has %s = %q, not %q", m.set, app.Name, key, app.Annotations[key], text)
			}
		}
	}
	wanted := []string{}
	for name := range s.want {
		wanted = append(wanted, name)
	}
	slices.Sort(names)
	slices.Sort(wanted)
	if !slices.Equal(names, wanted) {
		t.Errorf("%s: Applications %v, not %v", m.set, names, wanted)
	}
}

// TestTheDocumentationsOwnPage takes the ConfigMap and the Secret of the page as they stand, but for the URL.
func TestTheDocumentationsOwnPage(t *testing.T) {
	needHub(t)
	page, err := os.ReadFile(filepath.Join(argoDir(), "docs", "operator-manual", "applicationset", "Generators-Plugin.md"))
	if err != nil {
		t.Fatalf("the page of the documentation: %v", err)
	}
	configMap, secret := struct {
		Data map[string]string `json:"data"`
	}{}, struct {
		Data map[string][]byte `json:"data"`
	}{}
	for _, block := range regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllStringSubmatch(string(page), -1) {
		if strings.Contains(block[1], "kind: ConfigMap") {
			err = yaml.Unmarshal([]byte(block[1]), &configMap)
		} else if strings.Contains(block[1], "name: argocd-secret") {
			err = yaml.Unmarshal([]byte(block[1]), &secret)
		}
		if err != nil {
			t.Fatalf("a block of the page: %v\n%s", err, block[1])
		}
	}
	r := newHubRig(t, hubOptions{})
	configMap.Data["baseUrl"] = r.url()
	values := map[string]string{}
	for key, value := range secret.Data {
		values[key] = string(value)
	}
	r.cluster.setConfigMap(configMap.Data)
	r.cluster.setSecret("argocd-secret", values)
	for _, m := range r.modes {
		if seen, _ := r.settle(m, 20*time.Second); !seen.right() || seen.condition.failed {
			t.Errorf("%s: %s", m.set, seen)
		}
	}
}

// TestWhatIsOrderedIsDeleted lets sets go that a guard need not hold: fewer than five at a time, each step judged alone.
func TestWhatIsOrderedIsDeleted(t *testing.T) {
	needHub(t)
	r := newHubRig(t, hubOptions{route: "unique_by: [name]\nguard: {window: 0s}"})
	// Every digest changes at once: the same Applications, each updated.
	newer := numbered(1, 12)
	for _, one := range newer {
		one["digest"] = "sha256:newer"
	}
	steps := [][]params{newer, numbered(1, 12), numbered(1, 9), numbered(3, 9), numbered(6, 9), numbered(6, 9)[:0], numbered(20, 22)}
	for _, sets := range steps {
		r.order(sets)
		for _, m := range r.modes {
			if seen, wrong := r.settle(m, 20*time.Second); !seen.right() || seen.condition.failed || len(wrong) > 0 {
				t.Errorf("%s: %d sets ordered: %s", m.set, len(sets), seen)
			}
		}
	}
}
