// The aligned sum in plain integers, written after docs/numerics.md: nothing of the RTL's.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

constexpr uint32_t CANONICAL_NAN = 0x7FC00000;

inline uint32_t bits_of(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

// A number m * 2^(e - low), which counts with exponent e.
struct Term {
    int exponent;
    int low;
    int64_t magnitude;
    bool negative;
};

// Returns the fp32 bits of acc + the sum of a[j] * b[j] over live j, for BF16 bits a and b.
inline uint32_t aligned_sum(const uint16_t* a, const uint16_t* b, uint64_t live, uint32_t acc,
                            int width, int window) {
    Term terms[65];
    int count = 0;
    for (int j = 0; j < width; j++) {
        if (!(live >> j & 1)) continue;
        const int ea = a[j] >> 7 & 255, eb = b[j] >> 7 & 255;
        if (ea == 255 || eb == 255) return CANONICAL_NAN;
        if (ea == 0 || eb == 0) continue;
        const int64_t product = int64_t(128 | (a[j] & 127)) * (128 | (b[j] & 127));
        terms[count++] = {ea + eb - 254, 14, product, bool((a[j] ^ b[j]) >> 15)};
    }
    const int field = acc >> 23 & 255;
    if (field == 255) return CANONICAL_NAN;
    if (field != 0) {
        terms[count++] = {field - 127, 23, int64_t(1 << 23 | (acc & 0x7FFFFF)), bool(acc >> 31)};
    }
    if (count == 0) return 0;
    int largest = terms[0].exponent;
    for (int k = 1; k < count; k++) largest = std::max(largest, terms[k].exponent);
    const int unit = largest + 2 - window;
    int64_t total = 0;
    for (int k = 0; k < count; k++) {
        const int shift = terms[k].exponent - terms[k].low - unit;
        // 24 bits move left by less than 40, or right, where all is gone after 63.
        const int64_t m = terms[k].magnitude;
        const int64_t aligned = shift >= 0 ? m << shift : m >> std::min(-shift, 63);
        total += terms[k].negative ? -aligned : aligned;
    }
    // Exact in a double, so this rounds once, as IEEE does; subnormal results are then zero.
    const float rounded = float(std::ldexp(double(total), unit));
    if (std::fabs(rounded) < 0x1p-126f) return 0;
    return std::isinf(rounded) ? CANONICAL_NAN : bits_of(rounded);
}
