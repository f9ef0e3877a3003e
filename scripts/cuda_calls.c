/* Counts what a program asks of the CUDA runtime that makes the host wait: preloaded by gpu-check.sh.
 *
 *     cc -O2 -shared -fPIC -o cuda_calls.so cuda_calls.c -ldl
 *     QTRAIL_CUDA_CALLS=FILE LD_PRELOAD=./cuda_calls.so qtrail-torch
 *
 * FILE is made, and always holds the counts so far (two u64): a killed program loses none. libtorch
 * links to the runtime dynamically, so each of its calls comes here first. Not seen are waits inside
 * libraries that have a runtime of their own (cuBLAS, cuDNN).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WAITS, COPIES, COUNTS };
enum { HOST_TO_DEVICE = 1, DEVICE_TO_HOST = 2 };

static uint64_t *counts;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("QTRAIL_CUDA_CALLS");
  int file = path ? open(path, O_RDWR | O_CREAT, 0644) : -1;
  size_t size = COUNTS * sizeof *counts;
  if (file < 0 || ftruncate(file, size) != 0) return;
  void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  counts = memory == MAP_FAILED ? NULL : memory;
  close(file);
}

static void count(int what) {
  if (counts) __atomic_fetch_add(&counts[what], 1, __ATOMIC_RELAXED);
}

/* The runtime's own function. An error of the runtime (35: driver too old) where there is none. */
#define CALL(name, types, ...)                                     \
  int (*real) types = (int (*) types)dlsym(RTLD_NEXT, name);       \
  return real ? real(__VA_ARGS__) : 35

int cudaDeviceSynchronize(void) {
  count(WAITS);
  CALL("cudaDeviceSynchronize", (void));
}

int cudaStreamSynchronize(void *stream) {
  count(WAITS);
  CALL("cudaStreamSynchronize", (void *), stream);
}

int cudaEventSynchronize(void *event) {
  count(WAITS);
  CALL("cudaEventSynchronize", (void *), event);
}

int cudaMemcpy(void *to, const void *from, size_t size, int kind) {
  count(WAITS);
  CALL("cudaMemcpy", (void *, const void *, size_t, int), to, from, size, kind);
}

/* From and to ordinary memory of the host it may wait, whatever its name. */
int cudaMemcpyAsync(void *to, const void *from, size_t size, int kind, void *stream) {
  if (kind == HOST_TO_DEVICE || kind == DEVICE_TO_HOST) count(COPIES);
  CALL("cudaMemcpyAsync", (void *, const void *, size_t, int, void *), to, from, size, kind, stream);
}
