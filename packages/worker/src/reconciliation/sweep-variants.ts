import type { S3Client } from '@aws-sdk/client-s3'
import type { Manifest, Manifests } from '@millrace/shared/ledger/manifest.ts'
import { parseVariantKey, uploadVariantsPrefix, variantsPrefix } from '@millrace/shared/ledger/object-keys.ts'
import type { StoredVariants } from '@millrace/shared/ledger/stored-variants.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { type ListedObject, listPage } from './list-page.ts'
import type { SweepRun, SweepStage } from './sweep-run.ts'

/**
 * How long a variant stays that no manifest names, in ms: a running attempt may name it later, and a decoder may take an hour
 * at most. As long after its manifest was replaced: its URLs were signed until then, for 15 minutes, and another region may
 * get the new manifest after everything else.
 */
const obsoleteAfterMs = 6 * 60 * 60_000

type ListedVariants = UploadAddress & { objects: ListedObject[] }

/**
 * Lists the variants, once a week, and deletes those that were replaced: of earlier bytes or recipes, and of attempts that died. If nothing
 * was replaced, an upload has one version of variants, and one of each name. Only of other uploads, the manifest is read.
 */
export function createSweepVariants(deps: {
  s3: S3Client
  bucket: string
  manifests: Pick<Manifests, 'read'>
  storedVariants: Pick<StoredVariants, 'erase'>
  run: SweepRun
}): SweepStage {
  const { s3, bucket, manifests, storedVariants, run } = deps
  const obsoleteBeforeMs = run.startedAtMs - obsoleteAfterMs

  return async function* sweepVariants(cursor) {
    if (!run.listsVariants) return
    let after: string | undefined = cursor
    while (after !== undefined) {
      await run.nextPage()
      const page = await listPage({ s3, bucket }, { prefix: variantsPrefix, after })
      const uploads = groupByUpload(page.objects)
      after = page.lastKey
      // The page may have a part of its last upload only. The next one begins with all of it.
      if (after !== undefined && uploads.length > 1) after = startOf(uploads.pop())
      await eraseReplaced(uploads)
      if (after !== undefined) yield after
    }
  }

  async function eraseReplaced(uploads: ListedVariants[]): Promise<void> {
    const unclear = uploads.filter(
      ({ objects }) =>
        isMixed(objects) && objects.some(({ lastModifiedMs }) => lastModifiedMs <= obsoleteBeforeMs),
    )
    const replaced: ListedVariants[] = []
    await run.checks.each(unclear, async (upload) => {
      run.findings.count('compared')
      const isObsolete = createIsObsolete(await manifests.read(upload))
      const hasObsolete = upload.objects.some(({ key, lastModifiedMs: writtenAtMs }) =>
        isObsolete({ key, writtenAtMs }),
      )
      if (hasObsolete) replaced.push(upload)
    })
    await run.checks.correct('replaced-variants', replaced, (upload) =>
      storedVariants.erase(upload, async () => createIsObsolete(await manifests.read(upload))),
    )
  }

  /** Without a manifest nothing is obsolete: the upload is unfinished, or is being erased. */
  function createIsObsolete(manifest: Manifest | undefined) {
    const isSettled = manifest !== undefined && Date.parse(manifest.finishedAt) <= obsoleteBeforeMs
    const named = new Set(manifest?.variants.map(({ key }) => key))
    return ({ key, writtenAtMs }: { key: string; writtenAtMs: number }) =>
      isSettled && !named.has(key) && writtenAtMs <= obsoleteBeforeMs
  }
}

/** Groups objects by their upload, in their order. Objects under other keys are left out. */
function groupByUpload(objects: ListedObject[]): ListedVariants[] {
  const uploads: ListedVariants[] = []
  for (const object of objects) {
    const address = parseVariantKey(object.key)
    if (!address) continue
    const { owner, id } = address
    const last = uploads.at(-1)
    if (last?.owner === owner && last.id === id) last.objects.push(object)
    else uploads.push({ owner, id, objects: [object] })
  }
  return uploads
}

/** Whether an upload has variants of several versions, or several of one name. */
function isMixed(objects: ListedObject[]): boolean {
  const variants = objects.flatMap(({ key }) => parseVariantKey(key) ?? [])
  const versions = new Set(variants.map(({ version }) => version))
  const names = new Set(variants.map(({ name }) => name))
  return versions.size > 1 || names.size < variants.length
}

function startOf(upload: ListedVariants | undefined): string {
  return upload ? uploadVariantsPrefix(upload) : variantsPrefix
}
