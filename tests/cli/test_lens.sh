#!/usr/bin/env bash
# offramp lens against an independent f32 implementation, at every layer: tokens equal where the oracle's gap is
# above 1e-4, top_prob and gap within 1e-4, cosines within 1e-3, logits within 2e-3. On 1 and 2, or 1 and 3 ranks. That
# is so with the reference kernels; those that round activations as the weights are (the default where there are any) may
# be as far off as bf16 is: 0.02, 0.2 in a logit.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

# check MODEL ORACLE RANKS: with both
check() {
    compare "$1" "$2" "$3" reference 1e-4 1e-3 2e-3
    compare "$1" "$2" "$3" "" 0.02 0.02 0.2
}

# compare MODEL ORACLE RANKS KERNELS TOLERANCE(probability) TOLERANCE(cosine) TOLERANCE(logit)
compare() {
    jq -c '{id: input_line_number, tokens: .ids}' "$2" >"$scratch/in.jsonl"
    on "$3" lens ${4:+--kernels "$4"} --model "$1" --input "$scratch/in.jsonl" --output "$scratch/out.jsonl" --quiet || fail "lens: code $?"
    [ "$(wc -l <"$scratch/in.jsonl")" -eq "$(wc -l <"$scratch/out.jsonl")" ] || fail "prompts are missing"
    jq -n --argjson p "$5" --argjson c "$6" --argjson l "$7" --slurpfile want "$2" --slurpfile got "$scratch/out.jsonl" '
        def near(a; b; t): (a - b | fabs) <= t;
        def layer(w; g): w.layer == g.layer and (w.gap <= $p or w.token == g.token)
            and near(w.top_prob; g.top_prob; $p) and near(w.gap; g.gap; $p)
            and near(w.cos_attn; g.cos_attn; $c) and near(w.cos_mlp; g.cos_mlp; $c)
            and near(w.cos_hidden; g.cos_hidden; $c);
        [range($want | length) as $i | $want[$i] as $w | $got[$i] as $g
            | ($w.layers | length) == ($g.layers | length) and $w.ids == $g.tokens
            and all(range($w.layers | length); layer($w.layers[.]; $g.layers[.]))
            and all(range(10); near($w.logits_top10[.][1]; $g.logits_top10[.][1]; $l))
            and near($w.logsumexp; $g.logsumexp; $l)] | all' >"$scratch/verdict"
    [ "$(cat "$scratch/verdict")" = true ] || fail "$1 on $3 ranks, kernels \"$4\", does not agree with $2"
}

check "$demo/model" "$SOURCE/tests/data/features-offramp-demo-16l.jsonl" 1
check "$demo/model" "$SOURCE/tests/data/features-offramp-demo-16l.jsonl" 2

need_data models/TinyStories-656K
need_data oracles/features-TinyStories-656K.jsonl
check "$DATA/models/TinyStories-656K" "$DATA/oracles/features-TinyStories-656K.jsonl" 1
check "$DATA/models/TinyStories-656K" "$DATA/oracles/features-TinyStories-656K.jsonl" 2

for model in tiny-opt-random tiny-opt-350m-layout-random; do # random weights in OPT's two layouts
    need_data models/$model
    need_data oracles/features-$model.jsonl
    check "$DATA/models/$model" "$DATA/oracles/features-$model.jsonl" 1
    check "$DATA/models/$model" "$DATA/oracles/features-$model.jsonl" 3
done
