// Rows of a table gathered, written and summed up. Each value is read and written once: the speed is that
// of memory.
#include "vector.cuh"

template <class Unit>
__device__ __forceinline__ void copy_units(Unit* to, const unsigned* to_rows, const Unit* from,
                                           const unsigned* from_rows, unsigned rows, unsigned width) {
    over_rows<1>(rows, width, [=](unsigned row, unsigned column) {
        const unsigned long long target = to_rows ? to_rows[row] : row, source = from_rows ? from_rows[row] : row;
        to[target * width + column] = from[source * width + column];
    });
}

// to[to_rows[i]] = from[from_rows[i]], rows of `width` values; i itself where there are no indices.
// Targets are distinct.
template <class T>
__device__ void copy_rows(T* to, const unsigned* to_rows, const T* from, const unsigned* from_rows, unsigned rows,
                          unsigned width) {
    constexpr unsigned N = VECTOR<T>;
    if (width % N == 0 && aligned_16(to, from))
        copy_units(reinterpret_cast<Bytes16*>(to), to_rows, reinterpret_cast<const Bytes16*>(from), from_rows, rows,
                   width / N);
    else
        copy_units(to, to_rows, from, from_rows, rows, width);
}

EXPORT_FLOATS(copy_rows, 256,
              (T* to, const unsigned* to_rows, const T* from, const unsigned* from_rows, unsigned rows, unsigned width),
              (to, to_rows, from, from_rows, rows, width))

template <class Table, class T, unsigned N>
__device__ __forceinline__ void add_runs(Table* table, const T* rows, const unsigned* runs, const unsigned* sources,
                                         unsigned count, unsigned width) {
    over_rows<N>(count, width, [=](unsigned run, unsigned column) {
        const unsigned first = runs[3 * run + 1], last = first + runs[3 * run + 2];
        Table* const at = table + (unsigned long long)runs[3 * run] * width + column;
        float sum[N], more[N];
        load(sum, at);
        for (unsigned k = first; k < last; k++) {
            load(more, rows + (unsigned long long)sources[k] * width + column);
            for (unsigned i = 0; i < N; i++) sum[i] += more[i];
        }
        store(at, sum);
    });
}

// Of each run (target, first, length): table[target] += the rows sources[first..first + length], in order.
// Targets are distinct.
template <class Table, class T>
__device__ void scatter_add(Table* table, const T* rows, const unsigned* runs, const unsigned* sources, unsigned count,
                            unsigned width) {
    constexpr unsigned N = VECTOR<T>;
    if (width % N == 0 && aligned_16(table, rows))
        add_runs<Table, T, N>(table, rows, runs, sources, count, width);
    else
        add_runs<Table, T, 1>(table, rows, runs, sources, count, width);
}

#define SCATTER_ADD(name, Table, T)                                                                             \
    EXPORT_AS(name, (scatter_add<Table, T>), 256,                                                               \
              (Table* table, const T* rows, const unsigned* runs, const unsigned* sources, unsigned count,      \
               unsigned width),                                                                                 \
              (table, rows, runs, sources, count, width))

SCATTER_ADD(scatter_add_f32_f32, float, float)
SCATTER_ADD(scatter_add_f32_bf16, float, bf16)
SCATTER_ADD(scatter_add_bf16_bf16, bf16, bf16)
