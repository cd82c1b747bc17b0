package argocd

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jeremywohl/flatten"
)

const flattenedFile = "../trust/data/flattened.json"

var writeFlattened = flag.Bool("write-flattened", false, "write "+flattenedFile+" instead of comparing with it")

// flattened is a set, and what Argo CD makes of it without goTemplate. Lost is true if two of its
// values have one name; which of them is kept then changes from one time to the next.
type flattened struct {
	Set   json.RawMessage `json:"set"`
	Names []string        `json:"names"`
	Lost  bool            `json:"lost"`
}

// Keys that meet often, and others: with spaces and control characters, in two letter cases.
var (
	meetingKeys = []string{"", ".", "a", "a.", ".a", "a.a", "0"}
	anyKeys     = []string{"", ".", "..", "a", "A", "b", "a.", ".a", "a.b", "a..b", "0", "1", "a.0", " ", "\n", "\x00", "é", "e\u0301"}
)

// TestTheNamesOfFlattenedValues compares the recorded names, by which the hub's own rule is checked
// elsewhere, with what Argo CD's library makes of the same sets.
func TestTheNamesOfFlattenedValues(t *testing.T) {
	if *writeFlattened {
		recordFlattened(t, generated(600))
	}
	data, err := os.ReadFile(flattenedFile)
	if err != nil {
		t.Fatal(err)
	}
	var recorded []flattened
	if err := json.Unmarshal(data, &recorded); err != nil {
		t.Fatal(err)
	}
	if len(recorded) < 500 {
		t.Fatalf("only %d sets are recorded", len(recorded))
	}
	for _, one := range recorded {
		if now := flat(t, one.Set); fmt.Sprint(now) != fmt.Sprint(one) {
			t.Errorf("%s: recorded %v, is %v", one.Set, one, now)
		}
	}
}

func recordFlattened(t *testing.T, sets []json.RawMessage) {
	lines := make([]string, 0, len(sets))
	for _, one := range sets {
		line, err := json.Marshal(flat(t, one))
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(line))
	}
	if err := os.WriteFile(flattenedFile, []byte("[\n"+strings.Join(lines, ",\n")+"\n]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func flat(t *testing.T, set json.RawMessage) flattened {
	t.Helper()
	var nested map[string]any
	if err := json.Unmarshal(set, &nested); err != nil {
		t.Fatal(err)
	}
	made, err := flatten.Flatten(nested, "", flatten.DotStyle)
	if err != nil {
		t.Fatal(err)
	}
	return flattened{Set: set, Names: append([]string{}, slices.Sorted(maps.Keys(made))...), Lost: len(made) < leavesOf(nested)}
}

func leavesOf(value any) int {
	count := 0
	switch value := value.(type) {
	case map[string]any:
		for _, inner := range value {
			count += leavesOf(inner)
		}
	case []any:
		for _, inner := range value {
			count += leavesOf(inner)
		}
	default:
		return 1
	}
	return count
}

// generated makes the same sets each time.
func generated(count int) []json.RawMessage {
	random := rand.New(rand.NewSource(1))
	keys := anyKeys
	var value func(depth int) any
	object := func(depth int) map[string]any {
		made := map[string]any{}
		for range 1 + random.Intn(6) {
			made[keys[random.Intn(len(keys))]] = value(depth - 1)
		}
		return made
	}
	value = func(depth int) any {
		switch kind := random.Intn(6); {
		case depth > 0 && kind < 3:
			return object(depth)
		case depth > 0 && kind == 3:
			made := []any{}
			for range random.Intn(3) {
				made = append(made, value(depth-1))
			}
			return made
		default:
			return fmt.Sprint("v", random.Intn(100))
		}
	}
	sets := make([]json.RawMessage, 0, count)
	for number := range count {
		if keys = meetingKeys; number%3 == 0 {
			keys = anyKeys
		}
		data, err := json.Marshal(object(3))
		if err != nil {
			panic(err)
		}
		sets = append(sets, data)
	}
	return sets
}
