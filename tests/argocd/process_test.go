package argocd

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a program that a test started. It dies with the test.
type process struct {
	t    testing.TB
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

// start runs a program whose output goes to a file in dir.
func start(t testing.TB, dir, name string, command []string, env ...string) *process {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatalf("the log of %s: %v", name, err)
	}
	cmd := exec.Command(command[0], command[1:]...)
	// Through a pipe, so that a limit on the size of files does not hit the log.
	output := struct{ io.Writer }{log}
	cmd.Stdout, cmd.Stderr = output, output
	cmd.Env = append(os.Environ(), env...)
	// A test that is killed takes its processes along.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := startOnLockedThread(cmd); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	p := &process{t: t, cmd: cmd, log: log.Name(), done: make(chan struct{})}
	go func() { _ = cmd.Wait(); _ = log.Close(); close(p.done) }()
	t.Cleanup(func() {
		p.signal(syscall.SIGCONT)
		p.kill()
		if t.Failed() {
			t.Logf("%s said:\n%s", name, p.output(1500))
		}
	})
	return p
}

// starts carries every start to one goroutine on one thread that never ends: the kernel sends the
// parent-death signal when the starting thread ends, not the process.
var starts = sync.OnceValue(func() chan func() {
	queue := make(chan func())
	go func() {
		runtime.LockOSThread()
		for run := range queue {
			run()
		}
	}()
	return queue
})

func startOnLockedThread(cmd *exec.Cmd) error {
	result := make(chan error, 1)
	starts() <- func() { result <- cmd.Start() }
	return <-result
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

func (p *process) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// kill ends the process at once and waits for its end.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// terminate asks the process to end, and waits until it has.
func (p *process) terminate() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		p.t.Fatalf("the process did not end within 30 s of SIGTERM\n%s", p.output(1500))
	}
}

// output returns the end of what the process wrote.
func (p *process) output(longest int) string {
	data, _ := os.ReadFile(p.log)
	return string(data[max(0, len(data)-longest):])
}

var (
	portsMu sync.Mutex
	ports   = map[int]bool{}
)

// freePort returns a port on loopback that this run has not given to anyone.
func freePort(t testing.TB) int {
	t.Helper()
	portsMu.Lock()
	defer portsMu.Unlock()
	for {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatalf("a free port: %v", err)
		}
		port := listener.Addr().(*net.TCPAddr).Port
		_ = listener.Close()
		if !ports[port] {
			ports[port] = true
			return port
		}
	}
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// shellWords splits a command from the environment at white space.
func shellWords(name, fallback string) []string {
	if words := strings.Fields(os.Getenv(name)); len(words) > 0 {
		return words
	}
	return []string{fallback}
}
