"""The edge to Argo CD and to operators: HTTP."""
