package argocd

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// directory is the DNS of the cluster and of the world around it, as the controller sees it: "host:port" to a port of
// loopback. What is not in it is not there, so that no test leaves the machine.
type directory struct {
	mu    sync.Mutex
	ports map[string]int
}

var names = &directory{ports: map[string]int{}}

// The controller's plugin client and its pull request client use Go's default transport. Only the way there is
// replaced: URLs, headers and bodies are the controller's own.
func init() {
	transport := http.DefaultTransport.(*http.Transport)
	transport.Proxy = nil
	transport.DialContext = names.dial
	// The far end of https is this test, too; what is not proved here is GitHub's certificate.
	transport.DialTLSContext = names.dial
}

func (d *directory) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if net.ParseIP(host) == nil {
		d.mu.Lock()
		port, known := d.ports[address]
		d.mu.Unlock()
		if !known {
			return nil, &net.DNSError{Err: "no such host", Name: address, IsNotFound: true}
		}
		address = loopback(port)
	}
	// With the figures of Go's own transport.
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	return dialer.DialContext(ctx, network, address)
}

// lead makes a name lead to a port of loopback until the test ends.
func (d *directory) lead(t testing.TB, host string, port int32, to int) {
	t.Helper()
	address := fmt.Sprintf("%s:%d", host, port)
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, taken := d.ports[address]; taken {
		t.Fatalf("two places are called %s", address)
	}
	d.ports[address] = to
	t.Cleanup(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.ports, address)
		// A pooled connection would lead the next test to the place of this one.
		closeIdleConnections()
	})
}

// find returns where a "host:port" leads a pod of a namespace, with the search list that Kubernetes gives it.
func (d *directory) find(t testing.TB, address, namespace string) string {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatalf("%s is no address: %v", address, err)
	}
	if !strings.Contains(host, ".") {
		host += "." + namespace + ".svc.cluster.local"
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	to, known := d.ports[net.JoinHostPort(host, port)]
	if !known {
		t.Fatalf("%s leads nowhere in the namespace %s", address, namespace)
	}
	return loopback(to)
}
