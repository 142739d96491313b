// Serves TLS as a file says: a line a server, ten words a line, "-" for none.
//
//	port, certificates, key, oldest version, newest version, groups, ALPN, issuers of clients, OCSP response, timestamps
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	file, err := os.Open(os.Args[1])
	check(err)
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		listener, err := net.Listen("tcp4", ":"+words[0])
		check(err)
		go serve(listener, configure(words[1:]))
	}
	check(lines.Err())
	select {}
}

func configure(words []string) *tls.Config {
	identity, err := tls.LoadX509KeyPair(words[0], words[1])
	check(err)
	config := &tls.Config{MinVersion: number(words[2]), MaxVersion: number(words[3])}
	if words[4] != "-" {
		for _, word := range strings.Split(words[4], ",") {
			config.CurvePreferences = append(config.CurvePreferences, tls.CurveID(number(word)))
		}
	}
	if words[5] != "-" {
		config.NextProtos = strings.Split(words[5], ",")
	}
	if words[6] != "-" {
		config.ClientAuth = tls.RequireAndVerifyClientCert
		config.ClientCAs = x509.NewCertPool()
		config.ClientCAs.AppendCertsFromPEM(read(words[6]))
	}
	if words[7] != "-" {
		identity.OCSPStaple = read(words[7])
	}
	for count := number(words[8]); count > 0; count-- {
		identity.SignedCertificateTimestamps = append(identity.SignedCertificateTimestamps, []byte("a timestamp"))
	}
	config.Certificates = []tls.Certificate{identity}
	return config
}

func serve(listener net.Listener, config *tls.Config) {
	for {
		client, err := listener.Accept()
		check(err)
		go func() {
			defer client.Close()
			client.SetDeadline(time.Now().Add(5 * time.Second))
			connection := tls.Server(client, config)
			if connection.Handshake() == nil {
				// Until the client leaves.
				connection.Read(make([]byte, 1))
			}
		}()
	}
}

func number(word string) uint16 {
	value, err := strconv.ParseUint(word, 10, 16)
	check(err)
	return uint16(value)
}

func read(path string) []byte {
	octets, err := os.ReadFile(path)
	check(err)
	return octets
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
