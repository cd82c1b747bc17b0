package argocd

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// act is what a backend's author does when asked; the keys are those of backend/author.py and backend/raw.py.
type act map[string]any

func answers(sets []params) act { return act{"do": "answer", "sets": sets} }
func value(value any) act       { return act{"do": "value", "value": value} }
func python(name string) act    { return act{"do": "python", "name": name, "sets": numbered(1, 12)} }
func raw(data string) act {
	return act{"do": "raw", "base64": base64.StdEncoding.EncodeToString([]byte(data))}
}
func failure(code int, m string) act { return act{"do": "failure", "code": code, "message": m} }

// params is one parameter set.
type params map[string]any

// script is the file that tells a backend what to do.
type script struct {
	t    testing.TB
	path string
}

func newScript(t testing.TB, dir, name string) *script {
	t.Helper()
	return &script{t: t, path: filepath.Join(dir, name+".json")}
}

// order makes the next question's answer; a reader never sees half of it.
func (s *script) order(a act) {
	s.t.Helper()
	data, err := json.Marshal(a)
	if err == nil {
		err = os.WriteFile(s.path+".new", data, 0o600)
	}
	if err == nil {
		err = os.Rename(s.path+".new", s.path)
	}
	if err != nil {
		s.t.Fatalf("the script: %v", err)
	}
}

// numbered returns the sets first to last, with names of two digits so that they sort.
func numbered(first, last int) []params {
	made := []params{}
	for n := first; n <= last; n++ {
		made = append(made, params{"name": fmt.Sprintf("app-%02d", n), "digest": fmt.Sprintf("sha256:%064d", n)})
	}
	return made
}

func jsonOf(value any) string {
	data, _ := json.Marshal(value)
	return string(data)
}
