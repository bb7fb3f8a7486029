/* A C program that uses the API as one written for libnrt does: it compiles as C and links. */
#include <stdio.h>
#include <string.h>

#include "nrt/nrt.h"
#include "nrt/nrt_experimental.h"
#include "nrt/nrt_glia.h"
#include "nrt/nrt_status.h"
#include "nrt/nrt_version.h"

#define CHECK(condition)                                               \
  do {                                                                 \
    if (!(condition)) {                                                \
      fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition, \
              glia_nrt_last_error());                                  \
      return 1;                                                        \
    }                                                                  \
  } while (0)

int main(void) {
  nrt_tensor_t* tensor = NULL;
  nrt_tensor_set_t* set = NULL;
  nrt_tensor_t* found = NULL;
  nrt_model_t* model = NULL;
  uint32_t cores = 0;
  char bytes[4] = {1, 2, 3, 4};
  char read[4] = {0, 0, 0, 0};
  CHECK(nrt_init(NRT_FRAMEWORK_TYPE_NO_FW, "1.0", "1.0") == NRT_SUCCESS);
  CHECK(nrt_get_visible_nc_count(&cores) == NRT_SUCCESS && cores >= 1);
  CHECK(nrt_tensor_allocate(NRT_TENSOR_PLACEMENT_DEVICE, 0, 4, "t", &tensor) == NRT_SUCCESS);
  CHECK(nrt_tensor_write(tensor, bytes, 0, 4) == NRT_SUCCESS);
  CHECK(nrt_tensor_read(tensor, read, 0, 4) == NRT_SUCCESS);
  CHECK(memcmp(bytes, read, 4) == 0);
  CHECK(nrt_allocate_tensor_set(&set) == NRT_SUCCESS);
  CHECK(nrt_add_tensor_to_tensor_set(set, "t", tensor) == NRT_SUCCESS);
  CHECK(nrt_get_tensor_from_tensor_set(set, "t", &found) == NRT_SUCCESS && found == tensor);
  CHECK(nrt_load("no NEFF", 7, -1, -1, &model) == NRT_INVALID && model == NULL);
  CHECK(strlen(glia_nrt_last_error()) > 0);
  nrt_destroy_tensor_set(&set);
  nrt_tensor_free(&tensor);
  nrt_close();
  return 0;
}
