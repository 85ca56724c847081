// What attention kernels share: how keys lie in a segment, and the tables of tiles that the host makes.
//
// A segment's keys have positions 0, 1, …: those of the prefix, then its own. Key j of it lies in row
// `prefix_start + j`, or `own_start + j - prefix_len` from the end of the prefix on. The query at position
// p sees the keys `lowest(p, window) ..= p`: plain causal attention over a sequence in two pieces.
//
// The query heads of one key head are rows of one tile: row r of a segment is query r / group, head
// r % group of the key head. Keys and values are read once for all of them, and short segments fill tiles.
#pragma once
#include "port.cuh"

constexpr float LOG2_E = 1.4426950408889634f;
constexpr float LN_2 = 0.6931471805599453f;

// Words of an entry in the tables.
constexpr unsigned ENTRY = 8;

// A block takes a key head and an entry of a table. Blocks go over the heads of an entry, then over the
// entries, along the one axis of a grid that has room for more than 65535.
__device__ __forceinline__ unsigned head_of_block(unsigned kv_heads) { return blockIdx.x % kv_heads; }
__device__ __forceinline__ unsigned entry_of_block(unsigned kv_heads) { return blockIdx.x / kv_heads; }

// `window`: keys that a query sees at most; all ones: any number.
__device__ __forceinline__ unsigned lowest(unsigned position, unsigned window) {
    return position >= window ? position + 1 - window : 0;
}

__device__ __forceinline__ bool sees(unsigned position, unsigned key, unsigned window) {
    return key <= position && position - key < window;
}

// Query heads of a key head. Divides without a division, numbers up to 2^32 / heads.
struct Group {
    unsigned heads, inverse;

    __device__ __forceinline__ explicit Group(unsigned heads) : heads(heads), inverse(0xffffffffu / heads + 1) {}

    __device__ __forceinline__ unsigned query(unsigned row) const {
        return heads == 1 ? row : (unsigned)((unsigned long long)row * inverse >> 32);
    }
    __device__ __forceinline__ unsigned head(unsigned row) const { return row - query(row) * heads; }
};

// Rows of one segment, for the kernels that walk keys.
struct RowTile {
    unsigned query;     // the segment's first query row
    unsigned first;     // the tile's first row within the segment
    unsigned rows;      // rows of the tile, at least 1
    unsigned position;  // of the segment's first query
    unsigned prefix_start, prefix_len, own_start;
    Group group;

    __device__ __forceinline__ RowTile(const unsigned* table, unsigned index, Group group) : group(group) {
        const unsigned* entry = table + (size_t)index * ENTRY;
        query = entry[0];
        first = entry[1];
        rows = entry[2];
        position = entry[3];
        prefix_start = entry[4];
        prefix_len = entry[5];
        own_start = entry[6];
    }

    __device__ __forceinline__ unsigned query_row(unsigned i) const { return query + group.query(first + i); }
    __device__ __forceinline__ unsigned head(unsigned i) const { return group.head(first + i); }
    __device__ __forceinline__ unsigned position_of(unsigned i) const { return position + group.query(first + i); }
    __device__ __forceinline__ unsigned key_row(unsigned key) const {
        return key < prefix_len ? prefix_start + key : own_start + (key - prefix_len);
    }

    // The keys that any row of the tile sees.
    __device__ __forceinline__ unsigned keys_begin(unsigned window) const { return lowest(position_of(0), window); }
    __device__ __forceinline__ unsigned keys_end() const { return position_of(rows - 1) + 1; }
};

// Adjacent rows of keys, for the kernel that walks queries.
struct KeyTile {
    unsigned row, keys;      // first row, and how many, at least 1
    unsigned visit, visits;  // first entry of those who see it, and how many

    __device__ __forceinline__ KeyTile(const unsigned* table, unsigned index) {
        const unsigned* entry = table + (size_t)index * ENTRY;
        row = entry[0];
        keys = entry[1];
        visit = entry[2];
        visits = entry[3];
    }
};

// Adjacent queries of one segment that see keys of a tile.
struct Visit {
    unsigned query, queries;  // first row, and how many, at least 1
    unsigned position;        // of the first query
    unsigned key;             // position of the tile's key 0 in the segment, modulo 2^32
    unsigned begin, end;      // keys of the tile that are the segment's

    __device__ __forceinline__ Visit(const unsigned* table, unsigned index) {
        const unsigned* entry = table + (size_t)index * ENTRY;
        query = entry[0];
        queries = entry[1];
        position = entry[2];
        key = entry[3];
        begin = entry[4];
        end = entry[5];
    }

    // Whether a query at `position` sees key `c` of the tile.
    __device__ __forceinline__ bool visible(unsigned position, unsigned c, unsigned window) const {
        return c >= begin && c < end && sees(position, key + c, window);
    }
};
