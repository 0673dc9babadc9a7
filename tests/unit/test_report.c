/* test_report.c - the parts of a report that need no gnuplot: escapes, embedding, quantiles, and what is
 * read. */
#include "support.h"

#include "report_internal.h"
#include "report_plots.h"

#include <math.h>

static or_report *open_report(void)
{
    or_report *report = NULL;
    assert_ok(or_report_open(&report));
    return report;
}

/* ---- text ---------------------------------------------------------------------------------------------- */

static void texts_are_escaped(void **state)
{
    (void)state;
    static const struct {
        or_status (*escape)(or_buffer *, const char *);
        const char *text, *escaped;
    } cases[] = {
        {or_html_escape, "a<b> & \"c\" 'd'", "a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;"},
        {or_html_escape, "é @ 1.0", "é @ 1.0"},
        {or_md_escape, "a_b|c*<d>`\ne", "a\\_b\\|c\\*\\<d\\>\\` e"},
        {or_tex_escape, "a_b 5% & #1 $x ^2 ~ \\y",
         "a\\_b 5\\% \\& \\#1 \\$x \\textasciicircum{}2 \\textasciitilde{} "
         "\\textbackslash{}y"},
        {or_tex_escape, "0.5 ± 0.1", "0.5 $\\pm$ 0.1"},
        {or_tex_escape, "[é]*--", "{[}{[}U+00E9]]{*}{-}{-}"},
        {or_plots_quote, "it's `date`\n\"x\"", "'it’s ’date’ ’x’'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        or_buffer out = {0};
        assert_ok(cases[i].escape(&out, cases[i].text));
        assert_string_equal(out.data, cases[i].escaped);
        or_buffer_free(&out);
    }
}

/* As gnuplot writes it, in short. */
static const char drawn[] =
    "<?xml version=\"1.0\"?>\n<svg \n width=\"360\" height=\"240\"\n viewBox=\"0 0 360 240\"\n"
    " xmlns=\"http://www.w3.org/2000/svg\"\n xmlns:xlink=\"http://www.w3.org/1999/xlink\"\n>\n"
    "<title>Gnuplot</title>\n<desc>Produced by GNUPLOT</desc>\n<g id=\"gnuplot_canvas\">"
    "<defs><circle id='gpDot' r='1'/><use xlink:href='#gpDot' id='gpPt5'/><filter id='f'/></defs>"
    "<path stroke='black' filter=\"url(#f)\"/><text fill=\"black\">black</text>"
    "<path stroke='rgb(  0,   0,   0)'/><use xlink:href='#gpDot' color='rgb(213,  94,   0)'/></g></svg>\n";

static void ids_are_prefixed_and_black_is_the_pages(void **state)
{
    (void)state;
    or_buffer out = {0};
    assert_ok(or_svg_embed(drawn, strlen(drawn), "p7-", "a < b", &out));
    static const char *const there[] = {"aria-label=\"a &lt; b\"",
                                        "<title>a &lt; b</title>",
                                        "viewBox=\"0 0 360 240\"",
                                        "id=\"p7-gnuplot_canvas\"",
                                        "id='p7-gpDot'",
                                        "href='#p7-gpDot'",
                                        "url(#p7-f)",
                                        "stroke='currentColor'",
                                        "fill=\"currentColor\">black</text>",
                                        "rgb(213,  94,   0)"};
    static const char *const gone[] = {"http",     "<?xml",         "Gnuplot", "GNUPLOT", "'black'",
                                       "rgb(  0,", "width=\"360\"", "id='gp",  "'#gp"};
    for (size_t i = 0; i < sizeof there / sizeof *there; i++)
        if (!strstr(out.data, there[i])) fail_msg("%s is not in %s", there[i], out.data);
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++)
        if (strstr(out.data, gone[i])) fail_msg("%s is still in %s", gone[i], out.data);
    or_buffer_free(&out);
    assert_fails(or_svg_embed("nothing", 7, "p-", "x", &out), OR_ERR_FAILED, "no SVG that is known");
    or_buffer_free(&out);
}

static void definitions_that_nobody_uses_are_left_out(void **state)
{
    (void)state;
    static const char plain[] = "<svg viewBox=\"0 0 3 2\"><defs><circle id='gpDot'/></defs><path/></svg>";
    or_buffer out = {0};
    assert_ok(or_svg_embed(plain, strlen(plain), "p-", "x", &out));
    assert_null(strstr(out.data, "gpDot"));
    assert_non_null(strstr(out.data, "<path/></svg>"));
    or_buffer_free(&out);
}

/* ---- quantiles ----------------------------------------------------------------------------------------- */

static void quantiles_are_exact_to_a_bin(void **state)
{
    (void)state;
    uint32_t *counts = calloc(OR_DEPTH_BINS, sizeof *counts);
    const double bin = 1.0 / OR_DEPTH_BINS;
    assert_non_null(counts);
    assert_true(isnan(or_depth_quantile(counts, 0.5)));
    for (int b = 0; b < OR_DEPTH_BINS; b++) counts[b] = 3; /* uniform in [0, 1] */
    assert_int_equal(or_depth_count(counts), 3 * OR_DEPTH_BINS);
    for (int q = 0; q <= 20; q++) assert_near(or_depth_quantile(counts, q / 20.0), q / 20.0, bin);
    memset(counts, 0, OR_DEPTH_BINS * sizeof *counts);
    counts[100] = 1; /* 1, then 9 at the other end: the lowest tenth is the one */
    counts[OR_DEPTH_BINS - 1] = 9;
    assert_near(or_depth_quantile(counts, 0.1), 100.5 * bin, 1e-12);
    assert_near(or_depth_quantile(counts, 0.11), 1 - bin / 2, 1e-12);
    assert_near(or_depth_quantile(counts, 0), 100.5 * bin, 1e-12);
    free(counts);
}

/* ---- reading ------------------------------------------------------------------------------------------- */

static const or_cell *find_row(const or_table *table, const char *group, const char *task, const char *policy)
{
    for (size_t i = 0; i < table->n_rows; i++) {
        const or_cell *row = or_table_row(table, i);
        if (strcmp(row[OR_RESULT_GROUP].text, group) == 0 && strcmp(row[OR_RESULT_TASK].text, task) == 0 &&
            strcmp(row[OR_RESULT_POLICY].text, policy) == 0)
            return row;
    }
    fail_msg("no row of %s, %s, %s", group, task, policy);
    return NULL;
}

static void studies_are_read_and_added_up(void **state)
{
    (void)state;
    or_report *report = open_report();
    assert_ok(or_report_add(report, source_path("tests/data/study")));
    assert_ok(or_report_finish(report));
    assert_int_equal(report->results.n_rows, 12);
    assert_int_equal(report->policies.n_rows, 2);
    assert_int_equal(report->features.n_rows, 2);
    assert_int_equal(report->transfer.n_rows, 4);
    assert_true(report->checked == 60 && report->differ == 0);
    const or_cell *svm = find_row(&report->results, "rules", "word_length", "svm");
    assert_near(svm[OR_RESULT_OF_ORACLE].number, 0.3 / 0.5, 1e-12);
    assert_string_equal(svm[OR_RESULT_LABEL].text, "svm"); /* it was trained on its own group */
    /* of two tasks of 100 each: 0.89 and 0.39; one task alone has no total */
    assert_int_equal(report->totals.n_rows, 4);
    const or_cell *total = find_row(&report->totals, "rules", "all tasks", "svm");
    const double a = find_row(&report->results, "rules", "word_length", "svm")[OR_RESULT_ERROR].number;
    const double b = find_row(&report->results, "rules", "next_item", "svm")[OR_RESULT_ERROR].number;
    assert_true(total[OR_RESULT_N].number == 200);
    assert_near(total[OR_RESULT_ACCURACY].number, 0.64, 1e-12);
    assert_near(total[OR_RESULT_ERROR].number, sqrt(a * a + b * b) / 2, 1e-12);
    /* equal means: (2 * 99 * 1.1) / 199 */
    assert_near(total[OR_RESULT_EXIT_VAR].number, 2 * 99 * 1.1 / 199, 1e-9);
    or_report_close(report);
}

/* The fixture's instance i is settled from layer 1 + i % 4 on. */
static void traces_are_counted(void **state)
{
    (void)state;
    or_report *report = open_report();
    assert_ok(or_report_add(report, source_path("tests/data/study/traces/word_length-2-test.csv")));
    assert_int_equal(report->n_models, 1);
    assert_int_equal(report->n_oracles, 1);
    const uint64_t exits[] = {0, 8, 8, 7, 7};
    assert_memory_equal(report->oracles[0].exits, exits, sizeof exits);
    const or_report_model *m = &report->models[0];
    assert_int_equal(m->traced, 30);
    for (int layer = 0; layer < 4; layer++)
        for (int measure = 0; measure < OR_DEPTH_MEASURES; measure++) {
            const uint64_t settled = or_depth_count(m->depth[layer][measure][1]);
            assert_int_equal(settled + or_depth_count(m->depth[layer][measure][0]), 30);
            assert_int_equal(settled, layer == 0 ? 8 : layer == 1 ? 16 : layer == 2 ? 23 : 30);
        }
    assert_true(or_depth_quantile(m->depth[0][OR_DEPTH_TOP_PROB][1], 0) >= 0.5);
    assert_true(or_depth_quantile(m->depth[0][OR_DEPTH_TOP_PROB][0], 1) <= 0.3);
    or_report_close(report);
}

/* Half of the time rank 0 computes, then it waits; rank 1 computes all along. */
static void timelines_are_shared_out_to_bins(void **state)
{
    (void)state;
    static const char text[] =
        "{\"displayTimeUnit\": \"ms\",\n \"otherData\": {\"ranks\": [{\"host\": \"a\"}, {\"host\": "
        "\"b\"}]},\n"
        " \"traceEvents\": [\n"
        "{\"ph\": \"M\", \"pid\": 1, \"name\": \"process_name\", \"args\": {\"name\": \"rank 0, a\"}},\n"
        "{\"ph\": \"X\", \"pid\": 3, \"ts\": 0, \"dur\": 2000000, \"name\": \"a task\"},\n"
        "{\"ph\": \"X\", \"pid\": 1, \"ts\": 0, \"dur\": 1000000, \"name\": \"busy\"},\n"
        "{\"ph\": \"X\", \"pid\": 1, \"ts\": 1000000, \"dur\": 1000000, \"name\": \"wait\"},\n"
        "{\"ph\": \"X\", \"pid\": 2, \"ts\": 0, \"dur\": 2000000, \"name\": \"busy\"}\n]}\n";
    const char *path = path_in(scratch_folder(), "lanes.json");
    or_report *report = open_report();
    put_text(path, text);
    assert_ok(or_report_add(report, path));
    const or_lanes *lanes = &report->lanes[0];
    assert_near(lanes->seconds, 2, 1e-12);
    assert_string_equal(lanes->names[0], "rank 0, a");
    assert_string_equal(lanes->names[1], "rank 1");
    assert_int_equal(lanes->n_runs, 1);
    for (int b = 0; b < OR_LANE_BINS; b++) {
        assert_near(lanes->busy[b], b < OR_LANE_BINS / 2 ? 1 : 0, 1e-6);
        assert_near(lanes->wait[b], b < OR_LANE_BINS / 2 ? 0 : 1, 1e-6);
        assert_near(lanes->busy[OR_LANE_BINS + b], 1, 1e-6);
    }
    or_report_close(report);
}

/* ---- printing ------------------------------------------------------------------------------------------ */

static void columns_are_printed_where_they_say_something(void **state)
{
    (void)state;
    or_report *report = open_report();
    bool visible[OR_RESULT_COLUMNS];
    or_buffer text = {0};
    assert_ok(or_report_add(report, source_path("tests/data/study")));
    assert_true(or_table_visible(&report->results, visible));
    assert_false(visible[OR_RESULT_SOURCE] || visible[OR_RESULT_MODEL]); /* all of one */
    assert_true(visible[OR_RESULT_GROUP] && visible[OR_RESULT_SHOTS] && visible[OR_RESULT_TRAINED]);
    assert_false(visible[OR_RESULT_ERROR] || visible[OR_RESULT_LABEL] || visible[OR_RESULT_EXACT]);
    assert_ok(or_table_cell(&report->results, 2, OR_RESULT_ACCURACY, &text)); /* svm on word_length */
    assert_string_equal(text.data, "0.8900 ± 0.0314");
    assert_ok(or_table_cell(&report->results, 2, OR_RESULT_SAVED, &text));
    assert_string_equal(text.data, "30.0 %");
    assert_ok(or_table_cell(&report->results, 0, OR_RESULT_AGREEMENT, &text));
    assert_string_equal(text.data, "-");
    assert_ok(or_table_cell(&report->policies, 1, OR_POLICY_THRESHOLD, &text));
    assert_string_equal(text.data, "never fires");
    or_buffer_free(&text);
    or_report_close(report);
}

/* The same folder twice: its policies are told apart by where they come from, full depth is not. */
static void policies_of_two_inputs_have_two_labels(void **state)
{
    (void)state;
    or_report *report = open_report();
    assert_ok(or_report_add(report, source_path("tests/data/study")));
    assert_ok(or_report_add(report, source_path("tests/data/study")));
    assert_ok(or_report_finish(report));
    assert_string_equal(or_table_row(&report->results, 0)[OR_RESULT_LABEL].text, "full");
    assert_string_equal(or_table_row(&report->results, 2)[OR_RESULT_LABEL].text, "svm (study)");
    assert_string_equal(or_table_row(&report->results, 14)[OR_RESULT_LABEL].text, "svm (study (2))");
    or_report_close(report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_escaped),
        cmocka_unit_test(ids_are_prefixed_and_black_is_the_pages),
        cmocka_unit_test(definitions_that_nobody_uses_are_left_out),
        cmocka_unit_test(quantiles_are_exact_to_a_bin),
        cmocka_unit_test(studies_are_read_and_added_up),
        cmocka_unit_test(traces_are_counted),
        cmocka_unit_test(timelines_are_shared_out_to_bins),
        cmocka_unit_test(columns_are_printed_where_they_say_something),
        cmocka_unit_test(policies_of_two_inputs_have_two_labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
