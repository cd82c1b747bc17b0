package argocd

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// fault is one row: something breaks while Applications are in place, and nobody ordered any of them away.
type fault struct {
	name    string
	options hubOptions
	// script is what the author does instead of answering.
	script act
	// inject breaks something else. each runs before every reconcile of the fault.
	inject func(*rig)
	each   func(*rig)
	// heal mends what restoring the script does not.
	heal func(*rig)
	// says are parts of the text in the status condition.
	says []string
	// quiet: the fault does not reach Argo CD at all. either: it may.
	quiet  bool
	either bool
	// varies says why the text cannot be the same twice; empty: it must be.
	varies string
	// guard: the row needs the guard.
	guard bool
	// hubOnly says why the sample plugin has no such fault; empty: the row runs against both.
	hubOnly string
}

const (
	noBytes   = "its author does not write the bytes"
	noBackend = "it has no backends"
	noStore   = "it has no store"
	noConfig  = "it has no configuration"
	noMemory  = "it remembers nothing"
	noGuard   = "it has no guard"
	noWord    = "it can only answer or break"
)

func faults() []fault {
	all := processFaults()
	all = append(all, answerFaults()...)
	all = append(all, rawFaults()...)
	all = append(all, memberFaults()...)
	all = append(all, hubFaults()...)
	all = append(all, storeFaults()...)
	all = append(all, tokenFaults()...)
	all = append(all, requestFaults()...)
	return append(all, guardFaults()...)
}

func processFaults() []fault {
	return []fault{
		{
			name: "backend killed", inject: killed, heal: (*rig).reviveAuthor,
			says: []string{"503", `"images"`},
		},
		{
			name: "backend terminated", inject: (*rig).terminateAuthor, heal: (*rig).reviveAuthor,
			says: []string{"503", `"images"`},
		},
		{
			name: "backend killed while it thinks", script: act{"do": "exit"}, each: (*rig).reviveAuthor,
			heal: (*rig).reviveAuthor, says: []string{"50", `"images"`},
		},
		{
			name: "backend killed while it writes", script: python("dies-when-read"), each: (*rig).reviveAuthor,
			heal: (*rig).reviveAuthor, says: []string{"50", `"images"`},
		},
		{
			name: "backend hangs", script: act{"do": "hang"}, heal: restartAuthor,
			says: []string{"504", `"images"`},
		},
		{
			name: "backend slower than the deadline", script: act{"do": "answer", "sets": []params{}, "after_s": 5}, heal: restartAuthor,
			says: []string{"504", `"images"`},
		},
		{
			name: "backend slow but in time", script: act{"do": "answer", "sets": numbered(1, 12), "after_s": 0.5}, quiet: true,
		},
		{
			name: "backend stopped", inject: (*rig).stopAuthor, heal: (*rig).continueAuthor,
			says:   []string{"API error with status code 50", `"images"`},
			varies: "each question takes until its deadline (504) until the hub notices that the process does not run (503)",
		},
		{
			name: "backend killed and back", inject: func(r *rig) { r.killAuthor(); r.reviveAuthor() }, quiet: true,
		},
		{
			name: "backend raises", script: act{"do": "raise"},
			says: []string{"502", `"images"`},
		},
		{
			name: "backend raises, and the last good answer is allowed", options: hubOptions{route: "stale_if_error: {max_age: 1h}"},
			script: act{"do": "raise"}, quiet: true, hubOnly: noMemory,
		},
		{
			name: "backend killed, and the last good answer is allowed", options: hubOptions{route: "stale_if_error: {max_age: 1h}"},
			inject: killed, heal: (*rig).reviveAuthor, quiet: true, hubOnly: noMemory,
		},
		{
			name:    "hub restarted, backend killed, and the last good answer is allowed",
			options: hubOptions{route: "stale_if_error: {max_age: 1h}"},
			inject: func(r *rig) {
				r.killAuthor()
				r.serverProcess().kill()
				r.startServer()
			}, heal: (*rig).reviveAuthor, quiet: true, hubOnly: noMemory,
		},
		{
			name: "backend says that it is not ready", script: act{"do": "not-ready", "text": "the cache is cold"},
			says: []string{"503", `"images"`}, hubOnly: noWord,
		},
		{
			name: "backend refuses the input", script: act{"do": "refuse", "path": "branch", "text": "no such branch"},
			says: []string{"400", "branch: no such branch"}, hubOnly: noWord,
		},
		{
			name: "backend that claims is killed", options: hubOptions{claims: true},
			inject: func(r *rig) {
				r.killAuthor()
				r.hub.awaitBackend("images", false)
			},
			heal: (*rig).reviveAuthor, says: []string{"503", `"images"`}, hubOnly: noBackend,
		},
	}
}

func killed(r *rig) {
	r.killAuthor()
	if r.hub != nil {
		r.hub.awaitBackend("images", false)
	}
}

func restartAuthor(r *rig) {
	r.killAuthor()
	r.startAuthor()
	r.awaitAuthor()
}

// answerFaults are wrong values that the author's function returns.
func answerFaults() []fault {
	refused := []string{"502", `"images"`}
	return []fault{
		{name: "answer is None", script: value(nil), says: refused},
		{name: "answer is a dict", script: value(params{}), says: refused},
		{name: "answer is an envelope", script: value(params{"output": params{"parameters": numbered(1, 12)}}), says: refused},
		{name: "answer is text", script: value("no answer today"), says: refused},
		{name: "answer is a number", script: value(42), says: refused},
		{name: "answer is false", script: value(false), says: refused},
		{name: "a set is null", script: value(spoiled(nil)), says: refused},
		{name: "a set is empty", script: value(spoiled(params{})), says: refused},
		{name: "a set is text", script: value(spoiled("app-01")), says: refused},
		{name: "a set is a list", script: value(spoiled([]any{params{"name": "app-01"}})), says: refused},
		{name: "a value is no JSON (set)", script: python("set"), says: refused},
		{name: "a value is no JSON (bytes)", script: python("bytes"), says: refused},
		{name: "a value is no JSON (path)", script: python("path"), says: refused},
		{name: "a value is not finite", script: python("nan"), says: refused},
		{name: "a value holds itself", script: python("holds-itself"), says: refused},
		{name: "keys are numbers", script: python("number-keys"), says: refused},
		{
			name: "keys collide when flattened", options: hubOptions{},
			script: value(spoiled(params{"name": "app-01", "a": params{"b": 1}, "a.b": 2, "digest": "x"})), says: refused,
		},
		{
			name: "a set lost its name", options: hubOptions{route: "required_keys: [name]"},
			script: value(spoiled(params{"digest": "sha256:00"})), says: []string{"502", `"previews"`, `"name"`},
		},
		{
			name: "the name is null", options: hubOptions{route: "required_keys: [name]"},
			script: value(spoiled(params{"name": nil, "digest": "x"})), says: []string{"502", `"previews"`, `"name"`},
		},
		{
			name: "a key that is null is dropped, and was required", options: hubOptions{route: "required_keys: [name]\nnulls: drop"},
			script: value(spoiled(params{"name": nil, "digest": "x"})), says: []string{"502", `"previews"`, `"name"`}, hubOnly: noConfig,
		},
		{
			name: "a value is null where the route refuses it", options: hubOptions{route: "nulls: refuse"},
			script: value(spoiled(params{"name": "app-01", "digest": nil})), says: []string{"502", "null"}, hubOnly: noConfig,
		},
		{
			name: "two sets have one name", options: hubOptions{route: "unique_by: [name]"},
			script: value(anys(append(numbered(1, 11), numbered(11, 11)...))), says: []string{"502", `"previews"`, `"name"`},
		},
		{
			name: "answer is huge", script: act{"do": "big", "sets": numbered(1, 12), "bytes": 2 << 20}, says: refused,
		},
	}
}

// spoiled is a whole answer whose first set is not what it should be.
func spoiled(first any) []any { return append([]any{first}, anys(numbered(2, 12))...) }

func anys(sets []params) []any {
	made := []any{}
	for _, one := range sets {
		made = append(made, one)
	}
	return made
}

// rawFaults are bytes that only a backend without the SDK would send.
func rawFaults() []fault {
	refused := []string{"502", `"images"`}
	rows := []fault{
		{name: "raw: no bytes", script: raw("")},
		{name: "raw: null", script: raw("null")},
		{name: "raw: an object", script: raw("{}")},
		{name: "raw: half of the JSON", script: raw(`[{"name":"app-01"},`)},
		{name: "raw: garbage", script: raw("\x00\x01\xff\xfe garbage")},
		{name: "raw: white space", script: raw(" \n ")},
		{name: "raw: the envelope", script: raw(`{"output":{"parameters":[{"name":"app-01"}]}}`)},
		{name: "raw: something after the end", script: raw(`[{"name":"app-01"}]<html>`)},
		{name: "raw: two documents", script: raw(`[{"name":"app-01"}][]`)},
		{name: "raw: NaN", script: raw(`[{"name":"app-01","n":NaN}]`)},
		{name: "raw: a number over the range", script: raw(`[{"name":"app-01","n":1e400}]`)},
		{name: "raw: a key twice", script: raw(`[{"name":"app-01","name":"app-99","digest":"x"},` + jsonOf(numbered(2, 12))[1:])},
		{name: "raw: not UTF-8", script: raw("[{\"name\":\"app-\xff\"}]")},
		{name: "raw: a lone surrogate", script: raw(`[{"name":"app-\ud800"}]`)},
		{name: "raw: a byte order mark", script: raw("\ufeff[]")},
		{name: "raw: too deep", script: raw(`[{"name":"app-01","n":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}]`)},
		{name: "raw: over the hub's limit of bytes", script: act{"do": "huge", "bytes": 17 << 20}, says: []string{"50", `"images"`},
			varies: "such a message ends the stream, and the next question may come before the backend is back"},
		{name: "raw: not modified, of nothing", script: act{"do": "not-modified"}},
		{name: "raw: an answer without an outcome", script: act{"do": "no-outcome"}},
		{name: "raw: failure INTERNAL", script: failure(13, "out of cheese")},
		{name: "raw: failure with code OK", script: failure(0, "fine")},
		{name: "raw: failure with an unknown code", script: failure(99, "what")},
		{name: "raw: failure UNAVAILABLE", script: failure(14, "cache is cold"), says: []string{"503", `"images"`}},
		{name: "raw: failure INVALID_ARGUMENT", script: failure(3, "replicas: must be positive"), says: []string{"400", "replicas"}},
		{name: "raw: the answer to another question", script: act{"do": "wrong-id"}, says: []string{"50", `"images"`}},
		{name: "raw: the stream closes", script: act{"do": "close"}, says: []string{"50", `"images"`}},
		{
			name: "raw: every answer twice", script: act{"do": "answer", "sets": numbered(1, 12), "twice": true}, quiet: true,
		},
	}
	for i := range rows {
		rows[i].options.raw = true
		if rows[i].says == nil && !rows[i].quiet {
			rows[i].says = refused
		}
		rows[i].hubOnly = noBytes
	}
	return rows
}

// memberFaults break one backend of two; the sets of the other must not pass for the whole.
func memberFaults() []fault {
	two := hubOptions{members: 2}
	merged := hubOptions{members: 2, merged: true}
	second := func(a act) func(*rig) { return func(r *rig) { r.scripts()[1].order(a) } }
	killSecond := func(r *rig) {
		r.hub.backends[1].process.kill()
		r.hub.awaitBackend("owners", false)
	}
	revive := func(r *rig) {
		if !r.hub.backends[1].process.alive() {
			r.hub.startBackend(r.hub.backends[1])
		}
		r.hub.awaitBackends()
	}
	rows := []fault{
		{name: "concat: second backend killed", options: two, inject: killSecond, heal: revive, says: []string{"503", `"owners"`}},
		{name: "concat: second backend hangs", options: two, inject: second(act{"do": "hang"}), heal: func(r *rig) {
			r.hub.backends[1].process.kill()
			revive(r)
		}, says: []string{"504", `"owners"`}},
		{name: "concat: second backend raises", options: two, inject: second(act{"do": "raise"}), says: []string{"502", `"owners"`}},
		{name: "concat: second backend answers a dict", options: two, inject: second(value(params{})), says: []string{"502", `"owners"`}},
		{name: "merge: second backend killed", options: merged, inject: killSecond, heal: revive, says: []string{"503", `"owners"`}},
		{name: "merge: second backend has a name twice", options: merged,
			inject: second(answers(append(only(numbered(1, 12), "name"), only(numbered(1, 1), "name")...))), says: []string{"502", `"owners"`}},
		{name: "merge: the backends disagree on a key", options: merged,
			inject: second(answers([]params{{"name": "app-01", "digest": "another"}})), says: []string{"502", "digest"}},
		{
			name: "claims: one of two not back after a restart", options: hubOptions{members: 2, claims: true},
			inject: func(r *rig) {
				r.hub.backends[1].process.kill()
				r.hub.process.kill()
				r.hub.startHub()
				r.hub.awaitBackend("images", true)
			},
			heal: revive, says: []string{"503", `"owners"`},
		},
	}
	for i := range rows {
		rows[i].hubOnly = noBackend
	}
	return rows
}

func hubFaults() []fault {
	return []fault{
		{
			name: "hub killed", inject: func(r *rig) { r.serverProcess().kill() }, heal: (*rig).startServer,
			says:   []string{"getparams.execute"},
			varies: "the first reconcile may use a connection that it kept (EOF), the next finds nobody (connection refused)",
		},
		{
			name: "hub killed while it is asked", script: act{"do": "hang"},
			inject: func(r *rig) {
				for range 2 {
					time.AfterFunc(300*time.Millisecond, r.serverProcess().kill)
				}
			},
			heal:   func(r *rig) { r.startServer(); reviveOrRestart(r) },
			varies: "the first reconcile sees the connection end, the next finds nobody",
		},
		{
			name: "hub killed and back", inject: func(r *rig) {
				r.serverProcess().kill()
				r.startServer()
				r.awaitAuthor()
			}, quiet: true,
		},
		{
			name: "hub back before its backends", inject: func(r *rig) {
				r.killAuthor()
				r.serverProcess().kill()
				r.startServer()
			}, heal: (*rig).reviveAuthor, says: []string{"503", `"images"`}, hubOnly: noBackend,
		},
		{
			name: "hub back before its backends, which claim", options: hubOptions{claims: true}, inject: func(r *rig) {
				r.killAuthor()
				r.serverProcess().kill()
				r.startServer()
			}, heal: (*rig).reviveAuthor, says: []string{"503", `"images"`}, hubOnly: noBackend,
		},
		{
			name: "hub drained", inject: func(r *rig) { r.serverProcess().terminate() }, heal: (*rig).startServer,
			says: []string{"connection refused"},
		},
		{
			name: "hub drained while it is asked", script: act{"do": "answer", "sets": numbered(1, 12), "after_s": 1},
			inject: func(r *rig) {
				server := r.serverProcess()
				time.AfterFunc(300*time.Millisecond, func() { server.signal(unix.SIGTERM) })
			},
			each: func(r *rig) {
				if !r.serverProcess().alive() {
					r.startServer()
					r.awaitAuthor()
				}
			},
			heal:   func(r *rig) { r.serverProcess().kill(); r.startServer(); reviveOrRestart(r) },
			either: true, varies: "the question that was in flight is answered, the next may find nobody",
		},
		{
			name: "hub stopped", inject: func(r *rig) { r.serverProcess().signal(unix.SIGSTOP) },
			heal: func(r *rig) { r.serverProcess().signal(unix.SIGCONT) },
			says: []string{"Client.Timeout exceeded"},
		},
		{
			name: "hub out of file descriptors", inject: func(r *rig) {
				taken, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", r.serverProcess().pid()))
				r.files = r.serverProcess().limit(unix.RLIMIT_NOFILE, uint64(len(taken)))
			},
			each:   func(*rig) { closeIdleConnections() },
			heal:   func(r *rig) { r.serverProcess().limit(unix.RLIMIT_NOFILE, r.files) },
			either: true, varies: "the end of a connection names its port",
		},
		{
			name: "another server on the hub's port", inject: func(r *rig) {
				r.serverProcess().kill()
				r.intruder = serveForeign(r.t, r.port())
			},
			heal: func(r *rig) { r.intruder(); r.startServer() },
			says: []string{"404"},
		},
	}
}

// reviveOrRestart gets rid of an author who still hangs in an old question.
func reviveOrRestart(r *rig) {
	if r.hub != nil {
		restartAuthor(r)
	}
}

func storeFaults() []fault {
	database := func(r *rig) string { return r.hub.file("store/hub.db") }
	remove := func(r *rig) {
		for _, end := range []string{"", "-wal", "-shm", "-journal"} {
			_ = os.Remove(database(r) + end)
		}
	}
	back := func(r *rig) {
		r.hub.process.kill()
		r.hub.startHub()
		r.hub.awaitBackends()
	}
	rows := []fault{
		{name: "store deleted under the hub", inject: remove, heal: back, either: true},
		{name: "store deleted, hub restarted", inject: func(r *rig) {
			r.hub.process.kill()
			remove(r)
			back(r)
		}, quiet: true},
		{name: "store deleted, hub restarted, one of two backends back", options: hubOptions{members: 2}, inject: func(r *rig) {
			r.hub.backends[1].process.kill()
			r.hub.process.kill()
			remove(r)
			back(r)
		}, heal: func(r *rig) { r.hub.startBackend(r.hub.backends[1]); r.hub.awaitBackends() }, says: []string{"503", `"owners"`}},
		{
			name: "store lost while an answer is held, and an initialised one expected", options: hubOptions{expectStore: true},
			script: value(numbered(1, 2)), inject: func(r *rig) {
				for _, m := range r.modes {
					if held := r.reconcile(m); !strings.Contains(held.condition.text, "409") {
						r.t.Fatalf("%s: the answer is not held: %s", m.set, held)
					}
				}
				r.hub.process.kill()
				remove(r)
				back(r)
			}, heal: func(r *rig) { r.hub.initialiseStore() }, says: []string{"503", "store init"},
		},
		{
			name: "store deleted under the hub, and an initialised one expected", options: hubOptions{expectStore: true},
			script: value(numbered(1, 11)), inject: func(r *rig) {
				remove(r)
				eventually(r.t, "the hub misses its store", func() bool {
					return strings.Contains(r.hub.metrics(), "appset_hub_store_usable 0.0")
				})
			}, heal: func(r *rig) { back(r); r.hub.initialiseStore() }, says: []string{"503", "was deleted"},
		},
		{name: "store full", inject: func(r *rig) {
			r.files = r.hub.process.limit(unix.RLIMIT_FSIZE, 0)
		}, heal: func(r *rig) { r.hub.process.limit(unix.RLIMIT_FSIZE, r.files) }, either: true},
		{name: "store full, other backend instances come", inject: func(r *rig) {
			r.files = r.hub.process.limit(unix.RLIMIT_FSIZE, 0)
			r.killAuthor()
			r.startAuthor()
		}, heal: func(r *rig) { r.hub.process.limit(unix.RLIMIT_FSIZE, r.files); restartAuthor(r) }, either: true},
		{name: "store read-only after a restart", inject: func(r *rig) {
			r.hub.process.kill()
			r.hub.launch(readOnly(r.t, filepath.Dir(database(r)))...)
			r.hub.awaitEndOrReady()
		}, heal: func(r *rig) { writable(filepath.Dir(database(r))); back(r) }, either: true},
		{name: "store is garbage after a restart", inject: func(r *rig) {
			r.hub.process.kill()
			remove(r)
			writeFile(r.t, database(r), strings.Repeat("garbage ", 2000))
			r.hub.launch()
			r.hub.awaitEndOrReady()
		}, heal: func(r *rig) { r.hub.process.kill(); remove(r); back(r) }, either: true},
	}
	for i := range rows {
		rows[i].hubOnly = noStore
	}
	return rows
}

func tokenFaults() []fault {
	secret := func(token string) func(*rig) {
		return func(r *rig) { r.cluster.setSecret("argocd-secret", map[string]string{tokenKey: token}) }
	}
	good := secret(strongToken)
	return []fault{
		{name: "token rotated in Argo CD only", inject: secret("the-next-token"), heal: good, says: []string{"403", "token"}},
		{name: "token empty in the Secret", inject: secret(""), heal: good, says: []string{"403", "token"}},
		{
			name:   "token key missing in the Secret",
			inject: func(r *rig) { r.cluster.setSecret("argocd-secret", map[string]string{"other": "x"}) },
			heal:   good, says: []string{"403", "Secret lacks the key"},
		},
		{
			name: "Secret missing", inject: func(r *rig) { r.cluster.setSecret("argocd-secret", nil) }, heal: good,
			says: []string{"error fetching Secret token"},
		},
		{
			name: "token is not a reference in the ConfigMap",
			inject: func(r *rig) {
				r.cluster.setConfigMap(map[string]string{"baseUrl": r.url(), "token": strongToken, "requestTimeout": requestTimeoutS})
			},
			heal: func(r *rig) {
				r.cluster.setConfigMap(map[string]string{"baseUrl": r.url(), "token": "$" + tokenKey, "requestTimeout": requestTimeoutS})
			},
			says: []string{"does not reference a secret key"},
		},
		{
			name: "token rotated at the hub only", inject: func(r *rig) {
				r.hub.write("client.token", "the-next-token\n")
				r.hub.reload()
				r.hub.awaitAnswer(strongToken, 403)
			}, heal: func(r *rig) {
				r.cluster.setSecret("argocd-secret", map[string]string{tokenKey: "the-next-token"})
			}, says: []string{"403", "token"}, hubOnly: "it reads its token once",
		},
		{
			name: "token file emptied at the hub", inject: func(r *rig) {
				r.hub.write("client.token", "")
				r.hub.reload()
				time.Sleep(500 * time.Millisecond)
			}, quiet: true, hubOnly: "it reads its token once",
		},
		{
			name: "token of a backend rotated at the hub only", inject: func(r *rig) {
				r.hub.write("images.token", "another-token\n")
				r.hub.reload()
				time.Sleep(500 * time.Millisecond)
			}, each: func(*rig) {}, heal: restartAuthor, either: true, hubOnly: noBackend,
		},
	}
}

func requestFaults() []fault {
	baseURL := func(change func(*rig) string) func(*rig) {
		return func(r *rig) {
			r.cluster.setConfigMap(map[string]string{
				"baseUrl": change(r), "token": "$" + tokenKey, "requestTimeout": requestTimeoutS,
			})
		}
	}
	heal := baseURL(func(r *rig) string { return r.url() })
	return []fault{
		{
			name: "baseUrl names a route that does not exist", inject: baseURL(func(r *rig) string { return r.url() + "/nowhere" }),
			heal: heal, says: []string{"404", "baseUrl", "route"},
		},
		{
			name: "baseUrl has a path too many", inject: baseURL(func(r *rig) string { return r.url() + "/a/b/c" }),
			heal: heal, says: []string{"404"},
		},
		{
			name: "baseUrl names a port where nobody listens",
			inject: func(r *rig) {
				port := freePort(r.t)
				baseURL(func(*rig) string { return "http://" + loopback(port) })(r)
			},
			heal: heal, says: []string{"connection refused"},
		},
		{
			name: "requestTimeout shorter than the backend", options: hubOptions{requestTimeout: "1"},
			script: act{"do": "answer", "sets": numbered(1, 12), "after_s": 1.6},
			says:   []string{"Client.Timeout exceeded"},
		},
		{
			name: "configuration breaks while the hub runs", inject: func(r *rig) {
				r.hub.write("hub.yaml", "listen: [broken\n")
				r.hub.reload()
				time.Sleep(500 * time.Millisecond)
			}, heal: func(r *rig) { r.hub.write("hub.yaml", r.hub.config()); r.hub.reload() }, quiet: true, hubOnly: noConfig,
		},
		{
			name: "client may not ask for this name any more", inject: func(r *rig) {
				text := strings.Replace(r.hub.config(), `application_sets: ["*"], routes: ["*"]`, `application_sets: ["other-*"], routes: ["*"]`, 1)
				r.hub.write("hub.yaml", text)
				r.hub.reload()
				r.hub.awaitAnswer(strongToken, 403)
			}, heal: func(r *rig) {
				r.hub.write("hub.yaml", r.hub.config())
				r.hub.reload()
				r.hub.awaitAnswer(strongToken, 200)
			},
			says: []string{"403", "faults-"}, hubOnly: noConfig,
		},
		{
			name: "route removed from the configuration", inject: func(r *rig) {
				text, _, _ := strings.Cut(r.hub.config(), "routes:\n- name")
				r.hub.write("hub.yaml", text)
				r.hub.reload()
				r.hub.awaitAnswer(strongToken, 404)
			}, heal: func(r *rig) {
				r.hub.write("hub.yaml", r.hub.config())
				r.hub.reload()
				r.hub.awaitAnswer(strongToken, 200)
			},
			says: []string{"404", "faults-"}, hubOnly: noConfig,
		},
	}
}

// guardFaults are valid answers that are shorter than anyone meant. Only the guard can know.
func guardFaults() []fault {
	held := []string{"409", "missing from the answer", "appset-hub accept"}
	rows := []fault{
		{name: "answer is []", script: answers([]params{}), says: held},
		{name: "answer is half", script: answers(numbered(1, 5)), says: held},
		{name: "answer has other names", script: answers(numbered(51, 62)), says: []string{"409", "missing or changed", "appset-hub accept"}},
		{name: "answer is [], hub restarted", script: answers([]params{}), inject: func(r *rig) {
			r.serverProcess().kill()
			r.startServer()
			r.awaitAuthor()
		}, says: held, hubOnly: noGuard},
		{name: "answer is [], held and rejected", script: answers([]params{}), each: func(r *rig) {
			if len(r.hub.held()) == len(r.modes) {
				r.hub.decide("reject")
			}
		}, says: []string{"409", "missing from the answer"}, varies: "the text says that an operator rejected it", hubOnly: noGuard},
		{
			name: "answer lacks two, where the route allows one", options: hubOptions{route: "guard: {max_drop: 10%, min_sets: 1}"},
			script: answers(numbered(1, 10)), says: held, hubOnly: noGuard,
		},
		{
			name: "raw: answer is []", options: hubOptions{raw: true}, script: raw("[]"), says: held, hubOnly: noGuard,
		},
	}
	for i := range rows {
		rows[i].guard = true
	}
	return rows
}
