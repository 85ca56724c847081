// The scheduler of emulate.h: fibres, barriers, and the entry that tests call.
#include "emulate.h"

#include <memory>
#include <mutex>

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

State* state = nullptr;

struct Fibre {
    dim3 thread;
    unsigned index = 0;
    Wait wait = Wait::None;
    std::vector<std::vector<Copy>> copies;
    // not cleared: most of it is never touched
    std::unique_ptr<unsigned char[]> stack;
#if defined(__x86_64__)
    void* top = nullptr;
#else
    ucontext_t context;
#endif
};

namespace {

struct Block {
    State state;
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

// `state` points into it.
Block* running = nullptr;

std::map<std::string, Entry>& entries() {
    static std::map<std::string, Entry> all;
    return all;
}

void leave(Wait wait) {
    Block& block = *running;
    Fibre& fibre = *block.current;
    fibre.wait = wait;
#if defined(__x86_64__)
    emulate_switch(&fibre.top, block.scheduler);
#else
    swapcontext(&fibre.context, &block.scheduler);
#endif
}

void run_thread() {
    running->entry->call(running->arguments);
    leave(Wait::Done);
}

void prepare(Fibre& fibre) {
    fibre.wait = Wait::None;
    fibre.copies.resize(1);
    fibre.copies[0].clear();
    if (!fibre.stack) fibre.stack.reset(new unsigned char[STACK]);
#if defined(__x86_64__)
    auto top = reinterpret_cast<uintptr_t>(fibre.stack.get() + STACK) & ~uintptr_t(15);
    auto* frame = reinterpret_cast<void**>(top) - 1;
    *frame = nullptr;  // where run_thread would return to, which it does not
    *--frame = reinterpret_cast<void*>(run_thread);
    frame -= 6;
    std::fill(frame, frame + 6, nullptr);
    fibre.top = frame;
#else
    getcontext(&fibre.context);
    fibre.context.uc_stack.ss_sp = fibre.stack.get();
    fibre.context.uc_stack.ss_size = STACK;
    fibre.context.uc_link = nullptr;
    makecontext(&fibre.context, run_thread, 0);
#endif
}

void resume(Block& block, Fibre& fibre) {
    block.current = &fibre;
    block.state.thread = fibre.thread;
    block.state.lane = fibre.index % 32;
    block.state.slots = block.slots.data() + fibre.index / 32 * 32 * 64;
    block.state.copies = &fibre.copies;
    fibre.wait = Wait::None;
#if defined(__x86_64__)
    emulate_switch(&block.scheduler, fibre.top);
#else
    swapcontext(&block.scheduler, &fibre.context);
#endif
}

// Lets go all of a range that wait for each other, if those not done all do. Says whether it did. A warp's
// lanes are never met by one that has ended: shuffles and products name all of them.
bool release(Block& block, size_t first, size_t last, Wait wait) {
    bool any = false;
    for (size_t i = first; i < last; i++) {
        if (block.fibres[i].wait == Wait::Done && wait == Wait::Block) continue;
        if (block.fibres[i].wait != wait) return false;
        any = true;
    }
    for (size_t i = first; any && i < last; i++) {
        if (block.fibres[i].wait == wait) block.fibres[i].wait = Wait::None;
    }
    return any;
}

// Runs fibres `first..last`, a warp, until all of them wait for the block or are done.
void run_warp(Block& block, size_t first, size_t last, bool reverse) {
    do {
        for (size_t i = first; i < last; i++) {
            Fibre& fibre = block.fibres[reverse ? first + last - 1 - i : i];
            if (fibre.wait == Wait::None) resume(block, fibre);
        }
    } while (release(block, first, last, Wait::Warp));
}

// Says whether all threads came to their end.
bool run_block(Block& block, bool reverse) {
    const size_t n = block.fibres.size(), warps = (n + 31) / 32;
    std::fill(block.shared.begin(), block.shared.end(), 0xff);
    for (Fibre& fibre : block.fibres) prepare(fibre);
    do {
        for (size_t i = 0; i < warps; i++) {
            const size_t warp = reverse ? warps - 1 - i : i;
            run_warp(block, 32 * warp, std::min(n, 32 * warp + 32), reverse);
        }
    } while (release(block, 0, n, Wait::Block));
    return std::all_of(block.fibres.begin(), block.fibres.end(),
                       [](const Fibre& fibre) { return fibre.wait == Wait::Done; });
}

}  // namespace

void block_barrier() { leave(Wait::Block); }
void warp_barrier() { leave(Wait::Warp); }

bool add(const char* name, Entry entry) {
    entries()[name] = std::move(entry);
    return true;
}

}  // namespace emulate

// Runs a kernel. `sizes`: bytes of each argument. `reverse`: blocks and threads from the last to the first.
// Returns 0; or 1: no such kernel, 2: other arguments, 3: threads wait for each other for ever, 4: a grid that
// no device takes, or more threads than the kernel is made for, 5: a copy of 16 bytes to or from no multiple of 16.
extern "C" __attribute__((visibility("default"))) int emulate_launch(const char* name, const unsigned* grid, const unsigned* threads, unsigned shared,
                              void** arguments, const size_t* sizes, size_t count, int reverse) {
    using namespace emulate;
    const auto found = entries().find(name);
    if (found == entries().end()) return 1;
    const auto& wanted = found->second.sizes;
    if (wanted.size() != count || !std::equal(wanted.begin(), wanted.end(), sizes)) return 2;
    const bool fits = grid[0] <= 0x7fffffff && grid[1] <= 65535 && grid[2] <= 65535 && threads[0] > 0 &&
                      threads[0] % 32 == 0 && threads[0] <= found->second.threads && threads[1] == 1 &&
                      threads[2] == 1 && shared <= 99 << 10;
    if (!fits) return 4;
    static std::mutex one_at_a_time;
    const std::lock_guard<std::mutex> lock(one_at_a_time);
    static Block block;
    running = &block;
    state = &block.state;
    block.state.misaligned = false;
    block.entry = &found->second;
    block.arguments = arguments;
    block.state.grid = {grid[0], grid[1], grid[2]};
    block.state.size = {threads[0], threads[1], threads[2]};
    const size_t n = size_t(threads[0]) * threads[1] * threads[2];
    block.fibres.resize(n);
    block.slots.resize((n + 31) / 32 * 32 * 64);
    // exactly as long as asked for, so that a sanitizer sees what lies beyond
    std::vector<unsigned char>(shared).swap(block.shared);
    block.state.shared = block.shared.data();
    for (size_t i = 0; i < n; i++) {
        Fibre& fibre = block.fibres[i];
        fibre.index = i;
        fibre.thread = {unsigned(i % threads[0]), unsigned(i / threads[0] % threads[1]),
                        unsigned(i / threads[0] / threads[1])};
    }
    const size_t blocks = size_t(grid[0]) * grid[1] * grid[2];
    for (size_t i = 0; i < blocks; i++) {
        const size_t b = reverse ? blocks - 1 - i : i;
        block.state.block = {unsigned(b % grid[0]), unsigned(b / grid[0] % grid[1]), unsigned(b / grid[0] / grid[1])};
        if (!run_block(block, reverse != 0)) return 3;
    }
    return block.state.misaligned ? 5 : 0;
}
