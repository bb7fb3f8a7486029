// NumPy's .npy files, format 1.0 to 3.0: the facts are those of numpy.lib.format. Little-endian f2, f4,
// f8, i1, i2, i4, i8, u1 and bool arrays; Fortran order is read, C order written.
#ifndef GLIA_TOOLS_NPY_H_
#define GLIA_TOOLS_NPY_H_

#include <ATen/core/Tensor.h>

#include <string>

namespace glia::tools {

// Throw std::runtime_error naming the file and what is wrong.
at::Tensor ReadNpy(const std::string& path);
// A bf16 tensor is written as f4, which holds every bf16 value. Written beside and renamed: all or nothing.
void WriteNpy(const std::string& path, const at::Tensor& tensor);

}  // namespace glia::tools

#endif  // GLIA_TOOLS_NPY_H_
