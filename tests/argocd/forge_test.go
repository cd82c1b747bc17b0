package argocd

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"testing"
)

const forgeToken = "token-for-the-forge"

// forge is GitHub, as far as the pull request generator asks it: the open pull requests of one repository.
type forge struct {
	mu       sync.Mutex
	branches []string
}

// newForge answers in the place of api.github.com, for those who have the token.
func newForge(t testing.TB, repository string, branches ...string) *forge {
	t.Helper()
	f := &forge{branches: branches}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /repos/"+repository+"/pulls", f.list)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	address, err := url.Parse(server.URL)
	if err != nil {
		t.Fatalf("the forge: %v", err)
	}
	port, _ := strconv.Atoi(address.Port())
	names.lead(t, "api.github.com", 443, port)
	return f
}

func (f *forge) list(w http.ResponseWriter, request *http.Request) {
	if request.Header.Get("Authorization") != "Bearer "+forgeToken {
		http.Error(w, `{"message": "Bad credentials"}`, http.StatusUnauthorized)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	type object = map[string]any
	pulls := []object{}
	for number, branch := range f.branches {
		pulls = append(pulls, object{
			"number": number + 1, "title": "Add " + branch, "labels": []object{}, "user": object{"login": "octocat"},
			"head": object{"ref": branch, "sha": headOf(branch)}, "base": object{"ref": "main"},
		})
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(pulls)
}

// headOf returns the commit that a branch is at.
func headOf(branch string) string { return hexDigest([]byte(branch))[:40] }

// open makes these the branches with an open pull request.
func (f *forge) open(branches ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.branches = branches
}
