/* One read or write of a batch; see nrt_tensor_read_batch. Layout as in the Neuron runtime's header. */
#ifndef GLIA_RUNTIME_NDL_NEURON_DRIVER_SHARED_TENSOR_BATCH_OP_H_
#define GLIA_RUNTIME_NDL_NEURON_DRIVER_SHARED_TENSOR_BATCH_OP_H_

#include <stdint.h>

typedef uint64_t nrt_tensor_batch_offset_t;
typedef uint64_t nrt_tensor_batch_size_t;

typedef struct nrt_tensor_batch_op {
  nrt_tensor_batch_offset_t offset; /* bytes from the tensor's start */
  nrt_tensor_batch_size_t size;     /* bytes */
  void* buffer;                     /* host memory */
} nrt_tensor_batch_op_t;

#endif /* GLIA_RUNTIME_NDL_NEURON_DRIVER_SHARED_TENSOR_BATCH_OP_H_ */
