import { Preset } from '@millrace/shared/presets/preset.ts'
import { Findings } from '@millrace/shared/uploads/upload.ts'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'

/**
 * A job for a decoder process: to render an image, or to examine video or audio. The frame's body is the image; video and
 * audio, which may have any size, are asked for in ranges.
 */
export const DecoderJob = Type.Object({
  kind: Type.String(),
  preset: Preset,
  maxPixels: Type.Integer(),
  focus: Type.Optional(Type.Object({ x: Type.Number(), y: Type.Number() })),
  /** Of video or audio, in bytes. */
  size: Type.Optional(Type.Integer()),
  /** Path of the program that decodes frames of videos. */
  ffmpeg: Type.Optional(Type.String()),
})
export type DecoderJob = Static<typeof DecoderJob>

/** What the worker sends for a range that a decoder asked for. The frame's body is the range. */
export const RangeReply = Type.Object({ isRefused: Type.Boolean() })
export type RangeReply = Static<typeof RangeReply>

/** Versions of the libraries that worked on a file, by name. */
const Tools = Type.Optional(Type.Record(Type.String(), Type.String()))

/** What a decoder process answers: `started` once, then for each job findings, variants, and one of the last three. */
export const DecoderAnswer = Type.Union([
  Type.Object({ type: Type.Literal('started') }),
  /** What the header says. */
  Type.Object({ type: Type.Literal('inspected'), findings: Findings }),
  /** The frame's body is the encoded variant. */
  Type.Object({
    type: Type.Literal('variant'),
    name: Type.String(),
    width: Type.Integer(),
    height: Type.Integer(),
  }),
  /** The frame's body is a picture of the video or audio, not decoded: a frame of it, or its cover. */
  Type.Object({
    type: Type.Literal('picture'),
    from: Type.Union([Type.Literal('frame'), Type.Literal('cover')]),
  }),
  /** The decoder waits for a range of the file, from `start` to before `end`. */
  Type.Object({ type: Type.Literal('range'), start: Type.Integer(), end: Type.Integer() }),
  /** What only the pixels say, such as the placeholder. */
  Type.Object({
    type: Type.Literal('rendered'),
    findings: Findings,
    tools: Tools,
    /** The most memory that libvips used at once since the decoder started. */
    libvipsPeakBytes: Type.Optional(Type.Integer()),
  }),
  /** An error of the catalogue: the file's fault, or a lack of memory. */
  Type.Object({
    type: Type.Literal('refused'),
    code: Type.String(),
    message: Type.String(),
    limit: Type.Optional(Type.Number()),
    /** Text of the decoding library, for the log. */
    reason: Type.Optional(Type.String()),
    tools: Tools,
  }),
  /** Any other error: a fault of ours. */
  Type.Object({ type: Type.Literal('broken'), reason: Type.String() }),
])
export type DecoderAnswer = Static<typeof DecoderAnswer>

export const decoderAnswer = Compile(DecoderAnswer)
