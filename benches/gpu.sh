#!/usr/bin/env bash
# All that needs a GPU, from a clone on a machine with one: `bash benches/gpu.sh [FOLDER]`. Tests and checks come
# first and decide the exit code; then the timings. Raw output goes to FOLDER (target/bench/results), one file a
# step; benches/RESULTS.md is written from it by hand.
#
# Needs the driver, the CUDA toolkit (nvcc on the PATH, or CUDA_HOME), a C++ compiler and Rust. PYTHON, if it has
# torch, trl, peft, datasets and liger-kernel, times the peer. PARTS="tests steps operator peer" chooses.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
out=${1:-target/bench/results}
parts=${PARTS:-tests steps operator peer}
python=${PYTHON:-python3}
mkdir -p "$out"
out=$(cd "$out" && pwd)
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
runner=$CARGO_TARGET_DIR/release/runner
failed=0

# step NAME COMMAND...: runs the command, shows what it prints and keeps it in NAME.txt.
step() {
    local name=$1
    shift
    printf '==> %s: %s\n' "$name" "$*"
    if ! "$@" 2>&1 | tee "$out/$name.txt"; then
        printf '==> FAILED: %s\n' "$name" >&2
        failed=1
    fi
}

wanted() {
    case " $parts " in *" $1 "*) true ;; *) false ;; esac
}

versions() {
    git rev-parse HEAD
    nvidia-smi --query-gpu=name,driver_version,memory.total,compute_cap,clocks.max.sm,power.limit --format=csv
    nvcc --version | tail -2
    rustc --version
}

# The quickstart in bf16 on the GPU, in a folder where nothing ran before, to the CPU's held-out figure.
quickstart() {
    local folder
    folder=$(mktemp -d)
    cp -r recipes "$folder/recipes"
    (cd "$folder" && "$runner" run recipes/quickstart.toml --set model.device=cuda --set model.dtype=bf16) || return 1
    awk '
        match($0, /"eval_rewards\/accuracies": *[0-9.eE+-]+/) {
            last = substr($0, RSTART, RLENGTH)
            sub(/.*: */, "", last)
        }
        END {
            printf "held-out reward accuracy %s\n", last
            exit !(last >= 0.9)
        }' "$folder/runs/quickstart/dpo/metrics.jsonl" || return 1
    rm -rf "$folder"
}

# The kernels' tests under NVIDIA's checker of memory accesses.
sanitizer() {
    local program
    program=$(cargo test --features cuda --lib --no-run --message-format=json 2>/dev/null |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -1)
    [ -x "$program" ] || {
        echo 'there is no test program' >&2
        return 1
    }
    compute-sanitizer --tool memcheck --leak-check no --error-exitcode 9 "$program" --test-threads=1 backend::
}

steps() {
    local shape kind rows recompute name
    for shape in llama-8b llama-1b qwen-0.5b; do
        for kind in dpo sft; do
            for rows in hh long; do
                for recompute in false true; do
                    name=$shape-$kind-$rows-$([ "$recompute" = true ] && echo recompute || echo keep)
                    step "runner-$name" "$runner" bench "benches/recipes/$shape.toml" --stage "$kind" --steps 4 --json \
                        --set "data.pairs.source=../../target/bench/$rows.jsonl" \
                        --set "defaults.gradient_checkpointing=$recompute"
                done
            done
        done
    done
}

# Micro-batches as large as the memory holds: the largest of these that does not run out.
peer() {
    local shape kind rows liger recompute batch name flags
    for shape in llama-8b llama-1b qwen-0.5b; do
        for kind in dpo sft; do
            for rows in hh long; do
                for liger in '' --liger; do
                    for recompute in '' --recompute; do
                        name=trl-$shape-$kind-$rows${liger:+-liger}${recompute:+-recompute}
                        flags="$liger $recompute --kind $kind --rows $rows"
                        for batch in 32 16 8 4 2 1; do
                            printf '==> %s, batch %s\n' "$name" "$batch"
                            # shellcheck disable=SC2086
                            "$python" benches/peer/trl_dpo.py "$shape" $flags --batch "$batch" \
                                >"$out/$name.txt" 2>"$out/$name.log" && break
                        done
                        tail -1 "$out/$name.txt"
                    done
                done
            done
        done
    done
}

step versions versions
if wanted tests; then
    step tests cargo test --features cuda
fi
step build cargo build --release --features cuda
"${PYTHON:-python3}" benches/recipes/make_rows.py
if wanted tests; then
    step quickstart quickstart
    if command -v compute-sanitizer >/dev/null; then
        step sanitizer sanitizer
    else
        echo '==> skipped: compute-sanitizer is not installed'
    fi
fi
if wanted steps; then
    steps
fi
if wanted operator; then
    step log-prob cargo bench --features cuda --bench log_prob
    step kernels cargo bench --features cuda --bench kernels
fi
if wanted peer; then
    if "$python" -c 'import torch, trl, peft, datasets, liger_kernel' 2>/dev/null; then
        peer
    else
        echo "==> skipped: $python has no torch, trl, peft, datasets and liger-kernel"
    fi
fi
exit "$failed"
