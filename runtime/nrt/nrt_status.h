/* Status codes of the NRT C API. Names and values are those of the Neuron runtime's public header of the
 * same name, so that a program written for libnrt compiles and links unchanged. */
#ifndef GLIA_RUNTIME_NRT_NRT_STATUS_H_
#define GLIA_RUNTIME_NRT_NRT_STATUS_H_

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
  NRT_SUCCESS = 0,
  NRT_FAILURE = 1,
  NRT_INVALID = 2,                   /* bad argument, or bytes that are no valid NEFF */
  NRT_INVALID_HANDLE = 3,            /* a model, tensor or set that is not, or no longer, known */
  NRT_RESOURCE = 4,                  /* device or host memory exhausted */
  NRT_TIMEOUT = 5,
  NRT_HW_ERROR = 6,
  NRT_QUEUE_FULL = 7,
  NRT_LOAD_NOT_ENOUGH_NC = 9,        /* the core asked for is not visible to this process */
  NRT_UNSUPPORTED_NEFF_VERSION = 10, /* a newer version, or made by another compiler */
  NRT_FAIL_HOST_MEM_ALLOC = 11,
  NRT_UNINITIALIZED = 13,            /* before nrt_init */
  NRT_CLOSED = 14,                   /* after nrt_close */
  NRT_QUEUE_EMPTY = 15,
  NRT_EXEC_UNIT_UNRECOVERABLE = 101,
  NRT_EXEC_BAD_INPUT = 1002,         /* a tensor missing from a set, or of the wrong size or core */
  NRT_EXEC_COMPLETED_WITH_NUM_ERR = 1003,
  NRT_EXEC_COMPLETED_WITH_ERR = 1004,
  NRT_EXEC_NC_BUSY = 1005,
  NRT_EXEC_OOB = 1006,               /* an indirect transfer addressed a row out of bounds */
  NRT_COLL_PENDING = 1100,
  NRT_EXEC_HW_ERR_COLLECTIVES = 1200,
  NRT_EXEC_HW_ERR_HBM_UE = 1201,
  NRT_EXEC_HW_ERR_NC_UE = 1202,
  NRT_EXEC_HW_ERR_DMA_ABORT = 1203,
  NRT_EXEC_SW_NQ_OVERFLOW = 1204,
  NRT_EXEC_HW_ERR_REPAIRABLE_HBM_UE = 1205,
  NRT_NETWORK_PROXY_FAILURE = 1206,
} NRT_STATUS;

/* The name of the status ("NRT_INVALID"), a static string; "NRT_UNKNOWN" for any other value. */
const char* nrt_get_status_as_str(NRT_STATUS status);

#ifdef __cplusplus
}
#endif

#endif /* GLIA_RUNTIME_NRT_NRT_STATUS_H_ */
