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

/* Tells the runtime that the tensor's contents are expected to stay the same over many runs: weights.
 * Runs may then keep what they derive from them alone, as they do for constants, which takes about as
 * long as loading and as much memory as the weights, in the second of two runs with the same contents.
 * Results and simulated time are the same with and without. Every write by this API is noticed (the
 * tensor's slices and outputs of executions included); a tensor whose address was asked for
 * (nrt_tensor_get_va) or attached is never kept. */
NRT_STATUS glia_nrt_tensor_set_weight(nrt_tensor_t* tensor, bool weight);

/* What the start of an event was due to: the last of all that it needed. */
typedef enum glia_nrt_wait_cause {
  GLIA_NRT_WAIT_ENGINE = 0,    /* its engine did the instruction before it; of the first, nothing */
  GLIA_NRT_WAIT_SEMAPHORE = 1, /* a semaphore, one hop after cause_event raised it */
  GLIA_NRT_WAIT_RESULT = 2,    /* a result of the same engine was still in the pipeline */
  GLIA_NRT_WAIT_TRIGGER = 3,   /* transfers: the fixed time from trigger to start */
  GLIA_NRT_WAIT_QUEUE = 4      /* transfers: the one before in the queue */
} glia_nrt_wait_cause_t;

/* An instruction or a transfer. Times in picoseconds from the start of its segment; other events by
 * their index in the profile, or -1. */
typedef struct glia_nrt_profile_event {
  uint32_t segment;
  uint32_t engine;        /* 0 PE, 1 ACT, 2 POOL, 3 DVE, 4 SP; of a transfer, the one that triggers it */
  int32_t queue;          /* of a transfer; -1: an instruction */
  uint32_t index;         /* in the engine's stream; of a transfer, its trigger's */
  uint32_t cause;         /* glia_nrt_wait_cause_t */
  int32_t cause_event;
  int32_t port_event;     /* held a memory port that the event needed from ready_ps to start_ps */
  int32_t complete_event; /* an earlier one of the engine whose later result complete_ps is */
  uint64_t ready_ps;      /* all but the ports was there */
  uint64_t start_ps;
  uint64_t free_ps;       /* the engine could go on; of a transfer, complete_ps */
  uint64_t complete_ps;   /* result and semaphore were there */
  uint64_t alone_ps;      /* transfers: duration with all DMA engines to itself */
} glia_nrt_profile_event_t;

typedef struct glia_nrt_profile_segment {
  uint64_t duration_ps;
  uint64_t busy_ps[6];    /* of the five engines, and any DMA engine */
  uint64_t hbm_read_bytes;
  uint64_t hbm_write_bytes;
  int32_t last_event;     /* the one that the segment's end is due to; -1: an empty segment */
} glia_nrt_profile_segment_t;

typedef struct glia_nrt_profile {
  glia_nrt_model_statistics_t statistics; /* executions 0, last_simulated_ps of one pass over all segments */
  uint64_t segment_count;
  const glia_nrt_profile_segment_t* segments;
  uint64_t event_count;
  const glia_nrt_profile_event_t* events; /* in the order of issue, a transfer after its trigger */
} glia_nrt_profile_t;

/* What a run of the NEFF does when: a function of the NEFF alone, so nothing is loaded or run, and
 * nrt_init is not needed. Errors as of nrt_load. */
NRT_STATUS glia_nrt_profile_neff(const void* neff_bytes, size_t size, glia_nrt_profile_t** profile);
NRT_STATUS glia_nrt_free_profile(glia_nrt_profile_t* profile);

#ifdef __cplusplus
}
#endif

#endif /* GLIA_RUNTIME_NRT_NRT_GLIA_H_ */
