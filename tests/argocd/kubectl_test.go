package argocd

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	kubefake "k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/util/csaupgrade"
	"k8s.io/kubectl/pkg/util"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// kubectl writes ConfigMaps and Secrets as the program of that name does. The three-way merge and the takeover of fields
// are its own libraries, the field management is the API server's; only the steps between them are repeated here.
type kubectl struct {
	t   testing.TB
	api *kubefake.Clientset
}

func newKubectl(t testing.TB) *kubectl {
	t.Helper()
	return &kubectl{t: t, api: kubefake.NewClientset()}
}

// collection is how client-go reaches the objects of one kind in a namespace.
type collection[T client.Object] interface {
	Get(ctx context.Context, name string, options metav1.GetOptions) (T, error)
	Create(ctx context.Context, object T, options metav1.CreateOptions) (T, error)
	Update(ctx context.Context, object T, options metav1.UpdateOptions) (T, error)
	Patch(ctx context.Context, name string, kind types.PatchType, data []byte, options metav1.PatchOptions, subresources ...string) (T, error)
}

// writing is one way in which kubectl writes a manifest. Of what is no ConfigMap or Secret nothing is written.
type writing struct {
	name string
	do   func(k *kubectl, manifest client.Object) error
}

var (
	byCreate     = writing{"create", (*kubectl).create}
	byClientSide = writing{"apply", (*kubectl).applyClientSide}
	byServerSide = writing{"apply --server-side", serverSide("kubectl", false)}
	byForce      = writing{"apply --server-side --force-conflicts", serverSide("kubectl", true)}
	byOwnManager = writing{"apply --server-side --field-manager=appset-hub", serverSide("appset-hub", false)}
)

func (k *kubectl) create(manifest client.Object) error {
	switch object := manifest.(type) {
	case *corev1.Secret:
		return createIn(k, k.api.CoreV1().Secrets(object.Namespace), object)
	case *corev1.ConfigMap:
		return createIn(k, k.api.CoreV1().ConfigMaps(object.Namespace), object)
	}
	return nil
}

func createIn[T client.Object](k *kubectl, in collection[T], object T) error {
	copied := object.DeepCopyObject().(T)
	_, err := in.Create(k.t.Context(), copied, metav1.CreateOptions{FieldManager: "kubectl-create"})
	return err
}

func (k *kubectl) applyClientSide(manifest client.Object) error {
	switch object := manifest.(type) {
	case *corev1.Secret:
		return clientSideIn(k, k.api.CoreV1().Secrets(object.Namespace), object)
	case *corev1.ConfigMap:
		return clientSideIn(k, k.api.CoreV1().ConfigMaps(object.Namespace), object)
	}
	return nil
}

// clientSideIn is `kubectl apply`: what the last one wrote and this one lacks is removed.
func clientSideIn[T client.Object](k *kubectl, in collection[T], object T) error {
	const manager = "kubectl-client-side-apply"
	live, err := in.Get(k.t.Context(), object.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		copied := object.DeepCopyObject().(T)
		if err := util.CreateApplyAnnotation(copied, unstructured.UnstructuredJSONScheme); err != nil {
			return err
		}
		_, err = in.Create(k.t.Context(), copied, metav1.CreateOptions{FieldManager: manager})
		return err
	}
	if err != nil {
		return err
	}
	original, err := util.GetOriginalConfiguration(live)
	if err != nil {
		return err
	}
	modified, err := util.GetModifiedConfiguration(k.said(object), true, unstructured.UnstructuredJSONScheme)
	if err != nil {
		return err
	}
	current, err := runtime.Encode(unstructured.UnstructuredJSONScheme, k.said(live))
	if err != nil {
		return err
	}
	meta, err := strategicpatch.NewPatchMetaFromStruct(object)
	if err != nil {
		return err
	}
	patch, err := strategicpatch.CreateThreeWayMergePatch(original, modified, current, meta, true)
	if err != nil {
		return err
	}
	options := metav1.PatchOptions{FieldManager: manager}
	_, err = in.Patch(k.t.Context(), object.GetName(), types.StrategicMergePatchType, patch, options)
	return err
}

func serverSide(manager string, force bool) func(*kubectl, client.Object) error {
	return func(k *kubectl, manifest client.Object) error {
		options := metav1.PatchOptions{FieldManager: manager, Force: &force}
		switch object := manifest.(type) {
		case *corev1.Secret:
			return serverSideIn(k, k.api.CoreV1().Secrets(object.Namespace), object, options)
		case *corev1.ConfigMap:
			return serverSideIn(k, k.api.CoreV1().ConfigMaps(object.Namespace), object, options)
		}
		return nil
	}
}

// serverSideIn is `kubectl apply --server-side`: where an earlier client-side apply owns fields, kubectl makes them its
// field manager's, whatever that is called, and applies once more. What the manifest lacks of them is then removed.
func serverSideIn[T client.Object](k *kubectl, in collection[T], object T, options metav1.PatchOptions) error {
	data, err := runtime.Encode(unstructured.UnstructuredJSONScheme, k.said(object))
	if err != nil {
		return err
	}
	live, err := in.Patch(k.t.Context(), object.GetName(), types.ApplyPatchType, data, options)
	if err != nil {
		return err
	}
	earlier := sets.New[string]()
	for _, entry := range live.GetManagedFields() {
		wrote := entry.FieldsV1 != nil && strings.Contains(string(entry.FieldsV1.Raw), "f:"+corev1.LastAppliedConfigAnnotation)
		if wrote && entry.Operation == metav1.ManagedFieldsOperationUpdate {
			earlier.Insert(entry.Manager)
		}
	}
	if len(earlier) == 0 {
		return nil
	}
	if err := csaupgrade.UpgradeManagedFields(live, earlier, options.FieldManager); err != nil {
		return err
	}
	if _, err := in.Update(k.t.Context(), live, metav1.UpdateOptions{FieldManager: "kubectl"}); err != nil {
		return err
	}
	_, err = in.Patch(k.t.Context(), object.GetName(), types.ApplyPatchType, data, options)
	return err
}

// patchSecret is `kubectl patch secret --type merge --patch-file`.
func (k *kubectl) patchSecret(name string, patch []byte) error {
	options := metav1.PatchOptions{FieldManager: "kubectl-patch"}
	_, err := k.api.CoreV1().Secrets(controllerNamespace).Patch(k.t.Context(), name, types.MergePatchType, patch, options)
	return err
}

// said returns an object as kubectl reads it from a file or from the API server.
func (k *kubectl) said(object client.Object) *unstructured.Unstructured {
	k.t.Helper()
	data, err := json.Marshal(object)
	made := &unstructured.Unstructured{}
	if err == nil {
		err = json.Unmarshal(data, &made.Object)
	}
	if err != nil {
		k.t.Fatalf("%s as kubectl reads it: %v", object.GetName(), err)
	}
	kinds, _, err := scheme().ObjectKinds(object)
	if err != nil {
		k.t.Fatalf("the kind of %s: %v", object.GetName(), err)
	}
	made.SetGroupVersionKind(kinds[0])
	unstructured.RemoveNestedField(made.Object, "metadata", "creationTimestamp")
	return made
}

// held returns the values of every key of every ConfigMap and Secret, by "Kind name key".
func (k *kubectl) held() map[string]string {
	k.t.Helper()
	made := map[string]string{}
	secrets, err := k.api.CoreV1().Secrets("").List(k.t.Context(), metav1.ListOptions{})
	if err != nil {
		k.t.Fatalf("list the Secrets: %v", err)
	}
	for _, secret := range secrets.Items {
		for key, value := range secret.Data {
			made[fmt.Sprintf("Secret %s %s", secret.Name, key)] = string(value)
		}
	}
	configMaps, err := k.api.CoreV1().ConfigMaps("").List(k.t.Context(), metav1.ListOptions{})
	if err != nil {
		k.t.Fatalf("list the ConfigMaps: %v", err)
	}
	for _, configMap := range configMaps.Items {
		for key, value := range configMap.Data {
			made[fmt.Sprintf("ConfigMap %s %s", configMap.Name, key)] = value
		}
	}
	return made
}
