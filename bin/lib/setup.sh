# shellcheck shell=sh
# What bin/lint and bin/test share: they find what the build needs, and install what a package manager has.
# Sourced with $root set to the repository; build_linter sets $linter.
# shellcheck disable=SC2034 # used by those who source this

root=${root:?}
rust_needed=$(sed -n 's/^rust-version = "\([0-9.]*\)".*/\1/p' "$root/Cargo.toml")
elixir_needed=1.14
node_needed=18.0

say() { printf 'racefree: %s\n' "$*"; }

# Ends the script: the run could not take place.
fail() {
    printf 'racefree: %s\n' "$*" >&2
    exit 3
}

has() { command -v "$1" >/dev/null 2>&1; }

# Whether version $1 is $2 or newer; both begin with MAJOR.MINOR.
at_least() {
    have_major=${1%%.*} have_rest=${1#*.} want_major=${2%%.*} want_rest=${2#*.}
    have_minor=${have_rest%%[!0-9]*} want_minor=${want_rest%%[!0-9]*}
    [ "$have_major" -gt "$want_major" ] || { [ "$have_major" -eq "$want_major" ] && [ "$have_minor" -ge "$want_minor" ]; }
}

# Cargo and Erlang want a home folder. rustup puts its tools in it, and a fresh install is not on PATH yet.
find_home() {
    if [ -z "${HOME:-}" ]; then
        HOME=
        if has getent; then HOME=$(getent passwd "$(id -u)" | cut -d: -f6); fi
        if ! [ -d "$HOME" ]; then
            HOME=$root/target/home
            mkdir -p "$HOME" 2>/dev/null || fail "HOME is not set, and $root/target cannot be written to; set HOME"
        fi
        export HOME
    fi
    PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
    export PATH
}

need_rust() {
    how="install it with: curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh   (see https://rustup.rs)"
    if ! { has cargo && has rustc; }; then
        fail "Rust $rust_needed or newer is needed, and there is none on this machine; $how"
    fi
    rust_found=$(rustc --version 2>/dev/null) || fail "Rust $rust_needed or newer is needed, and rustc does not run; try: rustup default stable"
    rust_found=${rust_found#rustc }
    rust_found=${rust_found%% *}
    at_least "$rust_found" "$rust_needed" ||
        fail "Rust $rust_needed or newer is needed, and this machine has $rust_found; update it with: rustup update stable   (no rustup? $how)"
}

# A compiler without the C library's headers is of no use: try it.
can_compile_c() {
    has cc || return 1
    trial=$(mktemp -d) || return 1
    printf '#include <stdlib.h>\nint main(void) { return EXIT_SUCCESS; }\n' >"$trial/trial.c"
    cc -o "$trial/trial" "$trial/trial.c" >/dev/null 2>&1
    compiled=$?
    rm -rf "$trial"
    return "$compiled"
}

need_c_compiler() {
    can_compile_c && return
    if [ "$(uname)" = Darwin ]; then
        fail "a C compiler is needed; install it with: xcode-select --install"
    fi
    install_packages "a C compiler" "gcc libc6-dev" "gcc"
    can_compile_c || fail "a C compiler is needed, and cc still does not compile; install gcc and the C library's headers"
}

has_elixir() { has erl && has elixir && has mix; }

need_elixir() {
    more="see https://elixir-lang.org/install.html"
    has_elixir || install_packages "Erlang and Elixir" "elixir" "elixir"
    has_elixir || fail "Elixir $elixir_needed or newer is needed, and there is still none on PATH; $more"
    elixir_found=$(elixir --version 2>/dev/null | sed -n 's/^Elixir \([0-9][0-9.]*\).*/\1/p')
    [ -n "$elixir_found" ] || fail "Elixir $elixir_needed or newer is needed, and elixir does not run; $more"
    at_least "$elixir_found" "$elixir_needed" ||
        fail "Elixir $elixir_needed or newer is needed, and this machine has $elixir_found; $more"
}

# What reads reports in the tests: Node.js runs the validators, and Chromium opens the page.
need_report_tools() {
    if ! { has node && has npm; }; then install_packages "Node.js and npm" "nodejs npm" "node"; fi
    node_found=$(node --version 2>/dev/null) || fail "Node.js $node_needed or newer is needed, and node does not run; see https://nodejs.org"
    at_least "${node_found#v}" "$node_needed" || fail "Node.js $node_needed or newer is needed, and this machine has $node_found; see https://nodejs.org"
    find_chromium || install_packages "Chromium" "chromium" "chromium"
    find_chromium || fail "Chromium is needed, and there is still none on PATH"
    install_report_tools
    install_vscode_tools
}

find_chromium() {
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        if RACEFREE_CHROMIUM=$(command -v "$name"); then
            export RACEFREE_CHROMIUM
            return 0
        fi
    done
    return 1
}

install_report_tools() {
    RACEFREE_REPORT_TOOLS=$root/target/report-tools
    export RACEFREE_REPORT_TOOLS
    install_node_packages "the validators of reports" "$root/lints/racefree_report/tests/tools" "$RACEFREE_REPORT_TOOLS"
}

# The extension of VS Code is packaged in a copy: its packages do not belong among the sources.
install_vscode_tools() {
    RACEFREE_VSCODE=$root/target/vscode-extension
    export RACEFREE_VSCODE
    install_node_packages "what packages the extension of VS Code" "$root/editors/vscode" "$RACEFREE_VSCODE"
    for file in .vscodeignore LICENSE README.md extension.js; do cp "$root/editors/vscode/$file" "$RACEFREE_VSCODE"; done
}

# install_node_packages WHAT FROM TO: the packages of the lock file in FROM. The copy of it among them says which they are.
install_node_packages() {
    if cmp -s "$2/package-lock.json" "$3/node_modules/.racefree-lock.json" && cmp -s "$2/package.json" "$3/package.json"; then return; fi
    say "installing $1 with npm, in ${3#"$root/"}"
    mkdir -p "$3"
    cp "$2/package.json" "$2/package-lock.json" "$2/.npmrc" "$3"
    (cd "$3" && npm ci --ignore-scripts --no-audit --no-fund) || fail "$1 could not be installed; what npm said is above"
    cp "$2/package-lock.json" "$3/node_modules/.racefree-lock.json"
}

# The tests of the language server run in real editors.
need_editors() {
    missing=
    has nvim || missing="$missing neovim"
    # Of all that Emacs brings in its packages, the language client is one that a system may lack.
    emacs --batch --no-init-file --eval "(progn (require 'package) (package-initialize) (require 'eglot))" >/dev/null 2>&1 ||
        missing="$missing emacs-nox elpa-eglot"
    [ -z "$missing" ] || install_packages "Neovim and Emacs with eglot" "${missing# }" "neovim emacs"
}

# install_packages WHAT APT-NAMES BREW-NAMES: says what it does, or why it can't and what to install.
install_packages() {
    by_hand="missing: $1; install by hand (Debian, Ubuntu: $2; Homebrew: $3)"
    if [ -n "${RACEFREE_NO_INSTALL:-}" ]; then
        fail "$by_hand, for RACEFREE_NO_INSTALL is set"
    elif has apt-get; then
        install_with_apt "$1" "$2"
    elif has brew; then
        [ "$(id -u)" -ne 0 ] || fail "$by_hand, for Homebrew does not run as root"
        say "missing: $1; installing $3 with Homebrew"
        # shellcheck disable=SC2086 # a list of names
        brew install $3 || fail "$by_hand, for Homebrew failed"
    else
        fail "$by_hand, for there is neither apt-get nor Homebrew here"
    fi
}

install_with_apt() {
    if [ "$(id -u)" -eq 0 ]; then
        as_root="" how="as root"
    elif ! has sudo; then
        fail "$by_hand, for apt-get needs root and there is no sudo"
    elif [ -t 0 ]; then
        as_root="sudo" how="with sudo"
    else
        as_root="sudo -n" how="with sudo"
        sudo -n true 2>/dev/null || fail "$by_hand, for sudo wants a password and there is no terminal to ask"
    fi
    say "missing: $1; installing $2 with apt-get, $how"
    # A list that cannot be refreshed may still be good enough.
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q || say "apt-get update failed; trying with the lists that are here"
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $2 || fail "$by_hand, for apt-get failed"
}

need_pre_commit() {
    has pre-commit || install_packages "pre-commit" "pre-commit" "pre-commit"
    has pre-commit || fail "pre-commit is needed, and there is still none on PATH; see https://pre-commit.com"
}

# Builds the linter, unless RACEFREE_LINTER names one.
build_linter() {
    if [ -n "${RACEFREE_LINTER:-}" ]; then
        linter=$RACEFREE_LINTER
        [ -x "$linter" ] || fail "RACEFREE_LINTER is $linter, and there is no program of that name"
        return
    fi
    need_rust
    need_c_compiler
    cargo build --release --package racefree_cli --manifest-path "$root/Cargo.toml" --target-dir "$root/target" ||
        fail "the linter could not be built; what cargo said is above"
    linter=$root/target/release/racefree
}

# The libraries for the BEAM. Mix builds them too, but tests should not wait for that, and elsewhere there may be no cargo.
build_libraries() {
    # One by one, as mix does: together, the crates that they share would be built with what either wants of them.
    for library in racefree_nif racefree_lint_nif; do
        cargo build --release --package "$library" --manifest-path "$root/Cargo.toml" --target-dir "$root/target" ||
            fail "the library $library could not be built; what cargo said is above"
    done
}
