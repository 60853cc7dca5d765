# Sourced by install.sh and upgrade.sh: releases, each in a folder with an environment of its own.
# /opt/secureml is a link to one of them, so that a switch, and the way back, is one rename.

# What a release consists of. Tests, keys and instance folders are not part of it.
contents=(README.md deploy docs nginx.conf plugins pyproject.toml requirements.txt script secureml wsgi.py)

# release_name SOURCE: the version and a digest of all that the release contains.
release_name() {
    local version digest
    version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$1/pyproject.toml")
    digest=$(cd "$1" && find "${contents[@]}" -type f ! -path '*/__pycache__/*' -print0 |
        LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum)
    printf '%s-%s\n' "${version:-0}" "${digest:0:12}"
}

# make_release SOURCE NAME [OWN]: copy it and make its environment; nothing where both are there.
# OWN is a file of further packages, with hashes.
make_release() {
    local source=$1 folder=$releases/$2 own=${3:-}
    if [ ! -d "$folder" ]; then
        mkdir -p "$releases"
        rm -rf "$folder.part"
        mkdir "$folder.part"
        tar -C "$source" -c --exclude=__pycache__ "${contents[@]}" |
            tar -C "$folder.part" -x --no-same-owner
        chmod -R u=rwX,go=rX "$folder.part"
        mv "$folder.part" "$folder"
        changed "release $2 in $folder"
    fi
    [ -z "$own" ] || place 0644 "$own" "$folder/requirements-own.txt"
    copy_environment "$folder"
    make_release_environment "$folder"
    # The service may not write beside the sources, so that they are compiled once, here.
    [ -d "$folder/secureml/__pycache__" ] ||
        (cd "$folder" && .venv/bin/python -m compileall -q -j 0 secureml plugins)
}

# copy_environment FOLDER: packages that are the same need not be fetched again; they belong to
# root and were checked against their hashes when they came.
copy_environment() {
    local folder=$1 present
    present=$(readlink -f "$program")
    if [ -e "$folder/.venv" ] || [ ! -d "$present/.venv" ] || [ "$present" = "$folder" ] ||
        ! cmp -s "$present/requirements.txt" "$folder/requirements.txt" ||
        ! cmp -s "$present/script/environment" "$folder/script/environment"; then return 0; fi
    rm -rf "$folder/.venv.part"
    cp -a "$present/.venv" "$folder/.venv.part"
    # Programs of an environment begin with its path.
    grep -rlI "$present" "$folder/.venv.part/bin" "$folder/.venv.part/pyvenv.cfg" |
        xargs -r sed -i "s|$present|$folder|g"
    mv "$folder/.venv.part" "$folder/.venv"
    changed "packages: the same as those of ${present##*/}, copied"
}

make_release_environment() {
    local folder=$1 files=(requirements.txt) extra
    if [ -e "$private/extras" ]; then
        while read -r extra; do files+=("deploy/extras/$extra.txt"); done < "$private/extras"
    fi
    [ ! -e "$folder/requirements-own.txt" ] || files+=(requirements-own.txt)
    if (cd "$folder" && . script/environment &&
        for file in "${files[@]}"; do is_installed "$file" || exit 1; done); then return 0; fi
    (
        trap - ERR
        cd "$folder"
        . script/environment
        make_environment "${files[@]}"
    ) || fail "the packages could not be installed" "$folder/.venv" \
        "see the lines above: this machine must reach the Python package index, or have PIP_INDEX_URL, PIP_FIND_LINKS or PIP_CERT set"
    changed "packages, each checked against its hash"
}

# switch_to NAME: have /opt/secureml lead to a release, in one step.
switch_to() {
    ln -sfn "$releases/$1" "$program.new"
    mv -T "$program.new" "$program"
}

# place_units FOLDER: copy the units of a release; tell whether one has changed by `units_changed`.
place_units() {
    local before=$changes unit
    for unit in "$1"/deploy/systemd/*; do place 0644 "$unit" "$units/${unit##*/}"; done
    place 0644 "$1/deploy/logrotate/secureml" /etc/logrotate.d/secureml
    units_changed=$((changes - before))
    [ "$units_changed" = 0 ] || systemctl daemon-reload
}
