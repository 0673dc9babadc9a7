/* influence.c - how much each layer changes the state, by the cosines of a trace. */
#include <offramp/trace.h>

/* In the order of the trace, in double: the same on every machine. */
void or_block_influence(const or_trace *trace, double *influence)
{
    for (int layer = 0; layer < trace->meta.n_layers; layer++) {
        double sum = 0;
        for (size_t i = 0; i < trace->count; i++) sum += (double)trace->items[i].seen[layer].cos_hidden;
        influence[layer] = 1 - sum / (double)trace->count;
    }
}

/* Sorting by insertion, of which the first k are kept. Layers come with growing depth, so that an equal one
 * that comes later is the deeper, and goes first. */
void or_least_influential(const double *influence, int n_layers, int k, int *layers)
{
    for (int layer = 1; layer <= n_layers; layer++) {
        int at = layer - 1 < k ? layer - 1 : k;
        for (; at > 0 && influence[layer - 1] <= influence[layers[at - 1] - 1]; at--)
            if (at < k) layers[at] = layers[at - 1];
        if (at < k) layers[at] = layer;
    }
}
