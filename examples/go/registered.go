package main

import (
	"context"
	"log"
	"slices"
	"time"

	"example/backend/stubs"
)

const callLimit = 10 * time.Second

// stayRegistered tells the hub where to dial this backend, until ctx is done; then it gives the lease back.
func stayRegistered(ctx context.Context, o options, backend *stubs.BackendInfo) {
	// Everything is said each time, for the hub may have been restarted in between.
	request := &stubs.RegisterRequest{Backend: backend, Address: o.address}
	var ignored []string
	for ctx.Err() == nil {
		pause := retryAfter
		err := callHub(ctx, o, func(ctx context.Context, hub stubs.RegistryServiceClient) error {
			response, err := hub.Register(ctx, request)
			if err == nil {
				// Two attempts may fail before the lease ends.
				pause = response.GetTtl().AsDuration() / 3
				if !slices.Equal(ignored, response.GetIgnoredApplicationSets()) {
					ignored = response.GetIgnoredApplicationSets()
					warnOfIgnored(ignored)
				}
			}
			return err
		})
		if err != nil && ctx.Err() == nil {
			log.Printf("not registered: %v", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	err := callHub(context.Background(), o, func(ctx context.Context, hub stubs.RegistryServiceClient) error {
		_, err := hub.Deregister(ctx, &stubs.DeregisterRequest{Name: backend.GetName(), Instance: backend.GetInstance()})
		return err
	})
	if err != nil {
		log.Printf("not deregistered, the lease ends by itself: %v", err)
	}
}

// callHub makes one call on a connection of its own, so that a new token or CA needs no restart.
func callHub(ctx context.Context, o options, call func(context.Context, stubs.RegistryServiceClient) error) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	connection, err := openHub(o)
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, err = withToken(ctx, o.tokenFile)
	if err != nil {
		return err
	}
	return call(ctx, stubs.NewRegistryServiceClient(connection))
}
