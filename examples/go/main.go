package main

import (
	"context"
	"flag"
	"log"
	"os/signal"
	"syscall"
)

func main() {
	hub := flag.String("hub", "localhost:4356", "the hub to attach to")
	name := flag.String("name", "images", "the backend's name at the hub")
	tokenFile := flag.String("token-file", "", "holds the token that the hub expects")
	listen := flag.String("listen", "", "be dialled by the hub here, instead of attaching to it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	var err error
	if *listen != "" {
		err = serve(ctx, *listen)
	} else {
		err = attachForEver(ctx, *hub, *name, *tokenFile)
	}
	if err != nil {
		log.Fatal(err)
	}
}
