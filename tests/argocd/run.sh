#!/bin/sh
# Runs the real ApplicationSet controller of Argo CD against the hub, for the newest release that
# builds here and for one older minor.
#
#   tests/argocd/run.sh                  both releases
#   tests/argocd/run.sh --newest         the newest only; --older: the older only
#   tests/argocd/run.sh --report FILE    the newest, the sample plugin too, and the report
#   tests/argocd/run.sh --record FILE    what the newest makes of raw answers, as JSON
#
# Anything after -- goes to go test, as in: run.sh --newest -- -run TestScenarios -v
#
# The first build takes minutes and some gigabytes of Go's caches. Without Go this is skipped,
# except with CI=true.
set -eu

which='newest older'
flags=''
here=$(cd "$(dirname "$0")" && pwd)

absolute() { case $1 in /*) echo "$1" ;; *) echo "$(pwd)/$1" ;; esac; }

while [ $# -gt 0 ]; do
	case $1 in
	--newest) which=newest ;;
	--older) which=older ;;
	--report) which=newest flags="-report $(absolute "$2")" && shift ;;
	--record) which=newest flags="-run TheRecordingIs -record $(absolute "$2")" && shift ;;
	--) shift && break ;;
	*) echo "run.sh: what is $1?" >&2 && exit 2 ;;
	esac
	shift
done

skip() {
	echo "test-argocd: skipped: $1"
	if [ "${CI:-}" = true ]; then
		echo 'test-argocd: in CI this must run' >&2
		exit 1
	fi
	exit 0
}

cd "$here"
command -v go >/dev/null 2>&1 || PATH=$PATH:/usr/local/go/bin
command -v go >/dev/null 2>&1 || skip 'there is no Go toolchain'
reason=$(go list -m 2>&1 >/dev/null) || skip "this Go toolchain does not do: $reason"

unformatted=$(gofmt -l .)
[ -z "$unformatted" ] || { echo "test-argocd: run gofmt on: $unformatted" >&2 && exit 1; }

# What deploy/ is rendered with; built now, not while a test waits for it.
(cd ../deploy && go tool kustomize version >/dev/null)

for release in $which; do
	case $release in
	newest) build='' ;;
	older) build='-modfile=go.v30.mod -tags=argocd30' ;;
	esac
	# shellcheck disable=SC2086  # they are several words, or none.
	{
		echo "test-argocd: building against Argo CD $(go list $build -m -f '{{.Version}}' github.com/argoproj/argo-cd/v3)"
		began=$(date +%s)
		go vet $build .
		go test $build -run '^$' . >/dev/null
		echo "test-argocd: built in $(($(date +%s) - began)) s"
		go test $build -count=1 -timeout 40m -parallel "${PARALLEL:-6}" . $flags "$@"
	}
done
