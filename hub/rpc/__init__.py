"""The edge to backends: gRPC. No other room knows it, or the stubs."""
