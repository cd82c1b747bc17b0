package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"

	"example/backend/stubs"
)

const (
	retryAfter   = 500 * time.Millisecond
	largestBytes = 16 << 20
)

// openHub returns a connection to the hub: over TLS if there is a CA to believe, else in plain text.
func openHub(o options) (*grpc.ClientConn, error) {
	trust := insecure.NewCredentials()
	if o.caFile != "" {
		var err error
		if trust, err = credentials.NewClientTLSFromFile(o.caFile, ""); err != nil {
			return nil, fmt.Errorf("the hub's CA: %w", err)
		}
	}
	// A dead connection is noticed after half a minute.
	connection, err := grpc.NewClient(o.hub,
		grpc.WithTransportCredentials(trust),
		// The environment's proxies are for other traffic: they would see the token and the answers.
		grpc.WithNoProxy(),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(largestBytes+1<<20)))
	if err != nil {
		return nil, fmt.Errorf("hub: %w", err)
	}
	return connection, nil
}

// withToken returns a context for a call to the hub. The file is read each time, so that a new token needs no restart.
func withToken(ctx context.Context, file string) (context.Context, error) {
	if file == "" {
		return ctx, nil
	}
	token, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+strings.TrimSpace(string(token))), nil
}

// self says who this process is: the backend's name, and an instance that no other process has.
func self(name string) (*stubs.BackendInfo, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("the name of this machine: %w", err)
	}
	instance := fmt.Sprintf("%s-%d-%d", host, os.Getpid(), time.Now().UnixNano())
	return &stubs.BackendInfo{Name: name, Instance: instance, ApplicationSets: claim}, nil
}

// warnOfIgnored says which claimed patterns never count at the hub.
func warnOfIgnored(patterns []string) {
	if len(patterns) > 0 {
		log.Printf("the hub ignores the claim %q: add it to application_sets of this backend in the hub's configuration", patterns)
	}
}
