package argocd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// direct is an HTTP client of the test's own: it shares no connection with the controller.
var direct = &http.Client{
	Timeout:   3 * time.Second,
	Transport: &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	},
}

// status returns the status code of a GET, or 0 when there is no answer.
func status(url string) int {
	response, err := direct.Get(url)
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// ask puts one question to a plugin with an Authorization header of the caller's choice.
func ask(url, authorization, set string) (code int, body string) {
	request, err := http.NewRequest(http.MethodPost, url+"/api/v1/getparams.execute",
		bytes.NewBufferString(fmt.Sprintf(`{"applicationSetName":%q,"input":{"parameters":{}}}`, set)))
	if err != nil {
		return 0, err.Error()
	}
	request.Header.Set("Content-Type", "application/json")
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	response, err := direct.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	data, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(data)
}

// attached matches a backend with an instance in the metrics.
func attached(name string) *regexp.Regexp {
	return regexp.MustCompile(`(?m)^appset_hub_backend_instances\{[^}]*backend="` + name + `"[^}]*\} [1-9]`)
}

// awaitBackends waits until every backend of the hub can be asked.
func (h *hub) awaitBackends() {
	h.t.Helper()
	for _, one := range h.backends {
		if one.process.alive() {
			h.awaitBackend(one.name, true)
		}
	}
}

func (h *hub) awaitBackend(name string, wanted bool) {
	h.t.Helper()
	eventually(h.t, fmt.Sprintf("backend %s is attached: %v", name, wanted), func() bool {
		return attached(name).MatchString(h.metrics()) == wanted
	})
}

func (h *hub) metrics() string {
	response, err := direct.Get("http://" + loopback(h.admin) + "/metrics")
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	data, _ := io.ReadAll(response.Body)
	return string(data)
}

// awaitAnswer waits until the hub answers a token with a status.
func (h *hub) awaitAnswer(token string, code int) {
	h.t.Helper()
	last := 0
	eventually(h.t, fmt.Sprintf("the hub answers %d to the token", code), func() bool {
		last, _ = ask(h.url(), "Bearer "+token, h.options.set+suffixGo)
		return last == code
	})
}

// held returns the ids of the answers that the guard holds.
func (h *hub) held() []string {
	h.t.Helper()
	output, err := h.cli("held", "--json")
	if err != nil {
		h.t.Fatalf("appset-hub held: %v: %s", err, output)
	}
	answers := []struct {
		ID any `json:"id"`
	}{}
	if err := json.Unmarshal([]byte(output), &answers); err != nil {
		h.t.Fatalf("appset-hub held --json prints no list of objects: %v: %s", err, output)
	}
	ids := []string{}
	for _, one := range answers {
		ids = append(ids, fmt.Sprint(one.ID))
	}
	return ids
}

// decide accepts or rejects every held answer.
func (h *hub) decide(verb string) {
	h.t.Helper()
	ids := h.held()
	if len(ids) == 0 {
		h.t.Errorf("nothing is held that an operator could %s", verb)
	}
	for _, id := range ids {
		if output, err := h.cli(verb, id); err != nil {
			h.t.Errorf("appset-hub %s %s: %v: %s", verb, id, err, output)
		}
	}
}

// limit sets a soft resource limit of a running process and returns what it was.
func (p *process) limit(resource int, soft uint64) (before uint64) {
	p.t.Helper()
	old := unix.Rlimit{}
	if err := unix.Prlimit(p.pid(), resource, nil, &old); err != nil {
		p.t.Fatalf("read the limit: %v", err)
	}
	if err := unix.Prlimit(p.pid(), resource, &unix.Rlimit{Cur: soft, Max: old.Max}, nil); err != nil {
		p.t.Fatalf("set the limit: %v", err)
	}
	return old.Cur
}

// reload tells the hub to read its files again, for machines where no file event arrives.
func (h *hub) reload() { h.process.signal(syscall.SIGHUP) }
