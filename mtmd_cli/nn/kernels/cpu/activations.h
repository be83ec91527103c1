/* Rows of activations as int8, in blocks of 32 with a scale each. */
#ifndef MTMD_ACTIVATIONS_H
#define MTMD_ACTIVATIONS_H
#include "layout.h"

struct activations {
    long blocks;       /* of a row */
    int8_t *codes;     /* (n, 32 * blocks) */
    float *scales;     /* (n, blocks) */
    float *sums;       /* (n, blocks): of scale * code, what the offset of a weight is multiplied with */
    int32_t *centres;  /* (n, blocks, 2): -128 times the sum of 16 codes, what codes around 128 count too much */
};

enum { ACTIVATION_BYTES = BLOCK + 4 + 4 + 8 }; /* of a block */

/* memory: n * blocks * ACTIVATION_BYTES, aligned to 4. */
static inline struct activations activations_in(uint8_t *memory, long n, long blocks) {
    struct activations x = {.blocks = blocks, .codes = (int8_t *)memory};
    x.scales = (float *)(memory + n * blocks * BLOCK);
    x.sums = x.scales + n * blocks;
    x.centres = (int32_t *)(x.sums + n * blocks);
    return x;
}

static inline void quantise_block(const float *x, const struct activations *out, long block) {
    uint32_t most = 0; /* as bits: they order like the numbers, and NaN is above all */
    for (int i = 0; i < BLOCK; i++) {
        uint32_t size = float_to_bits(x[i]) & 0x7fffffff;
        most = size > most ? size : most;
    }
    int8_t *codes = out->codes + block * BLOCK;
    if (most >= 0x7f800000 || most < 0x00800000) { /* not finite: the product is NaN; or nothing */
        memset(codes, 0, BLOCK);
        out->scales[block] = out->sums[block] = most >= 0x7f800000 ? bits_to_float(0x7fc00000) : 0;
        out->centres[2 * block] = out->centres[2 * block + 1] = 0;
        return;
    }
    float scale = bits_to_float(most) / 127;
    int32_t sums[2] = {0, 0};
    for (int half = 0; half < 2; half++) {
        int32_t sum = 0;
        for (int i = 16 * half; i < 16 * half + 16; i++) {
            /* Adding 1.5 * 2^23 rounds to a whole number, ties to even, and leaves it in the low bits. */
            int32_t code = (int32_t)float_to_bits(x[i] / scale + 12582912.0f) - 0x4b400000;
            codes[i] = (int8_t)code;
            sum += code;
        }
        sums[half] = sum;
    }
    out->scales[block] = scale;
    out->sums[block] = scale * (float)(sums[0] + sums[1]);
    for (int half = 0; half < 2; half++) out->centres[2 * block + half] = -128 * sums[half];
}

/* Row `row` of x, (n, 32 * blocks) of f32 or bf16. */
static inline void quantise_row(const void *x, int is_bf16, long row, const struct activations *out) {
    for (long block = row * out->blocks; block < (row + 1) * out->blocks; block++) {
        if (is_bf16) {
            const uint16_t *from = (const uint16_t *)x + block * BLOCK;
            float wide[BLOCK];
            for (int i = 0; i < BLOCK; i++) wide[i] = bf16_to_float(from[i]);
            quantise_block(wide, out, block);
        } else {
            quantise_block((const float *)x + block * BLOCK, out, block);
        }
    }
}
#endif
