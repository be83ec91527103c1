/* One tile with AVX2: eight rows to a register, two registers. */
#include <immintrin.h>
#define INSTRUCTIONS "AVX2"
enum { MOST = 4 };

/* Products of unsigned and signed bytes, pairs added: 16 numbers that must not pass 32767. */
static inline __m256i pairs(__m256i codes, __m256i x) { return _mm256_maddubs_epi16(codes, x); }

/* Codes around 128 as signed numbers: the sign goes over to x, for one factor must be unsigned. */
static inline __m256i signed_pairs(__m256i codes, __m256i x) {
    __m256i w = _mm256_xor_si256(codes, _mm256_set1_epi8((char)128));
    return pairs(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
}

static inline __m256i four_columns(const int8_t *x, int four) {
    int32_t columns;
    memcpy(&columns, x + 4 * four, 4);
    return _mm256_set1_epi32(columns);
}

/* The dot products of eight rows with 16 columns, the first or the second half of a block. codes: of these rows. */
static inline __attribute__((always_inline)) __m256i half_dot(enum layout layout, const __m256i codes[8], int half, const int8_t *x) {
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i sum = _mm256_setzero_si256();
    for (int i = 4 * half; i < 4 * half + 4; i++) {
        __m256i a = four_columns(x, i);
        if (layout == BYTES || layout == BYTES_BY_16)
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(signed_pairs(codes[i], a), ones));
        else /* four pairs of codes up to 31 stay below 32767 */
            sum = _mm256_add_epi16(sum, pairs(codes[i], a));
    }
    return layout == BYTES || layout == BYTES_BY_16 ? sum : _mm256_madd_epi16(sum, ones);
}

static inline __m256 halves(const uint16_t *at) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)at)); }

static inline __attribute__((always_inline)) void eight_rows(
    enum layout layout, struct tile w, const struct activations *x, long first, int n, int side, float *out) {
    const __m256i low = _mm256_set1_epi8(15);
    __m256 sums[MOST];
    for (int j = 0; j < n; j++) sums[j] = _mm256_setzero_ps();
    for (long block = 0; block < x->blocks; block++) {
        const uint8_t *bytes = w.codes + block * code_bytes(layout) + 32 * side;
        __m256i codes[8];
        for (int i = 0; i < (layout == NIBBLES ? 4 : 8); i++) codes[i] = _mm256_loadu_si256((const __m256i *)(bytes + 64 * i));
        if (layout == NIBBLES)
            for (int i = 0; i < 4; i++) {
                codes[4 + i] = _mm256_and_si256(_mm256_srli_epi16(codes[i], 4), low);
                codes[i] = _mm256_and_si256(codes[i], low);
            }
        __m256 scales = halves(w.scales + block * TILE_ROWS + 8 * side);
        __m256 seconds = layout == BYTES ? scales : halves(w.seconds + block * TILE_ROWS + 8 * side);
        for (int j = 0; j < n; j++) {
            long place = (first + j) * x->blocks + block;
            const int8_t *a = x->codes + place * BLOCK;
            __m256i left = half_dot(layout, codes, 0, a), right = half_dot(layout, codes, 1, a);
            __m256 scale = _mm256_set1_ps(x->scales[place]);
            if (layout == BYTES_BY_16) {
                sums[j] = _mm256_fmadd_ps(_mm256_mul_ps(scales, scale), _mm256_cvtepi32_ps(left), sums[j]);
                sums[j] = _mm256_fmadd_ps(_mm256_mul_ps(seconds, scale), _mm256_cvtepi32_ps(right), sums[j]);
                continue;
            }
            __m256 dots = _mm256_cvtepi32_ps(_mm256_add_epi32(left, right));
            sums[j] = _mm256_fmadd_ps(_mm256_mul_ps(scales, scale), dots, sums[j]);
            if (layout != BYTES) sums[j] = _mm256_fmadd_ps(seconds, _mm256_set1_ps(x->sums[place]), sums[j]);
        }
    }
    for (int j = 0; j < n; j++) _mm256_storeu_ps(out + j * TILE_ROWS + 8 * side, sums[j]);
}

/* out: (n, 16) */
static inline __attribute__((always_inline)) void multiply_tile(
    enum layout layout, struct tile w, const struct activations *x, long first, int n, float *out) {
    for (int side = 0; side < 2; side++) eight_rows(layout, w, x, first, n, side, out);
}
