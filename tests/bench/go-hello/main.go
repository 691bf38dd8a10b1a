// The same reply to everything with Go's net/http, as a yardstick for the daemon. `go-hello ADDRESS:PORT BODY`.
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
)

func main() {
	body := []byte(os.Args[2])
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on http://%s\n", listener.Addr())
	log.Fatal(http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		header := w.Header()
		header.Set("Content-Type", "text/plain")
		header.Set("Accept-Ranges", "none")
		header.Set("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
		header.Set("Server", "EC2ws")
		w.Write(body)
	})))
}
