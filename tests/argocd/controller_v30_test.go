//go:build argocd30

package argocd

import (
	"context"
	"testing"

	"github.com/argoproj/argo-cd/v3/applicationset/controllers"
	"github.com/argoproj/argo-cd/v3/applicationset/generators"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// modfile is the module file that this build is made with.
const modfile = "go.v30.mod"

func newPluginGenerator(ctx context.Context, c client.Client, k kubernetes.Interface) generators.Generator {
	return generators.NewPluginGenerator(ctx, c, k, controllerNamespace)
}

func newSCMConfig() generators.SCMConfig {
	return generators.NewSCMConfig("", nil, true, nil, false)
}

// finishReconciler sets what only this release's reconciler has: nothing.
func finishReconciler(testing.TB, *controllers.ApplicationSetReconciler, kubernetes.Interface) {}
