// What Python calls: a device is a model in its loop. `model.h` is generated for the top.
#include "loop.h"
#include "model.h"

#include "verilated.h"

#include <sstream>

#define API extern "C" __attribute__((visibility("default")))

using Device = Loop<Model>;

// Verilator's library wants it; the model asks for no time.
double sc_time_stamp() { return 0; }

API Device* vrex_new() { return new Device; }
API void vrex_reset(Device* device) { device->reset(); }
API void vrex_delete(Device* device) { delete device; }

// `state` is that of a Mersenne Twister as libstdc++ reads it: 624 words and the position.
API void vrex_stream(Device* device, uint32_t index, int64_t last_bit, double pause,
                     const char* state) {
    Stream& stream = device->streams[index];
    stream.last_bit = last_bit;
    stream.pause = pause;
    std::istringstream(state) >> stream.random;
}

API void vrex_send(Device* device, uint32_t index, const uint8_t* beats, uint64_t bytes) {
    Stream& stream = device->streams[index];
    stream.beats.insert(stream.beats.end(), beats, beats + bytes);
}

API uint32_t vrex_run(Device* device, const uint64_t* targets, uint64_t count, uint64_t patience,
                      uint64_t* taken, uint64_t* where) {
    for (Stream& stream : device->streams) stream.target = *targets++;
    const Outcome outcome = device->run(count, patience);
    for (const Stream& stream : device->streams)
        *taken++ = stream.input ? stream.done : stream.cycles.size();
    where[0] = device->cycle;
    where[1] = device->culprit;
    return outcome;
}

// Move all the beats that an output gave out to `beats` and `cycles`.
API void vrex_take(Device* device, uint32_t index, uint8_t* beats, uint64_t* cycles) {
    Stream& stream = device->streams[index];
    std::memcpy(beats, stream.beats.data(), stream.cycles.size() * stream.bytes);
    std::memcpy(cycles, stream.cycles.data(), stream.cycles.size() * sizeof(uint64_t));
    stream.beats.clear();
    stream.cycles.clear();
}

API void vrex_set(Device* device, uint32_t index, const uint8_t* value) {
    std::memcpy(device->plain[index].at, value, device->plain[index].bytes);
}

API void vrex_get(Device* device, uint32_t index, uint8_t* value) {
    std::memcpy(value, device->plain[index].at, device->plain[index].bytes);
}
