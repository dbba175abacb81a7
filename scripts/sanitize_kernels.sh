#!/usr/bin/env bash
# Builds the fused kernels with the address, undefined-behaviour and leak sanitizers, then with the
# thread sanitizer, and drives them through scripts/kernel_driver.cpp. Needs g++ or clang++ (CXX).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source=painn_ase/kernels/csrc
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

run() {
    local name=$1 sanitizers=$2 isa
    local flags=(-std=c++17 -O1 -g -fno-omit-frame-pointer "-fsanitize=$sanitizers"
        -fno-sanitize-recover=all -fno-math-errno -fno-trapping-math -ffp-contract=fast)
    declare -A options=([portable]="" [avx2]="" [avx512]="")
    local x86=()
    if [[ $(uname -m) == x86_64 ]]; then
        x86=(-DPAINN_X86=1)
        options[avx2]="-mavx2 -mfma"
        options[avx512]="-mavx512f -mavx512dq -mavx512vl -mavx512bw -mfma"
    fi
    for isa in portable avx2 avx512; do
        [[ $isa != portable && ${#x86[@]} == 0 ]] && continue
        # shellcheck disable=SC2086
        for network in kernel schnet; do
            "${CXX:-g++}" "${flags[@]}" "${x86[@]}" ${options[$isa]} \
                -c "$source/${network}_$isa.cpp" -o "$work/${network}_$isa.o"
        done
    done
    "${CXX:-g++}" "${flags[@]}" "${x86[@]}" -pthread "$source/dispatch.cpp" "$source/readout.cpp" \
        scripts/kernel_driver.cpp "$work"/*.o -o "$work/driver"
    printf '%s: ' "$name"
    "$work/driver"
}

run "address, undefined, leak" address,undefined,leak
run "thread" thread
