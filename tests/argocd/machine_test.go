package argocd

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// closeIdleConnections makes the controller open a new connection for its next question.
func closeIdleConnections() { http.DefaultTransport.(*http.Transport).CloseIdleConnections() }

// serveForeign puts a web server on a port that answers everything with a page, and returns what ends it.
func serveForeign(t testing.TB, port int) (end func()) {
	t.Helper()
	listener, err := net.Listen("tcp", loopback(port))
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	server := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(listener) }()
	return func() { _ = server.Close() }
}

// readOnly makes a folder read-only for a process that is about to start, and returns what to put in
// front of its command. Root ignores the mode of a folder, so for root it is mounted read-only in a
// mount namespace of the process's own.
func readOnly(t testing.TB, folder string) []string {
	t.Helper()
	if os.Geteuid() != 0 {
		if err := os.Chmod(folder, 0o500); err != nil {
			t.Fatalf("make %s read-only: %v", folder, err)
		}
		return nil
	}
	front := []string{
		"unshare", "--mount", "sh", "-c",
		`mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"`, folder,
	}
	if err := exec.Command(front[0], append(front[1:], "true")...).Run(); err != nil {
		t.Skipf("no read-only mount on this machine: %v", err)
	}
	if exec.Command(front[0], append(front[1:], "touch", filepath.Join(folder, "probe"))...).Run() == nil {
		t.Skip("a read-only mount on this machine can be written to")
	}
	return front
}

func writable(folder string) { _ = os.Chmod(folder, 0o700) }

// awaitEndOrReady waits until the hub has made up its mind about a store that it may not like.
func (h *hub) awaitEndOrReady() {
	h.t.Helper()
	eventually(h.t, "the hub is ready, or has given up", func() bool {
		return !h.process.alive() || status("http://"+loopback(h.admin)+"/readyz") != 0
	})
}
