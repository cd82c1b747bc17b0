package argocd

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// registry is a real one, Debian's docker-registry, with images that skopeo pushes into it.
type registry struct {
	t       testing.TB
	dir     string
	port    int
	process *process
}

// needRegistry skips a test where the tools are not installed, except in CI.
func needRegistry(t *testing.T) {
	t.Helper()
	for _, tool := range []string{"docker-registry", "skopeo"} {
		if _, err := exec.LookPath(tool); err == nil {
			continue
		}
		if os.Getenv("CI") == "true" {
			t.Fatalf("no %s: apt-get install %[1]s", tool)
		}
		t.Skipf("no %s: apt-get install %[1]s", tool)
	}
}

func newRegistry(t testing.TB) *registry {
	t.Helper()
	r := &registry{t: t, dir: t.TempDir(), port: freePort(t)}
	r.start()
	return r
}

// start starts the registry, with the images that it had.
func (r *registry) start() {
	r.t.Helper()
	configuration := map[string]any{
		"version": "0.1",
		"storage": map[string]any{"filesystem": map[string]any{"rootdirectory": filepath.Join(r.dir, "images")}},
		"http":    map[string]any{"addr": loopback(r.port), "secret": "no matter"},
	}
	// JSON is YAML, too.
	file := filepath.Join(r.dir, "registry.yml")
	writeFile(r.t, file, jsonOf(configuration))
	r.process = start(r.t, r.dir, "registry", []string{"docker-registry", "serve", file})
	eventually(r.t, "the registry answers", func() bool { return status(r.url()+"/v2/") == 200 })
}

func (r *registry) url() string { return "http://" + loopback(r.port) }

// push pushes an image with this content as "repository:tag", and returns its digest.
func (r *registry) push(name, content string) (digest string) {
	r.t.Helper()
	layout := r.t.TempDir()
	digest = writeImage(r.t, layout, content)
	command := exec.Command("skopeo", "--insecure-policy", "copy", "--quiet", "--preserve-digests", "--dest-no-creds",
		"--dest-tls-verify=false", "oci:"+layout+":image", "docker://"+loopback(r.port)+"/"+name)
	if output, err := command.CombinedOutput(); err != nil {
		r.t.Fatalf("push %s: %v: %s", name, err, output)
	}
	return digest
}

// pushBoth pushes front and back of a branch, and returns their digests.
func (r *registry) pushBoth(branch string) digests {
	r.t.Helper()
	return digests{
		front: r.push("myorg/front:"+branch, "front of "+branch),
		back:  r.push("myorg/back:"+branch, "back of "+branch),
	}
}

// digests are those of a branch's two images.
type digests struct{ front, back string }

// writeImage writes an OCI layout with one image, called "image", and returns the image's digest.
func writeImage(t testing.TB, layout, content string) (digest string) {
	t.Helper()
	const oci = "application/vnd.oci.image"
	type object = map[string]any
	blob := func(mediaType string, data []byte) object {
		name := hexDigest(data)
		writeFile(t, filepath.Join(layout, "blobs", "sha256", name), string(data))
		return object{"mediaType": oci + mediaType, "digest": "sha256:" + name, "size": len(data)}
	}
	encoded := func(value any) []byte {
		data, err := json.Marshal(value)
		if err != nil {
			t.Fatalf("the image: %v", err)
		}
		return data
	}
	layer := blob(".layer.v1.tar", []byte(content))
	config := blob(".config.v1+json", encoded(object{
		"os": "linux", "architecture": "amd64", "config": object{},
		"rootfs": object{"type": "layers", "diff_ids": []any{layer["digest"]}},
	}))
	manifest := blob(".manifest.v1+json", encoded(object{
		"schemaVersion": 2, "mediaType": oci + ".manifest.v1+json", "config": config, "layers": []any{layer},
	}))
	manifest["annotations"] = object{"org.opencontainers.image.ref.name": "image"}
	writeFile(t, filepath.Join(layout, "oci-layout"), `{"imageLayoutVersion":"1.0.0"}`)
	writeFile(t, filepath.Join(layout, "index.json"), string(encoded(object{"schemaVersion": 2, "manifests": []any{manifest}})))
	return manifest["digest"].(string)
}

func hexDigest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
