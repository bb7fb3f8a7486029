/* Version of the runtime. Layout as in the Neuron runtime's public header. */
#ifndef GLIA_RUNTIME_NRT_NRT_VERSION_H_
#define GLIA_RUNTIME_NRT_NRT_VERSION_H_

#include <stddef.h>
#include <stdint.h>

#include "nrt/nrt_status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define RT_VERSION_DETAIL_LEN 128
#define GIT_HASH_LEN 64

typedef struct nrt_version {
  uint64_t rt_major;
  uint64_t rt_minor;
  uint64_t rt_patch;
  uint64_t rt_maintenance;
  char rt_detail[RT_VERSION_DETAIL_LEN]; /* says that this is glia's simulator */
  char git_hash[GIT_HASH_LEN];
} nrt_version_t;

/* Fills the first `size` bytes of *ver. NRT_INVALID: ver is null or size is 0. Callable before nrt_init. */
NRT_STATUS nrt_get_version(nrt_version_t* ver, size_t size);

#ifdef __cplusplus
}
#endif

#endif /* GLIA_RUNTIME_NRT_NRT_VERSION_H_ */
