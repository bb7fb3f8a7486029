/* What a model's NEFF says of its tensors. Layouts as in the Neuron runtime's public header. */
#ifndef GLIA_RUNTIME_NRT_NRT_EXPERIMENTAL_H_
#define GLIA_RUNTIME_NRT_NRT_EXPERIMENTAL_H_

#include <stddef.h>
#include <stdint.h>

#include "nrt/nrt.h"
#include "nrt/nrt_status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum nrt_tensor_usage {
  NRT_TENSOR_USAGE_INPUT = 0,
  NRT_TENSOR_USAGE_OUTPUT,
} nrt_tensor_usage_t;

#define NRT_TENSOR_NAME_MAX 256

typedef struct nrt_tensor_info {
  char name[NRT_TENSOR_NAME_MAX]; /* zero-terminated */
  nrt_tensor_usage_t usage;
  size_t size; /* bytes */
  nrt_dtype_t dtype;
  uint32_t* shape; /* ndim sizes */
  uint32_t ndim;
} nrt_tensor_info_t;

typedef struct nrt_tensor_info_array {
  uint64_t tensor_count;
  nrt_tensor_info_t tensor_array[]; /* tensor_count elements */
} nrt_tensor_info_array_t;

/* Inputs, then outputs, each in the program's order. Free it with nrt_free_model_tensor_info. */
NRT_STATUS nrt_get_model_tensor_info(nrt_model_t* model, nrt_tensor_info_array_t** tensor_info);
NRT_STATUS nrt_free_model_tensor_info(nrt_tensor_info_array_t* tensor_info);

/* 1: a model occupies one core. */
NRT_STATUS nrt_get_model_instance_count(nrt_model_t* model, uint32_t* instance_count);

typedef struct nrt_model_info {
  uint32_t vnc; /* index of the model's core among the visible ones */
} nrt_model_info_t;

NRT_STATUS nrt_get_model_info(const nrt_model_t* model, nrt_model_info_t* info, size_t info_size_in,
                              size_t* info_size_out);

#ifdef __cplusplus
}
#endif

#endif /* GLIA_RUNTIME_NRT_NRT_EXPERIMENTAL_H_ */
