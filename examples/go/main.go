package main

import (
	"context"
	"flag"
	"log"
	"os/signal"
	"syscall"
)

// options say where the hub is and where this backend.
type options struct {
	hub, name, tokenFile, caFile       string
	listen, address, certFile, keyFile string
}

func main() {
	var o options
	flag.StringVar(&o.hub, "hub", "localhost:4356", "the hub to attach to, or to register with")
	flag.StringVar(&o.name, "name", "images", "the backend's name at the hub")
	flag.StringVar(&o.tokenFile, "token-file", "", "holds the token that the hub expects")
	flag.StringVar(&o.caFile, "ca-file", "", "CA that signed the hub's certificate; turns on TLS")
	flag.StringVar(&o.listen, "listen", "", "be dialled by the hub here, instead of attaching to it")
	flag.StringVar(&o.address, "address", "", "with -listen: register with the hub, which dials this address")
	flag.StringVar(&o.certFile, "cert-file", "", "with -listen: the certificate of this backend; turns TLS on")
	flag.StringVar(&o.keyFile, "key-file", "", "the key of that certificate")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	run := attachForEver
	if o.listen != "" {
		run = serve
	}
	if err := run(ctx, o); err != nil {
		log.Fatal(err)
	}
}
