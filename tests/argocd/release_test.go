package argocd

import (
	"strings"
	"testing"
	"time"
)

// release returns the twelve sets of a rig with the digest of one release.
func release(tag string) []params {
	sets := numbered(1, 12)
	for _, one := range sets {
		one["digest"] = "sha256:" + strings.Repeat(tag, 64)
	}
	return sets
}

// arrive lets the controller do what was ordered, in both template modes.
func (r *rig) arrive(what string) {
	r.t.Helper()
	for _, m := range r.modes {
		seen, wrong := r.settle(m, 20*time.Second)
		if !seen.right() || seen.condition.failed || len(wrong) > 0 {
			r.t.Errorf("%s: %s: %s, wrongly deleted %v", m.set, what, seen, wrong)
		}
	}
}

// heldAs reconciles and expects that the answer is held with a text, and that nothing is deleted.
func (r *rig) heldAs(m mode, text string) {
	r.t.Helper()
	seen := r.reconcile(m)
	if !seen.condition.failed || !strings.Contains(seen.condition.text, text) || len(seen.deleted) > 0 {
		r.t.Errorf("%s: not held as %q: %s, deleted %v", m.set, text, seen, seen.deleted)
	}
}

// TestAReleaseIsHeldOnceAndTaught changes all sets of a route that has no keys: the release is held once for the whole
// route, an operator teaches the keys, and from then on releases arrive and losses do not.
func TestAReleaseIsHeldOnceAndTaught(t *testing.T) {
	needHub(t)
	if !guarded() {
		t.Skip("this hub has no guard")
	}
	r := newHubRig(t, hubOptions{})
	r.arrive("the first sets")
	const changed = "12 of 12 sets changed, 0 missing"
	r.order(release("2"))
	for _, m := range r.modes {
		r.heldAs(m, changed)
	}
	r.order(release("3"))
	before := r.hub.held()
	for _, m := range r.modes {
		r.heldAs(m, changed)
	}
	if after := r.hub.held(); strings.Join(after, " ") != strings.Join(before, " ") {
		t.Errorf("the next release is held under other ids: %v, then %v", before, after)
	}
	if output, err := r.hub.cli("accept", before[0], "--unique-by", "name"); err != nil {
		t.Fatalf("appset-hub accept: %v: %s", err, output)
	}
	r.arrive("the release that was accepted")
	r.order(release("4"))
	r.arrive("the release after it")
	if ids := r.hub.held(); len(ids) > 0 {
		t.Errorf("still held: %v", ids)
	}
	r.order(release("5")[:2])
	for _, m := range r.modes {
		r.heldAs(m, "10 of 12 parameter sets are missing")
	}
}
