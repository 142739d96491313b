#!/bin/sh
# Makes the certificates beside this file: those that the tests cannot sign themselves. OpenSSL 3; the key of 16,384 bits
# takes minutes. Keys are thrown away.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
cd "$work"
days=36500

# own NAME HASH KEY-OPTIONS...: one that signs itself.
own() {
    name=$1 hash=$2
    shift 2
    openssl genpkey -quiet "$@" -out "$name.pem"
    openssl req -x509 -new -key "$name.pem" $hash -days $days -subj "/CN=$name.example.com" \
        -addext "subjectAltName=DNS:$name.example.com" -addext "basicConstraints=CA:FALSE" -outform DER -out "$here/$name.der"
}

# issuer NAME BITS: an authority that is a root of some cases.
issuer() {
    openssl genpkey -quiet -algorithm RSA -pkeyopt "rsa_keygen_bits:$2" -out "$1.pem"
    openssl req -x509 -new -key "$1.pem" -sha256 -days $days -subj "/CN=$1" -out "$1.crt"
    openssl x509 -in "$1.crt" -outform DER -out "$here/$1.der"
}

# signed NAME ISSUER HASH KEY-OPTIONS...: one that an issuer signs.
signed() {
    name=$1 by=$2 hash=$3
    shift 3
    openssl genpkey -quiet "$@" -out "$name.pem"
    printf 'subjectAltName=DNS:%s.example.com\nbasicConstraints=CA:FALSE\n' "$name" >ext
    openssl req -new -key "$name.pem" -subj "/CN=$name.example.com" |
        openssl x509 -req -CA "$by.crt" -CAkey "$by.pem" -set_serial 7 "$hash" -days $days -extfile ext -outform DER \
            -out "$here/$name.der"
}

p256="-algorithm EC -pkeyopt ec_paramgen_curve:P-256"
issuer rsa2048-issuer 2048
issuer rsa1024-issuer 1024
signed sha1 rsa2048-issuer -sha1 $p256
signed md5 rsa2048-issuer -md5 $p256
signed by-rsa1024 rsa1024-issuer -sha256 $p256
signed rsa-exponent rsa2048-issuer -sha256 -algorithm RSA -pkeyopt rsa_keygen_bits:2048 \
    -pkeyopt rsa_keygen_pubexp:340282366920938463463374607431768211297
own self-sha1 -sha1 -algorithm RSA -pkeyopt rsa_keygen_bits:1024
own self-md5 -md5 -algorithm RSA -pkeyopt rsa_keygen_bits:2048
own self-pss "-sha384 -sigopt rsa_pss_saltlen:digest" -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048
own self-pss-long-salt "-sha384 -sigopt rsa_pss_saltlen:max" -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048
own self-ed448 "" -algorithm ED448
own self-secp256k1 -sha256 -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1
own p521 -sha512 -algorithm EC -pkeyopt ec_paramgen_curve:P-521
own self-explicit -sha256 $p256 -pkeyopt ec_param_enc:explicit
openssl genpkey -quiet -genparam -algorithm DSA -pkeyopt dsa_paramgen_bits:2048 -out dsa.param
own self-dsa -sha256 -paramfile dsa.param
own self-rsa16384 -sha256 -algorithm RSA -pkeyopt rsa_keygen_bits:16384
