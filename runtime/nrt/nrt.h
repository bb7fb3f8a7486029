/* The NRT C API on simulated NeuronCores. Names, signatures and values are those of the Neuron runtime's
 * public header nrt/nrt.h; functions that have no meaning without hardware (collectives, DMA-BUF, EFA)
 * are not declared, so that their use fails at compile time rather than at run time.
 *
 * Every function is thread-safe. Handles are checked: one that was freed gives NRT_INVALID_HANDLE. Between
 * nrt_init and nrt_close only, unless said otherwise: else NRT_UNINITIALIZED or NRT_CLOSED. The text of
 * the calling thread's last error: glia_nrt_last_error() in nrt/nrt_glia.h. Sizes and offsets are bytes.
 *
 * Environment, read by nrt_init: NEURON_RT_VISIBLE_CORES ("0", "0-1", "0,2-3"), NEURON_RT_NUM_CORES,
 * NEURON_RT_LOG_LEVEL (ERROR and above print errors to stderr), GLIA_DEVICE (fast | interpreter),
 * GLIA_NUM_DEVICES (default 1, two cores each), GLIA_HBM_BYTES (capacity of a core). */
#ifndef GLIA_RUNTIME_NRT_NRT_H_
#define GLIA_RUNTIME_NRT_NRT_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ndl/neuron_driver_shared_tensor_batch_op.h"
#include "nrt/nrt_status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define NRT_MAJOR_VERSION 2
#define NRT_MINOR_VERSION 0

typedef struct nrt_model nrt_model_t;
typedef struct nrt_tensor nrt_tensor_t;
typedef void nrt_tensor_set_t;

typedef enum {
  NRT_TENSOR_PLACEMENT_DEVICE,  /* charged to the core's HBM */
  NRT_TENSOR_PLACEMENT_HOST,    /* host memory, usable with every core */
  NRT_TENSOR_PLACEMENT_VIRTUAL, /* no memory until a buffer is attached */
} nrt_tensor_placement_t;

typedef enum {
  NRT_FRAMEWORK_TYPE_INVALID = 0,
  NRT_FRAMEWORK_TYPE_NO_FW = 1,
  NRT_FRAMEWORK_TYPE_TENSORFLOW,
  NRT_FRAMEWORK_TYPE_PYTORCH,
  NRT_FRAMEWORK_TYPE_MXNET,
  NRT_FRAMEWORK_TYPE_PRECHECK,
} nrt_framework_type_t;

enum {
  NRT_INSTANCE_UNKNOWN = 0,
  NRT_INSTANCE_INF1 = 1,
  NRT_INSTANCE_TRN1 = 2,
  NRT_INSTANCE_TRN1N = 3,
  NRT_INSTANCE_INF2 = 4,
};

enum {
  NRT_INSTANCE_SIZE_1XL,
  NRT_INSTANCE_SIZE_2XL,
  NRT_INSTANCE_SIZE_4XL,
  NRT_INSTANCE_SIZE_6XL,
  NRT_INSTANCE_SIZE_8XL,
  NRT_INSTANCE_SIZE_24XL,
  NRT_INSTANCE_SIZE_32XL,
  NRT_INSTANCE_SIZE_48XL,
  NRT_INSTANCE_SIZE_3XL,
  NRT_INSTANCE_SIZE_UNKNOWN,
};

typedef enum nrt_dtype {
  NRT_DTYPE_UNKNOWN = 0x0,
  NRT_DTYPE_INVALID = 0x0,
  NRT_DTYPE_UINT64 = 0x1,
  NRT_DTYPE_INT8 = 0x2,
  NRT_DTYPE_UINT8 = 0x3, /* also pred: one byte, 0 or 1 */
  NRT_DTYPE_INT16 = 0x4,
  NRT_DTYPE_UINT16 = 0x5,
  NRT_DTYPE_BFLOAT16 = 0x6,
  NRT_DTYPE_FLOAT16 = 0x7,
  NRT_DTYPE_INT32 = 0x8,
  NRT_DTYPE_UINT32 = 0x9,
  NRT_DTYPE_FLOAT32 = 0xA,
  NRT_DTYPE_FP32R = 0xB,
  NRT_DTYPE_INT64 = 0xC,
  NRT_DTYPE_FP8_E3 = 0xD,
  NRT_DTYPE_FP8_E4 = 0xE,
  NRT_DTYPE_FP8_E5 = 0xF,
} nrt_dtype_t;

typedef struct nrt_instance_info {
  uint32_t family; /* NRT_INSTANCE_INF2 */
  uint32_t size;
  char arch_name[16];
  char device_revision[8];
} nrt_instance_info_t;

/* Fills the first instance_info_len bytes of *info. Callable before nrt_init. */
NRT_STATUS nrt_get_instance_info(nrt_instance_info_t* info, size_t instance_info_len);

/* Reads the environment and makes the visible cores. A second call without nrt_close in between does
 * nothing. NRT_INVALID: a variable of the environment has no valid value. The strings may be null. */
NRT_STATUS nrt_init(nrt_framework_type_t framework, const char* fw_version, const char* fal_version);

/* Unloads every model. Tensors keep their memory and may still be freed. nrt_init may follow. */
void nrt_close(void);

/* Loads a NEFF onto core `vnc` (an index among the visible ones; -1: round robin). vnc_count is ignored,
 * as libnrt does: pass -1. The bytes are copied. NRT_INVALID: no valid NEFF (truncated, altered, races).
 * NRT_UNSUPPORTED_NEFF_VERSION, NRT_RESOURCE (constants or scratch do not fit), NRT_LOAD_NOT_ENOUGH_NC. */
NRT_STATUS nrt_load(const void* neff_bytes, size_t size, int32_t vnc, int32_t vnc_count,
                    nrt_model_t** model);
/* A run under way in another thread finishes first. */
NRT_STATUS nrt_unload(nrt_model_t* model);

NRT_STATUS nrt_get_model_nc_count(const nrt_model_t* model, uint32_t* vnc_count); /* 1 */
NRT_STATUS nrt_get_model_vnc_count(const nrt_model_t* model, uint32_t* vnc_count);
/* Callable before nrt_init. */
NRT_STATUS nrt_get_total_nc_count(uint32_t* vnc_count);
NRT_STATUS nrt_get_total_vnc_count(uint32_t* vnc_count);
NRT_STATUS nrt_get_visible_nc_count(uint32_t* vnc_count);
NRT_STATUS nrt_get_visible_vnc_count(uint32_t* vnc_count);

/* A set names tensors for one side of an execution. It does not own them: each must live until the set is
 * destroyed. Adding a name again replaces its tensor. */
NRT_STATUS nrt_allocate_tensor_set(nrt_tensor_set_t** result);
void nrt_destroy_tensor_set(nrt_tensor_set_t** tensor_set); /* sets *tensor_set to null */
NRT_STATUS nrt_add_tensor_to_tensor_set(nrt_tensor_set_t* tensor_set, const char* tensor_name,
                                        nrt_tensor_t* tensor);
NRT_STATUS nrt_get_tensor_from_tensor_set(nrt_tensor_set_t* tensor_set, const char* tensor_name,
                                          nrt_tensor_t** tensor);

/* Runs the model once and returns when it has finished. Sets may hold more tensors than the model has.
 * NRT_EXEC_BAD_INPUT: a tensor is missing, has another size than the model's, lies on another core, or an
 * output overlaps an input that it does not alias. NRT_EXEC_OOB. The model stays usable after an error. */
NRT_STATUS nrt_execute(nrt_model_t* model, const nrt_tensor_set_t* input_set,
                       nrt_tensor_set_t* output_set);
/* Runs it repeat_count times, each run on the same sets. NRT_INVALID: repeat_count < 1. */
NRT_STATUS nrt_execute_repeat(nrt_model_t* model, const nrt_tensor_set_t* input_set,
                              nrt_tensor_set_t* output_set, int repeat_count);

/* Zero-filled. `vnc` is an index among the visible cores; ignored for host tensors. The name may be null.
 * NRT_RESOURCE: the core's HBM is exhausted. */
NRT_STATUS nrt_tensor_allocate(nrt_tensor_placement_t tensor_placement, int vnc, size_t size,
                               const char* name, nrt_tensor_t** tensor);
/* The memory goes with the last tensor that shares it. Sets *tensor to null. */
void nrt_tensor_free(nrt_tensor_t** tensor);
NRT_STATUS nrt_tensor_read(const nrt_tensor_t* tensor, void* buf, size_t offset, size_t size);
NRT_STATUS nrt_tensor_write(nrt_tensor_t* tensor, const void* buf, size_t offset, size_t size);

typedef struct nrt_tensor_batch {
  const nrt_tensor_t* tensor;
  const nrt_tensor_batch_op_t* ops;
  uint32_t num_ops;
} nrt_tensor_batch_t;

/* All operations are checked before the first one moves bytes. `unsafe` has no effect here. */
NRT_STATUS nrt_tensor_read_batch(const nrt_tensor_batch_t* batches, uint64_t num_batches, bool unsafe);
NRT_STATUS nrt_tensor_write_batch(const nrt_tensor_batch_t* batches, uint64_t num_batches, bool unsafe);

/* Two device tensors must lie on one core, else NRT_INVALID. The ranges may overlap. */
NRT_STATUS nrt_tensor_copy(const nrt_tensor_t* src, size_t src_offset, nrt_tensor_t* dst,
                           size_t dst_offset, size_t size);
size_t nrt_tensor_get_size(const nrt_tensor_t* tensor); /* 0 for an unknown handle */
NRT_STATUS nrt_tensor_memset(nrt_tensor_t* tensor, uint64_t offset, int value, size_t size);

/* A tensor without memory, for nrt_tensor_attach_buffer: host memory of the caller's, which must outlive
 * its use and is never freed here. Attaching replaces what was there. */
NRT_STATUS nrt_tensor_allocate_empty(const char* name, nrt_tensor_t** tensor);
NRT_STATUS nrt_tensor_attach_buffer(nrt_tensor_t* tensor, void* buffer, size_t size);
/* A part of another tensor's memory, which it keeps alive. */
NRT_STATUS nrt_tensor_allocate_slice(const nrt_tensor_t* tensor_source, size_t offset, size_t size,
                                     const char* name, nrt_tensor_t** tensor_slice);
/* Host address of the memory; null where there is none. */
void* nrt_tensor_get_va(const nrt_tensor_t* tensor);

/* Counts the finished executions that wrote this tensor. Waits until the count has reached `expected`, at
 * most `timeout` microseconds (negative: no limit): NRT_TIMEOUT. */
NRT_STATUS nrt_tensor_check_output_completion(const nrt_tensor_t* output_tensor, int64_t timeout,
                                              uint64_t expected_completion_count);
NRT_STATUS nrt_tensor_reset_output_completion(nrt_tensor_t* output_tensor);

typedef struct nrt_vnc_memory_stats {
  size_t bytes_used;
  size_t bytes_limit;
} nrt_vnc_memory_stats_t;

/* HBM of a visible core. Fills at most stats_size_in bytes; *stats_size_out (may be null) tells how many. */
NRT_STATUS nrt_get_vnc_memory_stats(uint32_t vnc, nrt_vnc_memory_stats_t* stats, size_t stats_size_in,
                                    size_t* stats_size_out);

#ifdef __cplusplus
}
#endif

#endif /* GLIA_RUNTIME_NRT_NRT_H_ */
