/* kernels.c - the table of kernel sets, fastest first, and the one in use. */
#include "kernels_portable.h"
#include "log.h"

#include <stdio.h>
#include <string.h>

static const or_kernels *const table[] = {
    &or_kernels_avx512_bf16, &or_kernels_avx512,    &or_kernels_avx2,
    &or_kernels_openblas,    &or_kernels_reference,
};
enum { TABLE = sizeof table / sizeof *table };

static const or_kernels *in_use; /* NULL until the first call; one set for the whole process */

/* A set that is asked for by name is given whether it is usable or not: the caller can say why not. */
const or_kernels *or_kernels_find(const char *name)
{
    for (size_t i = 0; i < TABLE; i++) {
        if (name && strcmp(table[i]->name, name) == 0) return table[i];
        if (!name && table[i]->usable()) return table[i];
    }
    return NULL;
}

const or_kernels *or_kernels_get(void)
{
    if (!in_use) in_use = or_kernels_find(NULL); /* the reference set is always usable */
    return in_use;
}

or_status or_kernels_use(const char *name)
{
    const or_kernels *found = or_kernels_find(name);
    if (!found)
        return or_fail(OR_ERR_USAGE, "unknown kernel set", NULL, "found \"%s\", expected one of %s", name,
                       or_kernels_names());
    if (!found->usable())
        return or_fail(OR_ERR_FAILED, "kernel set not usable", NULL, "%s needs %s, use --kernels %s", name,
                       found->needs, or_kernels_reference.name);
    if (!name && found == &or_kernels_reference)
        or_log_warn("no fast kernel set is usable on this machine, using %s, which is slower", found->name);
    in_use = found;
    return OR_OK;
}

const char *or_kernels_names(void)
{
    static char names[128];
    size_t at = 0;
    for (size_t i = 0; i < TABLE && at < sizeof names; i++)
        at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", i ? ", " : "", table[i]->name);
    return names;
}
