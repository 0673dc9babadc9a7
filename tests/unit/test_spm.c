/* test_spm.c - the SentencePiece BPE algorithm, on vocabularies small enough to merge by hand and against a
 * plain quadratic one.
 *
 * Pieces are written as "a b ab", ids in that order, and so are results; "_" stands for ▁ (U+2581).
 */
#include "support.h"

#include "tokenizer_internal.h"

#define SPACE   "\xe2\x96\x81"
#define E_ACUTE "\xc3\xa9"

enum { WORD = 64 };

/* The next word of `list`, with ▁ for _. */
static bool next_word(const char **list, char word[3 * WORD])
{
    char plain[WORD];
    int used;
    if (sscanf(*list, " %63s%n", plain, &used) != 1) return false;
    *list += used;
    size_t size = 0;
    for (const char *c = plain; *c; c++) {
        const char *piece = *c == '_' ? SPACE : (char[]){*c, '\0'};
        size += (size_t)snprintf(word + size, 3 * WORD - size, "%s", piece);
    }
    return true;
}

static or_piece_kind kind_of(const char *word)
{
    uint8_t byte;
    if (or_piece_is_byte(word, strlen(word), &byte)) return OR_PIECE_BYTE;
    if (word[0] == '#') return OR_PIECE_USER;
    return word[0] == '<' ? OR_PIECE_CONTROL : OR_PIECE_NORMAL;
}

/* A vocabulary that merges by text: a piece's rank is its place in the list. */
static or_tokenizer *make_by_text(const char *pieces)
{
    or_tokenizer *t = or_alloc(1, sizeof *t);
    char word[3 * WORD];
    size_t n = 0;
    t->kind = &or_tokenizer_kind_spm;
    t->by_text = t->prefix_space = t->fuse_unknown = true;
    t->unknown = t->bos = t->eos = -1;
    for (int byte = 0; byte < 256; byte++) t->bytes[byte] = -1;
    for (const char *at = pieces; next_word(&at, word);) n++;
    assert_ok(or_vocab_reserve(t, n, "test"));
    for (int32_t id = 0; next_word(&pieces, word); id++) {
        if (strcmp(word, "<unk>") == 0) t->unknown = id;
        assert_ok(or_vocab_set(t, id, word, strlen(word), kind_of(word), "test"));
        t->pieces[id].rank = (uint32_t)id;
    }
    assert_ok(or_vocab_index(t, "test"));
    assert_ok(or_vocab_index_merges(t));
    return t;
}

static int32_t id_of(const or_tokenizer *t, const char *word)
{
    int32_t id = or_vocab_token(t, word, strlen(word));
    if (id < 0) fail_msg("no piece \"%s\"", word);
    return id;
}

/* A vocabulary with listed merges: "a b  ab c" merges a with b first, then ab with c. */
static or_tokenizer *make_by_pairs(const char *pieces, const char *merges)
{
    or_tokenizer *t = make_by_text(pieces);
    char left[3 * WORD], right[3 * WORD], both[6 * WORD];
    t->by_text = false;
    for (uint32_t rank = 0; next_word(&merges, left) && next_word(&merges, right); rank++) {
        snprintf(both, sizeof both, "%s%s", left, right);
        or_merge merge = {id_of(t, left), id_of(t, right), id_of(t, both), rank};
        assert_ok(or_vocab_add_merge(t, &merge));
    }
    free(t->merge_slots);
    assert_ok(or_vocab_index_merges(t));
    return t;
}

/* The text gives these pieces. */
static void check(const or_tokenizer *t, const char *text, const char *expected)
{
    or_tokens tokens = {0};
    or_buffer got = {0}, wanted = {0};
    char word[3 * WORD];
    assert_ok(or_tokenizer_encode(t, text, strlen(text), &tokens));
    for (size_t i = 0; i < tokens.count; i++)
        assert_ok(or_buffer_printf(&got, " %s", or_tokenizer_piece(t, tokens.ids[i])));
    while (next_word(&expected, word)) assert_ok(or_buffer_printf(&wanted, " %s", word));
    assert_string_equal(got.size ? got.data : "", wanted.size ? wanted.data : "");
    or_buffer_free(&wanted);
    or_buffer_free(&got);
    or_tokens_free(&tokens);
}

static void check_with(or_tokenizer *t, const char *text, const char *expected)
{
    check(t, text, expected);
    or_tokenizer_close(t);
}

/* The pieces have this text. */
static void check_decode(const or_tokenizer *t, const char *pieces, const char *expected)
{
    or_tokens tokens = {0};
    char word[3 * WORD], *text;
    size_t size;
    while (next_word(&pieces, word)) assert_ok(or_tokens_add(&tokens, id_of(t, word)));
    assert_ok(or_tokenizer_decode(t, tokens.ids, tokens.count, &text, &size));
    assert_string_equal(text, expected);
    assert_int_equal(size, strlen(expected));
    free(text);
    or_tokens_free(&tokens);
}

static void the_lowest_rank_goes_first(void **state)
{
    (void)state;
    check_with(make_by_text("_ l o w e r lo low er _low"), "lower", "_low er");
    check_with(make_by_text("_ a b c ab bc"), "abc", "_ ab c");
    check_with(make_by_text("_ a b c bc ab"), "abc", "_ a bc");
    check_with(make_by_text("_ a b c d bc ab cd"), "abcd", "_ a bc d"); /* ab and cd are void by then */
    check_with(make_by_text("_ a aa aaaa"), "aaaaaaa", "_ aaaa aa a");
    check_with(make_by_text("_ a b _a _ab"), "ab", "_ab");
    check_with(make_by_text("_ a b _ab"), "ab", "_ a b"); /* no two pieces to make it from */
}

static void the_leftmost_of_equal_ranks_goes_first(void **state)
{
    (void)state;
    check_with(make_by_text("_ a aa"), "aaa", "_ aa a");
    or_tokenizer *t = make_by_text("_ a b ba ab");
    check(t, "aba", "_ a ba");
    t->pieces[id_of(t, "ba")].rank = t->pieces[id_of(t, "ab")].rank;
    check(t, "aba", "_ ab a");
    check(t, "babab", "_ ba ba b");
    or_tokenizer_close(t);
}

/* By text any two neighbours that spell a piece merge; by pairs only those that are listed. */
static void pairs_are_only_those_listed(void **state)
{
    (void)state;
    const char *pieces = "_ a b c ab bc abc";
    check_with(make_by_text(pieces), "abc", "_ abc");
    check_with(make_by_pairs(pieces, "a b  a bc"), "abc", "_ ab c");
    check_with(make_by_pairs(pieces, "b c  a b  a bc"), "abc", "_ abc");
    check_with(make_by_pairs(pieces, ""), "abc", "_ a b c");
    check_with(make_by_pairs(pieces, "a b  b c  a b"), "abc", "_ a bc"); /* given twice: the last counts */
}

/* SentencePiece merges characters that are no pieces; the tokenizers library does not. */
static void characters_without_a_piece_merge_by_text(void **state)
{
    (void)state;
    const char *pieces = "<unk> _ xy";
    check_with(make_by_text(pieces), "xyx", "_ xy <unk>");
    check_with(make_by_pairs(pieces, ""), "xyx", "_ <unk>");
}

static void unknown_characters_become_bytes_or_unknown(void **state)
{
    (void)state;
    check_with(make_by_text("<unk> _ a <0xC3> <0xA9>"), "a" E_ACUTE "a", "_ a <0xC3> <0xA9> a");
    check_with(make_by_text("<unk> _ a <0xC3>"), "a" E_ACUTE E_ACUTE "a" E_ACUTE, "_ a <unk> a <unk>");
    check_with(make_by_text("_ a <0xC3>"), "a" E_ACUTE "a", "_ a a");
    check_with(make_by_text("<unk> _ <0x78>"), "yxy", "_ <unk> <0x78> <unk>");
    or_tokenizer *t = make_by_text("<unk> _ a");
    t->fuse_unknown = false;
    check_with(t, "xyza", "_ <unk> <unk> <unk> a");
}

static void control_and_byte_pieces_are_plain_text(void **state)
{
    (void)state;
    check_with(make_by_text("<unk> _ s > <s>"), "<s>", "_ <unk> s >");
    check_with(make_by_text("<unk> _ s > s> <s>"), "<s>", "_ <unk> s>"); /* not merged into it */
    check_with(make_by_text("<unk> _ a <"), "a<", "_ a <unk>");
    check_with(make_by_text("_ 0 x A <0x3C> <0x3E> <0x0A>"), "<0x0A>", "_ <0x3C> 0 x 0 A <0x3E>");
}

static void user_pieces_are_whole_and_fixed(void **state)
{
    (void)state;
    const char *pieces = "<unk> _ a b c d # #a #abc #abd cd _# bc";
    check_with(make_by_text(pieces), "#abc", "_ #abc");
    check_with(make_by_text(pieces), "#abcd", "_ #abc d"); /* the longest, and not merged on */
    check_with(make_by_text(pieces), "#bcd", "_ # b cd");  /* not _# either */
    check_with(make_by_text(pieces), "cd#acd", "_ cd #a cd");
}

static void spaces_become_pieces(void **state)
{
    (void)state;
    or_tokenizer *t = make_by_text("_ a b _a __");
    check(t, "", "");
    check(t, " ", "__");
    check(t, "a", "_a");
    check(t, " a", "_ _a"); /* _a is better than __ */
    check(t, "a b ", "_a _ b _");
    check(t, SPACE "a", "_ _a");
    t->prefix_if_none = true;
    check(t, "a", "_a");
    check(t, " a", "_a");
    check(t, SPACE "a", "_a");
    check(t, "", "");
    t->prefix_space = false;
    check(t, "a", "a");
    check(t, " a", "_a");
    or_tokenizer_close(t);
}

static void decoding_drops_one_space_and_control_tokens(void **state)
{
    (void)state;
    or_tokenizer *t = make_by_text("<s> _ a b_ _c_d #e <0x20>");
    check_decode(t, "", "");
    check_decode(t, "_", "");
    check_decode(t, "_ _ a", " a");
    check_decode(t, "<s> _ a <s> _ a <s>", "a a");
    check_decode(t, "a b_ _c_d _", "ab  c d ");
    check_decode(t, "b_ #e", "b #e");
    check_decode(t, "<0x20> a", "a");
    t->prefix_space = false;
    check_decode(t, "_ a", " a");
    or_tokenizer_close(t);
}

static void broken_bytes_become_replacement_characters(void **state)
{
    (void)state;
#define BAD "\xef\xbf\xbd"
    or_tokenizer *t = make_by_text("<s> _ a <0xF0> <0x9F> <0x99> <0x82> <0xC3> <0xA9> <0x41>");
    check_decode(t, "_ <0xF0> <0x9F> <0x99> <0x82>", "\xf0\x9f\x99\x82");
    check_decode(t, "_ <0xF0> <0x9F> <0x99>", BAD BAD BAD);
    check_decode(t, "_ <0xF0> <0xC3> <0xA9> <0x41>", BAD E_ACUTE "A");
    check_decode(t, "_ <0xC3> a <0xA9>", BAD "a" BAD);
    check_decode(t, "<0xC3> <s> <0xA9>", BAD BAD);
    or_tokenizer_close(t);
}

/* The definition, word for word: look for the best pair, merge it, look again. */
static void merge_plainly(const or_tokenizer *t, const char *text, or_tokens *tokens)
{
    char words[256][WORD], both[2 * WORD];
    size_t n = 0;
    strcpy(words[n++], SPACE);
    for (; *text; text++) snprintf(words[n++], WORD, "%s", *text == ' ' ? SPACE : (char[]){*text, '\0'});
    for (;;) {
        size_t best = n;
        or_merge merge, lowest = {.rank = UINT32_MAX};
        for (size_t i = 0; i + 1 < n; i++) {
            const size_t length = (size_t)snprintf(both, sizeof both, "%s%s", words[i], words[i + 1]);
            if (!or_vocab_can_merge(t, id_of(t, words[i]), id_of(t, words[i + 1]), both, length, &merge))
                continue;
            if (merge.rank >= lowest.rank) continue;
            lowest = merge;
            best = i;
        }
        if (best == n) break;
        snprintf(words[best], WORD, "%s", or_tokenizer_piece(t, lowest.merged));
        n--;
        memmove(words[best + 1], words[best + 2], (n - best - 1) * sizeof *words);
    }
    for (size_t i = 0; i < n; i++) assert_ok(or_tokens_add(tokens, id_of(t, words[i])));
}

/* A third of all strings of _, a, b, c with two to four characters; ranks with many ties. */
static or_tokenizer *make_random(uint64_t *seed)
{
    or_buffer pieces = {0};
    assert_ok(or_buffer_puts(&pieces, "_ a b c"));
    for (int length = 2, count = 16; length <= 4; length++, count *= 4) {
        for (int code = 0; code < count; code++) {
            if (random_bits(seed) % 3) continue;
            assert_ok(or_buffer_puts(&pieces, " "));
            for (int i = 0, digits = code; i < length; i++, digits /= 4)
                assert_ok(or_buffer_append(&pieces, &"_abc"[digits % 4], 1));
        }
    }
    or_tokenizer *t = make_by_text(pieces.data);
    for (size_t i = 0; i < t->n_pieces; i++) t->pieces[i].rank = random_bits(seed) % 20;
    or_buffer_free(&pieces);
    return t;
}

static void random_texts_equal_the_plain_algorithm(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (int round = 0; round < 20; round++) {
        or_tokenizer *t = make_random(&seed);
        for (int i = 0; i < 40; i++) {
            char text[201];
            const size_t length = 1 + random_bits(&seed) % 200;
            or_tokens fast = {0}, plain = {0};
            for (size_t j = 0; j < length; j++) text[j] = " abc"[random_bits(&seed) % 4];
            text[length] = '\0';
            assert_ok(or_tokenizer_encode(t, text, length, &fast));
            merge_plainly(t, text, &plain);
            assert_int_equal(fast.count, plain.count);
            assert_memory_equal(fast.ids, plain.ids, plain.count * sizeof *plain.ids);
            or_tokens_free(&fast);
            or_tokens_free(&plain);
        }
        or_tokenizer_close(t);
    }
}

/* A quadratic merge would hardly come back from this one. */
static void long_texts(void **state)
{
    (void)state;
    enum { LENGTH = 1 << 18 };
    or_tokenizer *t = make_by_text("_ a aa aaaa");
    char *text = or_alloc(LENGTH, 1);
    or_tokens tokens = {0};
    memset(text, 'a', LENGTH);
    assert_ok(or_tokenizer_encode(t, text, LENGTH, &tokens));
    assert_int_equal(tokens.count, 1 + LENGTH / 4);
    for (size_t i = 1; i < tokens.count; i++) assert_int_equal(tokens.ids[i], 3);
    or_tokens_free(&tokens);
    free(text);
    or_tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lowest_rank_goes_first),
        cmocka_unit_test(the_leftmost_of_equal_ranks_goes_first),
        cmocka_unit_test(pairs_are_only_those_listed),
        cmocka_unit_test(characters_without_a_piece_merge_by_text),
        cmocka_unit_test(unknown_characters_become_bytes_or_unknown),
        cmocka_unit_test(control_and_byte_pieces_are_plain_text),
        cmocka_unit_test(user_pieces_are_whole_and_fixed),
        cmocka_unit_test(spaces_become_pieces),
        cmocka_unit_test(decoding_drops_one_space_and_control_tokens),
        cmocka_unit_test(broken_bytes_become_replacement_characters),
        cmocka_unit_test(random_texts_equal_the_plain_algorithm),
        cmocka_unit_test(long_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
