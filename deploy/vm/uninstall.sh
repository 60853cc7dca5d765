#!/usr/bin/env bash
# Take the program off this machine and keep what is yours; --purge removes that too.
#
#   deploy/vm/uninstall.sh [--purge]
#
# Backups in /var/backups/secureml and the packages of the system stay in every case.
set -Eeuo pipefail

purge=
case ${1:-} in
    "") ;;
    --purge) purge=yes ;;
    *) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

steps=4
source=$(realpath "$(dirname "$0")/../..")
. "$source/deploy/vm/steps.sh"
script=uninstall.sh

stop_service() {
    demand_root
    local unit
    for unit in secureml.service secureml.socket secureml-audit.timer secureml-signing-keys.timer secureml-certificate.timer; do
        [ -e "$units/$unit" ] || continue
        quietly "journalctl -u ${unit%.*}" systemctl disable --now "$unit"
        changed "$unit has ended"
    done
}

# Without our site Nginx would show Debian's page to the world: it is stopped.
remove_site() {
    [ -e /etc/nginx/nginx.conf.debian ] || { say "there is none"; return 0; }
    quietly "journalctl -u nginx" systemctl disable --now nginx
    mv /etc/nginx/nginx.conf.debian /etc/nginx/nginx.conf
    rm -f /etc/letsencrypt/renewal-hooks/deploy/secureml "$units/certbot.service.d/secureml.conf"
    changed "Nginx has its own nginx.conf again, and is stopped: systemctl enable --now nginx"
}

remove_program() {
    rm -rf "$program" "$releases"
    rm -f "$units"/secureml*.{service,socket,timer} /etc/logrotate.d/secureml /usr/local/bin/secureml "$private/installed"
    systemctl daemon-reload
    changed "$program, $releases, units and logrotate are removed"
}

keep_or_purge() {
    if [ -z "$purge" ]; then
        say "kept: $instance (settings, keys, store, models, logs), $private, $sites,"
        say "      /etc/letsencrypt, $backups, the user secureml"
        say "install.sh takes them up again; uninstall.sh --purge removes them, except the backups"
        return 0
    fi
    local names
    for names in /etc/letsencrypt/renewal/*.conf; do
        grep -qs "$challenges" "$names" || continue
        quietly "certbot certificates" certbot delete -n --cert-name "$(basename "$names" .conf)"
    done
    rm -rf "$instance" "$private" /etc/nginx/deploy "$challenges" "$units"/secureml*
    systemctl daemon-reload
    ! getent passwd secureml > /dev/null || userdel secureml
    changed "settings, keys, store, models, logs and certificates are removed; kept: $backups"
}

step "the service"; stop_service
step "Nginx";       remove_site
step "the program"; remove_program
step "your data";   keep_or_purge
printf '\nDone in %d s.\n' "$((SECONDS - began))"
