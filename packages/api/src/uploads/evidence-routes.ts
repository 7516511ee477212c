import { Evidence } from '@millrace/shared/ledger/evidence.ts'
import type { Manifest, Manifests } from '@millrace/shared/ledger/manifest.ts'
import { hasSameBytes, isFinished, type Upload, UploadState } from '@millrace/shared/uploads/upload.ts'
import Type, { type Static } from 'typebox'
import type { Api } from '../http/api.ts'
import { type FindOwnUpload, UploadParams } from './find-own-upload.ts'

// Without `tools`: versions of libraries are for operators, who read the manifest.
const { attempt, typeFoundBy, checks, limits, steps, lastError } = Evidence.properties

const Processing = Type.Object(
  { attempt, typeFoundBy, checks, limits, steps, lastError },
  {
    title: 'Processing',
    description: 'what the last attempt that has an outcome checked, and how long it took',
  },
)

const ReachedState = Type.Object(
  { state: UploadState, at: Type.String({ description: 'ISO 8601, UTC' }) },
  { title: 'ReachedState' },
)
type ReachedState = Static<typeof ReachedState>

export const UploadEvidence = Type.Object(
  {
    history: Type.Array(ReachedState, {
      description:
        'the states of the upload and since when, in order; a state whose time is not known is absent',
    }),
    processing: Type.Optional(Processing),
  },
  { title: 'UploadEvidence' },
)

/** `GET /uploads/{id}/evidence`: how the outcome of an upload came about, as its manifest tells. */
export function evidenceRoutes(
  api: Api,
  { findOwnUpload, manifests }: { findOwnUpload: FindOwnUpload; manifests: Pick<Manifests, 'read'> },
): void {
  api.get(
    '/uploads/:id/evidence',
    { schema: { params: UploadParams, response: { 200: UploadEvidence } } },
    async (request, reply) => {
      reply.header('cache-control', 'no-store')
      const { upload } = await findOwnUpload(request, request.params.id)
      const manifest = await manifestOf(upload)
      const { evidence } = manifest ?? {}
      return { history: historyOf(upload, manifest), ...(evidence && { processing: viewEvidence(evidence) }) }
    },
  )

  /** @returns undefined if S3 has none of the current bytes */
  async function manifestOf(upload: Upload): Promise<Manifest | undefined> {
    if (!upload.arrival) return undefined
    const manifest = await manifests.read(upload)
    return manifest && hasSameBytes(manifest.arrival, upload.arrival) ? manifest : undefined
  }
}

function viewEvidence(evidence: Evidence): Static<typeof Processing> {
  const { tools: _, receivedAt: __, startedAt: ___, ...shown } = evidence
  return shown
}

function historyOf(upload: Upload, manifest: Manifest | undefined): ReachedState[] {
  const { receivedAt, startedAt } = manifest?.evidence ?? {}
  const reached: (ReachedState | undefined)[] = [
    { state: 'awaiting', at: upload.createdAt },
    receivedAt === undefined ? undefined : { state: 'received', at: receivedAt },
    startedAt === undefined ? undefined : { state: 'processing', at: startedAt },
    manifest && { state: manifest.outcome, at: manifest.finishedAt },
  ]
  // The manifest of an upload that is processed again is of its last outcome.
  const isUnderWay = !isFinished(upload) && upload.state !== 'awaiting'
  if (isUnderWay) reached.push({ state: upload.state, at: upload.updatedAt })
  return reached.filter((each) => each !== undefined)
}
