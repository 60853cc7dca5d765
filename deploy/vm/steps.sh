# Sourced by the scripts beside it: what a step says, how a fault is reported, how files are placed.
# Shell: bash.

instance=/var/lib/secureml
program=/opt/secureml              # a link to the release in use; units and Nginx name this path
releases=/opt/secureml-releases
private=/etc/secureml              # what only root reads: the sealing key, a private authority
sites=/etc/nginx/deploy/nginx
challenges=/var/lib/secureml-acme
backups=/var/backups/secureml
units=/etc/systemd/system
log=/var/log/secureml-install.log
script=${0##*/}
number=0 changes=0 began=$SECONDS

# step NAME: begin a part of the work.
step() { number=$((number + 1)); title=$1; printf '[%2d/%d %3ds] %s\n' "$number" "$steps" "$((SECONDS - began))" "$title"; }
say() { printf '             %s\n' "$*"; }
# changed WHAT: report a change of this machine; a run that reports none has changed nothing.
changed() { changes=$((changes + 1)); say "$*"; }

# fail WHAT WHERE FIX: end here; what was done before stays, and the same command goes through it
# quickly when it is run again.
fail() {
    printf '%s: %s: %s\n  where: %s\n  fix: %s\n' "$script" "${title:-start}" "$1" "$2" "$3" >&2
    exit 1
}
trap 'fail "the command on line $LINENO failed: $BASH_COMMAND" "$log" "read the end of the log, then run the same command again"' ERR

# quietly FIX COMMAND...: run it with its output in the log; if it fails, show the end of that.
quietly() {
    local fix=$1 output
    shift
    output=$("$@" 2>&1) || {
        printf '$ %s\n%s\n' "$*" "$output" >> "$log"
        fail "$1 failed: $(tail -n 4 <<< "$output")" "$log" "$fix"
    }
    printf '$ %s\n%s\n' "$*" "$output" >> "$log"
}

# place MODE SOURCE TARGET: copy a file where it differs.
place() {
    if [ -f "$3" ] && cmp -s "$2" "$3" && [ "$(stat -c %a "$3")" = "${1#0}" ]; then return 0; fi
    # Renamed into place: a program that reads it meanwhile has the whole old or the whole new one.
    install -D -m "$1" "$2" "$3.new"
    mv -f "$3.new" "$3"
    changed "$3"
}

# place_text MODE TARGET < TEXT
place_text() {
    local draft
    draft=$(mktemp)
    cat > "$draft"
    place "$1" "$draft" "$2"
    rm -f "$draft"
}

# command_line, as root and as the user of the service, who owns the store.
secureml() { SECUREML_INSTANCE=$instance "$program/.venv/bin/secureml" "$@"; }
as_service() { runuser -u secureml -- env SECUREML_INSTANCE="$instance" "$@"; }

# Everything in the instance folder belongs to root and is read by the service; what it writes is
# its own. Only what belongs to another user is touched: the server may be running.
own_instance() {
    local written=("$instance/keys" "$instance/store" "$instance/logs" "$instance/run/metrics")
    local prune=(-path "$instance/edge.crt" -prune -o)  # certbot-hook makes it anew
    for folder in "${written[@]}"; do prune+=(-path "$folder" -prune -o); done
    find "$instance" "${prune[@]}" \( ! -user root -o ! -group secureml \) -exec chown -h root:secureml {} +
    find "${written[@]}" \( ! -user secureml -o ! -group secureml \) -exec chown -h secureml:secureml {} +
    chmod -R o-rwx "$instance/models" "$instance/model_integrity"
}

demand_root() { [ "$(id -u)" = 0 ] || fail "this is for root" "$script" "sudo $0 …"; }

# certificate_in_use: print the file that Nginx shows to clients.
certificate_in_use() { sed -n 's/^ssl_certificate \(.*\);/\1/p' "$sites/certificate.conf"; }

# ask HOST PATH [CURL OPTION...]: print the status of an answer of this very machine, over TLS.
ask() {
    local host=$1 path=$2 status=000 tries
    shift 2
    # A reloaded Nginx has the new certificate a moment later.
    for tries in $(seq 20); do
        status=$(curl -s -o /dev/null -w '%{http_code}' --max-time 60 --noproxy '*' \
            --cacert "$(certificate_in_use)" --resolve "$host:443:127.0.0.1" "$@" "https://$host$path" || true)
        [ "$status" = 000 ] || break
        sleep 0.5
    done
    printf '%s' "$status"
}

# served_host: print the first name that the settings serve.
served_host() {
    "$program/.venv/bin/python" -I - "$instance/secureml.toml" <<'END'
import sys, tomllib
with open(sys.argv[1], "rb") as file:
    print(tomllib.load(file)["plugins"]["transport"]["hosts"][0])
END
}

# enabled PLUGIN: tell whether the settings list it.
enabled() {
    "$program/.venv/bin/python" -I - "$instance/secureml.toml" "$1" <<'END'
import sys, tomllib
with open(sys.argv[1], "rb") as file:
    sys.exit(sys.argv[2] not in tomllib.load(file)["secureml"]["plugins"])
END
}
