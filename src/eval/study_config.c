/* study_config.c - reading a study's config, and its tasks. */
#include "study.h"

#include "file.h"

#include <glob.h>
#include <math.h>
#include <string.h>
#include <xxhash.h>

/* Refuses a member that is none of the names [.. NULL]: a misspelt one would change what is studied. */
static or_status check_members(const cJSON *object, const char *const *names, const char *where)
{
    const cJSON *member;
    cJSON_ArrayForEach(member, object)
    {
        size_t i = 0;
        while (names[i] && strcmp(names[i], member->string) != 0) i++;
        if (!names[i])
            return or_fail(OR_ERR_INPUT, "study refused", where, "it has \"%s\", which there is not",
                           member->string);
    }
    return OR_OK;
}

/* ---- models and tasks --------------------------------------------------------------------------------- */

/* Names become parts of file names. */
static bool good_name(const char *name)
{
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c < ' ' || *c == '/' || *c == '@') return false;
    return name[0] != '\0' && name[0] != '.';
}

static or_status read_models(const char *where, or_study *study)
{
    const cJSON *models, *item;
    OR_TRY(or_json_object(study->json, "models", where, &models));
    OR_TRY(OR_NEW(study->models, (size_t)cJSON_GetArraySize(models)));
    cJSON_ArrayForEach(item, models)
    {
        if (!cJSON_IsString(item) || !good_name(item->string))
            return or_fail(OR_ERR_INPUT, "wrong field", where,
                           "model \"%s\" is no text, or its name has / or @, expected a path", item->string);
        study->models[study->n_models].name = item->string;
        OR_TRY(or_path_join(study->folder, item->valuestring, &study->models[study->n_models++].path));
    }
    if (study->n_models > 0) return OR_OK;
    return or_fail(OR_ERR_INPUT, "wrong field", where, "\"models\" is empty, expected a path");
}

static or_status add_task(or_study *study, const char *path, size_t group)
{
    OR_RESERVE(study->tasks, study->tasks_capacity, study->n_tasks + 1);
    study->tasks[study->n_tasks] = (or_study_task){.group = group};
    return or_strdup(path, &study->tasks[study->n_tasks++].path);
}

/* A path, or a pattern of the shell, whose files come in its order. */
static or_status add_tasks(or_study *study, const char *pattern, size_t group, const char *where)
{
    char *path = NULL;
    glob_t found = {0};
    or_status status = or_path_join(study->folder, pattern, &path);
    if (status == OR_OK && or_path_is_file(path)) {
        status = add_task(study, path, group);
        free(path);
        return status;
    }
    if (status == OR_OK && glob(path, 0, NULL, &found) != 0)
        status = or_fail(OR_ERR_INPUT, "study refused", where, "no task file is there by the name %s", path);
    for (size_t i = 0; i < found.gl_pathc && status == OR_OK; i++)
        status = add_task(study, found.gl_pathv[i], group);
    globfree(&found);
    free(path);
    return status;
}

/* "name": ["task.json", ...] or "name": {"tasks": [...], "halves": true}. */
static or_status read_group(const cJSON *json, const char *where, or_study *study)
{
    static const char *const members[] = {"tasks", "halves", "data", NULL};
    const char *data = NULL;
    const size_t number = study->n_groups;
    or_study_group *group = &study->groups[number];
    const cJSON *tasks = json, *item;
    *group = (or_study_group){.name = json->string, .first = study->n_tasks};
    study->n_groups++;
    if (!good_name(json->string))
        return or_fail(OR_ERR_INPUT, "wrong field", where, "group \"%s\" has / or @ in its name",
                       json->string);
    if (!cJSON_IsArray(json)) {
        if (!cJSON_IsObject(json))
            return or_fail(OR_ERR_INPUT, "wrong field", where, "group \"%s\" is no list of tasks",
                           json->string);
        OR_TRY(check_members(json, members, where));
        OR_TRY(or_json_array(json, "tasks", where, &tasks));
        OR_TRY(or_json_opt_bool(json, "halves", where, &group->halves));
        OR_TRY(or_json_opt_string(json, "data", where, &data));
        if (data) OR_TRY(or_path_join(study->folder, data, &group->data));
    }
    cJSON_ArrayForEach(item, tasks)
    {
        if (!cJSON_IsString(item))
            return or_fail(OR_ERR_INPUT, "wrong field", where, "group \"%s\" holds no text, expected paths",
                           json->string);
        OR_TRY(add_tasks(study, item->valuestring, number, where));
    }
    group->end = study->n_tasks;
    if (group->end > group->first) return OR_OK;
    return or_fail(OR_ERR_INPUT, "wrong field", where, "group \"%s\" is empty, expected tasks", json->string);
}

static or_status read_groups(const char *where, or_study *study)
{
    const cJSON *groups, *item;
    OR_TRY(or_json_object(study->json, "groups", where, &groups));
    OR_TRY(OR_NEW(study->groups, (size_t)cJSON_GetArraySize(groups)));
    cJSON_ArrayForEach(item, groups) OR_TRY(read_group(item, where, study));
    if (study->n_groups > 0) return OR_OK;
    return or_fail(OR_ERR_INPUT, "wrong field", where, "\"groups\" is empty, expected a group of tasks");
}

static or_status read_shots(const char *where, or_study *study)
{
    const cJSON *shots = or_json_find(study->json, "shots"), *item;
    if (shots) OR_TRY(or_json_array(study->json, "shots", where, &shots));
    const int count = shots ? cJSON_GetArraySize(shots) : 0;
    OR_TRY(OR_NEW(study->shots, count > 0 ? (size_t)count : 1));
    cJSON_ArrayForEach(item, shots)
    {
        const double number = cJSON_IsNumber(item) ? item->valuedouble : -1;
        if (!(number >= 0 && number <= 10000) || number != floor(number))
            return or_fail(OR_ERR_INPUT, "wrong field", where,
                           "\"shots\" holds %g, expected whole numbers from 0 to 10000", number);
        for (size_t i = 0; i < study->n_shots; i++)
            if (study->shots[i] == (int)number)
                return or_fail(OR_ERR_INPUT, "wrong field", where, "\"shots\" holds %g twice", number);
        study->shots[study->n_shots++] = (int)number;
    }
    if (study->n_shots == 0) study->n_shots = 1; /* 0, from OR_NEW() */
    return OR_OK;
}

/* ---- policies ----------------------------------------------------------------------------------------- */

/* The features of a name; "cosines" are the three of them. 0: there is none. */
static unsigned features_of(const cJSON *item)
{
    if (!cJSON_IsString(item)) return 0;
    if (strcmp(item->valuestring, "cosines") == 0)
        return 1u << OR_FEATURE_COS_ATTN | 1u << OR_FEATURE_COS_MLP | 1u << OR_FEATURE_COS_HIDDEN;
    const int feature = or_feature_find(item->valuestring);
    return feature < 0 ? 0 : 1u << feature;
}

static or_status refuse_feature(const cJSON *item, const char *where)
{
    return or_fail(OR_ERR_INPUT, "wrong field", where,
                   "\"features\" holds %s, expected names of features (see offramp train --help) or cosines",
                   cJSON_IsString(item) ? item->valuestring : "no text");
}

/* Before anything is traced. */
static or_status check_train(const or_train_options *train, const char *where)
{
    char message[512];
    if (or_train_check(train) == OR_OK) return OR_OK;
    snprintf(message, sizeof message, "%s", or_status_message());
    return or_fail(OR_ERR_INPUT, "study refused", where, "%s", message);
}

/* What train would take as options, over its defaults; all rows fit and calibrate, since the test rows are
 * others. */
static or_status read_train(const cJSON *json, const char *where, bool with_features, or_train_options *train)
{
    static const char *const paper_members[] = {"classifier", "paper", "on", NULL};
    const cJSON *features, *item;
    bool paper = false;
    or_train_defaults(train);
    train->test_share = 0;
    OR_TRY(or_json_opt_string(json, "classifier", where, &train->classifier));
    OR_TRY(or_json_opt_bool(json, "paper", where, &paper));
    if (paper) {
        OR_TRY(check_members(json, paper_members, where)); /* the others it decides */
        or_train_paper(train);
        return check_train(train, where);
    }
    OR_TRY(or_json_opt_number(json, "target_agreement", where, &train->target_agreement));
    OR_TRY(or_json_opt_number(json, "guarantee", where, &train->guarantee));
    OR_TRY(or_json_opt_number(json, "threshold", where, &train->threshold));
    OR_TRY(or_json_opt_number(json, "error_weight", where, &train->error_weight));
    OR_TRY(or_json_opt_bool(json, "everywhere", where, &train->everywhere));
    if (with_features && or_json_find(json, "features")) {
        OR_TRY(or_json_array(json, "features", where, &features));
        train->features = 0;
        cJSON_ArrayForEach(item, features)
        {
            if (features_of(item) == 0) return refuse_feature(item, where);
            train->features |= features_of(item);
        }
    }
    return check_train(train, where);
}

static or_status read_on(const cJSON *json, const char *where, or_study_on *on)
{
    static const char *const names[] = {"all", "group", "task"};
    const char *text = "group";
    OR_TRY(or_json_opt_string(json, "on", where, &text));
    for (int i = 0; i < 3; i++) {
        if (strcmp(text, names[i]) != 0) continue;
        *on = (or_study_on)i;
        return OR_OK;
    }
    return or_fail(OR_ERR_INPUT, "wrong field", where, "\"on\" is \"%s\", expected all, group or task", text);
}

static or_status read_policy(const cJSON *json, const char *path, or_study_policy *policy)
{
    static const char *const members[] = {"classifier", "features",  "target_agreement",
                                          "guarantee",  "threshold", "error_weight",
                                          "everywhere", "paper",     "on",
                                          NULL},
                             *const dropping[] = {"drop", NULL};
    char where[1024];
    int64_t drop = 0;
    snprintf(where, sizeof where, "%s: policy %s", path, json->string);
    policy->name = json->string;
    if (!cJSON_IsObject(json) || strcmp(policy->name, "full") == 0 || strcmp(policy->name, "oracle") == 0 ||
        !good_name(policy->name))
        return or_fail(OR_ERR_INPUT, "study refused", where,
                       "expected an object under a name that is not full or oracle, without / and @");
    if (or_json_find(json, "drop")) {
        OR_TRY(check_members(json, dropping, where));
        OR_TRY(or_json_int(json, "drop", where, 1, 4095, &drop));
        policy->drop = (int)drop;
        return OR_OK;
    }
    OR_TRY(check_members(json, members, where));
    OR_TRY(read_on(json, where, &policy->on));
    return read_train(json, where, true, &policy->train);
}

static or_status read_policies(const char *where, or_study *study)
{
    const cJSON *policies, *item;
    OR_TRY(or_json_object(study->json, "policies", where, &policies));
    OR_TRY(OR_NEW(study->policies, (size_t)cJSON_GetArraySize(policies)));
    cJSON_ArrayForEach(item, policies)
        OR_TRY(read_policy(item, where, &study->policies[study->n_policies++]));
    return OR_OK;
}

static or_status read_ablation(const char *where, or_study *study)
{
    static const char *const members[] = {"features",  "classifier",   "target_agreement", "guarantee",
                                          "threshold", "error_weight", "everywhere",       NULL};
    const cJSON *json, *features, *item;
    if (!or_json_find(study->json, "ablation")) return OR_OK;
    OR_TRY(or_json_object(study->json, "ablation", where, &json));
    OR_TRY(check_members(json, members, where));
    OR_TRY(read_train(json, where, false, &study->ablation));
    OR_TRY(or_json_array(json, "features", where, &features));
    cJSON_ArrayForEach(item, features)
    {
        if (features_of(item) == 0) return refuse_feature(item, where);
        if (study->n_ablated == OR_STUDY_FEATURES)
            return or_fail(OR_ERR_INPUT, "wrong field", where, "\"ablation\" has more features than %d",
                           OR_STUDY_FEATURES);
        study->ablated[study->n_ablated++] = features_of(item);
        or_train_options alone = study->ablation;
        alone.features = features_of(item); /* what a kind looks at alone it looks at in any subset */
        OR_TRY(check_train(&alone, where));
    }
    return OR_OK;
}

static or_status read_transfers(const char *where, or_study *study)
{
    const cJSON *names, *item;
    OR_TRY(OR_NEW(study->transfers, study->n_policies));
    if (!or_json_find(study->json, "generalisation")) return OR_OK;
    OR_TRY(or_json_array(study->json, "generalisation", where, &names));
    cJSON_ArrayForEach(item, names)
    {
        size_t i = 0;
        while (i < study->n_policies &&
               !(cJSON_IsString(item) && strcmp(item->valuestring, study->policies[i].name) == 0))
            i++;
        if (i == study->n_policies || study->policies[i].drop > 0 || study->policies[i].on == OR_STUDY_ON_ALL)
            return or_fail(
                OR_ERR_INPUT, "wrong field", where,
                "\"generalisation\" holds %s, expected policies that are trained on a group or task",
                cJSON_IsString(item) ? item->valuestring : "no text");
        study->transfers[i] = true;
    }
    return OR_OK;
}

/* ---- the whole ---------------------------------------------------------------------------------------- */

static or_status read_config(const char *where, or_study *study)
{
    static const char *const members[] = {"models",         "groups", "shots",    "train_rows",
                                          "test_rows",      "seed",   "policies", "ablation",
                                          "generalisation", "check",  NULL};
    OR_TRY(check_members(study->json, members, where));
    study->seed = 1;
    study->check = 50;
    OR_TRY(or_json_opt_int(study->json, "train_rows", where, 0, 1000000000, &study->train_rows));
    OR_TRY(or_json_opt_int(study->json, "test_rows", where, 0, 1000000000, &study->test_rows));
    OR_TRY(or_json_opt_int(study->json, "seed", where, 0, INT64_C(1) << 53, &study->seed));
    OR_TRY(or_json_opt_int(study->json, "check", where, 0, 1000000, &study->check));
    OR_TRY(read_models(where, study));
    OR_TRY(read_groups(where, study));
    OR_TRY(read_shots(where, study));
    OR_TRY(read_policies(where, study));
    OR_TRY(read_ablation(where, study));
    return read_transfers(where, study);
}

/* Of the values, whatever the line breaks. */
static or_status hash_config(or_study *study)
{
    char *text = cJSON_PrintUnformatted(study->json);
    if (!text) return or_fail_memory(0);
    study->hash = XXH3_64bits(text, strlen(text));
    cJSON_free(text);
    return OR_OK;
}

or_status or_study_open(const char *path, or_study *study)
{
    *study = (or_study){0};
    OR_TRY(or_json_load(path, &study->json));
    OR_TRY(or_path_folder(path, &study->folder));
    OR_TRY(hash_config(study));
    return read_config(path, study);
}

or_status or_study_load(or_study *study, const char *data)
{
    for (size_t t = 0; t < study->n_tasks; t++) {
        OR_TRY(or_task_load(
            study->tasks[t].path,
            study->groups[study->tasks[t].group].data ? study->groups[study->tasks[t].group].data : data,
            &study->tasks[t].task));
        for (size_t i = 0; i < t; i++)
            if (strcmp(or_task_name(study->tasks[i].task), or_task_name(study->tasks[t].task)) == 0)
                return or_fail(OR_ERR_INPUT, "study refused", study->tasks[t].path,
                               "there are two tasks of the name %s, expected one",
                               or_task_name(study->tasks[t].task));
    }
    return OR_OK;
}

void or_study_close(or_study *study)
{
    for (size_t t = 0; t < study->n_tasks; t++) {
        or_task_free(study->tasks[t].task);
        free(study->tasks[t].path);
    }
    for (size_t m = 0; m < study->n_models; m++) free(study->models[m].path);
    for (size_t g = 0; g < study->n_groups; g++) free(study->groups[g].data);
    free(study->transfers);
    free(study->policies);
    free(study->shots);
    free(study->tasks);
    free(study->groups);
    free(study->models);
    free(study->folder);
    cJSON_Delete(study->json);
}
