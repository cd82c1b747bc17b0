package argocd

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

var reportTo = flag.String("report", "", "run the fault rows against the sample plugin too, and write the report to this file")

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if *reportTo != "" {
		if err := os.WriteFile(*reportTo, []byte(report()), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// needHub skips a test where there is no hub to start, except where CI says that there must be one.
func needHub(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath(hubCommand()[0]); err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("no hub: %s is not there; run make setup", hubCommand()[0])
	}
	t.Skipf("no hub: %s is not there; run make setup", hubCommand()[0])
}

// needGuard skips a test where the hub has no guard, except in CI.
func needGuard(t *testing.T) {
	t.Helper()
	const reason = "this hub has no guard: appset-hub accept --help fails"
	if guarded() {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// pause lies between two reconciles of one fault, so that a text with the time in it shows itself.
const pause = 1100 * time.Millisecond

// outcome is what one row did to one ApplicationSet.
type outcome struct {
	row  string
	mode mode
	// varies: the fault itself is another one the second time.
	varies bool
	// wrong are Applications that were deleted and that nobody ordered away.
	wrong []string
	// misplaced are Applications that nobody ordered, and ordered ones that are not there, once the fault was seen.
	misplaced []string
	first     condition
	second    condition
	// mended: after the fault, what the script then ordered was done, with the one deletion in it.
	mended observed
}

func (o outcome) sameText() bool {
	return o.first.text == o.second.text && o.first.failed == o.second.failed
}

// run lets one fault happen to a rig and says what became of each ApplicationSet.
func (f fault) run(r *rig) []outcome {
	r.t.Helper()
	outcomes := make([]outcome, len(r.modes))
	for i, m := range r.modes {
		outcomes[i] = outcome{row: f.name, mode: m, varies: f.varies != ""}
		if seen, _ := r.settle(m, 30*time.Second); !seen.right() || seen.condition.failed {
			r.t.Fatalf("%s: before the fault: %s", m.set, seen)
		}
	}
	f.begin(r)
	for pass := range 2 {
		if pass > 0 {
			time.Sleep(pause)
		}
		for i, m := range r.modes {
			if f.each != nil {
				f.each(r)
			}
			outcomes[i].add(r.reconcile(m), pass)
		}
	}
	r.restore()
	if f.heal != nil {
		f.heal(r)
	}
	r.order(numbered(2, 13))
	for i, m := range r.modes {
		last, wrong := r.settle(m, 30*time.Second)
		outcomes[i].mended = last
		outcomes[i].wrong = append(outcomes[i].wrong, wrong...)
	}
	return outcomes
}

func (f fault) begin(r *rig) {
	if f.script != nil {
		r.script(f.script)
	}
	if f.inject != nil {
		f.inject(r)
	}
}

func (o *outcome) add(seen observed, pass int) {
	o.wrong = append(o.wrong, seen.wronglyDeleted...)
	o.misplaced = append(append(o.misplaced, seen.wronglyPresent...), seen.wronglyAbsent...)
	if pass == 0 {
		o.first = seen.condition
	} else {
		o.second = seen.condition
	}
}

// secrets must not stand in any text.
var secrets = []string{strongToken, "hunter2", "token-of-", "the-next-token"}

// check holds the outcome of a row against what a hub owes.
func (f fault) check(t *testing.T, o outcome) {
	t.Helper()
	if len(o.wrong)+len(o.misplaced) > 0 {
		t.Errorf("%s: wrongly deleted %v, not as ordered %v\nfirst %+v\nsecond %+v", o.mode.set, o.wrong, o.misplaced, o.first, o.second)
	}
	if !o.mended.right() || o.mended.condition.failed {
		t.Errorf("%s: after the fault, what was ordered is not done: %s", o.mode.set, o.mended)
	}
	for _, seen := range []condition{o.first, o.second} {
		f.checkText(t, o.mode.set, seen)
	}
	if f.varies == "" && !f.either && !o.sameText() {
		t.Errorf("%s: the same fault wrote two texts:\n%q\n%q", o.mode.set, o.first.text, o.second.text)
	}
	if f.varies == "" && o.first.failed && o.second.failed && o.first.written != o.second.written {
		t.Errorf("%s: the same fault wrote the status twice", o.mode.set)
	}
}

func (f fault) checkText(t *testing.T, set string, seen condition) {
	t.Helper()
	// What Argo CD says before it asks anybody is its own.
	_, said, _ := strings.Cut(seen.text, "API error with status code ")
	for _, secret := range secrets {
		if strings.Contains(said, secret) {
			t.Errorf("%s: the text holds a secret: %q", set, seen.text)
		}
	}
	switch {
	case f.either:
	case f.quiet && seen.failed:
		t.Errorf("%s: the fault reached Argo CD: %q", set, seen.text)
	case !f.quiet && !seen.failed:
		t.Errorf("%s: the fault did not reach Argo CD", set)
	default:
		for _, part := range f.says {
			if !strings.Contains(seen.text, part) {
				t.Errorf("%s: the text does not say %q: %q", set, part, seen.text)
			}
		}
	}
}

func TestNoFaultOfABackendOrTheHubDeletesAnApplication(t *testing.T) {
	needHub(t)
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			if f.guard {
				needGuard(t)
			}
			for _, o := range f.run(newHubRig(t, f.options)) {
				f.check(t, o)
				remember("hub", o)
			}
		})
	}
}

func TestWhatAnOperatorAcceptsIsDeleted(t *testing.T) {
	needHub(t)
	needGuard(t)
	for name, sets := range map[string][]params{"nothing left": {}, "half left": numbered(1, 5), "other names": numbered(51, 62)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newHubRig(t, hubOptions{})
			for _, m := range r.modes {
				r.settle(m, 30*time.Second)
			}
			r.script(answers(sets))
			for _, m := range r.modes {
				if seen := r.reconcile(m); !seen.right() || !seen.condition.failed {
					t.Fatalf("%s: not held: %s", m.set, seen)
				}
			}
			r.hub.decide("accept")
			r.order(sets)
			for _, m := range r.modes {
				if seen, _ := r.settle(m, 20*time.Second); !seen.right() || seen.condition.failed {
					t.Errorf("%s: accepted, but not done: %s", m.set, seen)
				}
			}
		})
	}
}

// TestTheSamplePlugin runs the same rows against the documentation's plugin. It proves nothing about the hub: its
// figures stand beside the hub's in the report.
func TestTheSamplePlugin(t *testing.T) {
	if *reportTo == "" {
		t.Skip("only for the report: -report FILE")
	}
	for _, f := range faults() {
		if f.hubOnly != "" {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			for _, o := range f.run(newSampleRig(t, f.options)) {
				remember("sample", o)
			}
		})
	}
	t.Run("asked without the right token", func(t *testing.T) { remember403("sample", newSampleRig(t, hubOptions{})) })
}

func TestACallerWithoutTheTokenGetsOneHelpfulTextAndNothingElse(t *testing.T) {
	needHub(t)
	remember403("hub", newHubRig(t, hubOptions{}))
	for i, one := range refusals["hub"] {
		if one.wrong() {
			t.Errorf("%s: %s", callers[i].name, one)
		}
	}
}

var (
	memoryMu sync.Mutex
	memory   = map[string][]outcome{}
)

func remember(target string, o outcome) {
	memoryMu.Lock()
	defer memoryMu.Unlock()
	memory[target] = append(memory[target], o)
}
