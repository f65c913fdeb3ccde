// Go's net/http as a peer: on TERM, Server.Shutdown with a deadline, as its documentation has it. Argument: PORT.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

var megabyte = bytes.Repeat([]byte("x"), 1000000)

type message struct {
	Message string `json:"message"`
}

type user struct {
	ID string `json:"id"`
}

type counted struct {
	Bytes int64 `json:"bytes"`
}

func answer(w http.ResponseWriter, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(body)
}

func routes() {
	http.HandleFunc("/plaintext", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "Hello, World!")
	})
	http.HandleFunc("/json", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, message{"Hello, World!"})
	})
	http.HandleFunc("/users/", func(w http.ResponseWriter, r *http.Request) {
		answer(w, user{strings.TrimPrefix(r.URL.Path, "/users/")})
	})
	http.HandleFunc("/bytes", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.Itoa(len(megabyte)))
		w.Write(megabyte)
	})
	http.HandleFunc("/upload", func(w http.ResponseWriter, r *http.Request) {
		count, err := io.Copy(io.Discard, r.Body)
		if err == nil {
			answer(w, counted{count})
		}
	})
}

func main() {
	routes()
	server := &http.Server{Addr: "127.0.0.1:" + os.Args[1]}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	stopped := make(chan struct{})
	go func() {
		<-stop
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
