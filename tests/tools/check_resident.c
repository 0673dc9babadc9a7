/* check_resident.c - what of a model's files a running process has mapped:
 *
 *   check_resident PID MODEL FIRST LAST
 *
 * Code 0 when every page that the process has mapped of them holds bytes of the layers [FIRST, LAST), of what every
 * rank needs (final norm, output projection) or, where FIRST is 0, of the embedding; and when all bytes of these are
 * resident. Otherwise 1, and a line that says where. MODEL must be spelled as the process was told.
 */
#include <offramp/offramp.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 4096 };

/* Whether a rank with these layers needs the tensor. */
static bool is_own(const or_tensor *tensor, int first, int last)
{
    static const char *const marks[] = {"layers.", "blk."};
    for (int i = 0; i < 2; i++) {
        const char *at = strstr(tensor->name, marks[i]);
        if (at) {
            const int layer = atoi(at + strlen(marks[i]));
            return layer >= first && layer < last;
        }
    }
    return first == 0 || !(strstr(tensor->name, "embed_tokens") || strstr(tensor->name, "token_embd"));
}

/* True when the page at `offset` of the file holds bytes of an own tensor. */
static bool page_is_own(const or_checkpoint *checkpoint, const char *path, uint64_t offset, int first,
                        int last)
{
    for (size_t i = 0; i < or_checkpoint_count(checkpoint); i++) {
        const or_tensor *t = or_checkpoint_at(checkpoint, i);
        if (is_own(t, first, last) && t->offset < offset + PAGE && offset < t->offset + t->bytes &&
            strcmp(or_checkpoint_file_path(checkpoint, t->file), path) == 0)
            return true;
    }
    return false;
}

typedef struct totals {
    uint64_t mapped, resident;
    size_t mappings;
} totals;

/* Reads /proc/PID/smaps; false when a mapping holds a page of others. */
static bool check_maps(FILE *maps, const or_checkpoint *checkpoint, int first, int last, totals *sum)
{
    const char *model = or_checkpoint_path(checkpoint);
    char line[8192], path[8192] = "";
    unsigned long long begin, end, offset, kib;
    bool ours = false;
    while (fgets(line, sizeof line, maps)) {
        path[0] = '\0';
        if (sscanf(line, "%llx-%llx %*s %llx %*s %*s %8191[^\n]", &begin, &end, &offset, path) >= 3) {
            ours = strncmp(path, model, strlen(model)) == 0;
            if (!ours) continue;
            sum->mappings++;
            sum->mapped += end - begin;
            for (uint64_t page = offset; page < offset + (end - begin); page += PAGE)
                if (!page_is_own(checkpoint, path, page, first, last))
                    return printf("byte %llu of %s is mapped, and not of layers %d..%d\n",
                                  (unsigned long long)page, path, first + 1, last),
                           false;
        } else if (ours && sscanf(line, "Rss: %llu kB", &kib) == 1) {
            sum->resident += kib << 10;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    char path[64];
    or_checkpoint *checkpoint;
    totals sum = {0};
    uint64_t own = 0;
    if (argc != 5) return printf("usage: check_resident PID MODEL FIRST LAST\n"), 1;
    const int first = atoi(argv[3]), last = atoi(argv[4]);
    snprintf(path, sizeof path, "/proc/%s/smaps", argv[1]);
    FILE *maps = fopen(path, "r");
    if (!maps || or_checkpoint_open(argv[2], &checkpoint) != OR_OK)
        return printf("%s cannot be read\n", path), 1;
    for (size_t i = 0; i < or_checkpoint_count(checkpoint); i++)
        if (is_own(or_checkpoint_at(checkpoint, i), first, last))
            own += or_checkpoint_at(checkpoint, i)->bytes;
    bool good = check_maps(maps, checkpoint, first, last, &sum);
    printf("layers %d..%d: %zu mappings of %llu bytes, %llu resident, own tensors have %llu\n", first + 1,
           last, sum.mappings, (unsigned long long)sum.mapped, (unsigned long long)sum.resident,
           (unsigned long long)own);
    good = good && sum.resident >= own && sum.resident <= sum.mapped;
    or_checkpoint_close(checkpoint);
    fclose(maps);
    return good ? 0 : 1;
}
