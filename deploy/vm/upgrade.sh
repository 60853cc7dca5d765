#!/usr/bin/env bash
# From the release in use to the one of this checkout, without a dropped request; back by itself.
#
#   deploy/vm/upgrade.sh          from a new checkout, or an unpacked archive of one
#   deploy/vm/upgrade.sh --back   to the release before, which is still there
#
# The new environment is made beside the old one, everything is backed up, and `secureml check`
# of the new release must accept the settings, the store and every model before it is used. Then a
# second server takes over from the first. If that fails, or the first prediction, the old release
# is put back, the reason is shown, and the exit code is 1.
set -Eeuo pipefail
umask 022

back= own=
case ${1:-} in
    "") ;;
    --back) back=yes ;;
    -h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) printf 'upgrade.sh: unknown option %s\n' "$1" >&2; exit 2 ;;
esac

steps=6
source=$(realpath "$(dirname "$0")/../..")
. "$source/deploy/vm/steps.sh"
. "$source/deploy/vm/release.sh"
script=upgrade.sh

find_releases() {
    demand_root
    [ -L "$program" ] || fail "there is no release to upgrade" "$program" "deploy/vm/install.sh makes the first"
    old=$(basename "$(readlink "$program")")
    if [ -n "$back" ]; then
        new=$(cat "$releases/before" 2>/dev/null) && [ -d "$releases/$new" ] ||
            fail "there is no release before this one" "$releases" "run upgrade.sh of the checkout that you want"
    else
        new=$(release_name "$source")
    fi
    host=$(served_host)
    say "in use: $old"
    if [ "$new" = "$old" ]; then say "this is the same release; nothing was changed"; exit 0; fi
    say "next:   $new"
}

make_new_release() {
    [ ! -e "$program/requirements-own.txt" ] || own=$program/requirements-own.txt
    [ -n "$back" ] || make_release "$source" "$new" "$own"
}

check_new_release() {
    local said
    said=$(as_service "$releases/$new/.venv/bin/secureml" check --every-model 2>&1) ||
        fail "the new release refuses what is here, and was not put into use: $said" "$releases/$new" \
            "correct what the message names; if libraries have changed, seal the models again with the new release"
    say "settings, store and every model are accepted"
}

back_up() {
    saved=$backups/before-$new-$(date -u +%Y%m%dT%H%M%SZ).tar.gz
    mkdir -p -m 0700 "$backups"
    quietly "free space, or read the message" secureml backup --system "$saved"
    say "$saved"
}

# put_into_use NAME BEFORE: link, units and Nginx's files; the server is replaced beside the old one.
put_into_use() {
    switch_to "$1" || return 1
    place_units "$program" || return 1
    place_nginx_files "$releases/$2" "$releases/$1"
    secureml nginx-conf 2>> "$log" | place_text 0644 "$sites/application.conf"
    nginx -q -t >> "$log" 2>&1 || return 1
    systemctl reload nginx >> "$log" 2>&1 || return 1
    # The socket belongs to systemd: with a new unit, requests wait for the start.
    if [ "$units_changed" != 0 ] || ! systemctl is-active -q secureml.service; then
        systemctl restart secureml.service >> "$log" 2>&1
    else
        systemctl reload secureml.service >> "$log" 2>&1
    fi
}

# place_nginx_files OLD NEW: replace what is as the old release shipped it; name what was edited.
place_nginx_files() {
    local file name inside
    replace_file "$1/nginx.conf" "$2/nginx.conf" /etc/nginx/nginx.conf
    for file in "$2"/deploy/nginx/*.conf; do
        name=${file##*/} inside=deploy/nginx/${file##*/}
        case $name in names.conf | certificate.conf | edge_token.conf | application.conf) continue ;; esac
        [ ! -e "$2/deploy/nginx/production/$name" ] || inside=deploy/nginx/production/$name
        replace_file "$1/$inside" "$2/$inside" "$sites/$name"
    done
}

replace_file() {
    local before=$1 after=$2 target=$3
    cmp -s "$after" "$target" && return 0
    if [ ! -e "$target" ] || cmp -s "$before" "$target"; then place 0644 "$after" "$target"
    elif ! cmp -s "$before" "$after"; then say "edited by you, and not replaced: $target (compare it with $after)"; fi
}

# first_predictions: print what is wrong with the first answers, nothing when all is well.
first_predictions() {
    local model key status
    status=$(ask "$host" /readyz)
    [ "$status" = 200 ] || { echo "/readyz answers $status"; return; }
    enabled api_keys || return 0
    # A key for these predictions alone, which ends by itself.
    as_service "$program/.venv/bin/secureml" clients add upgrade --scope predict >> "$log" 2>&1 || true
    key=$(as_service "$program/.venv/bin/secureml" api-keys issue upgrade --expires 5m --json 2>> "$log" |
        sed -n 's/.*"key": *"\([^"]*\)".*/\1/p')
    [ -n "$key" ] || { echo "no key could be issued for a first prediction"; return; }
    for model in $(secureml models list --json 2>> "$log" | "$program/.venv/bin/python" -I -c \
        'import json, sys; print(*(model["name"] for model in json.load(sys.stdin)))'); do
        status=$(ask "$host" "/v1/models/$model/predict" -H "X-API-Key: $key" -H 'Content-Type: application/json' \
            -d "$(SECUREML_INSTANCE=$instance "$program/.venv/bin/python" -I "$program/deploy/vm/example_body.py" "$model")")
        [ "$status" = 200 ] || echo "the first prediction of $model answers $status"
    done
}

go_back() {
    local why=$1
    say "$why"
    say "going back to $old"
    put_into_use "$old" "$new" || true
    [ "$(ask "$host" /readyz)" = 200 ] ||
        fail "$why; and the old release does not answer either" "journalctl -u secureml" "systemctl restart secureml; the backup is $saved"
    fail "$why; the old release $old is in use again, no request was dropped" "journalctl -u secureml, $log" \
        "correct what the log names, then run the same command again"
}

step "the releases";          find_releases
step "the new program";       make_new_release
step "its check";             check_new_release
step "a backup";              back_up
step "the switch"
put_into_use "$new" "$old" || go_back "the new server did not start: $(journalctl -u secureml -n 30 --no-pager -o cat | grep -m1 -E 'fix:|Error' || tail -n 2 "$log")"
step "the first predictions"
wrong=$(first_predictions)
[ -z "$wrong" ] || go_back "$wrong"
printf '%s\n' "$old" > "$releases/before"
say "all is well"
for folder in "$releases"/*/; do
    folder=${folder%/}
    case ${folder##*/} in "$new" | "$old") ;; *) rm -rf "$folder"; say "removed: ${folder##*/}" ;; esac
done
printf '\nDone in %d s: %s is in use. To go back: upgrade.sh --back\n' "$((SECONDS - began))" "$new"
