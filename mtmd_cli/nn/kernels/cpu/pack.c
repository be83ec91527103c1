/* From ggml's blocks to the layout of layout.h, and single rows back to numbers.
 *
 * The numbers of the formats are those of mtmd_cli/gguf/quants, which is the reference.
 */
#include "layout.h"

/* 32 columns of one row. */
struct group {
    uint8_t codes[BLOCK];
    float scale, second;
};

static float half_at(const uint8_t *bytes) { return half_to_float((uint16_t)(bytes[0] | bytes[1] << 8)); }

/* 16 bytes whose low halves come first. */
static void nibbles(const uint8_t *bytes, uint8_t codes[BLOCK]) {
    for (int i = 0; i < 16; i++) {
        codes[i] = bytes[i] & 15;
        codes[i + 16] = bytes[i] >> 4;
    }
}

static void add_fifth_bits(const uint8_t *bytes, uint8_t codes[BLOCK]) {
    for (int i = 0; i < BLOCK; i++) codes[i] |= (bytes[i / 8] >> i % 8 & 1) << 4;
}

static void q4_0(const uint8_t *row, long index, struct group *out) {
    const uint8_t *block = row + index * 18;
    out->scale = half_at(block);
    out->second = -8 * out->scale;
    nibbles(block + 2, out->codes);
}

static void q4_1(const uint8_t *row, long index, struct group *out) {
    const uint8_t *block = row + index * 20;
    out->scale = half_at(block);
    out->second = half_at(block + 2);
    nibbles(block + 4, out->codes);
}

static void q5_0(const uint8_t *row, long index, struct group *out) {
    const uint8_t *block = row + index * 22;
    out->scale = half_at(block);
    nibbles(block + 6, out->codes);
    add_fifth_bits(block + 2, out->codes);
    for (int i = 0; i < BLOCK; i++) out->codes[i] += 128 - 16;
}

static void q5_1(const uint8_t *row, long index, struct group *out) {
    const uint8_t *block = row + index * 24;
    out->scale = half_at(block);
    out->second = half_at(block + 2);
    nibbles(block + 8, out->codes);
    add_fifth_bits(block + 4, out->codes);
}

static void q8_0(const uint8_t *row, long index, struct group *out) {
    const uint8_t *block = row + index * 34;
    out->scale = half_at(block);
    for (int i = 0; i < BLOCK; i++) out->codes[i] = block[2 + i] ^ 128;
}

/* Six-bit scale and offset of one of the eight groups of Q4_K and Q5_K. */
static void scale_and_offset(const uint8_t *block, int group, struct group *out) {
    const uint8_t *packed = block + 4;
    int scale, offset;
    if (group < 4) {
        scale = packed[group] & 63;
        offset = packed[group + 4] & 63;
    } else {
        scale = (packed[group + 4] & 15) | packed[group - 4] >> 6 << 4;
        offset = packed[group + 4] >> 4 | packed[group] >> 6 << 4;
    }
    out->scale = half_at(block) * (float)scale;
    out->second = -(half_at(block + 2) * (float)offset);
}

/* Low or high halves of 32 bytes: the groups of Q4_K and Q5_K take turns. */
static void half_bytes(const uint8_t *bytes, int group, uint8_t codes[BLOCK]) {
    for (int i = 0; i < BLOCK; i++) codes[i] = bytes[group / 2 * BLOCK + i] >> group % 2 * 4 & 15;
}

static void q4_k(const uint8_t *row, long index, struct group *out) {
    const uint8_t *block = row + index / 8 * 144;
    int group = (int)(index % 8);
    scale_and_offset(block, group, out);
    half_bytes(block + 16, group, out->codes);
}

static void q5_k(const uint8_t *row, long index, struct group *out) {
    const uint8_t *block = row + index / 8 * 176;
    int group = (int)(index % 8);
    scale_and_offset(block, group, out);
    half_bytes(block + 48, group, out->codes);
    for (int i = 0; i < BLOCK; i++) out->codes[i] |= (block[16 + i] >> group & 1) << 4;
}

static void q6_k(const uint8_t *row, long index, struct group *out) {
    const uint8_t *block = row + index / 8 * 210;
    int group = (int)(index % 8), half = group / 4, quarter = group % 4;
    const uint8_t *low = block + half * 64 + quarter % 2 * BLOCK, *high = block + 128 + half * BLOCK;
    for (int i = 0; i < BLOCK; i++) {
        int code = (low[i] >> quarter / 2 * 4 & 15) | (high[i] >> 2 * quarter & 3) << 4;
        out->codes[i] = (uint8_t)(code + 128 - 32);
    }
    const int8_t *scales = (const int8_t *)block + 192;
    out->scale = half_at(block + 208) * scales[2 * group];
    out->second = half_at(block + 208) * scales[2 * group + 1];
}

static void q3_k(const uint8_t *row, long index, struct group *out) {
    const uint8_t *block = row + index / 8 * 110, *packed = block + 96;
    int group = (int)(index % 8);
    for (int i = 0; i < BLOCK; i++) {
        int low = block[32 + group / 4 * BLOCK + i] >> group % 4 * 2 & 3, high = block[i] >> group & 1;
        out->codes[i] = (uint8_t)((low | high << 2) + 128 - 4);
    }
    float scales[2];
    for (int i = 0; i < 2; i++) {
        int place = 2 * group + i;
        int low = packed[place % 8] >> place / 8 * 4 & 15, high = packed[8 + place % 4] >> place / 4 * 2 & 3;
        scales[i] = half_at(block + 108) * (float)((low | high << 4) - 32);
    }
    out->scale = scales[0];
    out->second = scales[1];
}

static const int8_t CODEBOOK[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

static void look_up(const uint8_t *bytes, uint8_t codes[BLOCK]) {
    nibbles(bytes, codes);
    for (int i = 0; i < BLOCK; i++) codes[i] = (uint8_t)(CODEBOOK[codes[i]] + 128);
}

static void iq4_nl(const uint8_t *row, long index, struct group *out) {
    const uint8_t *block = row + index * 18;
    out->scale = half_at(block);
    look_up(block + 2, out->codes);
}

static void iq4_xs(const uint8_t *row, long index, struct group *out) {
    const uint8_t *block = row + index / 8 * 136;
    int group = (int)(index % 8);
    int low = block[4 + group / 2] >> group % 2 * 4 & 15, high = block[2 + group / 4] >> group % 4 * 2 & 3;
    out->scale = half_at(block) * (float)((low | high << 4) - 32);
    look_up(block + 8 + group * 16, out->codes);
}

/* Numbers of ggml types, as in ggml.h. */
static const struct format {
    int type;
    enum layout layout;
    int columns, bytes; /* of a block in the file */
    void (*read)(const uint8_t *row, long index, struct group *out);
} FORMATS[] = {
    {2, NIBBLES, 32, 18, q4_0},
    {3, NIBBLES, 32, 20, q4_1},
    {6, BYTES, 32, 22, q5_0},
    {7, BYTES_WITH_OFFSET, 32, 24, q5_1},
    {8, BYTES, 32, 34, q8_0},
    {11, BYTES_BY_16, 256, 110, q3_k},
    {12, NIBBLES, 256, 144, q4_k},
    {13, BYTES_WITH_OFFSET, 256, 176, q5_k},
    {14, BYTES_BY_16, 256, 210, q6_k},
    {20, BYTES, 32, 18, iq4_nl},
    {23, BYTES, 256, 136, iq4_xs},
};

static const struct format *format_of(int type) {
    for (unsigned i = 0; i < sizeof FORMATS / sizeof *FORMATS; i++)
        if (FORMATS[i].type == type) return &FORMATS[i];
    return 0;
}

/* The layout that a type takes, or -1. */
int mtmd_layout(int type) {
    const struct format *format = format_of(type);
    return format ? (int)format->layout : -1;
}

long mtmd_bytes(int layout, long rows, long columns) {
    return (rows + TILE_ROWS - 1) / TILE_ROWS * tile_bytes(layout, columns / BLOCK);
}

static void store(enum layout layout, struct tile tile, long block, int row, const struct group *group) {
    uint8_t *codes = (uint8_t *)tile.codes + block * code_bytes(layout);
    for (int c = 0; c < (layout == NIBBLES ? 16 : BLOCK); c++) {
        uint8_t byte = layout == NIBBLES ? group->codes[c] | group->codes[c + 16] << 4 : group->codes[c];
        codes[c / 4 * 64 + 4 * row + c % 4] = byte;
    }
    ((uint16_t *)tile.scales)[block * TILE_ROWS + row] = float_to_half(group->scale);
    if (layout != BYTES) ((uint16_t *)tile.seconds)[block * TILE_ROWS + row] = float_to_half(group->second);
}

/* source: rows of ggml blocks of `type`; out: mtmd_bytes. */
void mtmd_pack(int type, const uint8_t *source, long rows, long columns, uint8_t *out, int threads) {
    const struct format *format = format_of(type);
    long blocks = columns / BLOCK, row_bytes = columns / format->columns * format->bytes;
    #pragma omp parallel for num_threads(threads) schedule(static)
    for (long t = 0; t < (rows + TILE_ROWS - 1) / TILE_ROWS; t++) {
        struct tile tile = tile_at(format->layout, out, t, blocks);
        memset((uint8_t *)tile.codes, 0, tile_bytes(format->layout, blocks));
        for (int row = 0; row < TILE_ROWS && t * TILE_ROWS + row < rows; row++) {
            const uint8_t *source_row = source + (t * TILE_ROWS + row) * row_bytes;
            for (long block = 0; block < blocks; block++) {
                struct group group = {0};
                format->read(source_row, block, &group);
                store(format->layout, tile, block, row, &group);
            }
        }
    }
}

static float number(enum layout layout, int code, float scale, float second, int column) {
    switch (layout) {
    case BYTES: return scale * (float)(code - 128);
    case BYTES_BY_16: return (column < 16 ? scale : second) * (float)(code - 128);
    default: return scale * (float)code + second;
    }
}

/* Rows of a packed matrix as f32: out (n, columns). Answers 1 when an index is not a row. */
int mtmd_rows(int layout, const uint8_t *weight, long rows, long columns, const int64_t *index, long n, float *out) {
    long blocks = columns / BLOCK;
    for (long i = 0; i < n; i++) {
        if (index[i] < 0 || index[i] >= rows) return 1;
        struct tile tile = tile_at(layout, weight, index[i] / TILE_ROWS, blocks);
        int row = (int)(index[i] % TILE_ROWS);
        for (long block = 0; block < blocks; block++) {
            uint8_t codes[BLOCK];
            codes_of_row(layout, tile.codes + block * code_bytes(layout), row, codes);
            float scale = half_to_float(tile.scales[block * TILE_ROWS + row]);
            float second = layout == BYTES ? 0 : half_to_float(tile.seconds[block * TILE_ROWS + row]);
            for (int c = 0; c < BLOCK; c++) out[i * columns + block * BLOCK + c] = number(layout, codes[c], scale, second, c);
        }
    }
    return 0;
}
