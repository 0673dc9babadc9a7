/* test_pages.c - pages against a naive model of them, which knows every page's whole prefix and looks at
 * all of them. */
#include "support.h"

#include "pages.h"

enum { PAGES = 24, DEEP = 4, OWNERS = 6, LONG = 8 };

/* What the model knows of a page: `prefix` is its way from the first page of its prefix, one character per
 * page. */
typedef struct model_page {
    int uses;
    bool shared, fed;
    char prefix[DEEP + 1];
    long idle_since; /* of shared ones that nobody uses */
} model_page;

/* A continuation: its pages, those of a prefix first. */
typedef struct owner {
    int32_t pages[LONG];
    int n_pages, n_shared, n_found;
    char prefix[DEEP + 1];
} owner;

typedef struct fixture {
    or_pages pages;
    model_page model[PAGES];
    owner owners[OWNERS];
    size_t n_pages;
    long clock;
    uint64_t seed;
} fixture;

static int pick(fixture *f, int below)
{
    return (int)(random_bits(&f->seed) % (unsigned)below);
}

/* The tokens of a page whose prefix ends with this character: they differ in the last one only. */
static const int32_t *tokens_of(char last)
{
    static int32_t tokens[OR_PAGE];
    tokens[OR_PAGE - 1] = last;
    return tokens;
}

static bool is_idle(const model_page *page)
{
    return page->shared && page->uses == 0;
}

static bool is_free(const model_page *page)
{
    return !page->shared && page->uses == 0;
}

static void assert_counts(const fixture *f)
{
    size_t free = 0, idle = 0;
    for (size_t i = 0; i < f->n_pages; i++) {
        free += is_free(&f->model[i]);
        idle += is_idle(&f->model[i]);
        assert_int_equal(f->pages.pages[i].uses, f->model[i].uses);
        assert_int_equal(f->pages.pages[i].shared, f->model[i].shared);
    }
    assert_int_equal(f->pages.n_free, free);
    assert_int_equal(f->pages.n_idle, idle);
    assert_int_equal(or_pages_available(&f->pages), free + idle);
}

static int32_t model_find(const fixture *f, const char *prefix, size_t length)
{
    for (size_t i = 0; i < f->n_pages; i++)
        if (f->model[i].shared && strlen(f->model[i].prefix) == length &&
            strncmp(f->model[i].prefix, prefix, length) == 0)
            return (int32_t)i;
    return -1;
}

/* Of a prefix that loses a page nothing longer may be left, or it would be found behind what is not there. */
static void model_forget(fixture *f, int32_t page)
{
    const size_t length = strlen(f->model[page].prefix);
    for (size_t i = 0; i < f->n_pages; i++)
        if (f->model[i].shared && strlen(f->model[i].prefix) > length)
            assert_true(strncmp(f->model[i].prefix, f->model[page].prefix, length) != 0);
    f->model[page] = (model_page){0};
}

static int32_t take(fixture *f)
{
    int32_t oldest = -1;
    bool any_free = false;
    for (size_t i = 0; i < f->n_pages; i++) {
        any_free |= is_free(&f->model[i]);
        if (is_idle(&f->model[i]) && (oldest < 0 || f->model[i].idle_since < f->model[oldest].idle_since))
            oldest = (int32_t)i;
    }
    const int32_t page = or_pages_take(&f->pages);
    assert_true(page >= 0 && (size_t)page < f->n_pages);
    if (any_free)
        assert_true(is_free(&f->model[page]));
    else
        assert_int_equal(page, oldest);
    if (!any_free) model_forget(f, page);
    f->model[page].uses = 1;
    return page;
}

/* Those of the prefix that are there, in order; as the model says. */
static void find_prefix(fixture *f, owner *o)
{
    for (; o->n_found < o->n_shared; o->n_found++) {
        const int at = o->n_found;
        const int32_t expected = model_find(f, o->prefix, (size_t)at + 1),
                      found =
                          or_pages_find(&f->pages, at > 0 ? o->pages[at - 1] : -1, tokens_of(o->prefix[at]));
        assert_int_equal(found, expected);
        if (found < 0) return;
        f->model[found].uses++;
        o->pages[at] = found;
    }
}

static void release_from_end(fixture *f, owner *o, int n_pages)
{
    for (int i = n_pages; i-- > 0;) {
        model_page *page = &f->model[o->pages[i]];
        or_pages_release(&f->pages, o->pages[i]);
        if (--page->uses > 0) continue;
        page->idle_since = ++f->clock;
        if (page->shared && !page->fed) model_forget(f, o->pages[i]);
    }
    *o = (owner){0};
}

/* A continuation begins, if there is room for it. */
static void begin(fixture *f, owner *o)
{
    o->n_shared = pick(f, DEEP + 1);
    o->n_pages = o->n_shared + pick(f, LONG - DEEP + 1);
    for (int i = 0; i < o->n_shared; i++) o->prefix[i] = (char)('a' + pick(f, 2));
    find_prefix(f, o);
    if (or_pages_available(&f->pages) < (size_t)(o->n_pages - o->n_found)) {
        release_from_end(f, o, o->n_found);
        return;
    }
    for (int i = o->n_found; i < o->n_pages; i++) {
        o->pages[i] = take(f);
        if (i >= o->n_shared) continue;
        or_pages_share(&f->pages, o->pages[i], i > 0 ? o->pages[i - 1] : -1, tokens_of(o->prefix[i]));
        f->model[o->pages[i]].shared = true;
        memcpy(f->model[o->pages[i]].prefix, o->prefix, (size_t)i + 1);
    }
}

/* It feeds its own part of the prefix, once others have fed theirs. */
static void feed(fixture *f, owner *o)
{
    for (int i = 0; i < o->n_found; i++)
        if (!f->model[o->pages[i]].fed) return;
    for (int i = o->n_found; i < o->n_shared; i++)
        f->pages.pages[o->pages[i]].fed = f->model[o->pages[i]].fed = true;
}

static void random_continuations_agree_with_the_model(void **state)
{
    (void)state;
    size_t evicted = 0, found = 0;
    for (uint64_t round = 0; round < 400; round++) {
        fixture f = {.seed = round, .n_pages = 1 + round % PAGES};
        assert_ok(or_pages_open(&f.pages, f.n_pages));
        for (int step = 0; step < 200; step++) {
            owner *o = &f.owners[pick(&f, OWNERS)];
            if (o->n_pages == 0)
                begin(&f, o);
            else if (pick(&f, 2))
                feed(&f, o);
            else
                release_from_end(&f, o, o->n_pages);
            found += o->n_found > 0;
            evicted += f.pages.n_free == 0 && f.pages.n_idle > 0;
            assert_counts(&f);
        }
        for (int i = 0; i < OWNERS; i++) release_from_end(&f, &f.owners[i], f.owners[i].n_pages);
        assert_int_equal(or_pages_available(&f.pages), f.n_pages);
        or_pages_close(&f.pages);
    }
    assert_true(found > 1000 && evicted > 1000); /* it did try what it is about */
}

/* One page is one bucket: what is found is told by tokens and parent, not by the hash. */
static void equal_hashes_are_told_apart(void **state)
{
    (void)state;
    or_pages pages;
    assert_ok(or_pages_open(&pages, 2));
    const int32_t first = or_pages_take(&pages);
    or_pages_share(&pages, first, -1, tokens_of('a'));
    assert_int_equal(or_pages_find(&pages, -1, tokens_of('b')), -1);
    assert_int_equal(or_pages_find(&pages, first, tokens_of('a')), -1);
    const int32_t second = or_pages_take(&pages);
    or_pages_share(&pages, second, first, tokens_of('a'));
    assert_int_equal(or_pages_find(&pages, first, tokens_of('a')), second);
    assert_int_equal(or_pages_find(&pages, -1, tokens_of('a')), first);
    assert_int_equal(or_pages_find(&pages, second, tokens_of('a')), -1);
    or_pages_close(&pages);
}

/* A page that is taken for something else loses its name; what is shared under it later is another page. */
static void evicted_pages_are_not_found(void **state)
{
    (void)state;
    or_pages pages;
    assert_ok(or_pages_open(&pages, 1));
    const int32_t page = or_pages_take(&pages);
    or_pages_share(&pages, page, -1, tokens_of('a'));
    pages.pages[page].fed = true;
    const uint64_t number = pages.pages[page].number;
    or_pages_release(&pages, page);
    assert_int_equal(pages.n_idle, 1);
    assert_int_equal(or_pages_take(&pages), page);
    assert_int_equal(or_pages_find(&pages, -1, tokens_of('a')), -1);
    or_pages_share(&pages, page, -1, tokens_of('a'));
    assert_false(pages.pages[page].fed);
    assert_true(pages.pages[page].number > number);
    or_pages_release(&pages, page); /* never fed: it holds nothing */
    assert_int_equal(pages.n_free, 1);
    assert_int_equal(or_pages_find(&pages, -1, tokens_of('a')), -1);
    or_pages_close(&pages);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_continuations_agree_with_the_model),
        cmocka_unit_test(equal_hashes_are_told_apart),
        cmocka_unit_test(evicted_pages_are_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
