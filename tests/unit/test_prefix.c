/* test_prefix.c - which pages a scored prompt's prefix gets, what is fed of it, and when its pages go. */
#include "support.h"

#include "prefix.h"

enum { LONGEST = 5 * OR_PAGE };

/* Tokens that are all `first`, but for those of the last page, which are `last`. */
static const int32_t *tokens_of(int32_t first, int32_t last)
{
    static int32_t tokens[8][LONGEST];
    static int next;
    int32_t *made = tokens[next++ % 8];
    for (int i = 0; i < LONGEST; i++) made[i] = i < LONGEST - OR_PAGE ? first : last;
    return made;
}

static or_request request_of(const int32_t *tokens, size_t n, size_t n_shared)
{
    return (or_request){.tokens = tokens, .n_tokens = n, .n_shared = n_shared};
}

/* Feeds all of it, `most` rows at a time, and checks each rider. */
static void feed(or_prefix *prefix, or_pages *pages, const or_request *request, size_t most)
{
    or_feed made;
    size_t riders = prefix->n_riders;
    for (int32_t from = prefix->fed; or_prefix_waits(prefix); from += made.rider.rows) {
        or_prefix_feed(prefix, pages, 17, request, most, &made);
        assert_int_equal(made.rider.index, 17);
        assert_int_equal(made.rider.policy, -1);
        assert_true(made.rider.rows >= 1 && (size_t)made.rider.rows <= most);
        assert_int_equal(made.rider.step.position, from);
        assert_int_equal(made.rider.step.n_pages, (from + made.rider.rows + OR_PAGE - 1) / OR_PAGE);
        assert_int_equal(made.rider.step.sequence, 0);
        assert_false(or_step_asks(&made.rider.step, made.rider.rows));
        assert_ptr_equal(made.tokens, request->tokens + from);
        assert_ptr_equal(made.pages, prefix->pages);
        assert_int_equal(prefix->n_riders, ++riders);
        for (int32_t i = prefix->n_found; i < prefix->n_pages; i++) /* fed is what was begun as a whole */
            assert_true(pages->pages[prefix->pages[i]].fed == ((i + 1) * OR_PAGE <= prefix->fed));
    }
}

static void whole_pages_before_the_last_token_are_shared(void **state)
{
    (void)state;
    static const struct {
        size_t n, n_shared;
        int32_t pages;
    } cases[] = {{1, 0, 0},   {31, 31, 0}, {33, 31, 0}, {32, 32, 0}, /* the last one asks */
                 {33, 32, 1}, {64, 64, 1}, {65, 64, 2}, {65, 65, 2}, {LONGEST, 63, 1}};
    or_pages pages, none = {0};
    or_prefix prefix;
    assert_ok(or_pages_open(&pages, 6));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const or_request request = request_of(tokens_of(1, 2), cases[i].n, cases[i].n_shared);
        assert_ok(or_prefix_take(&prefix, &pages, &request));
        assert_int_equal(prefix.n_pages, cases[i].pages);
        assert_int_equal(prefix.n_found, 0);
        or_prefix_release(&prefix, &pages); /* not fed: nobody can find them */
        assert_int_equal(pages.n_free, 6);
        assert_ok(or_prefix_take(&prefix, &none, &request));
        assert_int_equal(prefix.n_pages, 0);
        or_prefix_release(&prefix, &none);
    }
    or_pages_close(&pages);
}

static void what_is_there_is_not_computed_again(void **state)
{
    (void)state;
    const or_request whole = request_of(tokens_of(1, 2), LONGEST, LONGEST),
                     other = request_of(tokens_of(1, 3), LONGEST, LONGEST),
                     part = request_of(tokens_of(1, 2), 2 * OR_PAGE + 7, 2 * OR_PAGE + 3);
    or_prefix a, b, c;
    or_pages pages;
    assert_ok(or_pages_open(&pages, 20));
    assert_ok(or_prefix_take(&a, &pages, &whole));
    assert_ok(or_prefix_take(&b, &pages, &part));
    assert_int_equal(a.n_pages, 4);
    assert_int_equal(b.n_found, 2);
    assert_false(or_prefix_waits(&b)); /* nothing to feed, but it cannot go before the other one has */
    assert_false(or_prefix_is_fed(&b, &pages));
    assert_true(or_prefix_is_fed(&a, &pages));
    feed(&a, &pages, &whole, 27);
    assert_true(or_prefix_is_fed(&b, &pages));
    assert_ok(or_prefix_take(&c, &pages, &other));
    assert_int_equal(c.n_found, 4); /* they part in the page of the last token */
    assert_memory_equal(a.pages, c.pages, 4 * sizeof *a.pages);
    assert_memory_equal(a.pages, b.pages, 2 * sizeof *a.pages);
    or_prefix_release(&a, &pages);
    or_prefix_release(&c, &pages);
    assert_int_equal(pages.n_idle, 2); /* b has the others */
    or_prefix_release(&b, &pages);
    assert_int_equal(pages.n_idle, 4);
    or_pages_close(&pages);
}

/* Of a prefix that does not fit what fits is shared; pages that nobody uses go to others, from its end. */
static void short_pages_are_no_reason_to_wait(void **state)
{
    (void)state;
    const or_request first = request_of(tokens_of(1, 1), LONGEST, LONGEST),
                     second = request_of(tokens_of(2, 2), LONGEST, LONGEST),
                     third = request_of(tokens_of(3, 3), LONGEST, 3 * OR_PAGE);
    or_prefix a, b, c;
    or_pages pages;
    assert_ok(or_pages_open(&pages, 6));
    assert_ok(or_prefix_take(&a, &pages, &first));
    feed(&a, &pages, &first, 1000);
    assert_ok(or_prefix_take(&b, &pages, &second));
    assert_int_equal(b.n_pages, 2);
    feed(&b, &pages, &second, 1);
    assert_ok(or_prefix_take(&c, &pages, &third));
    assert_int_equal(c.n_pages, 0);
    or_prefix_release(&c, &pages);
    or_prefix_release(&a, &pages);
    assert_ok(or_prefix_take(&c, &pages, &third));
    assert_int_equal(c.n_pages, 3);
    feed(&c, &pages, &third, 40);
    assert_ok(or_prefix_take(&a, &pages, &first)); /* its first page was used last, and is still there */
    assert_int_equal(a.n_found, 1);
    assert_int_equal(a.n_pages, 1);
    or_prefix_release(&a, &pages);
    or_prefix_release(&b, &pages);
    or_prefix_release(&c, &pages);
    assert_int_equal(or_pages_available(&pages), 6);
    or_pages_close(&pages);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_pages_before_the_last_token_are_shared),
        cmocka_unit_test(what_is_there_is_not_computed_again),
        cmocka_unit_test(short_pages_are_no_reason_to_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
