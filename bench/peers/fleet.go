// Go's net/http as a backend of a fleet: on TERM /readyz turns 503, an optional sleep lets the balancer see it, then
// Server.Shutdown with a deadline, as its documentation has it. Arguments: ADDRESS SLEEP.
package main

import (
	"context"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

var stopping atomic.Bool

func ready(w http.ResponseWriter, _ *http.Request) {
	if stopping.Load() {
		http.Error(w, "not ready", http.StatusServiceUnavailable)
		return
	}
	io.WriteString(w, "ready\n")
}

func pause(w http.ResponseWriter, r *http.Request) {
	ms, _ := strconv.Atoi(r.URL.Query().Get("ms"))
	time.Sleep(time.Duration(ms) * time.Millisecond)
	io.WriteString(w, "slept\n")
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	w.Write(body)
}

func main() {
	announce, err := time.ParseDuration(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("/readyz", ready)
	http.HandleFunc("/sleep", pause)
	http.HandleFunc("/echo", echo)
	http.HandleFunc("/plaintext", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "Hello, World!") })
	server := &http.Server{Addr: os.Args[1]}
	server.RegisterOnShutdown(func() { stopping.Store(true) })
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	stopped := make(chan struct{})
	go func() {
		<-stop
		stopping.Store(true)
		time.Sleep(announce)
		deadline, cancel := context.WithTimeout(context.Background(), 25*time.Second)
		defer cancel()
		if err := server.Shutdown(deadline); err != nil {
			log.Print(err)
		}
		close(stopped)
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		log.Fatal(err)
	}
	<-stopped
}
