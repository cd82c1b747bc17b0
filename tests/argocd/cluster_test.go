package argocd

import (
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/argoproj/argo-cd/v3/applicationset/controllers"
	"github.com/argoproj/argo-cd/v3/applicationset/generators"
	"github.com/argoproj/argo-cd/v3/applicationset/metrics"
	"github.com/argoproj/argo-cd/v3/applicationset/utils"
	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/db"
	"github.com/argoproj/argo-cd/v3/util/settings"
	"github.com/go-logr/logr"
	"github.com/sirupsen/logrus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	kubefake "k8s.io/client-go/kubernetes/fake"
	kubescheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/record"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"
)

const (
	controllerNamespace = "argocd"
	configMapName       = "my-plugin"
	tokenKey            = "plugin.myplugin.token"
)

func init() {
	logrus.SetOutput(io.Discard)
	ctrllog.SetLogger(logr.Discard())
}

// cluster is a fake Kubernetes API with the real reconciler on it.
type cluster struct {
	t          testing.TB
	api        client.Client
	reconciler *controllers.ApplicationSetReconciler

	mu      sync.Mutex
	deleted []string
}

// scheme knows every kind that Kubernetes has, and those of Argo CD.
var scheme = sync.OnceValue(func() *runtime.Scheme {
	made := runtime.NewScheme()
	utilruntime.Must(kubescheme.AddToScheme(made))
	utilruntime.Must(v1alpha1.AddToScheme(made))
	return made
})

// newPluginCluster starts a cluster whose plugin ConfigMap names baseURL.
func newPluginCluster(t testing.TB, baseURL, token string) *cluster {
	t.Helper()
	return newCluster(t,
		pluginConfigMap(configMapName, baseURL, "$"+tokenKey),
		pluginSecret("argocd-secret", map[string]string{tokenKey: token}),
	)
}

// newCluster starts a cluster with these objects in it.
func newCluster(t testing.TB, objects ...client.Object) *cluster {
	t.Helper()
	c := &cluster{t: t}
	c.api = fake.NewClientBuilder().
		WithScheme(scheme()).
		WithObjects(defaultProject()).
		WithObjects(objects...).
		WithStatusSubresource(&v1alpha1.ApplicationSet{}).
		WithIndex(&v1alpha1.Application{}, ".metadata.controller", controllerOf).
		WithInterceptorFuncs(interceptor.Funcs{Delete: c.recordDelete}).
		Build()

	kube := kubefake.NewClientset(
		pluginSecret("argocd-secret", map[string]string{"server.secretkey": "unused", "admin.password": "unused"}),
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
			Name: "argocd-cm", Namespace: controllerNamespace,
			Labels: map[string]string{"app.kubernetes.io/part-of": "argocd"},
		}},
	)
	settingsManager := settings.NewSettingsManager(t.Context(), kube, controllerNamespace)
	fakeMetrics := metrics.NewFakeAppsetMetrics()
	c.reconciler = &controllers.ApplicationSetReconciler{
		Client:          c.api,
		Scheme:          scheme(),
		Recorder:        &record.FakeRecorder{},
		Generators:      topLevelGenerators(c.api, newPluginGenerator(t.Context(), c.api, kube)),
		ArgoDB:          db.NewDB(controllerNamespace, settingsManager, kube),
		KubeClientset:   kube,
		Policy:          v1alpha1.ApplicationsSyncPolicySync,
		Renderer:        &utils.Render{},
		ArgoCDNamespace: controllerNamespace,
		Metrics:         fakeMetrics,
	}
	finishReconciler(t, c.reconciler, kube)
	return c
}

// topLevelGenerators nests the generators as the controller's own table does.
func topLevelGenerators(api client.Client, plugin generators.Generator) map[string]generators.Generator {
	terminal := map[string]generators.Generator{
		"List":        generators.NewListGenerator(),
		"PullRequest": generators.NewPullRequestGenerator(api, newSCMConfig()),
		"Plugin":      plugin,
	}
	nested := maps.Clone(terminal)
	nested["Matrix"] = generators.NewMatrixGenerator(terminal)
	nested["Merge"] = generators.NewMergeGenerator(terminal)
	top := maps.Clone(terminal)
	top["Matrix"] = generators.NewMatrixGenerator(nested)
	top["Merge"] = generators.NewMergeGenerator(nested)
	return top
}

func controllerOf(object client.Object) []string {
	if owner := metav1.GetControllerOf(object); owner != nil {
		return []string{owner.Name}
	}
	return nil
}

func (c *cluster) recordDelete(ctx context.Context, api client.WithWatch, object client.Object, options ...client.DeleteOption) error {
	if app, ok := object.(*v1alpha1.Application); ok {
		c.mu.Lock()
		c.deleted = append(c.deleted, app.Name)
		c.mu.Unlock()
	}
	// Argo CD's application controller would remove what the finalizers stand for, then the finalizers.
	if len(object.GetFinalizers()) > 0 {
		object.SetFinalizers(nil)
		if err := api.Update(ctx, object); err != nil {
			return err
		}
	}
	return api.Delete(ctx, object, options...)
}

// takeDeleted returns the names deleted since the last call, sorted.
func (c *cluster) takeDeleted() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := c.deleted
	c.deleted = nil
	slices.Sort(taken)
	return taken
}

// apply creates an object from YAML.
func (c *cluster) apply(text string) {
	c.t.Helper()
	set := &v1alpha1.ApplicationSet{}
	if err := yaml.UnmarshalStrict([]byte(text), set); err != nil {
		c.t.Fatalf("the ApplicationSet does not parse: %v\n%s", err, text)
	}
	set.Namespace = controllerNamespace
	set.UID = types.UID("uid-" + set.Name)
	if err := c.api.Create(c.t.Context(), set); err != nil {
		c.t.Fatalf("the ApplicationSet is refused: %v", err)
	}
}

// install does what `kubectl create` does: what exists already fails the test. kubectl_test.go has `kubectl apply`.
func (c *cluster) install(manifests ...client.Object) {
	c.t.Helper()
	for _, object := range manifests {
		if wrong := misnamed(object); len(wrong) > 0 {
			c.t.Fatalf("%s is refused: %s", object.GetName(), join(wrong))
		}
		if _, made := object.(*v1alpha1.ApplicationSet); made {
			object.SetUID(types.UID("uid-" + object.GetName()))
		}
		if err := c.api.Create(c.t.Context(), object); err != nil {
			c.t.Fatalf("%s is refused: %v", object.GetName(), err)
		}
	}
}

// misnamed says what a real API server has against the names in a manifest; the fake one takes any.
func misnamed(object client.Object) (wrong []string) {
	if object.GetNamespace() != controllerNamespace {
		wrong = append(wrong, "it is for the namespace "+object.GetNamespace())
	}
	wrong = append(wrong, validation.IsDNS1123Subdomain(object.GetName())...)
	switch held := object.(type) {
	case *corev1.ConfigMap:
		for key := range held.Data {
			wrong = append(wrong, validation.IsConfigMapKey(key)...)
		}
	case *corev1.Secret:
		for key := range held.Data {
			wrong = append(wrong, validation.IsConfigMapKey(key)...)
		}
	}
	return wrong
}

// reconcile runs the real reconciler once. It fails the test only when the controller itself gives up.
func (c *cluster) reconcile(name string) {
	c.t.Helper()
	request := ctrl.Request{NamespacedName: types.NamespacedName{Namespace: controllerNamespace, Name: name}}
	if _, err := c.reconciler.Reconcile(c.t.Context(), request); err != nil {
		c.t.Errorf("reconcile %s: %v", name, err)
	}
}

// applications returns the sorted names of the Applications that belong to an ApplicationSet.
func (c *cluster) applications(set string) []string {
	names := []string{}
	for _, app := range c.applicationsOf(set) {
		names = append(names, app.Name)
	}
	slices.Sort(names)
	return names
}

func (c *cluster) applicationsOf(set string) []v1alpha1.Application {
	c.t.Helper()
	list := &v1alpha1.ApplicationList{}
	err := c.api.List(c.t.Context(), list, client.MatchingFields{".metadata.controller": set}, client.InNamespace(controllerNamespace))
	if err != nil {
		c.t.Fatalf("list the Applications: %v", err)
	}
	return list.Items
}

// condition is what a user reads in the ApplicationSet's status.
type condition struct {
	failed bool
	text   string
	// written counts the writes of the object: equal counts mean that nothing was written between.
	written string
}

func (c *cluster) condition(set string) condition {
	c.t.Helper()
	found := &v1alpha1.ApplicationSet{}
	key := types.NamespacedName{Namespace: controllerNamespace, Name: set}
	if err := c.api.Get(c.t.Context(), key, found); err != nil {
		c.t.Fatalf("get the ApplicationSet: %v", err)
	}
	for _, one := range found.Status.Conditions {
		if one.Type == v1alpha1.ApplicationSetConditionErrorOccurred {
			failed := one.Status == v1alpha1.ApplicationSetConditionStatusTrue
			return condition{failed: failed, text: one.Message, written: found.ResourceVersion}
		}
	}
	return condition{written: found.ResourceVersion}
}

// setSecret replaces a Secret's values; nil removes the Secret.
func (c *cluster) setSecret(name string, values map[string]string) {
	c.t.Helper()
	c.replace(pluginSecret(name, values), values == nil)
}

// setConfigMap replaces the plugin's ConfigMap.
func (c *cluster) setConfigMap(data map[string]string) {
	c.t.Helper()
	c.replace(&corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: configMapName, Namespace: controllerNamespace}, Data: data,
	}, false)
}

func (c *cluster) replace(object client.Object, remove bool) {
	c.t.Helper()
	if err := client.IgnoreNotFound(c.api.Delete(c.t.Context(), object)); err != nil {
		c.t.Fatalf("replace %s: %v", object.GetName(), err)
	}
	if remove {
		return
	}
	if err := c.api.Create(c.t.Context(), object); err != nil {
		c.t.Fatalf("replace %s: %v", object.GetName(), err)
	}
}

func defaultProject() *v1alpha1.AppProject {
	return &v1alpha1.AppProject{
		ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: controllerNamespace},
		Spec: v1alpha1.AppProjectSpec{
			SourceRepos:  []string{"*"},
			Destinations: []v1alpha1.ApplicationDestination{{Namespace: "*", Server: "*"}},
		},
	}
}

func pluginConfigMap(name, baseURL, token string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: controllerNamespace},
		Data:       map[string]string{"baseUrl": baseURL, "token": token},
	}
}

func pluginSecret(name string, values map[string]string) *corev1.Secret {
	data := map[string][]byte{}
	for key, value := range values {
		data[key] = []byte(value)
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: controllerNamespace,
			Labels: map[string]string{"app.kubernetes.io/part-of": "argocd"},
		},
		Data: data,
	}
}

// eventually waits until done says so, and fails the test after a minute.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	end := time.Now().Add(time.Minute)
	for !done() {
		if time.Now().After(end) {
			t.Fatalf("waited a minute in vain: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func join(names []string) string { return strings.Join(names, " ") }
