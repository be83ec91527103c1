/* One tile in plain C: the compiler finds what vectors the machine has. */
#define INSTRUCTIONS "plain C"
enum { MOST = 4 };

/* out: (n, 16) */
static inline __attribute__((always_inline)) void multiply_tile(
    enum layout layout, struct tile w, const struct activations *x, long first, int n, float *out) {
    const int centre = layout == BYTES || layout == BYTES_BY_16 ? 128 : 0;
    memset(out, 0, n * TILE_ROWS * sizeof(float));
    for (long block = 0; block < x->blocks; block++) {
        float scales[TILE_ROWS], seconds[TILE_ROWS];
        int16_t codes[8][64];
        const uint8_t *bytes = w.codes + block * code_bytes(layout);
        for (int i = 0; i < TILE_ROWS; i++) {
            scales[i] = half_to_float(w.scales[block * TILE_ROWS + i]);
            seconds[i] = layout == BYTES ? scales[i] : half_to_float(w.seconds[block * TILE_ROWS + i]);
        }
        if (layout == NIBBLES)
            for (int i = 0; i < 256; i++) {
                codes[i / 64][i % 64] = bytes[i] & 15;
                codes[4 + i / 64][i % 64] = bytes[i] >> 4;
            }
        else
            for (int i = 0; i < 512; i++) codes[i / 64][i % 64] = (int16_t)(bytes[i] - centre);
        for (int j = 0; j < n; j++) {
            long place = (first + j) * x->blocks + block;
            int32_t dots[2][TILE_ROWS] = {{0}};
            for (int four = 0; four < 8; four++) {
                const int8_t *a = x->codes + place * BLOCK + 4 * four;
                const int16_t *c = codes[four];
                for (int row = 0; row < TILE_ROWS; row++)
                    dots[four / 4][row] += c[4 * row] * a[0] + c[4 * row + 1] * a[1] + c[4 * row + 2] * a[2] + c[4 * row + 3] * a[3];
            }
            float scale = x->scales[place], sum = x->sums[place];
            for (int row = 0; row < TILE_ROWS; row++) {
                float *y = &out[j * TILE_ROWS + row];
                if (layout == BYTES_BY_16)
                    *y += scale * (scales[row] * (float)dots[0][row] + seconds[row] * (float)dots[1][row]);
                else
                    *y += scale * scales[row] * (float)(dots[0][row] + dots[1][row]);
                if (!centre) *y += seconds[row] * sum;
            }
        }
    }
}
