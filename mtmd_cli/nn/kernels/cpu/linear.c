/* x W^T with the weights of layout.h and activations rounded to int8.
 *
 * One tile of 16 rows meets up to MOST rows of activations at once; how, is in the file of the instruction set.
 */
#include "activations.h"
#include <stdlib.h>

#if defined(__AVX512VNNI__) && defined(__AVX512BW__)
#include "tile_avx512.h"
#elif defined(__AVX2__) && defined(__F16C__) && defined(__FMA__)
#include "tile_avx2.h"
#else
#include "tile_plain.h"
#endif

/* Constant arguments let the compiler make a loop without branches of each. */
static void multiply(enum layout layout, struct tile w, const struct activations *x, long first, int n, float *out) {
#define FOR_LAYOUT(count) \
    switch (layout) { \
    case NIBBLES: multiply_tile(NIBBLES, w, x, first, count, out); break; \
    case BYTES: multiply_tile(BYTES, w, x, first, count, out); break; \
    case BYTES_WITH_OFFSET: multiply_tile(BYTES_WITH_OFFSET, w, x, first, count, out); break; \
    case BYTES_BY_16: multiply_tile(BYTES_BY_16, w, x, first, count, out); break; \
    }
    if (n == MOST) {
        FOR_LAYOUT(MOST)
    } else {
        FOR_LAYOUT(1)
    }
}

/* y: (n, rows), of the type of x. */
static void multiply_rows(enum layout layout, const uint8_t *weight, long index, long rows,
                          const struct activations *x, long n, int is_bf16, void *y) {
    struct tile tile = tile_at(layout, weight, index, x->blocks);
    long start = index * TILE_ROWS, width = rows - start < TILE_ROWS ? rows - start : TILE_ROWS;
    for (long first = 0; first < n;) {
        int together = n - first >= MOST ? MOST : 1;
        float out[MOST * TILE_ROWS];
        multiply(layout, tile, x, first, together, out);
        for (int j = 0; j < together; j++) {
            long place = (first + j) * rows + start;
            if (is_bf16)
                for (long r = 0; r < width; r++) ((uint16_t *)y)[place + r] = float_to_bf16(out[j * TILE_ROWS + r]);
            else
                memcpy((float *)y + place, out + j * TILE_ROWS, width * sizeof(float));
        }
        first += together;
    }
}

/* x: (n, columns), y: (n, rows), both f32 or both bf16. Answers 1 when there is no memory. */
int mtmd_linear(int layout, const uint8_t *weight, long rows, long columns, const void *x, int is_bf16, long n, void *y,
                int threads) {
    long blocks = columns / BLOCK;
    uint8_t *memory = malloc(n * blocks * ACTIVATION_BYTES + 1);
    if (!memory) return 1;
    struct activations quantised = activations_in(memory, n, blocks);
    if (n == 1) {
        quantise_row(x, is_bf16, 0, &quantised);
    } else {
        #pragma omp parallel for num_threads(threads) schedule(static)
        for (long row = 0; row < n; row++) quantise_row(x, is_bf16, row, &quantised);
    }
    #pragma omp parallel for num_threads(threads) schedule(static)
    for (long tile = 0; tile < (rows + TILE_ROWS - 1) / TILE_ROWS; tile++)
        multiply_rows(layout, weight, tile, rows, &quantised, n, is_bf16, y);
    free(memory);
    return 0;
}

const char *mtmd_instructions(void) { return INSTRUCTIONS; }
