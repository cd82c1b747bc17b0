package argocd

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// caller is one way of asking without the right token.
type caller struct {
	name          string
	authorization string
}

var callers = []caller{
	{"no Authorization header", ""},
	{"an empty bearer token", "Bearer "},
	{"the reference itself, as Argo CD sends it when the Secret lacks the key", "Bearer $" + tokenKey},
	{"another token", "Bearer another"},
	{"the right token, but as Basic", "Basic " + strongToken},
}

// refusal is how a plugin answered one caller without the right token.
type refusal struct {
	code int
	// leaked: parameter sets came with the answer.
	leaked bool
	// helpful: there is a message in it that Argo CD shows. stable: it is the same one second later.
	helpful bool
	stable  bool
}

func (r refusal) wrong() bool { return r.code != 403 || r.leaked || !r.helpful || !r.stable }

func (r refusal) String() string {
	faults := []string{}
	for fault, there := range map[string]bool{
		"sends the parameter sets along": r.leaked, "no message": !r.helpful, "another text each second": !r.stable,
	} {
		if there {
			faults = append(faults, fault)
		}
	}
	slices.Sort(faults)
	if len(faults) == 0 {
		return fmt.Sprintf("%d, with a message", r.code)
	}
	return fmt.Sprintf("%d: %s", r.code, strings.Join(faults, ", "))
}

var refusals = map[string][]refusal{}

// remember403 asks a rig's plugin as each of the callers.
func remember403(target string, r *rig) {
	r.t.Helper()
	for _, m := range r.modes {
		r.settle(m, 30*time.Second)
	}
	for _, one := range callers {
		code, first := ask(r.url(), one.authorization, r.modes[0].set)
		time.Sleep(pause)
		_, second := ask(r.url(), one.authorization, r.modes[0].set)
		refusals[target] = append(refusals[target], refusal{
			code: code, leaked: strings.Contains(first, "app-01"),
			helpful: strings.Contains(first, `"message"`), stable: first == second,
		})
	}
}

// report is the page docs/argocd-report.md.
func report() string {
	var text strings.Builder
	fmt.Fprintf(&text, `# Argo CD's controller against the hub, and against the documentation's sample plugin

This page is written by a command, from what it saw:

    tests/argocd/run.sh --report docs/argocd-report.md

The ApplicationSet controller of Argo CD %s, unchanged, runs against a fake Kubernetes API. Each row breaks
something while 12 Applications are in place that nobody ordered away, reconciles twice, mends it, and then
orders one deletion and one new Application. Each row runs with goTemplate and with fasttemplate.
The sample plugin is the Python program of the page "Plugin Generator" in the same release of Argo CD, taken
from there when the command runs; the same scripted author stands behind both.

`, argoModule("{{.Version}}"))
	summary(&text)
	text.WriteString("\n## Faults\n\nIn each cell: goTemplate / fasttemplate. \"kept\" means that all Applications stayed.\n\n")
	text.WriteString("| fault | hub | sample plugin | text in the status, hub |\n|---|---|---|---|\n")
	for _, f := range faults() {
		sample := cell(f.name, "sample")
		if f.hubOnly != "" {
			sample = "no such fault: " + f.hubOnly
		}
		fmt.Fprintf(&text, "| %s | %s | %s | %s |\n", escape(f.name), cell(f.name, "hub"), sample, escape(firstText(f.name)))
	}
	text.WriteString("\n## Asked without the right token\n\n| caller | hub | sample plugin |\n|---|---|---|\n")
	for i, one := range callers {
		fmt.Fprintf(&text, "| %s | %s | %s |\n", one.name, refusalCell("hub", i), refusalCell("sample", i))
	}
	return text.String()
}

func refusalCell(target string, i int) string {
	if i >= len(refusals[target]) {
		return "not run"
	}
	return refusals[target][i].String()
}

func summary(text *strings.Builder) {
	text.WriteString("| | hub, all rows | hub, the rows that the sample plugin has too | sample plugin |\n|---|---|---|---|\n")
	line := func(name string, count func(outcome) int) {
		fmt.Fprintf(text, "| %s | %d | %d | %d |\n", name,
			total("hub", anyRow, count), total("hub", sampleHas, count), total("sample", anyRow, count))
	}
	line("fault rows × template modes", func(outcome) int { return 1 })
	line("… in which an Application was deleted that nobody ordered away", func(o outcome) int { return min(1, len(o.wrong)) })
	line("Applications deleted that nobody ordered away", func(o outcome) int { return len(o.wrong) })
	line("… after which the Applications were not those that were ordered", func(o outcome) int { return min(1, len(o.misplaced)) })
	line("… in which the same fault wrote another text into the status", func(o outcome) int { return count(o.otherText()) })
	line("… after which the deletion that was ordered happened", func(o outcome) int { return count(o.mended.right()) })
	wrong := func(target string) (sum int) {
		for _, one := range refusals[target] {
			sum += count(one.wrong())
		}
		return sum
	}
	fmt.Fprintf(text, "| wrong answers to a missing token, of %d | %d | %d | %d |\n",
		len(callers), wrong("hub"), wrong("hub"), wrong("sample"))
}

func count(holds bool) int {
	if holds {
		return 1
	}
	return 0
}

func anyRow(string) bool { return true }

func sampleHas(row string) bool {
	return slices.ContainsFunc(memory["sample"], func(o outcome) bool { return o.row == row })
}

func total(target string, counts func(row string) bool, count func(outcome) int) (sum int) {
	for _, o := range memory[target] {
		if counts(o.row) {
			sum += count(o)
		}
	}
	return sum
}

// otherText: the same fault was seen twice, and read differently the second time.
func (o outcome) otherText() bool {
	return !o.varies && o.first.failed && o.second.failed && o.first.text != o.second.text
}

func cell(row, target string) string {
	cells := []string{}
	for _, suffix := range []string{suffixGo, suffixFast} {
		for _, o := range memory[target] {
			if o.row == row && o.mode.suffix == suffix {
				cells = append(cells, o.word())
			}
		}
	}
	if len(cells) == 0 {
		return "not run"
	}
	return strings.Join(slices.Compact(cells), " / ")
}

func (o outcome) word() string {
	switch {
	case len(o.wrong) > 0:
		return fmt.Sprintf("**%d deleted**", len(o.wrong))
	case len(o.misplaced) > 0:
		return "**not as ordered**"
	case o.otherText():
		return "kept, another text each time"
	default:
		return "kept"
	}
}

// firstText is what the hub's user reads, from the status code on.
func firstText(row string) string {
	for _, o := range memory["hub"] {
		if o.row != row || o.mode.suffix != suffixGo {
			continue
		}
		seen := o.first
		if !seen.failed {
			seen = o.second
		}
		if !seen.failed {
			return "none: it does not reach Argo CD"
		}
		_, after, found := strings.Cut(seen.text, "API error with status code ")
		if !found {
			return "Argo CD's own: " + portless(seen.text)
		}
		return after
	}
	return ""
}

func escape(text string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;", "[", "\\[").Replace(text)
}

var anyPort = regexp.MustCompile(`127\.0\.0\.1:\d+`)

func portless(text string) string { return anyPort.ReplaceAllString(text, "127.0.0.1:PORT") }
