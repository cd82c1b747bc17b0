package argocd

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// pod is the first pod of a rendered workload, on this machine: a folder in the place of its file system, and a port of
// loopback for each port of its containers. It is all in which a process here differs from one in a cluster.
type pod struct {
	t         testing.TB
	name      string
	namespace string
	labels    labels.Set
	root      string
	spec      corev1.PodSpec
	ports     map[int32]int
}

// newPods lays out the pods of all workloads. The Secrets that are rendered nowhere are the reader's to make.
func newPods(t testing.TB, dir string, objects []client.Object, secrets map[string]map[string]string) []*pod {
	t.Helper()
	pods := []*pod{}
	add := func(meta metav1.ObjectMeta, template corev1.PodTemplateSpec) {
		p := &pod{
			t: t, name: meta.Name, namespace: meta.Namespace, labels: template.Labels,
			root: filepath.Join(dir, meta.Name), spec: template.Spec, ports: map[int32]int{},
		}
		for _, container := range p.containers() {
			for _, port := range container.Ports {
				p.ports[port.ContainerPort] = freePort(t)
			}
		}
		pods = append(pods, p)
	}
	for _, one := range all[*appsv1.StatefulSet](objects) {
		add(one.ObjectMeta, one.Spec.Template)
	}
	for _, one := range all[*appsv1.Deployment](objects) {
		add(one.ObjectMeta, one.Spec.Template)
	}
	for _, p := range pods {
		for _, container := range p.ours() {
			p.mount(container, objects, secrets)
		}
	}
	return pods
}

// containers returns all containers of the pod, sidecars included.
func (p *pod) containers() []corev1.Container {
	return slices.Concat(p.spec.InitContainers, p.spec.Containers)
}

// ours returns the containers with the hub's image. The one of Argo CD's controller is this test.
func (p *pod) ours() []corev1.Container {
	return slices.DeleteFunc(p.containers(), func(c corev1.Container) bool {
		return !strings.HasPrefix(c.Image, "appset-hub:")
	})
}

// mount lays ConfigMaps and Secrets into the container's folders, as the kubelet does.
func (p *pod) mount(container corev1.Container, objects []client.Object, secrets map[string]map[string]string) {
	p.t.Helper()
	for _, mount := range container.VolumeMounts {
		folder := p.at(mount.MountPath)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			p.t.Fatalf("mount: %v", err)
		}
		for name, text := range p.files(mount.Name, objects, secrets) {
			writeFile(p.t, filepath.Join(folder, name), p.here(container, text))
		}
	}
}

// files returns what is in a volume.
func (p *pod) files(volume string, objects []client.Object, secrets map[string]map[string]string) map[string]string {
	p.t.Helper()
	index := slices.IndexFunc(p.spec.Volumes, func(v corev1.Volume) bool { return v.Name == volume })
	if index < 0 {
		// A claim of the StatefulSet.
		return nil
	}
	switch source := p.spec.Volumes[index].VolumeSource; {
	case source.ConfigMap != nil:
		found, there := named[*corev1.ConfigMap](objects, source.ConfigMap.Name)
		if !there {
			p.t.Fatalf("%s: the ConfigMap %s is not there", p.name, source.ConfigMap.Name)
		}
		return found.Data
	case source.Secret != nil:
		values, there := secrets[source.Secret.SecretName]
		if found, rendered := named[*corev1.Secret](objects, source.Secret.SecretName); rendered {
			values, there = texts(found.Data), true
		}
		if !there && (source.Secret.Optional == nil || !*source.Secret.Optional) {
			p.t.Fatalf("%s: the Secret %s is not there", p.name, source.Secret.SecretName)
		}
		return chosen(p.t, values, source.Secret.Items)
	}
	return nil
}

// chosen returns the keys of a Secret that a volume takes, by the path that it gives them.
func chosen(t testing.TB, values map[string]string, items []corev1.KeyToPath) map[string]string {
	t.Helper()
	if len(items) == 0 {
		return values
	}
	made := map[string]string{}
	for _, item := range items {
		value, there := values[item.Key]
		if !there {
			t.Fatalf("the Secret has no key %s", item.Key)
		}
		made[item.Path] = value
	}
	return made
}

func texts(data map[string][]byte) map[string]string {
	made := map[string]string{}
	for key, value := range data {
		made[key] = string(value)
	}
	return made
}

// at returns where an absolute path of the pod is here.
func (p *pod) at(path string) string { return filepath.Join(p.root, path) }

// here returns a text with the container's folders where they are here.
func (p *pod) here(container corev1.Container, text string) string {
	pairs := []string{}
	for _, mount := range container.VolumeMounts {
		pairs = append(pairs, mount.MountPath+"/", p.at(mount.MountPath)+"/")
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// command returns a container's command, with its paths where they are here.
func (p *pod) command(container corev1.Container) []string {
	made := []string{}
	for _, part := range slices.Concat(container.Command, container.Args) {
		made = append(made, p.here(container, part))
	}
	return made
}

// port returns the port of loopback for a container's port of this name.
func (p *pod) port(name string) int {
	p.t.Helper()
	for _, container := range p.containers() {
		for _, port := range container.Ports {
			if port.Name == name {
				return p.ports[port.ContainerPort]
			}
		}
	}
	p.t.Fatalf("%s has no port %s", p.name, name)
	return 0
}

// leadServices makes the names of the rendered Services lead to the pods that they select.
func leadServices(t testing.TB, objects []client.Object, pods []*pod) {
	t.Helper()
	for _, service := range all[*corev1.Service](objects) {
		for _, p := range pods {
			if service.Namespace != p.namespace || !labels.SelectorFromSet(service.Spec.Selector).Matches(p.labels) {
				continue
			}
			for _, port := range service.Spec.Ports {
				to := p.ports[port.TargetPort.IntVal]
				if port.TargetPort.StrVal != "" {
					to = p.port(port.TargetPort.StrVal)
				}
				names.lead(t, service.Name+"."+service.Namespace+".svc.cluster.local", port.Port, to)
			}
		}
	}
}
