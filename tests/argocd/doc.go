// Package argocd runs the real ApplicationSet controller of Argo CD against a hub.
//
// The plugin client, the generators, the templates and the reconciler come from Argo CD's released
// modules, unchanged. Only the Kubernetes API is a fake one. Hubs, backends and the sample plugin of
// Argo CD's documentation are started as processes, and every Application that the controller
// deletes is held against what the test's script ordered.
//
// go.mod is the newest release that builds with the Go toolchain at hand; go.v30.mod is an older
// minor, chosen with -modfile=go.v30.mod -tags argocd30.
package argocd
