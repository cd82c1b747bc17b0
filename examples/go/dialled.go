package main

import (
	"context"
	"fmt"
	"log"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"example/backend/stubs"
)

// service answers a hub that dials.
type service struct {
	stubs.UnimplementedBackendServiceServer
}

func (service) GetParams(_ context.Context, question *stubs.GetParamsRequest) (*stubs.GetParamsResponse, error) {
	return answer(question)
}

// serve listens until ctx is done, then finishes what is in flight. With an address it registers with the hub; without
// one, `address:` in the hub's configuration says where it is.
func serve(ctx context.Context, o options) error {
	server, err := newServer(o)
	if err != nil {
		return err
	}
	backend, err := self(o.name)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	go func() {
		if o.address != "" {
			// It ends deregistered: the hub dials no more, and nothing is refused.
			stayRegistered(ctx, o, backend)
		}
		<-ctx.Done()
		server.GracefulStop()
	}()
	log.Printf("listening on %s", listener.Addr())
	return server.Serve(listener)
}

func newServer(o options) (*grpc.Server, error) {
	var settings []grpc.ServerOption
	if o.certFile != "" {
		own, err := credentials.NewServerTLSFromFile(o.certFile, o.keyFile)
		if err != nil {
			return nil, fmt.Errorf("the certificate of this backend: %w", err)
		}
		settings = append(settings, grpc.Creds(own))
	}
	server := grpc.NewServer(settings...)
	stubs.RegisterBackendServiceServer(server, service{})
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	return server, nil
}
