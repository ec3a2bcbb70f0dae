// Random beats of many kinds, biased to the corners.
#pragma once

#include <cstdint>

class Random {
  public:
    explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15 + 1) {}

    // Returns 64 random bits (xorshift with a multiplier).
    uint64_t bits() {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return state_ * 0x2545F4914F6CDD1D;
    }

    // Returns a number from 0 to n - 1.
    uint32_t below(uint32_t n) { return uint32_t((bits() >> 32) * n >> 32); }

    bool one_in(uint32_t n) { return below(n) == 0; }

  private:
    uint64_t state_;
};

template <int N>
struct Beat {
    uint16_t a[N];
    uint16_t b[N];
    uint64_t live;
    uint32_t acc;
};

// Ranges of the exponent fields of a and b (from, how many), and of the accumulator's.
struct Kind {
    int from, count, acc_from, acc_count;
};

constexpr Kind KINDS[] = {
    {120, 11, 118, 21},  // all alike
    {1, 254, 1, 254},    // anything finite
    {50, 26, 1, 10},     // down to subnormal results
    {60, 7, 1, 4},       // about the smallest normal result
    {186, 7, 246, 9},    // about overflow
    {113, 29, 90, 61},   // across the window
    {127, 1, 127, 1},    // one exponent: the sums are largest
};
constexpr uint16_t CORNERS[] = {0x0000, 0x8000, 0x0001, 0x807F, 0x0080, 0x80FF, 0x7F7F, 0xFF00,
                                0x7F80, 0xFF80, 0x7FC0, 0x3F80, 0xBF80, 0x3FFF, 0x4000, 0xC07F};
constexpr uint32_t ACC_CORNERS[] = {0x00000000, 0x80000000, 0x00000001, 0x807FFFFF,
                                    0x00800000, 0x80FFFFFF, 0x7F7FFFFF, 0xFF000000,
                                    0x7F800000, 0x7FC00000, 0x3F800000, 0xCB800001};

// Returns a number with an exponent field of the range; its fraction is often all zeros or ones.
inline uint32_t number(Random& random, int from, int count, int fraction_bits) {
    const uint32_t ones = (1u << fraction_bits) - 1;
    const uint64_t bits = random.bits();
    uint32_t fraction = uint32_t(bits) & ones;
    if ((bits >> 32 & 3) == 0) fraction = (bits >> 34 & 1) ? ones : 0;
    const uint32_t sign = uint32_t(bits >> 63);
    return (sign << 8 | (from + random.below(count))) << fraction_bits | fraction;
}

template <int N>
Beat<N> random_beat(Random& random) {
    Beat<N> beat;
    const Kind& kind = KINDS[random.below(sizeof KINDS / sizeof KINDS[0])];
    for (int j = 0; j < N; j++) {
        beat.a[j] = uint16_t(number(random, kind.from, kind.count, 7));
        beat.b[j] = uint16_t(number(random, kind.from, kind.count, 7));
    }
    beat.acc = number(random, kind.acc_from, kind.acc_count, 23);
    if (random.one_in(4)) beat.acc = 0;
    if (random.one_in(3)) {  // products cancel in pairs, but for a little here and there
        for (int j = 0; j + 1 < N; j += 2) {
            beat.a[j + 1] = beat.a[j] ^ 0x8000;
            beat.b[j + 1] = beat.b[j] ^ uint16_t(random.one_in(8));
        }
    }
    if (random.one_in(4)) {  // one huge product among the others
        const int j = random.below(N);
        beat.a[j] = uint16_t(number(random, 137, 10, 7));
        beat.b[j] = uint16_t(number(random, 137, 10, 7));
    }
    const bool all_corners = random.one_in(16);
    for (int n = all_corners ? N : random.one_in(8); n > 0; n--) {
        const int j = all_corners ? n - 1 : random.below(N);
        beat.a[j] = CORNERS[random.below(16)];
        if (all_corners) beat.b[j] = CORNERS[random.below(16)];
        if (random.one_in(4)) beat.acc = ACC_CORNERS[random.below(12)];
    }
    // Live: all, one in two, one in 32, or a prefix as attention has it.
    const uint64_t r = random.bits();
    switch (random.below(5)) {
        case 0: beat.live = r; break;
        case 1: beat.live = r & random.bits() & random.bits() & random.bits() & random.bits(); break;
        case 2: beat.live = (uint64_t(1) << (r & 63)) - 1; break;
        default: beat.live = ~uint64_t(0);
    }
    if (N < 64) beat.live &= (uint64_t(1) << (N & 63)) - 1;
    return beat;
}
