import type { S3Client } from '@aws-sdk/client-s3'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { Arrival, Upload } from '@millrace/shared/uploads/upload.ts'
import { type ClamdVerdict, createClamd } from './clamd.ts'
import type { ClamdAddress } from './clamd-connection.ts'
import { createFailingFiles, type FailingFiles } from './failing-files.ts'
import { createInspector } from './inspector.ts'
import { createScanSlots } from './scan-slots.ts'

/** The settings of scanning. Without `clamd` and `inspector`, nothing is scanned. */
export type ScanConfig = {
  clamd:
    | {
        address: ClamdAddress
        /** How long clamd may neither take bytes nor reply, in ms. */
        timeoutMs: number
        /** Files that this process sends to clamd at once. */
        slots: number
        /** Larger files are not sent to clamd, in bytes. */
        maxBytes: number
        /** What happens to larger files. */
        largeFiles: 'reject' | 'accept'
      }
    | undefined
  inspector: { url: string; secret: Buffer | undefined; timeoutMs: number } | undefined
}

/** Limit of an inspector's reason, in characters. It is in the record and in each list of uploads. */
const maxReasonLength = 300

/** Records a check and its result as evidence. */
type OnCheck = (name: string, result: 'passed' | 'failed' | 'skipped', detail?: string) => void

/** The file that is scanned. `size` is in bytes, `detectedType` comes from the bytes. */
export type ScannedFile = {
  upload: Upload
  arrival: Arrival
  size: number
  detectedType: string | undefined
}

/** The scan of one file. Call `close` in any case. */
export type FileScan = {
  /**
   * Takes the file's bytes in their order. They must not change afterwards.
   * @returns undefined, or a promise that resolves when it takes more
   */
  write(chunk: Buffer): Promise<void> | undefined
  /**
   * Waits for the verdicts, once all bytes were written.
   * @throws AppError `malware_found`, `inspection_refused` or `too_large_to_scan`, which reject the file; `scan_unavailable`
   *   if there is no verdict, or `processing_failed` if that is the file's fault
   */
  finish(sha256: string): Promise<void>
  close(): void
}

/**
 * Scans files before they are decoded or served: by clamd while they are read, then by the team's own inspector. Without a
 * verdict a file is not served.
 */
export function createScanning(deps: { s3: S3Client; bucket: string; config: { scan: ScanConfig } }) {
  const { s3, bucket, config } = deps
  const { clamd: clamdConfig, inspector } = config.scan
  if (!clamdConfig && !inspector) return undefined
  const clamd = clamdConfig && { ...clamdConfig, ...createClamd(clamdConfig) }
  const takeSlot = clamd && createScanSlots(clamd.slots)
  const askInspector = inspector && createInspector({ s3, bucket, ...inspector })
  const failingForClamd = createFailingFiles()
  const failingForInspector = createFailingFiles()

  /**
   * Begins to scan a file. Waits while as many scans run as clamd may get.
   *
   * @throws AppError `too_large_to_scan`; the signal's reason
   */
  return async function openScan(
    file: ScannedFile,
    onCheck: OnCheck,
    signal: AbortSignal,
  ): Promise<FileScan> {
    const virusScan = await openVirusScan(file, onCheck, signal)
    return {
      write: (chunk) => virusScan?.write(chunk),
      async finish(sha256) {
        await virusScan?.finish()
        await inspect(file, sha256, onCheck, signal)
      },
      close: () => virusScan?.close(),
    }
  }

  async function openVirusScan(file: ScannedFile, onCheck: OnCheck, signal: AbortSignal) {
    if (!clamd || !takeSlot) return undefined
    if (file.size > clamd.maxBytes) {
      tooLarge(file, clamd.maxBytes, onCheck)
      return undefined
    }
    const freeSlot = await takeSlot(signal)
    const stream = clamd.openStream(signal)
    const fail = (error: unknown): never => throwFailure(failingForClamd, file, error, signal)
    return {
      write(chunk: Buffer): Promise<void> | undefined {
        try {
          return stream.write(chunk)?.catch(fail)
        } catch (error) {
          return fail(error)
        }
      },
      async finish(): Promise<void> {
        const verdict = await stream.finish().catch(fail)
        failingForClamd.passed(keyOf(file))
        freeSlot()
        judge(file, verdict, await clamd.version(signal), onCheck)
      },
      close(): void {
        stream.close()
        freeSlot()
      },
    }
  }

  function judge(
    file: ScannedFile,
    verdict: ClamdVerdict,
    version: string | undefined,
    onCheck: OnCheck,
  ): void {
    if (verdict.result === 'clean') onCheck('clamd', 'passed', version)
    else if (verdict.result === 'too-large') tooLarge(file, undefined, onCheck)
    else {
      const { signature } = verdict
      onCheck('clamd', 'failed', version === undefined ? signature : `${signature}; ${version}`)
      throw new AppError('malware_found', { message: `The virus scanner found malware: ${signature}.` })
    }
  }

  /** @param limit ours; undefined: clamd's own StreamMaxLength */
  function tooLarge({ size }: ScannedFile, limit: number | undefined, onCheck: OnCheck): void {
    const whose = limit === undefined ? "clamd's StreamMaxLength" : `${limit} bytes`
    const detail = `The file has ${size} bytes, and files above ${whose} are not scanned.`
    onCheck('clamd', clamd?.largeFiles === 'accept' ? 'skipped' : 'failed', detail)
    if (clamd?.largeFiles === 'accept') return
    throw new AppError('too_large_to_scan', {
      message: `The file has ${size} bytes, which is too large for the virus scanner.`,
      ...(limit !== undefined && { limit }),
    })
  }

  async function inspect(
    file: ScannedFile,
    sha256: string,
    onCheck: OnCheck,
    signal: AbortSignal,
  ): Promise<void> {
    if (!askInspector) return
    const decision = await askInspector({ ...file, sha256 }, signal).catch((error: unknown) =>
      throwFailure(failingForInspector, file, error, signal),
    )
    failingForInspector.passed(keyOf(file))
    if (decision.decision === 'accept') {
      onCheck('inspector', 'passed')
      return
    }
    const reason = sentence(decision.reason)
    onCheck('inspector', 'failed', reason)
    throw new AppError('inspection_refused', reason === undefined ? {} : { message: reason })
  }
}

export type OpenScan = NonNullable<ReturnType<typeof createScanning>>

/**
 * Throws the failure of a scanner: as an outage, which uses up no attempt, or as the file's fault, which does.
 */
function throwFailure(failing: FailingFiles, file: ScannedFile, error: unknown, signal: AbortSignal): never {
  if (!signal.aborted && failing.failed(keyOf(file))) {
    throw new AppError('processing_failed', {
      message: 'The scanner fails on this file, and passes others.',
      cause: error,
    })
  }
  throw error
}

/** Identifies the bytes of an upload. */
function keyOf({ upload, arrival }: ScannedFile): string {
  return `${upload.id}-${arrival.etag}`
}

/** Returns a reason that can be shown: on one line, and not too long. */
function sentence(reason: string | undefined): string | undefined {
  const text = reason
    ?.replace(/[\s\p{Cc}\p{Cs}]+/gu, ' ')
    .trim()
    .slice(0, maxReasonLength)
  return text === '' ? undefined : text
}
