package argocd

import (
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// sample is the sample plugin of Argo CD's documentation, run from its page.
type sample struct {
	t       testing.TB
	dir     string
	script  *script
	port    int
	process *process
}

// argoDir is where Go keeps the sources of the Argo CD release that this test is built with.
var argoDir = sync.OnceValue(func() string { return argoModule("{{.Dir}}") })

func argoModule(format string) string {
	command := exec.Command("go", "list", "-modfile="+modfile, "-m", "-f", format, "github.com/argoproj/argo-cd/v3")
	output, err := command.Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(output))
}

// newSampleRig starts the sample plugin, and a cluster that asks it.
func newSampleRig(t testing.TB, options hubOptions) *rig {
	t.Helper()
	dir := t.TempDir()
	s := &sample{t: t, dir: dir, script: newScript(t, dir, "author"), port: freePort(t)}
	writeFile(t, filepath.Join(dir, "token"), strongToken+"\n")
	r := &rig{t: t, dir: dir, sample: s, modes: modes("faults")}
	r.order(numbered(1, 12))
	s.start()
	s.await()
	r.connect("http://"+loopback(s.port), options.requestTimeout)
	return r
}

func (s *sample) start() {
	s.t.Helper()
	page := filepath.Join(argoDir(), "docs", "operator-manual", "applicationset", "Generators-Plugin.md")
	s.process = start(s.t, s.dir, "sample", append(python3(), filepath.Join("backend", "sample.py"),
		"--page", page, "--script", s.script.path, "--token-file", filepath.Join(s.dir, "token"),
		"--port", strconv.Itoa(s.port)))
}

func (s *sample) await() {
	s.t.Helper()
	eventually(s.t, "the sample plugin listens", func() bool {
		if !s.process.alive() {
			s.t.Fatalf("the sample plugin ended: %s", s.process.output(2000))
		}
		connection, err := net.Dial("tcp", loopback(s.port))
		if err == nil {
			_ = connection.Close()
		}
		return err == nil
	})
}
