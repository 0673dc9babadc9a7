#!/usr/bin/env bash
# A rank maps nothing but the tensors of its own layers and its ramps (rank 0: and the embedding): looked up in /proc for
# every rank of a running job, with a sharded folder and with a GGUF file.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

layers=12 ranks=3
synthetic "$scratch/folder" "$layers" 256 1024 4 4 4096 4 F32 # a layer has 4 MiB
on 0 quantize "$scratch/folder" "$scratch/model.gguf" --type f32 --quiet || fail "quantize: code $?"

for model in "$scratch/folder" "$scratch/model.gguf"; do
    rm -rf "$scratch/out"
    mpirun -n "$ranks" "$OFFRAMP" eval --model "$model" --task "$demo/tasks/word_length.json" --shots 5 --threads 1 \
        --quiet --output "$scratch/out" </dev/null >"$scratch/log" 2>&1 &
    job=$!
    until [ -s "$scratch/out/journal.jsonl" ]; do # all ranks have loaded when the journal is begun
        kill -0 "$job" 2>/dev/null || { cat "$scratch/log"; fail "the job ended early"; }
        sleep 0.05
    done
    for ((rank = 0; rank < ranks; rank++)); do
        pid=$(rank_pid "$rank" eval)
        [ -n "$pid" ] || fail "rank $rank is not there"
        "$CHECK_RESIDENT" "$pid" "$model" $((rank * layers / ranks)) $(((rank + 1) * layers / ranks)) ||
            fail "rank $rank of $model"
    done
    pkill -KILL -f "$OFFRAMP eval .*$scratch"
    wait "$job" 2>/dev/null || true # it was killed
done
exit 0
