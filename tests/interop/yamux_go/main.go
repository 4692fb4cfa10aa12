// The other end of a hardline/2 session, by Go's crypto/tls and HashiCorp's yamux, for tests/interop/test_yamux_go.py.
//
//	peer server              listens, prints its port, serves streams
//	peer client HOST:PORT    connects, opens streams, prints what came of it as JSON
//
// The first line of a stream says what to do with it: see serve.
package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
)

func main() {
	if os.Args[1] == "server" {
		server()
	} else {
		client(os.Args[2])
	}
}

func settings() *yamux.Config {
	config := yamux.DefaultConfig()
	config.EnableKeepAlive = false
	config.LogOutput = io.Discard
	return config
}

func server() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	shape := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, shape, shape, &key.PublicKey, key)
	check(err)
	config := &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		NextProtos:   []string{"hardline/2"},
		MinVersion:   tls.VersionTLS13,
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	check(err)
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	connection, err := listener.Accept()
	check(err)
	session, err := yamux.Server(connection, settings())
	check(err)
	for {
		stream, err := session.AcceptStream()
		if err != nil {
			return
		}
		go serve(session, stream)
	}
}

func serve(session *yamux.Session, stream *yamux.Stream) {
	reader := bufio.NewReaderSize(stream, 65536)
	line, err := reader.ReadString('\n')
	if err != nil {
		stream.Close()
		return
	}
	words := strings.Fields(line)
	switch words[0] {
	case "echo":
		io.Copy(stream, reader)
		stream.Close()
	case "sum": // reads to the end of the other's direction, then answers
		hash := sha256.New()
		count, err := io.Copy(hash, reader)
		check(err)
		fmt.Fprintf(stream, "%d %s", count, hex.EncodeToString(hash.Sum(nil)))
		stream.Close()
	case "source":
		count, _ := strconv.Atoi(words[1])
		stream.Write(pattern(count))
		stream.Close()
	case "stall": // never reads what follows
		time.Sleep(time.Hour)
	case "ping":
		took, err := session.Ping()
		if err == nil && took > 0 {
			fmt.Fprint(stream, "pong")
		}
		stream.Close()
	case "goaway":
		check(session.GoAway())
		fmt.Fprint(stream, "gone")
		stream.Close()
	case "open": // towards a peer that accepts none
		other, err := session.OpenStream()
		if err == nil {
			_, err = other.Read(make([]byte, 1))
		}
		fmt.Fprintf(stream, "%v", err)
		stream.Close()
	}
}

func client(address string) {
	config := &tls.Config{InsecureSkipVerify: true, ServerName: "any", NextProtos: []string{"hardline/2"}}
	connection, err := tls.Dial("tcp", address, config)
	check(err)
	session, err := yamux.Client(connection, settings())
	check(err)
	results := map[string]interface{}{}

	var group sync.WaitGroup
	var lock sync.Mutex
	right := 0
	for i := 0; i < 50; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			if upload(session, 100_000+i) {
				lock.Lock()
				right++
				lock.Unlock()
			}
		}(i)
	}
	group.Wait()
	results["parallel"] = right
	results["big_upload"] = upload(session, 8_000_000)

	stream, err := session.OpenStream()
	check(err)
	fmt.Fprint(stream, "source 8000000\n")
	data, err := io.ReadAll(stream)
	results["big_download"] = err == nil && string(data) == string(pattern(8_000_000))
	stream.Close()

	stream, err = session.OpenStream()
	check(err)
	fmt.Fprint(stream, "reset\n")
	_, err = io.ReadAll(stream)
	results["reset"] = fmt.Sprint(err)

	took, err := session.Ping()
	results["ping"] = err == nil && took > 0

	stalled, err := session.OpenStream()
	check(err)
	fmt.Fprint(stalled, "source 8000000\n") // and not read
	results["beside_a_stalled_reader"] = upload(session, 1_000_000)

	refused := 0
	var streams []*yamux.Stream
	for i := 0; i < 70; i++ { // the other end takes 64 at a time
		stream, err := session.OpenStream()
		check(err)
		fmt.Fprint(stream, "hold\n")
		streams = append(streams, stream)
	}
	for _, stream := range streams {
		stream.SetReadDeadline(time.Now().Add(2 * time.Second))
		word := make([]byte, 4)
		if _, err := io.ReadFull(stream, word); err != nil {
			refused++
		}
	}
	results["refused"] = refused
	for _, stream := range streams {
		stream.Close()
		io.ReadAll(stream)
	}

	stream, err = session.OpenStream()
	check(err)
	fmt.Fprint(stream, "goaway\n")
	io.ReadAll(stream)
	_, err = session.OpenStream()
	results["after_go_away"] = fmt.Sprint(err)
	check(json.NewEncoder(os.Stdout).Encode(results))
}

// upload sends count bytes and waits for the answer, count and hash.  It says the count first: this library
// cannot read what comes after it has ended its own direction.
func upload(session *yamux.Session, count int) bool {
	stream, err := session.OpenStream()
	if err != nil {
		return false
	}
	fmt.Fprintf(stream, "sum %d\n", count)
	data := pattern(count)
	if _, err := stream.Write(data); err != nil {
		return false
	}
	answer, err := io.ReadAll(stream)
	stream.Close()
	hash := sha256.Sum256(data)
	return err == nil && string(answer) == fmt.Sprintf("%d %s", count, hex.EncodeToString(hash[:]))
}

func pattern(count int) []byte {
	data := make([]byte, count)
	for i := range data {
		data[i] = byte(i * 7 % 251)
	}
	return data
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
