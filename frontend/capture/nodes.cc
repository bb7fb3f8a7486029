#include "frontend/capture/nodes.h"

#include <array>
#include <cstring>

#include "frontend/capture/backend.h"
#include "frontend/capture/info_cache.h"

namespace glia::capture {
namespace {

using InfoPtr = std::shared_ptr<const NodeInfo>;

Hasher StartHash(NodeKind kind) {
  Hasher hasher;
  hasher.Add(static_cast<uint64_t>(kind));
  return hasher;
}

// The info of that hash; `make` fills a new one in on a miss.
template <typename F>
InfoPtr Remember(const Hash128& hash, F make) {
  if (const InfoPtr* found = FindInfo(hash)) return *found;
  auto info = std::make_shared<NodeInfo>();
  info->hash = hash;
  make(*info);
  return InsertInfo(hash, std::move(info));
}

TensorMeta Meta(c10::IntArrayRef sizes, c10::IntArrayRef strides, at::ScalarType dtype,
                int64_t offset = 0) {
  TensorMeta m;
  m.sizes = sizes.vec();
  m.strides = strides.vec();
  m.dtype = dtype;
  m.storage_offset = offset;
  return m;
}

void AddScalar(Hasher& hasher, const c10::Scalar& s) {
  hasher.Add(static_cast<uint64_t>(s.type()));
  if (s.isComplex()) {
    const c10::complex<double> c = s.toComplexDouble();
    const double parts[2] = {c.real(), c.imag()};
    hasher.AddBytes(parts, sizeof(parts));
  } else if (s.isFloatingPoint()) {
    const double d = s.toDouble();
    hasher.AddBytes(&d, sizeof(d));
  } else {
    hasher.Add(static_cast<uint64_t>(s.toLong()));
  }
}

const OpInfo* RequireOp(const char* name) {
  const OpInfo* op = FindOpInfo(name);
  TORCH_CHECK(op != nullptr, "libtorch has no operator ", name);
  return op;
}

Value MakeInput(TensorMeta meta, uint64_t tag) {
  Hasher hasher = StartHash(NodeKind::kInput);
  hasher.Add(tag);
  AddMeta(hasher, meta.sizes, meta.strides, meta.dtype);
  InfoPtr info = Remember(hasher.Get(), [&](NodeInfo& i) { i.outputs.push_back(std::move(meta)); });
  return {c10::make_intrusive<Node>(NodeKind::kInput, std::move(info)), 0};
}

void AddRegion(Hasher& hasher, const TensorMeta& layout, c10::IntArrayRef sizes,
               c10::IntArrayRef strides, int64_t offset, at::ScalarType dtype) {
  AddMeta(hasher, layout.sizes, layout.strides, layout.dtype);
  AddMeta(hasher, sizes, strides, dtype);
  hasher.Add(static_cast<uint64_t>(offset));
}

}  // namespace

bool SameStrides(c10::IntArrayRef sizes, c10::IntArrayRef a, c10::IntArrayRef b) {
  for (size_t d = 0; d < sizes.size(); ++d) {
    if (sizes[d] != 1 && a[d] != b[d]) return false;
  }
  return true;
}

bool SameStorageOrder(const TensorMeta& a, const TensorMeta& b) {
  return a.dtype == b.dtype && a.sizes == b.sizes && SameStrides(a.sizes, a.strides, b.strides);
}

void AddMeta(Hasher& hasher, c10::IntArrayRef sizes, c10::IntArrayRef strides,
             at::ScalarType dtype) {
  hasher.Add(static_cast<uint64_t>(dtype) << 32 | sizes.size());
  for (int64_t s : sizes) hasher.Add(static_cast<uint64_t>(s));
  for (int64_t s : strides) hasher.Add(static_cast<uint64_t>(s));
}

Value MakeZeros(c10::IntArrayRef sizes, c10::IntArrayRef strides, at::ScalarType dtype) {
  Hasher hasher = StartHash(NodeKind::kZeros);
  AddMeta(hasher, sizes, strides, dtype);
  InfoPtr info = Remember(hasher.Get(),
                          [&](NodeInfo& i) { i.outputs.push_back(Meta(sizes, strides, dtype)); });
  return {c10::make_intrusive<Node>(NodeKind::kZeros, std::move(info)), 0};
}

Value MakeFull(c10::IntArrayRef sizes, c10::IntArrayRef strides, at::ScalarType dtype,
               const c10::Scalar& value) {
  static const OpInfo* const op = RequireOp("aten::full");
  Hasher hasher = StartHash(NodeKind::kOp);
  hasher.Add(op->hash);
  AddMeta(hasher, sizes, strides, dtype);
  AddScalar(hasher, value);
  InfoPtr info = Remember(hasher.Get(), [&](NodeInfo& i) {
    i.op = op;
    i.outputs.push_back(Meta(sizes, strides, dtype));
    i.returns.push_back({});
    i.args.resize(op->args.size());
    i.args[0] = sizes;
    i.args[1] = value;
    i.args[2] = static_cast<int64_t>(dtype);
  });
  return {c10::make_intrusive<Node>(NodeKind::kOp, std::move(info)), 0};
}

Value MakeConstant(const c10::Scalar& value, bool wrapped_number) {
  Hasher hasher = StartHash(NodeKind::kConstant);
  AddScalar(hasher, value);
  hasher.Add(wrapped_number);
  // A program repeats its numbers: one node for all of them.
  struct Known {
    Hash128 hash;
    NodePtr node;
  };
  thread_local std::array<Known, 64> recent;
  Known& known = recent[hasher.Get().lo % recent.size()];
  if (known.node && known.hash == hasher.Get()) return {known.node, 0};
  InfoPtr info = Remember(hasher.Get(), [&](NodeInfo& i) {
    TensorMeta m;
    m.dtype = value.type();
    m.wrapped_number = wrapped_number;
    i.outputs.push_back(m);
    i.scalar = value;
  });
  known = {hasher.Get(), c10::make_intrusive<Node>(NodeKind::kConstant, std::move(info))};
  return {known.node, 0};
}

Value MakeConvert(const Value& value, at::ScalarType dtype) {
  const TensorMeta& from = value.meta();
  if (from.dtype == dtype) return value;
  static const OpInfo* const op = RequireOp("aten::_to_copy");
  Hasher hasher = StartHash(NodeKind::kOp);
  hasher.Add(op->hash);
  AddMeta(hasher, from.sizes, from.strides, from.dtype);
  hasher.Add(static_cast<uint64_t>(dtype));
  InfoPtr info = Remember(hasher.Get(), [&](NodeInfo& i) {
    i.op = op;
    i.outputs.push_back(Meta(from.sizes, from.strides, dtype));
    i.returns.push_back({});
    i.args.resize(op->args.size());
    i.args[0] = int64_t{0};
    i.args[1] = static_cast<int64_t>(dtype);
    for (size_t a = 0; a < i.args.size(); ++a) {
      if (op->handle.schema().arguments()[a].name() == "non_blocking") i.args[a] = false;
    }
  });
  NodePtr node = c10::make_intrusive<Node>(NodeKind::kOp, std::move(info));
  node->operands.push_back(value);
  return {std::move(node), 0};
}

Value MakeUnary(const char* name, const Value& value) {
  const OpInfo* const op = RequireOp(name);
  const TensorMeta& from = value.meta();
  Hasher hasher = StartHash(NodeKind::kOp);
  hasher.Add(op->hash);
  AddMeta(hasher, from.sizes, from.strides, from.dtype);
  InfoPtr info = Remember(hasher.Get(), [&](NodeInfo& i) {
    i.op = op;
    i.outputs.push_back(Meta(from.sizes, from.strides, from.dtype));
    i.returns.push_back({});
    i.args.resize(op->args.size());
    i.args[0] = int64_t{0};
  });
  NodePtr node = c10::make_intrusive<Node>(NodeKind::kOp, std::move(info));
  node->operands.push_back(value);
  return {std::move(node), 0};
}

Value MakeDataInput(std::shared_ptr<DeviceData> data, TensorMeta meta) {
  Value v = MakeInput(std::move(meta), 0);
  v.node->data = std::move(data);
  return v;
}

Value MakeHostInput(at::Tensor host, TensorMeta meta) {
  Value v = MakeInput(std::move(meta), 1);
  v.node->host = std::move(host);
  return v;
}

Value MakeParameter(int64_t position, TensorMeta meta) {
  Value v = MakeInput(std::move(meta), 2);
  v.node->parameter = position;
  return v;
}

Value MakeView(const Value& base, const TensorMeta& layout, c10::IntArrayRef sizes,
               c10::IntArrayRef strides, int64_t offset, at::ScalarType dtype) {
  if (offset == 0 && dtype == layout.dtype && sizes == c10::IntArrayRef(layout.sizes) &&
      SameStrides(sizes, strides, layout.strides)) {
    return base;
  }
  Hasher hasher = StartHash(NodeKind::kView);
  AddRegion(hasher, layout, sizes, strides, offset, dtype);
  InfoPtr info = Remember(hasher.Get(), [&](NodeInfo& i) {
    i.base = Meta(layout.sizes, layout.strides, layout.dtype);
    i.region = Meta(sizes, strides, dtype, offset);
    i.outputs.push_back(Meta(sizes, ContiguousStrides({sizes.data(), sizes.size()}), dtype));
  });
  NodePtr node = c10::make_intrusive<Node>(NodeKind::kView, std::move(info));
  node->operands.push_back(base);
  return {std::move(node), 0};
}

Value MakeUpdate(const Value& base, const TensorMeta& layout, c10::IntArrayRef sizes,
                 c10::IntArrayRef strides, int64_t offset, const Value& contents) {
  const at::ScalarType dtype = contents.meta().dtype;
  Hasher hasher = StartHash(NodeKind::kUpdate);
  AddRegion(hasher, layout, sizes, strides, offset, dtype);
  InfoPtr info = Remember(hasher.Get(), [&](NodeInfo& i) {
    i.base = Meta(layout.sizes, layout.strides, layout.dtype);
    i.region = Meta(sizes, strides, dtype, offset);
    i.outputs.push_back(i.base);
  });
  NodePtr node = c10::make_intrusive<Node>(NodeKind::kUpdate, std::move(info));
  node->operands.push_back(base);
  node->operands.push_back(contents);
  return {std::move(node), 0};
}

}  // namespace glia::capture
