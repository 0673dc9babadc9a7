/* random.h - random numbers that are the same on every machine. */
#ifndef OFFRAMP_BASE_RANDOM_H
#define OFFRAMP_BASE_RANDOM_H

#include <stdint.h>

/* 64 random bits, one draw after the other: splitmix64 (Steele, Lea and Flood, OOPSLA 2014). Any state may
 * begin. */
static inline uint64_t or_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

#endif
