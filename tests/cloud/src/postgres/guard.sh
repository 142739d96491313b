# Owns a PostgreSQL and its folder: makes both, starts and stops the server as its input says, and ends both when the input
# does. The input ends with the process that writes it, killed or not.
#
# Called with: folder of the programs, port, password. Answers each order with one line: `done` or `failed` and why.
set -u
programs=$1 port=$2 password=$3

folder=$(mktemp -d "${TMPDIR:-/tmp}/mrpf-postgres.XXXXXX") || { echo "failed no folder in ${TMPDIR:-/tmp}"; exit 1; }
cd "$folder" || exit 1
control() { "$programs/pg_ctl" -D "$folder/data" -w -t 60 "$@" </dev/null >>"$folder/log" 2>&1; }
answer() { if "$@"; then echo done; else echo "failed $(tail -n 3 "$folder/log" | tr '\n' ' ')"; fi; }
finish() { control stop -m immediate; cd /; rm -rf "$folder"; }
trap finish EXIT

# A certificate of its own authority, for localhost and 127.0.0.1; `other.pem` is an authority that signed nothing.
certify() {
    new="openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    $new -x509 -days 2 -subj "/CN=a test's authority" -keyout root.key -out root.pem &&
        $new -x509 -days 2 -subj "/CN=another authority" -keyout other.key -out other.pem &&
        $new -subj "/CN=localhost" -keyout server.key -out server.csr &&
        printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\n' >server.ext &&
        openssl x509 -req -days 2 -in server.csr -CA root.pem -CAkey root.key -CAcreateserial -extfile server.ext -out server.pem
}

make() {
    {
        printf '%s' "$password" >password &&
            "$programs/initdb" -D data --no-sync --no-locale -E UTF8 -U postgres --pwfile=password \
                --auth-local=trust --auth-host=scram-sha-256 &&
            certify
    } </dev/null >>log 2>&1 || return 1
    cat >>data/postgresql.conf <<END
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = '$folder'
max_connections = 200
fsync = off
full_page_writes = off
synchronous_commit = off
ssl = on
ssl_cert_file = '$folder/server.pem'
ssl_key_file = '$folder/server.key'
END
    chmod 600 server.key
}

echo "$folder"
answer make
while read -r order; do
    case $order in
    start) answer control start -l "$folder/server.log" ;;
    stop) answer control stop -m fast ;;
    esac
done
