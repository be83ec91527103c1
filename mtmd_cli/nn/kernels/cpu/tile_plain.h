/* One tile in plain C: the compiler finds what vectors the machine has. */
#define INSTRUCTIONS "plain C"
enum { MOST = 16 };

/* A number for each row, in as many registers as the machine takes: gcc and clang know such vectors everywhere. */
typedef float lanes __attribute__((vector_size(4 * TILE_ROWS)));

/* out: (n, 16) */
static inline __attribute__((always_inline)) void multiply_tile(
    enum layout layout, struct tile w, const struct activations *x, long first, int n, float *out) {
    const int centre = layout == BYTES || layout == BYTES_BY_16 ? 128 : 0;
    memset(out, 0, n * TILE_ROWS * sizeof(float));
    for (long block = 0; block < x->blocks; block++) {
        float scales[TILE_ROWS], seconds[TILE_ROWS];
        union { float at[TILE_ROWS]; lanes rows; } codes[BLOCK], dots[2]; /* whole numbers: their sums of products stay below 2^24, so they are exact */
        const uint8_t *bytes = w.codes + block * code_bytes(layout);
        for (int row = 0; row < TILE_ROWS; row++) {
            scales[row] = half_to_float(w.scales[block * TILE_ROWS + row]);
            seconds[row] = layout == BYTES ? scales[row] : half_to_float(w.seconds[block * TILE_ROWS + row]);
        }
        for (int c = 0; c < (layout == NIBBLES ? 16 : BLOCK); c++)
            for (int row = 0; row < TILE_ROWS; row++) {
                int byte = bytes[c / 4 * 64 + 4 * row + c % 4];
                codes[c].at[row] = (float)(layout == NIBBLES ? byte & 15 : byte - centre);
                if (layout == NIBBLES) codes[c + 16].at[row] = (float)(byte >> 4);
            }
        for (int j = 0; j < n; j++) {
            long place = (first + j) * x->blocks + block;
            for (int half = 0; half < 2; half++) {
                const int8_t *a = x->codes + place * BLOCK + 16 * half;
                lanes sum = {0};
                for (int c = 0; c < 16; c++) sum += codes[16 * half + c].rows * (float)a[c];
                dots[half].rows = sum;
            }
            float scale = x->scales[place], sum = x->sums[place];
            for (int row = 0; row < TILE_ROWS; row++) {
                float *y = &out[j * TILE_ROWS + row];
                if (layout == BYTES_BY_16)
                    *y += scale * (scales[row] * dots[0].at[row] + seconds[row] * dots[1].at[row]);
                else
                    *y += scale * scales[row] * (dots[0].at[row] + dots[1].at[row]);
                if (!centre) *y += seconds[row] * sum;
            }
        }
    }
}
