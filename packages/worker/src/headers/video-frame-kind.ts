/**
 * The kind of a file with one key frame of a video, which only the worker itself makes. No file that a client sends is
 * detected as one.
 *
 * It is apart from the file's schema, because every decoder needs the name: loading TypeBox doubles the time that a decoder
 * takes to start.
 */
export const videoFrameKind = 'video/x-millrace-frame'
