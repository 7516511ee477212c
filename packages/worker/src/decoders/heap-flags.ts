import { setFlagsFromString } from 'node:v8'

/**
 * V8's flags of the worker and its decoders.
 *
 * V8 counts the buffers of files, pictures and chunks towards the limit of its heap, and sets that limit by how fast
 * objects are allocated within the heap. A worker allocates few objects and many buffers, so the limit stays some 8 MB
 * above what is kept, and each photo in a decoder, each second one in the worker, caused a full collection, which costs as
 * much as the whole heap. So the heap may grow to four times what it keeps. Young buffers are collected as before.
 *
 * Threads that help a collection make it shorter, and cost more CPU in all. Nobody waits for the pauses of these processes.
 *
 * Measured with 24 photos of 3 MB: 4 instead of 12 full collections in each decoder, and 25 ms of CPU less for each photo.
 */
export const heapFlags = ['--heap-growing-percent=300', '--single-threaded-gc'] as const

/** Sets the flags of this process. */
export function setHeapFlags(): void {
  for (const flag of heapFlags) setFlagsFromString(flag)
}
