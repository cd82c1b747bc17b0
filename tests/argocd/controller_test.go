//go:build !argocd30

package argocd

import (
	"context"
	"testing"

	"github.com/argoproj/argo-cd/v3/applicationset/controllers"
	"github.com/argoproj/argo-cd/v3/applicationset/generators"
	"github.com/argoproj/argo-cd/v3/util/settings"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// modfile is the module file that this build is made with.
const modfile = "go.mod"

func newPluginGenerator(_ context.Context, c client.Client, _ kubernetes.Interface) generators.Generator {
	return generators.NewPluginGenerator(c, controllerNamespace)
}

func newSCMConfig() generators.SCMConfig {
	return generators.NewSCMConfig("", nil, true, false, nil, false)
}

// finishReconciler sets what only this release's reconciler has.
func finishReconciler(t testing.TB, r *controllers.ApplicationSetReconciler, k kubernetes.Interface) {
	t.Helper()
	informer, err := settings.NewClusterInformer(k, controllerNamespace)
	if err != nil {
		t.Fatalf("the cluster informer: %v", err)
	}
	go informer.Run(t.Context().Done())
	eventually(t, "the cluster informer has synced", informer.HasSynced)
	r.ClusterInformer = informer
	r.ConcurrentApplicationUpdates = 4
}
