package argocd

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/argoproj/argo-cd/v3/applicationset/services/plugin"
	"github.com/argoproj/argo-cd/v3/applicationset/utils"
	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
)

var recordTo = flag.String("record", "", "write what the controller makes of each raw answer to this file, as JSON")

const recording = "testdata/verdicts.json"

// longest is how much of one rendered text the recording holds.
const longest = 200

// recorded is the file that the Python suite reads.
type recorded struct {
	Source string    `json:"source"`
	ArgoCD string    `json:"argo_cd"`
	Cases  []verdict `json:"cases"`
}

// verdict is what the controller made of one raw response.
type verdict struct {
	Name           string `json:"name"`
	ResponseBase64 string `json:"response_base64"`
	// Verdict is "parameter_sets" or "error". Zero sets without an error delete every Application.
	Verdict string `json:"verdict"`
	Count   *int   `json:"count,omitempty"`
	Error   string `json:"error,omitempty"`
	// GoTemplate and FastTemplate hold, for each set, what a template writes for each of its paths.
	GoTemplate   []map[string]string `json:"go_template,omitempty"`
	FastTemplate []map[string]string `json:"fasttemplate,omitempty"`
	// FastTemplateVaries: one run differs from the next, for Go's maps have no order.
	FastTemplateVaries bool `json:"fasttemplate_varies,omitempty"`
}

// TestTheRecordingIsWhatTheControllerDoes compares the committed recording, or writes it with -record.
func TestTheRecordingIsWhatTheControllerDoes(t *testing.T) {
	now := recordAll(t)
	if *recordTo != "" {
		write(t, *recordTo, now)
		return
	}
	before := recorded{}
	read(t, recording, &before)
	compareVerdicts(t, before.Cases, now.Cases)
}

// TestTheRecordingHoldsWhatWasSeenBefore compares it with the earlier recording that the Python tests have:
// name, response, and the number of parameter sets, or null for an error.
func TestTheRecordingHoldsWhatWasSeenBefore(t *testing.T) {
	var before struct {
		Cases [][3]any `json:"cases"`
	}
	read(t, filepath.Join("..", "trust", "data", "verdicts.json"), &before)
	now := recorded{}
	read(t, recording, &now)
	byName := map[string]verdict{}
	for _, one := range now.Cases {
		byName[one.Name] = one
	}
	for _, old := range before.Cases {
		name := old[0].(string)
		one, known := byName[name]
		if !known {
			t.Errorf("%q is not in the recording", name)
			continue
		}
		var count any
		if one.Count != nil {
			count = float64(*one.Count)
		}
		if count != old[2] {
			t.Errorf("%q was %v, is %s", name, old[2], one.summary())
		}
	}
}

func compareVerdicts(t *testing.T, before, now []verdict) {
	t.Helper()
	if len(before) != len(now) {
		t.Errorf("the recording has %d cases, there are %d: record it anew", len(before), len(now))
	}
	for i := range min(len(before), len(now)) {
		was, is := before[i], now[i]
		if was.FastTemplateVaries {
			was.FastTemplate, is.FastTemplate = nil, nil
		}
		was.FastTemplateVaries, is.FastTemplateVaries = false, false
		// Compressed bytes and the words of an error may change with a release of Go; what is made of them may not.
		was.ResponseBase64, is.ResponseBase64, was.Error, is.Error = "", "", "", ""
		if jsonOf(was) != jsonOf(is) {
			t.Errorf("%q\nwas %s\nis  %s", was.Name, jsonOf(was), jsonOf(is))
		}
	}
}

func (v verdict) summary() string {
	if v.Count == nil {
		return v.Verdict
	}
	return fmt.Sprintf("%s %d", v.Verdict, *v.Count)
}

func recordAll(t *testing.T) recorded {
	t.Helper()
	made := recorded{
		Source: "The plugin client, plugin generator and template code of Argo CD's ApplicationSet controller, fed each raw " +
			"HTTP/1.1 response. count is the number of parameter sets decoded without an error; a count of 0 without an " +
			"error deletes every Application of the set. go_template and fasttemplate hold what each mode writes for " +
			"each path of each set.",
		ArgoCD: argoModule("{{.Version}}"),
	}
	names := map[string]bool{}
	c := newPluginCluster(t, "", "token")
	for _, one := range responses() {
		if names[one.name] {
			t.Fatalf("%q stands twice in the table", one.name)
		}
		names[one.name] = true
		made.Cases = append(made.Cases, judge(t, c, one))
	}
	return made
}

// judge gives one raw response to the real client, and what it decodes to the real generator and templates.
func judge(t *testing.T, c *cluster, one response) verdict {
	t.Helper()
	url := serveRaw(t, one.raw)
	made := verdict{Name: one.name, ResponseBase64: base64.StdEncoding.EncodeToString(one.raw)}
	service, err := plugin.NewPluginService("recorded", url, "token", 5)
	if err != nil {
		t.Fatalf("the plugin client: %v", err)
	}
	// Some answers leave a connection that looks as if it could be used again.
	closeIdleConnections()
	list, err := service.List(t.Context(), nil)
	if err != nil {
		made.Verdict, made.Error = "error", shorten(portless(strings.ReplaceAll(err.Error(), url, "http://plugin")))
		return made
	}
	c.setConfigMap(map[string]string{"baseUrl": url, "token": "$" + tokenKey})
	count := len(list.Output.Parameters)
	made.Verdict, made.Count = "parameter_sets", &count
	made.GoTemplate = rendered(c, true)
	made.FastTemplate = rendered(c, false)
	for range 20 {
		made.FastTemplateVaries = made.FastTemplateVaries || !reflect.DeepEqual(made.FastTemplate, rendered(c, false))
	}
	return made
}

// rendered asks the real plugin generator and lets the real renderer write each path of each set.
func rendered(c *cluster, goTemplate bool) []map[string]string {
	set := &v1alpha1.ApplicationSet{Spec: v1alpha1.ApplicationSetSpec{GoTemplate: goTemplate}}
	set.Name = "recorded"
	generator := &v1alpha1.ApplicationSetGenerator{Plugin: &v1alpha1.PluginGenerator{
		ConfigMapRef: v1alpha1.PluginConfigMapRef{Name: configMapName},
	}}
	closeIdleConnections()
	sets, err := c.reconciler.Generators["Plugin"].GenerateParams(generator, set, c.api)
	if err != nil {
		return []map[string]string{{"": "error: " + err.Error()}}
	}
	made := []map[string]string{}
	for _, params := range sets {
		delete(params, "generator")
		texts := map[string]string{}
		for path, template := range templates(nil, params, goTemplate) {
			text, err := (&utils.Render{}).Replace(template, params, goTemplate, nil)
			if err != nil {
				text = "error: " + err.Error()
			}
			texts[path] = shorten(text)
		}
		made = append(made, texts)
	}
	return made
}

// templates returns a template for each path of a parameter set. A fasttemplate's set is flat already.
func templates(steps []string, value any, goTemplate bool) map[string]string {
	made := map[string]string{}
	mapping, isMap := value.(map[string]any)
	if !isMap || len(steps) > 5 {
		return made
	}
	if goTemplate {
		for key, inner := range mapping {
			maps.Copy(made, templates(append(slices.Clone(steps), key), inner, goTemplate))
		}
	}
	// After what is nested: a key with a dot in it, "a.b", reads like the path of b in a, and here it is the key.
	for key := range mapping {
		path := append(slices.Clone(steps), key)
		made[strings.Join(path, ".")] = "{{" + key + "}}"
		if goTemplate {
			made[strings.Join(path, ".")] = fmt.Sprintf("{{ index . %s }}", quoted(path))
		}
	}
	return made
}

func quoted(words []string) string {
	made := make([]string, 0, len(words))
	for _, word := range words {
		made = append(made, strconv.Quote(word))
	}
	return strings.Join(made, " ")
}

// serveRaw answers every request with the same bytes and closes.
func serveRaw(t *testing.T, raw []byte) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				if request, err := http.ReadRequest(bufio.NewReader(connection)); err == nil {
					_, _ = io.Copy(io.Discard, request.Body)
				}
				_, _ = connection.Write(raw)
			}()
		}
	}()
	return "http://" + listener.Addr().String()
}

func shorten(text string) string {
	if len(text) <= longest {
		return text
	}
	return strings.ToValidUTF8(text[:longest], "") + fmt.Sprintf("… (%d bytes)", len(text))
}

func write(t *testing.T, path string, value any) {
	t.Helper()
	data, err := json.MarshalIndent(value, "", " ")
	if err != nil {
		t.Fatalf("write %s: %v", path, err)
	}
	writeFile(t, path, string(data)+"\n")
}

// writeFile writes a file, and the folders that it is in.
func writeFile(t testing.TB, path, text string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o644)
	}
	if err != nil {
		t.Fatalf("write %s: %v", path, err)
	}
}

func read(t *testing.T, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		t.Fatalf("read %s: %v", path, err)
	}
}
