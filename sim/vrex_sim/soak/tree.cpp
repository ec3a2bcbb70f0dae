// Drives a compiled tree with a random beat every cycle and compares every result with the model.
//
// Arguments: beats, seed, and a file (or "-") that gets the beats and the model's results.
// WIDTH, WINDOW and LATENCY are given by the compiler's command line.

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "Vtree.h"
#include "beats.h"
#include "model.h"
#include "verilated.h"

int main(int argc, char** argv) {
    if (argc != 4) return std::fprintf(stderr, "usage: %s BEATS SEED FILE\n", argv[0]), 2;
    const uint64_t beats = std::strtoull(argv[1], nullptr, 10);
    Random random(std::strtoull(argv[2], nullptr, 10));
    std::FILE* file = argv[3][0] == '-' ? nullptr : std::fopen(argv[3], "wb");

    auto tree = std::make_unique<Vtree>();
    std::vector<uint32_t> wanted(LATENCY);
    uint64_t nans = 0, zeros = 0;
    for (uint64_t cycle = 0; cycle < beats + LATENCY; cycle++) {
        const Beat<WIDTH> beat = random_beat<WIDTH>(random);
        std::memcpy(&tree->a, beat.a, sizeof beat.a);
        std::memcpy(&tree->b, beat.b, sizeof beat.b);
        std::memcpy(&tree->live, &beat.live, sizeof tree->live);
        tree->acc = beat.acc;
        tree->clk = 0;
        tree->eval();
        // What came LATENCY cycles ago is there before the edge that takes this beat.
        uint32_t& slot = wanted[cycle % LATENCY];
        if (cycle >= LATENCY) {
            nans += slot == CANONICAL_NAN;
            zeros += slot == 0;
            if (tree->out != slot) {
                std::printf("beat %llu: %08x, wanted %08x\n",
                            static_cast<unsigned long long>(cycle - LATENCY), tree->out, slot);
                return 1;
            }
        }
        slot = aligned_sum(beat.a, beat.b, beat.live, beat.acc, WIDTH, WINDOW);
        if (file != nullptr && cycle < beats) {
            std::fwrite(&beat, sizeof beat, 1, file);
            std::fwrite(&slot, sizeof slot, 1, file);
        }
        tree->clk = 1;
        tree->eval();
    }
    if (file != nullptr) std::fclose(file);
    std::printf("%llu beats agree: %llu NaN, %llu zero\n", static_cast<unsigned long long>(beats),
                static_cast<unsigned long long>(nans), static_cast<unsigned long long>(zeros));
    return 0;
}
