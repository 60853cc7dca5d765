# Sourced by install.sh: the site of Nginx and its certificate.

first=$private/first               # what Nginx shows until the authority has issued a certificate
lineage=                           # set by set_lineage

set_lineage() { lineage=/etc/letsencrypt/live/$host; }
is_address() { [[ $1 == *:* || $1 =~ ^[0-9.]+$ ]]; }

# The bundled file is the whole of Nginx: other sites of this machine would no longer answer.
refuse_other_sites() {
    local found
    is_our_nginx && return 0
    found=$(find /etc/nginx/sites-enabled/ /etc/nginx/conf.d/ -mindepth 1 ! -name default 2>/dev/null | tr '\n' ' ' || true)
    [ -z "$found" ] || fail "Nginx serves other sites here, and the bundled nginx.conf replaces them" "$found" \
        "use a machine of its own for SecureML, or remove these files"
}
is_our_nginx() { grep -qs 'include deploy/nginx/process.conf' /etc/nginx/nginx.conf; }

# Files that are there are the operator's; upgrade.sh replaces those that were not edited.
place_site() {
    local file made=0 from=$program/deploy/nginx
    if ! is_our_nginx; then
        [ -e /etc/nginx/nginx.conf.debian ] || cp -p /etc/nginx/nginx.conf /etc/nginx/nginx.conf.debian
        place 0644 "$program/nginx.conf" /etc/nginx/nginx.conf
    fi
    mkdir -p "$sites" "$challenges"
    for file in "$from"/*.conf "$from"/*.example; do
        [ ! -e "$from/production/${file##*/}" ] || file=$from/production/${file##*/}
        case ${file##*/} in names.conf | certificate.conf | edge_token.conf | application.conf) continue ;; esac
        [ -e "$sites/${file##*/}" ] || { install -m 0644 "$file" "$sites/${file##*/}"; made=$((made + 1)); }
    done
    [ "$made" = 0 ] || changed "$made files in $sites"
    # A client that goes to an address names no server in its handshake.
    ! is_address "$host" || printf 'ssl_reject_handshake off;\n' | place_text 0644 "$sites/strangers.conf"
    # Without IPv6 in the kernel Nginx would not start.
    [ -e /proc/net/if_inet6 ] || sed -i '/\[::\]/d' "$sites/listen.conf" "$sites/listen_http.conf"
    local name=$host
    [[ $host != *:* ]] || name="[$host]"
    printf '# The names of this site; for any other the answer is 421.\nserver_name %s;\n' "$name" |
        place_text 0644 "$sites/names.conf"
    (umask 077; printf 'set $edge_token "%s";\n' "$(cat "$instance/keys/edge-token")") | place_text 0600 "$sites/edge_token.conf"
    secureml nginx-conf | place_text 0644 "$sites/application.conf"
}

show_certificate() {
    printf '# The certificate with its chain, and its key (root, 0600).\nssl_certificate %s;\nssl_certificate_key %s;\n' \
        "$1" "$2" | place_text 0644 "$sites/certificate.conf"
}

# One that Nginx can start with: the authority asks a running Nginx.
place_first_certificate() {
    set_lineage
    if [ -e "$sites/certificate.conf" ] && [ -e "$(certificate_in_use)" ]; then return 0; fi
    if [ -e "$lineage/fullchain.pem" ]; then
        show_certificate "$lineage/fullchain.pem" "$lineage/privkey.pem"
        return 0
    fi
    (umask 077; quietly "read the log" openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 \
        -nodes -days 30 -subj /CN=first -keyout "$first.key" -out "$first.crt")
    show_certificate "$first.crt" "$first.key"
}

# start_nginx: start it, or have it read what has changed; no connection is dropped.
start_nginx() {
    quietly "correct the file that is named; files of $sites are yours to edit" nginx -t
    systemctl is-enabled -q nginx || quietly "read the log" systemctl enable nginx
    if systemctl is-active -q nginx; then quietly "journalctl -u nginx" systemctl reload nginx; return 0; fi
    systemctl start nginx >> "$log" 2>&1 || fail "Nginx does not start: $(journalctl -u nginx -n 4 --no-pager -o cat)" \
        "journalctl -u nginx" "if another program listens on port 80 or 443 (ss -ltnp), stop it, then run the same command again"
    changed "Nginx started"
}

# A private authority, for a network without a public one. Clients trust ca.crt; certificates are
# renewed by secureml-certificate.timer.
make_private_certificate() {
    "$program/.venv/bin/python" -I "$program/deploy/vm/private_certificate.py" "$private/tls" "$host" > "$private/made" ||
        fail "no certificate could be made" "$private/tls" "read the line above"
    [ ! -s "$private/made" ] || changed "$(cat "$private/made")"
    rm -f "$private/made"
    chmod 0711 "$private"
    chmod 0755 "$private/tls"
    show_certificate "$private/tls/server.crt" "$private/tls/server.key"
    place 0644 "$private/tls/server.crt" "$instance/edge.crt"
    start_nginx
    systemctl is-enabled -q secureml-certificate.timer || changed "secureml-certificate.timer"
    systemctl is-active -q secureml-certificate.timer || quietly "read the log" systemctl enable --now secureml-certificate.timer
}

obtain_certificate() {
    set_lineage
    place 0755 "$program/deploy/vm/certbot-hook" /etc/letsencrypt/renewal-hooks/deploy/secureml
    if [ -n "$acme_ca" ]; then
        place 0644 "$acme_ca" "$private/acme-ca.pem"
        printf '[Service]\nEnvironment=REQUESTS_CA_BUNDLE=%s\n' "$private/acme-ca.pem" |
            place_text 0644 "$units/certbot.service.d/secureml.conf"
        systemctl daemon-reload
    fi
    if [ ! -e "$lineage/fullchain.pem" ]; then
        run_certbot
        changed "a certificate for $host"
    fi
    show_certificate "$lineage/fullchain.pem" "$lineage/privkey.pem"
    place 0644 "$lineage/fullchain.pem" "$instance/edge.crt"
    rm -f "$first.key" "$first.crt"
    start_nginx
    systemctl is-enabled -q certbot.timer || changed "certbot.timer"
    systemctl is-active -q certbot.timer || quietly "read the log" systemctl enable --now certbot.timer
}

run_certbot() {
    local words=(certonly --non-interactive --agree-tos --webroot -w "$challenges" --cert-name "$host" --key-type ecdsa) output
    if [ -n "$email" ]; then words+=(-m "$email"); else words+=(--register-unsafely-without-email); fi
    [ -z "$acme_server" ] || words+=(--server "$acme_server")
    if is_address "$host"; then
        # From 5.4 on certbot proves an address by a webroot; Let's Encrypt gives it for six days.
        dpkg --compare-versions "$(certbot --version 2>&1 | awk '{ print $NF }')" ge 5.4 ||
            fail "certbot of this system is too old for a certificate of an address" "certbot --version" \
                "give the machine a name, use --self-signed, or install certbot 5.4 or newer from the Python package index"
        words+=(--ip-address "$host" --preferred-profile shortlived)
    else
        words+=(-d "$host")
    fi
    [ ! -e "$private/acme-ca.pem" ] || export REQUESTS_CA_BUNDLE=$private/acme-ca.pem
    output=$(certbot "${words[@]}" 2>&1) && { printf '%s\n' "$output" >> "$log"; return 0; }
    printf '%s\n' "$output" >> "$log"
    explain_refusal "$output"
}

# explain_refusal OUTPUT: say in plain words why the authority issued nothing (RFC 8555, 6.7).
explain_refusal() {
    local output=$1 rest="then run the same command again; until then Nginx shows a certificate that no client trusts"
    local where=/var/log/letsencrypt/letsencrypt.log detail
    detail=$(sed -n 's/^ *\(Detail:\)/\1/p' <<< "$output" | head -n 1)
    [ -n "$detail" ] || detail=$(tail -n 3 <<< "$output")
    case $output in
        *NXDOMAIN* | *"could not resolve"* | *"DNS problem"* | *"acme:error:dns"* | *"Type:   dns"* | *"Type: dns"*)
            fail "the authority finds no address for $host ($detail)" "$where" \
                "make an A or AAAA record for $host that leads to this machine, $rest" ;;
        *"Type:   connection"* | *"Type: connection"* | *"acme:error:connection"* | *"Timeout during connect"*)
            fail "the authority cannot reach port 80 of $host ($detail)" "$where" \
                "open port 80 in every firewall in front of this machine, and see that the DNS record of $host leads here, $rest" ;;
        *"Type:   unauthorized"* | *"Type: unauthorized"* | *"acme:error:unauthorized"*)
            fail "another machine answers for $host on port 80 ($detail)" "$where" \
                "correct the A and AAAA records of $host (both, if both exist), or the proxy in front of it, $rest" ;;
        *rateLimited* | *"too many"*)
            fail "the authority has issued or refused too much for $host lately ($detail)" "$where" \
                "wait as long as the message says, $rest" ;;
        *"acme:error:caa"* | *"CAA record"*)
            fail "a CAA record of $host allows other authorities only ($detail)" "$where" "correct the record, $rest" ;;
        *CERTIFICATE_VERIFY_FAILED*)
            fail "the certificate of the authority itself is not trusted" "${acme_server:-the public authority}" \
                "name the root of your authority: --acme-ca FILE; or, behind a proxy that opens TLS, its root" ;;
        *ConnectionError* | *"Max retries"* | *"error occurred"*)
            fail "the authority cannot be reached ($detail)" "${acme_server:-the public authority}" \
                "let this machine make connections to it (port 443), $rest" ;;
        *) fail "the authority issued no certificate: $detail" "$where" "read the log, $rest" ;;
    esac
}
