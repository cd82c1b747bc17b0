package argocd

import (
	"fmt"
	"strings"
	"testing"
)

// half keeps the old flat limit, so that the figures below are easy to follow.
const half = "guard: {max_drop: 50%}"

// TestALossInSmallStepsIsHeld lets a list halve again and again: the first step passes, as an order would, and from the
// second on nothing is deleted.
func TestALossInSmallStepsIsHeld(t *testing.T) {
	needHub(t)
	needGuard(t)
	r := newHubRig(t, hubOptions{route: half})
	// One ApplicationSet is enough: two that lose as much are held by the limit over all of them.
	r.modes = r.modes[:1]
	m := r.modes[0]
	r.order(numbered(1, 100))
	r.arrive("a hundred sets")
	r.order(numbered(1, 50))
	r.arrive("half of them")
	for _, step := range []struct {
		left int
		text string
	}{
		{25, "75 of 100 parameter sets of the ApplicationSet are lost within guard.window (1h)"},
		{13, "37 of 50 parameter sets are missing from the answer"},
		{0, "50 of 50 parameter sets are missing from the answer"},
	} {
		r.script(answers(numbered(1, step.left)))
		r.heldAs(m, step.text)
		if there := len(r.cluster.applications(m.set)); there != 50 {
			t.Fatalf("%d left: %d Applications, not 50", step.left, there)
		}
	}
}

// TestAMatrixWhoseRowsBecomeEmptyIsHeld has forty rows with one set each, and a backend that then answers [] to all of
// them: Argo CD asks row after row, stops at the one that is held, and deletes nothing.
func TestAMatrixWhoseRowsBecomeEmptyIsHeld(t *testing.T) {
	needHub(t)
	needGuard(t)
	const rows = 40
	full, empty := map[string]any{}, map[string]any{}
	elements := strings.Builder{}
	for row := range rows {
		branch := fmt.Sprintf("branch-%02d", row)
		full[branch], empty[branch] = []params{{"digest": "sha256:" + branch}}, []params{}
		fmt.Fprintf(&elements, "          - {branch: %s}\n", branch)
	}
	s := scenario{
		options: hubOptions{route: half},
		scripts: []act{{"do": "answer", "by": "branch", "table": full}},
		generators: `
  - matrix:
      generators:
      - list:
          elements:
` + elements.String() + `      - plugin:
          configMapRef: {name: my-plugin}
          input: {parameters: {branch: "GO{{branch}}"}}
`,
		appName: "app-GO{{branch}}", count: rows,
	}
	r := newScenarioRig(t, s)
	m := r.modes[0]
	r.cluster = newPluginCluster(t, r.url(), strongToken)
	r.cluster.setConfigMap(map[string]string{"baseUrl": r.url(), "token": "$" + tokenKey, "requestTimeout": "30"})
	r.cluster.apply(s.applicationSet(m))
	r.cluster.reconcile(m.set)
	s.check(t, r, m)
	r.scripts()[0].order(act{"do": "answer", "by": "branch", "table": empty})
	s.says = []string{"409", "21 of 40 parameter sets of the ApplicationSet are lost within guard.window (1h)"}
	for range 2 {
		r.cluster.reconcile(m.set)
		s.check(t, r, m)
	}
}
