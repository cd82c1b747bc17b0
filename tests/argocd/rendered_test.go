package argocd

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/serializer"
	kubeyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

const deployFolder = "../../deploy"

// edit is what a reader of the documentation changes in a file before he applies it.
type edit struct{ file, old, new string }

// make makes the change in a folder; the old text has to be there, once.
func (e edit) make(t testing.TB, folder string) {
	t.Helper()
	path := filepath.Join(folder, e.file)
	text := readText(t, path)
	if count := strings.Count(text, e.old); count != 1 {
		t.Fatalf("%s has %d times: %s", e.file, count, e.old)
	}
	writeFile(t, path, strings.Replace(text, e.old, e.new, 1))
}

// copyFolder copies a folder that may be read-only to one that is not.
func copyFolder(t testing.TB, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		inside, err := filepath.Rel(from, path)
		writeFile(t, filepath.Join(to, inside), readText(t, path))
		return err
	})
	if err != nil {
		t.Fatalf("copy %s: %v", from, err)
	}
}

// kustomize renders a folder with the tool that the tests of deploy/ lock.
func kustomize(t testing.TB, folder string) []client.Object {
	t.Helper()
	command := exec.Command("go", "tool", "kustomize", "build", folder)
	command.Dir = filepath.Join("..", "deploy")
	var said bytes.Buffer
	command.Stderr = &said
	text, err := command.Output()
	if err != nil {
		t.Fatalf("kustomize build %s: %v: %s", folder, err, said.String())
	}
	return decode(t, text)
}

// decode returns the objects in a text of YAML. A key that Kubernetes or Argo CD does not know fails the test, as with
// `kubectl apply --validate=strict`.
func decode(t testing.TB, text []byte) []client.Object {
	t.Helper()
	decoder := serializer.NewCodecFactory(scheme(), serializer.EnableStrict).UniversalDeserializer()
	documents := kubeyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	made := []client.Object{}
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return made
		}
		if err != nil {
			t.Fatalf("this is no YAML: %v", err)
		}
		if onlyComments(document) {
			continue
		}
		object, _, err := decoder.Decode(document, nil, nil)
		if err != nil {
			t.Fatalf("a manifest is refused: %v\n%s", err, document)
		}
		made = append(made, object.(client.Object))
	}
}

func onlyComments(document []byte) bool {
	data, err := yaml.YAMLToJSON(document)
	return err == nil && string(data) == "null"
}

// decodeFolder returns the objects in all files of a folder.
func decodeFolder(t testing.TB, folder string) []client.Object {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no manifests in %s: %v", folder, err)
	}
	made := []client.Object{}
	for _, file := range files {
		made = append(made, decode(t, []byte(readText(t, file)))...)
	}
	return made
}

// all returns the objects of one kind.
func all[T client.Object](objects []client.Object) []T {
	made := []T{}
	for _, object := range objects {
		if one, fits := object.(T); fits {
			made = append(made, one)
		}
	}
	return made
}

// named returns the object of one kind that is called so, if there is one.
func named[T client.Object](objects []client.Object, name string) (found T, there bool) {
	for _, one := range all[T](objects) {
		if one.GetName() == name {
			return one, true
		}
	}
	return found, false
}

func readText(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return string(text)
}
