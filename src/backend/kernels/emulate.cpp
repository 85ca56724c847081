// The scheduler of emulate.h: fibres, barriers, and the entry that tests call.
#include "emulate.h"

#include <cstdio>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace emulate {
namespace {

constexpr size_t STACK = 64 << 10;

#if defined(__x86_64__)
// Saves what a call must keep, and goes on at another stack.
extern "C" void emulate_switch(void** save, void* to);
asm(R"(
.text
.globl emulate_switch
.hidden emulate_switch
emulate_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");
#endif

enum class Wait { None, Warp, Block, Done };

}  // namespace

struct Fibre {
    dim3 thread;
    unsigned index = 0;
    Wait wait = Wait::None;
    std::vector<std::vector<Copy>> copies;
    std::vector<unsigned char> stack;
#if defined(__x86_64__)
    void* top = nullptr;
#else
    ucontext_t context;
#endif
};

namespace {

struct Block {
    dim3 index, size, grid;
    const Entry* entry = nullptr;
    void** arguments = nullptr;
    std::vector<Fibre> fibres;
    std::vector<unsigned char> slots;
    std::vector<unsigned char> shared;
    Fibre* current = nullptr;
#if defined(__x86_64__)
    void* scheduler = nullptr;
#else
    ucontext_t scheduler;
#endif
};

thread_local Block block;

std::map<std::string, Entry>& entries() {
    static std::map<std::string, Entry> all;
    return all;
}

void leave(Wait wait) {
    Fibre& fibre = *block.current;
    fibre.wait = wait;
#if defined(__x86_64__)
    emulate_switch(&fibre.top, block.scheduler);
#else
    swapcontext(&fibre.context, &block.scheduler);
#endif
}

void run_thread() {
    block.entry->call(block.arguments);
    leave(Wait::Done);
}

void prepare(Fibre& fibre) {
    fibre.wait = Wait::None;
    fibre.copies.assign(1, {});
    fibre.stack.resize(STACK);
#if defined(__x86_64__)
    auto top = reinterpret_cast<uintptr_t>(fibre.stack.data() + STACK) & ~uintptr_t(15);
    auto* frame = reinterpret_cast<void**>(top) - 1;
    *frame = nullptr;  // where run_thread would return to, which it does not
    *--frame = reinterpret_cast<void*>(run_thread);
    frame -= 6;
    std::fill(frame, frame + 6, nullptr);
    fibre.top = frame;
#else
    getcontext(&fibre.context);
    fibre.context.uc_stack.ss_sp = fibre.stack.data();
    fibre.context.uc_stack.ss_size = STACK;
    fibre.context.uc_link = nullptr;
    makecontext(&fibre.context, run_thread, 0);
#endif
}

void resume(Fibre& fibre) {
    block.current = &fibre;
    fibre.wait = Wait::None;
#if defined(__x86_64__)
    emulate_switch(&block.scheduler, fibre.top);
#else
    swapcontext(&block.scheduler, &fibre.context);
#endif
}

// Lets go all of a range that wait for each other, if those not done all do. Says whether it did.
bool release(size_t first, size_t last, Wait wait) {
    bool any = false;
    for (size_t i = first; i < last; i++) {
        if (block.fibres[i].wait == Wait::Done) continue;
        if (block.fibres[i].wait != wait) return false;
        any = true;
    }
    for (size_t i = first; any && i < last; i++) {
        if (block.fibres[i].wait == wait) block.fibres[i].wait = Wait::None;
    }
    return any;
}

// Says whether all threads came to their end.
bool run_block(bool reverse) {
    const size_t n = block.fibres.size();
    std::fill(block.shared.begin(), block.shared.end(), 0xff);
    for (Fibre& fibre : block.fibres) prepare(fibre);
    for (;;) {
        bool ran = false;
        for (size_t i = 0; i < n; i++) {
            Fibre& fibre = block.fibres[reverse ? n - 1 - i : i];
            if (fibre.wait != Wait::None) continue;
            ran = true;
            resume(fibre);
        }
        bool released = false;
        for (size_t warp = 0; warp < n; warp += 32) released |= release(warp, std::min(n, warp + 32), Wait::Warp);
        released |= release(0, n, Wait::Block);
        if (released) continue;
        const bool done = std::all_of(block.fibres.begin(), block.fibres.end(),
                                      [](const Fibre& f) { return f.wait == Wait::Done; });
        if (done || !ran) return done;
    }
}

}  // namespace

Fibre* self() { return block.current; }
unsigned char* shared_memory() { return block.shared.data(); }
dim3 thread_index() { return block.current->thread; }
dim3 block_index() { return block.index; }
dim3 block_size() { return block.size; }
dim3 grid_size() { return block.grid; }
unsigned lane() { return block.current->index % 32; }
void block_barrier() { leave(Wait::Block); }
void warp_barrier() { leave(Wait::Warp); }
unsigned char* slot(unsigned lane) { return block.slots.data() + (block.current->index / 32 * 32 + lane) * 64; }
std::vector<std::vector<Copy>>& copies() { return block.current->copies; }

bool add(const char* name, Entry entry) {
    entries()[name] = std::move(entry);
    return true;
}

}  // namespace emulate

// Runs a kernel. `sizes`: bytes of each argument. `reverse`: blocks and threads from the last to the first.
// Returns 0; or 1: no such kernel, 2: other arguments, 3: threads wait for each other for ever.
extern "C" int emulate_launch(const char* name, const unsigned* grid, const unsigned* threads, unsigned shared,
                              void** arguments, const size_t* sizes, size_t count, int reverse) {
    using namespace emulate;
    const auto found = entries().find(name);
    if (found == entries().end()) return 1;
    const auto& wanted = found->second.sizes;
    if (wanted.size() != count || !std::equal(wanted.begin(), wanted.end(), sizes)) return 2;
    block.entry = &found->second;
    block.arguments = arguments;
    block.grid = {grid[0], grid[1], grid[2]};
    block.size = {threads[0], threads[1], threads[2]};
    const size_t n = size_t(threads[0]) * threads[1] * threads[2];
    block.fibres.resize(n);
    block.slots.resize((n + 31) / 32 * 32 * 64);
    // exactly as long as asked for, so that a sanitizer sees what lies beyond
    std::vector<unsigned char>(shared).swap(block.shared);
    for (size_t i = 0; i < n; i++) {
        Fibre& fibre = block.fibres[i];
        fibre.index = i;
        fibre.thread = {unsigned(i % threads[0]), unsigned(i / threads[0] % threads[1]),
                        unsigned(i / threads[0] / threads[1])};
    }
    const size_t blocks = size_t(grid[0]) * grid[1] * grid[2];
    for (size_t i = 0; i < blocks; i++) {
        const size_t b = reverse ? blocks - 1 - i : i;
        block.index = {unsigned(b % grid[0]), unsigned(b / grid[0] % grid[1]), unsigned(b / grid[0] / grid[1])};
        if (!run_block(reverse != 0)) return 3;
    }
    return 0;
}
