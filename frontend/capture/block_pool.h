// Memory for objects that programs make and drop by the thousand: nodes, storages. Each thread
// keeps the blocks it freed for its next allocations; malloc's own cache of that kind holds seven.
#ifndef GLIA_FRONTEND_CAPTURE_BLOCK_POOL_H_
#define GLIA_FRONTEND_CAPTURE_BLOCK_POOL_H_

#include <cstddef>
#include <new>

namespace glia::capture {

// For the operators new and delete of T, which nothing derives from. A block may be freed by
// another thread than allocated it.
template <typename T>
class BlockPool {
 public:
  static void* Allocate() {
    List& list = list_;
    if (list.first == nullptr) return ::operator new(sizeof(T));
    Block* block = list.first;
    list.first = block->next;
    --list.count;
    return block;
  }
  static void Free(void* memory) {
    List& list = list_;
    if (list.count >= kMaxBlocks || list.closed) return ::operator delete(memory);
    if (list.count == 0) cleaner_.Touch();
    list.first = new (memory) Block{list.first};
    ++list.count;
  }

 private:
  static constexpr size_t kMaxBlocks = 1 << 14;
  struct Block {
    Block* next;
  };
  // Needs no destructor, so that what dies after the thread's end may still be freed.
  struct List {
    Block* first;
    size_t count;
    bool closed;
  };
  struct Cleaner {
    void Touch() {}
    ~Cleaner() {
      list_.closed = true;
      while (list_.first != nullptr) ::operator delete(Allocate());
    }
  };
  static thread_local List list_;
  static thread_local Cleaner cleaner_;
};

template <typename T>
thread_local typename BlockPool<T>::List BlockPool<T>::list_ = {};
template <typename T>
thread_local typename BlockPool<T>::Cleaner BlockPool<T>::cleaner_;

}  // namespace glia::capture

#endif  // GLIA_FRONTEND_CAPTURE_BLOCK_POOL_H_
