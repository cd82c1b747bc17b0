package main

import (
	"context"
	"fmt"
	"log"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"example/backend/stubs"
)

// service answers a hub that dials: `address:` in the hub's configuration says where.
type service struct {
	stubs.UnimplementedBackendServiceServer
}

func (service) GetParams(_ context.Context, question *stubs.GetParamsRequest) (*stubs.GetParamsResponse, error) {
	return answer(question)
}

// serve listens until ctx is done, then finishes what is in flight.
func serve(ctx context.Context, address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := grpc.NewServer()
	stubs.RegisterBackendServiceServer(server, service{})
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	context.AfterFunc(ctx, server.GracefulStop)
	log.Printf("listening on %s", listener.Addr())
	return server.Serve(listener)
}
