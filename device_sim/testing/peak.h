// What the processor's multipliers reach at best, to measure products against.
#ifndef GLIA_DEVICE_SIM_TESTING_PEAK_H_
#define GLIA_DEVICE_SIM_TESTING_PEAK_H_

namespace glia::device {

// Floating-point operations a second of one core, from registers to registers: the best of several
// measurements of some milliseconds, the first time that it is asked. fp32 multiply-adds of the
// widest vectors, and dot products of bf16 pairs (0 where the processor has none).
double FmaPeak();
double Bf16Peak();

}  // namespace glia::device

#endif  // GLIA_DEVICE_SIM_TESTING_PEAK_H_
