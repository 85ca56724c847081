#!/bin/sh
# What an editor with Taplo (Even Better TOML) makes of recipes, from the repository's root:
#
#   tests/interop/taplo_check.sh
#
# - every shipped recipe, and every one under tests/recipes/valid/, passes its `#:schema` line;
# - every recipe under tests/recipes/invalid/ is flagged, unless its second line says
#   `# not for a schema` (what is wrong is a file or a name, which no schema sees): then it passes;
# - the language server completes the keys of a stage with their docs (taplo_lsp.py).
#
# Takes `taplo` from PATH, else `npx @taplo/cli`. The builds of npm and PyPI have no language server;
# npm's `@taplo/lsp` is one, and `cargo install taplo-cli --features lsp` builds a `taplo` with one.
# With npm alone:
#
#   npm install --prefix DIR @taplo/cli @taplo/lsp
#   PATH=DIR/node_modules/.bin:$PATH NODE_PATH=DIR/node_modules tests/interop/taplo_check.sh
#
# What cannot run is skipped, and said.
set -u

if command -v taplo >/dev/null; then
    taplo=taplo
elif command -v npx >/dev/null && npx --no-install @taplo/cli --version >/dev/null 2>&1; then
    taplo="npx --no-install @taplo/cli"
else
    echo "skipped: neither \`taplo\` nor \`npx @taplo/cli\` is installed (npm install @taplo/cli)"
    exit 0
fi

failed=0
accepted=0
flagged=0

# lint FILE: whether Taplo accepts it
lint() {
    $taplo lint "$1" >/dev/null 2>&1
}

for recipe in recipes/*.toml tests/recipes/valid/*.toml tests/recipes/invalid/*.toml; do
    [ -e "$recipe" ] || continue
    case "$recipe" in
        tests/recipes/invalid/*)
            if [ "$(sed -n 2p "$recipe")" = "# not for a schema" ]; then expect=pass; else expect=flag; fi ;;
        *) expect=pass ;;
    esac
    if [ "$(head -c 9 "$recipe")" != "#:schema " ]; then
        echo "FAILED $recipe: its first line names no schema"
        failed=1
    elif lint "$recipe"; then
        if [ $expect = pass ]; then accepted=$((accepted + 1)); else echo "FAILED $recipe is not flagged"; failed=1; fi
    else
        if [ $expect = flag ]; then flagged=$((flagged + 1)); else echo "FAILED $recipe is flagged"; failed=1; fi
    fi
done
echo "accepted $accepted recipes, flagged $flagged"

here=$(dirname "$0")
complete() {
    python3 "$here/taplo_lsp.py" schemas/recipe.schema.json "$@" || failed=1
}

if ! command -v python3 >/dev/null; then
    echo "skipped: no python3 to drive a language server"
else
    echo "language server of $taplo:"
    # shellcheck disable=SC2086
    complete $taplo
    echo "language server of @taplo/lsp:"
    if node -e 'require.resolve("@taplo/lsp")' 2>/dev/null; then
        complete node "$here/taplo_stdio.mjs"
    else
        echo "skipped: @taplo/lsp is not installed, or not in NODE_PATH"
    fi
fi
exit $failed
