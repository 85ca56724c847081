// Weights in training as kernels see them: one launch goes over all of them, a block a piece.
#pragma once
#include "vector.cuh"

// A row of the table of weights, as `TrainedWeights` lays it out: 7 numbers of 8 bytes.
struct TrainedWeight {
    float* weight;
    // the weight rounded, or null
    bf16* copy;
    float* grad;
    float* m;
    float* v;
    // elements
    unsigned long long n;
    // 1 if weight decay applies, else 0
    unsigned long long decays;
};

// Elements of a piece; a weight's last one may have fewer.
constexpr unsigned PIECE = 16384;

// A piece is (weight, how many of its pieces lie before).
struct Piece {
    unsigned weight;
    unsigned index;
};
