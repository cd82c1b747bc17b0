package argocd

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"unicode/utf16"
)

// response is one raw HTTP response that a plugin might give.
type response struct {
	name string
	raw  []byte
}

const (
	twoSets = `{"output":{"parameters":[{"a":"x"},{"a":"y"}]}}`
	cutSets = `{"output":{"parameters":[`
)

// responses lists every shape that the recording covers. The names are those of the recording.
func responses() []response {
	all := framings()
	all = append(all, envelopes()...)
	all = append(all, elements()...)
	all = append(all, encodings()...)
	all = append(all, values()...)
	return append(all, statuses()...)
}

func framings() []response {
	return []response{
		{"good", ok(twoSets)},
		{"empty body CL=0", ok("")},
		{"whitespace body", ok("  \n")},
		{"empty close-delimited", head(200, "Connection: close")},
		{"good truncated mid close-delim", with(head(200, "Connection: close"), cutSets)},
		{"good close-delimited", with(head(200, "Connection: close"), twoSets)},
		{"CL says 47, nothing sent", head(200, "Content-Type: application/json", "Content-Length: 47", "Connection: close")},
		{"CL says 47, 25 sent", with(head(200, "Content-Type: application/json", "Content-Length: 47", "Connection: close"), cutSets)},
		{"chunked, cut before 1st chunk", head(200, "Transfer-Encoding: chunked")},
		{"chunked, only terminator", with(head(200, "Transfer-Encoding: chunked"), "0\r\n\r\n")},
		{"chunked good no terminator", with(head(200, "Transfer-Encoding: chunked"), chunk(twoSets))},
		{"chunked good", with(head(200, "Transfer-Encoding: chunked"), chunk(twoSets)+"0\r\n\r\n")},
		{"chunked, cut inside a chunk", with(head(200, "Transfer-Encoding: chunked"), "2f\r\n"+cutSets)},
		{"204", head(204, "Connection: close")},
		{"202 empty", answer(202, "application/json", "")},
		{"206 partial good", answer(206, "application/json", twoSets)},
		{"299 {}", answer(299, "application/json", "{}")},
		{"100 then 200", append(head(100), ok(twoSets)...)},
		{"100 then nothing", head(100)},
		{"HTTP/1.0 empty", []byte("HTTP/1.0 200 OK\r\n\r\n")},
		{"HTTP/1.0 good", []byte("HTTP/1.0 200 OK\r\n\r\n" + twoSets)},
		{"two CL conflict", with(head(200, "Content-Length: 0", "Content-Length: 47"), twoSets)},
		{"CL 0 but body follows", with(head(200, "Content-Type: application/json", "Content-Length: 0", "Connection: close"), twoSets)},
		{"CL shorter by 1", with(head(200, "Content-Type: application/json", "Content-Length: 46", "Connection: close"), twoSets)},
		{"no response at all", nil},
		{"no HTTP", []byte("SSH-2.0-OpenSSH_9.9\r\n")},
	}
}

func envelopes() []response {
	return bodies(
		"null", `null`,
		"{}", `{}`,
		"[]", `[]`,
		"output null", `{"output":null}`,
		"output.parameters null", `{"output":{"parameters":null}}`,
		"output {}", `{"output":{}}`,
		"output []", `{"output":[]}`,
		"output text", `{"output":"x"}`,
		"output.parameters []", `{"output":{"parameters":[]}}`,
		"parameters top-level (TestPlugin)", `{"parameters":[{"a":"x"}]}`,
		"array top-level", `[{"a":"x"}]`,
		"input instead of output", `{"input":{"parameters":[]}}`,
		"error object with 200", `{"error":"backend down"}`,
		"misspelt outputs", `{"outputs":{"parameters":[{"a":"x"}]}}`,
		"case variant keys", `{"OUTPUT":{"Parameters":[{"a":"x"}]}}`,
		"dup key output later empty", `{"output":{"parameters":[{"a":"x"}]},"output":{"parameters":[]}}`,
		"dup case-var later empty", `{"output":{"parameters":[{"a":"x"}]},"Output":{"parameters":[]}}`,
		"dup key later null", `{"output":{"parameters":[{"a":"x"}]},"output":{"parameters":null}}`,
		"dup key output null", `{"output":{"parameters":[{"a":"x"}]},"output":null}`,
		"dup param key", `{"output":{"parameters":[{"a":"x","a":"z"}]}}`,
		"shorter dup array merges?", `{"output":{"parameters":[{"a":"x","b":"1"},{"a":"y"}]},"output":{"parameters":[{"c":"z"}]}}`,
		"two docs", twoSets+`{"output":{"parameters":[]}}`,
		"good + trailing garbage", twoSets+`<html>`,
		"empty doc then good", `{}`+twoSets,
		"extra keys beside output", `{"output":{"parameters":[{"a":"x"}],"more":1},"error":"ignored"}`,
	)
}

func elements() []response {
	return bodies(
		"null element", `{"output":{"parameters":[null,{"a":"x"}]}}`,
		"empty object element", `{"output":{"parameters":[{}]}}`,
		"string element", `{"output":{"parameters":["x"]}}`,
		"number element", `{"output":{"parameters":[1]}}`,
		"list element", `{"output":{"parameters":[[{"a":"x"}]]}}`,
		"parameters object", `{"output":{"parameters":{"a":"x"}}}`,
		"parameters text", `{"output":{"parameters":"x"}}`,
	)
}

func encodings() []response {
	return append(bodies(
		"BOM good", "\ufeff"+twoSets,
		"utf16 good", utf16LE(twoSets),
		"lone surrogate", `{"output":{"parameters":[{"a":"\ud800"}]}}`,
		"invalid utf8", "{\"output\":{\"parameters\":[{\"a\":\"\xff\xfe\"}]}}",
		"NUL escape", `{"output":{"parameters":[{"a":"x\u0000y"}]}}`,
		"raw NUL", "{\"output\":{\"parameters\":[{\"a\":\"x\x00y\"}]}}",
	),
		response{"html 200", answer(200, "text/html", "<html>login</html>")},
		response{"text/plain good", answer(200, "text/plain", twoSets)},
		response{"gzip header, plain body", zipped(twoSets)},
		response{"gzip good", zipped(compress(twoSets))},
		response{"gzip truncated 0 bytes", zipped("")},
		response{"gzip truncated half", zipped(compress(twoSets)[:30])},
		response{"gzip missing trailer", zipped(compress(twoSets)[:len(compress(twoSets))-8])},
		response{"gzip of empty", zipped(compress(""))},
	)
}

func values() []response {
	one := func(set string) string { return `{"output":{"parameters":[` + set + `]}}` }
	return bodies(
		"NaN", one(`{"a":NaN}`),
		"1e400", one(`{"a":1e400}`),
		"int 0", one(`{"a":0}`),
		"int 123456", one(`{"a":123456}`),
		"int 999999", one(`{"a":999999}`),
		"int 1000000", one(`{"a":1000000}`),
		"int 1234567", one(`{"a":1234567}`),
		"int 12345678", one(`{"a":12345678}`),
		"int 2097152", one(`{"a":2097152}`),
		"int -1234567", one(`{"a":-1234567}`),
		"int 123456789012", one(`{"a":123456789012}`),
		"int 2^53+1", one(`{"a":9007199254740993}`),
		"int of 30 digits", one(`{"a":123456789012345678901234567890}`),
		"float 1.0", one(`{"a":1.0}`),
		"float 0.1", one(`{"a":0.1}`),
		"float 1.5e-7", one(`{"a":1.5e-7}`),
		"float 1234567.5", one(`{"a":1234567.5}`),
		"1e21", one(`{"a":1e21}`),
		"-0", one(`{"a":-0}`),
		"-0.0", one(`{"a":-0.0}`),
		"null value", one(`{"a":null}`),
		"true", one(`{"a":true}`),
		"empty text", one(`{"a":""}`),
		"text that looks like a number", one(`{"a":"0012"}`),
		"empty list/map value", one(`{"a":[],"b":{},"c":"k"}`),
		"nested map", one(`{"a":{"b":{"c":"x"},"n":1234567,"e":{},"z":null}}`),
		"nested list", one(`{"a":[["x"],[1234567,null],[]]}`),
		"list of maps", one(`{"a":[{"b":"x"},{"b":"y"}]}`),
		"key with a dot", one(`{"a.b":"x"}`),
		"key with a space", one(`{"a b":"x"}`),
		"empty key", one(`{"":"x"}`),
		"flatten collision", one(`{"a":{"b":"1"},"a.b":"2"}`),
		"reserved generator/values", one(`{"a":"x","generator":"g","values":{"v":1}}`),
		"template in value", one(`{"a":"{{.b}}"}`),
		"quotes and newlines in value", one(`{"a":"\"x\"\n\\y"}`),
		"depth 10000", one(`{"a":`+strings.Repeat("[", 10000)+strings.Repeat("]", 10000)+`}`),
		"depth 9000", one(`{"a":`+strings.Repeat("[", 8999)+strings.Repeat("]", 8999)+`}`),
	)
}

func statuses() []response {
	return []response{
		{"301 to nowhere", head(301, "Connection: close", "Content-Length: 0")},
		{"403", answer(403, "application/json", `{"error":"forbidden"}`)},
		{"403 no body", answer(403, "application/json", "")},
		{"404 html", answer(404, "text/html", "<html>not found</html>")},
		{"409 message and error", answer(409, "application/json", `{"message":"held","error":"guard"}`)},
		{"500 message not text", answer(500, "application/json", `{"message":{"a":1},"error":"internal"}`)},
		{"500 good body", answer(500, "application/json", twoSets)},
		{"503 json message", with(head(503, "Content-Type: application/json", "Content-Length: 27", "Retry-After: 5", "Connection: close"), `{"message":"x unavailable"}`)},
		{"503 problem+json", answer(503, "application/problem+json", `{"title":"t","detail":"d"}`)},
		{"503 text", answer(503, "text/plain", "plain text")},
	}
}

// bodies makes one complete 200 of each body. The arguments are names and bodies in turn.
func bodies(pairs ...string) []response {
	made := make([]response, 0, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		made = append(made, response{pairs[i], ok(pairs[i+1])})
	}
	return made
}

func ok(body string) []byte { return answer(200, "application/json", body) }

func answer(status int, contentType, body string) []byte {
	return with(head(status, "Content-Type: "+contentType, fmt.Sprintf("Content-Length: %d", len(body)), "Connection: close"), body)
}

func zipped(body string) []byte {
	return with(head(200, "Content-Type: application/json", fmt.Sprintf("Content-Length: %d", len(body)),
		"Content-Encoding: gzip", "Connection: close"), body)
}

func head(status int, lines ...string) []byte {
	return []byte(fmt.Sprintf("HTTP/1.1 %d Reason\r\n", status) + strings.Join(append(lines, "", ""), "\r\n"))
}

func with(head []byte, body string) []byte { return append(head, body...) }

func chunk(body string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(body), body) }

func compress(text string) string {
	var buffer bytes.Buffer
	writer := gzip.NewWriter(&buffer)
	_, _ = writer.Write([]byte(text))
	_ = writer.Close()
	return buffer.String()
}

func utf16LE(text string) string {
	encoded := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(text)) {
		encoded = append(encoded, byte(unit), byte(unit>>8))
	}
	return string(encoded)
}
