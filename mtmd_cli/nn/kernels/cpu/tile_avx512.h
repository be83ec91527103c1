/* One tile with AVX-512 VNNI: a lane is a row. */
#include <immintrin.h>
#define INSTRUCTIONS "AVX-512 VNNI"
enum { MOST = 8 };

static inline __m512 halves(const uint16_t *at) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)at)); }

/* The dot products with 16 columns, the first or the second half of a block, added to `sum`. */
static inline __m512i half_dot(__m512i sum, const __m512i codes[8], int half, const int8_t *x) {
    for (int i = 4 * half; i < 4 * half + 4; i++) {
        int32_t columns;
        memcpy(&columns, x + 4 * i, 4);
        sum = _mm512_dpbusd_epi32(sum, codes[i], _mm512_set1_epi32(columns));
    }
    return sum;
}

/* out: (n, 16) */
static inline __attribute__((always_inline)) void multiply_tile(
    enum layout layout, struct tile w, const struct activations *x, long first, int n, float *out) {
    const __m512i low = _mm512_set1_epi8(15), zero = _mm512_setzero_si512();
    const int centred = layout == BYTES || layout == BYTES_BY_16;
    __m512 sums[MOST];
    for (int j = 0; j < n; j++) sums[j] = _mm512_setzero_ps();
    for (long block = 0; block < x->blocks; block++) {
        const uint8_t *bytes = w.codes + block * code_bytes(layout);
        __m512i codes[8];
        for (int i = 0; i < (layout == NIBBLES ? 4 : 8); i++) codes[i] = _mm512_loadu_si512(bytes + 64 * i);
        if (layout == NIBBLES)
            for (int i = 0; i < 4; i++) {
                codes[4 + i] = _mm512_and_si512(_mm512_srli_epi16(codes[i], 4), low);
                codes[i] = _mm512_and_si512(codes[i], low);
            }
        __m512 scales = halves(w.scales + block * TILE_ROWS);
        __m512 seconds = layout == BYTES ? scales : halves(w.seconds + block * TILE_ROWS);
        for (int j = 0; j < n; j++) {
            long place = (first + j) * x->blocks + block;
            const int8_t *a = x->codes + place * BLOCK;
            const int32_t *centre = x->centres + 2 * place;
            __m512i left = half_dot(centred ? _mm512_set1_epi32(centre[0]) : zero, codes, 0, a);
            __m512i right = half_dot(centred ? _mm512_set1_epi32(centre[1]) : zero, codes, 1, a);
            __m512 scale = _mm512_set1_ps(x->scales[place]);
            if (layout == BYTES_BY_16) {
                sums[j] = _mm512_fmadd_ps(_mm512_mul_ps(scales, scale), _mm512_cvtepi32_ps(left), sums[j]);
                sums[j] = _mm512_fmadd_ps(_mm512_mul_ps(seconds, scale), _mm512_cvtepi32_ps(right), sums[j]);
                continue;
            }
            __m512 dots = _mm512_cvtepi32_ps(_mm512_add_epi32(left, right));
            sums[j] = _mm512_fmadd_ps(_mm512_mul_ps(scales, scale), dots, sums[j]);
            if (layout != BYTES) sums[j] = _mm512_fmadd_ps(seconds, _mm512_set1_ps(x->sums[place]), sums[j]);
        }
    }
    for (int j = 0; j < n; j++) _mm512_storeu_ps(out + j * TILE_ROWS, sums[j]);
}
