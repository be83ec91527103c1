/* How weights lie in memory: 16 rows together, so that one register holds the same columns of all of them.
 *
 * A matrix is a run of tiles; a tile is 16 rows by all columns, in blocks of 32 columns:
 *   codes    of every block, 4 columns x 16 rows to 64 bytes: byte 4 * row + column
 *   scales   of every block, 16 f16, one a row
 *   seconds  of every block, 16 f16: offsets, or the scales of columns 16..31; not in BYTES
 * Rows beyond the last are zero. The same layout serves one row of activations and many.
 */
#ifndef MTMD_LAYOUT_H
#define MTMD_LAYOUT_H
#include <stdint.h>
#include <string.h>

enum { TILE_ROWS = 16, BLOCK = 32 };

enum layout {
    NIBBLES = 0,           /* scale * code + offset, codes 0..15; the high halves of the bytes are columns 16..31 */
    BYTES = 1,             /* scale * (code - 128) */
    BYTES_WITH_OFFSET = 2, /* scale * code + offset, codes 0..31 */
    BYTES_BY_16 = 3,       /* scale * (code - 128), another scale for columns 16..31 */
};

struct tile {
    const uint8_t *codes;
    const uint16_t *scales, *seconds;
};

static inline long code_bytes(enum layout layout) { return layout == NIBBLES ? 256 : 512; }

static inline long tile_bytes(enum layout layout, long blocks) {
    long halves = layout == BYTES ? 16 : 32;
    return (blocks * (code_bytes(layout) + 2 * halves) + 63) / 64 * 64;
}

static inline struct tile tile_at(enum layout layout, const uint8_t *weight, long index, long blocks) {
    const uint8_t *codes = weight + index * tile_bytes(layout, blocks);
    const uint16_t *scales = (const uint16_t *)(codes + blocks * code_bytes(layout));
    return (struct tile){codes, scales, scales + blocks * TILE_ROWS};
}

/* The 32 codes of one row in a block. */
static inline void codes_of_row(enum layout layout, const uint8_t *codes, int row, uint8_t out[BLOCK]) {
    for (int column = 0; column < BLOCK; column++) {
        int half = layout == NIBBLES && column >= 16;
        int c = half ? column - 16 : column;
        uint8_t byte = codes[c / 4 * 64 + 4 * row + c % 4];
        out[column] = layout != NIBBLES ? byte : half ? byte >> 4 : byte & 15;
    }
}

static inline float bits_to_float(uint32_t bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

static inline uint32_t float_to_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}

static inline float half_to_float(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = h & 0x7fff;
    if (rest >= 0x7c00) return bits_to_float(sign | 0x7f800000 | (rest & 0x3ff) << 13);
    /* A product with 2^112 moves the exponent from bias 15 to 127, for subnormal numbers too. */
    return bits_to_float(sign | float_to_bits(bits_to_float(rest << 13) * 0x1p112f));
}

/* Rounds to nearest, ties to even. */
static inline uint16_t float_to_half(float x) {
    uint32_t bits = float_to_bits(x), sign = bits >> 16 & 0x8000, rest = bits & 0x7fffffff;
    if (rest > 0x7f800000) return (uint16_t)(sign | 0x7e00);
    if (rest >= 0x477ff000) return (uint16_t)(sign | 0x7c00);
    /* Below 2^-14 the steps are 2^-24 wide: adding 0.5 puts the last kept bit at the end of the mantissa. */
    if (rest < 0x38800000) return (uint16_t)(sign | (float_to_bits(bits_to_float(rest) + 0.5f) - 0x3f000000));
    return (uint16_t)(sign | (rest - 0x38000000 + 0xfff + (rest >> 13 & 1)) >> 13);
}

static inline float bf16_to_float(uint16_t b) { return bits_to_float((uint32_t)b << 16); }

static inline uint16_t float_to_bf16(float x) {
    uint32_t bits = float_to_bits(x);
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 64);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
#endif
