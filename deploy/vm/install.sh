#!/usr/bin/env bash
# From a bare virtual machine to a model that answers on HTTPS. Run as root, from a checkout:
#
#   deploy/vm/install.sh --host NAME [--model FILE --data TABLE --target COLUMN [--name NAME]]
#
#   --host NAME          the public name of this machine (or its address); clients use it
#   --model FILE         a model file; --data TABLE, --target COLUMN and --name NAME go with it
#   --email E            where the certificate authority writes to
#   --self-signed        no public authority: a private one, for a closed network
#   --acme-server URL    another authority than Let's Encrypt; --acme-ca FILE: its own root
#   --extra NAME         packages that some settings and models need, such as redis; repeatable
#   --requirements FILE  further packages, with hashes: that of your own classes
#   --restore FILE       bring back what `secureml backup --system` saved, in place of a new instance
#   -- OPTION...         options of `secureml models seal`, such as --types zip=text
#
# It asks nothing, and may be run again: what is there is kept, and said. Debian 12, Ubuntu 24.04.
set -Eeuo pipefail
umask 022

host= model= data= target= name= email= own_certificate= acme_server= acme_ca= own= saved= switched= extras=() options=()
usage() { sed -n '2,18s/^# \{0,1\}//p' "$0"; exit "${1:-0}"; }
while [ $# -gt 0 ]; do
    case $1 in
        --host) host=${2:?--host needs a name}; shift 2 ;;
        --model) model=$(realpath -m "${2:?--model needs a file}"); shift 2 ;;
        --data) data=$(realpath -m "${2:?--data needs a table}"); shift 2 ;;
        --target) target=${2:?--target needs a column}; shift 2 ;;
        --name) name=${2:?--name needs a name}; shift 2 ;;
        --email) email=${2:?--email needs an address}; shift 2 ;;
        --self-signed) own_certificate=yes; shift ;;
        --acme-server) acme_server=${2:?--acme-server needs a URL}; shift 2 ;;
        --acme-ca) acme_ca=$(realpath -m "${2:?--acme-ca needs a file}"); shift 2 ;;
        --extra) extras+=("${2:?--extra needs a name}"); shift 2 ;;
        --requirements) own=$(realpath -m "${2:?--requirements needs a file}"); shift 2 ;;
        --restore) saved=$(realpath -m "${2:?--restore needs a file}"); shift 2 ;;
        -h | --help) usage ;;
        --) shift; options=("$@"); break ;;
        *) printf 'install.sh: unknown option %s\n' "$1" >&2; usage 2 >&2 ;;
    esac
done

steps=11
source=$(realpath "$(dirname "$0")/../..")
. "$source/deploy/vm/steps.sh"
. "$source/deploy/vm/release.sh"
. "$source/deploy/vm/certificate.sh"
. "$source/script/environment"
script=install.sh
say() { printf '             %s\n' "$*"; }

check_machine() {
    local file free
    demand_root
    [ -n "$host" ] || [ -n "$saved" ] || fail "--host is missing" "the command" "--host NAME, the public name of this machine"
    [[ $host =~ ^[A-Za-z0-9.:-]*$ ]] || fail "$host is no host name" "--host" "a name such as ml.example.org, without https://"
    for file in "$model" "$data" "$acme_ca" "$own" "$saved"; do
        [ -z "$file" ] || [ -e "$file" ] || fail "there is no such file" "$file" "correct the path"
    done
    for file in "${extras[@]}"; do
        [[ $file =~ ^[a-z0-9]+$ && -f $source/deploy/extras/$file.txt ]] || fail "there is no extra $file" "--extra" \
            "one of $(cd "$source/deploy/extras" && printf '%s ' *.txt | sed 's/\.txt//g')"
    done
    [ -n "$model" ] || [ -z "$data$target$name" ] || fail "--data, --target and --name go with a model" "the command" "--model FILE"
    . /etc/os-release
    case "$ID $VERSION_ID" in
        "debian 12" | "ubuntu 24.04") ;;
        *) fail "this is $PRETTY_NAME" "/etc/os-release" "use Debian 12 or Ubuntu 24.04; on others follow the steps of docs/install.md" ;;
    esac
    [ -d /run/systemd/system ] || fail "systemd does not run here" "/run/systemd/system" "use a virtual machine; for containers see docs"
    free=$(df -Pm /opt | awk 'NR == 2 { print $4 }')
    [ "$free" -ge 1500 ] || fail "only $free MB are free" "/opt" "free 1500 MB"
    say "$PRETTY_NAME, $free MB free"
    touch "$log"
    chmod 0640 "$log"
}

install_packages() {
    local wanted=(python3 python3-venv ca-certificates curl openssl logrotate certbot) missing=() package
    # Both have what the bundled configuration uses; Debian's smaller one is `nginx-light`.
    [ -x /usr/sbin/nginx ] || { if [ "$ID" = debian ]; then wanted+=(nginx-light); else wanted+=(nginx); fi; }
    for package in "${wanted[@]}"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || { say "all are installed"; return 0; }
    quietly "see that apt-get update works, then run the same command again" apt_install "${missing[@]}"
    changed "installed: ${missing[*]}"
}

make_user() {
    if getent passwd secureml > /dev/null; then say "secureml is there"; return 0; fi
    useradd --system --home-dir "$instance" --shell /usr/sbin/nologin secureml
    changed "user secureml, who owns nothing but what the service writes"
}

install_release() {
    local wanted present
    wanted=$(release_name "$source")
    [ ! -d "$program" ] || [ -L "$program" ] || fail "this folder is not a link to a release" "$program" \
        "it was made by hand: move it away (mv $program $program-before), then run the same command again"
    present=$(readlink "$program" 2>/dev/null || true)
    if [ "${present##*/}" != "$wanted" ] && [ -e "$private/installed" ]; then
        fail "another release is in use: ${present##*/}" "$program" "$source/deploy/vm/upgrade.sh replaces it, and goes back by itself if it must"
    fi
    # Kept beside the releases: the next one gets them as well, with the pins of its own.
    mkdir -p -m 0711 "$private"
    [ ${#extras[@]} = 0 ] ||
        { [ ! -e "$private/extras" ] || cat "$private/extras"; printf '%s\n' "${extras[@]}"; } |
        sort -u | place_text 0644 "$private/extras"
    make_release "$source" "$wanted" "$own"
    if [ "${present##*/}" != "$wanted" ]; then
        switch_to "$wanted"
        changed "$program leads to it"
        switched=yes
    fi
    [ -L /usr/local/bin/secureml ] || { ln -s "$program/.venv/bin/secureml" /usr/local/bin/secureml; changed /usr/local/bin/secureml; }
    say "release $wanted"
}

make_instance() {
    if [ -n "$saved" ] && [ ! -e "$instance/secureml.toml" ]; then
        quietly "read the message; the backup is unchanged" secureml restore "$saved"
        changed "$(basename "$saved") is restored"
        systemctl daemon-reload
    fi
    if [ ! -e "$instance/secureml.toml" ] || [ ! -e "$instance/store/secureml.db" ] || [ ! -e "$instance/model_integrity/signing.pem" ]; then
        quietly "correct what the message names" secureml init --profile production --host "$host"
        # The copy that certbot-hook makes: `secureml check` and the alerts say when it ends.
        grep -q '^\[plugins.metrics\]' "$instance/secureml.toml" ||
            printf '\n[plugins.metrics]\ncertificates = ["edge.crt"]\n' >> "$instance/secureml.toml"
        changed "instance $instance, with keys of its own"
    fi
    if [ -e "$instance/keys/model-signing.key" ]; then
        # It decides what this machine runs: the service must not be able to read it.
        mv "$instance/keys/model-signing.key" "$private/model-signing.key"
        chown root:root "$private/model-signing.key"
        changed "sealing key $private/model-signing.key, for root alone"
    fi
    own_instance
    host=${host:-$(served_host)}
    [ "$(served_host)" = "$host" ] || fail "this machine serves $(served_host)" "$instance/secureml.toml: [plugins.transport] hosts" \
        "--host $(served_host), or change hosts there and certificate.conf of Nginx by hand"
}

# The name of a model is part of its address: letters, digits and hyphens.
choose_name() {
    [ -n "$name" ] || name=$(basename "$model" | sed 's/\.[^.]*$//' | LC_ALL=C tr 'A-Z' 'a-z' |
        LC_ALL=C sed 's/[^a-z0-9]\{1,\}/-/g; s/^-//' | cut -c1-63 | sed 's/-$//')
    name=${name:-model}
}

seal_model() {
    local said
    if [ -z "$model" ]; then
        name=$(secureml models list --json | "$program/.venv/bin/python" -c 'import json, sys; found = json.load(sys.stdin); print(found[0]["name"] if found else "")')
        say "${name:-none was given: seal one where you train and copy it here, see docs/install.md}"
        return 0
    fi
    choose_name
    [ -e "$private/model-signing.key" ] || fail "the sealing key is not on this machine" "$private/model-signing.key" \
        "seal the model where the key is, and copy the sealed folder here, see docs/install.md"
    said=$(secureml models seal "$model" --name "$name" --use --unless-same --key "$private/model-signing.key" \
        ${data:+--data "$data"} ${target:+--target "$target"} "${options[@]}" 2>&1) ||
        fail "the model is not sealed: $said" "$model" "correct what the message names, then run the same command again"
    own_instance
    printf '%s\n' "$said" >> "$log"
    case $said in
        *"already is this file"*) say "$name is this file already" ;;
        *) sed 's/^/             /' <<< "$said"; changed "$name is sealed, by a confined process" ;;
    esac
}

start_service() {
    local unit timers=(secureml-audit.timer)
    ! enabled jwt || timers+=(secureml-signing-keys.timer)
    place_units "$program"
    quietly "correct what the message names; \`secureml check\` shows it again" as_service /usr/local/bin/secureml check
    for unit in secureml.socket secureml.service "${timers[@]}"; do
        if systemctl is-enabled -q "$unit" && systemctl is-active -q "$unit"; then continue; fi
        quietly "journalctl -u ${unit%.*}" systemctl enable --now "$unit"
        changed "$unit"
    done
    # After a first run that was stopped by a fault, and another checkout for the second.
    [ -z "$switched" ] || quietly "journalctl -u secureml" systemctl restart secureml.service
    say "$(systemctl is-active secureml.service), no network, nothing writable but store, logs and counters"
}

get_certificate() {
    if [ -n "$own_certificate" ]; then make_private_certificate
    elif [ -z "$(certificate_in_use | grep -vF -e "$first" -e "$lineage")" ]; then obtain_certificate
    else say "yours is kept: $(certificate_in_use)"; fi
    say "ends $(openssl x509 -in "$(certificate_in_use)" -noout -enddate | cut -d= -f2-)"
}

add_client() {
    key=
    [ -n "$name" ] || { say "none, while there is no model"; return 0; }
    local keys
    # Fails while there is no such client, and is empty where a run ended between the two.
    keys=$(as_service /usr/local/bin/secureml api-keys list --client first --json 2>> "$log") || keys="[]"
    if [ "$keys" = "[]" ]; then
        as_service /usr/local/bin/secureml clients add first --scope predict --model "$name" >> "$log" 2>&1 || true
        keys=$(as_service /usr/local/bin/secureml api-keys issue first --expires 90d --json)
        key=$(sed -n 's/.*"key": *"\([^"]*\)".*/\1/p' <<< "$keys")
        changed "client first, which may ask $name, and its key, good for 90 days"
    else
        say "first has its key already; it was shown once"
    fi
}

first_request() {
    local body status path=/readyz trust=
    [ -z "$own_certificate" ] || trust=" --cacert $private/tls/ca.crt"
    if [ -z "$name" ]; then
        status=$(ask "$host" /healthz)
        [ "$status" = 200 ] || fail "the server answers $status" "https://$host/healthz" "journalctl -u secureml, /var/log/nginx/error.log"
        say "it answers, and serves no model yet"
        line="curl$trust https://$host/healthz"
        return 0
    fi
    path=/v1/models/$name/predict
    body=$(SECUREML_INSTANCE=$instance "$program/.venv/bin/python" -I "$program/deploy/vm/example_body.py" "$name")
    line="curl$trust -H 'X-API-Key: ${key:-YOUR-KEY}' -H 'Content-Type: application/json' -d '${body//\'/\'\\\'\'}' https://$host$path"
    if [ -n "$key" ]; then
        status=$(ask "$host" "$path" -H "X-API-Key: $key" -H 'Content-Type: application/json' -d "$body")
    else
        status=$(ask "$host" /readyz)
    fi
    [ "$status" = 200 ] || say "$line"
    [ "$status" = 200 ] || fail "the answer is $status" "https://$host$path" \
        "secureml check, journalctl -u secureml and /var/log/nginx/error.log say why"
    say "200, over TLS"
}

step "this machine";                            check_machine
step "packages of $PRETTY_NAME";                install_packages
step "the user of the service";                 make_user
step "the program";                             install_release
step "settings, keys and store";                make_instance
step "the model";                               seal_model
step "the site of Nginx";                       refuse_other_sites; place_site; place_first_certificate
step "the service";                             start_service
step "Nginx";                                   start_nginx
step "the certificate";                         get_certificate
step "the first client, and its first request"; add_client; first_request

echo "${program}: $(readlink "$program")" > "$private/installed"
printf '\nDone in %d s; ' "$((SECONDS - began))"
if [ "$changes" = 0 ]; then echo "nothing was changed."; else echo "$changes changes, listed above; details in $log."; fi
printf 'Try it from anywhere:\n\n%s\n\n' "$line"
echo "Next: docs/install.md (updates, backups), docs/operations.md (what to watch)."
