/* What the simulator can tell beyond the Neuron runtime's API. The same conventions as nrt/nrt.h. */
#ifndef GLIA_RUNTIME_NRT_NRT_GLIA_H_
#define GLIA_RUNTIME_NRT_NRT_GLIA_H_

#include <stddef.h>
#include <stdint.h>

#include "nrt/nrt.h"
#include "nrt/nrt_status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What went wrong in the calling thread's last call that failed; "" before any. Valid until the thread's
 * next failure. */
const char* glia_nrt_last_error(void);

typedef struct glia_nrt_model_statistics {
  uint64_t executions;            /* finished without error since loading */
  uint64_t last_simulated_ps;     /* of the last one; before any, of one pass over all segments */
  uint64_t hbm_constant_bytes;    /* charged to the core by loading */
  uint64_t hbm_scratch_bytes;     /* likewise */
  uint64_t hbm_io_bytes;          /* inputs and outputs together */
  uint64_t sbuf_peak_bytes;       /* per partition */
  uint64_t psum_peak_bytes;       /* per partition */
} glia_nrt_model_statistics_t;

NRT_STATUS glia_nrt_get_model_statistics(const nrt_model_t* model,
                                         glia_nrt_model_statistics_t* statistics);

/* As nrt_load, without a copy: the bytes must live and stay unchanged until the model is unloaded;
 * `release(context)` (may be null) is called once when they are needed no longer, on failure too. */
NRT_STATUS glia_nrt_load_view(const void* neff_bytes, size_t size, int32_t vnc,
                              void (*release)(void* context), void* context, nrt_model_t** model);

#ifdef __cplusplus
}
#endif

#endif /* GLIA_RUNTIME_NRT_NRT_GLIA_H_ */
