// Package argocd runs the real ApplicationSet controller of Argo CD against a hub.
//
// The plugin client, the generators, the templates and the reconciler come from Argo CD's released
// modules, unchanged. Only the Kubernetes API is a fake one. Hubs, backends and the sample plugin of
// Argo CD's documentation are started as processes, and every Application that the controller
// deletes is held against what the test's script ordered.
//
// deploy/ is rendered and applied as its reader would: manifests_test.go takes the ConfigMaps, Secrets and
// ApplicationSets of deploy/argocd, and what `appset-hub argocd manifests` prints; deployment_test.go starts the hub and
// its backends with the files and arguments of their rendered pods, standalone and as a sidecar. What a reader edits is
// listed there as edits. Beyond them only places differ: a folder stands for a pod's file system (pod_test.go), a port of
// loopback for each of its ports, and the names of Services, of localhost in the controller's pod and of GitHub lead to
// such ports inside the controller's own dialer (names_test.go).
//
// go.mod is the newest release that builds with the Go toolchain at hand; go.v30.mod is an older
// minor, chosen with -modfile=go.v30.mod -tags argocd30.
package argocd
