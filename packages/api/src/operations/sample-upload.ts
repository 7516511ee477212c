/** Id of the upload in all examples. */
export const sampleId = '019aa1f0-5c1e-7cc3-98a1-2f6b0d9e4a57'

const announcedAt = '2026-11-23T09:30:00.000Z'
const common = {
  id: sampleId,
  filename: 'harbour.jpg',
  contentType: 'image/jpeg',
  size: 4_182_311,
  preset: 'default',
  metadata: { album: 'summer' },
  createdAt: announcedAt,
}

export const receivedUpload = {
  ...common,
  state: 'received',
  variants: [],
  updatedAt: '2026-11-23T09:30:02.000Z',
}

export const readyUpload = {
  ...common,
  state: 'ready',
  detectedType: 'image/jpeg',
  sha256: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
  width: 4032,
  height: 3024,
  placeholder: '3OcRJYB4d3h/iIeHeEh3eIhw+j2w',
  variants: [
    {
      name: 'thumbnail',
      url: `/uploads/${sampleId}/variants/thumbnail`,
      contentType: 'image/jpeg',
      width: 200,
      height: 200,
      size: 9_120,
      sha256: '2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae',
    },
  ],
  updatedAt: '2026-11-23T09:30:03.000Z',
}

/** The data of an event `progress`. */
export const sampleProgress = { id: sampleId, step: 'rendering', done: 3, total: 5 }

export const sampleEvidence = {
  history: [
    { state: 'awaiting', at: announcedAt },
    { state: 'received', at: '2026-11-23T09:30:02.000Z' },
    { state: 'processing', at: '2026-11-23T09:30:02.100Z' },
    { state: 'ready', at: '2026-11-23T09:30:03.000Z' },
  ],
  processing: {
    attempt: 1,
    typeFoundBy: 'signature',
    checks: [{ name: 'size', result: 'passed' }],
    limits: { maxImagePixels: 100_000_000 },
    steps: [{ name: 'render', ms: 310, cpuMs: 290 }],
  },
}

const bucket = 'https://bucket.s3.eu-central-1.amazonaws.com'
const key = `originals/s-0123456789abcdef0123456789abcdef/${sampleId}`

export const formUpload = {
  id: sampleId,
  state: 'awaiting',
  expiresAt: '2026-11-23T10:30:00.000Z',
  transport: {
    kind: 'form',
    url: bucket,
    fields: {
      key,
      'Content-Type': 'image/jpeg',
      Policy: 'eyJleHBpcmF0aW9uIjoi…',
      'X-Amz-Signature': '5d41402a…',
    },
  },
}

/** The response to an announcement with `transport: "put"`. */
export const putUpload = {
  ...formUpload,
  transport: {
    kind: 'put',
    url: `${bucket}/${key}?X-Amz-Expires=3600&X-Amz-SignedHeaders=content-length%3B…&X-Amz-Signature=5d41402a…`,
    headers: {
      'content-type': 'image/jpeg',
      'if-none-match': '*',
      'x-amz-meta-filename': 'harbour.jpg',
      'x-amz-meta-preset': 'default',
    },
  },
}

export const importedUpload = {
  id: sampleId,
  state: 'awaiting',
  expiresAt: '2026-11-24T09:30:00.000Z',
  transport: { kind: 'import' },
}

/** The response to a repeated announcement whose file has arrived. */
export const arrivedUpload = { id: sampleId, state: 'received', transport: { kind: 'none' } }

export const partUrls = [
  { partNumber: 1, url: `${bucket}/${key}?partNumber=1&uploadId=Zm9v&X-Amz-Signature=7d793037…` },
  { partNumber: 2, url: `${bucket}/${key}?partNumber=2&uploadId=Zm9v&X-Amz-Signature=a1d0c6e8…` },
]

export const sentParts = [
  { partNumber: 1, etag: '6f8db599de986fab7a21625b7916589c', size: 8_388_608 },
  { partNumber: 2, etag: 'b1946ac92492d2347c6235b4d2611184', size: 1_048_576 },
]

export const receipt = {
  id: sampleId,
  erased: [{ key, versions: 1 }],
  verifiedAt: '2026-11-23T09:45:00.000Z',
}
